package feed

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kitestring/actors/actorstest"
	"kitestring/messages"
	"kitestring/messages/wire"
)

// benchFrames are two frames that differ in every packet, so that none is a
// repeat.
func benchFrames(tokens []uint32) [2][]byte {
	var frames [2][]byte
	for i := range frames {
		var packets [][]byte
		for _, token := range tokens {
			packets = append(packets, wire.AppendPacket(nil, &wire.Packet{Tick: messages.Tick{
				InstrumentToken: token, LastPrice: 10000, LastQuantity: uint32(i), Volume: uint32(i), OI: 7, ExchangeTime: 1_700_000_000,
			}}, messages.ModeFull))
		}
		frames[i] = wire.AppendFrame(nil, packets...)
	}
	return frames
}

var benchSizes = []int{50, 300, 3000}

// BenchmarkTable is what a frame costs from the read buffer to ten sinks that
// do nothing: decode, compare with the last packets, keep them, publish.
func BenchmarkTable(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			tokens := instruments(n)
			state := NewStore()
			var wants []messages.Want
			for _, token := range tokens {
				wants = append(wants, messages.Want{InstrumentToken: token, Mode: messages.ModeFull})
			}
			state.want(messages.WantInstruments{Owner: "bench", Wants: wants}, MaxShards, 3000)
			for i := range 10 {
				state.Attach(fmt.Sprint(i), ignore{})
			}
			table := state.tables[0]
			table.join(context.Background(), 1, 1, aDay)
			frames := benchFrames(tokens)
			now := time.Now()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if r, err := takeRaw(table, 1, frames[i&1], now); err != nil || r.ticks != n {
					b.Fatal(r, err)
				}
				i++
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/tick")
		})
	}
}

type ignore struct{}

func (ignore) Push(*messages.Ticks) bool { return false }

// BenchmarkSwap is TokenChanged to the first tick of the new generation at a
// subscriber, over loopback, at 1000 ticks/s: plain, and over TLS, whose session
// is resumed.
func BenchmarkSwap(b *testing.B) {
	b.Run("plain", func(b *testing.B) { benchSwap(b) })
	b.Run("tls", func(b *testing.B) {
		var resumed atomic.Int64
		benchSwap(b, overTLS(&resumed))
		if resumed.Load() < int64(b.N) {
			b.Errorf("%d TLS sessions resumed in %d swaps", resumed.Load(), b.N)
		}
	})
}

func benchSwap(b *testing.B, adjust ...func(*rig)) {
	tokens := instruments(300)
	r := adoptedRig(b, tokens, adjust...)
	stop := r.flow(time.Millisecond, tokens[0])
	var took []time.Duration
	g := messages.Generation(1)
	for b.Loop() {
		g++
		arrived := make(chan time.Time, 1)
		r.state.Attach("first", firstTick{g, arrived})
		at := time.Now()
		token := fmt.Sprint("T", g)
		r.offer(g, token)
		took = append(took, (<-arrived).Sub(at))
		b.StopTimer()
		r.adopt(g, token)
		actorstest.Until(b, "the swap", func() bool { return r.state.Rotations()[0].Result == adopted })
		b.StartTimer()
	}
	stop()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	for name, stage := range map[string]func(messages.Rotation) *float64{
		"dialled": func(x messages.Rotation) *float64 { return x.DialledMS },
		"frame":   func(x messages.Rotation) *float64 { return x.FirstFrameMS },
		"total":   func(x messages.Rotation) *float64 { return x.TotalMS },
	} {
		var ms []float64
		for _, x := range r.state.Rotations() {
			if v := stage(x); v != nil {
				ms = append(ms, *v)
			}
		}
		slices.Sort(ms)
		b.ReportMetric(ms[len(ms)/2], name+"-p50-ms")
	}
	r.caughtUp(tokens...)
	if lost, repeated := r.sink.check(); lost != 0 || repeated != 0 {
		b.Errorf("%d lost, %d repeated", lost, repeated)
	}
}

// firstTick tells when the first tick of a generation is pushed.
type firstTick struct {
	generation messages.Generation
	at         chan time.Time
}

func (f firstTick) Push(b *messages.Ticks) bool {
	if b.Generation >= f.generation && len(b.Ticks) > 0 {
		select {
		case f.at <- time.Now():
		default:
		}
	}
	return false
}

// BenchmarkRoll is a swap of three full shards: no slot is free for a second
// socket, so that each in its turn closes and connects again. The gap of a shard
// is the time from its last tick of the old generation to its first of the new
// one, at 1000 ticks/s a shard.
func BenchmarkRoll(b *testing.B) {
	tokens := instruments(3 * 3000)
	r := adoptedRig(b, tokens, func(r *rig) { r.venue.most = 3 })
	r.until("three sockets", func() bool { return len(r.venue.holders()) == 3 && r.state.Stats().Sockets == 3 })
	watch := &handovers{}
	r.state.Attach("handovers", watch)
	stop := r.flow(time.Millisecond, tokens[0], tokens[3000], tokens[6000])
	var gaps [MaxShards][]time.Duration
	g := messages.Generation(1)
	for b.Loop() {
		g++
		token := fmt.Sprint("T", g)
		r.offer(g, token)
		r.adopt(g, token)
		r.until("the roll", func() bool { return r.state.Rotations()[0].Result == adopted && r.state.Rotations()[0].Generation == g })
		b.StopTimer()
		r.until("a tick of each", func() bool { return watch.complete(g) })
		for shard, gap := range watch.take() {
			gaps[shard] = append(gaps[shard], gap)
		}
		b.StartTimer()
	}
	stop()
	for shard, took := range gaps {
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, fmt.Sprintf("gap%d-p50-ms", shard))
		b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, fmt.Sprintf("gap%d-max-ms", shard))
	}
	if _, repeated := r.sink.check(); repeated != 0 {
		b.Errorf("%d repeated", repeated)
	}
}

// handovers is a subscriber that sees where one generation follows another.
type handovers struct {
	mu   sync.Mutex
	last [MaxShards]struct {
		generation messages.Generation
		at         time.Time
	}
	gaps [MaxShards]time.Duration
}

func (s *handovers) Push(b *messages.Ticks) bool {
	if len(b.Ticks) == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	last := &s.last[b.Shard]
	if last.generation != 0 && last.generation < b.Generation {
		s.gaps[b.Shard] = b.Received.Sub(last.at)
	}
	last.generation, last.at = b.Generation, b.Received
	return false
}

func (s *handovers) complete(g messages.Generation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !slices.ContainsFunc(s.last[:], func(l struct {
		generation messages.Generation
		at         time.Time
	},
	) bool {
		return l.generation != g
	})
}

func (s *handovers) take() [MaxShards]time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gaps
}
