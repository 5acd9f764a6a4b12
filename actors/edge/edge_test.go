package edge

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/gorilla/websocket"

	"kitestring/actors/actorstest"
	"kitestring/messages"
	"kitestring/messages/wire"
)

func TestMain(m *testing.M) { actorstest.Main(m) }

const token = 11<<8 | 2

// upstream is a gateway that sends what the test says.
type upstream struct {
	t      *testing.T
	server *httptest.Server
	key    string
	away   atomic.Bool // connects nobody

	mu         sync.Mutex
	conn       *websocket.Conn // with a subscription; nil: none
	connecting int
}

func newUpstream(t *testing.T, key string) *upstream {
	u := &upstream{t: t, key: key}
	u.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u.away.Load() || r.URL.Query().Get("access_token") != key {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		conn, err := new(websocket.Upgrader).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			_, text, err := conn.ReadMessage()
			u.mu.Lock()
			if err == nil && strings.Contains(string(text), "full") {
				u.conn = conn
				u.connecting++
			}
			if err != nil && u.conn == conn {
				u.conn = nil
			}
			u.mu.Unlock()
			if err != nil {
				return
			}
		}
	}))
	t.Cleanup(u.server.Close)
	return u
}

func (u *upstream) upstream() Upstream {
	return Upstream{Addr: strings.TrimPrefix(u.server.URL, "http://"), Key: messages.NewSecret(u.key)}
}

// subscribed waits for the nth connection with a subscription.
func (u *upstream) subscribed(n int) {
	u.t.Helper()
	actorstest.Until(u.t, "a connection with a subscription", func() bool {
		u.mu.Lock()
		defer u.mu.Unlock()
		return u.conn != nil && u.connecting >= n
	})
}

// send sends packets by their numbers: four of each second, which differ in
// their depth only.
func (u *upstream) send(from, to int) {
	u.t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	for n := from; n <= to; n++ {
		p := wire.Packet{Tick: messages.Tick{InstrumentToken: token, LastPrice: 1, LastQuantity: uint32(n), ExchangeTime: uint32(1_700_000_000 + n/4)}}
		if err := u.conn.WriteMessage(websocket.BinaryMessage, wire.AppendFrame(nil, wire.AppendPacket(nil, &p, messages.ModeFull))); err != nil {
			u.t.Fatal(err)
		}
	}
}

func (u *upstream) drop() {
	u.mu.Lock()
	defer u.mu.Unlock()
	_ = u.conn.Close()
	u.conn = nil
}

// recorder keeps the numbers of the packets that went on.
type recorder struct {
	mu   sync.Mutex
	seen []uint32
}

func (r *recorder) Push(b *messages.Ticks) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range b.Ticks {
		r.seen = append(r.seen, t.LastQuantity)
	}
	b.Release()
	return false
}

func (r *recorder) until(t *testing.T, n int) {
	t.Helper()
	actorstest.Until(t, "the packet", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.seen) > 0 && r.seen[len(r.seen)-1] == uint32(n)
	})
}

// Each packet goes on once and in order, whichever upstream is ahead, ends, or
// comes back with what it has kept from before.
func TestOneStreamOfTwo(t *testing.T) {
	a, b := newUpstream(t, "keyA"), newUpstream(t, "keyB")
	sink := &recorder{}
	h := actorstest.Start(t, Name, New(Config{
		Upstreams: []Upstream{a.upstream(), b.upstream()}, Sink: sink, Gateway: actor.NewPID(actor.LocalLookupAddr, "gateway/main"), Board: &Board{},
	}))
	t.Cleanup(h.Stop)
	h.Tell(messages.WantInstruments{Owner: "gateway", Wants: []messages.Want{{InstrumentToken: token, Mode: messages.ModeFull}}})
	a.subscribed(1)
	b.subscribed(1)
	a.send(1, 10)
	b.send(1, 20) // b runs ahead
	sink.until(t, 20)
	a.send(11, 40) // and then a
	sink.until(t, 40)
	a.away.Store(true)
	a.drop() // b has yet to bring 21 to 40
	b.send(21, 62)
	sink.until(t, 62)
	a.away.Store(false)
	a.subscribed(2)
	a.send(35, 62) // what it had missed, of which 60 and 61 are of the same moment as the last
	a.send(63, 70)
	sink.until(t, 70)
	b.drop()
	a.send(71, 80)
	sink.until(t, 80)
	b.subscribed(2)
	b.send(80, 80) // its cached packet
	b.send(81, 90)
	sink.until(t, 90)
	a.send(81, 100)
	sink.until(t, 100)
	for i, n := range sink.seen {
		if n != uint32(i+1) {
			t.Fatalf("packet %d is number %d: %v", i+1, n, sink.seen)
		}
	}
	if len(sink.seen) != 100 {
		t.Errorf("%d packets went on", len(sink.seen))
	}
}

