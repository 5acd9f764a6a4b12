package market

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anthdm/hollywood/actor"
	"pgregory.net/rapid"

	"kitestring/actors/actorstest"
	"kitestring/actors/hours"
	"kitestring/messages"
	"kitestring/messages/ist"
)

func TestMain(m *testing.M) { actorstest.Main(m) }

// at reads a time in IST.
func at(t testing.TB, text string) time.Time {
	t.Helper()
	v, err := time.ParseInLocation(ist.Layout, text, ist.Zone)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestPhases(t *testing.T) {
	const nextMorning = "2026-03-05 09:00:00"
	for _, c := range []struct {
		at    string
		phase messages.Phase
		next  string
	}{
		{"2026-03-04 00:00:00", messages.Closed, "2026-03-04 09:00:00"},
		{"2026-03-04 08:59:59", messages.Closed, "2026-03-04 09:00:00"},
		{"2026-03-04 09:00:00", messages.PreOpen, "2026-03-04 09:08:00"},
		{"2026-03-04 09:07:59", messages.PreOpen, "2026-03-04 09:08:00"},
		{"2026-03-04 09:08:00", messages.Matching, "2026-03-04 09:15:00"},
		{"2026-03-04 09:15:00", messages.Open, "2026-03-04 15:30:00"},
		{"2026-03-04 15:29:59", messages.Open, "2026-03-04 15:30:00"},
		{"2026-03-04 15:30:00", messages.Closing, "2026-03-04 16:00:00"},
		{"2026-03-04 16:00:00", messages.Closed, nextMorning},
		{"2026-03-04 23:59:59", messages.Closed, nextMorning},
		{"2026-03-03 11:00:00", messages.Closed, "2026-03-04 09:00:00"},  // Holi
		{"2026-03-06 16:00:00", messages.Closed, "2026-03-09 09:00:00"},  // Friday evening
		{"2026-04-02 17:00:00", messages.Closed, "2026-04-06 09:00:00"},  // Good Friday and a weekend
		{"2026-02-01 10:00:00", messages.Open, "2026-02-01 15:30:00"},    // Sunday of the budget
		{"2025-10-21 10:00:00", messages.Closed, "2025-10-21 13:30:00"},  // before Muhurat trading
		{"2025-10-21 13:30:00", messages.PreOpen, "2025-10-21 13:38:00"}, //
		{"2025-10-21 14:00:00", messages.Open, "2025-10-21 14:45:00"},    //
		{"2025-10-21 14:45:00", messages.Closing, "2025-10-21 15:15:00"}, //
		{"2025-10-21 15:15:00", messages.Closed, "2025-10-23 09:00:00"},  // the 22nd is closed
		{"2026-12-31 16:10:00", messages.Closed, "2027-01-01 09:00:00"},  // a year that the table does not know
		{"2028-02-29 12:00:00", messages.Open, "2028-02-29 15:40:00"},    //
		{"2026-11-23 14:00:00", messages.Open, "2026-11-23 15:40:00"},    //
		{"2026-11-23 16:10:00", messages.Closed, "2026-11-25 09:00:00"},  // Guru Nanak Jayanti
		{"2026-07-31 15:33:00", messages.Closing, "2026-07-31 16:00:00"}, // derivatives to 15:30 for the last time
		{"2026-08-03 15:33:00", messages.Open, "2026-08-03 15:40:00"},    // and to 15:40 for the first
		{"2026-11-08 17:00:00", messages.Closed, "2026-11-08 17:45:00"},  // before Muhurat trading, a Sunday
		{"2026-11-08 18:30:00", messages.Open, "2026-11-08 19:00:00"},    //
		{"2026-01-24 12:00:00", messages.Closed, "2026-01-27 09:00:00"},  // weekend and Republic Day
	} {
		// The host's zone must not matter.
		for _, zone := range []*time.Location{ist.Zone, time.UTC, time.FixedZone("New York", -5*3600), time.FixedZone("Kiritimati", 14*3600)} {
			phase, next := phaseAt(hours.BuiltIn(), at(t, c.at).In(zone))
			if phase != c.phase || !next.Equal(at(t, c.next)) {
				t.Errorf("%s in %v: %v until %v, want %v until %s", c.at, zone, phase, next.In(ist.Zone), c.phase, c.next)
			}
		}
	}
}

// A day with two sessions: between them the market is closed.
func TestTwoSessions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "holidays")
	if err := os.WriteFile(path, []byte("2026-12-05 open 09:15-10:00 DR first\n2026-12-05 open 11:30-12:30 DR second\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := hours.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at    string
		phase messages.Phase
		next  string
	}{
		{"09:00:00", messages.PreOpen, "09:08:00"},
		{"09:15:00", messages.Open, "10:00:00"},
		{"10:00:00", messages.Closed, "11:15:00"},
		{"10:20:00", messages.Closed, "11:15:00"},
		{"11:15:00", messages.PreOpen, "11:23:00"},
		{"11:23:00", messages.Matching, "11:30:00"},
		{"11:30:00", messages.Open, "12:30:00"},
		{"12:30:00", messages.Closing, "13:00:00"},
	} {
		phase, next := phaseAt(table, at(t, "2026-12-05 "+c.at))
		if phase != c.phase || !next.Equal(at(t, "2026-12-05 "+c.next)) {
			t.Errorf("%s: %v until %v, want %v until %s", c.at, phase, next.In(ist.Zone), c.phase, c.next)
		}
	}
}

