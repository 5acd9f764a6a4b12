package simulator

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"kitestring/actors/hours"
	"kitestring/messages/ist"
)

// calendar knows trading days, their sessions and expiries: those of the table
// of hours, where no other trading days are given.
type calendar struct {
	hours      *hours.Store
	tradingDay func(day time.Time) bool // midnight IST; nil: as the table has it

	mu       sync.Mutex
	sessions map[int64]*session // by day
	table    *hours.Table       // that they are of
}

func newCalendar(hours *hours.Store, tradingDay func(day time.Time) bool) *calendar {
	return &calendar{hours: hours, tradingDay: tradingDay, sessions: map[int64]*session{}}
}

func (c *calendar) trading(t time.Time) bool {
	day := ist.Day(t)
	if c.tradingDay != nil {
		return c.tradingDay(day)
	}
	return c.hours.Table().Day(day, hours.Market).Trading()
}

// seek walks from day by step to a trading day. A table without any for a
// month is broken: then every day is one, and nothing loops for ever.
func (c *calendar) seek(day time.Time, step int) time.Time {
	for range 31 {
		if c.trading(day) {
			return day
		}
		day = day.AddDate(0, 0, step)
	}
	return day
}

// latest is the last trading day that is not after t's day.
func (c *calendar) latest(t time.Time) time.Time { return c.seek(ist.Day(t), -1) }

// previous is the last trading day before t's day, next the first one after.
func (c *calendar) previous(t time.Time) time.Time { return c.seek(ist.Day(t).AddDate(0, 0, -1), -1) }
func (c *calendar) next(t time.Time) time.Time     { return c.seek(ist.Day(t).AddDate(0, 0, 1), 1) }

// expiry is a day on which contracts end.
type expiry struct {
	day     time.Time
	monthly bool // the last of its month
}

// weekly is the first expiry on or after day. Where the weekday is a holiday,
// the trading day before it is the expiry.
func (c *calendar) weekly(day time.Time, weekday time.Weekday) expiry {
	day = ist.Day(day)
	for nominal := day.AddDate(0, 0, int(weekday-day.Weekday()+7)%7); ; nominal = nominal.AddDate(0, 0, 7) {
		if actual := c.latest(nominal); !actual.Before(day) {
			return expiry{actual, nominal.AddDate(0, 0, 7).Month() != nominal.Month()}
		}
	}
}

// weeklies are the next n weekly expiries from day on.
func (c *calendar) weeklies(day time.Time, weekday time.Weekday, n int) []expiry {
	var list []expiry
	for len(list) < n {
		e := c.weekly(day, weekday)
		list = append(list, e)
		day = e.day.AddDate(0, 0, 1)
	}
	return list
}

