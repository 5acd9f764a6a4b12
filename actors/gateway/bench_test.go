package gateway

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kitestring/actors/actorstest"
	"kitestring/actors/gateway/clients"
	"kitestring/messages"
	"kitestring/messages/wire"
)

// rawClient is a WebSocket client without a library: what it costs is the
// kernel's and one reader.
type rawClient struct {
	net.Conn
	in *bufio.Reader
}

func dialRaw(b testing.TB, addr, key string, tokens []uint32) *rawClient {
	b.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	_, _ = fmt.Fprintf(conn, "GET /?api_key=any&access_token=%s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", key)
	c := &rawClient{conn, bufio.NewReaderSize(conn, 4096)}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		b.Fatalf("upgrade: %v %v", resp, err)
	}
	if len(tokens) > 0 {
		c.send(wire.AppendCommand(nil, wire.Command{Action: wire.ActionMode, Mode: messages.ModeFull, InstrumentTokens: tokens}))
	}
	return c
}

// send writes a text frame, masked with zeros as a client's has to be.
func (c *rawClient) send(text []byte) {
	frame := []byte{opText, 0x80 | 126}
	frame = binary.BigEndian.AppendUint16(frame, uint16(len(text)))
	frame = append(append(frame, 0, 0, 0, 0), text...)
	_, _ = c.Write(frame)
}

// next reads a frame of packets; heartbeats and texts are skipped.
func (c *rawClient) next(buf []byte) (payload []byte, err error) {
	for {
		head := [4]byte{}
		if _, err := io.ReadFull(c.in, head[:2]); err != nil {
			return nil, err
		}
		size := int(head[1])
		if size == 126 {
			if _, err := io.ReadFull(c.in, head[2:]); err != nil {
				return nil, err
			}
			size = int(binary.BigEndian.Uint16(head[2:]))
		}
		if _, err := io.ReadFull(c.in, buf[:size]); err != nil {
			return nil, err
		}
		if head[0] == opBinary && size > 1 {
			return buf[:size], nil
		}
	}
}

const benchTokens = 300

func benchList() (tokens []uint32) {
	for i := range uint32(benchTokens) {
		tokens = append(tokens, (i+1)<<8|2)
	}
	return tokens
}

func benchBatch(b testing.TB, seq uint32) *messages.Ticks {
	var packets [][]byte
	for _, token := range benchList() {
		packets = append(packets, packetOf(token, messages.ModeFull, seq, seq))
	}
	return batchOf(b, packets...)
}

