package drills

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kitestring/actors/simulator"
	"kitestring/messages"
)

var marketDrills = []Drill{
	{
		// The last Tuesday of March 2026 is a holiday: contracts end on Monday.
		Name: "rollover", Setup: Setup{Start: at(2026, time.March, 30, 15, 29, 45)},
		Inject: "the clock passes the expiry of NIFTY and BANKNIFTY, a holiday moved it; the next BANKNIFTY future is missing from the next file",
		Hold:   "futures and chains roll without a restart, bars of the new contract equal history, the missing one is passed over",
		run:    rollover,
	},
	{
		Name: "wrong-zone", Setup: Setup{Cold: true, ManualLogin: true},
		Inject: "servers with TZ=UTC and TZ=America/New_York; our clock 30 s ahead and 30 s behind",
		Hold:   "phases and bars as the exchange has them; the skew reported",
		run:    wrongZone,
	},
	{
		Name: "wrong-holiday", Setup: Setup{
			Start:      at(2026, time.March, 3, 10, 0, 0), // Holi
			TradingDay: weekday,
		},
		Inject: "ticks on a day that the table calls a holiday; silence on a day that it calls a trading day",
		Hold:   "the ticks win, with a warning; the silence is an alarm, and yesterday's cached ticks are not called live",
		run:    wrongHoliday,
	},
	{
		Name: "kill-mid-bar", Setup: Setup{Cold: true, ManualLogin: true},
		Inject: "SIGKILL at a random moment, then a restart",
		Hold:   "bars whole from the open within 25 s, none twice, equal to the exchange's history, the seam marked",
		run:    killMidBar,
	},
	{
		Name: "day", Setup: Setup{Start: at(2026, time.March, 4, 5, 0, 0), Speed: 600, ManualLogin: true, Prepare: withLiveToken},
		Inject: "a trading day in 66 s: flush at 06:00, reminder, login, 09:15 burst, 15:30 close",
		Hold:   "every expected event in order, nothing else",
		run:    wholeDay,
	},
}

// weekday is a calendar without holidays.
func weekday(day time.Time) bool {
	return day.Weekday() != time.Saturday && day.Weekday() != time.Sunday
}

func rollover(ctx context.Context, r *Rig) error {
	before, err := r.workers()
	if err != nil {
		return err
	}
	olds, err := r.underlyings()
	if err != nil {
		return err
	}
	last, err := r.lastEvent()
	if err != nil {
		return err
	}
	missing := ""
	for _, u := range olds {
		if u.Name == "BANKNIFTY" && u.Next != nil {
			missing = u.Next.Tradingsymbol
		}
	}
	if missing == "" {
		return fmt.Errorf("the next BANKNIFTY future is not announced on the last day of the near one: %+v", olds)
	}
	start := time.Now()
	for _, u := range olds {
		if !u.Future.Expiry.Equal(at(2026, time.March, 30, 0, 0, 0)) {
			continue // the other exchange's end on Thursdays
		}
		if err := r.happens(ctx, 30*time.Second, "instruments", last, u.Name+" future rolled from "+u.Future.Tradingsymbol); err != nil {
			return err
		}
		r.note("%s rolled", u.Future.Tradingsymbol)
	}
	for _, u := range olds {
		if u.Expiry.After(at(2026, time.March, 30, 0, 0, 0)) {
			continue
		}
		err = r.within(ctx, 10*time.Second, "the chain of "+u.Name+" is of the next expiry", func() (bool, string) {
			now, err := r.underlying(u.Name)
			return err == nil && now.Expiry.After(u.Expiry) && len(now.Chain) > 40, fmt.Sprintf("%s, %d options, %v", now.Expiry, len(now.Chain), err)
		})
		if err != nil {
			return err
		}
		r.note("chain of %s rolled", u.Name)
	}
	// The next trading day: Tuesday is a holiday.
	if err := r.fault(simulator.Fault{Kind: simulator.FaultMissing, Tradingsymbol: missing}); err != nil {
		return err
	}
	if err := r.clock(map[string]any{"now": at(2026, time.April, 1, 9, 14, 50), "speed": 10}); err != nil {
		return err
	}
	err = r.within(ctx, 20*time.Second, "a missing contract is passed over", func() (bool, string) {
		now, err := r.underlying("BANKNIFTY")
		return err == nil && now.Future.Token != 0 && now.Future.Tradingsymbol != missing, fmt.Sprintf("%+v, %v", now.Future, err)
	})
	if err != nil {
		return err
	}
	if err := r.live(ctx); err != nil {
		return err
	}
	r.recovery(time.Since(start))
	if err := r.streams(ctx, 20*time.Second); err != nil {
		return err
	}
	compared, err := r.barsEqualHistory(ctx, false)
	if err != nil {
		return err
	}
	r.note("%d bars of the next day equal to the exchange's history", compared)
	_, err = r.untouched(before, "")
	return err
}

func (r *Rig) underlying(name string) (messages.Underlying, error) {
	all, err := r.underlyings()
	if err != nil {
		return messages.Underlying{}, err
	}
	i := slices.IndexFunc(all, func(u messages.Underlying) bool { return u.Name == name })
	if i < 0 {
		return messages.Underlying{}, fmt.Errorf("there is no %s", name)
	}
	return all[i], nil
}

