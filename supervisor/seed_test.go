package supervisor

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"kitestring/actors"
	"kitestring/messages"
)

// Each start evaluates the seed before Started; its batch comes first, then
// what was pushed since it called open; what was pushed before is dropped.
func TestSeed(t *testing.T) {
	var d diary
	var s *Supervisor
	w := taker(&d)
	births := 0
	w.Seed = func(open func()) messages.Batch {
		births++
		f := s.Inlet("taker")
		pushAll(t, f, 1, 1) // before: in the snapshot already
		open()
		pushAll(t, f, 2, 1)
		first := newBatch(100*births, 10)
		t.Cleanup(func() {
			if first.refs.Load() != 0 {
				t.Error("the first batch is still held")
			}
		})
		return first
	}
	newTree := func() *Supervisor {
		s = New(Options{jitter: func() float64 { return 1 }})
		return s
	}
	inBubbleWith(t, newTree, group("root", w), func(t *testing.T) {
		after(0)
		if got, want := d.take(), []string{"b 100-110", "b 2-3"}; !slices.Equal(got, want) {
			t.Fatalf("seen %v, want %v", got, want)
		}
		s.tellTest("taker", order(crash))
		after(time.Second)
		if got, want := d.take(), []string{"b 200-210", "b 2-3"}; !slices.Equal(got, want) {
			t.Fatalf("after a restart: %v, want %v", got, want)
		}
		if m := s.statusOf(t, "taker").Mailbox; m.Down != 2 {
			t.Fatalf("mailbox %+v", m)
		}
	})
}

func TestSeedThatFails(t *testing.T) {
	for name, seed := range map[string]func(open func()) messages.Batch{
		"the seed did not open the mailbox": func(func()) messages.Batch { return newBatch(0, 1) },
		"panic: no seed":                    func(func()) messages.Batch { panic("no seed") },
	} {
		t.Run(name, func(t *testing.T) {
			var d diary
			w := taker(&d)
			w.Seed = seed
			inBubble(t, group("root", w), Options{}, func(t *testing.T, s *Supervisor) {
				wantState(t, s, "taker", BackingOff)
				if got := s.statusOf(t, "taker").LastError; got != name {
					t.Fatalf("last error %q", got)
				}
			})
		})
	}
}

// A seed that hangs and goes on in the time of the next incarnation opens nothing.
func TestSeedOfAZombie(t *testing.T) {
	var d diary
	w := taker(&d)
	var births atomic.Int32
	w.StartTimeout = time.Second
	w.Seed = func(open func()) messages.Batch {
		if births.Add(1) == 1 {
			time.Sleep(time.Minute)
			open()
			return newBatch(666, 1)
		}
		open()
		return nil
	}
	inBubble(t, group("root", w), Options{}, func(t *testing.T, s *Supervisor) {
		after(2 * time.Second)
		wantState(t, s, "taker", Running)
		after(2 * time.Minute)
		if got := d.take(); len(got) != 0 {
			t.Fatalf("seen %v", got)
		}
		if st := s.statusOf(t, "taker"); st.Epoch != 2 || st.Zombies != 0 {
			t.Fatalf("status %+v", st)
		}
	})
}

// A producer that panics, or makes nothing, is a failure like any other.
func TestProducerThatFails(t *testing.T) {
	births := 0
	w := Spec{Name: "a", Produce: func(self actors.Self) actors.Actor {
		switch births++; births {
		case 1:
			panic("no actor")
		case 2:
			return nil
		}
		return puppet{self, nil}
	}}
	inBubble(t, group("root", w), Options{}, func(t *testing.T, s *Supervisor) {
		if got := s.statusOf(t, "a"); got.State != BackingOff || got.LastError != "panic: no actor" {
			t.Fatalf("status %+v", got)
		}
		after(50 * time.Millisecond)
		if got := s.statusOf(t, "a").LastError; got != errNoActor.Error() {
			t.Fatalf("last error %q", got)
		}
		after(time.Second)
		wantState(t, s, "a", Running)
	})
}
