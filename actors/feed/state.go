package feed

import (
	"time"

	"kitestring/messages"
)

// limits are the times and counts of design.md 3 and 4; tests shorten them.
type limits struct {
	dial       time.Duration // until the upgrade is answered
	dead       time.Duration // silence of a connection that is dead, found at the next pulse; at half of it a ping
	firstFrame time.Duration // upgrade -> first valid frame
	overlap    time.Duration // longest time that both sockets of a swap stream
	silent     time.Duration // from then on instruments that never ticked are not waited for
	redialBase time.Duration // second redial in a row; the first one comes at once
	redialCap  time.Duration
	healthy    time.Duration // a session this long resets the redial count
	probe      time.Duration // between two upgrades of a generation that Kite answered with 403
	slotWait   time.Duration // after a 429
	ghostFirst time.Duration // after a 429 when the ghost is a socket that we have just closed, then fourfold each time up to
	ghostWait  time.Duration // after a 429 when the ghost is our own
	ghostFor   time.Duration // how long a closed socket of ours may haunt Kite's count
	stale      time.Duration // frames without a tick in an open market
	turn       time.Duration // between two looks whether it is this shard's turn to move
	shardMost  int           // instruments on one socket
}

func defaultLimits() limits {
	return limits{
		dial: 5 * time.Second, dead: 2900 * time.Millisecond,
		firstFrame: 3 * time.Second, overlap: 2 * time.Second, silent: 300 * time.Millisecond,
		redialBase: 250 * time.Millisecond, redialCap: 15 * time.Second, healthy: 30 * time.Second,
		probe: 30 * time.Second, slotWait: 30 * time.Second, ghostFirst: 10 * time.Millisecond, ghostWait: time.Second, ghostFor: 5 * time.Second,
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
	closing               // told to go
)

// link is a socket as the state machine sees it.
type link struct {
	id         uint64
	generation messages.Generation
	phase      phase
	since      time.Time // of the phase
	liveAt     time.Time // of its first valid frame; zero: none yet
}

// cause says why a socket or a dial ended.
type cause uint8

const (
	byUs        cause = iota // told to go
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
	next    link // of a newer generation, beside main
	leaving link // was main until next took over

	failures     int // dials and short sessions of main that ended badly, in a row
	redialAt     time.Time
	nextFailures int
	nextAt       time.Time
	tried        messages.Generation // that nextFailures counts for
	crowded      int                 // 429s that the dial of tried beside main has met, without a ghost of ours
	breaking     bool                // main was told to go so that its slot gets free
	doubts       []doubt
	ghostUntil   time.Time
	ghosts       int       // 429s in a row that a ghost of ours explains
	given        bool      // main was given up for its slot, and nothing has come in its place yet
	wakeAt       time.Time // when time alone changes something; zero: never
}

// world is what a shard decides by besides its own state.
type world struct {
	now       time.Time
	adopted   messages.Generation
	candidate messages.Generation
	rejected  func(messages.Generation) bool
	mayMove   bool // no other shard is moving, and the last move is over
	slot      bool // one of Kite's three slots is free
	ghost     bool // another shard has closed a socket that may still haunt Kite's count
	newID     func() uint64
	jitter    func(time.Duration) time.Duration // 0 .. d
	limits    *limits
}

// The events of a shard.
type (
	event    interface{ isEvent() }
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

// The effects of a shard.
type (
	effect interface{ isEffect() }
	dial   struct {
		id         uint64
		generation messages.Generation
	}
	hangUp struct {
		id    uint64
		cause cause
		why   string
	}
	withdraw struct { // hangUp of the socket beside main, unless it leads already: then kept is the answer
		id    uint64
		cause cause
		why   string
	}
	ask struct { // auth, about a generation
		generation messages.Generation
		why        string
	}
	tellLive  struct{ generation messages.Generation }
	endWait   struct{ id uint64 } // no longer wait for instruments that never ticked
	forceMove struct{ id uint64 } // the overlap's time is up
)

func (dial) isEffect()      {}
func (hangUp) isEffect()    {}
func (withdraw) isEffect()  {}
func (ask) isEffect()       {}
func (tellLive) isEffect()  {}
func (endWait) isEffect()   {}
func (forceMove) isEffect() {}

// next answers an event. Every event is answered in every state; one of a
// socket that is not ours any more changes nothing.
func next(s shard, e event, w *world) (shard, []effect) {
	var out []effect
	switch e := e.(type) {
	case upgraded:
		if l := s.link(e.id); l != nil && l.phase == dialling {
			l.phase, l.since = open, w.now
			s.ghosts, s.given = 0, false
			if l == &s.main {
				s.to(messages.Connecting, "connected; waiting for the first frame", w.now)
			}
		}
	case framed:
		if l := s.link(e.id); l != nil && (l.phase == open || l.phase == dialling) {
			l.phase, l.since, l.liveAt = live, w.now, w.now
			s.doubts = without(s.doubts, l.generation)
			out = append(out, tellLive{l.generation})
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
			l.phase, l.since, l.liveAt = live, w.now, w.now
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

func without(doubts []doubt, g messages.Generation) []doubt {
	var rest []doubt
	for _, d := range doubts {
		if d.generation != g {
			rest = append(rest, d)
		}
	}
	return rest
}

func (s *shard) ended(e ended, w *world) (out []effect) {
	switch e.id {
	case 0:
	case s.leaving.id:
		s.leaving = link{}
		s.ghostUntil = w.now.Add(w.limits.ghostFor)
	case s.next.id:
		l := s.next
		s.next = link{}
		out = s.nextEnded(l, e, w)
	case s.main.id:
		l := s.main
		s.main = link{}
		if l.phase != dialling {
			s.ghostUntil = w.now.Add(w.limits.ghostFor)
		}
		out = s.mainEnded(l, e, w)
	}
	return out
}

// nextEnded: the newer socket failed, the older one streams on.
func (s *shard) nextEnded(l link, e ended, w *world) []effect {
	if l.phase == open || l.phase == live {
		s.ghostUntil = w.now.Add(w.limits.ghostFor)
	}
	switch e.cause {
	case byUs:
	case forbidden:
		s.to(s.state, "Kite refused the connection with the new token (403); the old socket streams on", w.now)
		return s.doubt(l.generation, w)
	case tooMany:
		s.to(s.state, "Kite counts three sockets already (429): the new token has to wait, the old socket streams on", w.now)
		if !s.haunted(w) {
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

// mainEnded: the socket that led is gone. One beside it takes over.
func (s *shard) mainEnded(l link, e ended, w *world) (out []effect) {
	if !l.liveAt.IsZero() && w.now.Sub(l.liveAt) >= w.limits.healthy {
		s.failures = 0
	}
	if s.next.phase != idle && s.next.phase != closing {
		s.main, s.next = s.next, link{}
		if s.main.phase == live {
			s.to(messages.Streaming, "", w.now)
		} else {
			s.to(messages.Connecting, "the older socket ended; the one of the new token takes over", w.now)
		}
		if e.cause == forbidden {
			out = s.doubt(l.generation, w)
		}
		return out
	}
	s.redialAt = w.now
	switch e.cause {
	case byUs:
	case forbidden:
		out = s.doubt(l.generation, w)
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
	s.doubts = append(without(s.doubts, g), doubt{g, w.now})
	return []effect{ask{g, "Kite answered 403 at the WebSocket's upgrade"}}
}

// haunted reports whether a socket that we have closed ourselves may still be
// in Kite's count: a 429 then says nothing of others.
func (s *shard) haunted(w *world) bool { return w.ghost || w.now.Before(s.ghostUntil) }

func (s *shard) slotDelay(w *world) time.Duration {
	if s.haunted(w) {
		if !s.given && s.main.phase == idle {
			return w.limits.ghostWait
		}
		// The exchange forgets a socket that was closed within milliseconds, and
		// a shard that gave its only one up is blind until then.
		d := min(w.limits.ghostWait, w.limits.ghostFirst<<min(2*s.ghosts, 16))
		s.ghosts++
		return d
	}
	return w.limits.slotWait + w.jitter(w.limits.slotWait/10)
}

// redial is the pause before a dial after so many failures: none, then
// doubling to a cap, half of it jitter.
func (w *world) redial(failures int) time.Duration {
	if failures == 0 {
		return w.jitter(10 * time.Millisecond)
	}
	d := w.limits.redialCap
	if shift := failures - 1; shift < 16 {
		d = min(d, w.limits.redialBase<<shift)
	}
	return d/2 + w.jitter(d/2)
}
