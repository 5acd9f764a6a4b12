package analysis

import (
	"fmt"
	"time"

	"kitestring/actors/analysis/classic"
	"kitestring/actors/hours"
	"kitestring/messages"
)

// Profile is a set of formulas. Every reading names its profile.
type Profile string

// The profiles.
const (
	// Calibrated is the default: real inputs, indices-sized thresholds, no
	// repainting, nothing invented.
	Calibrated Profile = "calibrated"
	// Classic reproduces the formulas of the program that kitestring replaces,
	// with their faults, for comparison and research.
	Classic Profile = "classic"
)

// ParseProfile reads a profile's name; "" is Calibrated.
func ParseProfile(name string) (Profile, error) {
	switch p := Profile(name); p {
	case "":
		return Calibrated, nil
	case Calibrated, Classic:
		return p, nil
	default:
		return "", fmt.Errorf("unknown profile %q: use %q or %q", name, Calibrated, Classic)
	}
}

// Analysis is one analysis as data: its name, what it must be fed with, and
// the pure functions that judge. Everything round them (collecting the input,
// pacing, ages, publishing) is the same for all; see [Core] and package readings.
//
// To add one: a file of its own with one variable of this type and its
// parameters, its name in [All], and a golden or hand-worked test.
type Analysis struct {
	Kind  string // lower_snake_case; also the actor's name. Its words for people are in package kinds
	Needs Needs
	// Warmup is the number of closed bars (of the source that Needs names) below
	// which the calibrated reading is unavailable without asking Judge.
	Warmup int
	// Stale is how many seconds old the newest input may be in an open market
	// before the reading turns unavailable; nil: three bars.
	Stale *Parameter
	// Parameters are what a person may choose of the calibrated profile, in the
	// order of a page, and Rules what they keep to together. Judge takes their
	// values from the Input.
	Parameters []*Parameter
	Rules      []Rule

	// Judge is the calibrated profile. It is pure: equal input, equal answer.
	// It must not change or keep the input. Signals are lower_snake_case.
	Judge func(in *Input) Judgement
	// Classic is the predecessor's own output under its own field names and
	// spelling (signal, confidence, status, ...); nil when there are too few
	// bars. Nil for an analysis that has no classic form.
	Classic func(in *Input) map[string]any
	// ClassicScale turns the classic confidence into 0-100; 0: it is one already.
	ClassicScale float64

	settings Settings // see With
}

// DefaultInterval is the length of the bars that analyses judge.
const DefaultInterval = 5 * time.Minute

// Needs says what an analysis must be fed with.
type Needs struct {
	Index    bool     // closed and running bars of the index
	Future   bool     // closed and running bars of the near future
	Quotes   bool     // ticks of index and future
	Chain    bool     // ticks of the option chain
	Readings []string // kinds of other analyses
	REST     bool     // quotes asked for over REST
}

// Ticks reports whether the analysis must subscribe to ticks.
func (n Needs) Ticks() bool { return n.Quotes || n.Chain }

// Bars reports whether the analysis must listen to the bars actor.
func (n Needs) Bars() bool { return n.Index || n.Future }

// All is the list of all analyses, in the order in which a page shows them.
func All() []Analysis {
	return []Analysis{pcr, volumePulse, trendBase, candleIntent, instant, zoneControl, direct, outlook}
}

// Find is the analysis of a kind.
func Find(kind string) (Analysis, bool) {
	for _, a := range All() {
		if a.Kind == kind {
			return a, true
		}
	}
	return Analysis{}, false
}

// Candle is a bar in rupees, as the analyses compute with it.
type Candle = classic.Candle

// Quote is the newest tick of one instrument, in rupees.
type Quote struct {
	Last, Average   float64
	Open, High, Low float64 // of the day
	Close           float64 // of the previous day
	Volume, OI      int64   // cumulative of the day; 0 where the mode has none
	At              time.Time
	Generation      messages.Generation
}

// Option is one option of the chain with its newest tick.
type Option struct {
	Strike  float64
	Put     bool
	Quote   Quote // At is zero before the first tick
	OpenOI  int64 // open interest at the first tick of the day
	HasOpen bool  // OpenOI is known

	openDay int64 // the day that OpenOI is of
}

// Input is all that is known of one underlying at one moment. Parts that the
// analysis does not need, or that have not come yet, are zero.
type Input struct {
	Underlying string
	Settings   Settings  // parameters that differ from their defaults; nil in profile classic
	Now        time.Time // exchange time
	Phase      messages.Phase
	Hours      *hours.Store // nil: the built-in table
	Index      Window
	Future     Window
	IndexTick  Quote // At is zero before the first tick
	FutureTick Quote
	Chain      []Option // by strike, then calls before puts
	Step       float64  // distance between strikes
	Expiry     time.Time
	Readings   map[string]messages.Reading // newest per kind
	REST       *Quote                      // newest answer over REST; nil: none
	RESTError  string                      // why the last question over REST brought nothing; "": it brought something
}

// Judgement is what an analysis says; the frame makes a [messages.Reading] of
// it.
type Judgement struct {
	Signal     string
	Confidence float64 // 0-100
	Status     messages.ReadingStatus
	Reason     string         // why unavailable, or what stands out, in plain words
	Values     map[string]any // finite numbers, strings, booleans, nil and lists or maps of them
	Coverage   float64        // 0-1, of the inputs wanted

	AsOf, Oldest    time.Time // exchange time of the newest and oldest input used
	Gapped, Partial bool
	Generation      messages.Generation // of the newest input
}

// Over notes that the judgement rests on these candles: their ages, gaps and
// generation travel into the reading.
func (j *Judgement) Over(candles []Candle) {
	for i := range candles {
		c := &candles[i]
		j.Gapped = j.Gapped || c.Gapped
		j.Partial = j.Partial || c.Partial
		j.used(c.Time, c.Newest, c.Generation)
	}
}

// OverQuote notes that the judgement rests on a quote.
func (j *Judgement) OverQuote(q Quote) { j.used(q.At, q.At, q.Generation) }

func (j *Judgement) used(oldest, newest time.Time, g messages.Generation) {
	if newest.IsZero() {
		newest = oldest
	}
	if newest.After(j.AsOf) {
		j.AsOf, j.Generation = newest, g
	}
	if !oldest.IsZero() && (j.Oldest.IsZero() || oldest.Before(j.Oldest)) {
		j.Oldest = oldest
	}
}

// Missing is the judgement for want of an input.
func Missing(format string, args ...any) Judgement {
	return Judgement{Status: messages.Unavailable, Reason: fmt.Sprintf(format, args...)}
}

// span is a length of time as people say it, in whole units.
func span(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d/time.Second))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d/time.Minute))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d/time.Hour), int(d%time.Hour/time.Minute))
	}
	return fmt.Sprintf("%d days", int(d/(24*time.Hour)))
}

// FileKinds are the kinds that can judge a file of bars.
func FileKinds() []string {
	var kinds []string
	for _, a := range All() {
		if n := a.Needs; n.Bars() && !n.Ticks() && !n.REST && len(n.Readings) == 0 {
			kinds = append(kinds, a.Kind)
		}
	}
	return kinds
}
