package messages

import "time"

// Segment is the exchange segment of an instrument: the low byte of its
// instrument token (Kite Connect v3, WebSocket streaming).
type Segment uint8

// The segments.
const (
	NSE     Segment = 1
	NFO     Segment = 2
	CDS     Segment = 3
	BSE     Segment = 4
	BFO     Segment = 5
	BCD     Segment = 6
	MCX     Segment = 7
	MCXSX   Segment = 8
	Indices Segment = 9
	NCO     Segment = 12
)

// SegmentOf is the segment of an instrument token.
func SegmentOf(instrumentToken uint32) Segment { return Segment(instrumentToken) }

// Known reports whether the segment is in Kite's table; the divisor of an
// unknown one is a guess.
func (s Segment) Known() bool { return s >= NSE && s <= Indices || s == NCO }

// Divisor turns the integer prices of a segment into rupees.
func (s Segment) Divisor() int32 {
	switch s {
	case CDS:
		return 10_000_000
	case BCD, NCO:
		return 10_000
	default:
		return 100
	}
}

// Divisor is the divisor of an instrument's prices.
func Divisor(instrumentToken uint32) int32 { return SegmentOf(instrumentToken).Divisor() }

// Mode is how much Kite sends of an instrument. The zero value is ModeNone.
type Mode uint8

// The modes, in rising detail. OI exists in ModeFull only.
const (
	ModeNone Mode = iota
	ModeLTP
	ModeQuote
	ModeFull
)

var modes = [...]string{"none", "ltp", "quote", "full"}

// String is the mode as Kite's commands spell it.
func (m Mode) String() string { return nameOf(modes[:], uint8(m)) }

// MarshalText implements encoding.TextMarshaler.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Mode) UnmarshalText(text []byte) error { return named(modes[:], text, (*uint8)(m)) }

// Instrument is one row of the instruments file, as far as we use it.
type Instrument struct {
	Token         uint32    `json:"instrument_token"` // number that Kite gives the instrument; in prose never the bare word token
	Exchange      string    `json:"exchange"`         // NSE, NFO, BSE, BFO, MCX, ...
	Tradingsymbol string    `json:"tradingsymbol"`
	Name          string    `json:"name"`            // of the company or the underlying
	Type          string    `json:"instrument_type"` // EQ, FUT, CE, PE
	Segment       string    `json:"segment"`         // NSE, INDICES, NFO-FUT, NFO-OPT, ...
	Expiry        time.Time `json:"expiry,omitzero"` // midnight IST of the day; zero: none
	Strike        float64   `json:"strike"`
	TickSize      float64   `json:"tick_size"` // least step of its price, in rupees
	LotSize       int       `json:"lot_size"`  // units in a lot
}

// Underlying is an index or a share with its derivatives of today.
type Underlying struct {
	Name   string      `json:"name"`            // NIFTY, BANKNIFTY, SENSEX
	Index  Instrument  `json:"index"`           // the instrument whose price is the spot
	Future Instrument  `json:"future"`          // the near contract; zero: none in the file
	Next   *Instrument `json:"next,omitempty"`  // the next contract, from 3 days before the roll
	Expiry time.Time   `json:"expiry,omitzero"` // of the chain; zero: there is none
	// Expiries are all of the options, the nearest first.
	Expiries []time.Time  `json:"expiries,omitempty"`
	Chain    []Instrument `json:"chain"`            // CE and PE round the money, by strike, then type
	Step     float64      `json:"strike_step"`      // distance between strikes, in rupees
	Reason   string       `json:"reason,omitempty"` // why a part is missing
}

// InstrumentsResolved carries every underlying.
// Sent by instruments; received by bars, analyses, chain, record and web.
type InstrumentsResolved struct {
	Underlyings []Underlying
	Configured  []Instrument // that the configuration wants besides, as far as the file has them
	Notices     []string     // what a person must know of the file or of the configuration's instruments; none: all is well
	Generation  Generation   // of the session that fetched the file
	At          time.Time    // exchange time
}

// FuturesRolled says that an underlying's near contract has changed.
// Sent by instruments; received by bars, analyses, chain, record and web.
type FuturesRolled struct {
	Underlying string
	From, To   Instrument
	At         time.Time
}

// Want is one instrument that an owner needs.
type Want struct {
	InstrumentToken uint32
	Mode            Mode
	Tradingsymbol   string // guards against a recycled instrument token
}

// WantInstruments replaces the whole set that an owner needs; the feed
// subscribes to the union of all owners. Sent by instruments, gateway and chain; received by feed.
type WantInstruments struct {
	Owner string
	Wants []Want
}

// Key implements latest-wins.
func (InstrumentsResolved) Key() string { return "instruments" }

// Key implements latest-wins per owner.
func (w WantInstruments) Key() string { return "want/" + w.Owner }
