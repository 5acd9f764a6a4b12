package tape_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"kitestring/actors/simulator"
	"kitestring/actors/tape"
	"kitestring/messages"
	"kitestring/messages/wire"
)

// recorded are some seconds of the heaviest load: 36,000 full ticks a second of
// 5996 instruments on two sockets, as they came.
type recorded struct {
	frames []tape.Frame
	ticks  int
	raw    int64 // bytes of the frames
}

const benchSeconds = 4

// capture records the simulator through real sockets, once a run.
var capture = sync.OnceValues(func() (recorded, error) {
	e, err := simulator.New(simulator.Config{Instruments: 5996, Rate: 36_000})
	if err != nil {
		return recorded{}, err
	}
	server := httptest.NewServer(e.Handler())
	defer server.Close()
	token, err := e.IssueToken()
	if err != nil {
		return recorded{}, err
	}
	ctx, stop := context.WithCancel(context.Background())
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	group.Go(func() { _ = e.Run(ctx) })

	var r recorded
	var mu sync.Mutex
	var readers sync.WaitGroup
	for shard := range 2 {
		conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+"?api_key="+e.APIKey()+"&access_token="+token.Reveal(), nil)
		if err != nil {
			return r, err
		}
		tokens := make([]uint32, 2998)
		for i := range tokens {
			tokens[i] = uint32(100_001+i+shard*len(tokens))<<8 | 1
		}
		if err := conn.WriteMessage(websocket.TextMessage, wire.AppendCommand(nil, wire.Command{Action: wire.ActionMode, Mode: messages.ModeFull, InstrumentTokens: tokens})); err != nil {
			return r, err
		}
		readers.Go(func() {
			defer conn.Close()
			for start := time.Now(); time.Since(start) < benchSeconds*time.Second; {
				kind, data, err := conn.ReadMessage()
				if err != nil || kind != websocket.BinaryMessage {
					continue
				}
				mu.Lock()
				r.frames = append(r.frames, tape.Frame{At: time.Now(), Shard: shard, Socket: uint64(shard), Generation: 1, Data: data})
				r.raw += int64(len(data))
				mu.Unlock()
			}
		})
	}
	readers.Wait()
	var d wire.Decoder
	var ticks []messages.Tick
	for _, f := range r.frames {
		if ticks, err = d.Decode(f.Data, ticks[:0]); err != nil {
			return r, err
		}
		r.ticks += len(ticks)
	}
	return r, nil
})

// walked is the same traffic with a depth that moves a little at each tick, as an
// order book does; the simulator draws a new one each time.
func walked(r recorded) recorded {
	rng := rand.New(rand.NewPCG(1, 2))
	book := map[string][]byte{}
	frames := make([]tape.Frame, len(r.frames))
	for i, f := range r.frames {
		f.Data = bytes.Clone(f.Data)
		for pos := 2; pos+2 < len(f.Data); {
			n := int(f.Data[pos])<<8 | int(f.Data[pos+1])
			if p := f.Data[pos+2 : pos+2+n]; n == 184 {
				before, known := book[string(p[:4])]
				if known {
					copy(p[64:], before)
					for range 3 { // levels that changed
						level := p[64+12*rng.IntN(10):]
						copy(level[2:4], []byte{byte(rng.IntN(8)), byte(rng.IntN(256))})
						level[9] = byte(1 + rng.IntN(20))
					}
				}
				book[string(p[:4])] = p[64:]
			}
			pos += 2 + n
		}
		frames[i] = f
	}
	r.frames = frames
	return r
}

func load(b *testing.B) recorded {
	r, err := capture()
	if err != nil {
		b.Fatal(err)
	}
	if r.ticks < 10_000 {
		b.Fatalf("%d ticks came in %d s", r.ticks, benchSeconds)
	}
	return r
}

// processor is what this process has used of it: on a machine with other work,
// ratios of it are worth more than those of elapsed time.
func processor() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err) // the arguments are constants
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// report gives the processor's time a tick since start.
func report(b *testing.B, r recorded, bytes int64, start time.Duration) float64 {
	ns := float64(processor()-start) / float64(b.N) / float64(r.ticks)
	b.ReportMetric(ns, "cpu-ns/tick")
	if bytes > 0 {
		b.ReportMetric(float64(bytes)/float64(r.ticks), "B/tick")
	}
	return ns
}

// blocks calls each with the frames of a tenth of a second, as a recorder
// flushes.
func blocks(r recorded, each func([]tape.Frame)) {
	for start, i := 0, 0; i <= len(r.frames); i++ {
		if i == len(r.frames) || r.frames[i].At.Sub(r.frames[start].At) >= 100*time.Millisecond {
			each(r.frames[start:i])
			start = i
		}
		if i == len(r.frames) {
			return
		}
	}
}

type nowhere struct{ bytes int64 }

func (n *nowhere) Write(p []byte) (int, error) { n.bytes += int64(len(p)); return len(p), nil }
func (n *nowhere) Truncate(int64) error        { return nil }
func (n *nowhere) Datasync() error             { return nil }
func (n *nowhere) Close() error                { return nil }

