package tree

import (
	"fmt"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"kitestring/actors"
	"kitestring/messages"
)

// pacer sends frames at a rate. Each packet says when it was sent, in
// microseconds since the start, where the quantity to buy stands; prices
// wander, volumes rise, and an exchange minute lasts a second.
type pacer struct {
	start   time.Time
	frames  []wireFrame // sent in turn
	pause   time.Duration
	sent    uint32
	volumes []uint32
}

func newPacer(tokens []uint32, size, perSecond int) *pacer {
	p := &pacer{pause: time.Duration(size) * time.Second / time.Duration(perSecond)}
	for part := range slices.Chunk(tokens, size) {
		p.frames = append(p.frames, newWireFrame(part))
	}
	p.volumes = make([]uint32, len(p.frames))
	return p
}

func (p *pacer) send(conn net.Conn, count int) error {
	p.start = time.Now()
	for i := range count {
		if wait := time.Until(p.start.Add(time.Duration(i) * p.pause)); wait > 0 {
			time.Sleep(wait)
		}
		at := i % len(p.frames)
		f := p.frames[at]
		p.volumes[at] += 5
		since := time.Since(p.start)
		for packet := range f.n {
			p.sent++
			f.set(packet, atPrice, 10_000+p.sent*7919%200)
			f.set(packet, atQuantity, p.sent)
			f.set(packet, atVolume, p.volumes[at])
			f.set(packet, atBuy, uint32(since.Microseconds()))
			f.set(packet, atExchange, 1_700_000_040+60*uint32(since/time.Second))
		}
		if _, err := conn.Write(f.bytes); err != nil {
			return err
		}
	}
	return nil
}

// bar is what ticks and minutes must agree on.
type bar struct {
	token, start            uint32
	open, high, low, close  int32
	volumeFirst, volumeLast uint32
	oi, ticks               uint32
}

// witness is a subscriber that builds bars, and knows how old what it sees is.
type witness struct {
	each      time.Duration // that it takes for a message
	start     *time.Time    // of the pacer
	bars      map[uint32]*bar
	closed    int
	digest    uint64 // of all closed bars, in any order
	ages      []time.Duration
	conflated int
	blurred   int
	left      int
	done      *sync.WaitGroup
}

func (w *witness) receive(_ actors.Self, msg any) {
	n := 0
	var oldest *messages.Tick
	switch m := msg.(type) {
	case *messages.Ticks:
		for i := range m.Ticks {
			t := &m.Ticks[i]
			w.take(t.InstrumentToken, t.ExchangeTime-t.ExchangeTime%60, t.LastPrice, t.LastPrice, t.LastPrice, t.LastPrice, t.Volume, t.Volume, t.OI, 1)
		}
		if n = len(m.Ticks); n > 0 {
			oldest = &m.Ticks[0]
		}
	case *messages.Minutes:
		for i := range m.Minutes {
			t := &m.Minutes[i]
			w.take(t.InstrumentToken, t.Start, t.First, t.High, t.Low, t.Last, t.VolumeFirst, t.VolumeLast, t.OI, t.Count)
			n += int(t.Count)
			if t.Gapped {
				w.blurred++
			}
			if oldest == nil || t.Newest.BuyQuantity < oldest.BuyQuantity {
				oldest = &t.Newest
			}
		}
		w.conflated += n
	}
	if oldest == nil {
		return
	}
	w.ages = append(w.ages, time.Since(*w.start)-time.Duration(oldest.BuyQuantity)*time.Microsecond)
	if w.each > 0 {
		time.Sleep(w.each)
	}
	if w.left -= n; w.left == 0 {
		w.done.Done()
	}
}

func (w *witness) take(token, start uint32, first, high, low, last int32, volumeFirst, volumeLast, oi, n uint32) {
	b := w.bars[token]
	if b == nil || b.start != start {
		w.close(b)
		b = &bar{token: token, start: start, open: first, high: high, low: low, volumeFirst: volumeFirst}
		w.bars[token] = b
	}
	b.high, b.low, b.close = max(b.high, high), min(b.low, low), last
	b.volumeLast, b.oi = volumeLast, oi
	b.ticks += n
}

func (w *witness) close(b *bar) {
	if b == nil {
		return
	}
	h := uint64(14695981039346656037)
	for _, v := range [...]uint32{b.token, b.start, uint32(b.open), uint32(b.high), uint32(b.low), uint32(b.close), b.volumeFirst, b.volumeLast, b.oi, b.ticks} {
		h = (h ^ uint64(v)) * 1099511628211
	}
	w.digest += h
	w.closed++
}

