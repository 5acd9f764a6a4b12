package feed

import (
	"fmt"
	"slices"
	"time"

	"kitestring/actors/merger"
	"kitestring/messages"
)

// timeouts are the times and counts that a shard works with; tests shorten
// them.
type timeouts struct {
	dial        time.Duration // until the upgrade is answered
	dead        time.Duration // silence of a connection that is dead, found at the next pulse; at half of it a ping
	noData      time.Duration // without a whole message, of a connection that brings bytes; dead longer while a long one comes
	firstFrame  time.Duration // upgrade -> first valid frame
	overlap     time.Duration // longest time that both sockets of a swap stream
	silent      time.Duration // from then on instruments that never ticked are not waited for
	redialBase  time.Duration // second redial in a row; the first one comes at once
	redialCap   time.Duration
	healthy     time.Duration // a session this long resets the redial count
	probe       time.Duration // between two upgrades of a generation that Kite answered with 403
	slotWait    time.Duration // after a 429
	lingerFirst time.Duration // after a 429 that our own socket, just closed, explains; then fourfold each time up to
	lingerWait  time.Duration // this
	lingerFor   time.Duration // how long Kite may go on counting a socket that we closed
	stale       time.Duration // frames without a tick in an open market
	turn        time.Duration // between two looks whether it is this shard's turn to move
	shardMost   int           // instruments on one socket
}

func defaultTimeouts() timeouts {
	return timeouts{
		dial: 5 * time.Second, dead: 2900 * time.Millisecond, noData: 5 * time.Second,
		firstFrame: 3 * time.Second, overlap: 2 * time.Second, silent: 300 * time.Millisecond,
		redialBase: 250 * time.Millisecond, redialCap: 15 * time.Second, healthy: 30 * time.Second,
		probe: 30 * time.Second, slotWait: 30 * time.Second,
		lingerFirst: 10 * time.Millisecond, lingerWait: time.Second, lingerFor: 5 * time.Second,
		stale: 5 * time.Second, turn: 50 * time.Millisecond, shardMost: 3000,
	}
}

// phase is how far a socket has come.
type phase uint8

const (
	idle     phase = iota // no socket
	dialling              // up to the answer of the upgrade
	open                  // upgraded, no valid frame yet
	live                  // it has brought a valid frame
	closing               // its end has been asked for
)

// link is a socket as the state machine sees it.
type link struct {
	id         uint64
	generation messages.Generation
	phase      phase
	since      time.Time // of the phase
	liveAt     time.Time // of its first valid frame; zero: none yet
	lookedAt   time.Time // last, while it waits to lead
	kept       bool      // it leads already, and moved is on its way
}

// cause says why a socket or a dial ended.
type cause uint8

const (
	byUs        cause = iota // we closed it
	forbidden                // 403 at the upgrade
	tooMany                  // 429 at the upgrade
	serverError              // any other answer than 101
	network                  // refused, reset, closed, timed out
	mute                     // no byte for 3 s, or no valid frame after the upgrade
	malformed                // a burst of bad frames
)

// doubt is a 403 at an upgrade: no verdict on the token, a reason to ask.
type doubt struct {
	generation messages.Generation
	at         time.Time
}

// shard is the control side of one socket's place: pure.
type shard struct {
	state   messages.FeedState
	reason  string
	since   time.Time
	stopped bool

	main    link // streams, or is on its way to
	next    link // of a newer generation, dialled while main streams
	leaving link // was main until next took over

	failures     int // dials and short sessions of main that ended badly, in a row
	redialAt     time.Time
	nextFailures int
	nextAt       time.Time
	tried        messages.Generation // that nextFailures counts for
	crowded      int                 // 429s that next's dials of tried have met and none of our own lingering sockets explains
	breaking     bool                // main is being closed so that its slot gets free
	doubts       []doubt
	lingersUntil time.Time // Kite may count a socket that we closed until then
	lingered     int       // 429s in a row that such a socket explains
	given        bool      // main was given up for its slot, and nothing has come in its place yet
	wakeAt       time.Time // when time alone changes something; zero: never
}

