package market

import (
	"fmt"
	"time"

	"kitestring/actors/hours"
	"kitestring/messages"
	"kitestring/messages/ist"
)

const (
	// fresh is how old the newest tick may be, in exchange time, to prove that
	// the market is open.
	fresh = 2 * time.Minute
	// silence is how long after an opening the first tick may take.
	silence = 5 * time.Minute
	// loginHour is when Kite begins to end the tokens of the day before.
	loginHour = 6
	// preOpen is when the orders of the opening auction begin to be taken,
	// matching when they are matched, before a session; closing is how long after
	// the last one closing prices are made.
	preOpen, matching, closing = 15 * time.Minute, 7 * time.Minute, 30 * time.Minute
)

// state is what the clock knows. The zero value but for the table knows
// nothing, and announces the phase at the first observation.
type state struct {
	table  *hours.Table
	fault  string    // why the replacement of the table is not in use
	read   time.Time // midnight IST of the day on which the table was read
	proven time.Time // midnight IST of a day that ticks proved to be a trading day
	skew   skew
	last   messages.PhaseChanged // what was announced last; At zero: nothing yet
}

// event is what changes the state.
//
//sumtype:decl
type event interface{ isEvent() }

// observed is the exchange's time, and that of its newest tick (zero: none).
type observed struct{ now, lastTick time.Time }

// tableRead is the answer to readTable.
type tableRead struct {
	table *hours.Table
	err   error
}

func (observed) isEvent()  {}
func (tableRead) isEvent() {}

// effect is what the actor shall do.
//
//sumtype:decl
type effect interface{ isEffect() }

// readTable asks for the table to be read (again), announce for a phase to be
// announced.
type (
	readTable struct{}
	announce  struct{ messages.PhaseChanged }
)

func (readTable) isEffect() {}
func (announce) isEffect()  {}

// next is the whole behaviour.
func next(s state, e event) (state, []effect) {
	switch e := e.(type) {
	case tableRead:
		s.fault = ""
		if e.err != nil {
			s.fault = e.err.Error()
		} else {
			s.table = e.table
		}
		return s, nil
	case observed:
		return observe(s, e)
	}
	return s, nil
}

func observe(s state, e observed) (state, []effect) {
	var effects []effect
	today := ist.Day(e.now)
	if !s.read.Equal(today) {
		s.read = today
		effects = append(effects, readTable{})
	}
	s.skew = s.skew.next(e)
	day := s.table.Day(e.now, hours.Market)
	// A clock that is known to be wrong does not make ticks old.
	ticking := ist.Day(e.lastTick).Equal(today) && (e.now.Sub(e.lastTick)-s.skew.off).Abs() < fresh
	unexpected := ticking && !s.table.Expects(e.lastTick, hours.Market)
	if unexpected && !day.Trading() {
		s.proven = today
	}
	p := messages.PhaseChanged{At: e.now.UTC()}
	p.Phase, p.Next = phaseAt(s.table, e.now)
	switch {
	case !day.Trading() && s.proven.Equal(today):
		p.Warning = fmt.Sprintf("ticks arrive although the holiday table says %q: the ticks win; correct the table", day.Name)
		day = s.table.Regular(e.now, hours.Market)
		phase, change := phaseOf(day, e.now)
		if p.Phase = phase; !change.IsZero() {
			p.Next = change
		}
		if phase == messages.Closed && ticking {
			p.Phase = messages.Open // a special session, at hours of its own
		}
	case unexpected && p.Phase == messages.Closed:
		p.Phase = messages.Open
		p.Warning = "ticks arrive outside the hours of the session table: the ticks win; give this day its sessions in the holiday file"
	}
	if p.TradingDay = day.Trading(); !p.TradingDay {
		p.Holiday = day.Name
	}
	p.ClockOff, p.HoursFault = s.skew.off, s.fault
	p.LoginDue = p.TradingDay && !e.now.Before(ist.At(e.now, loginHour, 0, 0))
	if p.Warning == "" {
		p.Warning = warning(s, day, e)
	}
	p.Next = p.Next.UTC()
	if s.last.At.IsZero() || !same(p, s.last) {
		s.last = p
		effects = append(effects, announce{p})
	}
	return s, effects
}

// warning is the gravest of what else is wrong, "" for nothing.
func warning(s state, day hours.Day, e observed) string {
	session, open := day.At(e.now)
	switch {
	case open && e.now.Sub(session.From) >= silence && e.lastTick.Before(session.From.Add(-preOpen)):
		return "the market should be open and no tick of today has arrived: the feed is down, or today is a holiday that the table does not know"
	case s.skew.off != 0:
		return s.skew.warning()
	case s.fault != "":
		return "the holiday file cannot be used, the last good table stays: " + s.fault
	case !s.table.Covers(e.now):
		return fmt.Sprintf("the holiday table does not know %d: replace it with this year's", e.now.In(ist.Zone).Year())
	default:
		return ""
	}
}

// phaseAt is the phase at t and the instant of the next change; zero when the
// table has no trading day within two months.
func phaseAt(table *hours.Table, t time.Time) (messages.Phase, time.Time) {
	phase, next := phaseOf(table.Day(t, hours.Market), t)
	if next.IsZero() {
		if open := table.Next(t, hours.Market); !open.IsZero() {
			next = open.Add(-preOpen)
		}
	}
	return phase, next
}

// phaseOf is the phase at t, and the next change on the same day, zero for
// none. Between two sessions of a day the market is closed.
func phaseOf(day hours.Day, t time.Time) (messages.Phase, time.Time) {
	before := time.Time{} // the end of the session before
	for _, s := range day.Spans {
		for _, step := range [...]struct {
			until time.Time
			phase messages.Phase
		}{
			{s.From.Add(-preOpen), messages.Closed},
			{s.From.Add(-matching), messages.PreOpen},
			{s.From, messages.Matching},
			{s.To, messages.Open},
		} {
			if until := step.until; t.Before(until) && until.After(before) {
				return step.phase, until
			}
		}
		before = s.To
	}
	if end := day.Close().Add(closing); day.Trading() && t.Before(end) {
		return messages.Closing, end
	}
	return messages.Closed, time.Time{}
}

func same(a, b messages.PhaseChanged) bool {
	if !a.Next.Equal(b.Next) {
		return false
	}
	a.At, a.Next = b.At, b.Next
	return a == b
}
