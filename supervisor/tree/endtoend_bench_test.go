package tree

import (
	"bytes"
	"fmt"
	"net"
	"net/url"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/gorilla/websocket"
	"github.com/zerodha/gokiteconnect/v4/models"
	kiteticker "github.com/zerodha/gokiteconnect/v4/ticker"

	"kitestring/actors"
	"kitestring/messages"
)

// From a socket to ten actors that sum six fields of each tick, the sender on
// the same cores, three ways in one run:
//
//	limit     the bytes alone, read from the socket and forgotten
//	official  the official ticker, and one hollywood message a tick and actor
//	ours      the feed in a tree, and mailboxes as tree.go makes them; x-limit is
//	          how many times as long as the limit a tick takes
//
// Compare what one run says: the machine decides the rest.

const endToEndActors = 10

// endToEndTicks is how many ticks wait for an actor before they are conflated:
// 15 ms of a sender that knows no pause, as long as an operating system with
// other work may keep an actor from its processor.
const endToEndTicks = 1 << 17

func BenchmarkEndToEnd(b *testing.B) {
	for _, n := range []int{50, 300, 3000} {
		var limit, official float64 // ticks/s
		b.Run(fmt.Sprint("limit/", n), func(b *testing.B) { limit = endToEndLimit(b, n) })
		b.Run(fmt.Sprint("official/", n), func(b *testing.B) { official = endToEndOfficial(b, n) })
		b.Run(fmt.Sprint("ours/", n), func(b *testing.B) {
			ours := endToEndOurs(b, n)
			if official > 0 {
				b.ReportMetric(ours/official, "x-official")
			}
			if limit > 0 {
				b.ReportMetric(limit/ours, "x-limit")
			}
		})
	}
}

// twoFrames are two frames on the wire, each of a full packet an instrument and
// different in every one of them: the feed skips what repeats.
func twoFrames(tokens []uint32) (both []byte) {
	for i := range uint32(2) {
		f := newWireFrame(tokens)
		for p := range tokens {
			f.set(p, atPrice, 10000+i)
			f.set(p, atQuantity, i)
			f.set(p, atVolume, i)
		}
		both = append(both, f.bytes...)
	}
	return both
}

// writeMost is how much the sender writes at once, if two frames are not more.
const writeMost = 64 << 10

// sendBuffer is how much the sender's kernel keeps for a reader that is behind.
// The sender shares our caches: left to itself it fills them with megabytes
// that an exchange would keep at home. Below some segments TCP stalls.
const sendBuffer = 2 * writeMost

// blast sends the two frames in turn, without a pause.
func blast(tokens []uint32) func(net.Conn, int) error {
	both := twoFrames(tokens)
	pairs := max(1, writeMost/len(both))
	block := bytes.Repeat(both, pairs)
	return func(conn net.Conn, count int) error {
		if err := conn.(*net.TCPConn).SetWriteBuffer(sendBuffer); err != nil {
			return err
		}
		for count > 0 {
			part := min(count, 2*pairs) // an even number, but for the last part
			if _, err := conn.Write(block[:part*len(both)/2]); err != nil {
				return err
			}
			count -= part
		}
		return nil
	}
}

// tally is what one actor has been given. One goroutine writes it.
type tally struct {
	sum       uint64
	ticks     int64 // one by one
	conflated int64 // in minutes
	left      int64
	done      *sync.WaitGroup
}

func newTallies(want int64) ([]*tally, *sync.WaitGroup) {
	var done sync.WaitGroup
	tallies := make([]*tally, endToEndActors)
	for i := range tallies {
		done.Add(1)
		tallies[i] = &tally{left: want, done: &done}
	}
	return tallies, &done
}

func (t *tally) took(n int64) {
	if t.left -= n; t.left == 0 {
		t.done.Done()
	}
}

func (t *tally) add(tick *messages.Tick) {
	t.sum += uint64(uint32(tick.LastPrice)) + uint64(tick.Volume) + uint64(tick.LastQuantity) + uint64(tick.OI) + uint64(tick.BuyQuantity) + uint64(tick.ExchangeTime)
}

func (t *tally) receive(_ actors.Self, msg any) {
	switch m := msg.(type) {
	case *messages.Ticks:
		for i := range m.Ticks {
			t.add(&m.Ticks[i])
		}
		t.ticks += int64(len(m.Ticks))
		t.took(int64(len(m.Ticks)))
	case *messages.Minutes:
		n := int64(0)
		for i := range m.Minutes {
			t.add(&m.Minutes[i].Newest)
			n += int64(m.Minutes[i].Count)
		}
		t.conflated += n
		t.took(n)
	}
}

