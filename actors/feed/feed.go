// Package feed keeps Kite's WebSocket streaming while the access token
// changes: nothing lost, nothing twice, and a receipt for each change.
//
// Promise: a new token is dialled beside the running socket and takes over
// instrument by instrument; a token that Kite refuses leaves the old socket
// streaming. The reader never waits for a subscriber, a dead peer is found in
// 3 s, a dropped connection is dialled again at once, and a stop takes 100 ms
// at most, whatever the peer does. No input makes it panic or gives a tick
// that was not sent.
//
// Limits: a swap is exact where Kite sends both sockets the same packets (see
// merger). Three shards of 3000 instruments fill Kite's three slots: then a
// shard moves by closing first, and what it misses is in the gap ledger. Order
// updates that Kite sends while no socket is open are found in GET /orders
// afterwards: the last state of each order, not the states between.
//
// Ticks go to the sinks of State.Attach, called on the reader's goroutine; a
// batch carries the generation of its socket, and while a swap lasts batches
// of both alternate: a receiver takes the highest as its own and drops none.
package feed

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
	"kitestring/messages"
)

// Name is the actor's name in the tree, and the holder that it notes its use
// of tokens under.
const Name = "feed"

// Config is what a feed needs of its house.
type Config struct {
	Exchange  actors.Exchange
	Tokens    actors.TokenSource
	Clock     actors.Clock
	State     *State
	Sequenced bool         // the source counts ticks in LastQuantity (the simulator's sequence mode)
	Auth      *actor.PID   // gets FeedLive and TokenDoubted
	Web       *actor.PID   // gets FeedChanged, RotationRecorded, OrderUpdated; nil: nobody
	Gaps      []*actor.PID // get GapDetected
	Metrics   *Metrics     // nil: none
	// Dial opens TCP connections; nil: the operating system's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	limits *limits // tests only; nil: the defaults
}

// New makes the producer of the feed actor.
func New(cfg Config) actors.Producer {
	if cfg.limits == nil {
		l := defaultLimits()
		cfg.limits = &l
	}
	return func(self actors.Self) actors.Actor {
		return &Feed{self: self, cfg: cfg, streams: map[uint64]*stream{}, shards: make([]shard, 1)}
	}
}

// Feed is one incarnation.
type Feed struct {
	self    actors.Self
	cfg     Config
	shards  []shard
	stale   [MaxShards]staleness
	timers  [MaxShards]func()
	streams map[uint64]*stream
	changed messages.Session // newest that TokenChanged told of
	adopted messages.Session // newest that TokenAdopted told of
	phase   messages.PhaseChanged
	told    messages.FeedChanged
	frames  uint64 // at the last beat

	connected      bool // a socket is live: no order update can be missed
	reconciling    bool
	reconcileAgain bool
}

// What the tasks and timers tell the actor.
type (
	socketUpgraded struct {
		shard int
		event upgraded
		at    time.Time
	}
	socketFramed struct {
		shard int
		event framed
		at    time.Time
	}
	socketTicked struct {
		generation messages.Generation
		at         time.Time
	}
	socketMoved struct {
		shard int
		event moved
	}
	socketEnded struct {
		shard int
		event ended
	}
	shardDue   struct{ shard int }
	second     struct{}
	recountDue struct{ generation messages.Generation }
	reconciled struct{ generation messages.Generation }
)