// world is what a shard decides by apart from its own state.
type world struct {
	now       time.Time
	adopted   messages.Generation
	candidate messages.Generation
	rejected  func(messages.Generation) bool
	mayMove   bool // no other shard is moving, and the last move is over
	others    int  // sockets that other shards hold
	share     int  // sockets that this server may hold
	lingering bool // Kite may still count a socket that another shard closed
	newID     func() uint64
	jitter    func(time.Duration) time.Duration // 0 .. d
	timeouts  *timeouts
}

// event is what happens to a shard.
//
//sumtype:decl
type event interface{ isEvent() }

type (
	upgraded struct{ id uint64 }
	framed   struct{ id uint64 } // first valid frame
	moved    struct{ id uint64 } // the newer socket leads every instrument
	ended    struct {
		id    uint64
		cause cause
		why   string
	}
	kept    struct{ id uint64 } // could not be withdrawn: it leads already
	looked  struct{}            // the world or the time has changed
	replace struct {            // main is of no use any more
		cause cause
		why   string
	}
	halted struct{} // no instrument needs this shard
	needed struct{} // instruments need it
)

func (upgraded) isEvent() {}
func (framed) isEvent()   {}
func (moved) isEvent()    {}
func (ended) isEvent()    {}
func (kept) isEvent()     {}
func (looked) isEvent()   {}
func (replace) isEvent()  {}
func (halted) isEvent()   {}
func (needed) isEvent()   {}

// effect is what a shard asks the actor to do.
//
//sumtype:decl
type effect interface{ isEffect() }

type (
	dial struct {
		id         uint64
		generation messages.Generation
	}
	hangUp struct {
		id    uint64
		cause cause
		why   string
	}
	withdraw   hangUp                                   // of next, unless it leads already: then kept is the answer
	ask        struct{ generation messages.Generation } // auth, about a 403
	reportLive struct{ generation messages.Generation }
	lead       struct{ id uint64 } // let next lead where it may by now
	endWait    struct{ id uint64 } // as lead, and no longer wait for instruments that never ticked
	forceMove  struct{ id uint64 } // the overlap's time is up
)

func (dial) isEffect()       {}
func (hangUp) isEffect()     {}
func (withdraw) isEffect()   {}
func (ask) isEffect()        {}
func (reportLive) isEffect() {}
func (lead) isEffect()       {}
func (endWait) isEffect()    {}
func (forceMove) isEffect()  {}

// next answers an event. Every event is answered in every state; one of a
// socket that the shard no longer has changes nothing.
func next(s shard, e event, w *world) (shard, []effect) {
	var out []effect
	switch e := e.(type) {
	case upgraded:
		if l := s.link(e.id); l != nil && l.phase == dialling {
			l.phase, l.since = open, w.now
			s.lingered, s.given = 0, false
			if l == &s.main {
				s.to(messages.Connecting, "connected; waiting for the first frame", w.now)
			}
		}
	case framed:
		if l := s.link(e.id); l != nil && (l.phase == open || l.phase == dialling) {
			l.phase, l.since, l.liveAt = live, w.now, w.now
			s.forget(l.generation)
			out = append(out, reportLive{l.generation})
			if l == &s.main {
				s.to(messages.Streaming, "", w.now)
			}
		}
	case moved:
		if l := s.link(e.id); l == &s.next && (l.phase == live || l.phase == open) {
			s.leaving, s.main, s.next = s.main, s.next, link{}
			s.leaving.phase = closing
			s.nextFailures = 0
			out = append(out, hangUp{s.leaving.id, byUs, "replaced by a socket of the new token"})
			s.to(messages.Streaming, "", w.now)
		}
	case ended:
		out = s.ended(e, w)
	case kept:
		if l := s.link(e.id); l == &s.next && l.phase == closing {
			l.phase, l.since, l.liveAt, l.kept = live, w.now, w.now, true
			if s.main.phase == idle {
				s.main, s.next = s.next, link{}
				s.to(messages.Streaming, "", w.now)
			}
		}
	case looked:
	case replace:
		if s.main.phase == live || s.main.phase == open {
			s.main.phase = closing
			out = append(out, hangUp{s.main.id, e.cause, e.why})
		}
	case halted:
		s.stopped = true
	case needed:
		s.stopped = false
	}
	return s, append(out, s.decide(w)...)
}

