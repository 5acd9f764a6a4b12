package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	kiteconnect "github.com/zerodha/gokiteconnect/v4"
	"github.com/zerodha/gokiteconnect/v4/models"
	kiteticker "github.com/zerodha/gokiteconnect/v4/ticker"

	"kitestring/actors"
	"kitestring/actors/actorstest"
	"kitestring/actors/gateway/clients"
	"kitestring/actors/kite"
	"kitestring/messages"
	"kitestring/messages/wire"
)

func TestMain(m *testing.M) { actorstest.Main(m) }

var (
	feedPID = actor.NewPID(actor.LocalLookupAddr, "feed/main")
	authPID = actor.NewPID(actor.LocalLookupAddr, "auth/main")
)

type wallClock struct{}

func (wallClock) Now() time.Time { return time.Now() }

// keptListener stays open while incarnations come and go, as the tree's does.
type keptListener struct{ *net.TCPListener }

func (k keptListener) Close() error { return k.SetDeadline(time.Now()) }

// rig is a gateway between programs and a Kite made of a function.
type rig struct {
	*actorstest.Harness
	t        testing.TB
	tokens   *actorstest.Tokens
	clients  *clients.Store
	board    *Board
	addr     string
	exchange string // root of the Kite made of a function
	orders   atomic.Bool
	sent     sync.Map     // path -> *atomic.Int64: requests that reached Kite
	answer   atomic.Value // func(http.ResponseWriter, *http.Request)
}

func begin(t testing.TB, change ...func(*Config)) *rig {
	t.Helper()
	b := &rig{t: t, tokens: actorstest.NewTokens()}
	exchange := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := b.sent.LoadOrStore(r.Method+" "+r.URL.Path, new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
		if f, ok := b.answer.Load().(func(http.ResponseWriter, *http.Request)); ok && f != nil {
			f(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = io.WriteString(w, `{"status":"success","data":{}}`)
	}))
	t.Cleanup(exchange.Close)
	b.exchange = exchange.URL
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	var err error
	if b.clients, err = clients.Open(filepath.Join(t.TempDir(), "gateway-clients.json")); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	kept := keptListener{l.(*net.TCPListener)}
	b.addr = l.Addr().String()
	metrics := NewMetrics(prometheus.NewPedanticRegistry())
	b.board = NewBoard(b.clients, metrics)
	cfg := Config{
		Listen:   func() (net.Listener, error) { return kept, kept.SetDeadline(time.Time{}) },
		Exchange: kite.Exchange{APIURL: exchange.URL, Transport: transport, Budget: kite.NewBudget()},
		Tokens:   b.tokens, Clock: wallClock{}, Clients: b.clients, Capacity: 5500, Orders: b.orders.Load,
		LoginURL: func() string { return "http://127.0.0.1:8420/login" }, Feed: feedPID, Auth: authPID, Board: b.board, Metrics: metrics,
	}
	for _, f := range change {
		f(&cfg)
	}
	b.Harness = actorstest.Start(t, Name, New(cfg))
	t.Cleanup(b.Stop)
	return b
}

// login brings the next generation.
func (b *rig) login(g messages.Generation) {
	b.Tell(b.tokens.WriteAdopted(actorstest.Session(g)))
}

