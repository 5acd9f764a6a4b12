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
	"context"
	"fmt"
	"log"
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
	"kitestring/actors/internal/serve"
	"kitestring/actors/kite"
	"kitestring/messages"
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
	Clients  *Store
	Capacity int           // instruments of all clients together
	Orders   func() bool   // the configuration lets orders through
	LoginURL func() string // where a person logs in
	Feed     *actor.PID    // gets WantInstruments
	Auth     *actor.PID    // gets TokenDoubted
	Board    *Board
	Metrics  *Metrics
}

// New makes the producer of the gateway actor.
func New(cfg Config) actors.Producer {
	return func(self actors.Self) actors.Actor {
		return &Gateway{
			self: self, cfg: cfg, relay: newRelay(cfg.Capacity), cache: &cache{}, queue: &fairQueue{},
			clients: map[*client]struct{}{}, upgrades: map[string]*rate.Limiter{}, wrong: map[string]*rate.Limiter{},
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
	rest_    *kite.Client // of the adopted generation
	clients  map[*client]struct{}
	upgrades map[string]*rate.Limiter // by client name
	wrong    map[string]*rate.Limiter // by address
	newer    chan struct{}            // closed at the next adoption
	pending  bool                     // the union is about to be sent
	said     map[Scope]bool
}

// What the gateway's goroutines and timers send to the actor.
type (
	unionDue struct{}
	secondDue struct{}
)

// Receive implements actors.Actor.
func (g *Gateway) Receive(msg any) {
	switch m := msg.(type) {
	case actors.Started:
		g.start()
	case actors.Stopped:
		g.cfg.Clients.onRevoke(nil)
	case *messages.Ticks:
		g.relay.take(m)
		g.cfg.Tokens.Used(Name, m.Generation)
	case messages.TokenAdopted:
		g.adopted()
	case messages.OrderUpdated:
		g.order(m)
	case messages.ExchangeTexted:
		g.broadcast(m)
	case unionDue:
		g.unite()
	case secondDue:
		g.second()
	default:
		g.self.Log().Warn("unexpected message", "type", fmt.Sprintf("%T", msg))
	}
}
