package feed

import (
	"fmt"
	"time"

	"kitestring/messages"
)

// usable reports whether a generation may be dialled now; when it cannot be
// told for ever, from tells since when it may.
func (s *shard) usable(g messages.Generation, w *world) (ok bool, from time.Time) {
	if g == 0 || w.rejected(g) {
		return false, time.Time{}
	}
	for _, d := range s.doubts {
		if d.generation == g {
			from = d.at.Add(w.limits.probe)
			return !w.now.Before(from), from
		}
	}
	return true, time.Time{}
}

// choose picks the generation of a dial when nothing streams: the adopted
// one, or the candidate when nothing is adopted or the adopted one is out.
func (s *shard) choose(w *world) (g messages.Generation, from time.Time) {
	for _, g := range [...]messages.Generation{w.adopted, w.candidate} {
		ok, at := s.usable(g, w)
		if ok {
			return g, time.Time{}
		}
		if !at.IsZero() && (from.IsZero() || at.Before(from)) {
			from = at
		}
	}
	return 0, from
}

// target is the generation to move to while main streams; 0: none.
func (s *shard) target(w *world) (g messages.Generation, from time.Time) {
	for _, g := range [...]messages.Generation{max(w.candidate, w.adopted), min(w.candidate, w.adopted)} {
		if g <= s.main.generation {
			continue
		}
		ok, at := s.usable(g, w)
		if ok {
			return g, time.Time{}
		}
		if !at.IsZero() {
			from = at
		}
	}
	return 0, from
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
	if s.main.phase == open && s.reached(s.main.since.Add(w.limits.firstFrame), w) {
		s.main.phase = closing
		out = append(out, hangUp{s.main.id, mute, noFrame})
	}
	if s.next.phase == open && s.reached(s.next.since.Add(w.limits.firstFrame), w) {
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

func (s *shard) connect(w *world) []effect {
	if s.leaving.phase != idle || s.next.phase != idle {
		return nil // its end calls again
	}
	g, from := s.choose(w)
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
	s.breaking = false
	s.main = link{id: w.newID(), generation: g, phase: dialling, since: w.now}
	s.to(messages.Connecting, fmt.Sprintf("connecting with the token of generation %d", g), w.now)
	return []effect{dial{s.main.id, g}}
}

// move goes from main to a newer generation: beside it while a slot is free,
// in its place otherwise, and then only with a proven token.
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
		if w.rejected(s.next.generation) {
			s.next.phase = closing
			return []effect{withdraw{s.next.id, byUs, "the token has been rejected"}}
		}
		if s.reached(s.next.since.Add(w.limits.overlap), w) {
			return []effect{forceMove{s.next.id}}
		}
		if s.reached(s.next.since.Add(w.limits.silent), w) {
			return []effect{endWait{s.next.id}}
		}
		return nil
	case closing:
		return nil
	}
	if target == 0 {
		if !from.IsZero() {
			s.reached(from, w)
		}
		return nil
	}
	if !w.mayMove || s.leaving.phase != idle {
		s.reached(w.now.Add(w.limits.turn), w)
		return nil
	}
	if target != s.tried {
		s.tried, s.nextFailures, s.crowded, s.nextAt = target, 0, 0, time.Time{}
	}
	if !s.reached(s.nextAt, w) {
		return nil
	}
	// The running socket is given up for its slot only when our own sockets fill
	// all three, or when waiting for a foreign ghost to go has not helped.
	if s.crowded > 1 || !w.slot {
		if target != w.adopted {
			return nil
		}
		s.main.phase = closing
		s.breaking, s.given, s.ghosts = true, true, 0
		return []effect{hangUp{s.main.id, byUs, "no slot is free for a second socket: closed to connect with the new token"}}
	}
	s.next = link{id: w.newID(), generation: target, phase: dialling, since: w.now}
	return []effect{dial{s.next.id, target}}
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

// leads is the generation of the socket that streams; 0: none.
func (s *shard) leads() messages.Generation {
	if s.main.phase == live || s.main.phase == closing && !s.main.liveAt.IsZero() {
		return s.main.generation
	}
	return 0
}
