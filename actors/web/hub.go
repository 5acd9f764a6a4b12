package web

import (
	"encoding/json"
	"sync"
)

// pendingLimit is how many unsent items a stream may have before its client
// counts as not reading: 10 s of a busy page.
const pendingLimit = 2000

// hub hands what happens to the open streams. Sending never waits: an item
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
				return // a value of ours that cannot be encoded is caught by the tests
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
