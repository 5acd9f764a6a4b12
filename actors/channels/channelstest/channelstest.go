// Package channelstest has servers on loopback that behave as Telegram's Bot API
// and ntfy are documented to: long polls and offsets, streams with keepalives,
// refusals of a wrong token, limits with a wish for a pause. For tests and drills.
//
// Sources: https://core.telegram.org/bots/api (getUpdates, sendMessage,
// ResponseParameters), https://docs.ntfy.sh/subscribe/api and /publish.
package channelstest

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Message is one that was sent to a person.
type Message struct {
	To   string // chat or topic
	Text string
}

// server is what both have.
type server struct {
	URL  string
	http *http.Server
	done chan struct{}

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when something has come
	sent    []Message
	polls   int
	limited int // requests that are refused with 429 from now on
	down    bool
	hurries bool // questions are answered at once
}

func (s *server) open(handler http.Handler) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.URL, s.changed, s.done = "http://"+l.Addr().String(), make(chan struct{}), make(chan struct{})
	s.http = &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(l)
	}()
	return nil
}

// Close ends the server and every poll and stream of it.
func (s *server) Close() {
	_ = s.http.Close()
	<-s.done
}

// Sent are the messages to people, in their order.
func (s *server) Sent() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Message(nil), s.sent...)
}

// Polls is how often somebody has asked for replies.
func (s *server) Polls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.polls
}

// Limit has the next n requests refused as too many.
func (s *server) Limit(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limited = n
}

// Down makes every request fail with 502, or no longer.
func (s *server) Down(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
	s.wake()
}

// Hurry makes every question end at once, whatever it may wait for, or no longer.
func (s *server) Hurry(hurries bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hurries = hurries
	s.wake()
}

// admitted reports whether a request is served, else what it is refused with.
func (s *server) admitted() (status int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.down:
		return http.StatusBadGateway, false
	case s.limited > 0:
		s.limited--
		return http.StatusTooManyRequests, false
	}
	return 0, true
}

// wake tells polls and streams that something has come. Called with mu held.
func (s *server) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Telegram is a Bot API server with one bot.
type Telegram struct {
	server
	token   string
	updates []update
	last    int64
}

type update struct {
	id, chat, date int64
	text           string
}

// NewTelegram serves the bot of a token.
func NewTelegram(token string) (*Telegram, error) {
	t := &Telegram{token: token, last: 1000}
	return t, t.open(http.HandlerFunc(t.serve))
}

// Write is a person who writes to the bot.
func (t *Telegram) Write(chat int64, text string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	t.updates = append(t.updates, update{t.last, chat, at.Unix(), text})
	t.wake()
}

// Waiting is how many updates have not been confirmed.
func (t *Telegram) Waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.updates)
}

func (t *Telegram) serve(w http.ResponseWriter, r *http.Request) {
	bot, method, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/bot"), "/")
	fail := func(code int, description string, parameters map[string]any) {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]any{"ok": false, "error_code": code, "description": description, "parameters": parameters})
	}
	if bot != t.token {
		fail(http.StatusUnauthorized, "Unauthorized", nil)
		return
	}
	if status, ok := t.admitted(); status == http.StatusTooManyRequests {
		fail(status, "Too Many Requests: retry after 1", map[string]any{"retry_after": 1})
		return
	} else if !ok {
		w.WriteHeader(status) // a proxy in front of it
		return
	}
	var ask struct {
		Offset  int64
		Timeout int
		Limit   int
		ChatID  any `json:"chat_id"`
		Text    string
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&ask); err != nil {
		fail(http.StatusBadRequest, "Bad Request: can't parse", nil)
		return
	}
	switch method {
	case "sendMessage":
		t.mu.Lock()
		t.sent = append(t.sent, Message{fmt.Sprint(ask.ChatID), ask.Text})
		t.mu.Unlock()
		_ = json.NewEncoder(w).Encode(map[string]any{"ok": true, "result": map[string]any{}})
	case "getUpdates":
		list := t.poll(r, ask.Offset, time.Duration(ask.Timeout)*time.Second)
		if list == nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"ok": true, "result": list})
	default:
		fail(http.StatusNotFound, "Not Found", nil)
	}
}

