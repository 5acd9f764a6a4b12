package supervisor

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kitestring/actors"
)

// Everything that may be called from outside, at once, in real time, while
// actors fail: for the race detector, and for deadlocks.
func TestHammer(t *testing.T) {
	actor := func(name string, peer string) Spec {
		w := worker(name, func(self actors.Self, msg any) {
			switch m := msg.(type) {
			case actors.Started:
				self.Every(time.Millisecond, named{"tick", 0})
			case named:
				self.Send(PIDOf(peer), "hello")
				self.Beat()
			case order:
				m(self)
			}
		})
		w.Mailbox = testMailbox()
		w.StartTimeout, w.StopGrace = time.Minute, time.Minute // a busy machine hangs by itself
		w.Backoff = Backoff{Base: time.Millisecond, Cap: time.Millisecond, Quarantine: time.Millisecond}
		return w
	}
	registry := prometheus.NewPedanticRegistry()
	s := run(t, group("root", actor("a", "b"),
		group("g", actor("b", "c"), actor("c", "a")),
		group("h", actor("e", "f"), actor("f", "nobody"))), Options{
		Registerer: registry, Watch: time.Millisecond, jitter: func() float64 { return 1 },
		Observe:    func(Event) {},
		Generation: func(string) uint64 { return 1 },
	})
	names := []string{"a", "b", "c", "e", "f"}
	var hands sync.WaitGroup
	hammer := func(n int, do func(i int, name string) error) {
		hands.Go(func() {
			for i := range n {
				if err := do(i, names[i%len(names)]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	hammer(300, func(i int, name string) error { return s.Restart(name) })
	hammer(300, func(i int, name string) error { return s.Reinstate(name) })
	hammer(300, func(i int, name string) error {
		return s.Inject(Fault{Actor: name, Kind: Kinds()[i%len(Kinds())], For: time.Millisecond, Delay: time.Microsecond})
	})
	hammer(2000, func(i int, name string) error {
		b := newBatch(i, 1+i%50)
		s.Inlet(name).Push(b)
		b.Release()
		return nil
	})
	hammer(2000, func(i int, name string) error { s.tellTest(name, i); return nil })
	hammer(300, func(i int, name string) error { s.tellTest(name, []order{crash, fail, leave}[i%3]); return nil })
	hammer(100, func(int, string) error { _, err := registry.Gather(); return err })
	hammer(300, func(int, string) error {
		if len(s.Snapshot().Actors) != 8 || s.Health().Total != 5 {
			return errors.New("the tree has lost an actor")
		}
		return nil
	})
	hands.Wait()
	deadline := time.Now().Add(time.Minute)
	for !s.Health().OK {
		if time.Now().After(deadline) {
			t.Fatalf("not healthy again: %+v", s.Health())
		}
		for _, name := range append([]string{"g", "h"}, names...) {
			_ = s.Reinstate(name)
		}
		time.Sleep(10 * time.Millisecond) // polls: faults that wait strike one after the other
	}
	stopAfter(t, s)
}
