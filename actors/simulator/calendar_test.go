package simulator

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"kitestring/actors/hours"
	"kitestring/messages/ist"
)

func date(text string) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04", text, ist.Zone)
	if err != nil {
		panic(err)
	}
	return t
}

// plain has every weekday as a trading day.
func plain() *calendar {
	return newCalendar(nil, func(day time.Time) bool { return day.Weekday() != time.Saturday && day.Weekday() != time.Sunday })
}

func TestExpiries(t *testing.T) {
	plain := plain()
	// Tuesday 2026-06-16 and Tuesday 2026-06-30 are holidays.
	holidays := newCalendar(nil, func(day time.Time) bool {
		d := day.Format(time.DateOnly)
		return d != "2026-06-16" && d != "2026-06-30" && day.Weekday() != time.Saturday && day.Weekday() != time.Sunday
	})
	for _, c := range []struct {
		name string
		cal  *calendar
		day  string
		want []string
	}{
		{"from a Monday", plain, "2026-06-15 00:00", []string{"2026-06-16", "2026-06-23", "2026-06-30 monthly"}},
		{"on the day itself", plain, "2026-06-16 12:00", []string{"2026-06-16", "2026-06-23", "2026-06-30 monthly"}},
		{"the day after", plain, "2026-06-17 00:00", []string{"2026-06-23", "2026-06-30 monthly", "2026-07-07"}},
		{"holidays", holidays, "2026-06-15 00:00", []string{"2026-06-15", "2026-06-23", "2026-06-29 monthly"}},
		{"on a holiday", holidays, "2026-06-16 00:00", []string{"2026-06-23", "2026-06-29 monthly", "2026-07-07"}},
	} {
		for i, e := range c.cal.weeklies(date(c.day), time.Tuesday, 3) {
			got := e.day.Format(time.DateOnly)
			if e.monthly {
				got += " monthly"
			}
			if got != c.want[i] {
				t.Errorf("%s: expiry %d is %s, want %s", c.name, i, got, c.want[i])
			}
		}
	}
	months := holidays.monthlies(date("2026-06-30 00:00"), time.Tuesday, 2)
	if got := months[0].day.Format(time.DateOnly); got != "2026-07-28" {
		t.Errorf("after the month's expiry: %s", got)
	}
	for code, e := range map[string]expiry{
		"26616": {date("2026-06-16 00:00"), false}, "26JUN": {date("2026-06-30 00:00"), true},
		"26O06": {date("2026-10-06 00:00"), false}, "26D01": {date("2026-12-01 00:00"), false},
	} {
		if got := expiryCode(e); got != code {
			t.Errorf("%v: %s, want %s", e.day, got, code)
		}
	}
}

func TestSessionAt(t *testing.T) {
	cal := plain()
	for at, want := range map[string]string{
		"2026-06-15 09:14": "2026-06-12", "2026-06-15 09:15": "2026-06-15", "2026-06-15 23:00": "2026-06-15",
		"2026-06-14 12:00": "2026-06-12", "2026-06-16 03:00": "2026-06-15",
	} {
		s := cal.sessionAt(date(at))
		if got := s.open.Format(time.DateOnly); got != want || dayOf(s.day).Format(time.DateOnly) != want {
			t.Errorf("%s: session of %s", at, got)
		}
	}
	if s := cal.sessionAt(date("2026-06-15 12:00")); dayOf(s.prev).Format(time.DateOnly) != "2026-06-12" {
		t.Errorf("before Monday comes %v", dayOf(s.prev))
	}
	never := newCalendar(nil, func(time.Time) bool { return false })
	never.sessionAt(date("2026-06-15 12:00")) // ends
}

