package spec

import (
	"time"
)

// A Window counts events in a sliding period. It remembers at most limit+1 of
// them, which is all that the question "more than limit?" needs.
type Window struct {
	Limit Intensity
	at    []time.Time
}

// Add notes an event and reports whether there are now more than allowed.
func (w *Window) Add(now time.Time) (over bool) {
	w.slide(now)
	if len(w.at) > w.Limit.Restarts {
		w.at = w.at[1:]
	}
	w.at = append(w.at, now)
	return len(w.at) > w.Limit.Restarts
}

// Count is the number of events in the period before now.
func (w *Window) Count(now time.Time) int {
	n := 0
	for _, t := range w.at {
		if now.Sub(t) < w.Limit.Period {
			n++
		}
	}
	return n
}

// Clear forgets the events.
func (w *Window) Clear() { w.at = nil }

func (w *Window) slide(now time.Time) {
	i := 0
	for i < len(w.at) && now.Sub(w.at[i]) >= w.Limit.Period {
		i++
	}
	w.at = append(w.at[:0], w.at[i:]...)
}

// Delay is the pause after the n-th failure in a row (1, 2, ...): half fixed,
// half jitter, so that children that failed together do not return together.
func (b Backoff) Delay(n int, jitter func() float64) time.Duration {
	d := b.Cap
	if n <= 0 {
		n = 1
	}
	if n < 32 && b.Base<<(n-1) < b.Cap && b.Base<<(n-1) > 0 {
		d = b.Base << (n - 1)
	}
	return d/2 + time.Duration(jitter()*float64(d-d/2))
}
