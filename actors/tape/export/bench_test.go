package export

import (
	"context"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"kitestring/actors/simulator"
	"kitestring/actors/tape"
	"kitestring/messages"
	"kitestring/messages/ist"
	"kitestring/messages/wire"
)

// simulated are some minutes of the simulator, through a real socket: as many
// ticks a second and instrument as under the heaviest load.
var simulated = sync.OnceValues(func() (frames []tape.Frame, err error) {
	const instruments, seconds, speed = 100, 6, 60
	e, err := simulator.New(simulator.Config{Instruments: instruments, Rate: instruments * 6 * speed, Speed: speed})
	if err != nil {
		return nil, err
	}
	server := httptest.NewServer(e.Handler())
	defer server.Close()
	token, err := e.IssueToken()
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { _ = e.Run(ctx) })
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+"?api_key="+e.APIKey()+"&access_token="+token.Reveal(), nil)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	command := wire.Command{Action: wire.ActionMode, Mode: messages.ModeFull}
	for i := range instruments {
		command.InstrumentTokens = append(command.InstrumentTokens, uint32(100_001+i)<<8|1)
	}
	if err := conn.WriteMessage(websocket.TextMessage, wire.AppendCommand(nil, command)); err != nil {
		return nil, err
	}
	for start := time.Now(); time.Since(start) < seconds*time.Second; {
		kind, data, err := conn.ReadMessage()
		if err != nil {
			return nil, err
		}
		if kind == websocket.BinaryMessage {
			frames = append(frames, tape.Frame{At: e.Clock().Now(), Generation: 1, Data: data})
		}
	}
	return frames, nil
})

// BenchmarkExport exports a recording of the simulator: bytes and time a tick,
// reading the tape, writing, and reading back included.
func BenchmarkExport(b *testing.B) {
	frames, err := simulated()
	if err != nil {
		b.Fatal(err)
	}
	dir := tape.Open(b.TempDir())
	w := dir.NewWriter(tape.WriterConfig{Boot: "bench"})
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
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		cfg  Config
	}{
		{"narrow", Config{Format: Parquet}},
		{"full", Config{Format: Parquet, Full: true}},
		{"csv", Config{Format: CSV}},
		{"bars", Config{Format: Bars}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var r Report
			for b.Loop() {
				c.cfg.Directory, c.cfg.Day, c.cfg.Out, c.cfg.Replace = dir, frames[0].At.In(ist.Zone).Format(time.DateOnly), b.TempDir(), true
				if r, err = Run(b.Context(), c.cfg); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(r.Bytes)/float64(r.Ticks), "B/tick")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(r.Ticks), "ns/tick")
		})
	}
}
