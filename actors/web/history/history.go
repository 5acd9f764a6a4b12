// Package history keeps what the analyses said during a session: a point a minute
// and kind, and from them the session's signals with what the price did
// afterwards.
//
// It promises to be bounded, and to invent nothing: a price that no closed bar has
// is null, and a signal is judged by the price alone, 15 minutes later and at the
// close. It begins with the process and again with each session.
package history

import (
	"slices"
	"strings"
	"sync"
	"time"

	"kitestring/messages"
	"kitestring/messages/ist"
)

const (
	// mostPoints bounds one kind's points: one a minute of the longest day.
	mostPoints = 24 * 60
	// mostSignals is how many signals are given.
	mostSignals = 20
	// later is when the price is looked at after a signal.
	later = 15 * time.Minute
)

// Point is what an analysis said at a time.
type Point struct {
	At         time.Time              `json:"at"`         // exchange time
	Status     messages.ReadingStatus `json:"status"`     // active, watching, unavailable
	Signal     string                 `json:"signal"`     // what it said, like bullish; "": nothing
	Confidence float64                `json:"confidence"` // 0-100
	Coverage   float64                `json:"coverage"`   // 0-1
}

// Signal is an active reading that was not there, or was another one, before.
type Signal struct {
	At         time.Time `json:"at"`         // exchange time
	Signal     string    `json:"signal"`     // what it said, like bullish
	Confidence float64   `json:"confidence"` // 0-100
	Price      *float64  `json:"price"`      // of the index at the end of that minute; null: no bar
	After15m   *Outcome  `json:"after_15m"`  // null: not yet, or no bar
	AtClose    *Outcome  `json:"at_close"`   // null: the session runs, or no bar
}

// Outcome is where the price stood later.
type Outcome struct {
	Price         float64 `json:"price"`          // of the index then, in rupees
	ChangePercent float64 `json:"change_percent"` // since the signal
}

// Session is what a kind said in one session.
type Session struct {
	Underlying string   `json:"underlying"`
	Kind       string   `json:"kind"`    // the kind of the readings, like pcr
	Session    string   `json:"session"` // trading day, YYYY-MM-DD; "": nothing was said yet
	History    []Point  `json:"history"` // oldest first
	Signals    []Signal `json:"signals"` // newest first, the last 20
}

// Store keeps what was said. The zero value is ready. Safe for concurrent use.
type Store struct {
	mu     sync.Mutex
	series map[of]*series
}

type of struct{ underlying, kind string }

// series is one kind's session.
type series struct {
	points  []Point // one a minute, its newest
	signals []Point // as they came, the last ones
	last    Point
}

// Note takes a reading at the exchange's time, in an open market.
func (s *Store) Note(r messages.Reading, now time.Time) {
	p := Point{now.UTC().Truncate(time.Second), r.Status, r.Signal, r.Confidence, r.Coverage}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.series == nil {
		s.series = map[of]*series{}
	}
	key := of{r.Underlying, r.Kind}
	have := s.series[key]
	switch {
	case have == nil || p.At.After(have.last.At) && !ist.Day(have.last.At).Equal(ist.Day(p.At)):
		have = &series{}
		s.series[key] = have
	case p.At.Before(have.last.At):
		return // the clock was set back
	}
	if signals(p) && (!signals(have.last) || have.last.Signal != p.Signal) {
		have.signals = append(have.signals, p)
		have.signals = have.signals[max(0, len(have.signals)-mostSignals):]
	}
	have.last = p
	if n := len(have.points); n > 0 && have.points[n-1].At.Truncate(time.Minute).Equal(p.At.Truncate(time.Minute)) {
		have.points = have.points[:n-1]
	}
	have.points = append(have.points, p)
	have.points = have.points[max(0, len(have.points)-mostPoints):]
}

// Session is what a kind said in its newest session. bars are the closed bars of a
// minute of the index, over tells whether the session of a day is.
func (s *Store) Session(underlying, kind string, bars []messages.Bar, over func(day time.Time) bool) Session {
	session := Session{Underlying: underlying, Kind: kind, History: []Point{}, Signals: []Signal{}}
	s.mu.Lock()
	have := s.series[of{underlying, kind}]
	if have == nil {
		s.mu.Unlock()
		return session
	}
	session.History = slices.Clone(have.points)
	came := slices.Clone(have.signals)
	s.mu.Unlock()
	day := ist.Day(session.History[0].At)
	session.Session = day.Format(time.DateOnly)
	prices := priced(bars, day)
	for _, p := range slices.Backward(came) {
		session.Signals = append(session.Signals, prices.judge(p, over(day)))
	}
	return session
}

// signals reports whether a point is a signal of a direction.
func signals(p Point) bool {
	s := strings.ToLower(p.Signal)
	return p.Status == messages.Active &&
		(strings.Contains(s, "buy") || strings.Contains(s, "sell") || strings.Contains(s, "bullish") || strings.Contains(s, "bearish"))
}

// prices are the closes of a day's minutes.
type prices struct {
	closes map[int64]float64 // by start of the minute
	last   *float64
}

func priced(bars []messages.Bar, day time.Time) prices {
	p := prices{closes: map[int64]float64{}}
	for i := range bars {
		if b := &bars[i]; ist.Day(b.Start).Equal(day) {
			c := b.Price(b.Close)
			p.closes[b.Start.Unix()], p.last = c, &c
		}
	}
	return p
}

func (p prices) at(t time.Time) *float64 {
	c, ok := p.closes[t.Truncate(time.Minute).Unix()]
	if !ok {
		return nil
	}
	return &c
}

func (p prices) judge(point Point, over bool) Signal {
	s := Signal{At: point.At, Signal: point.Signal, Confidence: point.Confidence, Price: p.at(point.At)}
	s.After15m = outcome(s.Price, p.at(point.At.Add(later)))
	if over {
		s.AtClose = outcome(s.Price, p.last)
	}
	return s
}

func outcome(from, to *float64) *Outcome {
	if from == nil || to == nil || *from <= 0 {
		return nil
	}
	return &Outcome{*to, (*to / *from - 1) * 100}
}
