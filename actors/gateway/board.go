package gateway

import (
	"sync"
	"time"

	"kitestring/actors/gateway/clients"
	"kitestring/messages"
)

// ClientStatus is a client as a person sees it: a name with all its sockets.
type ClientStatus struct {
	Name        string
	Scopes      clients.Scopes
	Created     time.Time
	Sockets     int
	Instruments map[messages.Mode]int // over all sockets
	Sent        uint64                // packets since the server's start, of all sockets that there were
	Conflated   uint64
	Waiting     int           // packets
	Lag         time.Duration // how long the last write took, of the slowest socket
	Requests    uint64        // REST
	Refusals    uint64        // REST answers other than 2xx and 304
	Agent       string        // of the newest socket
	Since       time.Time     // of the oldest socket; zero: none is open
}

// Status is the gateway at one moment.
type Status struct {
	Clients  []ClientStatus
	Wanted   int // instruments of all clients together
	Capacity int
}

// Board shows the incarnation that runs to other parts of the server. It outlives the
// actor. Safe for concurrent use.
type Board struct {
	clients *clients.Store
	metrics *Metrics
	mu      sync.Mutex
	now     *Gateway
}

// NewBoard makes the board of a store.
func NewBoard(store *clients.Store, metrics *Metrics) *Board {
	return &Board{clients: store, metrics: metrics}
}

func (b *Board) follow(g *Gateway) {
	b.mu.Lock()
	b.now = g
	b.mu.Unlock()
}

// Sockets counts the open sockets of all clients.
func (b *Board) Sockets() int {
	b.mu.Lock()
	g := b.now
	b.mu.Unlock()
	if g == nil {
		return 0
	}
	return len(g.all())
}

// Wants is what all clients want together, for a feed that has started; false:
// nothing, or no gateway knows it yet.
func (b *Board) Wants() (messages.WantInstruments, bool) {
	b.mu.Lock()
	g := b.now
	b.mu.Unlock()
	if g == nil {
		return messages.WantInstruments{}, false
	}
	wants := g.relay.union()
	return messages.WantInstruments{Owner: Name, Wants: wants}, len(wants) > 0
}

// Status answers every client with a key, connected or not.
func (b *Board) Status() Status {
	b.mu.Lock()
	g := b.now
	b.mu.Unlock()
	var s Status
	if g != nil {
		s.Wanted, s.Capacity = g.relay.capacity(), g.cfg.Capacity
	}
	for _, r := range b.clients.List() {
		c := ClientStatus{Name: r.Name, Scopes: r.Scopes, Created: r.Created, Instruments: map[messages.Mode]int{}}
		open, gone := g.countsOf(r.Name, b.metrics)
		c.Sent, c.Conflated, c.Requests, c.Refusals = gone.sent, gone.conflated, gone.requests, gone.refusals
		for _, sock := range open {
			c.add(g, sock)
		}
		s.Clients = append(s.Clients, c)
	}
	return s
}

func (c *ClientStatus) add(g *Gateway, sock *client) {
	c.Sockets++
	sent, conflated, waiting := sock.out.counts()
	c.Sent += sent
	c.Conflated += conflated
	c.Waiting += waiting
	c.Lag = max(c.Lag, time.Duration(sock.lag.Load()))
	if c.Since.IsZero() || sock.since.Before(c.Since) {
		c.Since = sock.since
	}
	c.Agent = sock.agent
	for mode, n := range g.relay.byMode(sock) {
		c.Instruments[mode] += n
	}
}
