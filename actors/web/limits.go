package web

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"kitestring/messages"
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

// lastGate replaces, in whatever the API sends, every secret by its
// fingerprint. Texts from outside are scrubbed where they come in; this holds
// when one was missed. Safe for concurrent use.
type lastGate struct {
	mu      sync.Mutex
	secrets []messages.Secret
	forms   []secretForm
}

type secretForm struct{ value, mark []byte }

// shortestSecret keeps ordinary words: a secret that is one is no secret.
const shortestSecret = 8

func (g *lastGate) hide(data []byte, secrets []messages.Secret) []byte {
	g.mu.Lock()
	if !slices.Equal(secrets, g.secrets) {
		g.secrets, g.forms = slices.Clone(secrets), nil
		for _, s := range secrets {
			v := s.Reveal()
			if len(v) < shortestSecret {
				continue
			}
			quoted, _ := json.Marshal(v) // a string
			forms := []string{v, url.QueryEscape(v), url.PathEscape(v), string(quoted[1 : len(quoted)-1])}
			slices.Sort(forms)
			for _, form := range slices.Compact(forms) {
				g.forms = append(g.forms, secretForm{[]byte(form), []byte(s.String())})
			}
		}
	}
	forms := g.forms
	g.mu.Unlock()
	for _, f := range forms {
		if bytes.Contains(data, f.value) {
			data = bytes.ReplaceAll(data, f.value, f.mark)
		}
	}
	return data
}

// guarded is a response that passes the gate. What writes to it writes whole
// JSON values.
type guarded struct {
	http.ResponseWriter
	server *server
}

// Write implements http.ResponseWriter.
func (g guarded) Write(data []byte) (int, error) {
	if _, err := g.ResponseWriter.Write(g.server.gate.hide(data, g.server.Secrets())); err != nil {
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
	mu   sync.Mutex
	open map[net.Conn]string // address
	by   map[string]int
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
