package gateway

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"kitestring/actors/actorstest"
	"kitestring/actors/gateway/clients"
	"kitestring/messages"
	"kitestring/messages/wire"
)

func TestIntake(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(1_700_000_000+int64(s), 0) }
	for name, c := range map[string]struct {
		acked   []uint64 // a second each
		waiting []bool
		stuck   bool
	}{
		"takes all":            {[]uint64{1, 1, 1, 1}, []bool{false, false, false, false}, false},
		"takes slowly":         {[]uint64{1, 2, 3, 4}, []bool{true, true, true, true}, false},
		"takes nothing":        {[]uint64{1, 1, 1, 1}, []bool{true, true, true, true}, true},
		"stopped a moment ago": {[]uint64{1, 2, 2, 2}, []bool{true, true, true, true}, false},
		"was idle before":      {[]uint64{1, 1, 1, 1}, []bool{false, true, true, true}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var i intake
			got := false
			for s, acked := range c.acked {
				got = i.stuck(at(s), acked, c.waiting[s], 3*time.Second)
			}
			if got != c.stuck {
				t.Errorf("stuck %v", got)
			}
		})
	}
}

// priceReader reads a client's packets and demands that each price follows the
// one before.
func priceReader(t *testing.T, conn *websocket.Conn) (last *atomic.Uint32) {
	t.Helper()
	last = new(atomic.Uint32)
	go func() {
		for {
			kind, frame, err := conn.ReadMessage()
			if err != nil {
				return
			}
			if kind != websocket.BinaryMessage || wire.Heartbeat(frame) {
				continue
			}
			ticks, err := new(wire.Decoder).Decode(frame, nil)
			if err != nil {
				t.Error(err)
				return
			}
			for _, tick := range ticks {
				if was := last.Swap(uint32(tick.LastPrice)); was != 0 && uint32(tick.LastPrice) != was+1 {
					t.Errorf("price %d after %d", tick.LastPrice, was)
				}
			}
		}
	}()
	return last
}

func subscribeFull(t *testing.T, conn *websocket.Conn, tokens ...uint32) {
	t.Helper()
	cmd := wire.Command{Action: wire.ActionMode, Mode: messages.ModeFull, InstrumentTokens: tokens}
	if err := conn.WriteMessage(websocket.TextMessage, wire.AppendCommand(nil, cmd)); err != nil {
		t.Fatal(err)
	}
}

// A program that never reads is conflated and dropped; one that never sends,
// not even a request, keeps nothing busy; a third one loses nothing meanwhile.
func TestClientsThatNeverReadOrSend(t *testing.T) {
	b := begin(t, func(cfg *Config) { cfg.stuck = 2 * time.Second })
	b.login(1)
	const quick, bulk = 11<<8 | 2, 100_000
	silent, err := net.Dial("tcp", b.addr) // sends nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	mute := b.dial(b.add("mute", clients.ScopeData)) // connects, and sends nothing more
	reader := b.dial(b.add("reader", clients.ScopeData))
	still := b.dial(b.add("still", clients.ScopeData))
	subscribeFull(t, reader, quick)
	many := make([]uint32, 300)
	for i := range many {
		many[i] = (bulk+uint32(i))<<8 | 2
	}
	subscribeFull(t, still, many...)
	client := func(name string) ClientStatus {
		for _, c := range b.board.Status().Clients {
			if c.Name == name {
				return c
			}
		}
		t.Fatalf("no client %s", name)
		return ClientStatus{}
	}
	actorstest.Until(t, "the subscriptions", func() bool {
		return client("reader").Instruments[messages.ModeFull] == 1 && client("still").Instruments[messages.ModeFull] == len(many)
	})
	last := priceReader(t, reader)
	price := uint32(0)
	actorstest.Until(t, "the one that does not read is dropped", func() bool {
		price++
		packets := [][]byte{packetOf(quick, messages.ModeFull, price, 0)}
		for _, token := range many {
			packets = append(packets, packetOf(token, messages.ModeFull, price, price))
		}
		b.Tell(batchOf(t, packets...))
		return client("still").Sockets == 0
	})
	if c := client("still"); c.Conflated == 0 {
		t.Errorf("nothing was conflated: %+v", c)
	}
	actorstest.Until(t, "the other has everything", func() bool { return last.Load() == price })
	for beats := 0; beats < 2; {
		kind, frame, err := mute.ReadMessage()
		if err != nil {
			t.Fatalf("the one that sends nothing: %v", err)
		}
		if kind == websocket.BinaryMessage && wire.Heartbeat(frame) {
			beats++
		}
	}
	if err := silent.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := silent.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a connection without a request: %v", err)
	}
}