func (b *rig) add(name string, scopes ...clients.Scope) (key string) {
	b.t.Helper()
	secret, err := b.clients.Add(name, scopes, time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	return secret.Reveal()
}

func (b *rig) dial(key string) *websocket.Conn {
	b.t.Helper()
	conn, resp, err := websocket.DefaultDialer.Dial("ws://"+b.addr+"/?api_key=any&access_token="+key, nil)
	if err != nil {
		b.t.Fatalf("upgrade: %v (%v)", err, resp)
	}
	b.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (b *rig) ask(method, path, key, body string) (*http.Response, string) {
	b.t.Helper()
	req, err := http.NewRequest(method, "http://"+b.addr+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Authorization", "token any:"+key)
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp, string(text)
}

// reached is how often a request came to Kite.
func (b *rig) reached(route string) int64 {
	n, ok := b.sent.Load(route)
	if !ok {
		return 0
	}
	return n.(*atomic.Int64).Load()
}

// The official Go client streams through the gateway: modes, cached packet,
// order update, and nothing at a rotation.
func TestOfficialGoClient(t *testing.T) {
	b := begin(t)
	b.login(1)
	key := b.add("strategy", clients.ScopeData, clients.ScopeAccount)
	const token = 11<<8 | 2
	b.Tell(batchOf(t, packetOf(token, messages.ModeFull, 100, 1)))
	ticker := kiteticker.New("any", key)
	ticker.SetRootURL(url.URL{Scheme: "ws", Host: b.addr})
	ticks, orders, trouble := make(chan models.Tick, 100), make(chan kiteconnect.Order, 10), make(chan string, 100)
	ticker.OnConnect(func() {
		if err := ticker.Subscribe([]uint32{token}); err != nil {
			trouble <- err.Error()
		}
		if err := ticker.SetMode(kiteticker.ModeFull, []uint32{token}); err != nil {
			trouble <- err.Error()
		}
	})
	ticker.OnTick(func(tick models.Tick) { ticks <- tick })
	ticker.OnOrderUpdate(func(o kiteconnect.Order) { orders <- o })
	ticker.OnError(func(err error) { trouble <- "error: " + err.Error() })
	ticker.OnClose(func(code int, reason string) { trouble <- fmt.Sprint("close: ", code, reason) })
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() { ticker.ServeWithContext(ctx) })
	defer serving.Wait()
	defer cancel()
	next := func(price float64) {
		t.Helper()
		for {
			select {
			case tick := <-ticks:
				if tick.LastPrice == price && tick.Mode == "full" {
					return
				}
			case said := <-trouble:
				t.Fatal(said)
			case <-time.After(20 * time.Second):
				t.Fatalf("no full tick at %v", price)
			}
		}
	}
	next(1)
	b.login(2)
	b.Tell(batchOf(t, packetOf(token, messages.ModeFull, 200, 2)))
	next(2)
	b.Tell(messages.OrderUpdated{OrderID: "1", Raw: []byte(`{"order_id":"1","status":"COMPLETE"}`)})
	select {
	case o := <-orders:
		if o.OrderID != "1" {
			t.Errorf("order %+v", o)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no order update")
	}
	wants := actorstest.Await(b.Harness, func(m messages.WantInstruments) bool { return len(m.Wants) == 1 })
	if wants.Owner != Name || wants.Wants[0] != (messages.Want{InstrumentToken: token, Mode: messages.ModeFull}) {
		t.Errorf("wants %+v", wants)
	}
	if again, some := b.board.Wants(); !some || again.Owner != Name || !slices.Equal(again.Wants, wants.Wants) {
		t.Errorf("a feed that asks gets %+v", again)
	}
	if s := b.board.Status(); len(s.Clients) != 1 || s.Clients[0].Sockets != 1 || s.Clients[0].Instruments[messages.ModeFull] != 1 || s.Clients[0].Sent < 2 {
		t.Errorf("status %+v", s)
	}
}

// Whatever a client sends, it is not closed and nobody else notices.
func TestNoCommandClosesAClient(t *testing.T) {
	b := begin(t)
	key := b.add("odd", clients.ScopeData)
	conn := b.dial(key)
	_, text, err := conn.ReadMessage()
	if err != nil || !strings.Contains(string(text), "waits for today's login: http://127.0.0.1:8420/login") {
		t.Fatalf("first message %s, %v", text, err)
	}
	for _, command := range []string{"", "{", "null", `{"a":"dance"}`, `{"a":"mode","v":["loud",[1]]}`, `{"a":"subscribe","v":"x"}`, `{"a":"subscribe","v":[-1]}`, strings.Repeat("[", 100_000), strings.Repeat("x", 20<<20)} {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(command)); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.WriteMessage(websocket.BinaryMessage, []byte{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	pong := make(chan string, 1)
	conn.SetPongHandler(func(data string) error { pong <- data; return nil })
	if err := conn.WriteControl(websocket.PingMessage, []byte("still here"), time.Now().Add(5*time.Second)); err != nil {
		t.Fatal(err)
	}
	sawError := false
	for beats := 0; beats < 2 || !sawError || len(pong) == 0; {
		kind, data, err := conn.ReadMessage()
		if err != nil {
			t.Fatalf("closed: %v", err)
		}
		switch {
		case kind == websocket.BinaryMessage && wire.Heartbeat(data):
			beats++
		case strings.Contains(string(data), "more than 1 MB"):
			sawError = true
		}
	}
	if said := <-pong; said != "still here" {
		t.Errorf("pong %q", said)
	}
}

func TestRevokeClosesTheSocket(t *testing.T) {
	b := begin(t)
	other := b.dial(b.add("stays", clients.ScopeData))
	var key string
	// One of a few is in time, whatever else the machine does.
	took := time.Hour
	for n := 0; n < 5 && took > 100*time.Millisecond; n++ {
		name := fmt.Sprint("gone", n)
		key = b.add(name, clients.ScopeData)
		conn := b.dial(key)
		began := time.Now()
		if err := b.clients.Revoke(name); err != nil {
			t.Fatal(err)
		}
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				if websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway) {
					t.Errorf("a Close frame was sent: %v", err)
				}
				break
			}
		}
		took = time.Since(began)
	}
	if took > 100*time.Millisecond {
		t.Errorf("closed %s after the revocation", took)
	}
	if resp, body := b.ask("GET", "/quote", key, ""); resp.StatusCode != 403 || !strings.Contains(body, "TokenException") {
		t.Errorf("a revoked key: %d %s", resp.StatusCode, body)
	}
	if _, _, err := other.ReadMessage(); err != nil {
		t.Errorf("the other client: %v", err)
	}
}

func TestUpgradesThatAreRefused(t *testing.T) {
	b := begin(t)
	key := b.add("many", clients.ScopeData)
	status := func(key string, header http.Header) int {
		t.Helper()
		conn, resp, err := websocket.DefaultDialer.Dial("ws://"+b.addr+"?access_token="+key, header)
		if err == nil {
			t.Cleanup(func() { _ = conn.Close() })
		}
		if resp == nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}
	for range socketsPerKey {
		if got := status(key, nil); got != 101 {
			t.Fatalf("upgrade: %d", got)
		}
	}
	if got := status(key, nil); got != 429 {
		t.Errorf("the fourth socket of a key: %d", got)
	}
	if got := status(key, http.Header{"Origin": {"http://evil.example"}}); got != 403 {
		t.Errorf("an upgrade of a web page: %d", got)
	}
	if got := status(key, http.Header{"Host": {"evil.example"}}); got != 421 {
		t.Errorf("an upgrade under another name: %d", got)
	}
	for range wrongPerAddress {
		if got := status("wrong", nil); got != 403 {
			t.Errorf("a wrong key: %d", got)
		}
	}
	if got := status("wrong", nil); got != 429 {
		t.Errorf("the sixth wrong key: %d", got)
	}
	if got := status(b.add("other", clients.ScopeData), nil); got != 101 {
		t.Errorf("the right key of another program of that address: %d", got)
	}
}

// everyRoute is Kite's API, by the scope that each route needs.
var everyRoute = map[clients.Scope][]string{
	clients.ScopeData: {
		"GET /user/profile", "GET /instruments", "GET /instruments/NSE", "GET /mf/instruments", "GET /instruments/historical/256265/minute",
		"GET /instruments/NSE/INFY/trigger_range", "GET /instruments/trigger_range/buy",
		"GET /quote", "GET /quote/ltp", "GET /quote/ohlc",
	},
	clients.ScopeAccount: {
		"GET /user/profile/full", "GET /user/margins", "GET /user/margins/equity", "GET /orders", "GET /trades", "GET /orders/1", "GET /orders/1/trades",
		"GET /portfolio/positions", "GET /portfolio/holdings", "GET /portfolio/holdings/summary", "GET /portfolio/holdings/compact", "GET /portfolio/holdings/auctions",
		"GET /mf/orders", "GET /mf/orders/1", "GET /mf/sips", "GET /mf/sips/1", "GET /mf/holdings", "GET /mf/holdings/1", "GET /mf/allotments",
		"GET /gtt/triggers", "GET /gtt/triggers/1", "GET /alerts", "GET /alerts/1", "GET /alerts/1/history", "POST /margins/orders", "POST /margins/basket", "POST /charges/orders", "GET /something/new",
	},
	clients.ScopeOrders: {
		"POST /orders/regular", "PUT /orders/regular/1", "DELETE /orders/regular/1", "PUT /portfolio/positions", "POST /portfolio/holdings/authorise",
		"POST /mf/orders", "DELETE /mf/orders/1", "POST /mf/sips", "PUT /mf/sips/1", "DELETE /mf/sips/1",
		"POST /gtt/triggers", "PUT /gtt/triggers/1", "DELETE /gtt/triggers/1", "POST /alerts", "PUT /alerts/1", "DELETE /alerts", "POST /something/new", "PATCH /quote",
	},
}

// A data key cannot read an order, an account key cannot write one, and an
// orders key cannot either unless the configuration allows it: over every route.
func TestScopesOverEveryRoute(t *testing.T) {
	b := begin(t)
	b.login(1)
	keys := map[clients.Scope]string{
		clients.ScopeData: b.add("data", clients.ScopeData), clients.ScopeAccount: b.add("account", clients.ScopeAccount), clients.ScopeOrders: b.add("orders", clients.ScopeOrders),
	}
	checked := 0
	for _, allowed := range []bool{false, true} {
		b.orders.Store(allowed)
		for scope, list := range everyRoute {
			for _, route := range list {
				for holder, key := range keys {
					if allowed && holder == scope && scope != clients.ScopeOrders {
						continue // done in the first round: Kite's budget is slow
					}
					method, path, _ := strings.Cut(route, " ")
					before := b.reached(route)
					may := holder == scope && (scope != clients.ScopeOrders || allowed)
					if may && scope == clients.ScopeData && strings.HasPrefix(path, "/quote/") {
						continue // one a second; /quote stands for them
					}
					resp, body := b.ask(method, path, key, "")
					if ct := resp.Header.Get("Content-Type"); ct != "application/json" {
						t.Errorf("%s: content type %q", route, ct)
					}
					if !may && (resp.StatusCode != 403 || !strings.Contains(body, "PermissionException") || b.reached(route) != before) {
						t.Errorf("%s with a key for %s, orders %v: %d %s", route, holder, allowed, resp.StatusCode, body)
					}
					if may && (resp.StatusCode != 200 || b.reached(route) == 0) {
						t.Errorf("%s with a key for %s, orders %v: %d %s", route, holder, allowed, resp.StatusCode, body)
					}
					checked++
				}
			}
		}
	}
	t.Logf("%d requests checked", checked)
}

// The table has every route that the official clients ask for: of the Go
// client those that its source calls, of the JavaScript client its list.
func TestTheTableHasEveryOfficialRoute(t *testing.T) {
	local := []string{"POST /session/token", "DELETE /session/token", "POST /session/refresh_token"}
	has := func(method, path string) bool {
		pattern := regexp.MustCompile("^" + regexp.MustCompile(`%s|%d|\{[a-z_]+\}`).ReplaceAllString(path, "[^/]+") + "$")
		return slices.ContainsFunc(append(slices.Concat(slices.Collect(maps.Values(everyRoute))...), local...), func(route string) bool {
			m, p, _ := strings.Cut(route, " ")
			return (method == "" || m == method) && pattern.MatchString(p)
		})
	}
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/zerodha/gokiteconnect/v4").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(text)
	}
	paths := map[string]string{}
	for _, m := range regexp.MustCompile(`(URI\w+)\s+(?:string\s+)?= "([^"]+)"`).FindAllStringSubmatch(source.String(), -1) {
		paths[m[1]] = m[2]
	}
	called := map[string]bool{}
	for _, m := range regexp.MustCompile(`http\.Method(\w+), (?:fmt\.Sprintf\()?(URI\w+)`).FindAllStringSubmatch(source.String(), -1) {
		called[m[2]] = true
		if method := strings.ToUpper(m[1]); !has(method, paths[m[2]]) {
			t.Errorf("the Go client asks for %s %s, which is not in the table", method, paths[m[2]])
		}
	}
	for name, path := range paths {
		if !called[name] && !has("", path) {
			t.Errorf("the Go client knows %s, which is not in the table", path)
		}
	}
	if len(called) < 30 || len(paths) < 50 {
		t.Errorf("only %d calls of %d paths were found", len(called), len(paths))
	}
	text, err := os.ReadFile("testdata/node/node_modules/kiteconnect/dist/constants/index.js")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("LEFT OUT: the official JavaScript clients are missing: cd actors/gateway/testdata/node && npm ci")
	}
	listed := regexp.MustCompile(`'[a-z._]+': '(/[^']+)'`).FindAllStringSubmatch(string(text), -1)
	for _, m := range listed {
		if !has("", m[1]) {
			t.Errorf("the JavaScript client knows %s, which is not in the table", m[1])
		}
	}
	if len(listed) < 35 {
		t.Errorf("only %d routes of the JavaScript client were found", len(listed))
	}
}

