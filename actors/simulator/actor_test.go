package simulator_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"kitestring/actors/actorstest"
	"kitestring/actors/simulator"
	"kitestring/messages"
	"kitestring/messages/wire"
)

// A restarted actor keeps port, clock, prices, tokens and counters: only
// sockets close.
func TestRestart(t *testing.T) {
	t.Parallel()
	ex := newExchange(t, func(c *simulator.Config) { c.Sequence = true })
	if err := ex.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer ex.Close()
	token := issue(t, ex)
	addr := ex.Addr()
	dial := func() *socket {
		t.Helper()
		conn, _, err := websocket.DefaultDialer.Dial(ex.WSURL()+"?api_key=simkey&access_token="+token.Reveal(), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return &socket{t, conn}
	}
	var last messages.Tick
	var seen time.Time
	for round := range 3 {
		harness := actorstest.Start(t, "simulator", simulator.NewActor(simulator.ActorConfig{Exchange: ex}))
		if ex.Addr() != addr {
			t.Fatalf("the address is now %s", ex.Addr())
		}
		s := dial()
		s.command(wire.Command{Action: wire.ActionMode, Mode: messages.ModeFull, InstrumentTokens: []uint32{408065}})
		for {
			kind, data := s.read()
			if kind != websocket.BinaryMessage || wire.Heartbeat(data) {
				continue
			}
			var d wire.Decoder
			ticks, err := d.Decode(data, nil)
			if err != nil || len(ticks) != 1 {
				t.Fatal(err)
			}
			if ticks[0].LastQuantity < last.LastQuantity {
				t.Errorf("after a restart the count goes on at %d, it was %d", ticks[0].LastQuantity, last.LastQuantity)
			}
			last = ticks[0]
			if last.LastQuantity > uint32(round)*2+1 {
				break
			}
		}
		if now := ex.Clock().Now(); !now.After(seen) {
			t.Errorf("the clock went from %v to %v", seen, now)
		}
		seen = ex.Clock().Now()
		harness.Tell("nonsense")
		harness.Stop()
		if err := harness.Err(); err != nil {
			t.Fatal(err)
		}
		if n := len(ex.State().Sockets); n != 0 {
			t.Errorf("%d sockets left", n)
		}
		_ = s.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		var err error
		for err == nil {
			_, _, err = s.conn.ReadMessage()
		}
	}
	if !ex.Valid(token) {
		t.Error("the token died with the actor")
	}
}

func TestListen(t *testing.T) {
	ex := newExchange(t, nil)
	for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.1:80", "nonsense"} {
		if err := ex.Listen(addr); err == nil {
			t.Errorf("listens on %s", addr)
		}
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if err := ex.Listen(taken.Addr().String()); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a port in use: %v", err)
	}
	if err := ex.Serve(t.Context()); err == nil {
		t.Error("serves without an address")
	}
	if err := ex.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if err := ex.Listen("127.0.0.1:0"); err == nil {
		t.Error("listens a second time")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- ex.Serve(ctx) }()
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(ex.APIURL() + "/sim/v1/state")
	if err != nil || response.StatusCode != 200 {
		t.Fatalf("%v", err)
	}
	response.Body.Close()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := ex.Close(); err != nil {
		t.Error(err)
	}
	if ex.Addr() != "" || ex.Close() != nil {
		t.Error("closed a second time")
	}
}

// locked is a writer that a lock guards.
type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// The simulated owner logs in once at the start and once after a flush, and
// never because a token was refused.
func TestSelfLogin(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var log strings.Builder
	ex := newExchange(t, func(c *simulator.Config) {
		c.Log = slog.New(slog.NewTextHandler(locked{&mu, &log}, nil))
	})
	if err := ex.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer ex.Close()
	var token messages.AccessToken
	visits := 0
	product := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/login" {
			http.Redirect(w, r, ex.LoginURL()+"?v=3&api_key=simkey", http.StatusFound)
			return
		}
		if r.URL.Query().Get("request_token") == "" {
			t.Error("came back without a request token")
		}
		fresh := issue(t, ex)
		mu.Lock()
		defer mu.Unlock()
		visits++
		token = fresh
	}))
	defer product.Close()
	ex.SetRedirectURL(product.URL + "/callback")
	current := func() messages.AccessToken {
		mu.Lock()
		defer mu.Unlock()
		return token
	}
	own := &simulator.SelfLogin{URL: product.URL + "/login", Token: current}
	harness := actorstest.Start(t, "simulator", simulator.NewActor(simulator.ActorConfig{Exchange: ex, SelfLogin: own}))
	actorstest.Until(t, "the login at the start", func() bool { return ex.Valid(current()) })
	if _, err := ex.Rotate(); err != nil { // the token in the file is invalid
		t.Fatal(err)
	}
	if err := ex.SetClock(start.AddDate(0, 0, 1).Add(-4*time.Hour - time.Second)); err != nil { // 05:59:59
		t.Fatal(err)
	}
	actorstest.Until(t, "the login after the flush", func() bool { return ex.Valid(current()) })
	// A person's token stays at the next flush, and the one after it is not affected.
	mu.Lock()
	issued := token
	token = messages.NewAccessToken("apersonsrealtokenapersonsrealtok")
	mu.Unlock()
	if err := ex.SetClock(start.AddDate(0, 0, 2).Add(-4 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	actorstest.Until(t, "the flush with a person's token", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Contains(log.String(), "did not log in to itself")
	})
	mu.Lock()
	token = issued
	mu.Unlock()
	if err := ex.SetClock(start.AddDate(0, 0, 3).Add(-4 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	actorstest.Until(t, "the login after the third flush", func() bool { return ex.Valid(current()) })
	harness.Stop()
	mu.Lock()
	defer mu.Unlock()
	if visits != 3 {
		t.Errorf("%d logins", visits)
	}
}
