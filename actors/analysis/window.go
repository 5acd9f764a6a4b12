package analysis

import (
	"time"

	"kitestring/messages"
)

// Window is the recent past of one series.
type Window struct {
	Interval  time.Duration
	Closed    []Candle // oldest first; across days, as they follow in the series
	Running   *Candle  // the bar that is still growing; nil: none. Never judged as if it were closed
	NoHistory string   // why there is no history of it; "": nothing is wrong
	Elapsed   float64  // 0-1, share of the running bar that has passed
}

// Last is the newest n closed candles, fewer when there are fewer.
func (w *Window) Last(n int) []Candle {
	return w.Closed[max(0, len(w.Closed)-n):]
}

// Price is the newest price of the series, false when there is none.
func (w *Window) Price() (float64, bool) {
	if w.Running != nil {
		return w.Running.Close, true
	}
	if n := len(w.Closed); n > 0 {
		return w.Closed[n-1].Close, true
	}
	return 0, false
}

// newest is the exchange time of the newest tick in any of its bars, zero for none.
func (w *Window) newest() time.Time {
	if w.Running != nil {
		return w.Running.Newest
	}
	if n := len(w.Closed); n > 0 {
		return w.Closed[n-1].Newest
	}
	return time.Time{}
}

// candleOf is a bar in rupees.
func candleOf(b messages.Bar) Candle {
	return Candle{
		Time: b.Start, Open: b.Price(b.Open), High: b.Price(b.High), Low: b.Price(b.Low), Close: b.Price(b.Close),
		Volume: float64(b.Volume), Newest: b.Newest, Partial: b.Partial, Gapped: b.Gapped || b.Approximate, Generation: b.Generation,
	}
}

func (w *Window) close(c Candle) {
	if w.Running != nil && !w.Running.Time.After(c.Time) {
		w.Running = nil
	}
	n := len(w.Closed)
	for n > 0 && !w.Closed[n-1].Time.Before(c.Time) {
		n-- // it came from the store and comes as a message too
	}
	w.Closed = append(w.Closed[:n], c)
	w.Closed = w.Closed[max(0, len(w.Closed)-keepCandles):]
}

func (w *Window) run(c Candle) bool {
	if n := len(w.Closed); n > 0 && !w.Closed[n-1].Time.Before(c.Time) {
		return false // closed meanwhile
	}
	if w.Running != nil && *w.Running == c {
		return false
	}
	w.Running = &c
	return true
}

func (w *Window) load(bars []messages.Bar) {
	bars = bars[max(0, len(bars)-keepCandles):]
	w.Closed = make([]Candle, len(bars))
	for i, b := range bars {
		w.Closed[i] = candleOf(b)
	}
	if n := len(w.Closed); w.Running != nil && (n == 0 || !w.Running.Time.After(w.Closed[n-1].Time)) {
		w.Running = nil
	}
}

// judged is the window that Warmup and staleness speak of: the future's where
// the analysis needs it. Nil: the analysis does not live on bars.
func (a *Analysis) judged(in *Input) *Window {
	switch {
	case a.Needs.Future:
		return &in.Future
	case a.Needs.Index:
		return &in.Index
	default:
		return nil
	}
}

func (w *Window) name(in *Input) string {
	if w == &in.Index {
		return "the index"
	}
	return "the future"
}
