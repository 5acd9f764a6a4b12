package supervisor

import (
	"errors"
	"slices"
	"testing"
	"time"

	"kitestring/actors"
)

type tokenMessage struct{}

func victim(d *diary) Spec {
	return worker("v", func(self actors.Self, msg any) {
		switch msg.(type) {
		case actors.Started:
			d.note("started %d", self.Epoch())
		case tokenMessage:
			d.note("token")
		case string:
			d.note("%v", msg)
		}
	})
}

func TestFaults(t *testing.T) {
	opts := Options{IsTokenMessage: func(msg any) bool { _, is := msg.(tokenMessage); return is }}
	for _, c := range []struct {
		fault  Fault
		reason string // of the restarts; "": none
		within time.Duration
		err    string
	}{
		{Fault{Kind: FaultPanic}, "panic", 50 * time.Millisecond, "panic: injected"},
		{Fault{Kind: FaultHang}, "hang", 2200 * time.Millisecond, "hung in a handler for 2s"},
		{Fault{Kind: FaultHang, For: time.Minute}, "hang", 2200 * time.Millisecond, "hung in a handler for 2s"},
		{Fault{Kind: FaultExit}, "error", 50 * time.Millisecond, ""},
		{Fault{Kind: FaultGoroutine}, "panic", 50 * time.Millisecond, "task injected: panic: injected"},
		{Fault{Kind: FaultPanicStart}, "panic", 200 * time.Millisecond, "panic: injected at the start"},
		{Fault{Kind: FaultPanicStop}, "error", 50 * time.Millisecond, ""},
		{Fault{Kind: FaultSlow}, "", 0, ""},
		{Fault{Kind: FaultLeak, For: time.Minute}, "", 0, ""},
		{Fault{Kind: FaultDropTokenMessages}, "", 0, ""},
	} {
		t.Run(string(c.fault.Kind), func(t *testing.T) {
			var d diary
			c.fault.Actor = "v"
			inBubble(t, group("root", victim(&d), worker("sibling", nil)), opts, func(t *testing.T, s *Supervisor) {
				if err := s.Inject(c.fault); err != nil {
					t.Fatal(err)
				}
				after(c.within)
				st := s.statusOf(t, "v")
				want := uint64(0)
				switch {
				case c.fault.Kind == FaultPanicStart:
					want = 2 // the start that fails is tried again
				case c.reason != "":
					want = 1
				}
				wantEpoch := want + 1
				if n := s.byName["v"].restarts[restartReason(c.reason)]; n != want {
					t.Errorf("restarts by %s: %d, want %d", c.reason, n, want)
				}
				if st.Epoch != wantEpoch || st.State != Running || st.LastError != c.err {
					t.Fatalf("status %+v", st)
				}
				if sib := s.statusOf(t, "sibling"); sib.Epoch != 1 {
					t.Errorf("sibling %+v", sib)
				}
				after(2 * time.Minute)
			})
		})
	}
}

func TestSlowAndDroppingAndLeakLast(t *testing.T) {
	opts := Options{IsTokenMessage: func(msg any) bool { _, is := msg.(tokenMessage); return is }}
	var d diary
	inBubble(t, group("root", victim(&d)), opts, func(t *testing.T, s *Supervisor) {
		d.take()
		for _, f := range []Fault{
			{Actor: "v", Kind: FaultDropTokenMessages, For: 10 * time.Second},
			{Actor: "v", Kind: FaultSlow, Delay: time.Second, For: 5 * time.Second},
			{Actor: "v", Kind: FaultLeak, For: time.Minute},
		} {
			if err := s.Inject(f); err != nil {
				t.Fatal(err)
			}
		}
		s.tellTest("v", tokenMessage{})
		s.tellTest("v", "a")
		s.tellTest("v", "b")
		after(1500 * time.Millisecond)
		if got, want := d.take(), []string{"a"}; !slices.Equal(got, want) {
			t.Errorf("after 1.5 s: %v, want %v", got, want)
		}
		after(time.Second)
		if got, want := d.take(), []string{"b"}; !slices.Equal(got, want) {
			t.Errorf("after 2.5 s: %v, want %v", got, want)
		}
		after(10 * time.Second)
		s.tellTest("v", tokenMessage{})
		after(0)
		if got, want := d.take(), []string{"token"}; !slices.Equal(got, want) {
			t.Errorf("at the end: %v, want %v", got, want)
		}
		if st := s.statusOf(t, "v"); st.Tasks != 1 {
			t.Errorf("the leak is not seen: %+v", st)
		}
		// A leak holds a restart up for the grace, no longer.
		if err := s.Restart("v"); err != nil {
			t.Fatal(err)
		}
		after(2 * time.Second)
		wantState(t, s, "v", Running)
		after(time.Minute)
		if st := s.statusOf(t, "v"); st.Tasks != 0 || st.Epoch != 2 {
			t.Errorf("status %+v", st)
		}
	})
}

func TestFaultWaitsForRunning(t *testing.T) {
	var d diary
	inBubble(t, group("root", victim(&d)), Options{}, func(t *testing.T, s *Supervisor) {
		for range 3 {
			if err := s.Inject(Fault{Actor: "v", Kind: FaultPanic}); err != nil {
				t.Fatal(err)
			}
		}
		after(0)
		wantState(t, s, "v", BackingOff)
		after(time.Second)
		if got, want := d.take(), []string{"started 1", "started 2", "started 3", "started 4"}; !slices.Equal(got, want) {
			t.Fatalf("seen %v, want %v", got, want)
		}
	})
}

func TestFaultsThatCannotBe(t *testing.T) {
	var d diary
	inBubble(t, group("root", victim(&d)), Options{}, func(t *testing.T, s *Supervisor) {
		var unknown *UnknownError
		if err := s.Inject(Fault{Actor: "nobody", Kind: FaultPanic}); !errors.As(err, &unknown) || !slices.Equal(unknown.Names, []string{"root", "v"}) {
			t.Errorf("unknown actor: %v", err)
		}
		if err := s.Inject(Fault{Actor: "root", Kind: FaultPanic}); !errors.As(err, &unknown) || !slices.Equal(unknown.Names, []string{"v"}) {
			t.Errorf("a supervisor: %v", err)
		}
		var kind *KindError
		if err := s.Inject(Fault{Actor: "v", Kind: "earthquake"}); !errors.As(err, &kind) {
			t.Errorf("unknown kind: %v", err)
		}
	})
}

// What drop_messages takes away is given back to its pool.
func TestDroppedBatchesAreReleased(t *testing.T) {
	var d diary
	inBubble(t, group("root", taker(&d)), Options{}, func(t *testing.T, s *Supervisor) {
		if err := s.Inject(Fault{Actor: "taker", Kind: FaultDropMessages}); err != nil {
			t.Fatal(err)
		}
		after(0)
		pushAll(t, s.Inlet("taker"), 0, 10)
		pushAll(t, s.Inlet("taker"), 10, 60, 60, 60)
		after(0)
		if got := d.take(); len(got) != 0 {
			t.Errorf("seen %v", got)
		}
	})
}