// account checks that all ten have got everything, and reports.
func account(b *testing.B, tallies []*tally, want int64, spent time.Duration) (ticksPerSecond float64) {
	var conflated int64
	for i, t := range tallies {
		if t.ticks+t.conflated != want {
			b.Errorf("actor %d: %d ticks and %d conflated make not %d", i, t.ticks, t.conflated, want)
		}
		conflated += t.conflated
	}
	part := float64(conflated) / float64(want*int64(len(tallies)))
	if part > 0.01 {
		b.Errorf("%.1f %% conflated, at most 1 %% is allowed", 100*part)
	}
	b.ReportMetric(100*part, "%conflated")
	return pace(b, want, spent)
}

// pace reports the speed, and what it cost in processor time: the sender's part
// is in it, the part of other programs on the machine is not.
func pace(b *testing.B, ticks int64, spent time.Duration) (ticksPerSecond float64) {
	ticksPerSecond = float64(ticks) / b.Elapsed().Seconds()
	b.ReportMetric(ticksPerSecond, "ticks/s")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(ticks), "ns/tick")
	b.ReportMetric(float64(spent.Nanoseconds())/float64(ticks), "cpu-ns/tick")
	return ticksPerSecond
}

// cpuTime is the processor time of this process so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func endToEndOurs(b *testing.B, n int) float64 {
	tokens := benchTokens(n)
	want := int64(b.N) * int64(n)
	tallies, done := newTallies(want)
	var actors []func(actors.Self, any)
	for _, t := range tallies {
		actors = append(actors, t.receive)
	}
	st := newStage(b, tokens, endToEndTicks, blast(tokens), actors)
	b.ReportAllocs()
	b.ResetTimer()
	spent := cpuTime()
	st.begin <- b.N
	done.Wait()
	b.StopTimer()
	spent = cpuTime() - spent
	st.stop()
	return account(b, tallies, want, spent)
}

func endToEndOfficial(b *testing.B, n int) float64 {
	s := newSender(b, blast(benchTokens(n)))
	want := int64(b.N) * int64(n)
	tallies, done := newTallies(want)
	engine, err := actor.NewEngine(actor.NewEngineConfig())
	if err != nil {
		b.Fatal(err)
	}
	var pids []*actor.PID
	for i, t := range tallies {
		pids = append(pids, engine.SpawnFunc(func(c *actor.Context) {
			if m, ok := c.Message().(*models.Tick); ok {
				t.sum += uint64(m.LastPrice) + uint64(m.VolumeTraded) + uint64(m.LastTradedQuantity) + uint64(m.OI) + uint64(m.TotalBuyQuantity) + uint64(m.Timestamp.Unix())
				t.ticks++
				t.took(1)
			}
		}, fmt.Sprint("sum", i)))
	}
	address, err := url.Parse(s.url())
	if err != nil {
		b.Fatal(err)
	}
	ticker := kiteticker.New("key", "token")
	ticker.SetRootURL(*address)
	ticker.SetAutoReconnect(false)
	alive := make(chan struct{})
	var once sync.Once
	ticker.OnMessage(func(int, []byte) { once.Do(func() { close(alive) }) })
	ticker.OnTick(func(t models.Tick) {
		for _, pid := range pids {
			engine.Send(pid, &t)
		}
	})
	var serving sync.WaitGroup
	serving.Go(ticker.Serve)
	<-alive
	b.ReportAllocs()
	b.ResetTimer()
	spent := cpuTime()
	s.begin <- b.N
	done.Wait()
	b.StopTimer()
	spent = cpuTime() - spent
	ticker.Stop()
	_ = ticker.Conn.Close()
	serving.Wait()
	for _, pid := range pids {
		<-engine.Poison(pid).Done()
	}
	return account(b, tallies, want, spent)
}

// endToEndLimit reads what the sender sends, and does nothing with it.
func endToEndLimit(b *testing.B, n int) (ticksPerSecond float64) {
	tokens := benchTokens(n)
	s := newSender(b, blast(tokens))
	conn, _, err := websocket.DefaultDialer.Dial(s.url(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	if _, _, err := conn.ReadMessage(); err != nil { // the heartbeat
		b.Fatal(err)
	}
	buf := make([]byte, 64<<10)
	b.ReportAllocs()
	b.ResetTimer()
	spent := cpuTime()
	s.begin <- b.N
	for left := b.N * len(newWireFrame(tokens).bytes); left > 0; {
		n, err := conn.NetConn().Read(buf)
		if err != nil {
			b.Fatal(err)
		}
		left -= n
	}
	b.StopTimer()
	return pace(b, int64(b.N)*int64(n), cpuTime()-spent)
}