// poll answers what is at or after an offset, 100 at most, and forgets what is
// before it; it waits while there is nothing.
func (t *Telegram) poll(r *http.Request, offset int64, wait time.Duration) []map[string]any {
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	t.mu.Lock()
	t.polls++
	t.mu.Unlock()
	for over := false; ; {
		t.mu.Lock()
		for len(t.updates) > 0 && t.updates[0].id < offset {
			t.updates = t.updates[1:]
		}
		list := []map[string]any{}
		for _, u := range t.updates[:min(len(t.updates), 100)] {
			list = append(list, map[string]any{"update_id": u.id, "message": map[string]any{
				"message_id": u.id, "date": u.date, "text": u.text, "chat": map[string]any{"id": u.chat, "type": "private"}, "from": map[string]any{"id": u.chat},
			}})
		}
		changed, down, hurries := t.changed, t.down, t.hurries
		t.mu.Unlock()
		if down {
			return nil
		}
		if len(list) > 0 || over || hurries {
			return list
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-timeout.C:
			over = true
		case <-changed:
		}
	}
}

// Ntfy is an ntfy server.
type Ntfy struct {
	server
	topics map[string][]note
	last   int
}

type note struct {
	id   string
	at   time.Time
	text string
}

// NewNtfy serves topics.
func NewNtfy() (*Ntfy, error) {
	n := &Ntfy{topics: map[string][]note{}}
	return n, n.open(http.HandlerFunc(n.serve))
}

// Write is a person who publishes to a topic.
func (n *Ntfy) Write(topic, text string, at time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last++
	n.topics[topic] = append(n.topics[topic], note{"id" + strconv.Itoa(n.last), at, text})
	n.wake()
}

func (n *Ntfy) serve(w http.ResponseWriter, r *http.Request) {
	if status, ok := n.admitted(); !ok {
		if status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "1")
		}
		w.WriteHeader(status)
		return
	}
	topic, rest, _ := strings.Cut(strings.Trim(r.URL.Path, "/"), "/")
	if r.Method == http.MethodPost && rest == "" {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 64<<10))
		n.mu.Lock()
		n.sent = append(n.sent, Message{topic, string(body)})
		n.mu.Unlock()
		n.Write(topic, string(body), time.Now())
		_, _ = io.WriteString(w, "{}\n")
		return
	}
	n.stream(w, r, topic)
}

// stream sends what comes to a topic, after the message of an id if one is named.
func (n *Ntfy) stream(w http.ResponseWriter, r *http.Request, topic string) {
	encode, out := json.NewEncoder(w), http.NewResponseController(w)
	event := func(id, kind, text string, at time.Time) {
		_ = encode.Encode(map[string]any{"id": id, "time": at.Unix(), "event": kind, "topic": topic, "message": text})
	}
	event("open", "open", "", time.Now())
	_ = out.Flush()
	n.mu.Lock()
	n.polls++
	next := len(n.topics[topic])
	if since := r.URL.Query().Get("since"); since != "" {
		for i, m := range n.topics[topic] {
			if m.id == since {
				next = i + 1
			}
		}
	}
	n.mu.Unlock()
	keepalive := time.NewTicker(45 * time.Second)
	defer keepalive.Stop()
	for {
		n.mu.Lock()
		list, changed, hurries := n.topics[topic][next:], n.changed, n.hurries
		n.mu.Unlock()
		for _, m := range list {
			event(m.id, "message", m.text, m.at)
			next++
		}
		if out.Flush() != nil || hurries {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-keepalive.C:
			event("keepalive", "keepalive", "", time.Now())
		case <-changed:
		}
	}
}
