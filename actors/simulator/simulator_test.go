package simulator_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	kiteconnect "github.com/zerodha/gokiteconnect/v4"

	"kitestring/actors/actorstest"
	"kitestring/actors/simulator"
	"kitestring/messages"
	"kitestring/messages/wire"
)

func TestMain(m *testing.M) { actorstest.Main(m) }

// start is a Monday, in the session.
var start = time.Date(2026, 6, 15, 10, 0, 0, 0, time.FixedZone("IST", 19800))

// exchange is a simulator behind a test server.
type exchange struct {
	*simulator.Exchange
	t   testing.TB
	url string
}

// open starts an exchange; run says whether its market moves.
func open(t testing.TB, run bool, change func(*simulator.Config)) *exchange {
	t.Helper()
	cfg := simulator.Config{Start: start, Sequence: true, RedirectURL: "http://127.0.0.1:1/callback", QuietOpen: true}
	if change != nil {
		change(&cfg)
	}
	ex, err := simulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(ex.Handler())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		if run {
			done <- ex.Run(ctx)
			return
		}
		done <- nil
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		ex.CloseSockets()
		server.CloseClientConnections()
		server.Close()
	})
	return &exchange{ex, t, server.URL}
}

// token is a living access token.
func (e *exchange) token() string {
	e.t.Helper()
	token, err := e.IssueToken()
	if err != nil {
		e.t.Fatal(err)
	}
	return token.Reveal()
}

// kite is the official client with a token.
func (e *exchange) kite(token string) *kiteconnect.Client {
	client := kiteconnect.New(e.APIKey())
	client.SetBaseURI(e.url)
	client.SetHTTPClient(&http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}})
	client.SetAccessToken(token)
	return client
}

// dial opens a socket and reports the status of the upgrade.
func (e *exchange) dial(token string) (*socket, int) {
	e.t.Helper()
	target := "ws" + strings.TrimPrefix(e.url, "http") + "?" + url.Values{"api_key": {e.APIKey()}, "access_token": {token}}.Encode()
	conn, response, err := websocket.DefaultDialer.Dial(target, nil)
	if err != nil {
		if response == nil {
			e.t.Fatalf("dial: %v", err)
		}
		return nil, response.StatusCode
	}
	e.t.Cleanup(func() { conn.Close() })
	return &socket{e.t, conn}, response.StatusCode
}

// mustDial answers a socket that the exchange knows: it counts it a moment after
// the client has the answer to its upgrade.
func (e *exchange) mustDial() *socket {
	e.t.Helper()
	return e.mustDialWith(e.token())
}

// mustDialWith does so with a token of the test's.
func (e *exchange) mustDialWith(token string) *socket {
	e.t.Helper()
	newest := func() (id int) {
		for _, s := range e.State().Sockets {
			id = max(id, s.ID)
		}
		return id
	}
	before := newest()
	s, status := e.dial(token)
	if s == nil {
		e.t.Fatalf("upgrade: %d", status)
	}
	actorstest.Until(e.t, "the exchange knows the socket", func() bool { return newest() > before })
	return s
}

// socket is a plain client.
type socket struct {
	t    testing.TB
	conn *websocket.Conn
}

func (s *socket) command(c wire.Command) {
	s.t.Helper()
	if err := s.conn.WriteMessage(websocket.TextMessage, wire.AppendCommand(nil, c)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *socket) mode(mode messages.Mode, tokens ...uint32) {
	s.t.Helper()
	s.command(wire.Command{Action: wire.ActionMode, Mode: mode, InstrumentTokens: tokens})
}

// read is the next message.
func (s *socket) read() (kind int, data []byte) {
	s.t.Helper()
	_ = s.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	kind, data, err := s.conn.ReadMessage()
	if err != nil {
		s.t.Fatalf("read: %v", err)
	}
	return kind, data
}

// ticks are those of the next frame that has any.
func (s *socket) ticks() []messages.Tick {
	s.t.Helper()
	for {
		kind, data := s.read()
		if kind != websocket.BinaryMessage || wire.Heartbeat(data) {
			continue
		}
		var d wire.Decoder
		ticks, err := d.Decode(data, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		return ticks
	}
}

// several are the next n ticks: a busy exchange answers one command in more
// than one frame.
func (s *socket) several(n int) (all []messages.Tick) {
	s.t.Helper()
	for len(all) < n {
		all = append(all, s.ticks()...)
	}
	return all
}

// browser follows no redirect.
func browser() *http.Client {
	return &http.Client{
		Timeout:       20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{DisableKeepAlives: true},
	}
}

func (e *exchange) get(path string) (*http.Response, string) {
	e.t.Helper()
	return e.do(http.MethodGet, path, "", nil)
}

func (e *exchange) do(method, path, body string, header http.Header) (*http.Response, string) {
	e.t.Helper()
	request, err := http.NewRequest(method, e.url+path, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	for k, v := range header {
		request.Header[k] = v
	}
	response, err := browser().Do(request)
	if err != nil {
		e.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return response, string(text)
}

// post sends JSON to an admin route and fails the test unless it is taken.
func (e *exchange) post(path, body string) map[string]any {
	e.t.Helper()
	response, text := e.do(http.MethodPost, path, body, nil)
	if response.StatusCode >= 300 {
		e.t.Fatalf("POST %s: %d %s", path, response.StatusCode, text)
	}
	var out map[string]any
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		e.t.Fatal(err)
	}
	return out
}

func checksum(key, request, secret string) string {
	sum := sha256.Sum256([]byte(key + request + secret))
	return hex.EncodeToString(sum[:])
}
