package simulator

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"kitestring/messages"
	"kitestring/messages/wire"
)

// benchSocket is a client that only swallows.
func benchSocket(b *testing.B, e *Exchange, base string, tokens []uint32) (done <-chan int64) {
	b.Helper()
	token := e.sessions.newest()
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(base, "http")+"?api_key=simkey&access_token="+token.Reveal(), nil)
	if err != nil {
		b.Fatal(err)
	}
	command := wire.AppendCommand(nil, wire.Command{Action: wire.ActionMode, Mode: messages.ModeFull, InstrumentTokens: tokens})
	if err := conn.WriteMessage(websocket.TextMessage, command); err != nil {
		b.Fatal(err)
	}
	total := make(chan int64, 1)
	go func() {
		defer conn.Close()
		var n int64
		buf := make([]byte, 64<<10)
		raw := conn.NetConn()
		for {
			k, err := raw.Read(buf)
			n += int64(k)
			if err != nil {
				total <- n
				return
			}
		}
	}()
	b.Cleanup(func() { conn.Close() })
	return total
}

// BenchmarkTicks makes ticks as fast as they go and sends them in full mode
// over loopback to one, two and three sockets.
func BenchmarkTicks(b *testing.B) {
	for _, sockets := range []int{1, 3} {
		for _, instruments := range []int{300, 3000} {
			b.Run(fmt.Sprintf("sockets=%d/instruments=%d", sockets, instruments), func(b *testing.B) {
				e, err := New(Config{Instruments: instruments, Rate: 1, Sequence: true})
				if err != nil {
					b.Fatal(err)
				}
				server := httptest.NewServer(e.Handler())
				defer server.Close()
				if _, err := e.Rotate(); err != nil {
					b.Fatal(err)
				}
				tokens := make([]uint32, instruments)
				for i := range tokens {
					tokens[i] = uint32(100_001+i)<<8 | 1
				}
				var sinks []<-chan int64
				for range sockets {
					sinks = append(sinks, benchSocket(b, e, server.URL, tokens))
				}
				for {
					e.mu.Lock()
					ready := true
					for s := range e.sockets {
						ready = ready && len(s.modes) == instruments
					}
					ready = ready && len(e.sockets) == sockets
					e.mu.Unlock()
					if ready {
						break
					}
				}
				var made int64
				b.ResetTimer()
				for n := 0; n < b.N; n += 500 {
					e.mu.Lock()
					e.round(b.Context(), time.Now(), 500)
					e.mu.Unlock()
					<-e.inFlight.landed()
				}
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ticks/s")
				b.ReportMetric(float64(b.N*sockets)/b.Elapsed().Seconds(), "sent/s")
				e.mu.Lock()
				if e.counts.slowSockets > 0 {
					b.Error("a socket was cut")
				}
				made = int64((b.N+499)/500*500 + instruments) // with the cached ones
				for s := range e.sockets {
					if s.ticks != made {
						b.Errorf("a socket got %d ticks of %d", s.ticks, made)
					}
				}
				e.mu.Unlock()
				e.CloseSockets()
				for _, sink := range sinks {
					if n := <-sink; n < made*186 {
						b.Errorf("%d bytes arrived, less than %d full packets have", n, made)
					}
				}
			})
		}
	}
}

// BenchmarkUnwatched is what a first look at an option late in the day costs.
func BenchmarkUnwatched(b *testing.B) {
	e, err := New(Config{})
	if err != nil {
		b.Fatal(err)
	}
	s := e.cal.sessionAt(e.clock.Now())
	in := e.listing.find("NSE:INFY")
	for _, other := range e.listing.list {
		if other.kind == option {
			in = other
			break
		}
	}
	for b.Loop() {
		fresh := *in
		fresh.trading = trading{away: true}
		e.settle(&fresh, s, s.close())
	}
}
