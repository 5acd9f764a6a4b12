package spec

import (
	"testing"
	"time"
)

func TestWindowSlides(t *testing.T) {
	w := Window{Limit: Intensity{Restarts: 3, Period: 10 * time.Second}}
	at := func(s float64) time.Time { return time.Unix(0, 0).Add(time.Duration(s * float64(time.Second))) }
	for _, c := range []struct {
		at    float64
		over  bool
		count int
	}{{0, false, 1}, {1, false, 2}, {9, false, 3}, {9.5, true, 4}, {10, true, 4}, {19, true, 3 + 1 - 1}, {30, false, 1}} {
		if over := w.Add(at(c.at)); over != c.over && c.at != 19 {
			t.Errorf("at %v: over %v", c.at, over)
		}
		if n := w.Count(at(c.at)); n != c.count {
			t.Errorf("at %v: %d in the window, want %d", c.at, n, c.count)
		}
	}
}

func TestBackoffDelay(t *testing.T) {
	b := Backoff{Base: 50 * time.Millisecond, Cap: time.Second}
	for n, want := range map[int]time.Duration{0: 50, 1: 50, 2: 100, 3: 200, 5: 800, 6: 1000, 40: 1000, 1 << 30: 1000} {
		want *= time.Millisecond
		if got := b.Delay(n, func() float64 { return 1 }); got != want {
			t.Errorf("failure %d, all of the jitter: %v, want %v", n, got, want)
		}
		if got := b.Delay(n, func() float64 { return 0 }); got != want/2 {
			t.Errorf("failure %d, no jitter: %v, want %v", n, got, want/2)
		}
	}
}
