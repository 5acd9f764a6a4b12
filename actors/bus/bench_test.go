package bus

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"kitestring/actors/actorstest"
	"kitestring/messages"
	"kitestring/messages/wire"
)

// The benchmark's consumers are a process of their own, so that the processor
// time of this one is the server's and the publisher's.
const (
	benchConsumers = "KITESTRING_BENCH_CONSUMERS" // how many, where they connect, and what they subscribe to
)

// found is what the consumers print at their end.
type found struct {
	Messages, Bytes, Ticks, Missing int64
	P50, P99, Max                   time.Duration // from the feed's read to the consumer's handler
}

// consumeForBench is the process of the consumers: it ends with its input.
func consumeForBench(args string) error {
	fields := strings.Fields(args)
	n, err := strconv.Atoi(fields[0])
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var all found
	var latencies []time.Duration
	var live atomic.Int64
	for range n {
		conn, err := nats.Connect(fields[1])
		if err != nil {
			return err
		}
		defer conn.Close()
		last := map[string]int64{}
		mine, every := 0, int64(0)
		sub, err := conn.Subscribe(fields[2], func(m *nats.Msg) {
			now := time.Now().UnixNano()
			received, _ := strconv.ParseInt(m.Header.Get(HeaderReceived), 10, 64)
			sequence, _ := strconv.ParseInt(m.Header.Get(HeaderSequence), 10, 64)
			mu.Lock()
			defer mu.Unlock()
			if before, known := last[m.Subject]; known {
				all.Missing += sequence - before - 1
			}
			last[m.Subject] = sequence
			all.Messages++
			all.Bytes += int64(len(m.Data))
			all.Ticks += max(1, int64(len(m.Data)/184))
			if every++; every%int64(max(1, n/10)) == 0 && mine < 100_000 { // enough to sort
				mine++
				latencies = append(latencies, time.Duration(now-received))
			}
		})
		if err != nil {
			return err
		}
		if err := sub.SetPendingLimits(-1, -1); err != nil {
			return err
		}
		if err := conn.Flush(); err != nil {
			return err
		}
		live.Add(1)
	}
	fmt.Println("ready")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(latencies)
	at := func(q float64) time.Duration {
		if len(latencies) == 0 {
			return 0
		}
		return latencies[min(len(latencies)-1, int(q*float64(len(latencies))))]
	}
	all.P50, all.P99, all.Max = at(.5), at(.99), at(1)
	return json.NewEncoder(os.Stdout).Encode(all)
}

func consumersFor(b *testing.B, n int, url, subject string) (stop func() found) {
	b.Helper()
	cmd := exec.CommandContext(context.Background(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s %s", benchConsumers, n, url, subject))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	out := bufio.NewReader(pipe)
	if line, err := out.ReadString('\n'); line != "ready\n" {
		b.Fatalf("the consumers said %q: %v", line, err)
	}
	return func() (f found) {
		_, _ = in.Write([]byte("\n"))
		if err := json.NewDecoder(out).Decode(&f); err != nil {
			b.Error(err)
		}
		_ = in.Close()
		_ = cmd.Wait()
		return f
	}
}

// busy is the processor time of this process.
func busy() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// load is what the feed hands out at a rate: each 10 ms a batch of a shard, as
// frames of Kite come.
type load struct {
	batches []*messages.Ticks
	each    time.Duration
	ticks   int // a second
}

func newLoad(rate int) load {
	l := load{each: 10 * time.Millisecond, ticks: rate}
	perBatch := rate / 100
	token := uint32(1)
	for range 16 {
		b := messages.NewTicks(nil)
		b.Raw = append(b.Raw, 0, 0)
		for range perBatch {
			packet := wire.AppendPacket(nil, &wire.Packet{Tick: messages.Tick{InstrumentToken: token<<8 | 1, LastPrice: 100, Volume: token}}, messages.ModeFull)
			var tick messages.Tick
			wire.DecodePacket(packet, &tick)
			b.Raw = append(b.Raw, 0, 184)
			tick.Offset, tick.Length = uint32(len(b.Raw)), uint8(len(packet))
			b.Raw = append(b.Raw, packet...)
			b.Ticks = append(b.Ticks, tick)
			token = token%6000 + 1
		}
		b.Retain(1)
		l.batches = append(l.batches, b)
	}
	return l
}

// run offers the load to a sink for a while.
func (l load) run(push func(*messages.Ticks), d time.Duration) {
	tick := time.NewTicker(l.each)
	defer tick.Stop()
	for n, end := 0, time.Now().Add(d); time.Now().Before(end); n++ {
		<-tick.C
		b := l.batches[n%len(l.batches)]
		b.Received = time.Now()
		push(b)
	}
}

// BenchmarkBus publishes 36,000 ticks a second to ten consumers for some
// seconds: as whole frames, as a message a tick, and, as the baseline, to
// nobody and nothing. core-% is the processor time of publisher and embedded
// server together.
func BenchmarkBus(b *testing.B) {
	rate := number("KITESTRING_BENCH_RATE", 36_000)
	consumers := number("KITESTRING_BENCH_M", 10)
	for name, c := range map[string]struct {
		all     bool
		subject string
		off     bool
	}{
		"off":    {off: true},
		"frames": {subject: "ks.*.md.frame.*"},
		"ticks":  {all: true, subject: "ks.*.md.tick.>"},
	} {
		b.Run(name, func(b *testing.B) {
			l := newLoad(rate)
			for b.Loop() {
				push, stop := func(*messages.Ticks) {}, func() found { return found{} }
				var s *Store
				if !c.off {
					s = NewStore(StoreConfig{Clock: clock{}, Env: "sim", Server: "a", Where: Embedded, All: c.all})
					h := actorstest.Start(b, Name, New(Config{Store: s, URL: Embedded, Listen: "127.0.0.1:0"}))
					defer h.Stop()
					for s.Status().State != Publishing {
						time.Sleep(time.Millisecond)
					}
					push = func(t *messages.Ticks) { s.Push(t) }
					stop = consumersFor(b, consumers, "nats://"+s.Status().Addr, c.subject)
				}
				before, start := busy(), time.Now()
				l.run(push, 5*time.Second)
				cpu, took := busy()-before, time.Since(start)
				if s != nil {
					for s.Status().Queue > 0 {
						time.Sleep(time.Millisecond)
					}
					time.Sleep(500 * time.Millisecond)
				}
				f := stop()
				b.ReportMetric(100*cpu.Seconds()/took.Seconds(), "core-%")
				if s == nil {
					continue
				}
				b.ReportMetric(float64(f.P50.Microseconds())/1000, "p50-ms")
				b.ReportMetric(float64(f.P99.Microseconds())/1000, "p99-ms")
				b.ReportMetric(float64(f.Max.Microseconds())/1000, "max-ms")
				b.ReportMetric(float64(f.Missing), "missing")
				b.ReportMetric(float64(s.Status().Lost["queue_full"]), "lost")
				b.ReportMetric(float64(s.Status().Cut), "cut")
				b.ReportMetric(float64(f.Messages)/float64(cmp.Or(consumers, 1))/took.Seconds(), "messages/s")
			}
		})
	}
}

func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}
