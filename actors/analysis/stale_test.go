package analysis

import (
	"testing"
	"time"
)

func TestABarOfTheDayBeforeIsOldOnlySinceTheOpen(t *testing.T) {
	ist := time.FixedZone("IST", 19800)
	at := func(day, h, m int) time.Time { return time.Date(2026, 3, day, h, m, 0, 0, ist) }
	for _, c := range []struct {
		name        string
		now, newest time.Time
		want        time.Duration
	}{
		{"a minute after the open, Friday's last bar", at(9, 9, 16), at(6, 15, 29), time.Minute},
		{"an hour after the open, still Friday's", at(9, 10, 15), at(6, 15, 29), time.Hour},
		{"within a session", at(9, 11, 0), at(9, 10, 50), 10 * time.Minute},
		{"before the open", at(9, 8, 0), at(6, 15, 29), at(9, 8, 0).Sub(at(6, 15, 29))},
	} {
		if got := (&Input{Now: c.now}).overdue(c.newest); got != c.want {
			t.Errorf("%s: overdue by %s, want %s", c.name, got, c.want)
		}
	}
}
