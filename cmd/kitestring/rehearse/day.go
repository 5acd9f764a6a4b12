package rehearse

import (
	"fmt"
	"strings"
	"time"

	"kitestring/actors/web/api"
	"kitestring/messages"
)

var _ = register(Drill{
	Name: "day", Topic: Market, Setup: Setup{Start: at(2026, time.March, 4, 5, 0, 0), Speed: 600, ManualLogin: true, Prepare: withLiveToken},
	Inject: "a trading day in 66 s: flush at 06:00, reminder, login, 09:15 burst, 15:30 close",
	Hold:   "every expected event in order, nothing else",
	Steps:  tradingDay,
})

// tradingDay compares the events of a day with what a day should bring.
func tradingDay(r *Rig) {
	r.clock(map[string]any{"skip_nights": false})
	before := r.workers()
	r.within(30*time.Second, "the flush is noticed and a login is due", func() (bool, any) {
		t := r.token()
		return t.State == messages.Rejected && t.LoginDue && strings.Contains(t.Reason, "flush"), t
	})
	start := time.Now()
	r.login()
	r.adopted(2, 10*time.Second)
	r.recovery(start)
	r.happens(40*time.Second, "market", 0, "market open")
	r.within(10*time.Second, "the burst at the open is live", func() (bool, any) {
		st := r.status()
		return st.Live && st.Feed.TicksPerSecond > 500, st
	})
	r.happens(80*time.Second, "market", 0, "market closing")
	r.within(20*time.Second, "the day is over", func() (bool, any) {
		m := r.status().Market
		return m.Phase == messages.Closed, m
	})
	check(asADay(r.events("", 0)))
	r.untouched(before, "")
}

// asADay demands the events of a day in their order, and no others. The login's
// own event comes when its token is in the file: the feed may have taken that up
// before.
func asADay(events []api.Event) error {
	expected := [][2]string{
		{"feed", "streaming"},
		{"token", "daily flush"},
		{"token", "adopted as generation 2"},
		{"rotation", "to generation 2: adopted"},
		{"market", "pre_open"},
		{"market", "matching"},
		{"market", "open"},
		{"market", "closing"},
		{"market", "closed"},
	}
	streamed, logins := false, 0
	for _, e := range events {
		if e.Kind == "login" && strings.Contains(e.Text, "Logged in") {
			logins++
		}
		if len(expected) > 0 && e.Kind == expected[0][0] && strings.Contains(e.Text, expected[0][1]) {
			expected = expected[1:]
		}
		switch e.Kind {
		case "token", "login", "rotation", "market":
		case "feed":
			if streamed {
				return fmt.Errorf("the feed did not just stream through the day: %s", e.Text)
			}
			streamed = e.Text == "feed streaming"
		default:
			return fmt.Errorf("not of an ordinary day: %s: %s", e.Kind, e.Text)
		}
	}
	if logins != 1 {
		return fmt.Errorf("%d logins in %+v", logins, events)
	}
	if len(expected) > 0 {
		return fmt.Errorf("missing, or not in this order: %q in %+v", expected, events)
	}
	return nil
}
