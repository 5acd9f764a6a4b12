// Package hours is the one dated table of the exchanges' sessions: which
// segment trades on which day from when to when, since when that is so, and on
// which days it is otherwise.
//
// Promise: every question about hours has its answer here, for each exchange
// segment and each date, and the file that replaces the table can say all that
// the built-in table says. A [Table] never changes; a [Store] holds the one in
// use.
//
// Limits: the table says what the exchanges announced. A session that was not
// announced shows by its ticks: see [Table.Expects].
package hours

import (
	"slices"
	"sync/atomic"
	"time"

	"kitestring/messages/ist"
)

// Segment is an exchange segment by Kite's number, the low byte of an
// instrument token. The zero value is Market.
type Segment uint8

// The segments. An index keeps the hours of its cash market.
const (
	Market  Segment = 0 // NSE, BSE and their derivatives together: open while one of them is
	NSE     Segment = 1
	NFO     Segment = 2
	CDS     Segment = 3
	BSE     Segment = 4
	BFO     Segment = 5
	BCD     Segment = 6
	MCX     Segment = 7
	Indices Segment = 9
	NCO     Segment = 12
)

// equity is what [Market] stands for.
var equity = []Segment{NSE, BSE, NFO, BFO, Indices}

// Of is the segment of an instrument.
func Of(instrumentToken uint32) Segment { return Segment(instrumentToken) }

// Span is a session: from From until just before To.
type Span struct{ From, To time.Time }

// Contains reports whether the session runs at t.
func (s Span) Contains(t time.Time) bool { return !t.Before(s.From) && t.Before(s.To) }

// Day is a day of a segment, in IST.
type Day struct {
	Spans []Span // in order, apart from each other; none: a day without trading
	Name  string // of the holiday or special session; "": a day like any other
	// Auction is when continuous trading ends and the closing auction begins,
	// within the last session; zero: there is none.
	Auction time.Time
}

// Trading reports whether the day has a session.
func (d Day) Trading() bool { return len(d.Spans) > 0 }

// Open is the start of the first session; zero for none.
func (d Day) Open() time.Time {
	if !d.Trading() {
		return time.Time{}
	}
	return d.Spans[0].From
}

// Close is the end of the last session: from then on the day is over. Zero for
// none.
func (d Day) Close() time.Time {
	if !d.Trading() {
		return time.Time{}
	}
	return d.Spans[len(d.Spans)-1].To
}

// At is the session that runs at t, false for none.
func (d Day) At(t time.Time) (Span, bool) {
	i := slices.IndexFunc(d.Spans, func(s Span) bool { return s.Contains(t) })
	if i < 0 {
		return Span{}, false
	}
	return d.Spans[i], true
}

// Day is the day that t falls on.
func (t *Table) Day(at time.Time, segment Segment) Day {
	date := ist.Day(at)
	if segment != Market {
		return t.dayOf(date, segment)
	}
	var day Day
	for _, s := range equity {
		d := t.dayOf(date, s)
		if day.Name == "" {
			day.Name = d.Name
		}
		day.Spans = append(day.Spans, d.Spans...)
	}
	day.Spans = union(day.Spans)
	return day
}

// union joins sessions that overlap or touch.
func union(spans []Span) []Span {
	slices.SortFunc(spans, func(a, b Span) int { return a.From.Compare(b.From) })
	var joined []Span
	for _, s := range spans {
		if n := len(joined); n > 0 && !s.From.After(joined[n-1].To) {
			if s.To.After(joined[n-1].To) {
				joined[n-1].To = s.To
			}
			continue
		}
		joined = append(joined, s)
	}
	return joined
}

// IsOpen reports whether the segment trades at t.
func (t *Table) IsOpen(at time.Time, segment Segment) bool {
	_, open := t.Day(at, segment).At(at)
	return open
}

// search bounds how far a trading day is looked for: no holiday is that long.
const search = 60

// Next is the start of the first session after t; zero when there is none
// within two months.
func (t *Table) Next(at time.Time, segment Segment) time.Time {
	date := ist.Day(at)
	for range search {
		for _, s := range t.Day(date, segment).Spans {
			if s.From.After(at) {
				return s.From
			}
		}
		date = date.AddDate(0, 0, 1)
	}
	return time.Time{}
}

// LastClose is the end of the last session that has ended by t; zero when
// there is none within two months.
func (t *Table) LastClose(at time.Time, segment Segment) time.Time {
	date := ist.Day(at)
	for range search {
		for _, s := range slices.Backward(t.Day(date, segment).Spans) {
			if !s.To.After(at) {
				return s.To
			}
		}
		date = date.AddDate(0, 0, -1)
	}
	return time.Time{}
}

// Previous is midnight IST of the last trading day before t's day; zero when
// there is none within two months.
func (t *Table) Previous(at time.Time, segment Segment) time.Time {
	return t.seek(ist.Day(at).AddDate(0, 0, -1), segment, -1)
}

// Following is midnight IST of the first trading day after t's day; zero when
// there is none within two months.
func (t *Table) Following(at time.Time, segment Segment) time.Time {
	return t.seek(ist.Day(at).AddDate(0, 0, 1), segment, 1)
}

func (t *Table) seek(date time.Time, segment Segment, step int) time.Time {
	for range search {
		if t.Day(date, segment).Trading() {
			return date
		}
		date = date.AddDate(0, 0, step)
	}
	return time.Time{}
}

// Slots are the starts of the bars of an interval on t's day: multiples of the
// interval since midnight, each of which has a moment in a session.
func (t *Table) Slots(at time.Time, segment Segment, interval time.Duration) []time.Time {
	midnight := ist.Day(at)
	var slots []time.Time
	for _, s := range t.Day(at, segment).Spans {
		slot := midnight.Add(s.From.Sub(midnight).Truncate(interval))
		if n := len(slots); n > 0 && !slot.After(slots[n-1]) {
			slot = slots[n-1].Add(interval)
		}
		for ; slot.Before(s.To); slot = slot.Add(interval) {
			slots = append(slots, slot)
		}
	}
	return slots
}

// around is how long before its first and after its last session a trading day
// has prints that belong to none: test packets, auctions and closing prices.
const around = time.Hour

// Expects reports whether the table accounts for a tick at t: a session runs,
// or the prints around one come, which make no bar. A fresh tick that it does
// not expect shows a session that the table does not know.
func (t *Table) Expects(at time.Time, segment Segment) bool {
	day := t.Day(at, segment)
	return day.Trading() && !at.Before(day.Open().Add(-around)) && at.Before(day.Close().Add(around))
}

// Store holds the table in use. The zero value, like a nil one, holds the
// built-in table. It outlives the actor that sets it.
type Store struct{ table atomic.Pointer[Table] }

// Table is the table in use.
func (s *Store) Table() *Table {
	if s != nil {
		if t := s.table.Load(); t != nil {
			return t
		}
	}
	return BuiltIn()
}

// Set puts another table in use.
func (s *Store) Set(t *Table) { s.table.Store(t) }