// A TokenException of Kite's never reaches a program: the question waits for
// the next token, and is asked once more.
func TestTokenExceptionStaysHere(t *testing.T) {
	b := begin(t)
	b.login(1)
	key := b.add("a", clients.ScopeData, clients.ScopeAccount, clients.ScopeOrders)
	b.orders.Store(true)
	b.answer.Store(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.Header.Get("Authorization"), actorstest.Session(1).Token.Reveal()) {
			w.WriteHeader(403)
			_, _ = io.WriteString(w, `{"status":"error","message":"Incorrect api_key or access_token.","error_type":"TokenException"}`)
			return
		}
		_, _ = io.WriteString(w, `{"status":"success","data":[]}`)
	})
	if resp, body := b.ask("POST", "/orders/regular", key, "quantity=1"); resp.StatusCode != 503 || !strings.Contains(body, "waits for today's login") {
		t.Errorf("a write that Kite refused for the token: %d %s", resp.StatusCode, body)
	}
	if n := b.reached("POST /orders/regular"); n != 1 {
		t.Errorf("the order reached Kite %d times", n)
	}
	actorstest.Await(b.Harness, func(m messages.TokenDoubted) bool { return m.Generation == 1 })
	answered := make(chan string, 1)
	go func() {
		resp, body := b.ask("GET", "/orders", key, "")
		answered <- fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("X-Kitestring-Generation"), " ", body)
	}()
	actorstest.Until(t, "the question at Kite", func() bool { return b.reached("GET /orders") == 1 })
	b.login(2)
	if got := <-answered; got != `200 2 {"status":"success","data":[]}` {
		t.Errorf("after the login: %s", got)
	}
}