// A program that dials in a loop gets its ten a second and no more; another
// one streams on, a third one connects.
func TestThousandsOfUpgrades(t *testing.T) {
	b := begin(t)
	b.login(1)
	const token = 11<<8 | 2
	stream := b.dial(b.add("stream", clients.ScopeData))
	subscribeFull(t, stream, token)
	actorstest.Until(t, "the subscription", func() bool { return b.board.Status().Wanted == 1 })
	last := priceReader(t, stream)
	key := b.add("loop", clients.ScopeData)
	var accepted, limited, other atomic.Int64
	var dialling sync.WaitGroup
	began := time.Now()
	for range 8 {
		dialling.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			for range 1250 {
				req, err := http.NewRequest(http.MethodGet, "http://"+b.addr+"/?api_key=any&access_token="+key, nil)
				if err != nil {
					t.Error(err)
					return
				}
				req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
				resp, err := transport.RoundTrip(req)
				if err != nil {
					t.Error(err)
					return
				}
				switch resp.StatusCode {
				case http.StatusSwitchingProtocols:
					accepted.Add(1)
				case http.StatusTooManyRequests:
					limited.Add(1)
				default:
					other.Add(1)
				}
				_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, min(resp.ContentLength, 4096)))
				_ = resp.Body.Close()
			}
		})
	}
	ended := make(chan struct{})
	go func() { dialling.Wait(); close(ended) }()
	price := uint32(0)
	for flooding := true; flooding; {
		select {
		case <-ended:
			flooding = false
		default:
		}
		price++
		b.Tell(batchOf(t, packetOf(token, messages.ModeFull, price, 0)))
		actorstest.Until(t, "the packet at the program that streams", func() bool { return last.Load() == price })
	}
	took := time.Since(began)
	// An accepted upgrade frees its place when the socket is closed.
	most := int64(upgradesPerKey * (2 + took.Seconds()))
	if n := accepted.Load(); n == 0 || n > most || other.Load() != 0 || n+limited.Load() != 10_000 {
		t.Errorf("%d accepted (at most %d), %d limited, %d answered otherwise", n, most, limited.Load(), other.Load())
	}
	t.Logf("%.0f upgrades a second, %d accepted", 10_000/took.Seconds(), accepted.Load())
	_ = b.dial(b.add("new", clients.ScopeData))
}

// What Kite does not stream is announced to those who asked for it, once.
func TestRefusedInstrumentsAreAnnounced(t *testing.T) {
	b := begin(t)
	b.login(1)
	first, second := b.dial(b.add("first", clients.ScopeData)), b.dial(b.add("second", clients.ScopeData))
	subscribeFull(t, first, 258, 514)
	subscribeFull(t, second, 770)
	actorstest.Until(t, "the subscriptions", func() bool { return b.board.Status().Wanted == 3 })
	refused := messages.InstrumentsRefused{Reasons: map[uint32]string{514: "Kite streams at most 3000 instruments"}}
	b.Tell(refused)
	b.Tell(refused)
	expect := func(conn *websocket.Conn, want string) {
		t.Helper()
		for {
			if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			kind, data, err := conn.ReadMessage()
			if err != nil {
				t.Fatal(err)
			}
			if kind != websocket.TextMessage {
				continue
			}
			if !strings.Contains(string(data), `"type":"error"`) || !strings.Contains(string(data), want) {
				t.Fatalf("text %s, want one with %q", data, want)
			}
			return
		}
	}
	expect(first, "instrument 514 cannot be streamed: Kite streams at most 3000 instruments")
	// Who asks later gets the text as well; that it is the next text shows that the
	// first one got it once, and the second not before.
	subscribeFull(t, second, 514)
	expect(second, "instrument 514 cannot")
	b.Tell(messages.InstrumentsRefused{Reasons: map[uint32]string{258: "another reason"}})
	expect(first, "instrument 258 cannot be streamed: another reason")
}