func TestNightsAreSkipped(t *testing.T) {
	c := newClock(plain(), date("2026-06-12 15:30"), 0, true)
	c.tick(date("2026-06-12 15:30").Add(59 * time.Second))
	if now, jumps := c.read(); now.Hour() != 15 || jumps != 0 {
		t.Errorf("before 15:31: %v", now)
	}
	speed := 3600.0 * 1000
	c.set(clockSetting{Speed: &speed})
	deadline := time.After(10 * time.Second)
	for {
		if now, jumps := c.read(); jumps > 0 {
			if now.Before(date("2026-06-15 09:00")) {
				t.Errorf("after the night: %v", now)
			}
			break
		}
		select {
		case <-deadline:
			t.Fatal("15:31 never came")
		default:
		}
	}
	stay, zero, evening := false, 0.0, date("2026-06-15 15:30")
	c.set(clockSetting{Now: &evening, SkipNights: &stay, Speed: &zero})
	c.tick(date("2026-06-15 23:00"))
	if now := c.Now(); now.Hour() != 23 {
		t.Errorf("a night that was to stay: %v", now)
	}
}

func TestWeekdays(t *testing.T) {
	friday := dayNumber(date("2026-06-12 00:00"))
	for i, want := range []int64{0, 0, 0, 1, 2, 3, 4, 5, 5, 5, 6} {
		if got := weekdays(friday+int64(i)) - weekdays(friday); got != want {
			t.Errorf("%d days after Friday: %d weekdays", i, got)
		}
	}
}

// An instrument ticks in the sessions that the table gives its segment, and in
// none besides, whatever kind of day it is.
func TestSessionsOfTheTable(t *testing.T) {
	e, err := New(Config{Start: date("2026-12-01 12:00")})
	if err != nil {
		t.Fatal(err)
	}
	future, equity := e.listing.symbols["NFO:NIFTY26DECFUT"], e.listing.symbols["NSE:INFY"]
	if future == nil || equity == nil {
		t.Fatal("the contracts are not listed")
	}
	table, err := hours.Load(drillTable(t))
	if err != nil {
		t.Fatal(err)
	}
	drill := &hours.Store{}
	drill.Set(table)
	for _, c := range []struct {
		table          *hours.Store
		at             string
		future, equity bool
	}{
		{nil, "2026-07-31 15:29", true, true},
		{nil, "2026-07-31 15:31", false, false},
		{nil, "2026-12-01 15:34", true, true},
		{nil, "2026-12-01 15:36", true, false},
		{nil, "2026-12-01 15:41", false, false},
		{nil, "2026-11-08 12:00", false, false}, // a Sunday with Muhurat trading
		{nil, "2026-11-08 18:30", true, true},
		{nil, "2026-02-01 10:00", true, true}, // the budget's Sunday
		{drill, "2026-12-05 09:20", true, true},
		{drill, "2026-12-05 11:00", false, false},
		{drill, "2026-12-05 11:45", true, true},
		{drill, "2026-12-05 13:00", false, false},
	} {
		s := newCalendar(c.table, nil).session(date(c.at))
		second := int(date(c.at).Sub(s.open) / time.Second)
		if got := s.trades(future, second); got != c.future {
			t.Errorf("%s: the future trades: %v", c.at, got)
		}
		if got := s.trades(equity, second); got != c.equity {
			t.Errorf("%s: the share trades: %v", c.at, got)
		}
		if got := s.running(date(c.at)); got != (c.future || c.equity) {
			t.Errorf("%s: the session runs: %v", c.at, got)
		}
	}
	// History has the same minutes.
	for at, want := range map[string]int{"2026-07-31 18:00": 375, "2026-11-30 18:00": 385, "2026-11-08 20:00": 60} {
		if got := len(e.minutesOf(future, e.cal.session(date(at)))); got != want {
			t.Errorf("%s: %d minutes of the future, want %d", at, got, want)
		}
	}
}

// drillTable is a file with a Saturday of two sessions.
func drillTable(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "hours.txt")
	if err := os.WriteFile(path, []byte("2026-12-05 open 09:15-10:00 11:30-12:30 drill\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
