package feed

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"kitestring/actors"
	"kitestring/actors/actorstest"
	"kitestring/messages"
	"kitestring/messages/wire"
)

// lane is the least that a mailbox is: a bounded queue of batches and a
// goroutine that sums six fields of each tick. Unlike the product's mailboxes
// it waits when it is full, so that every tick is accounted for.
type lane struct {
	queue chan *messages.Ticks
	sum   uint64
	ticks atomic.Int64
	done  sync.WaitGroup
}

func newLane() *lane {
	l := &lane{queue: make(chan *messages.Ticks, 64)}
	l.done.Go(func() {
		for b := range l.queue {
			for i := range b.Ticks {
				t := &b.Ticks[i]
				l.sum += uint64(uint32(t.LastPrice)) + uint64(t.Volume) + uint64(t.LastQuantity) + uint64(t.OI) + uint64(t.BuyQuantity) + uint64(t.ExchangeTime)
			}
			l.ticks.Add(int64(len(b.Ticks)))
			b.Release()
		}
	})
	return l
}

func (l *lane) Push(b *messages.Ticks) bool {
	b.Retain(1)
	l.queue <- b
	return false
}

func (l *lane) close() {
	close(l.queue)
	l.done.Wait()
}

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
			state := NewState()
			var wants []messages.Want
			for _, token := range tokens {
				wants = append(wants, messages.Want{InstrumentToken: token, Mode: messages.ModeFull})
			}
			state.want(messages.WantInstruments{Owner: "bench", Wants: wants}, 3000)
			for i := range 10 {
				state.Attach(fmt.Sprint(i), ignore{})
			}
			table := state.tables[0]
			table.join(context.Background(), 1, 1)
			frames := benchFrames(tokens)
			now := time.Now()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if r, err := table.take(1, frames[i&1], now); err != nil || r.ticks != n {
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

// BenchmarkEndToEnd: a socket, ten subscribers that sum six fields, and the
// sender, on the same cores.
func BenchmarkEndToEnd(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprint("ours/", n), func(b *testing.B) { benchEndToEnd(b, n) })
	}
}

func benchEndToEnd(b *testing.B, n int) {
	tokens := instruments(n)
	frames := benchFrames(tokens)
	begin := make(chan int)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		upgrader := websocket.Upgrader{WriteBufferSize: 1 << 20}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		_ = conn.WriteMessage(websocket.BinaryMessage, wire.HeartbeatFrame())
		for count := range begin {
			// The header by hand and one write: the sender shares our cores.
			var out [2][]byte
			for i, frame := range frames {
				out[i] = append(binary.BigEndian.AppendUint64([]byte{0x82, 127}, uint64(len(frame))), frame...)
			}
			for i := range count {
				if _, err := conn.NetConn().Write(out[i&1]); err != nil {
					return
				}
			}
		}
	}))
	defer server.Close()
	defer close(begin)
	state := NewState()
	var lanes []*lane
	for i := range 10 {
		l := newLane()
		defer l.close()
		lanes = append(lanes, l)
		state.Attach(fmt.Sprint(i), l)
	}
	w := &well{}
	w.view.Adopted = session(1, "A")
	house := actorstest.Start(b, Name, New(Config{
		Exchange: actors.Exchange{WSURL: "ws" + strings.TrimPrefix(server.URL, "http")},
		Tokens:   w, Clock: wallClock{}, State: state, Auth: authPID,
	}))
	var wants []messages.Want
	for _, token := range tokens {
		wants = append(wants, messages.Want{InstrumentToken: token, Mode: messages.ModeFull})
	}
	house.Tell(messages.WantInstruments{Owner: "bench", Wants: wants})
	until(b, "streaming", func() bool { return state.Stats().State == messages.Streaming && state.Stats().Instruments == n })
	b.ReportAllocs()
	b.ResetTimer()
	begin <- b.N
	want := int64(b.N) * int64(n)
	until(b, "every tick at all ten", func() bool {
		return !slices.ContainsFunc(lanes, func(l *lane) bool { return l.ticks.Load() < want })
	})
	b.StopTimer()
	b.ReportMetric(float64(want)/b.Elapsed().Seconds(), "ticks/s")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(want), "ns/tick")
	house.Stop()
}

// BenchmarkSwap is TokenChanged to the first tick of the new generation at a
// subscriber, over loopback, at 1000 ticks/s.
func BenchmarkSwap(b *testing.B) {
	tokens := instruments(300)
	r := adoptedRig(b, tokens)
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
		until(b, "the swap", func() bool { return r.state.Rotations()[0].Result == adopted })
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
	if lost, twice := r.sink.check(); lost != 0 || twice != 0 {
		b.Errorf("%d lost, %d twice", lost, twice)
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

func BenchmarkMinutes(b *testing.B) {
	tokens := instruments(3000)
	var d wire.Decoder
	ticks, err := d.Decode(benchFrames(tokens)[0], nil)
	if err != nil {
		b.Fatal(err)
	}
	batch := messages.NewTicks(nil)
	var m Minutes
	i := 0
	for b.Loop() {
		from := i * chunkTicks % len(ticks)
		batch.Ticks = ticks[from:min(from+chunkTicks, len(ticks))]
		m.Merge(batch)
		if i++; i%100 == 0 {
			m.Take()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/chunkTicks, "ns/tick")
}
