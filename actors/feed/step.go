package feed

import (
	"fmt"
	"math/rand/v2"
	"time"

	"kitestring/messages"
)

// look has every shard look at what has changed.
func (f *Feed) look() {
	for i := range f.shards {
		f.step(i, looked{})
	}
}

// step gives a shard an event and does what it asks for.
func (f *Feed) step(i int, e event) {
	w := f.world(i)
	moving := f.shards[i].moving()
	before := f.shards[i]
	s, effects := next(before, e, w)
	f.shards[i] = s
	if len(effects) > 0 || s.state != before.state || s.main.phase != before.main.phase || !s.wakeAt.Equal(before.wakeAt) {
		f.decided = true
	}
	for _, effect := range effects {
		f.do(i, effect)
	}
	if stop := f.timers[i]; stop != nil {
		stop()
		f.timers[i] = nil
	}
	if at := f.shards[i].wakeAt; !at.IsZero() {
		f.timers[i] = f.self.After(max(0, at.Sub(w.now)), shardDue{i})
	}
	f.settleReceipt()
	f.show()
	if moving && !f.shards[i].moving() {
		for j := range f.shards {
			if j != i {
				f.step(j, looked{}) // it may be another shard's turn
			}
		}
	}
}

func (f *Feed) do(i int, e effect) {
	table := f.cfg.State.tables[i]
	switch e := e.(type) {
	case dial:
		session, ok := f.session(e.generation)
		if !ok {
			f.self.Tell(socketEvent{i, ended{e.id, byUs, "the token has changed meanwhile"}, time.Now()})
			return
		}
		// The store knows of a change before the message about it is here: what this
		// socket brings is counted from now on.
		if change := f.cfg.Tokens.Current().Changed; change.Session.Generation == e.generation {
			f.begin(change)
		}
		s := newStream(f, i, e.id, session)
		f.streams[e.id] = s
		f.self.Go(fmt.Sprintf("socket %d", i), s.run)
	case hangUp:
		if s := f.streams[e.id]; s != nil {
			s.end(e.cause, e.why)
		}
	case withdraw:
		if s := f.streams[e.id]; s != nil && !table.withdraw(e.id, func() { s.end(e.cause, e.why) }) {
			f.step(i, kept{e.id})
		}
	case ask:
		f.self.Send(f.cfg.Auth, messages.TokenDoubted{Generation: e.generation})
	case reportLive:
		f.cfg.State.noteLive(e.generation)
		f.self.Send(f.cfg.Auth, messages.FeedLive{Generation: e.generation})
	case lead:
		f.settle(i, e.id, false, false)
	case endWait:
		f.settle(i, e.id, true, false)
	case forceMove:
		f.settle(i, e.id, true, true)
	}
}

// settle lets a standby lead what it may lead by now. What the older socket has
// brought comes first, even where its reader had no processor time: until it has
// handed on everything, the shard looks again.
func (f *Feed) settle(i int, id uint64, lenient, force bool) {
	if older := f.streams[f.shards[i].main.id]; older != nil && !force && !older.drained() {
		return
	}
	if s := f.streams[id]; s != nil {
		s.fact(messages.SocketFact{Kind: messages.SocketSettled, Lenient: lenient, Forced: force})
	}
	if f.cfg.State.tables[i].settle(id, lenient, force, time.Now()) {
		f.self.Tell(socketEvent{i, moved{id}, time.Now()})
	}
}

// world is what shard i may see of everything else, read again each time.
func (f *Feed) world(i int) *world {
	view := f.cfg.Tokens.Current()
	w := &world{
		now:       time.Now(),
		adopted:   max(view.Adopted.Generation, f.adopted.Generation),
		candidate: max(view.Candidate.Generation, f.changed.Generation),
		rejected:  f.cfg.State.isRejected,
		mayMove:   !f.cfg.State.tables[i].swapping(),
		newID:     func() uint64 { return f.cfg.State.ids.Add(1) },
		jitter:    func(d time.Duration) time.Duration { return rand.N(d + 1) },
		timeouts:  f.cfg.timeouts,
		share:     f.cfg.Sockets,
	}
	for j := range f.shards {
		if j != i {
			w.others += f.shards[j].sockets()
		}
		if j != i && f.shards[j].moving() {
			w.mayMove = false
		}
		if j != i && w.now.Before(f.shards[j].lingersUntil) {
			w.lingering = true
		}
	}
	return w
}

// session is the newest knowledge of a generation's token.
func (f *Feed) session(g messages.Generation) (messages.Session, bool) {
	view := f.cfg.Tokens.Current()
	for _, s := range [...]messages.Session{view.Adopted, view.Candidate, f.adopted, f.changed} {
		if s.Generation == g {
			return s, true
		}
	}
	return messages.Session{}, false
}

// settleReceipt notes the generation that the feed works with, and closes its
// receipt once every shard does.
func (f *Feed) settleReceipt() {
	var oldest messages.Generation
	left, active := false, 0
	for i := range f.shards {
		s := &f.shards[i]
		if s.stopped {
			continue
		}
		active++
		g := s.leads()
		if g == 0 || s.leaving.phase != idle {
			left = true
		}
		if g != 0 && (oldest == 0 || g < oldest) {
			oldest = g
		}
	}
	if connected := oldest != 0; connected != f.connected {
		f.connected = connected
		if connected {
			f.reconcile(oldest)
		}
	}
	if oldest == 0 {
		return
	}
	f.cfg.Tokens.Used(Name, oldest)
	if left {
		return
	}
	if r, closed := f.cfg.State.closeReceipt(oldest, time.Now(), active, f.cfg.Sequenced, f.clients()); closed {
		f.record(r, true)
		f.self.Log().Info("feed moved to a new token", "generation", oldest, "state", messages.Streaming.String(), "total_ms", *r.TotalMS)
		f.self.After(recountAfter, recountDue{oldest})
	}
}

// recountAfter is when the ticks of a closed receipt are counted again.
const recountAfter = time.Second

// clients counts the gateway's open sockets.
func (f *Feed) clients() *int {
	if f.cfg.Clients == nil {
		return nil
	}
	n := f.cfg.Clients()
	return &n
}
