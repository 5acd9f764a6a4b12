package supervisor

import (
	"context"
	"runtime"
	"slices"
	"testing"
	"time"

	"kitestring/actors"
)

// The matrix of OTP's supervisor_SUITE: every way to end x every restart type
// x every strategy. Of a, b and c, b ends.

type ending struct {
	name   string
	normal bool
	reason string // of last_error
	do     func(s *Supervisor) order
}

var endings = []ending{
	{"normal", true, "", func(*Supervisor) order { return leave }},
	{"error", false, "test failure", func(*Supervisor) order { return fail }},
	{"panic", false, "panic: crash", func(*Supervisor) order { return crash }},
	{"goexit", false, "the handler ended its goroutine", func(*Supervisor) order {
		return func(actors.Self) { runtime.Goexit() }
	}},
	{"task error", false, "task t: test failure", func(*Supervisor) order {
		return func(self actors.Self) { self.Go("t", func(context.Context) error { return errTest }) }
	}},
	{"task panic", false, "task t: panic: crash", func(*Supervisor) order {
		return func(self actors.Self) { self.Go("t", func(context.Context) error { panic("crash") }) }
	}},
	{"hang", false, "hung in a handler for 2s", func(s *Supervisor) order {
		return func(actors.Self) { <-s.unhang }
	}},
}

func TestMatrix(t *testing.T) {
	for _, e := range endings {
		for _, restart := range []Restart{Permanent, Transient, Temporary} {
			for _, strategy := range []Strategy{OneForOne, RestForOne, OneForAll} {
				name := e.name + "/" + [...]string{"permanent", "transient", "temporary"}[restart] + "/" + strategy.String()
				t.Run(name, func(t *testing.T) { matrixCase(t, e, restart, strategy) })
			}
		}
	}
}

func matrixCase(t *testing.T, e ending, restart Restart, strategy Strategy) {
	var d diary
	b := written(&d, "b")
	b.Restart = restart
	root := group("root", OneForOne, group("g", strategy, written(&d, "a"), b, written(&d, "c")), written(&d, "other"))
	inBubble(t, root, Options{}, func(t *testing.T, s *Supervisor) {
		d.take()
		s.tellTest("b", e.do(s))
		after(4 * time.Second)

		var want []string
		if e.name != "hang" {
			want = []string{"-b"}
		}
		epochs := map[string]uint64{"a": 1, "b": 1, "c": 1, "other": 1, "g": 1, "root": 1}
		restarted := restart == Permanent || (restart == Transient && !e.normal)
		if restarted {
			switch strategy {
			case OneForOne:
				want = append(want, "+b")
				epochs["b"] = 2
			case RestForOne:
				want = append(want, "-c", "+b", "+c")
				epochs["b"], epochs["c"] = 2, 2
			case OneForAll:
				want = append(want, "-c", "-a", "+a", "+b", "+c")
				epochs["a"], epochs["b"], epochs["c"] = 2, 2, 2
			}
		}
		if got := d.take(); !slices.Equal(got, want) {
			t.Errorf("seen %v, want %v", got, want)
		}
		for _, a := range s.Snapshot().Actors {
			if a.Epoch != epochs[a.Name] {
				t.Errorf("%s: epoch %d, want %d", a.Name, a.Epoch, epochs[a.Name])
			}
			wantState := Running
			if a.Name == "b" && !restarted {
				wantState = Stopped
			}
			if a.State != wantState {
				t.Errorf("%s is %v, want %v", a.Name, a.State, wantState)
			}
			if a.Name == "b" && a.LastError != e.reason {
				t.Errorf("last error %q, want %q", a.LastError, e.reason)
			}
		}
		if h := s.Health(); !h.OK {
			t.Errorf("health %+v", h)
		}
	})
}

// A temporary sibling that its group takes along does not come back; a
// transient one that had ended normally does.
func TestGroupRestartAndItsSiblings(t *testing.T) {
	var d diary
	temporary, transient := written(&d, "temporary"), written(&d, "transient")
	temporary.Restart, transient.Restart = Temporary, Transient
	root := group("root", OneForAll, written(&d, "a"), temporary, transient)
	inBubble(t, root, Options{}, func(t *testing.T, s *Supervisor) {
		s.tellTest("transient", order(leave))
		after(time.Second)
		wantState(t, s, "transient", Stopped)
		d.take()
		s.tellTest("a", order(crash))
		after(0)
		wantState(t, s, "a", BackingOff)
		wantState(t, s, "transient", BackingOff)
		after(time.Second)
		if got, want := d.take(), []string{"-a", "-temporary", "+a", "+transient"}; !slices.Equal(got, want) {
			t.Fatalf("seen %v, want %v", got, want)
		}
		wantState(t, s, "temporary", Stopped)

		// A person may bring it back.
		if err := s.Restart("temporary"); err != nil {
			t.Fatal(err)
		}
		after(0)
		wantState(t, s, "temporary", Running)
	})
}

func TestAnotherChildFailsMeanwhile(t *testing.T) {
	var d diary
	root := group("root", RestForOne, written(&d, "a"), written(&d, "b"), written(&d, "c"))
	inBubble(t, root, Options{}, func(t *testing.T, s *Supervisor) {
		d.take()
		s.tellTest("b", order(crash))
		after(10 * time.Millisecond) // b and c are down, held by b's backoff
		s.tellTest("a", order(crash))
		after(time.Second)
		if got, want := d.take(), []string{"-b", "-c", "-a", "+a", "+b", "+c"}; !slices.Equal(got, want) {
			t.Fatalf("seen %v, want %v", got, want)
		}
		for name, want := range map[string]uint64{"a": 2, "b": 2, "c": 2} {
			if got := s.statusOf(t, name); got.Epoch != want || got.State != Running {
				t.Errorf("%s: epoch %d, %v", name, got.Epoch, got.State)
			}
		}
	})
}

func TestFailureInOneGroupLeavesTheOtherAlone(t *testing.T) {
	var d diary
	root := group("root", OneForOne,
		group("g", OneForAll, written(&d, "a"), written(&d, "b")),
		group("h", OneForAll, written(&d, "c"), written(&d, "e")))
	inBubble(t, root, Options{}, func(t *testing.T, s *Supervisor) {
		d.take()
		s.tellTest("a", order(crash))
		s.tellTest("e", order(crash))
		after(time.Second)
		got := d.take()
		slices.Sort(got)
		if want := []string{"+a", "+b", "+c", "+e", "-a", "-b", "-c", "-e"}; !slices.Equal(got, want) {
			t.Fatalf("seen %v, want %v", got, want)
		}
	})
}