// An answer that repeats the request's headers does not show the real token.
func TestEchoedTokenIsHidden(t *testing.T) {
	b := begin(t)
	b.login(1)
	key := b.add("a", clients.ScopeAccount)
	for _, code := range []int{200, 400} {
		b.answer.Store(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			_, _ = fmt.Fprintf(w, `{"status":"error","message":%q,"error_type":"InputException"}`, r.Header.Get("Authorization"))
		})
		resp, body := b.ask("GET", "/orders", key, "")
		if resp.StatusCode != code || !json.Valid([]byte(body)) || strings.Contains(body, actorstest.Session(1).Token.Reveal()) {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
	}
}

// A read that Kite answered with 429 is sent once more; a write is not.
func TestReadAfterALimit(t *testing.T) {
	b := begin(t)
	b.orders.Store(true)
	b.login(1)
	key := b.add("a", clients.ScopeAccount, clients.ScopeOrders)
	var times atomic.Int64
	b.answer.Store(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if times.Add(1) == 1 {
			w.WriteHeader(429)
			_, _ = io.WriteString(w, `{"status":"error","message":"Too many requests","error_type":"NetworkException"}`)
			return
		}
		_, _ = io.WriteString(w, `{"status":"success","data":[]}`)
	})
	if resp, body := b.ask("GET", "/orders", key, ""); resp.StatusCode != 200 || b.reached("GET /orders") != 2 {
		t.Errorf("a read: %d %s after %d times", resp.StatusCode, body, b.reached("GET /orders"))
	}
	times.Store(0)
	if resp, body := b.ask("POST", "/orders/regular", key, "quantity=1"); resp.StatusCode != 429 || b.reached("POST /orders/regular") != 1 {
		t.Errorf("a write: %d %s after %d times", resp.StatusCode, body, b.reached("POST /orders/regular"))
	}
}