// Receive implements actors.Actor.
func (f *Feed) Receive(msg any) {
	switch m := msg.(type) {
	case actors.Started:
		f.start()
	case actors.Stopped:
		f.stop()
	case messages.ToFeed:
		f.hear(m)
	case socketUpgraded:
		f.onUpgraded(m)
	case socketFramed:
		f.onFramed(m)
	case socketTicked:
		f.reach(m.generation, m.at, func(r *messages.Rotation) **float64 { return &r.FirstTickMS })
	case socketMoved:
		f.step(m.shard, m.event)
	case socketEnded:
		delete(f.streams, m.event.id)
		f.step(m.shard, m.event)
	case shardDue:
		f.timers[m.shard] = nil
		f.step(m.shard, looked{})
	case second:
		f.second()
	case reconciled:
		f.reconciling = false
		if f.reconcileAgain {
			f.reconcileAgain = false
			f.reconcile(m.generation)
		}
	case recountDue:
		if r, news := f.cfg.State.recount(m.generation, f.cfg.Sequenced); news {
			f.record(r)
		}
	default:
		f.self.Log().Warn("unexpected message", "type", fmt.Sprintf("%T", msg))
	}
}

// hear answers what the house tells the feed.
func (f *Feed) hear(msg messages.ToFeed) {
	switch m := msg.(type) {
	case messages.TokenChanged:
		f.tokenChanged(m)
	case messages.TokenVerdict:
		f.verdict(m)
	case messages.TokenAdopted:
		if m.Session.Generation > f.adopted.Generation {
			f.adopted = m.Session
		}
		f.look()
	case messages.WantInstruments:
		f.want(m)
	case messages.PhaseChanged:
		f.phase = m
	}
}

func (f *Feed) start() {
	for _, t := range f.cfg.State.tables {
		t.reset(f.cfg.Sequenced)
	}
	f.self.Every(time.Second, second{})
	for i := range MaxShards {
		if len(f.cfg.State.subscriptions(i)) > 0 {
			f.grow(i)
		}
	}
	if view := f.cfg.Tokens.Current(); !view.Candidate.IsZero() && view.Changed.Session.Generation == view.Candidate.Generation {
		f.tokenChanged(view.Changed)
	}
	f.look()
}

func (f *Feed) stop() {
	for _, s := range f.streams {
		s.end(byUs, "the feed stops")
	}
	for i := range f.shards {
		f.shards[i].to(messages.Stopped, "the feed has stopped", time.Now())
	}
	f.show()
}

func (f *Feed) tokenChanged(m messages.TokenChanged) {
	if m.Session.Generation > f.changed.Generation {
		f.changed = m.Session
	}
	replaces := slices.ContainsFunc(f.shards, func(s shard) bool { return s.leads() != 0 && s.leads() < m.Session.Generation })
	for _, r := range f.cfg.State.openReceipt(m, replaces) {
		f.record(r)
	}
	f.look()
}

func (f *Feed) verdict(m messages.TokenVerdict) {
	switch m.Verdict {
	case messages.VerdictRejected:
		f.cfg.State.reject(m.Generation)
		if r, news := f.cfg.State.rejectReceipt(m.Generation, m.Reason); news {
			f.record(r)
		}
	case messages.VerdictValid:
		f.reach(m.Generation, m.At, func(r *messages.Rotation) **float64 { return &r.ValidatedMS })
	case messages.VerdictUnknown:
	}
	f.look()
}

func (f *Feed) onUpgraded(m socketUpgraded) {
	if s := f.streams[m.event.id]; s != nil {
		f.reach(s.session.Generation, m.at, func(r *messages.Rotation) **float64 { return &r.DialledMS })
	}
	f.step(m.shard, m.event)
}

func (f *Feed) onFramed(m socketFramed) {
	if s := f.streams[m.event.id]; s != nil {
		if r, news := f.reach(s.session.Generation, m.at, func(r *messages.Rotation) **float64 { return &r.FirstFrameMS }); news {
			f.cfg.Metrics.live(r)
		}
	}
	f.step(m.shard, m.event)
}

// reach stamps a stage of a generation's receipt and tells of it.
func (f *Feed) reach(g messages.Generation, at time.Time, stage func(*messages.Rotation) **float64) (messages.Rotation, bool) {
	r, news := f.cfg.State.stamp(g, at, stage)
	if news {
		f.record(r)
	}
	return r, news
}

