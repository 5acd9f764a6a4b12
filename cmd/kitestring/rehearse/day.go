package rehearse

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kitestring/actors/hours"
	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/messages/ist"
)

// dayDrill is a whole day of the calendar, from 05:00 on. sessions are those that the
// exchanges held, written down here, because the server and the simulated exchange
// read one table. The table is the built-in one, or table when that is not "".
func dayDrill(name, what string, start time.Time, speed float64, table string, sessions ...string) Drill {
	return Drill{
		Name: name, Topic: Market, Limit: 6 * time.Minute,
		Setup: Setup{Start: start, Speed: speed, ManualLogin: true, Prepare: func(r *Rig) {
			withLiveToken(r)
			if table != "" {
				r.config.Reloadable.HolidayFile = filepath.Join(r.Dir, "sessions.txt")
				check(os.WriteFile(r.config.Reloadable.HolidayFile, []byte(table), 0o600))
			}
		}},
		Inject: what + ": flush at 06:00, reminder, login, a burst at each open, the close",
		Hold:   "every expected event in order, nothing else",
		Steps:  func(r *Rig) { tradingDay(r, start, sessions, morning{}) },
	}
}

// wholeMorning is the drill of a day on which nobody logs in before 09:10: the
// messages come, and ready says the same.
func wholeMorning(d Drill, sessions ...string) Drill {
	var phone *reminders
	d.Setup.Prepare = func(r *Rig) {
		phone = r.receiveReminders()
		r.startWith(func(content, _ string) string {
			return content + "WEBHOOK_URL=" + phone.url + "\nDASHBOARD_URL=http://kite.example\n"
		})
	}
	d.Inject += "; nobody logs in before 09:10"
	d.Hold += "; the messages of 08:00, 08:45, 09:05 and 09:10 in order; the card is shown from 08:00 to the first live minute, the token alone missing in it until the login and nothing after it"
	start := d.Setup.Start
	clock := func(hour, minute, second int) time.Time { return ist.At(start, hour, minute, second) }
	d.Steps = func(r *Rig) {
		tradingDay(r, start, sessions, morning{
			said: [][2]string{
				{"login", "reminder of 08:00"}, {"login", "reminder of 08:45"}, {"market", "pre_open"}, {"login", "reminder of 09:05"}, {"market", "matching"}, {"ready", "message of 09:10"},
			},
			before: func() {
				r.clock(map[string]any{"now": clock(7, 59, 40), "speed": 1})
				r.card(false, "token")
				line := r.missing("token")
				r.note("ready says of the token: %s. Fix: %s", line.Detail, line.Fix)
				r.clock(map[string]any{"speed": 120})
				want := []string{"08:00 login_due", "08:45 login_due", "09:05 login_due", "09:10 not_ready"}
				for i := range want {
					r.within(time.Minute, "the message of "+want[i]+" has come", func() (bool, any) {
						got := phone.messages()
						return slices.Equal(got, want[:i+1]), got
					})
					r.card(true, "token")
				}
				r.clock(map[string]any{"speed": 1})
				r.note("messages: %s", strings.Join(phone.messages(), ", "))
			},
			after: func() {
				r.green()
				r.card(true)
				r.clock(map[string]any{"now": clock(9, 14, 55), "speed": 5})
				r.within(30*time.Second, "data is live", func() (bool, any) {
					st := r.status()
					return st.Live && st.Market.Phase == messages.Open, st
				})
				r.card(true)
				r.within(time.Minute, "the first live minute is over", func() (bool, any) {
					at := r.status().Market.ExchangeTime
					return at.After(clock(9, 16, 5)), at
				})
				r.card(false)
			},
		})
	}
	return d
}

// card demands that the page shows the morning, or does not, and that these
// lines of it are missing.
func (r *Rig) card(shown bool, missing ...string) {
	r.within(5*time.Second, fmt.Sprintf("the card is shown (%t), missing: %q", shown, missing), func() (bool, any) {
		now := r.readiness()
		var names []string
		for _, c := range now.Missing() {
			names = append(names, c.Name)
		}
		return len(now.Checks) > 0 && now.Shown == shown && slices.Equal(names, missing), now
	})
	r.note("%s: card shown %t, missing %q", clockTime(r.status().Market.ExchangeTime), shown, missing)
}

// morning is what is done round the login of a day, and the events before it.
// The zero value: nobody has to wait for the login.
type morning struct {
	said          [][2]string
	before, after func()
}

// saturday is a table with two sessions on a Saturday, as the exchanges hold them
// to try their second site.
const saturday = `
from 2000-01-01 NSE,BSE,NFO,BFO,INDICES 09:15-15:30
2026-07-18 open 09:15-10:00 11:45-12:40 Second site
`