func wrongZone(ctx context.Context, r *Rig) error {
	if err := r.close(); err != nil {
		return err
	}
	if err := r.zones(ctx); err != nil {
		return err
	}
	for _, off := range []time.Duration{30 * time.Second, -30 * time.Second} {
		if err := r.skewed(ctx, off); err != nil {
			return fmt.Errorf("clock off by %s: %w", off, err)
		}
	}
	return nil
}

// zones runs servers in other zones of the world on one exchange.
func (r *Rig) zones(ctx context.Context) (err error) {
	f, err := openFar(simulator.Config{Start: at(2026, time.March, 11, 9, 14, 40), Speed: 10, Rate: 1000})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	token, err := f.IssueToken()
	if err != nil {
		return err
	}
	var servers []*process
	defer func() {
		for _, p := range servers {
			err = errors.Join(err, p.stop())
		}
	}()
	zones := []string{"UTC", "America/New_York"}
	for _, zone := range zones {
		dir, err := r.folder(strings.ReplaceAll(zone, "/", "-"), f, token)
		if err != nil {
			return err
		}
		p, err := r.process(ctx, dir, zone, f, token)
		if err != nil {
			return err
		}
		servers = append(servers, p)
	}
	for i, p := range servers {
		if err := p.up(ctx); err != nil {
			return fmt.Errorf("%s: %w", zones[i], err)
		}
	}
	if err := servers[0].streams(ctx, 20*time.Second); err != nil {
		return err
	}
	for i, p := range servers {
		st, err := p.status()
		if err != nil {
			return err
		}
		now := f.Clock().Now()
		if m := st.Market; m.Phase != messages.Open || !m.Next.Equal(at(2026, time.March, 11, 15, 30, 0)) || m.ExchangeTime.Sub(now).Abs() > 20*time.Second {
			return fmt.Errorf("%s: %+v at %s", zones[i], m, now)
		}
		compared, err := p.barsEqualHistory(ctx, true)
		if err != nil {
			return fmt.Errorf("%s: %w", zones[i], err)
		}
		r.note("%s: %d bars equal to the exchange's history", zones[i], compared)
	}
	return nil
}

// skewed runs a server whose clock is wrong.
func (r *Rig) skewed(ctx context.Context, off time.Duration) (err error) {
	s, err := r.beside(ctx, off.String(), Setup{Speed: 10, ClockOff: off, Start: ordinary}, plainFile)
	if s != nil {
		defer func() { err = errors.Join(err, s.close(), s.leavings()) }()
	}
	if err != nil {
		return err
	}
	if err := s.live(ctx); err != nil {
		return err
	}
	start := time.Now()
	err = s.within(ctx, 30*time.Second, "the skew is reported", func() (bool, string) {
		st, err := s.status()
		return err == nil && strings.Contains(st.Market.Warning, "clock"), fmt.Sprintf("%+v, %v", st.Market, err)
	})
	if err != nil {
		return err
	}
	r.recovery(time.Since(start))
	st, err := s.status()
	if err != nil {
		return err
	}
	if err := s.streams(ctx, 15*time.Second); err != nil {
		return err
	}
	compared, err := s.barsEqualHistory(ctx, false)
	r.note("%s: %q, %d bars equal", off, st.Market.Warning, compared)
	return err
}

func wrongHoliday(ctx context.Context, r *Rig) error {
	err := r.within(ctx, 10*time.Second, "the ticks win, with a warning", func() (bool, string) {
		st, err := r.status()
		return err == nil && st.Live && st.Market.Phase == messages.Open && strings.Contains(st.Market.Warning, "Holi"), fmt.Sprintf("%+v, %v", st, err)
	})
	if err != nil {
		return err
	}
	st, err := r.status()
	if err != nil {
		return err
	}
	r.note("%s", st.Market.Warning)
	return r.silentDay(ctx)
}

// silentDay is a holiday that our table does not know.
func (r *Rig) silentDay(ctx context.Context) (err error) {
	s, err := r.beside(ctx, "silent", Setup{
		Speed: 5, Start: at(2026, time.March, 4, 9, 18, 0),
		TradingDay: func(day time.Time) bool { return weekday(day) && day.Day() != 4 },
	}, plainFile)
	if s != nil {
		defer func() { err = errors.Join(err, s.close(), s.leavings()) }()
	}
	if err != nil {
		return err
	}
	if _, err := s.feedIs(ctx, 15*time.Second, messages.Streaming); err != nil {
		return err
	}
	alarm := ""
	err = s.during(ctx, 30*time.Second, "it is never called live", func() (bool, string) {
		st, err := s.status()
		if err != nil {
			return false, err.Error()
		}
		if st.Market.Warning != "" {
			alarm = st.Market.Warning
		}
		return !st.Live, fmt.Sprintf("%+v", st)
	})
	if err != nil {
		return err
	}
	if !strings.Contains(alarm, "no tick of today") {
		return fmt.Errorf("the silence is no alarm: %q", alarm)
	}
	r.note("%s", alarm)
	return nil
}