func (f *Feed) record(r messages.Rotation) {
	if f.cfg.Web != nil {
		f.self.Send(f.cfg.Web, messages.RotationRecorded{Rotation: r})
	}
}

func (f *Feed) want(m messages.WantInstruments) {
	changed, refused := f.cfg.State.want(m, f.cfg.limits.shardMost)
	for _, r := range refused {
		f.self.Log().Warn("subscription refused", "owner", r.Owner, "instrument_token", r.InstrumentToken, "tradingsymbol", r.Tradingsymbol, "reason", r.Reason)
	}
	for _, i := range changed {
		f.grow(i)
		if s := f.streams[f.shards[i].main.id]; s != nil {
			s.resubscribe(false)
		}
		if s := f.streams[f.shards[i].next.id]; s != nil {
			s.resubscribe(false)
		}
		if i > 0 && len(f.cfg.State.subscriptions(i)) == 0 {
			f.step(i, halted{})
		} else {
			f.step(i, needed{})
		}
	}
}

// grow makes room for a shard. The first one's socket proves tokens, with or
// without instruments; any other needs instruments.
func (f *Feed) grow(i int) {
	for n := len(f.shards); n <= i; n++ {
		f.shards = append(f.shards, shard{stopped: len(f.cfg.State.subscriptions(n)) == 0})
	}
}

// look has every shard see what has changed in the world.
func (f *Feed) look() {
	for i := range f.shards {
		f.step(i, looked{})
	}
}

// step gives a shard an event and does what it asks for.
func (f *Feed) step(i int, e event) {
	w := f.world(i)
	moving := f.shards[i].moving()
	s, effects := next(f.shards[i], e, w)
	f.shards[i] = s
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
	f.settle()
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
	switch e := e.(type) {
	case dial:
		session, ok := f.session(e.generation)
		if !ok {
			f.self.Tell(socketEnded{i, ended{e.id, byUs, "the token has changed meanwhile"}})
			return
		}
		s := newStream(f, i, e.id, session)
		f.streams[e.id] = s
		f.self.Go(fmt.Sprintf("socket %d", i), s.run)
	case hangUp:
		if s := f.streams[e.id]; s != nil {
			s.end(e.cause, e.why)
		}
	case withdraw:
		s := f.streams[e.id]
		if s == nil {
			return
		}
		if !s.table.withdraw(e.id, func() { s.end(e.cause, e.why) }) {
			f.step(i, kept{e.id})
		}
	case ask:
		f.self.Send(f.cfg.Auth, messages.TokenDoubted{Generation: e.generation, By: Name, Reason: e.why, At: time.Now()})
	case tellLive:
		f.self.Send(f.cfg.Auth, messages.FeedLive{Generation: e.generation, At: time.Now()})
	case endWait:
		if f.cfg.State.tables[i].settle(e.id, time.Now()) {
			f.self.Tell(socketMoved{i, moved(e)})
		}
	case forceMove:
		if f.cfg.State.tables[i].force(e.id, time.Now()) {
			f.self.Tell(socketMoved{i, moved(e)})
		}
	}
}

// world is the state of things as shard i may see it, read anew each time.
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
		limits:    f.cfg.limits,
	}
	sockets := 0
	for j := range f.shards {
		sockets += f.shards[j].sockets()
		if j != i && f.shards[j].moving() {
			w.mayMove = false
		}
	}
	w.slot = sockets < MaxShards
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

// settle notes the generation that the feed works with, and closes its
// receipt once every shard does.
func (f *Feed) settle() {
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
	if r, news := f.cfg.State.closeReceipt(oldest, time.Now(), active, f.cfg.Sequenced); news {
		f.record(r)
		f.self.Log().Info("feed moved to a new token", "generation", oldest, "state", messages.Streaming.String(), "total_ms", *r.TotalMS)
		f.self.After(recountAfter, recountDue{oldest})
	}
}

// recountAfter is when the ticks of a closed receipt are counted again.
const recountAfter = time.Second

