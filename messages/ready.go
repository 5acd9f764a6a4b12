package messages

import "time"

// ReadyState says how one of the things stands that a trading day needs. The
// zero value is Waiting.
type ReadyState uint8

// The states of a check. Waiting and Missing keep a server from being ready.
const (
	ReadyWaiting ReadyState = iota // for another check, or for a moment
	ReadyMissing                   // a person has to do something: Fix says what
	ReadyWarning                   // it works, with a drawback
	ReadyOK
	ReadyNotDue // no session needs it now
	ReadyOff    // it is not set up
)

var readyStates = [...]string{"waiting", "missing", "warning", "ok", "not_due", "off"}

// String is the state in lower_snake_case.
func (s ReadyState) String() string { return nameOf(readyStates[:], uint8(s)) }

// MarshalText implements encoding.TextMarshaler.
func (s ReadyState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *ReadyState) UnmarshalText(text []byte) error {
	return named(readyStates[:], text, (*uint8)(s))
}

// ReadyCheck is one line of the morning.
type ReadyCheck struct {
	Name   string     `json:"name"`   // of a closed set: package actors/ready has the list
	State  ReadyState `json:"state"`  // waiting, missing, warning, ok, not_due, off
	Since  time.Time  `json:"since"`  // exchange time at which the state began, or was seen first
	Detail string     `json:"detail"` // what is so, in plain words
	Fix    string     `json:"fix"`    // what to do; "": nothing
}

// Readiness says whether the trading day can begin, check by check. It is the
// shape of GET /api/v1/ready too.
// Sent by ready; received by web.
type Readiness struct {
	Ready  bool         `json:"ready"`  // whether none of them is waiting or missing
	Shown  bool         `json:"shown"`  // the page shows it: from 08:00 of a day with a session, until data has been live for a minute
	Checks []ReadyCheck `json:"checks"` // what the morning needs, one by one
}

// Missing are the checks that a person has to do something about.
func (r Readiness) Missing() []ReadyCheck {
	var missing []ReadyCheck
	for _, c := range r.Checks {
		if c.State == ReadyMissing {
			missing = append(missing, c)
		}
	}
	return missing
}

// Key implements latest-wins.
func (Readiness) Key() string { return "readiness" }
