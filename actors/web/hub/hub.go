// Package hub distributes what changes to the open event streams.
//
// It promises that no sender waits for a reader, and that a reader which does
// not read costs a bounded amount of memory: newer items replace unsent ones of
// the same key, and who lets too many collect is dropped.
package hub

import (
	"encoding/json"
	"strconv"
	"sync"

	"kitestring/actors/web/api"
	"kitestring/actors/web/ticks"
	"kitestring/messages"
)

// pendingLimit is how many unsent items a stream may have, one an instrument
// aside, before its client counts as not reading: 10 s of a busy page.
const pendingLimit = 2000

// Hub distributes changes to the open streams. Sending never waits: an item
// goes into each client's pending list, where a newer one of the same key
// replaces it, and a client whose list is full is dropped.
type Hub struct {
	mu      sync.Mutex
	clients map[*Client]struct{}
}

// Client is one open stream.
type Client struct {
	topics  map[string]bool // nil: all
	choice  ticks.Choice    // of instruments, for topic tick; none: prices of the underlyings
	chain   string          // key of the one option chain, for topic chain; "": the nearest of each underlying
	joined  bool            // it has the last tick of each; under the hub's lock
	mu      sync.Mutex
	ticks   int // unsent ticks, one an instrument at most: they have no part in the limit
	pending []Item
	index   map[string]int // key -> place in pending
	Wake    chan struct{}  // 1 slot: something waits
	dropped bool
}

// Item is an event of a stream; one without a topic is a comment.
type Item struct {
	Topic      string
	Data       []byte // JSON
	key        string // newer items replace unsent ones of the same key; "": none do
	instrument uint32 // of a tick that takes the place of an unsent one; 0: none
}

// Join adds a stream of some topics (nil: all).
func (h *Hub) Join(topics map[string]bool, choice ticks.Choice, chain string) *Client {
	c := &Client{topics: topics, choice: choice, chain: chain, index: map[string]int{}, Wake: make(chan struct{}, 1)}
	h.mu.Lock()
	if h.clients == nil {
		h.clients = map[*Client]struct{}{}
	}
	h.clients[c] = struct{}{}
	h.mu.Unlock()
	return c
}

// Leave takes it out.
func (h *Hub) Leave(c *Client) {
	h.mu.Lock()
	delete(h.clients, c)
	h.mu.Unlock()
}

// Only is a hub of one stream: for what is true when it opens.
func Only(c *Client) *Hub { return &Hub{clients: map[*Client]struct{}{c: {}}} }

// Count is how many streams are open.
func (h *Hub) Count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.clients)
}

// Send offers a value to every client that wants the topic. An item with a key
// replaces an unsent one of the same key.
func (h *Hub) Send(topic, key string, value any) {
	h.sendIf(func(*Client) bool { return true }, topic, key, value)
}

func (h *Hub) sendIf(due func(*Client) bool, topic, key string, value any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var data []byte
	for c := range h.clients {
		if c.topics != nil && !c.topics[topic] || !due(c) {
			continue
		}
		if data == nil {
			var err error
			if data, err = json.Marshal(value); err != nil {
				return // a value that cannot be encoded is caught by the tests
			}
		}
		c.Offer(Item{Topic: topic, key: key, Data: data})
	}
}

// SendQuote offers the price of an underlying to every client that names no
// instruments.
func (h *Hub) SendQuote(q api.Quote) {
	h.sendIf(func(c *Client) bool { return c.choice.IsZero() }, "tick", "tick/"+q.Underlying, q)
}

// SendChain offers an option chain to every client that wants it.
func (h *Hub) SendChain(m messages.ChainUpdated) {
	h.sendIf(func(c *Client) bool { return c.chain == m.Key() || c.chain == "" && m.Nearest }, "chain", m.Key(), m.Chain)
}

// TickReaders counts the clients that name instruments; newcomers: one of them
// has not got the present ticks.
func (h *Hub) TickReaders() (readers int, newcomers bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.clients {
		if !c.choice.IsZero() {
			readers++
			newcomers = newcomers || !c.joined
		}
	}
	return readers, newcomers
}

// SendTicks offers ticks to the clients that name their instruments, and to one
// that has joined also those that are not new. conflated: packets that a client
// does not get, because newer ones came before it could.
func (h *Hub) SendTicks(events []ticks.Event) (conflated uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.clients {
		if c.choice.IsZero() {
			continue
		}
		for i := range events {
			e := &events[i]
			if c.choice.Has(e.InstrumentToken) && (e.New || !c.joined) {
				if c.joined {
					conflated += e.Replaced
				}
				if c.Offer(Item{Topic: "tick", Data: e.Data, instrument: e.InstrumentToken, key: "tick/" + strconv.Itoa(int(e.InstrumentToken))}) {
					conflated++
				}
			}
		}
		c.joined = true
	}
	return conflated
}

// Offer appends an item, or replaces an unsent one of the same key.
func (c *Client) Offer(it Item) (replaced bool) {
	c.mu.Lock()
	if at, ok := c.index[it.key]; ok && it.key != "" {
		c.pending[at], replaced = it, true
	} else if it.instrument == 0 && len(c.pending)-c.ticks >= pendingLimit {
		c.dropped = true
	} else {
		if it.instrument != 0 {
			c.ticks++
		}
		if it.key != "" {
			c.index[it.key] = len(c.pending)
		}
		c.pending = append(c.pending, it)
	}
	c.mu.Unlock()
	select {
	case c.Wake <- struct{}{}:
	default:
	}
	return replaced
}

// Take empties the pending list; ok is false when the client was dropped.
func (c *Client) Take(into []Item) (items []Item, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	items = append(into[:0], c.pending...)
	clear(c.pending)
	c.pending = c.pending[:0]
	clear(c.index)
	c.ticks = 0
	return items, !c.dropped
}