// Tokens that change faster than Kite answers: a read is sent with each of
// them until one is good.
func TestReadOutlivesTwoTokens(t *testing.T) {
	b := begin(t)
	b.login(1)
	key := b.add("a", clients.ScopeAccount)
	good := actorstest.Session(3).Token.Reveal()
	b.answer.Store(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if !strings.HasSuffix(r.Header.Get("Authorization"), good) {
			w.WriteHeader(403)
			_, _ = io.WriteString(w, `{"status":"error","message":"Incorrect api_key or access_token.","error_type":"TokenException"}`)
			return
		}
		_, _ = io.WriteString(w, `{"status":"success","data":[]}`)
	})
	answered := make(chan string, 1)
	go func() {
		resp, body := b.ask("GET", "/orders", key, "")
		answered <- fmt.Sprint(resp.StatusCode, " ", body)
	}()
	for g := messages.Generation(1); g < 3; g++ {
		actorstest.Until(t, "the question at Kite", func() bool { return b.reached("GET /orders") == int64(g) })
		b.login(g + 1)
	}
	if got := <-answered; got != `200 {"status":"success","data":[]}` {
		t.Errorf("after two logins: %s", got)
	}
}

func TestAnswersAreKitesEnvelope(t *testing.T) {
	b := begin(t)
	key := b.add("a", clients.ScopeData)
	if resp, body := b.ask("GET", "/quote?i=NSE:INFY", key, ""); resp.StatusCode != 503 || !strings.Contains(body, `"error_type":"NetworkException"`) || !strings.Contains(body, "/login") {
		t.Errorf("before a login: %d %s", resp.StatusCode, body)
	}
	b.login(1)
	for name, c := range map[string]struct {
		status int
		kind   string
		body   string
		want   int
		says   string
	}{
		"a proxy's page":    {502, "text/html", "<html>bad gateway</html>", 502, `"error_type":"NetworkException"`},
		"a limit in HTML":   {429, "text/html", "<html>slow down</html>", 429, `Too many requests`},
		"Kite's own error":  {400, "application/json; charset=utf-8", `{"status":"error","message":"Invalid token","error_type":"InputException"}`, 400, `Invalid token`},
		"a page with a 200": {200, "text/html", "<html>log in</html>", 502, `"status":"error"`},
	} {
		b.answer.Store(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", c.kind)
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		resp, body := b.ask("GET", "/instruments/historical/1/day?"+url.QueryEscape(name), key, "")
		if resp.StatusCode != c.want || resp.Header.Get("Content-Type") != "application/json" || !strings.Contains(body, c.says) || !json.Valid([]byte(body)) {
			t.Errorf("%s: %d %s %s", name, resp.StatusCode, resp.Header.Get("Content-Type"), body)
		}
	}
}

// A login of a program is answered here, by the key itself, and a logout ends
// nothing.
func TestSessionRoutes(t *testing.T) {
	b := begin(t)
	b.login(1)
	key := b.add("a", clients.ScopeData)
	client := kiteconnect.New("any")
	client.SetBaseURI("http://" + b.addr)
	session, err := client.GenerateSession(key, key)
	if err != nil || session.AccessToken != key || session.APIKey != "any" {
		t.Errorf("session %+v, %v", session, err)
	}
	client.SetAccessToken(key)
	if ok, err := client.InvalidateAccessToken(); err != nil || !ok {
		t.Errorf("logout %v, %v", ok, err)
	}
	sum := sha256.Sum256([]byte("any" + key + "another secret"))
	resp, body := b.ask("POST", "/session/token", "", url.Values{"api_key": {"any"}, "request_token": {key}, "checksum": {hex.EncodeToString(sum[:])}}.Encode())
	if resp.StatusCode != 403 || !strings.Contains(body, "clients add") {
		t.Errorf("a wrong checksum: %d %s", resp.StatusCode, body)
	}
	for _, route := range []string{"POST /session/token", "DELETE /session/token"} {
		if n := b.reached(route); n != 0 {
			t.Errorf("%s reached Kite %d times", route, n)
		}
	}
}

func TestCacheAsksOnce(t *testing.T) {
	b := begin(t)
	b.login(1)
	b.answer.Store(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/csv; charset=utf-8")
		w.Header().Set("ETag", `"day"`)
		_, _ = io.WriteString(w, "instrument_token,tradingsymbol\n1,INFY\n")
	})
	var asking sync.WaitGroup
	for i := range 10 {
		key := b.add(fmt.Sprint("c", i), clients.ScopeData)
		asking.Go(func() {
			resp, body := b.ask("GET", "/instruments", key, "")
			if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/csv" || !strings.Contains(body, "INFY") {
				t.Errorf("%d %s %s", resp.StatusCode, resp.Header.Get("Content-Type"), body)
			}
		})
	}
	asking.Wait()
	if n := b.reached("GET /instruments"); n != 1 {
		t.Errorf("ten programs asked Kite %d times", n)
	}
}

