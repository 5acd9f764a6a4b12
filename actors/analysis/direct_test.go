package analysis

import (
	"strings"
	"testing"
	"time"

	"kitestring/actors/analysis/classic"
	"kitestring/messages"
)

func TestDirectByHand(t *testing.T) {
	now := time.Unix(clockTime(t, "2026-03-02 11:00:00"), 0)
	quote := func(last, previous float64, age time.Duration) *Quote {
		return &Quote{Last: last, Close: previous, Open: 1, High: 2, Low: 1, At: now.Add(-age), Generation: 6}
	}
	for _, c := range []struct {
		name       string
		quote      *Quote
		status     messages.ReadingStatus
		signal     string
		confidence float64
		trend      any
		reason     string
	}{
		{"up", quote(24240, 24000, 0), messages.Active, "buy", 70, "uptrend", ""},
		{"down", quote(23856, 24000, time.Minute), messages.Active, "sell", 66, "downtrend", ""},
		{"exactly half a percent", quote(24120, 24000, 0), messages.Watching, "wait", 50, "uptrend", ""},
		{"little", quote(24072, 24000, 0), messages.Watching, "wait", 50, "sideways", ""},
		{"a crash", quote(20000, 24000, 0), messages.Active, "sell", 95, "downtrend", ""},
		{"not asked", nil, messages.Unavailable, "", 0, nil, "not asked over REST yet"},
		{"old", quote(24240, 24000, 3*time.Minute), messages.Unavailable, "", 0, nil, "the last answer over REST is 3 min old"},
		{"no time", &Quote{Last: 1, Close: 1}, messages.Unavailable, "", 0, nil, "has no time"},
		{"no price", quote(0, 24000, 0), messages.Unavailable, "", 0, nil, "lacks the last price"},
		{"no previous close", quote(24000, 0, 0), messages.Unavailable, "", 0, nil, "lacks the last price or the previous close"},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := judgeDirect(&Input{Now: now, Phase: messages.Open, REST: c.quote})
			if j.Status != c.status || j.Signal != c.signal || classic.RoundDecimal(j.Confidence, 6) != c.confidence || !strings.Contains(j.Reason, c.reason) {
				t.Errorf("%+v", j)
			}
			if j.Status != messages.Unavailable && (j.Values["trend"] != c.trend || j.Values["source"] != "rest" || j.Generation != 6) {
				t.Errorf("%+v", j)
			}
		})
	}
}
