package supervisor

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kitestring/actors"
)

// broken is a worker that panics at each start while sick holds.
func broken(name string, sick *atomic.Bool) Spec {
	return worker(name, func(_ actors.Self, msg any) {
		if _, ok := msg.(actors.Started); ok && sick.Load() {
			panic("broken")
		}
	})
}

func TestQuarantineInPlace(t *testing.T) {
	var sick atomic.Bool
	sick.Store(true)
	var seen []EventKind
	opts := Options{Observe: func(e Event) {
		if e.Actor == "bad" && (len(seen) == 0 || seen[len(seen)-1] != e.Kind) {
			seen = append(seen, e.Kind)
		}
	}}
	root := group("root", broken("bad", &sick), worker("good", nil))
	inBubble(t, root, opts, func(t *testing.T, s *Supervisor) {
		wantState(t, s, "good", Running)
		after(9 * time.Second)
		wantState(t, s, "bad", Quarantined)
		st := s.statusOf(t, "bad")
		if st.RestartsInWindow != 11 || st.NextRetryAt == nil {
			t.Fatalf("status %+v", st)
		}
		if h := s.Health(); h.OK || h.Quarantined != 1 || !strings.Contains(strings.Join(h.Reasons, "|"), "bad is quarantined: panic: broken") {
			t.Fatalf("health %+v", h)
		}
		before := st.Epoch
		after(time.Hour) // retried for ever, each 5 s, and nothing else happens
		if st := s.statusOf(t, "bad"); st.Epoch != before+720 || !st.Quarantined {
			t.Fatalf("epoch %d after an hour, was %d", st.Epoch, before)
		}
		if g := s.statusOf(t, "good"); g.Epoch != 1 || g.State != Running {
			t.Fatalf("good: %+v", g)
		}

		sick.Store(false)
		after(5 * time.Second)
		if st := s.statusOf(t, "bad"); st.State != Running || !st.Quarantined {
			t.Fatalf("status %+v", st)
		}
		after(10 * time.Second) // healthy for long enough
		if st := s.statusOf(t, "bad"); st.Quarantined || !s.Health().OK {
			t.Fatalf("status %+v", st)
		}
	})
	want := []EventKind{Failed, Quarantine, Failed, Ready, Reinstated, Ended}
	if !slices.Equal(seen, want) {
		t.Fatalf("events %v, want %v", seen, want)
	}
}

func TestReinstate(t *testing.T) {
	var sick atomic.Bool
	sick.Store(true)
	inBubble(t, group("root", broken("bad", &sick)), Options{}, func(t *testing.T, s *Supervisor) {
		after(9 * time.Second)
		wantState(t, s, "bad", Quarantined)
		sick.Store(false)
		if err := s.Reinstate("bad"); err != nil {
			t.Fatal(err)
		}
		after(0)
		if st := s.statusOf(t, "bad"); st.State != Running || st.Quarantined || st.RestartsInWindow != 0 {
			t.Fatalf("status %+v", st)
		}
		if err := s.Reinstate("bad"); err != nil {
			t.Fatal("a healthy one: ", err)
		}
		// It has its whole budget again.
		s.tellTest("bad", 1)
		after(time.Minute)
		wantState(t, s, "bad", Running)
	})
}

func TestBackoffDoublesAndResets(t *testing.T) {
	w := worker("a", func(self actors.Self, msg any) {
		if m, ok := msg.(order); ok {
			m(self)
		}
	})
	w.Intensity = Intensity{Restarts: 100, Period: time.Minute}
	w.Backoff = Backoff{Base: 100 * time.Millisecond, Cap: time.Second, Healthy: 10 * time.Second}
	inBubble(t, group("root", w), Options{}, func(t *testing.T, s *Supervisor) {
		pause := func() time.Duration {
			s.tellTest("a", order(crash))
			after(0)
			began := time.Now()
			for s.statusOf(t, "a").State != Running {
				after(10 * time.Millisecond)
			}
			return time.Since(began)
		}
		for i, want := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
			if got := pause(); got != want*time.Millisecond {
				t.Errorf("pause %d: %v, want %v ms", i, got, want)
			}
		}
		after(10 * time.Second)
		if got := pause(); got != 100*time.Millisecond {
			t.Errorf("after a healthy period: %v", got)
		}
	})
}

