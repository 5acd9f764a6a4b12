package bars

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors/actorstest"
	"kitestring/messages"
	"kitestring/messages/ist"
)

// started is a running bars actor that follows NIFTY with generation 1.
type started struct {
	*actorstest.Harness
	t      *testing.T
	clock  runningClock
	series *Store
	past   *archive
}

func startAt(t *testing.T, at string, past *archive) *started {
	s := &started{t: t, clock: clockFrom(t, at), series: &Store{}, past: past}
	tokens := actorstest.NewTokens()
	adopt(tokens, 1)
	s.Harness = actorstest.Start(t, "bars", New(Config{
		Clock: s.clock, Tokens: tokens, Series: s.series, Historian: past, Listeners: []*actor.PID{webPID}, Auth: authPID,
	}))
	s.Tell(messages.InstrumentsResolved{Underlyings: []messages.Underlying{niftyToday(t)}})
	return s
}

// ticks sends a tick of index and future each second, off the clock.
func (s *started) ticks(d, off time.Duration) {
	for range int(d / time.Second) {
		now := s.clock.Now().Add(off)
		s.Tell(batch(1, tickOf(niftyIndex, now, 24000, 0), tickOf(niftyFuture, now, 24010, uint32(now.Unix()%86400))))
		pass(time.Second)
	}
}

func (s *started) minutes(source messages.BarSource) []messages.Bar {
	return s.series.History("NIFTY", source, time.Minute)
}

// days spells the minutes of a day.
func (s *started) on(day string, source messages.BarSource) (list []string) {
	for _, b := range s.minutes(source) {
		if at := b.Start.In(ist.Zone); at.Format(time.DateOnly) == day {
			list = append(list, at.Format("15:04"))
		}
	}
	return list
}

// A tick from 1970 makes no bar, and no history is asked from there.
func TestATickFrom1970ChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startAt(t, "2026-11-26 10:00:00", &archive{})
		s.Tell(batch(1, tickOf(niftyFuture, time.Unix(19800, 0), 24000, 1)))
		s.ticks(70*time.Second, 0)
		pass(10 * time.Second)
		if m := s.minutes(messages.FromFuture); len(m) < 1500 || m[0].Start.Year() != 2026 {
			t.Errorf("%d minutes, the first %v", len(m), m[0].Start)
		}
		if i := slices.IndexFunc(s.past.from, func(from time.Time) bool { return from.Year() != 2026 }); i >= 0 {
			t.Errorf("history was asked from %v", s.past.from[i])
		}
	})
}

// One tick an hour ahead makes no bar, and those that come after it at the
// right time make theirs.
func TestATickAnHourAheadMakesNoBar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startAt(t, "2026-11-26 10:01:00", &archive{})
		s.ticks(20*time.Second, 0)
		s.Tell(batch(1, tickOf(niftyFuture, s.clock.Now().Add(time.Hour), 29999, 99999)))
		s.ticks(130*time.Second, 0)
		today := s.on("2026-11-26", messages.FromFuture)
		if last := today[len(today)-1]; last > "10:04" || !slices.Contains(today, "10:02") {
			t.Errorf("minutes up to %s: %v", last, today)
		}
		for _, b := range s.minutes(messages.FromFuture) {
			if b.High == 29999 {
				t.Errorf("the price of the wrong tick: %+v", b)
			}
			if at := b.Start.Unix(); at == clockTime(t, "2026-11-26 10:02:00") && (b.Backfilled || b.Ticks != 60) {
				t.Errorf("not made of its ticks: %+v", b)
			}
		}
		if b, ok := s.series.Running("NIFTY", messages.FromFuture, time.Minute); !ok || b.Start.Unix() != clockTime(t, "2026-11-26 10:03:00") {
			t.Errorf("running: %+v", b)
		}
	})
}

