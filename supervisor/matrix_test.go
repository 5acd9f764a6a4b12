package supervisor

import (
	"context"
	"runtime"
	"slices"
	"testing"
	"time"

	"kitestring/actors"
)

// Every way to end: of a, b and c, b ends and is started again alone.

type ending struct {
	name   string
	reason string // of last_error
	do     func(s *Supervisor) order
}

var endings = []ending{
	{"normal", "", func(*Supervisor) order { return leave }},
	{"error", "test failure", func(*Supervisor) order { return fail }},
	{"panic", "panic: crash", func(*Supervisor) order { return crash }},
	{"goexit", "the handler ended its goroutine", func(*Supervisor) order {
		return func(actors.Self) { runtime.Goexit() }
	}},
	{"task error", "task t: test failure", func(*Supervisor) order {
		return func(self actors.Self) { self.Go("t", func(context.Context) error { return errTest }) }
	}},
	{"task panic", "task t: panic: crash", func(*Supervisor) order {
		return func(self actors.Self) { self.Go("t", func(context.Context) error { panic("crash") }) }
	}},
	{"hang", "hung in a handler for 2s", func(s *Supervisor) order {
		return func(actors.Self) { <-s.unhang }
	}},
}

func TestEveryEndIsRestartedAlone(t *testing.T) {
	for _, e := range endings {
		t.Run(e.name, func(t *testing.T) {
			var d diary
			root := group("root", group("g", written(&d, "a"), written(&d, "b"), written(&d, "c")), written(&d, "other"))
			inBubble(t, root, Options{}, func(t *testing.T, s *Supervisor) {
				d.take()
				s.tellTest("b", e.do(s))
				after(4 * time.Second)
				want := []string{"-b", "+b"}
				if e.name == "hang" {
					want = []string{"+b"}
				}
				if got := d.take(); !slices.Equal(got, want) {
					t.Errorf("seen %v, want %v", got, want)
				}
				for _, a := range s.Snapshot().Actors {
					epoch, reason := uint64(1), ""
					if a.Name == "b" {
						epoch, reason = 2, e.reason
					}
					if a.Epoch != epoch || a.LastError != reason || a.State != Running {
						t.Errorf("%s: epoch %d, %v, last error %q; want epoch %d, %q", a.Name, a.Epoch, a.State, a.LastError, epoch, reason)
					}
				}
				if h := s.Health(); !h.OK {
					t.Errorf("health %+v", h)
				}
			})
		})
	}
}

func TestTwoFailAtOnceInTwoGroups(t *testing.T) {
	var d diary
	root := group("root",
		group("g", written(&d, "a"), written(&d, "b")),
		group("h", written(&d, "c"), written(&d, "e")))
	inBubble(t, root, Options{}, func(t *testing.T, s *Supervisor) {
		d.take()
		s.tellTest("a", order(crash))
		s.tellTest("e", order(crash))
		after(time.Second)
		got := d.take()
		slices.Sort(got)
		if want := []string{"+a", "+e", "-a", "-e"}; !slices.Equal(got, want) {
			t.Fatalf("seen %v, want %v", got, want)
		}
	})
}