// BenchmarkEncode writes the same traffic in three ways: the tape, zstd over the
// bytes as they came in the same blocks, and what most recorders do, compressed
// CSV. The ratios are of one run.
func BenchmarkEncode(b *testing.B) {
	for _, traffic := range []string{"simulator", "walk"} {
		var ours, zstd1, csvgz [2]float64 // ns and bytes a tick
		run := func(name string, to *[2]float64, encode func(b *testing.B, r recorded) int64) {
			b.Run(traffic+"/"+name, func(b *testing.B) {
				r := load(b)
				if traffic == "walk" {
					r = walked(r)
				}
				var bytes int64
				start := processor()
				for b.Loop() {
					bytes = encode(b, r)
				}
				*to = [2]float64{report(b, r, bytes, start), float64(bytes) / float64(r.ticks)}
				if name == "tape" && zstd1[0] > 0 && csvgz[0] > 0 {
					b.ReportMetric(zstd1[1]/to[1], "x-smaller-than-zstd")
					b.ReportMetric(zstd1[0]/to[0], "x-faster-than-zstd")
					b.ReportMetric(csvgz[0]/to[0], "x-faster-than-csv.gz")
				}
			})
		}
		run("raw+zstd-1", &zstd1, func(b *testing.B, r recorded) int64 {
			z, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
			defer z.Close()
			var bytes int64
			var in, out []byte
			blocks(r, func(frames []tape.Frame) {
				in = in[:0]
				for _, f := range frames {
					in = append(in, f.Data...)
				}
				out = z.EncodeAll(in, out[:0])
				bytes += int64(len(out))
			})
			return bytes
		})
		run("csv.gz", &csvgz, func(b *testing.B, r recorded) int64 {
			var to nowhere
			writeCSV(b, r, &to)
			return to.bytes
		})
		run("tape", &ours, func(b *testing.B, r recorded) int64 {
			to := &nowhere{}
			w := tape.Open(b.TempDir()).NewWriter(tape.WriterConfig{Boot: "bench", Create: func(string) (tape.File, error) { return to, nil }})
			write(b, w, r)
			return to.bytes
		})
	}
}

func write(b *testing.B, w *tape.Writer, r recorded) {
	blocks(r, func(frames []tape.Frame) {
		for _, f := range frames {
			if w.Full() {
				if err := w.Flush(); err != nil {
					b.Fatal(err)
				}
			}
			if err := w.Append(f); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			b.Fatal(err)
		}
	})
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
}

// writeCSV is what a program with the decoded ticks writes: a row a tick, depth
// included.
func writeCSV(b *testing.B, r recorded, to io.Writer) {
	z := gzip.NewWriter(to)
	out := csv.NewWriter(z)
	var d wire.Decoder
	var ticks []messages.Tick
	row := make([]string, 0, 48)
	u := func(v uint32) { row = append(row, strconv.FormatUint(uint64(v), 10)) }
	price := func(t *messages.Tick, v int32) { row = append(row, strconv.FormatFloat(t.Price(v), 'f', 2, 64)) }
	for _, f := range r.frames {
		var err error
		if ticks, err = d.Decode(f.Data, ticks[:0]); err != nil {
			b.Fatal(err)
		}
		for i := range ticks {
			t := &ticks[i]
			row = append(row[:0], f.At.Format(time.RFC3339Nano))
			u(t.InstrumentToken)
			for _, p := range []int32{t.LastPrice, t.Open, t.High, t.Low, t.Close, t.AveragePrice} {
				price(t, p)
			}
			for _, v := range []uint32{t.LastQuantity, t.Volume, t.BuyQuantity, t.SellQuantity, t.OI, t.ExchangeTime, t.LastTradeTime} {
				u(v)
			}
			depth, _ := wire.DepthOf(f.Data[t.Offset : int(t.Offset)+int(t.Length)])
			for _, side := range [...][5]wire.DepthLevel{depth.Buy, depth.Sell} {
				for _, level := range side {
					u(level.Quantity)
					price(t, level.Price)
					u(uint32(level.Orders))
				}
			}
			if err := out.Write(row); err != nil {
				b.Fatal(err)
			}
		}
	}
	out.Flush()
	if err := z.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkDecode reads a segment back to the frames as they came.
func BenchmarkDecode(b *testing.B) {
	r := load(b)
	dir := tape.Open(b.TempDir())
	write(b, dir.NewWriter(tape.WriterConfig{Boot: "bench"}), r)
	days, err := dir.Days()
	if err != nil {
		b.Fatal(err)
	}
	start := processor()
	for b.Loop() {
		var raw int64
		for _, day := range days {
			counts, damage, err := tape.Read(day.Segments, time.Time{}, time.Time{}, func(records []tape.Record) error {
				for i := range records {
					if records[i].Kind == "" {
						raw += int64(len(records[i].Data))
					}
				}
				return nil
			})
			if err != nil || len(damage) > 0 || counts.Ticks != int64(r.ticks) {
				b.Fatal(counts, damage, err)
			}
		}
		if raw != r.raw {
			b.Fatalf("%d bytes of %d came back", raw, r.raw)
		}
	}
	b.ReportMetric(1e3/report(b, r, 0, start), "Mticks/cpu-s")
}
