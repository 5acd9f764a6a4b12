// Package gateway speaks Kite's protocol to any program on this machine, REST
// and WebSocket both at the root of a listener of its own.
//
// Promise: a program written for Kite Connect, in any language, changes its
// root URL to the gateway's and its access token to a local key. From then on
// it survives every token change without a closed socket, a lost tick or a
// TokenException; it shares the server's sockets and request budget with all
// other programs; and nothing that it receives contains the real token.
//
// What the official clients need, and therefore the rules: a client is never
// closed on the gateway's own account and never gets a Close frame (a Close
// frame ends the .NET client for good, code 1000 the PHP client); where a
// connection must end, because its key was revoked or because it took no byte
// for 10 s, its TCP connection drops. Without a token the socket is accepted
// and gets heartbeats, which keep Python, JavaScript and Go content. Every
// answer of REST is Kite's JSON envelope with exactly the content type that
// the JavaScript client compares with. Packets are Kite's bytes, cut to the
// client's mode. A write reaches Kite at most once.
//
// Limits: TLS and the clients whose hosts are constants (Rust, C++) are not
// served. Order updates of before a client's connect are not repeated.
package gateway

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"maps"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anthdm/hollywood/actor"
	"golang.org/x/time/rate"

	"kitestring/actors"
	"kitestring/actors/gateway/clients"
	"kitestring/actors/internal/serve"
	"kitestring/actors/kite"
	"kitestring/messages"
	"kitestring/messages/scrub"
	"kitestring/messages/wire"
)

// Name is the actor's name in the tree, the owner of its wants and the holder
// of its uses of the token.
const Name = "gateway"

// Bounds of one client's key.
const (
	socketsPerKey   = 3
	upgradesPerKey  = 10 // a second: the Go client with reconnecting off dials in a hot loop
	wrongPerAddress = 5  // wrong keys a minute
)

// Config is what a gateway needs of the tree.
type Config struct {
	// Listen gives the listener: the same address at each call, so that a
	// restarted actor answers where the last one did.
	Listen   func() (net.Listener, error)
	Hosts    []string // names that a program may use for the gateway, without port, besides loopback's
	Exchange kite.Exchange
	Tokens   actors.TokenSource
	Clock    actors.Clock
	Clients  *clients.Store
	Capacity int           // instruments of all clients together
	Orders   func() bool   // the configuration lets orders through
	LoginURL func() string // where a person logs in
	Feed     *actor.PID    // gets WantInstruments
	Auth     *actor.PID    // gets TokenDoubted
	Board    *Board
	Metrics  *Metrics

	stuck time.Duration // how long a client may take no byte; tests only, 0: the default
}

// New makes the producer of the gateway actor.
func New(cfg Config) actors.Producer {
	cfg.stuck = cmp.Or(cfg.stuck, stuck)
	return func(self actors.Self) actors.Actor {
		return &Gateway{
			self: self, cfg: cfg, relay: newRelay(cfg.Capacity), cache: &cache{}, queue: &fairQueue{},
			clients: map[*client]struct{}{}, upgrades: map[string]*rate.Limiter{}, wrong: map[string]*rate.Limiter{}, changed: make(chan struct{}),
		}
	}
}

// Gateway is one incarnation.
type Gateway struct {
	self  actors.Self
	cfg   Config
	relay *relay
	cache *cache
	queue *fairQueue

	mu       sync.Mutex
	asks     *kite.Client // of the newest generation that was asked with
	clients  map[*client]struct{}
	upgrades map[string]*rate.Limiter // by client name
	wrong    map[string]*rate.Limiter // by address
	changed  chan struct{}            // closed when the token's state changes
	due      bool                     // the union is about to be sent
}

// What the gateway's goroutines and timers send to the actor.
type (
	unionDue  struct{}
	secondDue struct{}
)

// Receive implements actors.Actor.
func (g *Gateway) Receive(msg any) {
	switch m := msg.(type) {
	case actors.Started:
		g.start()
	case actors.Stopped:
		g.cfg.Clients.OnRevoke(nil)
	case *messages.Ticks:
		g.relay.take(m)
		g.cfg.Tokens.Used(Name, m.Generation)
	case messages.TokenAdopted:
		g.wakeWaiting()
	case messages.OrderUpdated:
		g.order(m)
	case messages.ExchangeTexted:
		g.broadcast(m)
	case messages.InstrumentsRefused:
		for c, no := range g.relay.refuse(m.Reasons) {
			g.refuse(c, no)
		}
	case unionDue:
		g.unite()
	case secondDue:
		g.second()
	default:
		g.self.Log().Warn("unexpected message", "type", fmt.Sprintf("%T", msg))
	}
}

func (g *Gateway) start() {
	l, err := g.cfg.Listen()
	if err != nil {
		g.self.Fail(fmt.Errorf("listen: %w", err))
		return
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(g.handle),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second, // of a request's body; a WebSocket is not under it
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          log.New(debugLog{g.self.Log()}, "", 0),
	}
	g.cfg.Clients.OnRevoke(g.revoked)
	g.cfg.Board.follow(g)
	g.self.Go("serve", func(ctx context.Context) error {
		return serve.Until(ctx, server, l, 100*time.Millisecond, g.dropAll)
	})
	g.self.Every(time.Second, secondDue{})
	// Nobody is connected yet: what an earlier incarnation wanted is not wanted
	// until its clients are back, which takes them moments.
	g.self.After(linger, unionDue{})
}