func (s *shard) link(id uint64) *link {
	switch id {
	case 0:
	case s.main.id:
		return &s.main
	case s.next.id:
		return &s.next
	}
	return nil
}

func (s *shard) to(state messages.FeedState, reason string, now time.Time) {
	if s.state != state {
		s.since = now
	}
	s.state, s.reason = state, reason
}

func (s *shard) ended(e ended, w *world) (out []effect) {
	switch e.id {
	case 0:
	case s.leaving.id:
		s.leaving = link{}
		s.lingersUntil = w.now.Add(w.timeouts.lingerFor)
	case s.next.id:
		l := s.next
		s.next = link{}
		out = s.nextEnded(l, e, w)
	case s.main.id:
		l := s.main
		s.main = link{}
		if l.phase != dialling {
			s.lingersUntil = w.now.Add(w.timeouts.lingerFor)
		}
		out = s.mainEnded(l, e, w)
	}
	return out
}

// nextEnded: the newer socket failed, the older one streams on.
func (s *shard) nextEnded(l link, e ended, w *world) []effect {
	if l.phase == open || l.phase == live {
		s.lingersUntil = w.now.Add(w.timeouts.lingerFor)
	}
	switch e.cause {
	case byUs:
	case forbidden:
		s.to(s.state, "Kite refused the connection with the new token (403); the old socket streams on", w.now)
		return s.doubt(l.generation, w)
	case tooMany:
		s.to(s.state, "Kite counts three sockets already (429): the new token has to wait, the old socket streams on", w.now)
		if !s.lingering(w) {
			s.crowded++
		}
		s.nextAt = w.now.Add(s.slotDelay(w))
	default:
		s.to(s.state, "no connection with the new token yet, the old socket streams on: "+e.why, w.now)
		s.nextAt = w.now.Add(w.redial(s.nextFailures))
		s.nextFailures++
	}
	return nil
}

// mainEnded: the socket that led is gone. Next takes over if it is there.
func (s *shard) mainEnded(l link, e ended, w *world) (out []effect) {
	if !l.liveAt.IsZero() && w.now.Sub(l.liveAt) >= w.timeouts.healthy {
		s.failures = 0
	}
	if e.cause == forbidden {
		out = s.doubt(l.generation, w)
	}
	if s.next.phase != idle && s.next.phase != closing {
		s.main, s.next = s.next, link{}
		if s.main.phase == live {
			s.to(messages.Streaming, "", w.now)
		} else {
			s.to(messages.Connecting, "the older socket ended; the one of the new token takes over", w.now)
		}
		return out
	}
	s.redialAt = w.now
	switch e.cause {
	case byUs, forbidden:
	case tooMany:
		s.redialAt = w.now.Add(s.slotDelay(w))
		s.to(messages.Backoff, "Kite allows three sockets and counts more (429); trying again when a slot should be free", w.now)
	default:
		s.redialAt = w.now.Add(w.redial(s.failures))
		s.failures++
		s.to(messages.Backoff, e.why, w.now)
	}
	return out
}

func (s *shard) doubt(g messages.Generation, w *world) []effect {
	s.forget(g)
	s.doubts = append(s.doubts, doubt{g, w.now})
	return []effect{ask{g}}
}

// forget drops the doubt about a generation. An older shard keeps its own.
func (s *shard) forget(g messages.Generation) {
	s.doubts = slices.DeleteFunc(slices.Clone(s.doubts), func(d doubt) bool { return d.generation == g })
}

// lingering reports whether Kite may still count a socket that we closed: a
// 429 then says nothing of other programs.
func (s *shard) lingering(w *world) bool { return w.lingering || w.now.Before(s.lingersUntil) }

func (s *shard) slotDelay(w *world) time.Duration {
	if s.lingering(w) {
		if !s.given && s.main.phase == idle {
			return w.timeouts.lingerWait
		}
		// The exchange forgets a socket that was closed within milliseconds, and
		// a shard that gave its only one up is blind until then.
		d := min(w.timeouts.lingerWait, w.timeouts.lingerFirst<<min(2*s.lingered, 16))
		s.lingered++
		return d
	}
	return w.timeouts.slotWait + w.jitter(w.timeouts.slotWait/10)
}