// paced runs b.N frames past ten witnesses, the last of which may be slow, and
// reports what the others saw.
func paced(b *testing.B, instruments, size, perSecond, mailbox int, slow time.Duration) {
	tokens := benchTokens(instruments)
	p := newPacer(tokens, size, perSecond)
	var done sync.WaitGroup
	var all []*witness
	var receivers []func(actors.Self, any)
	for i := range 10 {
		w := &witness{start: &p.start, bars: map[uint32]*bar{}, left: b.N * size, done: &done}
		w.ages = make([]time.Duration, 0, b.N*(1+size/512)+16)
		if i == 9 {
			w.each = slow
		}
		done.Add(1)
		all, receivers = append(all, w), append(receivers, w.receive)
	}
	st := newStage(b, tokens, mailbox, p.send, receivers)
	var early, late, peak uint64
	watch := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { // the heap, from a tenth of the time on
		length := time.Duration(b.N) * p.pause
		tick := time.NewTicker(max(length/20, time.Millisecond))
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-watch:
				return
			case <-tick.C:
			}
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapInuse)
			if n == 2 {
				early = liveHeap()
			}
		}
	})
	b.ResetTimer()
	spent := cpuTime()
	st.begin <- b.N
	done.Wait()
	b.StopTimer()
	spent = cpuTime() - spent
	close(watch)
	watching.Wait()
	late = liveHeap()
	st.stop()
	var fast []time.Duration
	conflated, closed := 0, 0
	for i, w := range all {
		for _, open := range w.bars {
			w.close(open)
		}
		closed += w.closed
		if w.digest != all[0].digest || w.closed != all[0].closed {
			b.Errorf("the bars of witness %d differ: %d of them, witness 0 has %d", i, w.closed, all[0].closed)
		}
		if w.blurred > 0 {
			b.Errorf("witness %d: %d minutes blurred", i, w.blurred)
		}
		if slow == 0 || i < 9 {
			fast = append(fast, w.ages...)
			conflated += w.conflated
		}
	}
	slices.Sort(fast)
	at := func(q float64) float64 {
		return float64(fast[int(q*float64(len(fast)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(100*float64(conflated)/float64(b.N*size*10), "%conflated")
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(float64(closed), "bars-equal")
	b.ReportMetric(100*spent.Seconds()/b.Elapsed().Seconds(), "%core")
	if slow > 0 {
		b.ReportMetric(float64(slices.Max(all[9].ages).Milliseconds()), "slow-age-ms")
		b.ReportMetric(100*float64(all[9].conflated)/float64(b.N*size), "%slow-conflated")
	}
	b.ReportMetric(float64(peak)/1e6, "heap-MB")
	if early > 0 {
		b.ReportMetric((float64(late)-float64(early))/1e6, "heap-grown-MB")
	}
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkFanout streams 36,000 ticks/s in frames of 50, socket to bars, past
// ten subscribers of the product's own mailboxes: all in time, and one of them
// taking 5 ms a batch. One op is one frame (1.39 ms); what counts are the
// metrics: only the slow one conflates, and its bars equal the others'.
func BenchmarkFanout(b *testing.B) {
	b.Run("all-fast", func(b *testing.B) { paced(b, 300, 50, 36_000, 0, 0) })
	b.Run("one-slow", func(b *testing.B) { paced(b, 300, 50, 36_000, 0, 5*time.Millisecond) })
}

// BenchmarkPaced is far beyond what Kite sends, at a steady pace. The rate is
// that which was asked for: where the machine does not hold it, ages grow.
func BenchmarkPaced(b *testing.B) {
	for _, c := range []struct{ size, perSecond int }{{50, 2_000_000}, {3000, 3_600_000}} {
		b.Run(fmt.Sprintf("%d/%d", c.size, c.perSecond), func(b *testing.B) {
			paced(b, c.size, c.size, c.perSecond, endToEndTicks, 0)
		})
	}
}

// BenchmarkOpenBurst is the open on one socket, out of quiet and past the
// product's own mailboxes: 200,000 ticks/s of 3000 instruments in frames of 500.
// One op is one frame (2.5 ms). The drill open-burst has two sockets and the
// whole server.
func BenchmarkOpenBurst(b *testing.B) { paced(b, 3000, 500, 200_000, 0, 0) }
