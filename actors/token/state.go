package token

import (
	"slices"
	"time"

	"kitestring/messages"
)

// confirmAfter is how long a refusal must hold before it is published.
const confirmAfter = 20 * time.Millisecond

// standing says what was last published of the file. The zero value is
// initial.
type standing uint8

const (
	unknown standing = iota
	usable
	refused
)

// state is what the watcher has told the others.
type state struct {
	standing standing
	refusal  refusal   // the one published, while refused
	warnings []string  // those published, while usable
	doubt    refusal   // the newest one, published or not; zero: the file is usable
	since    time.Time // of the doubt, monotonic
}

// sighting is a look at the file that showed something new.
type sighting struct {
	env     *Env
	read    reading
	finding finding
	via     messages.ChangeSource // event or poll
	changed time.Time             // the ctime that explains it
	at      time.Time             // monotonic
}

// effect is what the watcher has to do about a sighting.
type effect uint8

const (
	announce  effect = iota // a new generation
	accept                  // the file can be used; its warnings
	refuse                  // it cannot be used, and that is no passing state
	unchanged               // it was touched, the value is the same
)

// next decides about a sighting. fresh says that the store gave its value a
// new generation.
func next(s state, seen sighting, fresh bool) (state, []effect) {
	if r := seen.finding.refusal; r != nil {
		if s.doubt != *r {
			s.doubt, s.since = *r, seen.at
		}
		if seen.at.Sub(s.since) < confirmAfter || s.standing == refused && s.refusal == *r {
			return s, nil
		}
		s.standing, s.refusal, s.warnings = refused, *r, nil
		return s, []effect{refuse}
	}
	s.doubt = refusal{}
	var effects []effect
	if s.standing != usable || !slices.Equal(s.warnings, seen.finding.warnings) {
		effects = append(effects, accept)
	}
	switch {
	case fresh:
		effects = append(effects, announce)
	case s.standing != unknown:
		effects = append(effects, unchanged)
	}
	s.standing, s.refusal, s.warnings = usable, refusal{}, seen.finding.warnings
	return s, effects
}