// A clock that is ahead asks for no minute before it is over, and a question
// that brought nothing waits before it is put again.
func TestAClockAheadDoesNotAskWithoutEnd(t *testing.T) {
	for _, off := range []time.Duration{90 * time.Second, 10 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			s := startAt(t, "2026-11-26 10:30:00", &archive{})
			s.ticks(5*time.Minute, -off)
			if _, asked := s.past.questions(); len(asked) > 20 {
				t.Errorf("%v ahead: %d questions in 5 minutes", off, len(asked))
			}
			last := s.minutes(messages.FromFuture)
			if at := last[len(last)-1].Start; s.clock.Now().Add(-off).Sub(at) > 3*time.Minute {
				t.Errorf("%v ahead: the newest minute is %v", off, at)
			}
		})
	}
}

// History that stays behind is asked for again with backoff.
func TestHistoryThatIsBehindIsAskedForWithBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startAt(t, "2026-11-26 10:00:30", &archive{})
		s.ticks(40*time.Second, 0)
		s.past.mu.Lock()
		s.past.empty = true // from now on: a minute of which nothing ever comes
		n := len(s.past.asked)
		s.past.mu.Unlock()
		at := s.clock.Now()
		s.Tell(messages.GapDetected{Gaps: []messages.Gap{{InstrumentToken: niftyFuture, From: at.Add(-30 * time.Second), To: at.Add(-20 * time.Second)}}})
		s.ticks(10*time.Minute, 0)
		if _, asked := s.past.questions(); len(asked)-n < 3 || len(asked)-n > 30 {
			t.Errorf("%d questions in 10 minutes", len(asked)-n)
		}
	})
}

// History that comes 45 s late heals its minute: the useless answers before
// do not use up its tries.
func TestLateHistoryHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startAt(t, "2026-11-26 10:00:30", &archive{})
		s.ticks(100*time.Second, 0)
		late := func(is bool) (asked int) {
			s.past.mu.Lock()
			defer s.past.mu.Unlock()
			s.past.empty = is
			return len(s.past.asked)
		}
		n := late(true)
		at := s.clock.Now()
		s.Tell(messages.GapDetected{Gaps: []messages.Gap{{InstrumentToken: niftyFuture, From: at.Add(-50 * time.Second), To: at.Add(-40 * time.Second)}}})
		s.ticks(5*time.Second, 0)
		if _, asked := s.past.questions(); len(asked)-n < 2 || len(asked)-n > 5 {
			t.Errorf("%d questions in 5 s", len(asked)-n)
		}
		gapped := func() bool {
			return slices.ContainsFunc(s.minutes(messages.FromFuture), func(b messages.Bar) bool { return b.Gapped })
		}
		s.ticks(40*time.Second, 0)
		if !gapped() {
			t.Error("no minute is gapped while history is late")
		}
		late(false)
		s.ticks(70*time.Second, 0)
		if gapped() {
			t.Error("the minute is still gapped after its history came")
		}
	})
}

// One instrument that Kite refuses keeps no other from its history.
func TestOneRefusedInstrumentBlocksNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startAt(t, "2026-11-26 10:00:00", &archive{refused: niftyFuture})
		pass(2 * time.Second)
		if n := len(s.minutes(messages.FromIndex)); n < 1500 {
			t.Errorf("%d minutes of the index", n)
		}
		pass(5 * time.Minute)
		if _, asked := s.past.questions(); len(asked) > 25 {
			t.Errorf("%d questions in 5 minutes", len(asked))
		}
		states := sentTo[messages.DataState](s.Harness, webPID)
		if len(states) == 0 || states[0].Source != messages.FromFuture || !strings.Contains(states[0].Reason, "invalid token") || states[0].What != "history of NIFTY's future" {
			t.Errorf("%+v", states)
		}
	})
}

// An empty answer is no history: it is asked for again, and that is announced.
func TestEmptyHistoryIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startAt(t, "2026-11-26 10:00:00", &archive{empty: true})
		pass(10 * time.Second)
		states := sentTo[messages.DataState](s.Harness, webPID)
		if len(states) < 2 || !strings.Contains(states[0].Reason, "has no minute since 2026-11-17") {
			t.Fatalf("%+v", states)
		}
		s.past.mu.Lock()
		s.past.empty = false
		s.past.mu.Unlock()
		pass(70 * time.Second)
		for _, source := range []messages.BarSource{messages.FromIndex, messages.FromFuture} {
			if n := len(s.minutes(source)); n < 1500 {
				t.Errorf("%d minutes of %v", n, source)
			}
		}
		states = sentTo[messages.DataState](s.Harness, webPID)
		if last := states[len(states)-1]; last.Reason != "" {
			t.Errorf("%+v", last)
		}
	})
}

