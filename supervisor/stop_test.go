package supervisor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kitestring/actors"
)

func TestStopIsBoundedByTheGrace(t *testing.T) {
	var d diary
	stuck := worker("stuck", func(_ actors.Self, msg any) {
		if _, ok := msg.(actors.Stopped); ok {
			time.Sleep(time.Hour)
		}
	})
	stuck.StopGrace = time.Second
	task := worker("task", func(self actors.Self, msg any) {
		if _, ok := msg.(actors.Started); ok {
			self.Go("stuck", func(context.Context) error { time.Sleep(time.Hour); return nil })
		}
	})
	task.StopGrace = 3 * time.Second
	synctest.Test(t, func(t *testing.T) {
		s := run(t, group("root", written(&d, "a"), stuck, task, written(&d, "z")), Options{})
		d.take()
		began := time.Now()
		err := s.Stop(context.Background())
		if took := time.Since(began); took != 4*time.Second {
			t.Errorf("took %v, want the graces of both: 4 s", took)
		}
		if err == nil || !strings.Contains(err.Error(), "task, stuck") {
			t.Errorf("error %v, want both names", err)
		}
		if got, want := d.take(), []string{"-z", "-a"}; !slices.Equal(got, want) {
			t.Errorf("seen %v, want %v", got, want)
		}
		if err := s.Stop(context.Background()); err != nil {
			t.Errorf("second stop: %v", err)
		}
		if err := s.Restart("a"); !errors.Is(err, ErrNotRunning) {
			t.Errorf("restart after the end: %v", err)
		}
		time.Sleep(2 * time.Hour)
	})
}

func TestStopGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := worker("stuck", func(_ actors.Self, msg any) {
			if _, ok := msg.(actors.Stopped); ok {
				time.Sleep(time.Hour)
			}
		})
		stuck.StopGrace = time.Minute
		s := run(t, group("root", worker("a", nil), group("g", worker("b", nil), stuck)), Options{})
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		began := time.Now()
		err := s.Stop(ctx)
		if took := time.Since(began); took != time.Second || err == nil {
			t.Errorf("took %v, error %v", took, err)
		}
		time.Sleep(2 * time.Hour)
	})
}

func TestStopDuringEverything(t *testing.T) {
	var sick atomic.Bool
	sick.Store(true)
	hangsAtStart := worker("slow", func(_ actors.Self, msg any) {
		if _, ok := msg.(actors.Started); ok {
			time.Sleep(4 * time.Second)
		}
	})
	for wait := time.Duration(0); wait < 20*time.Second; wait += 700 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), wait)
			defer cancel()
			s := New(Options{})
			err := s.Start(ctx, group("root", worker("a", nil), hangsAtStart, group("g", broken("bad", &sick), worker("b", nil))))
			if err == nil {
				_ = s.Stop(context.Background()) // one that hangs in its start is named
			} else if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			for _, a := range s.Snapshot().Actors {
				if a.State != Stopped {
					t.Errorf("after %v: %s is %v", wait, a.Name, a.State)
				}
			}
			time.Sleep(10 * time.Second)
			if err := s.Start(context.Background(), group("root", worker("a", nil))); err == nil {
				t.Error("started again")
			}
		})
	}
}