// A read that the first upstream does not answer goes to the second with its
// own key; a write does not.
func TestReadsGoToWhoAnswers(t *testing.T) {
	serve := func(status int) (*httptest.Server, *[]string) {
		var asked []string
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.Method+" "+r.Header.Get("Authorization"))
			w.WriteHeader(status)
		}))
		t.Cleanup(s.Close)
		return s, &asked
	}
	first, atFirst := serve(http.StatusServiceUnavailable)
	second, atSecond := serve(http.StatusOK)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Timeout: 10 * time.Second, Transport: REST{Base: transport, Upstreams: []Upstream{
		{Addr: first.Listener.Addr().String(), Key: messages.NewSecret("keyA")}, {Addr: second.Listener.Addr().String(), Key: messages.NewSecret("keyB")},
	}}}
	for method, want := range map[string]int{http.MethodGet: http.StatusOK, http.MethodPost: http.StatusServiceUnavailable} {
		req, err := http.NewRequest(method, first.URL+"/orders", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "token edge:keyA")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", method, resp.StatusCode, want)
		}
	}
	if len(*atFirst) != 2 || len(*atSecond) != 1 || (*atSecond)[0] != "GET token edge:keyB" {
		t.Errorf("the first was asked %q, the second %q", *atFirst, *atSecond)
	}
}

// A restarted edge subscribes to what its gateway's clients want, though they
// want nothing new.
func TestARestartedEdgeKnowsWhatIsWanted(t *testing.T) {
	a := newUpstream(t, "keyA")
	sink := &recorder{}
	h := actorstest.Start(t, Name, New(Config{
		Upstreams: []Upstream{a.upstream()}, Sink: sink, Gateway: actor.NewPID(actor.LocalLookupAddr, "gateway/main"), Board: &Board{},
		Wanted: func() (messages.WantInstruments, bool) {
			return messages.WantInstruments{Owner: "gateway", Wants: []messages.Want{{InstrumentToken: token, Mode: messages.ModeFull}}}, true
		},
	}))
	t.Cleanup(h.Stop)
	a.subscribed(1)
	a.send(1, 1)
	sink.until(t, 1)
}

// A gateway that takes each connection and ends it at once is connected to after
// growing pauses, as one that refuses.
func TestConnectionsThatEndAtOnceGrowThePause(t *testing.T) {
	var connects atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connects.Add(1)
		if conn, err := new(websocket.Upgrader).Upgrade(w, r, nil); err == nil {
			_ = conn.Close()
		}
	}))
	t.Cleanup(server.Close)
	began := time.Now()
	h := actorstest.Start(t, Name, New(Config{
		Upstreams: []Upstream{{Addr: strings.TrimPrefix(server.URL, "http://"), Key: messages.NewSecret("key")}}, Sink: &recorder{}, Gateway: actor.NewPID(actor.LocalLookupAddr, "gateway/main"), Board: &Board{},
	}))
	t.Cleanup(h.Stop)
	actorstest.Until(t, "six connections", func() bool { return connects.Load() >= 6 })
	if took, least := time.Since(began), 31*redialBase; took < least {
		t.Errorf("after %s, want %s of pauses at least", took, least)
	}
}

