package web

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
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

// publish offers what moves by itself to the open streams.
func (s *server) publish(ctx context.Context) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if s.Board.hub.count() == 0 {
			continue
		}
		s.Board.hub.send("status", "status", s.status())
		s.Board.hub.send("actors", "actors", s.Tree.Actors())
		s.Board.hub.send("token", "token", s.token())
		for _, q := range s.quotes() {
			s.Board.hub.send("tick", "tick/"+q.Underlying, q)
		}
	}
}

// quotes are the last prices of the underlyings.
func (s *server) quotes() []api.Quote {
	s.Board.mu.RLock()
	underlyings := s.Board.underlyings
	s.Board.mu.RUnlock()
	quotes := make([]api.Quote, 0, len(underlyings))
	for _, u := range underlyings {
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
			if !contains(topics, t) {
				problem(w, http.StatusBadRequest, "unknown topic", "There is no topic "+quoted(t)+".", topics)
				return
			}
			wanted[t] = true
		}
	}
	c := s.Board.hub.join(wanted)
	defer s.Board.hub.leave(c)
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
// (The request's context tells nothing: net/http cancels it for either.)
func (s *server) dropIfStuck(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.Instrument.dropped.Inc()
	}
}

// offerPresent gives a new stream what is true now. What the board keeps is
// offered under its lock: nothing newer can be overtaken by it.
func (s *server) offerPresent(c *client) {
	present := &hub{clients: map[*client]struct{}{c: {}}}
	present.send("status", "status", s.status())
	present.send("token", "token", s.token())
	present.send("actors", "actors", s.Tree.Actors())
	for _, q := range s.quotes() {
		present.send("tick", "tick/"+q.Underlying, q)
	}
	rotations := s.Feed.Rotations()
	for i := len(rotations) - 1; i >= 0; i-- {
		present.send("rotation", rotationKey(rotations[i]), rotations[i])
	}
	s.Board.mu.RLock()
	defer s.Board.mu.RUnlock()
	for _, r := range s.Board.readings {
		present.send("reading", r.Key(), r)
	}
	for _, e := range s.Board.events[max(0, len(s.Board.events)-50):] {
		present.send("event", eventKey(e), e)
	}
}

func frame(it item) []byte {
	if it.topic == "" {
		return []byte(":\n\n")
	}
	out := make([]byte, 0, len(it.data)+len(it.topic)+24)
	out = append(out, "event: "...)
	out = append(out, it.topic...)
	out = append(out, "\ndata: "...)
	out = append(out, it.data...)
	return append(out, "\n\n"...)
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
