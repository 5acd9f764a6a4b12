package token

import (
	"slices"
	"time"

	"kitestring/actors/token/dotenv"
	"kitestring/messages"
)

// confirmAfter is how long a refusal must hold before it is published.
const confirmAfter = 20 * time.Millisecond

// fileStatus says what was last published of the file. The zero value is
// initial.
type fileStatus uint8

const (
	unknown fileStatus = iota
	usable
	refused
)

// state is what the watcher has published.
type state struct {
	status   fileStatus
	refusal  refusal   // the one published, while refused
	warnings []string  // those published, while usable
	doubt    refusal   // the newest one, published or not; zero: the file is usable
	since    time.Time // of the doubt, monotonic
	health   *health   // nil: none published yet
}

// event is what moves the state.
//
//sumtype:decl
type event interface{ event() }

type (
	// observation is a look at the file that showed something new.
	observation struct {
		env     *dotenv.File
		read    reading
		finding finding
		via     messages.ChangeSource // event or poll
		changed time.Time             // the ctime that explains it
		at      time.Time             // monotonic

		// What the store makes of it: fresh, its value is a new generation.
		change messages.TokenChanged
		fresh  bool
	}
	// health says whether the kernel reports changes.
	health struct {
		degraded bool
		reason   string
	}
)

func (observation) event() {}
func (health) event()      {}

// effect is something that the watcher has to do.
//
//sumtype:decl
type effect interface{ effect() }

type (
	// announce publishes a new generation.
	announce struct{ change messages.TokenChanged }
	// accept says that the file can be used.
	accept struct{ warnings []string }
	// refuse says that it cannot, and that this is no passing state.
	refuse struct {
		refusal refusal
		via     messages.ChangeSource
	}
	// countUnchanged counts that the file was touched and its value is the same.
	countUnchanged struct{ via messages.ChangeSource }
	// showHealth publishes the health of the notifier.
	showHealth struct{ health health }
)

func (announce) effect()       {}
func (accept) effect()         {}
func (refuse) effect()         {}
func (countUnchanged) effect() {}
func (showHealth) effect()     {}

// next decides what an event leads to.
func next(s state, ev event) (state, []effect) {
	switch ev := ev.(type) {
	case observation:
		if ev.finding.refusal != nil {
			return s.refused(ev)
		}
		return s.usable(ev)
	case health:
		if s.health != nil && *s.health == ev {
			return s, nil
		}
		s.health = &ev
		return s, []effect{showHealth{ev}}
	}
	return s, nil
}

func (s state) refused(seen observation) (state, []effect) {
	r := *seen.finding.refusal
	if s.doubt != r {
		s.doubt, s.since = r, seen.at
	}
	if seen.at.Sub(s.since) < confirmAfter || s.status == refused && s.refusal == r {
		return s, nil
	}
	s.status, s.refusal, s.warnings = refused, r, nil
	return s, []effect{refuse{r, seen.via}}
}

func (s state) usable(seen observation) (state, []effect) {
	var effects []effect
	if s.status != usable || !slices.Equal(s.warnings, seen.finding.warnings) {
		effects = append(effects, accept{seen.finding.warnings})
	}
	switch {
	case seen.fresh:
		effects = append(effects, announce{seen.change})
	case s.status != unknown:
		effects = append(effects, countUnchanged{seen.via})
	}
	s.status, s.refusal, s.doubt, s.warnings = usable, refusal{}, refusal{}, seen.finding.warnings
	return s, effects
}