var (
	_ = register(wholeMorning(dayDrill("day", "a trading day in two minutes", at(2026, time.March, 4, 5, 0, 0), 600, ""), "09:15-15:30"))
	_ = register(dayDrill("day-july", "a trading day before the closing auction came", at(2026, time.July, 15, 5, 0, 0), 600, "", "09:15-15:30"))
	_ = register(dayDrill("day-december", "a trading day whose derivatives close at 15:40", at(2026, time.December, 16, 5, 0, 0), 600, "", "09:15-15:40"))
	_ = register(dayDrill("day-muhurat", "an evening session on a Sunday", at(2026, time.November, 8, 5, 0, 0), 300, "", "18:00-19:00"))
	_ = register(dayDrill("day-two-sessions", "a Saturday with two sessions", at(2026, time.July, 18, 5, 0, 0), 300, saturday, "09:15-10:00", "11:45-12:40"))
	_ = register(dayDrill("day-budget-sunday", "a Sunday on which the budget is read", at(2026, time.February, 1, 5, 0, 0), 600, "", "09:15-15:30"))
)

// tradingDay compares the events of a day with what a day should bring.
func tradingDay(r *Rig, start time.Time, sessions []string, m morning) {
	r.clock(map[string]any{"skip_nights": false})
	before := r.workers()
	table := hours.BuiltIn()
	if file := r.config.Reloadable.HolidayFile; file != "" {
		table = must(hours.Load(file))
	}
	day := table.Day(start, hours.Market)
	var listed []string
	for _, s := range day.Spans {
		listed = append(listed, s.From.In(ist.Zone).Format("15:04")+"-"+s.To.In(ist.Zone).Format("15:04"))
	}
	if !slices.Equal(listed, sessions) {
		failf("the table says that derivatives trade %v, the exchanges say %v", listed, sessions)
	}
	r.within(30*time.Second, "the flush is noticed and a login is due", func() (bool, any) {
		t := r.token()
		return t.State == messages.Rejected && t.LoginDue && strings.Contains(t.Reason, "session has expired"), t
	})
	if m.before != nil {
		m.before()
	}
	begun := time.Now()
	r.login()
	r.adopted(2, 10*time.Second)
	r.recovery(begun)
	if m.after != nil {
		m.after()
		r.clock(map[string]any{"speed": r.setup.Speed})
	}
	until := func(t time.Time) time.Duration { // real time, with slack
		return 20*time.Second + time.Duration(float64(t.Sub(start))/r.setup.Speed)
	}
	for _, session := range day.Spans {
		r.within(until(session.From), "the burst at the open of "+clockTime(session.From)+" is live", func() (bool, any) {
			st := r.status()
			return st.Live && st.Market.Phase == messages.Open && !st.Market.ExchangeTime.Before(session.From) && st.Feed.TicksPerSecond > 500, st
		})
		closed := time.Time{}
		r.within(until(session.To), "the session of "+clockTime(session.From)+" ends", func() (bool, any) {
			m := r.status().Market
			closed = m.ExchangeTime
			return m.Phase != messages.Open, m
		})
		if closed.Before(session.To) {
			failf("closed at %s, want %s", clockTime(closed), clockTime(session.To))
		}
		r.note("open from %s to %s", clockTime(session.From), clockTime(session.To))
	}
	r.within(until(day.Close().Add(time.Hour)), "the day is over", func() (bool, any) {
		m := r.status().Market
		return m.Phase == messages.Closed, m
	})
	check(asADay(r.events("", 0), day, m.said))
	r.untouched(before, "")
}

// asADay demands the events of a day in their order, and no others. The login's
// own event comes when its token is in the file: the feed may have taken that up
// before.
func asADay(events []api.Event, day hours.Day, said [][2]string) error {
	expected := [][2]string{
		{"feed", "streaming"},
		{"token", "session has expired"},
	}
	expected = append(expected, said...)
	expected = append(expected, [2]string{"token", "adopted as generation 2"}, [2]string{"rotation", "to generation 2: adopted"})
	for i := range day.Spans {
		if i > 0 {
			expected = append(expected, [2]string{"market", "closed"})
		}
		if i > 0 || said == nil { // else it is in what was said
			expected = append(expected, [2]string{"market", "pre_open"}, [2]string{"market", "matching"})
		}
		expected = append(expected, [2]string{"market", "open"})
	}
	expected = append(expected, [2]string{"market", "closing"}, [2]string{"market", "closed"})
	streamed, logins := false, 0
	for _, e := range events {
		if e.Kind == "login" && strings.Contains(e.Text, "Logged in") {
			logins++
		}
		if len(expected) > 0 && e.Kind == expected[0][0] && strings.Contains(e.Text, expected[0][1]) {
			expected = expected[1:]
		}
		switch e.Kind {
		case "token", "login", "rotation", "market", "ready", "record":
		case "feed":
			if streamed {
				return fmt.Errorf("the feed did not just stream through the day: %s", e.Text)
			}
			streamed = e.Text == "feed streaming"
		case "assumption":
			// Requests that a busy machine has held up arrive together, and are one too many.
			if !strings.Contains(e.Text, string(messages.RequestLimits)) {
				return fmt.Errorf("not of an ordinary day: %s", e.Text)
			}
		case "data": // history is refused as long as nobody logs in
			if said == nil && !strings.Contains(e.Text, "token_refused") && !strings.Contains(e.Text, "comes again") {
				return fmt.Errorf("data is missing: %s", e.Text)
			}
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
