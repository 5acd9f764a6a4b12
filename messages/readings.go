package messages

import "time"

// ReadingStatus says how far a reading can be used. The zero value is
// Unavailable.
type ReadingStatus uint8

// The statuses of a reading.
const (
	Unavailable ReadingStatus = iota // an input is missing; Reason says which
	Watching
	Active
)

var readingStatuses = [...]string{"unavailable", "watching", "active"}

// String is the status in lower_snake_case.
func (s ReadingStatus) String() string { return nameOf(readingStatuses[:], uint8(s)) }

// MarshalText implements encoding.TextMarshaler.
func (s ReadingStatus) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *ReadingStatus) UnmarshalText(text []byte) error {
	return named(readingStatuses[:], text, (*uint8)(s))
}

// Reading is what an analysis says of an underlying now. A missing input makes
// it Unavailable with the input's age; a number is never invented.
// Sent by analyses; received by analyses, web, alerts and bus.
type Reading struct {
	Kind        string         `json:"kind"` // pcr, volume_pulse, ...
	Underlying  string         `json:"underlying"`
	Profile     string         `json:"profile"`    // calibrated or classic
	Signal      string         `json:"signal"`     // what it says, like bullish; "": nothing
	Confidence  float64        `json:"confidence"` // 0-100
	Status      ReadingStatus  `json:"status"`     // active, watching, unavailable
	Reason      string         `json:"reason,omitempty"`
	Values      map[string]any `json:"values,omitempty"` // its figures: /api/v1/kinds says what each means, with its unit
	AsOf        time.Time      `json:"as_of"`            // exchange time of the newest input; zero: none yet
	OldestInput time.Time      `json:"oldest_input"`     // exchange time of the oldest input used
	// Session is the trading day that the newest input is of, YYYY-MM-DD; "": none
	// yet. A reading of an earlier session than the one that runs, or of one that is
	// over, is watching, never active, and its reason says so first.
	Session string `json:"session"`
	// ValidUntil is when it stops to stand without newer input, exchange time; null:
	// it does not stand.
	ValidUntil *time.Time `json:"valid_until"`
	Coverage   float64    `json:"coverage"`   // 0-1, of the inputs wanted
	Gapped     bool       `json:"gapped"`     // whether ticks are missing in its data
	Partial    bool       `json:"partial"`    // whether a bar of its data was seen in part only
	Generation Generation `json:"generation"` // number of the token that brought the newest input
	Epoch      uint64     `json:"epoch"`      // number of the actor's incarnation

	// Parameters are those of the formulas that the configuration chose other
	// than their defaults. Shared between readings: not to be changed.
	Parameters map[string]float64 `json:"parameters,omitempty"`
}

// Key implements latest-wins per kind and underlying.
func (r Reading) Key() string { return "reading/" + r.Kind + "/" + r.Underlying }

// AskDirect asks for a cross-check over REST now; "" means every underlying.
// Sent by web; received by direct.
type AskDirect struct{ Underlying string }

// Key implements latest-wins per underlying.
func (a AskDirect) Key() string { return "ask_direct/" + a.Underlying }
