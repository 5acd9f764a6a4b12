package rehearse

import (
	"fmt"
	"strings"
	"time"

	"kitestring/actors/hours"
	"kitestring/actors/simulator"
	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/messages/ist"
)

var _ = register(Drill{
	// The last Tuesday of March 2026 is a holiday: contracts end on Monday.
	Name: "rollover", Topic: Market, Setup: Setup{Start: at(2026, time.March, 30, 15, 29, 45)},
	Inject: "the clock passes the expiry of NIFTY and BANKNIFTY, a holiday moved it; the next BANKNIFTY future is missing from the next file",
	Hold:   "futures and chains roll without a restart, bars of the new contract equal history, the missing one is passed over",
	Steps: func(r *Rig) {
		before, olds, last := r.workers(), r.underlyings(), r.lastEvent()
		next := r.underlying("BANKNIFTY").Next
		if next == nil {
			failf("the next BANKNIFTY future is not announced on the last day of the near one: %+v", olds)
		}
		start, expiry := time.Now(), at(2026, time.March, 30, 0, 0, 0)
		for _, u := range olds {
			if u.Future.Expiry.Equal(expiry) { // the other exchange's end on Thursdays
				r.happens(30*time.Second, "instruments", last, u.Name+" future rolled from "+u.Future.Tradingsymbol)
				r.note("%s rolled", u.Future.Tradingsymbol)
			}
		}
		for _, u := range olds {
			if !u.Expiry.After(expiry) {
				r.within(10*time.Second, "the chain of "+u.Name+" is of the next expiry", func() (bool, any) {
					now := r.underlying(u.Name)
					return now.Expiry.After(u.Expiry) && len(now.Chain) > 40, fmt.Sprintf("%s, %d options", now.Expiry, len(now.Chain))
				})
				r.note("chain of %s rolled", u.Name)
			}
		}
		// The next trading day: Tuesday is a holiday.
		r.fault(simulator.Fault{Kind: simulator.FaultMissing, Tradingsymbol: next.Tradingsymbol})
		r.clock(map[string]any{"now": at(2026, time.April, 1, 9, 14, 50), "speed": 10})
		r.within(20*time.Second, "a missing contract is passed over", func() (bool, any) {
			future := r.underlying("BANKNIFTY").Future
			return future.Token != 0 && future.Tradingsymbol != next.Tradingsymbol, future
		})
		r.live()
		r.recovery(start)
		r.streams(20 * time.Second)
		r.note("%d bars of the next day equal to the exchange's history", r.barsEqualHistory(false))
		r.untouched(before, "")
	},
})

var _ = register(Drill{
	Name: "wrong-zone", Topic: Market, Setup: Setup{Cold: true, ManualLogin: true},
	Inject: "servers with TZ=UTC and TZ=America/New_York; the server's clock 30 s ahead and 30 s behind",
	Hold:   "phases and bars as the exchange has them; the skew reported",
	Steps: func(r *Rig) {
		r.close() // the rig's own server is not needed
		r.zones("UTC", "America/New_York")
		for _, off := range []time.Duration{30 * time.Second, -30 * time.Second} {
			r.step("clock off by "+off.String(), func() { r.skewed(off) })
		}
	},
})

// zones runs servers in other zones of the world on one exchange.
func (r *Rig) zones(zones ...string) {
	ex, token := r.serveExchange(simulator.Config{Start: at(2026, time.March, 11, 9, 14, 40), Speed: 10, Rate: 1000})
	servers := map[string]*Rig{}
	for _, zone := range zones {
		servers[zone] = r.serverOn(ex, token, strings.ReplaceAll(zone, "/", "-"), zone)
	}
	for zone, s := range servers {
		r.step(zone, s.live)
	}
	servers[zones[0]].streams(20 * time.Second)
	for zone, s := range servers {
		r.step(zone, func() {
			m, now := s.status().Market, ex.Clock().Now()
			if m.Phase != messages.Open || !m.Next.Equal(hours.BuiltIn().Day(now, hours.Market).Close()) || m.ExchangeTime.Sub(now).Abs() > 20*time.Second {
				failf("%+v at %s", m, now)
			}
			r.note("%s: %d bars equal to the exchange's history", zone, s.barsEqualHistory(true))
			s.process.stop()
		})
	}
}

// skewed runs a server whose clock is wrong.
func (r *Rig) skewed(off time.Duration) {
	s := r.second(off.String(), Setup{Speed: 10, ClockOff: off, Start: ordinary}, plainFile)
	start, warning := time.Now(), ""
	s.within(30*time.Second, "the skew is reported", func() (bool, any) {
		warning = s.status().Market.Warning
		return strings.Contains(warning, "clock"), warning
	})
	r.recovery(start)
	s.streams(15 * time.Second)
	r.note("%s: %q, %d bars equal", off, warning, s.barsEqualHistory(false))
	s.close()
}

// weekday is a calendar without holidays.
func weekday(day time.Time) bool {
	return day.Weekday() != time.Saturday && day.Weekday() != time.Sunday
}