// debugLog keeps net/http's lines about broken connections.
type debugLog struct {
	log interface{ Debug(string, ...any) }
}

// Write implements io.Writer.
func (d debugLog) Write(p []byte) (int, error) {
	d.log.Debug("gateway http server", "detail", string(p))
	return len(p), nil
}

// handle answers every request of the listener, in Kite's envelope.
func (g *Gateway) handle(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			g.self.Log().Error("gateway request panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			refuse(w, http.StatusInternalServerError, "GeneralException", "kitestring failed at this request; its log says why")
		}
	}()
	switch {
	case !g.knownHost(r.Host):
		refuse(w, http.StatusMisdirectedRequest, "InputException", "this gateway is not known under that name: use its address")
		return
	case r.Header.Get("Origin") != "":
		refuse(w, http.StatusForbidden, "PermissionException", "the gateway serves programs, not web pages")
		return
	}
	socket := strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
	rt := routeOf(r.Method, r.URL.Path)
	if !socket && rt.local != nil {
		g.rest(w, r, identity{})
		return
	}
	key := keyOf(r, socket)
	record, ok := g.cfg.Clients.Find(key)
	switch {
	case ok:
	// A right key passes: programs of one machine share their address, and a key
	// of 32 random characters is not found by guessing.
	case !g.wrongKey(r):
		refuse(w, http.StatusTooManyRequests, "NetworkException", "too many wrong keys: wait a minute")
		return
	default:
		refuse(w, http.StatusForbidden, "TokenException", "this key is not known here. Make one on the server with: kitestring clients add NAME")
		return
	}
	if socket {
		g.upgrade(w, r, record)
		return
	}
	g.rest(w, r, identity{Record: record, key: key})
}

// keyOf is the local key of a request, which stands where Kite's access token
// does.
func keyOf(r *http.Request, socket bool) messages.Secret {
	if socket {
		return messages.NewSecret(r.URL.Query().Get("access_token"))
	}
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	_, key, _ := strings.Cut(rest, ":")
	if !strings.EqualFold(scheme, "token") {
		return messages.Secret{}
	}
	return messages.NewSecret(strings.TrimSpace(key))
}

func (g *Gateway) knownHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback() || slices.Contains(g.cfg.Hosts, host)
}

// upgrade accepts a WebSocket, whether or not there are ticks for it.
func (g *Gateway) upgrade(w http.ResponseWriter, r *http.Request, record clients.Record) {
	if !g.mayUpgrade(record.Name) {
		g.cfg.Metrics.upgrade(record.Name, "too_many")
		refuse(w, http.StatusTooManyRequests, "NetworkException", fmt.Sprintf("at most %d sockets of a key, and %d upgrades a second", socketsPerKey, upgradesPerKey))
		return
	}
	if _, ok := w.(http.Hijacker); !ok {
		refuse(w, http.StatusInternalServerError, "GeneralException", "this connection cannot become a WebSocket")
		return
	}
	c := &client{
		name: record.Name, scopes: record.Scopes, agent: scrub.Text(r.UserAgent()), since: time.Now(),
		out: newOutbox(), modes: map[uint32]messages.Mode{},
	}
	g.mu.Lock()
	if g.socketsOf(record.Name) >= socketsPerKey {
		g.mu.Unlock()
		g.cfg.Metrics.upgrade(record.Name, "too_many")
		refuse(w, http.StatusTooManyRequests, "NetworkException", fmt.Sprintf("%s has %d sockets already", record.Name, socketsPerKey))
		return
	}
	g.clients[c] = struct{}{}
	g.mu.Unlock()
	defer g.forget(c)
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		g.cfg.Metrics.upgrade(record.Name, "bad_request")
		refuse(w, http.StatusBadRequest, "InputException", "not a WebSocket upgrade that can be answered")
		return
	}
	g.cfg.Metrics.upgrade(record.Name, "ok")
	if g.cfg.Tokens.Current().Adopted.IsZero() {
		c.tell(wire.TextMessage, "kitestring waits for today's login: "+g.cfg.LoginURL())
	}
	// A key that was revoked between the look-up and here.
	if _, still := g.cfg.Clients.Named(record.Name, record.Hash); !still {
		_ = ws.NetConn().Close()
	}
	g.serve(r.Context(), ws, c)
}

func (g *Gateway) socketsOf(name string) (n int) {
	for c := range g.clients {
		if c.name == name {
			n++
		}
	}
	return n
}

// forget moves a socket's counts into its client's totals in one step: nobody
// reads them in both places, or in neither.
func (g *Gateway) forget(c *client) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.clients, c)
	g.cfg.Metrics.gone(c)
}

