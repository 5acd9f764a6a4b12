package market

import (
	"fmt"
	"time"

	"kitestring/messages"
	"kitestring/messages/ist"
)

const (
	// fresh is how old the newest tick may be, in exchange time, to prove that
	// the market is open.
	fresh = 2 * time.Minute
	// silence is how long after the open the first tick may take.
	silence = 5 * time.Minute
	// loginHour is when Kite begins to end the tokens of the day before.
	loginHour = 6
)

// state is what the clock knows. The zero value knows nothing and says so at
// the first observation.
type state struct {
	calendar *Calendar
	fault    string    // why the replacement of the table is not in use
	read     time.Time // midnight IST of the day on which the table was read
	proven   time.Time // midnight IST of a day that ticks proved to be a trading day
	skew     skew
	said     messages.PhaseChanged // what was told last; At zero: nothing yet
}

// observed is the exchange's time, and that of its newest tick (zero: none).
type observed struct{ now, lastTick time.Time }

// calendarRead is the answer to readCalendar.
type calendarRead struct {
	calendar *Calendar
	err      error
}

// readCalendar asks for the table to be read (again).
type readCalendar struct{}

// next is the whole behaviour: an event gives a state and what to do:
// readCalendar, or a messages.PhaseChanged to tell.
func next(s state, event any) (state, []any) {
	switch e := event.(type) {
	case calendarRead:
		s.fault = ""
		if e.err != nil {
			s.fault = e.err.Error()
		} else {
			s.calendar = e.calendar
		}
	case observed:
		return observe(s, e)
	}
	return s, nil
}

func observe(s state, e observed) (state, []any) {
	var effects []any
	today := ist.Day(e.now)
	if !s.read.Equal(today) {
		s.read = today
		effects = append(effects, readCalendar{})
	}
	s.skew = s.skew.next(e)
	day := s.calendar.Day(e.now)
	ticking := ist.Day(e.lastTick).Equal(today) && e.now.Sub(e.lastTick).Abs() < fresh
	if ticking && !day.Trading {
		s.proven = today
	}
	said := messages.PhaseChanged{At: e.now.UTC()}
	said.Phase, said.Next = s.calendar.Phase(e.now)
	if !day.Trading && s.proven.Equal(today) {
		said.Warning = fmt.Sprintf("ticks arrive although the holiday table says %q: the ticks win; correct the table", day.Name)
		day = regular(e.now)
		phase, change := day.phase(e.now)
		if said.Phase = phase; !change.IsZero() {
			said.Next = change
		}
		if phase == messages.Closed && ticking {
			said.Phase = messages.Open // a special session, at hours that nobody told us
		}
	}
	said.TradingDay = day.Trading
	said.LoginDue = day.Trading && !e.now.Before(ist.At(e.now, loginHour, 0, 0))
	if said.Warning == "" {
		said.Warning = warning(s, day, said.Phase, e)
	}
	said.Next = said.Next.UTC()
	if s.said.At.IsZero() || !same(said, s.said) {
		s.said = said
		effects = append(effects, said)
	}
	return s, effects
}

// warning is the gravest of what else is wrong, "" for nothing.
func warning(s state, day Day, phase messages.Phase, e observed) string {
	switch {
	case phase == messages.Open && e.now.Sub(day.Open) >= silence && e.lastTick.Before(day.preOpen()):
		return "the market should be open and no tick of today has arrived: the feed is down, or today is a holiday that the table does not know"
	case s.skew.off != 0:
		return s.skew.warning()
	case s.fault != "":
		return "the holiday file cannot be used, the last good table stays: " + s.fault
	case !s.calendar.Covers(e.now):
		return fmt.Sprintf("the holiday table does not know %d: replace it with this year's", e.now.In(ist.Zone).Year())
	default:
		return ""
	}
}

func same(a, b messages.PhaseChanged) bool {
	if !a.Next.Equal(b.Next) {
		return false
	}
	a.At, a.Next = b.At, b.Next
	return a == b
}
