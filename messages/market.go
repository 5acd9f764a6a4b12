package messages

import "time"

// Phase is the phase of an exchange's day.
type Phase uint8

// The phases, in IST: pre-open 09:00-09:08, matching 09:08-09:15, open
// 09:15-15:30, closing 15:30-16:00, closed. The zero value is Closed.
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

// PhaseChanged tells the phase of the exchange's day, at its start and at each
// change. Sent by market; received by auth, feed, instruments, analyses, web.
type PhaseChanged struct {
	Phase      Phase
	At         time.Time // exchange time
	Next       time.Time // exchange time of the next change
	TradingDay bool
	LoginDue   bool   // a trading day has begun and the token of the day before is dead by now
	Warning    string // e.g. ticks arrive on a day that the table calls a holiday
}

// Key implements latest-wins.
func (PhaseChanged) Key() string { return "phase" }
