package supervisor

import (
	"math/rand/v2"
	"time"
)

// window counts events in a sliding period. It remembers at most limit+1 of
// them, which is all that the question "more than limit?" needs.
type window struct {
	limit Intensity
	at    []time.Time
}

// add notes an event and reports whether there are now more than allowed.
func (w *window) add(now time.Time) (over bool) {
	w.slide(now)
	if len(w.at) > w.limit.Restarts {
		w.at = w.at[1:]
	}
	w.at = append(w.at, now)
	return len(w.at) > w.limit.Restarts
}

// count is the number of events in the period before now.
func (w *window) count(now time.Time) int {
	n := 0
	for _, t := range w.at {
		if now.Sub(t) < w.limit.Period {
			n++
		}
	}
	return n
}

func (w *window) clear() { w.at = nil }

func (w *window) slide(now time.Time) {
	i := 0
	for i < len(w.at) && now.Sub(w.at[i]) >= w.limit.Period {
		i++
	}
	w.at = append(w.at[:0], w.at[i:]...)
}

// delay is the pause after the n-th failure in a row (1, 2, ...): half fixed,
// half jitter, so that children that failed together do not return together.
func (b Backoff) delay(n int, jitter func() float64) time.Duration {
	d := b.Cap
	if n <= 0 {
		n = 1
	}
	if n < 32 && b.Base<<(n-1) < b.Cap && b.Base<<(n-1) > 0 {
		d = b.Base << (n - 1)
	}
	return d/2 + time.Duration(jitter()*float64(d-d/2))
}

func defaultJitter() float64 { return rand.Float64() }
