package supervisor

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"kitestring/actors"
)

type numbered struct{ from, n int }

// Real goroutines, real time: five senders outside the tree and two in it talk
// to a receiver that keeps failing. Each sender's messages arrive in order and
// at most once; only those that were being handled at a failure are missing.
func TestOrderPerSenderAcrossFailures(t *testing.T) {
	const each = 4000
	var mu sync.Mutex
	last := map[int]int{}
	got, crashes := 0, 0
	done := make(chan struct{})
	receiver := worker("receiver", func(self actors.Self, msg any) {
		m, ok := msg.(numbered)
		if !ok {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if m.n != last[m.from]+1 {
			t.Errorf("from %d: %d after %d", m.from, m.n, last[m.from])
		}
		last[m.from] = m.n
		if got++; got == 7*each {
			close(done)
		}
		if got%997 == 0 {
			crashes++
			if crashes%2 == 0 {
				self.Fail(errTest)
			} else {
				panic("crash")
			}
		}
	})
	receiver.Mailbox.Control = 8 * each
	receiver.Intensity = Intensity{Restarts: 1000, Period: time.Second}
	receiver.Backoff = Backoff{Base: time.Millisecond, Cap: time.Millisecond}
	patient := func(s Spec) Spec { // none is given up but by the test
		s.StartTimeout, s.StopGrace, s.Hang = time.Minute, time.Minute, time.Minute
		return s
	}
	sender := func(i int) Spec {
		return patient(worker(fmt.Sprintf("s%d", i), func(self actors.Self, msg any) {
			if _, ok := msg.(actors.Started); ok {
				for n := range each {
					self.Send(PIDOf("receiver"), numbered{i, n + 1})
				}
			}
		}))
	}
	root := group("root", patient(receiver), sender(6), sender(7))
	root.Group = receiver.Intensity
	s := run(t, root, Options{})
	defer stopAfter(t, s)
	var senders sync.WaitGroup
	for i := range 5 {
		senders.Go(func() {
			for n := range each {
				s.engine.Send(PIDOf("receiver"), numbered{i, n + 1})
			}
		})
	}
	senders.Wait()
	select {
	case <-done:
	case <-time.After(time.Minute):
		mu.Lock()
		defer mu.Unlock()
		t.Fatalf("%d of %d after %d crashes: %+v", got, 7*each, crashes, s.statusOf(t, "receiver"))
	}
	if crashes != 7*each/997 {
		t.Errorf("%d crashes", crashes)
	}
}
