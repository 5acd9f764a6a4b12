package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"kitestring/actors/web/api"
	"kitestring/actors/web/hub"
	"kitestring/actors/web/ticks"
	"kitestring/messages"
)

// A stream is flushed at most ten times a second; its client is given up after
// writeTimeout without reading.
const (
	flushEvery   = 100 * time.Millisecond
	writeTimeout = 5 * time.Second
)

var topics = []string{"status", "token", "actors", "tick", "bar", "reading", "event", "rotation", "login", "ready", "chain", "alert"}

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
		if s.Store.hub.Count() == 0 {
			continue
		}
		s.Store.hub.Send("status", "status", s.status())
		s.Store.hub.Send("actors", "actors", s.Tree.Actors())
		s.Store.hub.Send("token", "token", s.token())
		for _, q := range s.quotes() {
			s.Store.hub.SendQuote(q)
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

// watchTicks offers the open streams what has come of the instruments that
// they name.
func (s *server) watchTicks(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	watch := ticks.Watch{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		readers, newcomers := s.Store.hub.TickReaders()
		if readers == 0 {
			watch = ticks.Watch{} // nobody misses what comes now
			continue
		}
		s.Instrument.conflated.Add(float64(s.Store.hub.SendTicks(watch.Look(s.Feed, s.Store.instrumentNames(), newcomers))))
	}
}

// ticks is GET /api/v1/ticks.
func (s *server) ticks(w http.ResponseWriter, r *http.Request) {
	choice, ok := s.instruments(w, r, ticks.Everything)
	if ok {
		writeList(w, r, ticks.All(s.Feed, s.Store.instrumentNames(), choice))
	}
}

// instruments are the instruments that a request names; without any, absent.
func (s *server) instruments(w http.ResponseWriter, r *http.Request, absent ticks.Choice) (ticks.Choice, bool) {
	list := r.URL.Query().Get("instruments")
	if list == "" {
		return absent, true
	}
	choice, unknown := ticks.Choose(list, s.Feed, s.Store.instrumentNames())
	if unknown != "" {
		writeProblem(w, http.StatusNotFound, "unknown instrument", "No instrument "+quoted(unknown)+" is subscribed. "+
			"Name it by its instrument token or as EXCHANGE:TRADINGSYMBOL; /api/v1/ticks lists them all, and \"instruments\" of the configuration file adds one.", nil)
		return choice, false
	}
	return choice, true
}

// stream is GET /api/v1/stream?topics=a,b&instruments=x,y: server-sent events,
// each with its topic as the event's name. It opens with the present state.
func (s *server) stream(w http.ResponseWriter, r *http.Request) {
	choice, ok := s.instruments(w, r, ticks.Choice{})
	if !ok {
		return
	}
	wanted := map[string]bool{}
	if list := r.URL.Query().Get("topics"); list == "" {
		for _, t := range topics {
			wanted[t] = t != "chain" // it is large: only for those that ask for it
		}
	} else {
		for _, t := range strings.Split(list, ",") {
			if !slices.Contains(topics, t) {
				writeProblem(w, http.StatusBadRequest, "unknown topic", "There is no topic "+quoted(t)+".", topics)
				return
			}
			wanted[t] = true
		}
	}
	if !choice.IsZero() && !wanted["tick"] {
		writeProblem(w, http.StatusBadRequest, "instruments without ticks", "instruments= chooses what the topic tick carries, and topics= does not have it.", nil)
		return
	}
	chain, again, ok := s.streamedChain(w, r)
	if !ok {
		return
	}
	c := s.Store.hub.Join(wanted, choice, chain)
	defer s.Store.hub.Leave(c)
	s.Instrument.streams.Inc()
	defer s.Instrument.streams.Dec()

	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	s.offerPresent(c)
	var items []hub.Item
	for {
		items, ok := c.Take(items)
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
		case <-again:
			s.AskChain(r.URL.Query().Get("underlying"), r.URL.Query().Get("expiry"))
		case <-c.Wake:
		case <-time.After(10 * time.Second): // a comment keeps proxies and the browser's own timeout quiet
			c.Offer(hub.Item{})
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
func (s *server) offerPresent(c *hub.Client) {
	present := hub.Only(c)
	present.Send("status", "status", s.status())
	present.Send("token", "token", s.token())
	present.Send("actors", "actors", s.Tree.Actors())
	for _, q := range s.quotes() {
		present.SendQuote(q)
	}
	for _, r := range slices.Backward(s.Feed.Rotations()) {
		present.Send("rotation", rotationKey(r), r)
	}
	s.Store.mu.RLock()
	defer s.Store.mu.RUnlock()
	for of, chain := range s.Store.chains {
		present.SendChain(messages.ChainUpdated{Chain: chain, Nearest: of.expiry == s.Store.nearest[of.underlying]})
	}
	for _, r := range s.Store.readings {
		present.Send("reading", r.Key(), r)
	}
	present.Send("ready", s.Store.ready.Key(), s.Store.ready)
	for _, e := range s.Store.events[max(0, len(s.Store.events)-50):] {
		present.Send("event", eventKey(e), e)
	}
}

func frame(it hub.Item) []byte {
	if it.Topic == "" {
		return []byte(":\n\n")
	}
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", it.Topic, it.Data)
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