func TestRestartsByAPersonOrOfTheGroupDoNotCount(t *testing.T) {
	var d diary
	root := group("root", group("g", written(&d, "a"), written(&d, "b")))
	inBubble(t, root, Options{}, func(t *testing.T, s *Supervisor) {
		for range 50 {
			if err := s.Restart("a"); err != nil {
				t.Fatal(err)
			}
			after(0)
		}
		st := s.statusOf(t, "a")
		if st.Epoch != 51 || st.Restarts != 50 || st.RestartsInWindow != 0 || st.State != Running || st.Quarantined {
			t.Fatalf("status %+v", st)
		}
		if b := s.statusOf(t, "b"); b.Epoch != 1 {
			t.Fatalf("a person restarts one: b has epoch %d", b.Epoch)
		}
		for range 5 {
			if err := s.Restart("g"); err != nil {
				t.Fatal(err)
			}
			after(2 * time.Second)
		}
		if b := s.statusOf(t, "b"); b.Epoch != 6 || b.RestartsInWindow != 0 || b.Quarantined {
			t.Fatalf("the group's restarts counted: %+v", b)
		}
	})
}

func TestGroupEscalatesToItsParent(t *testing.T) {
	var d diary
	g := group("g", written(&d, "a"), written(&d, "b"))
	g.Group = Intensity{Restarts: 3, Period: 10 * time.Second}
	root := group("root", g, written(&d, "c"))
	inBubble(t, root, Options{}, func(t *testing.T, s *Supervisor) {
		for i := range 4 {
			if e := s.statusOf(t, "g"); e.Epoch != 1 {
				t.Fatalf("escalated after %d restarts", i)
			}
			s.tellTest([]string{"a", "b"}[i%2], order(crash))
			after(500 * time.Millisecond)
		}
		g := s.statusOf(t, "g")
		if g.Epoch != 2 || g.State != Running || g.Escalations != 1 || g.RestartsInWindow != 1 {
			t.Fatalf("group %+v", g)
		}
		if want := "b failed too often: panic: crash"; g.LastError != want {
			t.Fatalf("last error %q, want %q", g.LastError, want)
		}
		for _, name := range []string{"a", "b", "c"} {
			wantState(t, s, name, Running)
		}
		if c := s.statusOf(t, "c"); c.Epoch != 1 {
			t.Fatalf("c was restarted: %+v", c)
		}
	})
}

// A child that never starts takes its group down, the group is quarantined,
// and every other one lives.
func TestGroupQuarantine(t *testing.T) {
	var sick atomic.Bool
	sick.Store(true)
	g := group("g", worker("fine", nil), broken("bad", &sick))
	g.Group = Intensity{Restarts: 3, Period: 10 * time.Second}
	g.Intensity = Intensity{Restarts: 3, Period: time.Minute}
	inBubble(t, group("root", g, worker("c", nil)), Options{}, func(t *testing.T, s *Supervisor) {
		wantState(t, s, "c", Running)
		after(30 * time.Second)
		if st := s.statusOf(t, "g"); !st.Quarantined {
			t.Fatalf("group %+v", st)
		}
		sick.Store(false)
		if err := s.Reinstate("g"); err != nil {
			t.Fatal(err)
		}
		after(6 * time.Second)
		for _, name := range []string{"g", "fine", "bad"} {
			wantState(t, s, name, Running)
		}
		if c := s.statusOf(t, "c"); c.Epoch != 1 {
			t.Fatalf("c was restarted: %+v", c)
		}
	})
}

func TestRootNeverFails(t *testing.T) {
	var sick atomic.Bool
	root := group("root", worker("a", nil), broken("b", &sick))
	root.Group = Intensity{Restarts: 2, Period: time.Minute}
	inBubble(t, root, Options{}, func(t *testing.T, s *Supervisor) {
		sick.Store(true)
		if err := s.Restart("b"); err != nil {
			t.Fatal(err)
		}
		after(time.Minute)
		if st := s.statusOf(t, "root"); st.State != Running || st.Epoch != 1 || st.Escalations == 0 {
			t.Fatalf("root %+v", st)
		}
		wantState(t, s, "b", Quarantined)
		sick.Store(false)
		after(20 * time.Second)
		wantState(t, s, "a", Running)
		wantState(t, s, "b", Running)
		if !s.Health().OK {
			t.Fatalf("health %+v", s.Health())
		}
	})
}

// Retries in quarantine do not use up the group's budget.
func TestQuarantinedChildDoesNotTakeItsGroupDown(t *testing.T) {
	var sick atomic.Bool
	sick.Store(true)
	bad := broken("bad", &sick)
	bad.Intensity = Intensity{Restarts: 2, Period: 10 * time.Second}
	bad.Backoff.Quarantine = time.Second
	g := group("g", bad, worker("fine", nil))
	g.Group = Intensity{Restarts: 10, Period: time.Minute}
	inBubble(t, group("root", g), Options{}, func(t *testing.T, s *Supervisor) {
		after(5 * time.Minute)
		wantState(t, s, "bad", Quarantined)
		if st := s.statusOf(t, "g"); st.Epoch != 1 || st.Escalations != 0 {
			t.Fatalf("group %+v", st)
		}
	})
}