// countsOf answers a client's open sockets, and the counts of those that have
// gone, at one moment. Without a gateway none is open.
func (g *Gateway) countsOf(name string, m *Metrics) (open []*client, gone totals) {
	if g == nil {
		return nil, m.totals(name)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.clients {
		if c.name == name {
			open = append(open, c)
		}
	}
	return open, m.totals(name)
}

// mayUpgrade spends one of the key's upgrades.
func (g *Gateway) mayUpgrade(name string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.upgrades[name]
	if l == nil {
		l = rate.NewLimiter(upgradesPerKey, upgradesPerKey)
		g.upgrades[name] = l
	}
	return l.Allow()
}

// mostAddresses bounds how many addresses' wrong keys are counted.
const mostAddresses = 1024

func (g *Gateway) triesOf(r *http.Request) *rate.Limiter {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	l := g.wrong[host]
	if l == nil {
		if len(g.wrong) >= mostAddresses {
			clear(g.wrong)
		}
		l = rate.NewLimiter(rate.Every(time.Minute/wrongPerAddress), wrongPerAddress)
		g.wrong[host] = l
	}
	return l
}

// wrongKey counts a wrong key of an address; false: it has had its share of this
// minute.
func (g *Gateway) wrongKey(r *http.Request) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.triesOf(r).Allow()
}

// revoked drops the sockets of a name.
func (g *Gateway) revoked(name string) {
	for _, c := range g.all() {
		if c.name == name {
			c.drop()
		}
	}
	g.cfg.Metrics.forget(name)
}

func (g *Gateway) dropAll() {
	for _, c := range g.all() {
		c.drop()
	}
}

func (g *Gateway) all() []*client {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Keys(g.clients))
}

func (g *Gateway) lastLine(c *client) {
	if p := recover(); p != nil {
		g.self.Log().Error("gateway client panicked", "client", c.name, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
}

// changedUnion has the union of all clients sent to the feed soon: commands of
// one client come in bursts.
func (g *Gateway) changedUnion() {
	g.mu.Lock()
	due := g.due
	g.due = true
	g.mu.Unlock()
	if !due {
		g.self.After(10*time.Millisecond, unionDue{})
	}
}

func (g *Gateway) unite() {
	g.mu.Lock()
	g.due = false
	g.mu.Unlock()
	if wants, changed := g.relay.wants(time.Now()); changed {
		g.self.Send(g.cfg.Feed, messages.WantInstruments{Owner: Name, Wants: wants})
	}
}

// second sends heartbeats, drops clients that take nothing, ends waits and lets
// lingering instruments go.
func (g *Gateway) second() {
	now := time.Now()
	for _, c := range g.all() {
		c.out.heartbeat(now, 900*time.Millisecond)
		g.dropIfStuck(c, now)
	}
	g.relay.settle(now)
	g.unite()
	g.cfg.Metrics.observe(g)
}

// order passes an order update on to the clients that may see orders.
func (g *Gateway) order(m messages.OrderUpdated) {
	text := wire.AppendText(nil, wire.Text{Type: wire.TextOrder, Data: m.Raw})
	for _, c := range g.all() {
		if c.scopes.Has(clients.ScopeAccount) {
			c.out.text(text)
		}
	}
}

// broadcast passes a message text of Kite's on to everybody.
func (g *Gateway) broadcast(m messages.ExchangeTexted) {
	for _, c := range g.all() {
		c.tell(wire.TextMessage, m.Text)
	}
}

// client is the REST client of a session, one a generation.
func (g *Gateway) client(s messages.Session) *kite.Client {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.asks == nil || g.asks.Generation() < s.Generation {
		if g.asks != nil {
			g.asks.Retire()
		}
		g.asks = kite.New(g.cfg.Exchange, s, func(used messages.Generation) { g.cfg.Tokens.Used(Name, used) })
	}
	return g.asks
}

func (g *Gateway) doubt(generation messages.Generation) {
	g.self.Send(g.cfg.Auth, messages.TokenDoubted{Generation: generation})
}

// wakeWaiting lets requests that wait for a token look again.
func (g *Gateway) wakeWaiting() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.changed)
	g.changed = make(chan struct{})
}

// await waits until ready holds or ctx ends, looking at each adoption.
func (g *Gateway) await(ctx context.Context, ready func(actors.TokenView) bool) bool {
	for {
		g.mu.Lock()
		changed := g.changed
		g.mu.Unlock()
		if ready(g.cfg.Tokens.Current()) {
			return true
		}
		select {
		case <-changed:
		case <-time.After(100 * time.Millisecond): // a rejected candidate is announced to nobody
		case <-ctx.Done():
			return false
		}
	}
}

// awaitNewer waits for a token newer than a generation.
func (g *Gateway) awaitNewer(ctx context.Context, than messages.Generation) bool {
	return g.await(ctx, func(v actors.TokenView) bool { return v.Adopted.Generation > than })
}

// awaitProof lets a write wait while a new token is being proven: sent with the
// old one it might be refused, and it must not be sent again.
func (g *Gateway) awaitProof(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, proofWait)
	defer cancel()
	g.await(ctx, func(v actors.TokenView) bool { return v.Candidate.IsZero() })
}