func TestStartTimeout(t *testing.T) {
	var hang atomic.Bool
	hang.Store(true)
	slow := worker("slow", func(_ actors.Self, msg any) {
		if _, ok := msg.(actors.Started); ok && hang.Load() {
			time.Sleep(time.Hour)
		}
	})
	slow.StartTimeout = time.Second
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := run(t, group("root", slow, worker("next", nil)), Options{})
		if took := time.Since(began); took != time.Second {
			t.Errorf("the next one waited %v", took)
		}
		wantState(t, s, "slow", BackingOff)
		hang.Store(false)
		after(100 * time.Millisecond)
		wantState(t, s, "slow", Running)
		if st := s.statusOf(t, "slow"); st.LastError != errStartTimeout.Error() || st.Zombies != 1 {
			t.Errorf("status %+v", st)
		}
		after(2 * time.Hour)
		if st := s.statusOf(t, "slow"); st.Zombies != 0 || st.State != Running || st.Epoch != 2 {
			t.Errorf("status %+v", st)
		}
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// OTP's hanging restart loop: a child that hangs in each restart does not keep
// its supervisor from serving the others or from stopping.
func TestHangingRestartLoop(t *testing.T) {
	loop := worker("loop", func(self actors.Self, msg any) {
		if _, ok := msg.(actors.Started); ok && self.Epoch() > 1 {
			time.Sleep(time.Hour)
		}
		if m, ok := msg.(order); ok {
			m(self)
		}
	})
	var d diary
	synctest.Test(t, func(t *testing.T) {
		s := run(t, group("root", loop, written(&d, "b")), Options{})
		s.tellTest("loop", order(crash))
		after(time.Minute)
		d.take()
		began := time.Now()
		s.tellTest("b", order(crash))
		after(60 * time.Millisecond)
		if got, want := d.take(), []string{"-b", "+b"}; !slices.Equal(got, want) {
			t.Errorf("b: %v after %v", got, time.Since(began))
		}
		_ = s.Stop(context.Background())
		time.Sleep(2 * time.Hour)
	})
}

func TestRestartWhileRestarting(t *testing.T) {
	var d diary
	slow := worker("a", func(self actors.Self, msg any) {
		switch m := msg.(type) {
		case actors.Started:
			time.Sleep(time.Second)
			d.note("+a%d", self.Epoch())
		case actors.Stopped:
			time.Sleep(time.Second)
			d.note("-a%d", self.Epoch())
		case order:
			m(self)
		}
	})
	slow.StopGrace = 5 * time.Second
	root := group("root", slow, written(&d, "b"))
	inBubble(t, root, Options{}, func(t *testing.T, s *Supervisor) {
		d.take()
		for range 5 { // while it stops, starts, runs and backs off
			for range 3 {
				if err := s.Restart("a"); err != nil {
					t.Fatal(err)
				}
				after(300 * time.Millisecond)
			}
			s.tellTest("a", order(crash))
			after(700 * time.Millisecond)
		}
		after(20 * time.Second)
		wantState(t, s, "a", Running)
		var last string
		for _, l := range d.take() { // incarnations never overlap
			if l[0] == '+' && last != "" && last[0] == '+' {
				t.Errorf("%s after %s", l, last)
			}
			last = l
		}
		if b := s.statusOf(t, "b"); b.Epoch != 1 {
			t.Errorf("b was restarted: %+v", b)
		}
		if err := s.Restart("root"); err != nil {
			t.Fatal(err)
		}
		after(5 * time.Second)
		if got, want := d.take(), []string{"-b", "+b"}; len(got) != 4 || got[0] != want[0] || got[3] != want[1] {
			t.Errorf("restart of the root: %v", got)
		}
	})
}

func TestRestartOfAGroup(t *testing.T) {
	var d diary
	root := group("root", group("g", written(&d, "a"), written(&d, "b")), written(&d, "c"))
	inBubble(t, root, Options{}, func(t *testing.T, s *Supervisor) {
		d.take()
		if err := s.Restart("g"); err != nil {
			t.Fatal(err)
		}
		after(0)
		if got, want := d.take(), []string{"-b", "-a", "+a", "+b"}; !slices.Equal(got, want) {
			t.Fatalf("seen %v, want %v", got, want)
		}
		if g := s.statusOf(t, "g"); g.Epoch != 2 || g.RestartsInWindow != 0 || g.State != Running {
			t.Fatalf("group %+v", g)
		}
		var unknown *UnknownError
		if err := s.Restart("nobody"); !errors.As(err, &unknown) || !slices.Equal(unknown.Names, []string{"a", "b", "c", "g", "root"}) {
			t.Fatalf("unknown name: %v", err)
		}
	})
}

// A backoff that ends while its group is being stopped starts no child.
func TestNobodyStartsWhileStopping(t *testing.T) {
	var d diary
	stuck := worker("stuck", func(_ actors.Self, msg any) {
		if _, ok := msg.(actors.Stopped); ok {
			time.Sleep(time.Second)
		}
	})
	inBubble(t, group("root", written(&d, "a"), stuck), Options{}, func(t *testing.T, s *Supervisor) {
		s.tellTest("a", order(crash))
		after(0)
		d.take()
	})
	if got := d.take(); len(got) != 0 {
		t.Fatalf("seen %v", got)
	}
}

// While it stops, a child has its grace, however short its Hang is.
func TestGraceNotHangBoundsAStop(t *testing.T) {
	var d diary
	slow := worker("slow", func(_ actors.Self, msg any) {
		if _, ok := msg.(actors.Stopped); ok {
			time.Sleep(3 * time.Second)
			d.note("stopped")
		}
	})
	slow.Hang, slow.StopGrace = time.Second, 5*time.Second
	inBubble(t, group("root", slow), Options{}, func(*testing.T, *Supervisor) {})
	if got := d.take(); len(got) != 1 {
		t.Fatalf("seen %v", got)
	}
}
