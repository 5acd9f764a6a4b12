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
	// mostPoints bounds one kind's points: one a minute of a long day, and one at
	// each change of signal within a minute.
	mostPoints = 1500
	// mostSignals is how many signals are given.
	mostSignals = 20
	// later is when the price is looked at after a signal.
	later = 15 * time.Minute
)

// Point is what an analysis said at a time.
type Point struct {
	At         time.Time              `json:"at"` // exchange time
	Status     messages.ReadingStatus `json:"status"`
	Signal     string                 `json:"signal"`
	Confidence float64                `json:"confidence"` // 0-100
	Coverage   float64                `json:"coverage"`   // 0-1
}

// Signal is an active reading that was not there, or was another one, before.
type Signal struct {
	At         time.Time `json:"at"` // exchange time
	Signal     string    `json:"signal"`
	Confidence float64   `json:"confidence"` // 0-100
	Price      *float64  `json:"price"`      // of the index at the end of that minute; null: no bar
	After15m   *Outcome  `json:"after_15m"`  // null: not yet, or no bar
	AtClose    *Outcome  `json:"at_close"`   // null: the session runs, or no bar
}

// Outcome is where the price stood later.
type Outcome struct {
	Price         float64 `json:"price"`
	ChangePercent float64 `json:"change_percent"` // since the signal
}

// Session is what a kind said in one session.
type Session struct {
	Underlying string   `json:"underlying"`
	Kind       string   `json:"kind"`
	Session    string   `json:"session"` // trading day, YYYY-MM-DD; "": nothing was said yet
	History    []Point  `json:"history"` // oldest first
	Signals    []Signal `json:"signals"` // newest first, the last 20
}

// Store keeps the points. The zero value is ready. Safe for concurrent use.
type Store struct {
	mu     sync.Mutex
	points map[of][]Point
}

type of struct{ underlying, kind string }

// Note takes a reading at the exchange's time, in an open market.
func (s *Store) Note(r messages.Reading, now time.Time) {
	p := Point{now.UTC().Truncate(time.Second), r.Status, r.Signal, r.Confidence, r.Coverage}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.points == nil {
		s.points = map[of][]Point{}
	}
	key := of{r.Underlying, r.Kind}
	list := s.points[key]
	if n := len(list); n > 0 {
		last := list[n-1]
		switch {
		case !ist.Day(last.At).Equal(ist.Day(p.At)):
			list = nil
		case p.At.Before(last.At):
			return // the clock was set back
		case last.Status == p.Status && last.Signal == p.Signal && last.At.Truncate(time.Minute).Equal(p.At.Truncate(time.Minute)):
			p.At = last.At
			list = list[:n-1]
		}
	}
	list = append(list, p)
	s.points[key] = list[max(0, len(list)-mostPoints):]
}

// Session is what a kind said in its newest session. bars are the closed bars of a
// minute of the index, over tells whether the session of a day is.
func (s *Store) Session(underlying, kind string, bars []messages.Bar, over func(day time.Time) bool) Session {
	s.mu.Lock()
	points := slices.Clone(s.points[of{underlying, kind}])
	s.mu.Unlock()
	session := Session{Underlying: underlying, Kind: kind, History: points, Signals: []Signal{}}
	if len(points) == 0 {
		session.History = []Point{}
		return session
	}
	day := ist.Day(points[0].At)
	session.Session = day.Format(time.DateOnly)
	prices := priced(bars, day)
	var before Point
	for _, p := range points {
		if signals(p) && (!signals(before) || before.Signal != p.Signal) {
			session.Signals = append(session.Signals, prices.judge(p, over(day)))
		}
		before = p
	}
	slices.Reverse(session.Signals)
	session.Signals = session.Signals[:min(len(session.Signals), mostSignals)]
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