// monthlies are the next n monthly expiries from day on.
func (c *calendar) monthlies(day time.Time, weekday time.Weekday, n int) []expiry {
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

// session is one trading day: from the first moment at which a segment trades
// to the last one, breaks between several sessions included.
type session struct {
	open   time.Time
	day    int64 // of the calendar, since 2020-01-01
	prev   int64 // the trading day before
	length int   // in seconds

	whole    []seconds // when anything trades
	segments map[hours.Segment][]seconds
}

// seconds is a span of a session, counted from its open.
type seconds struct{ from, to int }

var calendarStart = time.Date(2020, 1, 1, 0, 0, 0, 0, ist.Zone)

func dayNumber(t time.Time) int64 { return int64(ist.Day(t).Sub(calendarStart) / (24 * time.Hour)) }

func dayOf(number int64) time.Time { return calendarStart.AddDate(0, 0, int(number)) }

// session is the trading day of t's date; one that the table closes has the
// hours of a regular day.
func (c *calendar) session(t time.Time) *session {
	day := dayNumber(t)
	c.mu.Lock()
	defer c.mu.Unlock()
	if table := c.hours.Table(); table != c.table || len(c.sessions) >= 2*historyDays {
		clear(c.sessions)
		c.table = table
	}
	if s := c.sessions[day]; s != nil {
		return s
	}
	of := c.table.Day
	if !of(t, hours.Market).Trading() {
		of = c.table.Regular
	}
	market := of(t, hours.Market)
	s := &session{
		open: market.Open(), day: day, prev: dayNumber(c.previous(t)),
		length: int(market.Close().Sub(market.Open()) / time.Second), segments: map[hours.Segment][]seconds{},
	}
	s.whole = s.spans(market)
	for _, segment := range []hours.Segment{hours.NSE, hours.BSE, hours.NFO, hours.BFO, hours.Indices} {
		s.segments[segment] = s.spans(of(t, segment))
	}
	c.sessions[day] = s
	return s
}

func (s *session) spans(day hours.Day) []seconds {
	list := make([]seconds, len(day.Spans))
	for i, span := range day.Spans {
		list[i] = seconds{int(span.From.Sub(s.open) / time.Second), int(span.To.Sub(s.open) / time.Second)}
	}
	return list
}

// trades reports whether the instrument trades at a second of the session.
func (s *session) trades(in *instrument, second int) bool {
	return within(s.segments[hours.Of(in.Token)], second)
}

func within(spans []seconds, second int) bool {
	return slices.ContainsFunc(spans, func(span seconds) bool { return span.from <= second && second < span.to })
}

// end is the second at which the instrument's trading is over.
func (s *session) end(instrumentToken uint32) int {
	if spans := s.segments[hours.Of(instrumentToken)]; len(spans) > 0 {
		return spans[len(spans)-1].to
	}
	return s.length
}

// lastTrade is the second of the last trade of an instrument without subscribers.
func (s *session) lastTrade(in *instrument) float64 {
	return float64((s.end(in.Token) - 1) / virtualSeconds * virtualSeconds)
}

func (s *session) at(second int) time.Time { return s.open.Add(time.Duration(second) * time.Second) }

func (s *session) close() time.Time { return s.at(s.length) }

// running reports whether anything trades at t.
func (s *session) running(t time.Time) bool {
	return !t.Before(s.open) && within(s.whole, int(t.Sub(s.open)/time.Second))
}

// second is t as seconds since the open, held within the session.
func (s *session) second(t time.Time) float64 {
	return min(max(t.Sub(s.open).Seconds(), 0), float64(s.length))
}

// sessionAt is the session that runs at t or, when none does, the last one
// before it.
func (c *calendar) sessionAt(t time.Time) *session {
	day := c.latest(t)
	if s := c.session(day); !t.Before(s.open) {
		return s
	}
	return c.session(c.previous(day))
}

// exchangeClock is the exchange's time: the real one stretched by speed, moved
// on request, and without nights, unless they are asked for: a minute after the
// close of a trading day it goes on a quarter of an hour before the next open.
type exchangeClock struct {
	cal *calendar

	mu         sync.Mutex
	real, sim  time.Time // the anchor: both stood so at the same moment
	speed      float64   // exchange seconds a real second; 0 stands still
	skipNights bool
	skipAt     time.Time     // a minute after the next close
	jumps      int           // counts the moments at which time did not just pass
	changed    chan struct{} // closed and replaced at each change by a caller
}

func newClock(cal *calendar, start time.Time, speed float64, skipNights bool) *exchangeClock {
	c := &exchangeClock{cal: cal, skipNights: skipNights, changed: make(chan struct{})}
	c.anchor(start, speed)
	return c
}

// Now implements actors.Clock.
func (c *exchangeClock) Now() time.Time {
	now, _ := c.read()
	return now
}

// read is Now, with the number of jumps so far: a different number than
// before means that time was skipped in between.
func (c *exchangeClock) read() (now time.Time, jumps int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now = c.now()
	return now, c.jumps
}

func (c *exchangeClock) now() time.Time {
	passed := time.Duration(float64(time.Since(c.real)) * c.speed)
	now := c.sim.Add(passed)
	for c.skipNights && !now.Before(c.skipAt) {
		over := now.Sub(c.skipAt)
		now = c.cal.session(c.cal.next(c.skipAt)).open.Add(over - 15*time.Minute)
		c.jumps++
		c.anchor(now, c.speed)
	}
	return now
}

func (c *exchangeClock) anchor(now time.Time, speed float64) {
	c.real, c.sim, c.speed = time.Now(), now.Round(0).In(ist.Zone), speed
	day := c.cal.latest(now)
	c.skipAt = c.cal.session(day).close().Add(time.Minute)
	if !c.skipAt.After(now) {
		c.skipAt = c.cal.session(c.cal.next(now)).close().Add(time.Minute)
	}
}

// clockSetting changes the clock: what is nil stays as it is.
type clockSetting struct {
	Now        *time.Time `json:"now"`
	Speed      *float64   `json:"speed"`
	SkipNights *bool      `json:"skip_nights"`
}

func (c *exchangeClock) set(s clockSetting) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, speed := c.now(), c.speed
	if s.SkipNights != nil {
		c.skipNights = *s.SkipNights
	}
	if s.Speed != nil {
		speed = *s.Speed
	}
	if s.Now != nil {
		now = *s.Now
		c.jumps++
	}
	c.anchor(now, speed)
	close(c.changed)
	c.changed = make(chan struct{})
}

// tick moves a clock that stands still: time passed, nothing was skipped.
func (c *exchangeClock) tick(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.anchor(now, c.speed)
}

func (c *exchangeClock) status() (now time.Time, speed float64, skipNights bool, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now(), c.speed, c.skipNights, c.changed
}

func (e *Exchange) setClock(s clockSetting) error {
	switch {
	case s.Speed != nil && (*s.Speed < 0 || *s.Speed > maxSpeed || math.IsNaN(*s.Speed)):
		return fmt.Errorf("speed: choose between 0 and %d", maxSpeed)
	case s.Now != nil && e.tape != nil:
		return errors.New("now: the time follows the recording that is played")
	case s.Speed != nil && e.tape != nil:
		return e.SetReplaySpeed(*s.Speed, false)
	case s.Now != nil && e.bars != nil:
		return errors.New("now: the time follows the bars that are played")
	case s.Now != nil && (s.Now.Before(calendarStart.AddDate(2, 0, 0)) || s.Now.After(calendarStart.AddDate(100, 0, 0))):
		return errors.New("now: choose a moment between 2022 and 2119")
	}
	e.clock.set(s)
	return nil
}

// SetClock moves the exchange's clock to now; the speed stays.
func (e *Exchange) SetClock(now time.Time) error { return e.setClock(clockSetting{Now: &now}) }

// SetSpeed sets how many exchange seconds a real second has; 0 stands still.
func (e *Exchange) SetSpeed(speed float64) error { return e.setClock(clockSetting{Speed: &speed}) }

// SkipNights says whether the clock jumps over the night.
func (e *Exchange) SkipNights(skip bool) { e.clock.set(clockSetting{SkipNights: &skip}) }