// History that comes is announced once by each incarnation: the one before may
// have said that it does not.
func TestRestartedBarsSayThatHistoryComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startAt(t, "2026-11-26 10:00:00", &archive{})
		s.ticks(2*time.Minute, 0)
		states := sentTo[messages.DataState](s.Harness, webPID)
		for _, source := range []messages.BarSource{messages.FromIndex, messages.FromFuture} {
			n := 0
			for _, m := range states {
				if m.Underlying == "NIFTY" && m.Source == source && m.Reason == "" {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%d announcements of %v: %+v", n, source, states)
			}
		}
	})
}

// Bars follow the sessions of the day, and ticks where the table has none.
func TestSessionsOfManyDays(t *testing.T) {
	for _, c := range []struct {
		name, from string
		bars       bool
	}{
		{"derivatives in July", "2026-07-31 15:32:00", false},
		{"derivatives since August", "2026-08-03 15:32:00", true},
		{"the last minute since August", "2026-12-01 15:38:58", true},
		{"after the close", "2026-12-01 15:41:00", false},
		{"Muhurat", "2026-11-08 18:10:00", true},
		{"the Sunday of the budget", "2026-02-01 11:00:00", true},
		{"a Saturday that the table does not know", "2026-12-12 11:00:00", true},
		{"an evening that the table does not know", "2026-12-14 18:30:00", true},
		{"before the opening", "2026-12-14 09:05:00", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := startAt(t, c.from, &archive{})
				s.ticks(64*time.Second, 0)
				pass(4 * time.Second)
				day, minute, _ := strings.Cut(c.from, " ")
				if today := s.on(day, messages.FromFuture); slices.Contains(today, minute[:5]) != c.bars {
					t.Errorf("minutes %v", today[max(0, len(today)-3):])
				}
			})
		})
	}
}

// A minute is not closed by the clock while ticks of it wait to be taken: the
// batches that come meanwhile show how far the ticks are.
func TestNoBarIsClosedWhileItsTicksWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startAt(t, "2026-11-26 10:00:52", &archive{})
		const late = 10 * time.Second
		s.Tell(batch(1, tickOf(niftyFuture, s.clock.Now().Add(-late), 24000, 100)))
		for range 72 { // 18 s in which only the index ticks
			s.Tell(batch(1, tickOf(niftyIndex, s.clock.Now().Add(-late), 24000, 0)))
			pass(pace)
		}
		s.Tell(batch(1, tickOf(niftyFuture, time.Unix(clockTime(t, "2026-11-26 10:00:59"), 0), 24077, 105)))
		s.ticks(30*time.Second, -late)
		closed := 0
		for _, m := range sentTo[messages.BarClosed](s.Harness, webPID) {
			if b := m.Bar; b.Interval == time.Minute && b.Source == messages.FromFuture && b.Start.Unix() == clockTime(t, "2026-11-26 10:00:00") {
				closed++
				if b.Close != 24077 || b.Gapped {
					t.Errorf("%+v", b)
				}
			}
		}
		if closed != 1 {
			t.Errorf("closed %d times", closed)
		}
	})
}

// Ticks that come in prove nothing; bars that go out do.
func TestOnlyBarsThatGoOutBeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startAt(t, "2026-11-26 10:00:00", &archive{})
		s.ticks(3*time.Second, 0)
		if s.Beats() == 0 {
			t.Error("no beat while bars go out")
		}
		pass(10 * time.Second) // what was missing has come from history
		n := s.Beats()
		for range 20 {
			s.Tell(batch(1, tickOf(4711<<8+2, s.clock.Now(), 1, 1))) // of no series
			pass(pace)
		}
		if got := s.Beats(); got > n {
			t.Errorf("%d beats without a bar", got-n)
		}
	})
}
