package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"kitestring/actors/web/api"
	"kitestring/messages"
)

// A stream is flushed at most ten times a second; its client is given up after
// writeTimeout without reading.
const (
	flushEvery   = 100 * time.Millisecond
	writeTimeout = 5 * time.Second
)

var topics = []string{"status", "token", "actors", "tick", "bar", "reading", "event", "rotation", "login"}

// publish offers what changes without a message to the open streams.
func (s *server) publish(ctx context.Context) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if s.Store.hub.count() == 0 {
			continue
		}
		s.Store.hub.send("status", "status", s.status())
		s.Store.hub.send("actors", "actors", s.Tree.Actors())
		s.Store.hub.send("token", "token", s.token())
		for _, q := range s.quotes() {
			s.Store.hub.send("tick", "tick/"+q.Underlying, q)
		}
	}
}

// quotes are the last prices of the underlyings.
func (s *server) quotes() []api.Quote {
	var quotes []api.Quote
	for _, u := range s.Store.allUnderlyings() {
		t, ok := s.Feed.LastTick(u.Index.Token)
		if !ok {
			continue
		}
		q := api.Quote{Underlying: u.Name, LastPrice: t.Price(t.LastPrice), At: time.Unix(int64(t.ExchangeTime), 0).UTC()}
		if t.Close != 0 {
			q.Change = t.Price(t.LastPrice - t.Close)
			q.Percent = 100 * float64(t.LastPrice-t.Close) / float64(t.Close)
		}
		quotes = append(quotes, q)
	}
	return quotes
}

// stream is GET /api/v1/stream?topics=a,b: server-sent events, each with its
// topic as the event's name. It opens with the present state.
func (s *server) stream(w http.ResponseWriter, r *http.Request) {
	var wanted map[string]bool
	if list := r.URL.Query().Get("topics"); list != "" {
		wanted = map[string]bool{}
		for _, t := range strings.Split(list, ",") {
			if !slices.Contains(topics, t) {
				writeProblem(w, http.StatusBadRequest, "unknown topic", "There is no topic "+quoted(t)+".", topics)
				return
			}
			wanted[t] = true
		}
	}
	c := s.Store.hub.join(wanted)
	defer s.Store.hub.leave(c)
	s.Instrument.streams.Inc()
	defer s.Instrument.streams.Dec()

	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	s.offerPresent(c)
	var items []item
	for {
		items, ok := c.take(items)
		if !ok {
			s.Instrument.dropped.Inc()
			return
		}
		_ = out.SetWriteDeadline(time.Now().Add(writeTimeout))
		for _, it := range items {
			if _, err := w.Write(frame(it)); err != nil {
				s.dropIfStuck(err)
				return
			}
		}
		if err := out.Flush(); err != nil {
			s.dropIfStuck(err)
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(flushEvery):
		}
		select {
		case <-r.Context().Done():
			return
		case <-c.wake:
		case <-time.After(10 * time.Second): // a comment keeps proxies and the browser's own timeout quiet
			c.offer(item{})
		}
	}
}

// dropIfStuck counts a client that did not read, as opposed to one that left.
// (The request's context does not say which: net/http cancels it for both.)
func (s *server) dropIfStuck(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.Instrument.dropped.Inc()
	}
}

// offerPresent gives a new stream what is true now. What the store keeps is
// offered under its lock: it cannot overtake anything newer.
func (s *server) offerPresent(c *client) {
	present := &hub{clients: map[*client]struct{}{c: {}}}
	present.send("status", "status", s.status())
	present.send("token", "token", s.token())
	present.send("actors", "actors", s.Tree.Actors())
	for _, q := range s.quotes() {
		present.send("tick", "tick/"+q.Underlying, q)
	}
	for _, r := range slices.Backward(s.Feed.Rotations()) {
		present.send("rotation", rotationKey(r), r)
	}
	s.Store.mu.RLock()
	defer s.Store.mu.RUnlock()
	for _, r := range s.Store.readings {
		present.send("reading", r.Key(), r)
	}
	for _, e := range s.Store.events[max(0, len(s.Store.events)-50):] {
		present.send("event", eventKey(e), e)
	}
}

func frame(it item) []byte {
	if it.topic == "" {
		return []byte(":\n\n")
	}
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", it.topic, it.data)
}

// barEvent is a bar on the stream, with its series.
type barEvent struct {
	Underlying string             `json:"underlying"`
	Source     messages.BarSource `json:"source"`
	Interval   string             `json:"interval"`
	Bar        api.Bar            `json:"bar"`
}

func streamedBar(b messages.Bar, closed bool) barEvent {
	return barEvent{b.Underlying, b.Source, intervalName(b.Interval), apiBar(b, closed)}
}

// pendingLimit is how many unsent items a stream may have before its client
// counts as not reading: 10 s of a busy page.
const pendingLimit = 2000

// hub distributes changes to the open streams. Sending never waits: an item
// goes into each client's pending list, where a newer one of the same key
// replaces it, and a client whose list is full is dropped.
type hub struct {
	mu      sync.Mutex
	clients map[*client]struct{}
}

// client is one open stream.
type client struct {
	topics  map[string]bool // nil: all
	mu      sync.Mutex
	pending []item
	index   map[string]int // key -> place in pending
	wake    chan struct{}  // 1 slot
	dropped bool
}

type item struct {
	topic, key string
	data       []byte
}

func (h *hub) join(topics map[string]bool) *client {
	c := &client{topics: topics, index: map[string]int{}, wake: make(chan struct{}, 1)}
	h.mu.Lock()
	if h.clients == nil {
		h.clients = map[*client]struct{}{}
	}
	h.clients[c] = struct{}{}
	h.mu.Unlock()
	return c
}

func (h *hub) leave(c *client) {
	h.mu.Lock()
	delete(h.clients, c)
	h.mu.Unlock()
}

func (h *hub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.clients)
}

// send offers a value to every client that wants the topic. An item with a key
// replaces an unsent one of the same key.
func (h *hub) send(topic, key string, value any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var data []byte
	for c := range h.clients {
		if c.topics != nil && !c.topics[topic] {
			continue
		}
		if data == nil {
			var err error
			if data, err = json.Marshal(value); err != nil {
				return // a value that cannot be encoded is caught by the tests
			}
		}
		c.offer(item{topic, key, data})
	}
}

func (c *client) offer(it item) {
	c.mu.Lock()
	if at, ok := c.index[it.key]; ok && it.key != "" {
		c.pending[at] = it
	} else if len(c.pending) >= pendingLimit {
		c.dropped = true
	} else {
		if it.key != "" {
			c.index[it.key] = len(c.pending)
		}
		c.pending = append(c.pending, it)
	}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// take empties the pending list; ok is false when the client was dropped.
func (c *client) take(into []item) (items []item, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	items = append(into[:0], c.pending...)
	clear(c.pending)
	c.pending = c.pending[:0]
	clear(c.index)
	return items, !c.dropped
}