// However often the clock is looked at, the next change is where the phase
// changes, and not before.
func TestNextIsTheNextChange(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		from := at(t, "2025-01-01 00:00:00").Add(time.Duration(rapid.IntRange(0, 2*365*24*3600).Draw(rt, "second")) * time.Second)
		phase, next := phaseAt(hours.BuiltIn(), from)
		if !next.After(from) {
			rt.Fatalf("at %v the next change is %v", from, next)
		}
		between := from.Add(time.Duration(rapid.Int64Range(0, int64(next.Sub(from))-1).Draw(rt, "between")))
		if p, n := phaseAt(hours.BuiltIn(), between); p != phase || !n.Equal(next) {
			rt.Fatalf("%v until %v at %v, but %v until %v at %v", phase, next, from, p, n, between)
		}
		if p, _ := phaseAt(hours.BuiltIn(), next); p == phase {
			rt.Fatalf("no change at %v", next)
		}
	})
}

// The story of a clock: at each step the time, the newest tick, and what is
// announced; "" is silence.
func TestStories(t *testing.T) {
	type step struct{ now, tick, want string }
	for name, steps := range map[string][]step{
		"a trading day": {
			{"2026-03-04 00:00:00", "", "closed, trading"},
			{"2026-03-04 05:59:59", "", ""},
			{"2026-03-04 06:00:00", "", "closed, trading, login due"},
			{"2026-03-04 09:00:00", "", "pre_open, trading, login due"},
			{"2026-03-04 09:08:00", "", "matching, trading, login due"},
			{"2026-03-04 09:15:00", "2026-03-04 09:14:59", "open, trading, login due"},
			{"2026-03-04 12:00:00", "2026-03-04 11:59:59", ""},
			{"2026-03-04 15:30:01", "2026-03-04 15:30:00", "closing, trading, login due"},
			{"2026-03-04 16:00:00", "2026-03-04 15:59:59", "closed, trading, login due"},
			{"2026-03-05 00:00:00", "2026-03-04 15:59:59", "closed, trading"},
		},
		"a clock that jumps": {
			{"2026-03-04 10:00:00", "2026-03-04 10:00:00", "open, trading, login due"},
			{"2026-03-05 09:00:00", "2026-03-04 15:30:00", "pre_open, trading, login due"},
			{"2026-03-04 10:00:00", "2026-03-04 10:00:00", "open, trading, login due"},
		},
		"a quiet weekend": {
			{"2026-03-07 05:00:00", "2026-03-06 15:29:59", "closed"},
			{"2026-03-07 12:00:00", "2026-03-06 15:29:59", ""},
		},
		"ticks on a holiday win": {
			{"2026-03-03 08:00:00", "2026-03-02 15:29:59", "closed"},
			{"2026-03-03 09:15:01", "2026-03-03 09:15:00", "open, trading, login due, ticks arrive"},
			{"2026-03-03 12:00:00", "2026-03-03 09:16:00", ""}, // silent for long, but proven
			{"2026-03-03 15:30:00", "2026-03-03 15:29:59", "closing, trading, login due, ticks arrive"},
			{"2026-03-03 16:00:00", "2026-03-03 15:30:00", "closed, trading, login due, ticks arrive"},
			{"2026-03-04 00:00:00", "2026-03-03 15:30:00", "closed, trading"},
		},
		"a cached tick proves nothing": {
			{"2026-03-03 10:00:00", "2026-03-03 09:00:00", "closed, Holi"},
			{"2026-03-03 10:00:01", "2026-03-02 10:00:01", ""},
		},
		"an evening session that was not announced": {
			{"2026-12-13 17:00:00", "2026-12-11 15:29:59", "closed"},
			{"2026-12-13 18:00:05", "2026-12-13 18:00:04", "open, trading, login due, ticks arrive"},
			{"2026-12-13 18:59:00", "2026-12-13 18:58:00", ""},
			{"2026-12-13 19:05:00", "2026-12-13 19:00:00", "closed, trading, login due, ticks arrive"},
		},
		"ticks on the evening of a trading day win": {
			{"2026-12-14 17:59:00", "2026-12-14 15:39:59", "closed, trading, login due"},
			{"2026-12-14 18:00:05", "2026-12-14 18:00:04", "open, trading, login due, ticks arrive outside"},
			{"2026-12-14 18:59:00", "2026-12-14 18:58:00", ""},
			{"2026-12-14 19:05:00", "2026-12-14 19:00:00", "closed, trading, login due"},
		},
		"prints before and after the session prove nothing": {
			{"2026-12-14 08:55:00", "2026-12-14 08:54:59", "closed, trading, login due"},
			{"2026-12-14 16:10:00", "2026-12-14 16:09:59", "closed, trading, login due"},
		},
		"silence on a trading day": {
			{"2026-03-04 09:15:00", "2026-03-02 15:30:00", "open, trading, login due"},
			{"2026-03-04 09:20:00", "2026-03-02 15:30:00", "open, trading, login due, the market should be open and no tick of today"},
			{"2026-03-04 09:21:00", "2026-03-04 09:20:59", "open, trading, login due"},
		},
		"a year that the table does not know": {
			{"2027-01-01 10:00:00", "2027-01-01 10:00:00", "open, trading, login due, the holiday table does not know 2027"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := state{table: hours.BuiltIn()}
			for _, step := range steps {
				e := observed{now: at(t, step.now)}
				if step.tick != "" {
					e.lastTick = at(t, step.tick)
				}
				var effects []effect
				s, effects = next(s, e)
				got := ""
				for _, effect := range effects {
					if a, ok := effect.(announce); ok {
						got = words(a.PhaseChanged)
						if !a.At.Equal(e.now) {
							t.Errorf("at %s: announced for %v", step.now, a.At)
						}
					}
				}
				if !strings.HasPrefix(got, step.want) || (got == "") != (step.want == "") {
					t.Errorf("at %s: announced %q, want %q", step.now, got, step.want)
				}
			}
		})
	}
}