// redial is the pause before a dial after so many failures: none, then
// doubling to a cap, half of it jitter.
func (w *world) redial(failures int) time.Duration {
	if failures == 0 {
		return w.jitter(10 * time.Millisecond)
	}
	d := w.timeouts.redialCap
	if shift := failures - 1; shift < 16 {
		d = min(d, w.timeouts.redialBase<<shift)
	}
	return d/2 + w.jitter(d/2)
}

// pick is the first of the generations that may be dialled now; when there is
// none, from says from when on one may, if any ever may.
func (s *shard) pick(w *world, generations ...messages.Generation) (g messages.Generation, from time.Time) {
	for _, g := range generations {
		if g == 0 || w.rejected(g) {
			continue
		}
		var at time.Time
		for _, d := range s.doubts {
			if d.generation == g {
				at = d.at.Add(w.timeouts.probe)
			}
		}
		if !w.now.Before(at) {
			return g, time.Time{}
		}
		if from.IsZero() || at.Before(from) {
			from = at
		}
	}
	return 0, from
}

// target is the generation to move to while main streams; 0: none.
func (s *shard) target(w *world) (g messages.Generation, from time.Time) {
	newer := slices.DeleteFunc([]messages.Generation{max(w.candidate, w.adopted), min(w.candidate, w.adopted)},
		func(g messages.Generation) bool { return g <= s.main.generation })
	return s.pick(w, newer...)
}

const noFrame = "connected, but no valid frame came"

// decide does what is due.
func (s *shard) decide(w *world) (out []effect) {
	s.wakeAt = time.Time{}
	if s.stopped {
		const why = "no instrument needs this socket"
		for _, l := range [...]*link{&s.main, &s.next} {
			if l.phase != idle && l.phase != closing {
				l.phase = closing
				out = append(out, hangUp{l.id, byUs, why})
			}
		}
		s.to(messages.Stopped, why, w.now)
		return out
	}
	if s.main.phase == open && s.reached(s.main.since.Add(w.timeouts.firstFrame), w) {
		s.main.phase = closing
		out = append(out, hangUp{s.main.id, mute, noFrame})
	}
	if s.next.phase == open && s.reached(s.next.since.Add(w.timeouts.firstFrame), w) {
		s.next.phase = closing
		out = append(out, withdraw{s.next.id, mute, noFrame})
	}
	switch {
	case s.main.phase == idle:
		out = append(out, s.connect(w)...)
	case s.main.phase == dialling:
		// A dial that hangs must not keep a proven newer token waiting.
		if w.adopted > s.main.generation {
			s.main.phase = closing
			out = append(out, hangUp{s.main.id, byUs, "a newer token has been adopted"})
		}
	case s.main.phase == live:
		out = append(out, s.move(w)...)
	}
	return out
}

// reached reports whether a moment has come, and has the shard woken then if
// it has not.
func (s *shard) reached(at time.Time, w *world) bool {
	if !w.now.Before(at) {
		return true
	}
	if s.wakeAt.IsZero() || at.Before(s.wakeAt) {
		s.wakeAt = at
	}
	return false
}

// connect dials when nothing streams: with the adopted generation, or with
// the candidate when nothing is adopted or the adopted one may not be dialled.
func (s *shard) connect(w *world) []effect {
	if s.leaving.phase != idle || s.next.phase != idle {
		return nil // its end calls again
	}
	g, from := s.pick(w, w.adopted, w.candidate)
	switch {
	case g == 0 && w.adopted == 0 && w.candidate == 0 && len(s.doubts) == 0:
		s.to(messages.AwaitingToken, "no access token yet: log in", w.now)
		return nil
	case g == 0 && from.IsZero():
		s.to(messages.Unauthorised, "Kite rejected the access token: log in to get a new one", w.now)
		return nil
	case g == 0:
		s.to(messages.Unauthorised, "Kite refused the connection (403); the token is being checked, the next try is due later", w.now)
		s.reached(from, w)
		return nil
	}
	if !s.reached(s.redialAt, w) {
		if s.state != messages.Backoff {
			s.to(messages.Backoff, "waiting before the next connection", w.now)
		}
		return nil
	}
	if !s.slot(w) {
		s.to(messages.Backoff, "this server's sockets are all in use; connecting when one of them has ended", w.now)
		s.reached(w.now.Add(w.timeouts.turn), w)
		return nil
	}
	s.breaking = false
	s.main = link{id: w.newID(), generation: g, phase: dialling, since: w.now}
	s.to(messages.Connecting, fmt.Sprintf("connecting with the token of generation %d", g), w.now)
	return []effect{dial{s.main.id, g}}
}

