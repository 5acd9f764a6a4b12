package market

import (
	"strings"
	"testing"
	"time"

	"kitestring/actors/hours"
)

func TestClockSkewIsReported(t *testing.T) {
	start := at(t, "2026-03-04 10:00:00")
	for _, c := range []struct {
		name  string
		off   time.Duration
		delay func(i int) time.Duration // of a tick on its way
		want  string
	}{
		{"right", 0, func(int) time.Duration { return 300 * time.Millisecond }, ""},
		{"a slow network", 0, func(i int) time.Duration { return time.Duration(i%7) * 5 * time.Second }, ""},
		{"30 s ahead", 30 * time.Second, func(int) time.Duration { return 0 }, "30s ahead"},
		{"30 s behind", -30 * time.Second, func(i int) time.Duration { return time.Duration(i%3) * 100 * time.Millisecond }, "30s behind"},
		{"3 minutes ahead", 3 * time.Minute, func(i int) time.Duration { return time.Duration(i%3) * time.Second }, "3m0s ahead"},
		{"a feed that is 5 minutes late", 0, func(int) time.Duration { return 5 * time.Minute }, "5m0s ahead of the exchange's, or every tick comes that late"},
		{"in another zone", 5*time.Hour + 30*time.Minute, func(int) time.Duration { return 0 }, "5h30m0s ahead"},
		{"2 hours behind", -2 * time.Hour, func(int) time.Duration { return 0 }, "2h0m0s behind"},
		{"10 s ahead", 10 * time.Second, func(int) time.Duration { return 0 }, ""},
	} {
		s := state{table: hours.BuiltIn()}
		announced := 0
		for i := range 200 {
			tick := start.Add(time.Duration(i) * time.Second)
			var effects []effect
			s, effects = next(s, observed{now: tick.Add(c.off + c.delay(i)), lastTick: tick})
			for _, e := range effects {
				if _, ok := e.(readTable); !ok {
					announced++
				}
			}
		}
		if w := s.last.Warning; !strings.Contains(w, c.want) || (w == "") != (c.want == "") {
			t.Errorf("%s: warned %q, want %q", c.name, w, c.want)
		}
		if announced > 2 {
			t.Errorf("%s: announced %d times", c.name, announced)
		}
		// Set right, the clock is trusted again.
		for i := range skewSamples + 1 {
			tick := start.Add(time.Duration(200+i) * time.Second)
			s, _ = next(s, observed{now: tick, lastTick: tick})
		}
		if s.last.Warning != "" {
			t.Errorf("%s: still warned %q", c.name, s.last.Warning)
		}
	}
}

// Ticks of another day, or before a jump of the clock, say nothing of it.
func TestOldTicksAreNoSkew(t *testing.T) {
	var s skew
	now := at(t, "2026-03-04 10:00:00")
	for i := range 2 * skewSamples {
		s = s.next(observed{now: now, lastTick: now.Add(-time.Hour + time.Duration(i)*time.Second)})
	}
	if s.off != 0 {
		t.Errorf("off by %v", s.off)
	}
}
