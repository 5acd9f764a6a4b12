package guard

import (
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

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
	EventsAtOnce    = 100
	EventsPerSecond = 5
)

// Events counts what one kind of event may still add.
type Events struct {
	limit   *rate.Limiter
	Omitted int // since the last one that was added
}

// Allow reports whether an event may be added, and how many were omitted
// before it.
func (b *Events) Allow(now time.Time) (omitted int, ok bool) {
	if b.limit == nil {
		b.limit = rate.NewLimiter(EventsPerSecond, EventsAtOnce)
	}
	if !b.limit.AllowN(now, 1) {
		b.Omitted++
		return 0, false
	}
	omitted, b.Omitted = b.Omitted, 0
	return omitted, true
}

// Connections counts the open ones. Safe for concurrent use; it outlives the
// actor.
type Connections struct {
	mu      sync.Mutex
	open    map[net.Conn]string // address
	by      map[string]int
	refused uint64
}

// Changed is the http.Server's ConnState.
func (c *Connections) Changed(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if !c.add(conn, HostOf(conn.RemoteAddr().String())) {
			_ = conn.Close()
		}
	case http.StateClosed, http.StateHijacked:
		c.remove(conn)
	case http.StateActive, http.StateIdle:
	}
}

func (c *Connections) add(conn net.Conn, address string) bool {
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

func (c *Connections) remove(conn net.Conn) {
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

// Refused is how many were closed at once because too many were open.
func (c *Connections) Refused() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused
}

// HostOf is a Host header or an address without its port.
func HostOf(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	return strings.Trim(host, "[]")
}

// IsLoopback reports whether a host is an address of this machine alone.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
