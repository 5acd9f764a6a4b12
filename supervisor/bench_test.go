package supervisor

import (
	"testing"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
)

// Cell and mailbox against bare hollywood, in one run: compare the ratios.
// One op is one message, sent by one goroutine and handled by the actor; the
// sender lets the actor catch up each 512, because an endless queue measures
// memory, and ours has a bound.

type ping struct{ _ int }

const round = 512

func flood(b *testing.B, send func(msg any), handled <-chan struct{}) {
	msg := &ping{}
	b.ReportAllocs()
	b.ResetTimer()
	for sent := 0; sent < b.N; sent += round {
		for range round {
			send(msg)
		}
		<-handled
	}
	b.StopTimer()
}

func BenchmarkSingle(b *testing.B) {
	b.Run("hollywood", func(b *testing.B) {
		e, err := actor.NewEngine(actor.NewEngineConfig())
		if err != nil {
			b.Fatal(err)
		}
		handled, got := make(chan struct{}, 1), 0
		pid := e.SpawnFunc(func(c *actor.Context) {
			if _, ok := c.Message().(*ping); ok {
				if got++; got%round == 0 {
					handled <- struct{}{}
				}
			}
		}, "bench")
		flood(b, func(msg any) { e.Send(pid, msg) }, handled)
		<-e.Poison(pid).Done()
	})
	b.Run("kitestring", func(b *testing.B) {
		handled, got := make(chan struct{}, 1), 0
		s := run(b, group("root", worker("bench", func(_ actors.Self, msg any) {
			if _, ok := msg.(*ping); ok {
				if got++; got%round == 0 {
					handled <- struct{}{}
				}
			}
		})), Options{})
		pid := PIDOf("bench")
		flood(b, func(msg any) { s.engine.Send(pid, msg) }, handled)
		_ = s.Stop(b.Context())
	})
}

// A message to and fro: the cost of waking a sleeping actor.
func BenchmarkPingPong(b *testing.B) {
	b.Run("hollywood", func(b *testing.B) {
		e, err := actor.NewEngine(actor.NewEngineConfig())
		if err != nil {
			b.Fatal(err)
		}
		back := make(chan struct{})
		pid := e.SpawnFunc(func(c *actor.Context) {
			if _, ok := c.Message().(*ping); ok {
				back <- struct{}{}
			}
		}, "bench")
		msg := &ping{}
		b.ReportAllocs()
		for b.Loop() {
			e.Send(pid, msg)
			<-back
		}
		<-e.Poison(pid).Done()
	})
	b.Run("kitestring", func(b *testing.B) {
		back := make(chan struct{})
		s := run(b, group("root", worker("bench", func(_ actors.Self, msg any) {
			if _, ok := msg.(*ping); ok {
				back <- struct{}{}
			}
		})), Options{})
		pid, msg := PIDOf("bench"), &ping{}
		b.ReportAllocs()
		for b.Loop() {
			s.engine.Send(pid, msg)
			<-back
		}
		_ = s.Stop(b.Context())
	})
}

// One op is one batch of 300 ticks, summed up by the actor.
func BenchmarkBatch(b *testing.B) {
	const size = 300
	b.Run("hollywood", func(b *testing.B) {
		e, err := actor.NewEngine(actor.NewEngineConfig())
		if err != nil {
			b.Fatal(err)
		}
		batch := newBenchBatch(size)
		done := make(chan struct{})
		n, got, sum := b.N, 0, 0
		pid := e.SpawnFunc(func(c *actor.Context) {
			if m, ok := c.Message().(*benchBatch); ok {
				sum += m.sum()
				if got++; got == n {
					close(done)
				}
			}
		}, "bench")
		b.ReportAllocs()
		b.ResetTimer()
		for range n {
			e.Send(pid, batch)
		}
		<-done
		b.StopTimer()
		<-e.Poison(pid).Done()
	})
	b.Run("kitestring", func(b *testing.B) {
		batch := newBenchBatch(size)
		done := make(chan struct{})
		n, got, sum := b.N, 0, 0
		w := worker("bench", func(_ actors.Self, msg any) {
			if m, ok := msg.(*benchBatch); ok {
				sum += m.sum()
				if got++; got == n {
					close(done)
				}
			}
		})
		w.Mailbox = testMailbox()
		w.Mailbox.Ticks, w.Mailbox.Batches = (n+1)*size, n+1
		s := run(b, group("root", w), Options{})
		inlet := s.Inlet("bench")
		b.ReportAllocs()
		b.ResetTimer()
		for range n {
			inlet.Push(batch)
		}
		<-done
		b.StopTimer()
		_ = s.Stop(b.Context())
	})
}

// benchBatch is 64 bytes a tick, as messages.Tick.
type benchBatch struct {
	fakeBatch
	ticks [][16]uint32
}

func newBenchBatch(n int) *benchBatch {
	b := &benchBatch{ticks: make([][16]uint32, n)}
	b.n = n
	b.refs.Store(1 << 30)
	return b
}

func (b *benchBatch) sum() (s int) {
	for i := range b.ticks {
		t := &b.ticks[i]
		s += int(t[0] + t[1] + t[2] + t[3] + t[8] + t[11])
	}
	return s
}