// From a batch of the feed to the last byte of its frame at every client, at
// 36,000 packets a second; beside it the same frame written to a plain socket
// at the same moment.
func BenchmarkHandOver(b *testing.B) {
	for _, c := range []struct {
		name           string
		clients, still int
	}{{"10-clients", 10, 0}, {"10-clients-one-still", 10, 1}, {"50-clients", 50, 0}} {
		b.Run(c.name, func(b *testing.B) {
			r := begin(b)
			r.login(1)
			direct, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer direct.Close()
			plain, err := net.Dial("tcp", direct.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer plain.Close()
			source, err := direct.Accept()
			if err != nil {
				b.Fatal(err)
			}
			defer source.Close()
			sent := make([]atomic.Int64, b.N+1)
			var mu sync.Mutex
			var reading sync.WaitGroup
			read := func(in *rawClient, took *[]time.Duration) {
				reading.Go(func() {
					buf := make([]byte, 1<<16)
					for {
						payload, err := in.next(buf)
						if err != nil {
							return
						}
						seq := int(binary.BigEndian.Uint32(payload[8:]))
						if seq < 1 || seq > b.N {
							continue
						}
						d := time.Duration(time.Now().UnixNano() - sent[seq].Load())
						mu.Lock()
						*took = append(*took, d)
						mu.Unlock()
						if seq == b.N {
							return
						}
					}
				})
			}
			var via, straight []time.Duration
			read(&rawClient{plain, bufio.NewReaderSize(plain, 4096)}, &straight)
			for i := range c.clients {
				client := dialRaw(b, r.addr, r.add(fmt.Sprint("c", i), clients.ScopeData), benchList())
				if i >= c.still {
					read(client, &via)
				}
			}
			actorstest.Until(b, "the subscriptions", func() bool {
				n := 0
				for _, s := range r.board.Status().Clients {
					n += s.Instruments[messages.ModeFull]
				}
				return n == c.clients*benchTokens
			})
			every := time.NewTicker(time.Second * benchTokens / 36_000)
			defer every.Stop()
			b.ResetTimer()
			for seq := 1; seq <= b.N; seq++ {
				<-every.C
				batch := benchBatch(b, uint32(seq))
				frame := binary.BigEndian.AppendUint16([]byte{opBinary, 126}, uint16(len(batch.Raw)))
				frame = append(frame, batch.Raw...)
				sent[seq].Store(time.Now().UnixNano())
				r.Tell(batch)
				if _, err := source.Write(frame); err != nil {
					b.Fatal(err)
				}
			}
			reading.Wait()
			b.StopTimer()
			slices.Sort(via)
			slices.Sort(straight)
			at := func(of []time.Duration, share int) float64 { return 1000 * of[len(of)*share/100].Seconds() }
			b.ReportMetric(at(via, 50), "p50-ms")
			b.ReportMetric(at(via, 99), "p99-ms")
			b.ReportMetric(at(straight, 50), "direct-p50-ms")
			b.ReportMetric(at(straight, 99), "direct-p99-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// What a client takes of the heap: one that does nothing, one that streams, one
// that does not read.
func BenchmarkClientMemory(b *testing.B) {
	for _, kind := range []string{"idle", "streaming", "not-reading"} {
		b.Run(kind, func(b *testing.B) {
			const programs = 20
			r := begin(b, func(cfg *Config) { cfg.stuck = time.Hour })
			r.login(1)
			var keys []string
			for i := range programs {
				keys = append(keys, r.add(fmt.Sprint("c", i), clients.ScopeData))
			}
			live := func() uint64 {
				var m runtime.MemStats
				runtime.GC()
				runtime.GC()
				runtime.ReadMemStats(&m)
				return m.HeapAlloc + m.StackInuse
			}
			r.Tell(benchBatch(b, 1))
			before := live()
			for i := range programs {
				tokens := benchList()
				if kind == "idle" {
					tokens = nil
				}
				c := dialRaw(b, r.addr, keys[i], tokens)
				if kind == "streaming" {
					go func() { _, _ = io.Copy(io.Discard, c.in) }()
				}
			}
			actorstest.Until(b, "the programs", func() bool { return r.board.Sockets() == programs })
			for seq := uint32(2); kind != "idle" && seq < 200; seq++ {
				batch := benchBatch(b, seq)
				r.Tell(batch)
				if kind == "streaming" {
					actorstest.Until(b, "the packets are taken", func() bool { return r.board.Status().Clients[0].Waiting == 0 })
				}
			}
			actorstest.Until(b, "the batches", func() bool { return r.tokens.LastUsed(Name) == 1 })
			for b.Loop() { //nolint:revive // nothing is timed
			}
			b.ReportMetric(float64(live()-before)/programs/1024, "KB/client")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// From the command for 3000 instruments to their last cached packet.
func BenchmarkSubscribe3000(b *testing.B) {
	r := begin(b)
	r.login(1)
	var tokens []uint32
	for first := uint32(1); first <= 3000; first += benchTokens {
		var packets [][]byte
		for i := range uint32(benchTokens) {
			tokens = append(tokens, (first+i)<<8|2)
			packets = append(packets, packetOf((first+i)<<8|2, messages.ModeFull, 1, 1))
		}
		r.Tell(batchOf(b, packets...))
	}
	client := dialRaw(b, r.addr, r.add("a", clients.ScopeData), nil)
	subscribe := wire.AppendCommand(nil, wire.Command{Action: wire.ActionMode, Mode: messages.ModeFull, InstrumentTokens: tokens})
	unsubscribe := wire.AppendCommand(nil, wire.Command{Action: wire.ActionUnsubscribe, InstrumentTokens: tokens})
	buf := make([]byte, 1<<16)
	actorstest.Until(b, "the batches", func() bool { return r.tokens.LastUsed(Name) == 1 })
	for b.Loop() {
		client.send(subscribe)
		for got := 0; got < len(tokens); {
			payload, err := client.next(buf)
			if err != nil {
				b.Fatal(err)
			}
			got += int(binary.BigEndian.Uint16(payload))
		}
		client.send(unsubscribe)
	}
}

// What the gateway adds to a REST request: an answer of Kite's that may not be
// cached, through it and asked for directly.
func BenchmarkREST(b *testing.B) {
	r := begin(b)
	r.login(1)
	key := r.add("a", clients.ScopeAccount)
	client := &http.Client{}
	defer client.CloseIdleConnections()
	ask := func(root string) time.Duration {
		req, err := http.NewRequest(http.MethodGet, root+"/orders", nil)
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Authorization", "token any:"+key)
		began := time.Now()
		resp, err := client.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return time.Since(began)
	}
	var via, straight []time.Duration
	budget := time.NewTicker(200 * time.Millisecond) // no request waits for Kite's limit
	defer budget.Stop()
	for range 30 {
		<-budget.C
		via = append(via, ask("http://"+r.addr))
		straight = append(straight, ask(r.exchange))
	}
	for b.Loop() { //nolint:revive // nothing more is timed
	}
	slices.Sort(via)
	slices.Sort(straight)
	b.ReportMetric(1000*via[len(via)/2].Seconds(), "p50-ms")
	b.ReportMetric(1000*via[len(via)-1].Seconds(), "max-ms")
	b.ReportMetric(1000*straight[len(straight)/2].Seconds(), "direct-p50-ms")
	b.ReportMetric(1000*straight[len(straight)-1].Seconds(), "direct-max-ms")
	b.ReportMetric(0, "ns/op")
}
