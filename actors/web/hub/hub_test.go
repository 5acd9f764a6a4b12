package hub

import (
	"fmt"
	"testing"

	"kitestring/actors/web/api"
	"kitestring/actors/web/ticks"
)

func TestStreamThatDoesNotReadKeepsABoundedList(t *testing.T) {
	var h Hub
	c := h.Join(nil, ticks.Choice{}, "")
	for i := range 10 * pendingLimit {
		h.Send("event", fmt.Sprint("event/", i), i)
	}
	if len(c.pending) != pendingLimit || len(c.index) > pendingLimit || !c.dropped {
		t.Errorf("%d items wait, %d keys, dropped %t; want %d and dropped", len(c.pending), len(c.index), c.dropped, pendingLimit)
	}
}

// TestTicksReplaceEachOther: a stream of more instruments than the limit keeps
// one tick of each, and what was replaced is counted.
func TestTicksReplaceEachOther(t *testing.T) {
	var h Hub
	c := h.Join(nil, ticks.Everything, "")
	prices := h.Join(nil, ticks.Choice{}, "")
	if readers, newcomers := h.TickReaders(); readers != 1 || !newcomers {
		t.Errorf("%d readers, newcomers %t; want the one that names instruments", readers, newcomers)
	}
	const instruments = pendingLimit + 500
	var events []ticks.Event
	for i := range uint32(instruments) {
		events = append(events, ticks.Event{InstrumentToken: i + 1, Data: []byte(fmt.Sprint(i))})
	}
	if n := h.SendTicks(events); n != 0 {
		t.Errorf("%d conflated of the present ones, want 0", n)
	}
	if _, newcomers := h.TickReaders(); newcomers {
		t.Error("it has the present ones and is still a newcomer")
	}
	if n := h.SendTicks(events); n != 0 || len(c.pending) != instruments {
		t.Errorf("sent what was not new: %d conflated, %d wait", n, len(c.pending))
	}
	for i := range events {
		events[i].New, events[i].Replaced, events[i].Data = true, 2, []byte("newer")
	}
	if n := h.SendTicks(events); n != 3*instruments {
		t.Errorf("%d conflated, want the one that waited and two between the looks for each of %d", n, instruments)
	}
	h.SendQuote(api.Quote{Underlying: "NIFTY"})
	h.Send("status", "status", 1)
	items, ok := c.Take(nil)
	if !ok || len(items) != instruments+1 || string(items[0].Data) != "newer" {
		t.Errorf("%d items, ok %t, the first %q", len(items), ok, items[0].Data)
	}
	if items, _ := prices.Take(nil); len(items) != 2 || items[0].Topic != "tick" {
		t.Errorf("the stream without instruments got %d items", len(items))
	}
}