// move goes from main to a newer generation: with a second socket while a slot
// is free, in main's place otherwise, and then only with a proven token.
func (s *shard) move(w *world) (out []effect) {
	target, from := s.target(w)
	switch s.next.phase {
	case dialling, open:
		if target != s.next.generation {
			s.next.phase = closing
			return []effect{withdraw{s.next.id, byUs, "a newer token, or the token's rejection, makes it useless"}}
		}
		return nil
	case live:
		s.next.standstill(w.now)
		switch {
		case s.next.kept: // to withdraw it again would be answered in the same way
			return nil
		case w.rejected(s.next.generation):
			s.next.phase = closing
			return []effect{withdraw{s.next.id, byUs, "the token has been rejected"}}
		case s.reached(s.next.since.Add(w.timeouts.overlap), w):
			return []effect{forceMove{s.next.id}}
		case !s.reached(s.next.since.Add(merger.LeadAfter), w):
			return nil
		}
		s.reached(w.now.Add(merger.LeadAfter/5), w) // and look again
		if s.reached(s.next.since.Add(w.timeouts.silent), w) {
			return []effect{endWait{s.next.id}}
		}
		return []effect{lead{s.next.id}}
	case closing:
		return nil
	case idle:
	}
	if target == 0 {
		if !from.IsZero() {
			s.reached(from, w)
		}
		return nil
	}
	if !w.mayMove || s.leaving.phase != idle {
		s.reached(w.now.Add(w.timeouts.turn), w)
		return nil
	}
	if target != s.tried {
		s.tried, s.nextFailures, s.crowded, s.nextAt = target, 0, 0, time.Time{}
	}
	if !s.reached(s.nextAt, w) {
		return nil
	}
	// The running socket is given up for its slot only when our own sockets fill
	// this server's share, or when waiting for another program's socket has not helped.
	if s.crowded > 1 || !s.slot(w) {
		if target != w.adopted {
			return nil
		}
		s.main.phase = closing
		s.breaking, s.given, s.lingered = true, true, 0
		return []effect{hangUp{s.main.id, byUs, "no slot is free for a second socket: closed to connect with the new token"}}
	}
	s.next = link{id: w.newID(), generation: target, phase: dialling, since: w.now}
	return []effect{dial{s.next.id, target}}
}

// standstill takes out of a phase's time what nobody could read in: what the
// older socket brought meanwhile still waits, and a forced move would lose it.
func (l *link) standstill(now time.Time) {
	if l.lookedAt.Before(l.since) {
		l.lookedAt = l.since
	}
	if away := now.Sub(l.lookedAt); away > stoodStill {
		l.since = l.since.Add(away)
	}
	l.lookedAt = now
}

// moving reports whether a shard's sockets are changing: one shard at a time
// moves to a new token.
func (s *shard) moving() bool {
	return s.next.phase != idle || s.leaving.phase != idle || s.breaking ||
		s.main.phase == dialling || s.main.phase == open || s.main.phase == closing
}

// sockets counts the slots of Kite's that a shard holds.
func (s *shard) sockets() (n int) {
	for _, l := range [...]*link{&s.main, &s.next, &s.leaving} {
		if l.phase != idle {
			n++
		}
	}
	return n
}

// slot reports whether this server may open one more socket.
func (s *shard) slot(w *world) bool { return w.others+s.sockets() < w.share }

// leads is the generation of the socket that streams; 0: none.
func (s *shard) leads() messages.Generation {
	if s.main.phase == live || s.main.phase == closing && !s.main.liveAt.IsZero() {
		return s.main.generation
	}
	return 0
}