func TestProfileWithoutThePerson(t *testing.T) {
	b := begin(t)
	b.login(1)
	b.answer.Store(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"success","data":{"user_id":"AB1234","user_name":"A Person","email":"a@b.c","exchanges":["NSE"]}}`)
	})
	if _, body := b.ask("GET", "/user/profile", b.add("d", clients.ScopeData), ""); strings.Contains(body, "Person") || strings.Contains(body, "a@b.c") || !strings.Contains(body, "AB1234") {
		t.Errorf("data: %s", body)
	}
	if _, body := b.ask("GET", "/user/profile", b.add("acc", clients.ScopeData, clients.ScopeAccount), ""); !strings.Contains(body, "Person") {
		t.Errorf("account: %s", body)
	}
}

var _ actors.TokenSource = (*actorstest.Tokens)(nil)

// A socket's packets are counted once, also at the moment when it ends: in the
// status, in the totals and in the series.
func TestCountsOfASocketThatEnds(t *testing.T) {
	b := begin(t)
	b.add("one", clients.ScopeData)
	var g *Gateway
	actorstest.Until(t, "the gateway", func() bool {
		b.board.mu.Lock()
		defer b.board.mu.Unlock()
		g = b.board.now
		return g != nil
	})
	const sockets, packets = 20_000, 3
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range sockets {
			c := &client{name: "one", out: newOutbox(), modes: map[uint32]messages.Mode{}}
			c.out.sent = packets
			g.mu.Lock()
			g.clients[c] = struct{}{}
			g.mu.Unlock()
			g.forget(c)
		}
	}()
	for last, running := uint64(0), true; running; {
		select {
		case <-ended:
			running = false
		default:
		}
		g.cfg.Metrics.observe(g)
		sent := b.board.Status().Clients[0].Sent
		if sent < last || sent%packets != 0 {
			t.Fatalf("%d packets after %d", sent, last)
		}
		last = sent
	}
	if got := b.board.Status().Clients[0].Sent; got != sockets*packets {
		t.Errorf("%d packets in the status, want %d", got, sockets*packets)
	}
	if got := testutil.ToFloat64(g.cfg.Metrics.packets.WithLabelValues("one")); got != sockets*packets {
		t.Errorf("%v packets in the series, want %d", got, sockets*packets)
	}
}
