package supervisor

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kitestring/actors"
)

// What a woken zombie says, to others and to itself, is dropped; what it had
// said before it was fenced is not.
func TestZombieOutputIsDropped(t *testing.T) {
	var d diary
	var wake chan struct{} // of the bubble
	sender := worker("sender", func(self actors.Self, msg any) {
		switch m := msg.(type) {
		case actors.Started:
			d.note("started %d", self.Epoch())
		case actors.Stopped:
			d.note("stopped %d", self.Epoch())
		case string:
			self.Send(PIDOf("receiver"), "before")
			self.After(time.Minute, "timer")
			self.Every(time.Second, "tick")
			<-wake
			self.Send(PIDOf("receiver"), "late")
			self.Tell("late")
			self.After(0, "late")
			self.Fail(errTest)
			self.Go("late", nil)
		case order:
			m(self)
		}
	})
	receiver := worker("receiver", func(_ actors.Self, msg any) {
		if m, ok := msg.(string); ok {
			d.note("got %s", m)
		}
	})
	inBubble(t, group("root", sender, receiver), Options{}, func(t *testing.T, s *Supervisor) {
		wake = make(chan struct{})
		s.tellTest("sender", "hang")
		after(2500 * time.Millisecond)
		if st := s.statusOf(t, "sender"); st.State != Running || st.Epoch != 2 || st.Zombies != 1 {
			t.Fatalf("not replaced within 2.5 s: %+v", st)
		}
		close(wake)
		s.tellTest("sender", order(func(self actors.Self) { self.Send(PIDOf("receiver"), "fresh") }))
		after(2 * time.Minute)
		st := s.statusOf(t, "sender")
		if st.Epoch != 2 || st.Zombies != 0 || st.LateOutputs != 1 {
			t.Fatalf("status %+v", st)
		}
	})
	if got, want := d.take(), []string{"started 1", "got before", "started 2", "got fresh", "stopped 2"}; !slices.Equal(got, want) {
		t.Fatalf("seen %v, want %v", got, want)
	}
}

// A message that passes the sender's own check is refused by the receiver.
func TestReceiverDropsOlderEpochs(t *testing.T) {
	got := 0
	receiver := worker("receiver", func(_ actors.Self, msg any) {
		if _, ok := msg.(string); ok {
			got++
		}
	})
	inBubble(t, group("root", worker("sender", nil), receiver), Options{}, func(t *testing.T, s *Supervisor) {
		old := s.cells["sender/main"].current.Load()
		s.engine.SendWithSender(PIDOf("receiver"), "a", old.pid)
		if err := s.Restart("sender"); err != nil {
			t.Fatal(err)
		}
		after(0)
		s.engine.SendWithSender(PIDOf("receiver"), "b", old.pid)
		s.engine.Send(PIDOf("receiver"), "c")
		after(0)
		if got != 2 {
			t.Fatalf("%d messages, want 2", got)
		}
	})
}

// Control messages that stood behind the hung handler reach the next
// incarnation, in order, and each exactly once.
func TestHungHandlerKeepsTheQueue(t *testing.T) {
	var d diary
	w := worker("a", func(self actors.Self, msg any) {
		switch m := msg.(type) {
		case order:
			m(self)
		case int:
			d.note("%d:%d", self.Epoch(), m)
		}
	})
	inBubble(t, group("root", w), Options{}, func(t *testing.T, s *Supervisor) {
		s.tellTest("a", order(func(actors.Self) { time.Sleep(time.Minute) }))
		for i := range 3 {
			s.tellTest("a", i)
		}
		after(2 * time.Minute)
		if got, want := d.take(), []string{"2:0", "2:1", "2:2"}; !slices.Equal(got, want) {
			t.Fatalf("seen %v, want %v", got, want)
		}
	})
}

// A busy actor whose handlers each end is never hung; a long handler below the
// limit neither.
func TestBusyIsNotHung(t *testing.T) {
	w := worker("a", func(_ actors.Self, msg any) {
		if m, ok := msg.(time.Duration); ok {
			time.Sleep(m)
		}
	})
	inBubble(t, group("root", w), Options{}, func(t *testing.T, s *Supervisor) {
		for range 500 {
			s.tellTest("a", 1900*time.Millisecond)
		}
		after(1500 * time.Millisecond)
		wantState(t, s, "a", Hung) // seen, not yet given up
		after(10 * time.Minute)
		if st := s.statusOf(t, "a"); st.Epoch != 1 {
			t.Fatalf("status %+v", st)
		}
		after(10 * time.Minute)
	})
}

func TestHeartbeatOfMeaning(t *testing.T) {
	var open, beating atomic.Bool
	open.Store(true)
	beating.Store(true)
	w := worker("a", func(self actors.Self, msg any) {
		switch msg.(type) {
		case actors.Started:
			self.Every(time.Second, "beat")
		case string:
			if beating.Load() {
				self.Beat()
			}
		}
	})
	w.Heartbeat, w.HeartbeatWhile = 3*time.Second, open.Load
	inBubble(t, group("root", w), Options{}, func(t *testing.T, s *Supervisor) {
		after(time.Hour)
		if st := s.statusOf(t, "a"); st.Epoch != 1 {
			t.Fatalf("restarted while beating: %+v", st)
		}
		beating.Store(false)
		after(4100 * time.Millisecond)
		st := s.statusOf(t, "a")
		if st.Epoch != 2 || st.LastError != "no progress within its heartbeat of 3s" {
			t.Fatalf("status %+v", st)
		}
		open.Store(false)
		after(time.Hour)
		if now := s.statusOf(t, "a"); now.Epoch > 2 {
			t.Fatalf("restarted while nothing was due: %+v", now)
		}
		beating.Store(true)
		open.Store(true)
		after(time.Hour)
		if now := s.statusOf(t, "a"); now.Epoch != 2 || now.State != Running {
			t.Fatalf("status %+v", now)
		}
	})
}

// When a stopped process (SIGSTOP, a suspended laptop) goes on, no actor is
// taken for hung: the watchdog's looks are far apart, not the handler's progress.
func TestWatchdogDoesNotCountItsOwnAbsence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := run(t, group("root", worker("a", nil)), Options{})
		c := s.cells["a/main"]
		synctest.Wait() // until it has handled Started, and sleeps
		in := c.current.Load()
		in.asleep.Store(false) // as if a handler ran
		w := s.newWatchdog()
		w.look(time.Now())
		w.look(time.Now().Add(time.Hour))
		if stuck := w.probes[c].stuck; stuck != 200*time.Millisecond || s.statusOf(t, "a").State != Running {
			t.Errorf("stuck %v, %v", stuck, s.statusOf(t, "a").State)
		}
		in.asleep.Store(true)
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A handler that comes back at the moment when the watchdog gives it up is not
// hung after all: nothing is taken from it.
func TestWatchdogChecksAgainBeforeItAbandons(t *testing.T) {
	inBubble(t, group("root", worker("a", nil)), Options{}, func(t *testing.T, s *Supervisor) {
		n := s.byName["a"]
		seen := n.in.taken.Load()
		s.tellTest("a", "handled meanwhile")
		after(0)
		s.hangs(n, n.in, seen, time.Minute)
		s.tellTest("a", "handled later")
		after(0)
		if st := s.statusOf(t, "a"); st.Epoch != 1 || st.State != Running || st.Handled != 2 {
			t.Fatalf("status %+v", st)
		}
	})
}