var _ = register(Drill{
	Name: "wrong-holiday", Topic: Market, Setup: Setup{
		Start:      at(2026, time.March, 3, 10, 0, 0), // Holi
		TradingDay: weekday,
	},
	Inject: "ticks on a day that the table calls a holiday; silence on a day that it calls a trading day",
	Hold:   "the ticks win, with a warning; the silence is reported, and yesterday's cached ticks are not called live",
	Steps: func(r *Rig) {
		r.within(10*time.Second, "the ticks win, with a warning", func() (bool, any) {
			st := r.status()
			return st.Live && st.Market.Phase == messages.Open && strings.Contains(st.Market.Warning, "Holi"), st
		})
		r.note("%s", r.status().Market.Warning)
		// A holiday that the table does not know.
		s := r.second("silent", Setup{
			Cold: true, Speed: 5, Start: at(2026, time.March, 4, 9, 18, 0),
			TradingDay: func(day time.Time) bool { return weekday(day) && day.Day() != 4 },
		}, plainFile)
		s.feedIs(15*time.Second, messages.Streaming)
		warning := ""
		s.during(30*time.Second, "it is never called live", func() (bool, any) {
			st := s.status()
			if st.Market.Warning != "" {
				warning = st.Market.Warning
			}
			return !st.Live, st
		})
		if !strings.Contains(warning, "no tick of today") {
			failf("the silence is not reported: %q", warning)
		}
		r.note("%s", warning)
	},
})

var _ = register(Drill{
	Name: "kill-mid-bar", Topic: Market, Setup: Setup{Cold: true, ManualLogin: true},
	Inject: "SIGKILL at a random moment, then a restart",
	Hold:   "bars whole from the open within 25 s, none repeated, equal to the exchange's history, those of the gap marked",
	Steps: func(r *Rig) {
		r.close()
		ex, token := r.serveExchange(simulator.Config{Start: at(2026, time.March, 11, 10, 0, 30), Speed: 10, Rate: 1000})
		s := r.serverOn(ex, token, "victim", "Asia/Kolkata")
		s.live()
		s.streams(8*time.Second + time.Duration(r.random().Int64N(int64(8*time.Second))))
		s.process.kill()
		killed := ex.Clock().Now()
		s = r.serverOn(ex, token, "victim", "Asia/Kolkata")
		start := time.Now()
		s.live()
		back := ex.Clock().Now()
		open := hours.BuiltIn().Day(back, hours.Market).Open()
		s.within(25*time.Second, "every series is whole from the open", func() (bool, any) {
			underlyings := s.underlyings()
			for _, u := range underlyings {
				s.whole(u.Name, "index", open, killed, back)
				s.whole(u.Name, "future", open, killed, back)
			}
			return len(underlyings) == 3, "no underlyings"
		})
		r.recovery(start)
		// The gap is marked at once and healed when its minute is over: then every
		// bar must be equal, those of the gap too.
		compared := 0
		s.within(30*time.Second, "every bar, those of the gap closed and healed, equals the exchange's history", func() (bool, any) {
			for _, u := range s.underlyings() {
				for _, source := range []string{"index", "future"} {
					for _, edge := range []time.Time{killed, back} {
						if b, ok := s.minuteOf(u.Name, source, edge); !ok || b.Partial || b.Gapped {
							return false, fmt.Sprintf("%s %s at %s: %+v", u.Name, source, clockTime(edge), b)
						}
					}
				}
			}
			compared = s.barsEqualHistory(true)
			return true, nil
		})
		r.note("killed at %s, live again at %s of the exchange, %d bars equal to its history", clockTime(killed), clockTime(back), compared)
	},
})

// minuteOf is the closed bar of the minute of a moment; false: it is not closed yet.
func (r *Rig) minuteOf(underlying, source string, at time.Time) (bar api.Bar, ok bool) {
	for _, b := range r.minuteBars(underlying, source) {
		if b.Closed && b.Start.Equal(at.Truncate(time.Minute)) {
			return b, true
		}
	}
	return bar, false
}

func clockTime(t time.Time) string { return t.In(ist.Zone).Format(time.TimeOnly) }

// whole demands one bar a minute from the open on, and a mark on those of the
// time while the server was dead.
func (r *Rig) whole(underlying, source string, open, killed, back time.Time) {
	next := open
	for _, b := range r.minuteBars(underlying, source) {
		switch {
		case b.Start.Before(open):
			continue // of days before
		case !b.Start.Equal(next):
			failf("%s %s: a bar of %s where that of %s should be", underlying, source, clockTime(b.Start), clockTime(next))
		case b.Closed && b.Start.Add(time.Minute).After(killed) && b.Start.Before(back) && !b.Partial && !b.Gapped && !b.Backfilled:
			failf("%s %s: the bar of %s is not marked though the server was dead within it", underlying, source, clockTime(b.Start))
		case b.Closed && (b.Partial || b.Gapped):
			failf("%s %s: the bar of %s is not healed yet", underlying, source, clockTime(b.Start))
		}
		next = next.Add(time.Minute)
	}
	if !next.After(back) {
		failf("%s %s ends at %s", underlying, source, clockTime(next))
	}
}
