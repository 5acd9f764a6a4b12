package messages

import "time"

// Phase is the phase of an exchange's day.
type Phase uint8

// The phases of equities and their derivatives: pre-open for the 15 minutes
// before a session of which the last 7 are matching, open while a session runs,
// closing for 30 minutes after the last one, else closed. The zero value is
// Closed. Package actors/hours has the sessions.
const (
	Closed Phase = iota
	PreOpen
	Matching
	Open
	Closing
)

var phases = [...]string{"closed", "pre_open", "matching", "open", "closing"}

// String is the phase in lower_snake_case.
func (p Phase) String() string { return nameOf(phases[:], uint8(p)) }

// MarshalText implements encoding.TextMarshaler.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Phase) UnmarshalText(text []byte) error { return named(phases[:], text, (*uint8)(p)) }

// PhaseChanged is the phase of the exchange's day, at the start and at each
// change. Sent by market; received by auth, feed, bars, analyses, chain, web
// and bus.
type PhaseChanged struct {
	Phase      Phase
	At         time.Time // exchange time
	Next       time.Time // exchange time of the next change
	TradingDay bool
	Holiday    string // name of a day without trading that is no weekend; "": none
	LoginDue   bool   // a trading day has begun and the token of the day before is dead by now
	Warning    string // e.g. ticks arrive on a day that the table calls a holiday

	ClockOff   time.Duration // how far the clock is before that of the ticks; 0: it is right, or not known
	HoursFault string        // why the file that replaces the table of hours is not in use; "": it is, or there is none
}

// Key implements latest-wins.
func (PhaseChanged) Key() string { return "phase" }
