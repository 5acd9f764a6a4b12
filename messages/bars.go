package messages

import (
	"strconv"
	"time"
)

// BarSource says whose prices a bar is made of.
type BarSource uint8

// The sources of a bar. An index has no volume: what needs volume reads the
// future.
const (
	FromIndex BarSource = iota
	FromFuture
)

var barSources = [...]string{"index", "future"}

// String is the source in lower case.
func (s BarSource) String() string { return nameOf(barSources[:], uint8(s)) }

// MarshalText implements encoding.TextMarshaler.
func (s BarSource) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *BarSource) UnmarshalText(text []byte) error { return named(barSources[:], text, (*uint8)(s)) }

// BarMinutes is how many minutes of bars are kept: a little over five sessions
// of equity derivatives, enough for the longest window (100 bars of 15 minutes
// take four sessions).
const BarMinutes = 2000

// Bar is the open, high, low, close and volume of a span of exchange time.
// Prices are integers with Divisor.
type Bar struct {
	Underlying      string
	Source          BarSource
	InstrumentToken uint32
	Interval        time.Duration // 1, 3, 5 or 15 minutes
	Start           time.Time     // UTC
	Open, High      int32
	Low, Close      int32
	Divisor         int32
	Volume          int64 // traded within the bar
	OI              int64 // at its end; 0: not sent
	Ticks           int
	Partial         bool // its start was not seen
	Gapped          bool // it contains a blind span
	Approximate     bool // minutes had to be given up
	Backfilled      bool // from history
	Generation      Generation
	Newest          time.Time // exchange time of the newest tick in it
}

// Price turns one of the bar's integer prices into rupees.
func (b Bar) Price(p int32) float64 { return float64(p) / float64(b.Divisor) }

// End is the first instant after the bar.
func (b Bar) End() time.Time { return b.Start.Add(b.Interval) }

// BarClosed carries a finished bar: each exactly once, in order per series.
// Sent by bars; received by analyses, web and bus.
type BarClosed struct{ Bar Bar }

// BarUpdated carries the running bar of a series.
// Sent by bars; received by analyses and web.
type BarUpdated struct{ Bar Bar }

// BarsLoaded carries closed bars of one series from history, oldest first,
// and replaces what the receiver held of that series.
// Sent by bars; received by analyses and web.
type BarsLoaded struct {
	Underlying string
	Source     BarSource
	Interval   time.Duration
	Bars       []Bar
}

// Key implements latest-wins per series.
func (b BarUpdated) Key() string {
	return "bar/" + b.Bar.Underlying + "/" + b.Bar.Source.String() + "/" + strconv.Itoa(int(b.Bar.Interval/time.Minute))
}

// GenerationReached says that ticks of a session have come as far as the bars,
// also while no bar changes: an analysis that works on bars uses that session's
// token from now on. Sent by bars; received by analyses and web.
type GenerationReached struct {
	Generation Generation
	At         time.Time // exchange time
}

// Key implements latest-wins.
func (GenerationReached) Key() string { return "generation_reached" }

// DataState says whether data that is asked for over REST comes: Reason is why
// it does not, with Kite's own words where it gave some; "": it comes again.
// Sent by bars and direct; received by analyses and web. Sent by feed; received by web.
type DataState struct {
	What       string // for people, e.g. "history of NIFTY's future"
	Underlying string // of a history
	Source     BarSource
	Reason     string
	At         time.Time // exchange time
}

// Key implements latest-wins per thing.
func (d DataState) Key() string { return "data/" + d.What }