// second does what is due every second.
func (f *Feed) second() {
	now := time.Now()
	f.publishGaps(now)
	f.watch(now)
	stats := uint64(0)
	for _, t := range f.cfg.State.tables {
		stats += t.vitals().frames
	}
	streaming := slices.ContainsFunc(f.shards, func(s shard) bool { return s.main.phase == live })
	if stats != f.frames || !streaming {
		// Without a socket the state machine itself is the progress.
		f.frames = stats
		f.self.Beat()
	}
}

func (f *Feed) publishGaps(now time.Time) {
	for i, t := range f.cfg.State.tables {
		gaps, why := t.takeGaps()
		if len(gaps) == 0 {
			continue
		}
		g := messages.GapDetected{Reason: why, Shard: i, Gaps: gaps, At: now}
		if i < len(f.shards) {
			g.Generation = f.shards[i].leads()
		}
		f.cfg.State.addGap(g)
		f.cfg.Metrics.gaps(gaps)
		for _, to := range f.cfg.Gaps {
			f.self.Send(to, g)
		}
	}
}

// watch looks for shards that bring frames but no ticks.
func (f *Feed) watch(now time.Time) {
	for i := range f.shards {
		s := &f.shards[i]
		v := f.cfg.State.tables[i].vitals()
		due := v.instruments > 0 && f.phase.Phase == messages.Open
		var r remedy
		f.stale[i], r = f.stale[i].next(now, v.lastTick, due, s.main.phase == live, f.cfg.limits.stale)
		switch r {
		case nothing:
		case subscribeAgain:
			f.self.Log().Warn("no ticks in an open market, subscribing again", "shard", i, "generation", s.main.generation)
			if st := f.streams[s.main.id]; st != nil {
				st.resubscribe(true)
			}
		case connectAgain:
			f.self.Log().Warn("no ticks in an open market, connecting anew", "shard", i, "generation", s.main.generation)
			f.step(i, replace{mute, "frames came but no ticks, in an open market; connecting anew"})
		}
	}
	f.show()
}

// badness orders states: the feed is as well as its worst shard.
var badness = map[messages.FeedState]int{
	messages.Streaming: 1, messages.Connecting: 2, messages.Backoff: 3,
	messages.AwaitingToken: 4, messages.Unauthorised: 5,
}

// show tells the world how the shards are, when that has changed.
func (f *Feed) show() {
	shards := make([]messages.ShardStatus, 0, len(f.shards))
	changed := messages.FeedChanged{State: messages.Stopped}
	for i := range f.shards {
		s := &f.shards[i]
		status := messages.ShardStatus{
			Shard: i, State: s.state, Generation: s.leads(), Instruments: len(f.cfg.State.subscriptions(i)),
			Reason: s.reason, Since: s.since,
		}
		if s.main.phase == idle && !s.stopped {
			status.NextDialAt = s.wakeAt
		}
		shards = append(shards, status)
		if badness[s.state] > badness[changed.State] {
			changed.State, changed.Reason = s.state, s.reason
		}
		if f.stale[i].stale {
			changed.Stale = true
		}
	}
	if changed.Stale && changed.State == messages.Streaming {
		changed.Reason = "the market is open and Kite sends no ticks"
	}
	if f.told.Shards != nil && slices.Equal(shards, f.told.Shards) && changed.Stale == f.told.Stale && changed.Reason == f.told.Reason {
		return
	}
	if changed.State != f.told.State || f.told.Shards == nil {
		f.self.Log().Info("feed state", "state", changed.State.String(), "generation", shards[0].Generation, "reason", changed.Reason)
	}
	changed.Shards, changed.At = shards, time.Now()
	f.told = changed
	f.cfg.State.show(changed.State, changed.Stale, changed.Reason, shards)
	if f.cfg.Web != nil {
		f.self.Send(f.cfg.Web, changed)
	}
}
