package supervisor

import (
	"context"
	"runtime"
	"testing"
	"time"

	"kitestring/actors"
)

// 1000 restarts of one child leave no goroutine and no heap behind.
func TestChurn(t *testing.T) {
	w := worker("a", func(self actors.Self, msg any) {
		switch m := msg.(type) {
		case actors.Started:
			self.Go("work", func(ctx context.Context) error { <-ctx.Done(); return nil })
			self.After(time.Hour, "hour")
			self.Every(time.Minute, "minute")
		case order:
			m(self)
		}
	})
	w.Mailbox = testMailbox()
	inBubble(t, group("root", w, worker("b", nil)), Options{}, func(t *testing.T, s *Supervisor) {
		ways := []order{crash, fail, leave, func(actors.Self) { time.Sleep(3 * time.Second) }}
		measure := func() (goroutines int, heap uint64) {
			after(time.Minute)
			runtime.GC()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return runtime.NumGoroutine(), m.HeapAlloc
		}
		round := func(n int) {
			for i := range n {
				if i%5 == 4 {
					if err := s.Restart("a"); err != nil {
						t.Fatal(err)
					}
				} else {
					s.tellTest("a", ways[i%len(ways)])
				}
				b := newBatch(i, 1)
				s.Inlet("a").Push(b)
				b.Release()
				after(20 * time.Second)
			}
		}
		round(100)
		goroutines, heap := measure()
		round(1000)
		st := s.statusOf(t, "a")
		if st.Epoch < 1100 || st.State != Running || st.Zombies != 0 || st.Tasks != 1 {
			t.Fatalf("status %+v", st)
		}
		g, h := measure()
		if g > goroutines || h > heap+256<<10 {
			t.Errorf("%d goroutines, were %d; %d bytes of heap, were %d", g, goroutines, h, heap)
		}
		t.Logf("after 1000 restarts: %+d goroutines, %+d KB of heap", g-goroutines, (int64(h)-int64(heap))/1024)
	})
}
