package supervisor

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
)

func TestTimers(t *testing.T) {
	var d diary
	var stop func()
	w := worker("a", func(self actors.Self, msg any) {
		switch m := msg.(type) {
		case actors.Started:
			if self.Epoch() > 1 {
				return
			}
			self.After(time.Second, "once")
			self.After(2*time.Second, "never")() // stopped at once
			stop = self.Every(time.Second, "tick")
		case string:
			d.note("%s", m)
		case order:
			m(self)
		}
	})
	inBubble(t, group("root", w), Options{}, func(t *testing.T, s *Supervisor) {
		after(3500 * time.Millisecond)
		got := d.take()
		slices.Sort(got)
		if want := []string{"once", "tick", "tick", "tick"}; !slices.Equal(got, want) {
			t.Fatalf("seen %v, want %v", got, want)
		}
		// A slow actor gets one tick, not those that it missed.
		s.tellTest("a", order(func(actors.Self) { time.Sleep(1800 * time.Millisecond) }))
		after(1900 * time.Millisecond)
		if got := d.take(); len(got) != 1 {
			t.Fatalf("seen %v after a slow handler", got)
		}
		// The incarnation's timers and what they sent it end with it.
		s.tellTest("a", order(func(self actors.Self) {
			self.Tell("in time")
			panic("crash")
		}))
		after(time.Minute)
		if got := d.take(); len(got) != 0 {
			t.Fatalf("the next incarnation got %v", got)
		}
		stop()
	})
}

func TestTasksEndWithTheIncarnation(t *testing.T) {
	var d diary
	w := worker("a", func(self actors.Self, msg any) {
		switch m := msg.(type) {
		case actors.Started:
			epoch := self.Epoch()
			self.Go("work", func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(time.Second) // closes a connection
				d.note("task %d ended", epoch)
				self.Tell("too late")
				return ctx.Err()
			})
		case actors.Stopped:
			d.note("stopped %d: %v", self.Epoch(), m.Err)
		case string:
			d.note("%d: %s", self.Epoch(), m)
		case order:
			m(self)
		}
	})
	inBubble(t, group("root", w), Options{}, func(t *testing.T, s *Supervisor) {
		s.tellTest("a", order(fail))
		after(500 * time.Millisecond)
		wantState(t, s, "a", BackingOff)
		after(5 * time.Second)
		wantState(t, s, "a", Running)
		if st := s.statusOf(t, "a"); st.Epoch != 2 || st.Tasks != 1 {
			t.Fatalf("status %+v", st)
		}
	})
	want := []string{"stopped 1: test failure", "task 1 ended", "stopped 2: <nil>", "task 2 ended"}
	if got := d.take(); !slices.Equal(got, want) {
		t.Fatalf("seen %v, want %v", got, want)
	}
}

func TestPanicWhileStopping(t *testing.T) {
	w := worker("a", func(self actors.Self, msg any) {
		switch m := msg.(type) {
		case actors.Stopped:
			panic("in stop")
		case order:
			m(self)
		}
	})
	inBubble(t, group("root", w), Options{}, func(t *testing.T, s *Supervisor) {
		s.tellTest("a", order(crash))
		after(time.Second)
		if st := s.statusOf(t, "a"); st.State != Running || st.Epoch != 2 || st.LastError != "panic: crash" {
			t.Fatalf("status %+v", st)
		}
	})
}

func TestSendAndDeadLetters(t *testing.T) {
	var d diary
	echo := worker("echo", func(_ actors.Self, msg any) {
		if m, ok := msg.(string); ok {
			d.note("%s", m)
		}
	})
	inBubble(t, group("root", worker("a", func(self actors.Self, msg any) {
		if m, ok := msg.(order); ok {
			m(self)
		}
	}), echo), Options{}, func(t *testing.T, s *Supervisor) {
		foreign := make(chan any, 1)
		stranger := s.Engine().SpawnFunc(func(c *actor.Context) {
			if m, ok := c.Message().(string); ok {
				foreign <- m
			}
		}, "stranger")
		s.tellTest("a", order(func(self actors.Self) {
			if self.Name() != "a" || !self.PID().Equals(PIDOf("a")) {
				t.Errorf("I am %s at %v", self.Name(), self.PID())
			}
			self.Send(PIDOf("echo"), "one")
			self.Send(self.PID(), order(func(self actors.Self) { self.Send(PIDOf("echo"), "three") }))
			self.Send(PIDOf("echo"), "two")
			self.Send(PIDOf("nobody"), "lost")
			self.Send(nil, "lost")
			self.Send(stranger, "hello")
		}))
		after(0)
		if got, want := d.take(), []string{"one", "two", "three"}; !slices.Equal(got, want) {
			t.Errorf("seen %v, want %v", got, want)
		}
		if got := <-foreign; got != "hello" {
			t.Errorf("the stranger got %v", got)
		}
		if n := s.Snapshot().DeadLetters; n != 2 {
			t.Errorf("%d dead letters, want 2", n)
		}
		<-s.Engine().Poison(stranger).Done()
	})
}
