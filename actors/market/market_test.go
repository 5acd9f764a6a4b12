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

	"kitestring/actors/actorstest"
	"kitestring/messages"
)

func TestMain(m *testing.M) { actorstest.Main(m) }

// The story of a clock: at each step the time, the newest tick, and what is
// told; "" is silence.
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
			{"2026-03-03 10:00:00", "2026-03-03 09:00:00", "closed"},
			{"2026-03-03 10:00:01", "2026-03-02 10:00:01", ""},
		},
		"an evening session that nobody told us": {
			{"2026-11-08 17:00:00", "2026-11-06 15:29:59", "closed"},
			{"2026-11-08 18:00:05", "2026-11-08 18:00:04", "open, trading, login due, ticks arrive"},
			{"2026-11-08 18:59:00", "2026-11-08 18:58:00", ""},
			{"2026-11-08 19:05:00", "2026-11-08 19:00:00", "closed, trading, login due, ticks arrive"},
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
			s := state{calendar: BuiltIn()}
			for _, step := range steps {
				e := observed{now: at(t, step.now)}
				if step.tick != "" {
					e.lastTick = at(t, step.tick)
				}
				var effects []any
				s, effects = next(s, e)
				got := ""
				for _, effect := range effects {
					if said, ok := effect.(messages.PhaseChanged); ok {
						got = words(said)
						if !said.At.Equal(e.now) {
							t.Errorf("at %s: told for %v", step.now, said.At)
						}
					}
				}
				if !strings.HasPrefix(got, step.want) || (got == "") != (step.want == "") {
					t.Errorf("at %s: told %q, want %q", step.now, got, step.want)
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

func TestActorTellsEachListener(t *testing.T) {
	clock := &handClock{}
	clock.set(at(t, "2026-03-04 08:00:00"), time.Time{})
	wall := &PhaseStore{}
	if !wall.Phase().At.IsZero() {
		t.Error("the wall shows a phase before anybody looked")
	}
	pids := []*actor.PID{actor.NewPID("local", "feed/main"), actor.NewPID("local", "web/main")}
	h := actorstest.Start(t, "market", New(Config{Clock: clock, Wall: wall, Listeners: pids, LastTick: clock.lastTick}))
	first := actorstest.Await(h, func(p messages.PhaseChanged) bool { return p.Phase == messages.Closed })
	if !first.TradingDay || !first.LoginDue || !first.Next.Equal(at(t, "2026-03-04 09:00:00")) {
		t.Errorf("at the start: %+v", first)
	}
	clock.set(at(t, "2026-03-04 09:15:00"), at(t, "2026-03-04 09:14:00"))
	open := actorstest.Await(h, func(p messages.PhaseChanged) bool { return p.Phase == messages.Open })
	if got := wall.Phase(); got != open {
		t.Errorf("the wall shows %+v, told was %+v", got, open)
	}
	h.Stop() // the handler that told one listener has told them all
	told := map[string]int{}
	for _, s := range h.Sent() {
		told[s.To.ID+" "+s.Msg.(messages.PhaseChanged).Phase.String()]++
	}
	want := map[string]int{"feed/main closed": 1, "web/main closed": 1, "feed/main open": 1, "web/main open": 1}
	if fmt.Sprint(told) != fmt.Sprint(want) {
		t.Errorf("told %v, want %v", told, want)
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
		Clock: clock, Wall: &PhaseStore{}, HolidayFile: path, LastTick: clock.lastTick,
		Listeners: []*actor.PID{actor.NewPID("local", "web/main")},
	}))
	actorstest.Await(h, func(p messages.PhaseChanged) bool { return !p.TradingDay })
	// The next day it is broken: the last good one stays, and a person is told.
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
