package web

import (
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// What a client, or what comes over the feed, must not be able to use up or
// to see: connections, the timeline, the secrets.

// Connections that clients hold open. Beyond these a new one is closed at
// once, so that a client that opens many leaves file descriptors for the .env
// file and the feed.
const (
	mostConnections = 400 // in all
	mostPerAddress  = 200
)

// Events that one kind may add to the timeline: a flood of one, of orders or
// of cancelled logins, neither pushes the others out nor costs more than this.
const (
	eventsAtOnce    = 100
	eventsPerSecond = 5
	eventLength     = 400 // bytes of its text
)

// eventBudget counts what one kind of event may still add.
type eventBudget struct {
	limit   *rate.Limiter
	omitted int // since the last one that was added
}

// allow reports whether an event may be added, and how many were omitted
// before it.
func (b *eventBudget) allow(now time.Time) (omitted int, ok bool) {
	if b.limit == nil {
		b.limit = rate.NewLimiter(eventsPerSecond, eventsAtOnce)
	}
	if !b.limit.AllowN(now, 1) {
		b.omitted++
		return 0, false
	}
	omitted, b.omitted = b.omitted, 0
	return omitted, true
}

// guarded is a response that passes the gate. What writes to it writes whole
// JSON values.
type guarded struct {
	http.ResponseWriter
	server *server
}

// Write implements http.ResponseWriter.
func (g guarded) Write(data []byte) (int, error) {
	if _, err := g.ResponseWriter.Write(g.server.gate.Hide(data, g.server.Secrets())); err != nil {
		return 0, err
	}
	return len(data), nil
}

// Unwrap lets http.ResponseController reach the connection.
func (g guarded) Unwrap() http.ResponseWriter { return g.ResponseWriter }

// scrubbed wraps a handler whose responses pass the gate.
func (s *server) scrubbed(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { next(guarded{w, s}, r) }
}

// connections counts the open ones. Safe for concurrent use; it outlives the
// actor.
type connections struct {
	mu      sync.Mutex
	open    map[net.Conn]string // address
	by      map[string]int
	refused uint64
}

// changed is the http.Server's ConnState.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if !c.add(conn, hostOf(conn.RemoteAddr().String())) {
			_ = conn.Close()
		}
	case http.StateClosed, http.StateHijacked:
		c.remove(conn)
	case http.StateActive, http.StateIdle:
	}
}

func (c *connections) add(conn net.Conn, address string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open, c.by = map[net.Conn]string{}, map[string]int{}
	}
	if len(c.open) >= mostConnections || c.by[address] >= mostPerAddress {
		c.refused++
		return false
	}
	c.open[conn] = address
	c.by[address]++
	return true
}

func (c *connections) remove(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	address, ok := c.open[conn]
	if !ok {
		return
	}
	delete(c.open, conn)
	if c.by[address]--; c.by[address] == 0 {
		delete(c.by, address)
	}
}

// RefusedConnections is how many connections were closed at once because too many
// were open, in all or from one address.
func (s *Store) RefusedConnections() uint64 {
	s.connections.mu.Lock()
	defer s.connections.mu.Unlock()
	return s.connections.refused
}
