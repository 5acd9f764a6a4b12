package simulator

import (
	"time"

	"kitestring/messages/ist"
)

// sessionSeconds is the length of a trading day, 09:15 to 15:30 IST.
const sessionSeconds = 22500

const minutesADay = sessionSeconds / 60

// calendar knows trading days and expiries; a nil tradingDay means Monday to
// Friday.
type calendar struct{ tradingDay func(day time.Time) bool }

func (c calendar) trading(t time.Time) bool {
	day := ist.Day(t)
	if c.tradingDay != nil {
		return c.tradingDay(day)
	}
	return day.Weekday() != time.Saturday && day.Weekday() != time.Sunday
}

// seek walks from day by step to a trading day. A table without any for a
// month is broken: then every day is one, and nothing loops for ever.
func (c calendar) seek(day time.Time, step int) time.Time {
	for range 31 {
		if c.trading(day) {
			return day
		}
		day = day.AddDate(0, 0, step)
	}
	return day
}

// latest is the last trading day that is not after t's day.
func (c calendar) latest(t time.Time) time.Time { return c.seek(ist.Day(t), -1) }

// previous is the last trading day before t's day, next the first one after.
func (c calendar) previous(t time.Time) time.Time { return c.seek(ist.Day(t).AddDate(0, 0, -1), -1) }
func (c calendar) next(t time.Time) time.Time     { return c.seek(ist.Day(t).AddDate(0, 0, 1), 1) }

// expiry is a day on which contracts end.
type expiry struct {
	day     time.Time
	monthly bool // the last of its month
}

// weekly is the first expiry on or after day. Where the weekday is a holiday,
// the trading day before it takes its place.
func (c calendar) weekly(day time.Time, weekday time.Weekday) expiry {
	day = ist.Day(day)
	for nominal := day.AddDate(0, 0, int(weekday-day.Weekday()+7)%7); ; nominal = nominal.AddDate(0, 0, 7) {
		if actual := c.latest(nominal); !actual.Before(day) {
			return expiry{actual, nominal.AddDate(0, 0, 7).Month() != nominal.Month()}
		}
	}
}

// weeklies are the next n weekly expiries from day on.
func (c calendar) weeklies(day time.Time, weekday time.Weekday, n int) []expiry {
	var list []expiry
	for len(list) < n {
		e := c.weekly(day, weekday)
		list = append(list, e)
		day = e.day.AddDate(0, 0, 1)
	}
	return list
}

// monthlies are the next n monthly expiries from day on.
func (c calendar) monthlies(day time.Time, weekday time.Weekday, n int) []expiry {
	day = ist.Day(day)
	var list []expiry
	for month := time.Date(day.Year(), day.Month(), 1, 0, 0, 0, 0, ist.Zone); len(list) < n; month = month.AddDate(0, 1, 0) {
		last := month.AddDate(0, 1, -1)
		nominal := last.AddDate(0, 0, -(int(last.Weekday()-weekday+7) % 7))
		if actual := c.latest(nominal); !actual.Before(day) {
			list = append(list, expiry{actual, true})
		}
	}
	return list
}

// session is one trading day.
type session struct {
	open time.Time // 09:15 IST
	day  int64     // of the calendar, since 2020-01-01
	prev int64     // the trading day before
}

var calendarStart = time.Date(2020, 1, 1, 0, 0, 0, 0, ist.Zone)

func dayNumber(t time.Time) int64 { return int64(ist.Day(t).Sub(calendarStart) / (24 * time.Hour)) }

func dayOf(number int64) time.Time { return calendarStart.AddDate(0, 0, int(number)) }

func (c calendar) session(day time.Time) *session {
	return &session{open: ist.At(day, 9, 15, 0), day: dayNumber(day), prev: dayNumber(c.previous(day))}
}

func (s *session) close() time.Time { return s.open.Add(sessionSeconds * time.Second) }

// running reports whether the session trades at t.
func (s *session) running(t time.Time) bool { return !t.Before(s.open) && t.Before(s.close()) }

// second is t as seconds since the open, held within the session.
func (s *session) second(t time.Time) float64 {
	return min(max(t.Sub(s.open).Seconds(), 0), sessionSeconds)
}

// sessionAt is the session that runs at t or, when none does, the last one
// before it.
func (c calendar) sessionAt(t time.Time) *session {
	day := c.latest(t)
	if s := c.session(day); !t.Before(s.open) {
		return s
	}
	return c.session(c.previous(day))
}
