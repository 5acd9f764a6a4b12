package simulator

import (
	"net/http"
	"time"

	"kitestring/messages/ist"
)

// interval is a candle's length and Kite's limit of days in one request.
type interval struct {
	minutes int // 0: a day
	days    int
}

var intervals = map[string]interval{
	"minute": {1, 60}, "3minute": {3, 100}, "5minute": {5, 100}, "10minute": {10, 100},
	"15minute": {15, 200}, "30minute": {30, 200}, "60minute": {60, 400}, "day": {0, 2000},
}

// historyDays is how far back there are candles.
const historyDays = 400

// historical answers /instruments/historical/{token}/{interval}.
func (e *Exchange) historical(r *http.Request) (any, *apiError) {
	span, ok := intervals[r.PathValue("interval")]
	if !ok {
		return nil, badInput("invalid interval")
	}
	query := r.URL.Query()
	from, err := time.ParseInLocation(ist.Layout, query.Get("from"), ist.Zone)
	if err != nil {
		return nil, badInput("invalid from date")
	}
	to, err := time.ParseInLocation(ist.Layout, query.Get("to"), ist.Zone)
	if err != nil {
		return nil, badInput("invalid to date")
	}
	switch {
	case to.Before(from):
		return nil, badInput("from date cannot be after to date")
	case to.Sub(from) > time.Duration(span.days)*24*time.Hour:
		return nil, badInput("interval exceeds max limit: " + r.PathValue("interval"))
	}
	token, ok := parseToken(r.PathValue("token"))
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.clock.Now()
	e.list(now)
	in := e.book.tokens[token]
	if !ok || in == nil {
		return nil, badInput("invalid token")
	}
	return map[string]any{"candles": e.candles(in, span, from, to, now, query.Get("oi") == "1")}, nil
}

const candleTime = "2006-01-02T15:04:05-0700"

// candles whose start lies within [from, to], the running one included.
func (e *Exchange) candles(in *instrument, span interval, from, to, now time.Time, withOI bool) [][]any {
	list := [][]any{} // not null
	if oldest := now.AddDate(0, 0, -historyDays); from.Before(oldest) {
		from = oldest
	}
	if to.After(now) {
		to = now
	}
	current := e.cal.sessionAt(now)
	e.settle(in, current, now)
	length := span.minutes
	if length == 0 {
		length = minutesADay
	}
	for day := ist.Day(from); !day.After(to); day = day.AddDate(0, 0, 1) {
		if !e.cal.trading(day) || dayNumber(day) > current.day {
			continue
		}
		s := e.cal.session(day)
		start := func(m minute) time.Time {
			if span.minutes == 0 {
				return day
			}
			return s.open.Add(time.Duration(m.at) * time.Minute)
		}
		for _, m := range merge(e.minutesOf(in, s), int32(length)) {
			if at := start(m); at.Before(from) || at.After(to) {
				continue
			}
			candle := []any{start(m).Format(candleTime), rupees(m.open), rupees(m.high), rupees(m.low), rupees(m.close), m.volume}
			if withOI {
				candle = append(candle, m.oi)
			}
			list = append(list, candle)
		}
	}
	return list
}

// minutesOf is what was traded on a day: as it was recorded, else made up.
func (e *Exchange) minutesOf(in *instrument, s *session) []minute {
	for i := len(in.days) - 1; i >= 0; i-- {
		if in.days[i].day == s.day {
			return in.days[i].minutes
		}
	}
	if in.session != nil && in.session.day == s.day {
		return nil // nothing traded yet
	}
	if e.bars != nil {
		if !s.open.Before(e.bars.slots[0].session.open) {
			return nil // not in the file
		}
		defer e.prices.walkAgain()()
	}
	if in.expired(s) {
		return nil
	}
	list := make([]minute, 0, minutesADay)
	for at := 0; at < sessionSeconds; at += virtualSeconds {
		m := at / 60
		list = addToMinutes(list, int32(m), e.prices.of(in, s, float64(at)),
			e.prices.minuteVolume(in, s, m)/(60/virtualSeconds), 0)
		if at%60 == 60-virtualSeconds {
			list[len(list)-1].oi = e.prices.openInterest(in, s, float64(at))
		}
	}
	return list
}

// merge makes candles of a length from minutes, aligned to the open.
func merge(list []minute, length int32) []minute {
	if length == 1 {
		return list
	}
	var merged []minute
	for _, m := range list {
		at := m.at / length * length
		n := len(merged)
		if n == 0 || merged[n-1].at != at {
			m.at = at
			merged = append(merged, m)
			continue
		}
		last := &merged[n-1]
		last.high, last.low, last.close = max(last.high, m.high), min(last.low, m.low), m.close
		last.volume += m.volume
		last.oi = m.oi
	}
	return merged
}