// What came while the process stood still waits to be read: that time is no
// silence.
func TestAStandstillIsNoSilence(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	s := silence{lookedAt: at}
	look := func(after time.Duration, reads int64) time.Duration {
		at = at.Add(after)
		return s.look(at, reads)
	}
	look(lookEvery, 1)
	if lasts := look(time.Minute, 1); lasts >= dead {
		t.Fatalf("%s of silence after a standstill", lasts)
	}
	if lasts := look(lookEvery, 2); lasts != 0 {
		t.Fatalf("%s of silence after a message", lasts)
	}
	looks := 0
	for look(lookEvery, 2) < dead {
		looks++
	}
	if took := time.Duration(looks+1) * lookEvery; took != dead {
		t.Errorf("silent after %s, want %s", took, dead)
	}
}

// An upstream that speaks rubbish is given up and connected to again; what the other
// one brings goes on.
func TestRubbishOfAnUpstream(t *testing.T) {
	a, b := newUpstream(t, "keyA"), newUpstream(t, "keyB")
	sink := &recorder{}
	h := actorstest.Start(t, Name, New(Config{
		Upstreams: []Upstream{a.upstream(), b.upstream()}, Sink: sink, Gateway: actor.NewPID(actor.LocalLookupAddr, "gateway/main"), Board: &Board{},
	}))
	t.Cleanup(h.Stop)
	h.Tell(messages.WantInstruments{Owner: "gateway", Wants: []messages.Want{{InstrumentToken: token, Mode: messages.ModeFull}}})
	b.subscribed(1)
	last := 0
	for n, rubbish := range [][]byte{{0, 9, 0}, {0, 1, 0x7f, 0xff, 1}, bytes.Repeat([]byte{0xff}, 70_000)} {
		a.subscribed(n + 1)
		b.send(last+1, last+10)
		a.mu.Lock()
		if err := a.conn.WriteMessage(websocket.BinaryMessage, rubbish); err != nil {
			t.Fatal(err)
		}
		a.mu.Unlock()
		b.send(last+11, last+20)
		last += 20
		sink.until(t, last)
		actorstest.Until(t, "another connection", func() bool {
			a.mu.Lock()
			defer a.mu.Unlock()
			if a.conn != nil && a.connecting == n+1 { // it is alive, and only speaks rubbish
				_ = a.conn.WriteMessage(websocket.BinaryMessage, wire.HeartbeatFrame())
			}
			return a.connecting == n+2
		})
	}
	for i, n := range sink.seen {
		if n != uint32(i+1) {
			t.Fatalf("packet %d is number %d: %v", i+1, n, sink.seen)
		}
	}
}

// A refusal is said in the gateway's words; what is no gateway is called so.
func TestWordsOfARefusal(t *testing.T) {
	for body, want := range map[string]string{
		`{"status":"error","message":"this key is not known here"}`: "answered 403: this key is not known here",
		"<html>nginx</html>": "not as the gateway of a kitestring",
		"{}":                 "not as the gateway of a kitestring",
	} {
		err := refused(&http.Response{StatusCode: http.StatusForbidden, Body: io.NopCloser(strings.NewReader(body))})
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
}

// A gateway that falls silent without an end is given up and connected to again.
func TestASilentUpstreamIsGivenUp(t *testing.T) {
	a := newUpstream(t, "keyA")
	h := actorstest.Start(t, Name, New(Config{
		Upstreams: []Upstream{a.upstream()}, Sink: &recorder{}, Gateway: actor.NewPID(actor.LocalLookupAddr, "gateway/main"), Board: &Board{},
	}))
	t.Cleanup(h.Stop)
	h.Tell(messages.WantInstruments{Owner: "gateway", Wants: []messages.Want{{InstrumentToken: token, Mode: messages.ModeFull}}})
	a.subscribed(2)
}