func words(p messages.PhaseChanged) string {
	w := []string{p.Phase.String()}
	if p.TradingDay {
		w = append(w, "trading")
	}
	if p.LoginDue {
		w = append(w, "login due")
	}
	if p.Holiday != "" {
		w = append(w, p.Holiday)
	}
	if p.Warning != "" {
		w = append(w, p.Warning)
	}
	return strings.Join(w, ", ")
}

// A clock that a test moves.
type handClock struct {
	mu        sync.Mutex
	now, tick time.Time
}

func (c *handClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *handClock) lastTick() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tick
}

func (c *handClock) set(now, tick time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.tick = now, tick
}

func TestEachListenerIsNotified(t *testing.T) {
	clock := &handClock{}
	clock.set(at(t, "2026-03-04 08:00:00"), time.Time{})
	phases := &PhaseStore{}
	if _, ok := phases.Phase(); ok {
		t.Error("the store shows a phase before the first observation")
	}
	pids := []*actor.PID{actor.NewPID("local", "feed/main"), actor.NewPID("local", "web/main")}
	h := actorstest.Start(t, "market", New(Config{Clock: clock, Phases: phases, Listeners: pids, LastTick: clock.lastTick}))
	first := actorstest.Await(h, func(p messages.PhaseChanged) bool { return p.Phase == messages.Closed })
	if !first.TradingDay || !first.LoginDue || !first.Next.Equal(at(t, "2026-03-04 09:00:00")) {
		t.Errorf("at the start: %+v", first)
	}
	clock.set(at(t, "2026-03-04 09:15:00"), at(t, "2026-03-04 09:14:00"))
	open := actorstest.Await(h, func(p messages.PhaseChanged) bool { return p.Phase == messages.Open })
	if got, _ := phases.Phase(); got != open {
		t.Errorf("the store shows %+v, announced was %+v", got, open)
	}
	h.Stop() // one handler sends to every listener
	sent := map[string]int{}
	for _, s := range h.Sent() {
		sent[s.To.ID+" "+s.Msg.(messages.PhaseChanged).Phase.String()]++
	}
	want := map[string]int{"feed/main closed": 1, "web/main closed": 1, "feed/main open": 1, "web/main open": 1}
	if fmt.Sprint(sent) != fmt.Sprint(want) {
		t.Errorf("sent %v, want %v", sent, want)
	}
}

func TestHolidayFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "holidays")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("2026-03-04 closed Holi, moved\n")
	clock := &handClock{}
	clock.set(at(t, "2026-03-04 10:00:00"), time.Time{})
	h := actorstest.Start(t, "market", New(Config{
		Clock: clock, Phases: &PhaseStore{}, HolidayFile: path, LastTick: clock.lastTick,
		Listeners: []*actor.PID{actor.NewPID("local", "web/main")},
	}))
	actorstest.Await(h, func(p messages.PhaseChanged) bool { return !p.TradingDay })
	// The next day it is broken: the last good one stays, with a warning.
	write("2026-03-05 clsoed\n")
	clock.set(at(t, "2026-03-05 08:00:00"), time.Time{})
	warned := actorstest.Await(h, func(p messages.PhaseChanged) bool { return strings.Contains(p.Warning, "line 1") })
	if !warned.TradingDay {
		t.Errorf("a broken table: %+v", warned)
	}
	write("2026-03-06 closed Something\n")
	clock.set(at(t, "2026-03-06 10:00:00"), time.Time{})
	actorstest.Await(h, func(p messages.PhaseChanged) bool {
		return !p.TradingDay && p.Warning == "" && p.Next.Equal(at(t, "2026-03-09 09:00:00"))
	})
	if err := h.Err(); err != nil {
		t.Error(err)
	}
}
