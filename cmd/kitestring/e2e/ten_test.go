package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	kiteconnect "github.com/zerodha/gokiteconnect/v4"
	"github.com/zerodha/gokiteconnect/v4/models"
	kiteticker "github.com/zerodha/gokiteconnect/v4/ticker"

	"kitestring/actors/actorstest"
	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/messages/wire"
	"kitestring/supervisor/tree"
)

var (
	rotations = flag.Int("rotations", 3, "new tokens in TestTenPrograms")
	apart     = flag.Duration("apart", time.Second, "time between two of them")
)

// counted is what one program has seen, by the number that the exchange writes
// into the last quantity.
type counted struct {
	Ticks    int64    `json:"ticks"`
	Lost     int64    `json:"lost"`
	Repeated int64    `json:"repeated"`
	Asked    int      `json:"asked"`
	Refused  []string `json:"refused"`
	Trouble  []string `json:"trouble"` // closes, errors, reconnects
}

// sequenceProgram is a program whose ticks are counted here.
type sequenceProgram struct {
	mu   sync.Mutex
	last map[uint32]uint32
	counted
}

func (p *sequenceProgram) tick(token, n uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if was, has := p.last[token]; has {
		switch {
		case n == was:
			p.Repeated++
		case n > was+1:
			p.Lost += int64(n - was - 1)
		}
	}
	p.last[token] = n
	p.Ticks++
}

func (p *sequenceProgram) trouble(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Trouble = append(p.Trouble, fmt.Sprintf(format, args...))
}

func (p *sequenceProgram) counts() counted {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counted
}

// asks sends a request each interval until ctx ends.
func (p *sequenceProgram) asks(ctx context.Context, every time.Duration, ask func(n int) error) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := ask(n)
		if ctx.Err() != nil {
			return
		}
		p.mu.Lock()
		p.Asked++
		if err != nil {
			p.Refused = append(p.Refused, err.Error())
		}
		p.mu.Unlock()
	}
}

// officialGo is a program with the official Go client. It is connected when
// officialGo returns: each client writes to the WebSocket library's default
// dialer as it connects, so that no two may do so at once.
func officialGo(ctx context.Context, t *testing.T, done *sync.WaitGroup, addr, key string, tokens []uint32) *sequenceProgram {
	p := &sequenceProgram{last: map[uint32]uint32{}}
	connected := make(chan struct{}, 1)
	ticker := kiteticker.New("any", key)
	ticker.SetRootURL(url.URL{Scheme: "ws", Host: addr})
	ticker.OnConnect(func() {
		if err := ticker.Subscribe(tokens); err != nil {
			p.trouble("subscribe: %v", err)
		}
		if err := ticker.SetMode(kiteticker.ModeFull, tokens); err != nil {
			p.trouble("mode: %v", err)
		}
		select {
		case connected <- struct{}{}:
		default: // it has connected again, which OnReconnect reports
		}
	})
	ticker.OnTick(func(t models.Tick) {
		if t.Mode == "full" { // not what comes between the two commands
			p.tick(t.InstrumentToken, t.LastTradedQuantity)
		}
	})
	ticker.OnError(func(err error) { p.trouble("error: %v", err) })
	ticker.OnClose(func(code int, reason string) { p.trouble("closed: %d %s", code, reason) })
	ticker.OnReconnect(func(attempt int, _ time.Duration) { p.trouble("reconnect %d", attempt) })
	done.Go(func() { ticker.ServeWithContext(ctx) })
	select {
	case <-connected:
	case <-time.After(time.Minute):
		t.Fatal("the official Go client does not connect")
	}
	client := kiteconnect.New("any")
	client.SetBaseURI("http://" + addr)
	client.SetAccessToken(key)
	done.Go(func() {
		p.asks(ctx, time.Second, func(int) error { _, err := client.GetOrders(); return err })
	})
	return p
}

// ownProgram is a program with a client of this test, which asks for something else.
func ownProgram(ctx context.Context, t *testing.T, done *sync.WaitGroup, addr, key string, tokens []uint32, every time.Duration, path func(n int) string) *sequenceProgram {
	p := &sequenceProgram{last: map[uint32]uint32{}}
	conn, _, err := new(websocket.Dialer).Dial("ws://"+addr+"?api_key=any&access_token="+key, nil)
	if err != nil {
		t.Fatal(err)
	}
	cmd := wire.Command{Action: wire.ActionMode, Mode: messages.ModeFull, InstrumentTokens: tokens}
	if err := conn.WriteMessage(websocket.TextMessage, wire.AppendCommand(nil, cmd)); err != nil {
		t.Fatal(err)
	}
	done.Go(func() { <-ctx.Done(); _ = conn.Close() })
	done.Go(func() {
		for {
			kind, frame, err := conn.ReadMessage()
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				p.trouble("closed: %v", err)
				return
			}
			if kind != websocket.BinaryMessage || wire.Heartbeat(frame) {
				continue
			}
			ticks, err := new(wire.Decoder).Decode(frame, nil)
			if err != nil {
				p.trouble("frame: %v", err)
			}
			for i := range ticks {
				p.tick(ticks[i].InstrumentToken, ticks[i].LastQuantity)
			}
		}
	})
	client := &http.Client{Timeout: 7 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	done.Go(func() {
		p.asks(ctx, every, func(n int) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path(n), nil)
			if err != nil {
				return err
			}
			req.Header.Set("Authorization", "token any:"+key)
			resp, err := client.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err == nil && resp.StatusCode != http.StatusOK {
				return fmt.Errorf("%d %.200s", resp.StatusCode, body)
			}
			return err
		})
	})
	return p
}

// Ten programs stream and ask, with the official Go client, npm's official
// clients and one of this test: none of them notices a new token, the morning on
// which Kite ends the token, or the login after it, and their requests get no
// TokenException.
func TestTenPrograms(t *testing.T) {
	s := startServer(t, manual, func(cfg *tree.Config) { cfg.GatewayAddr, cfg.Sim.Rate = "127.0.0.1:0", 1000 })
	s.login()
	s.live()
	var tokens []uint32
	actorstest.Until(t, "the option chains", func() bool {
		tokens = s.chains()
		return len(tokens) >= 240
	})
	add := func(name string) string {
		t.Helper()
		key, err := s.AddGatewayClient(name, []string{"data", "account"})
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	defer done.Wait()
	defer cancel()
	addr := s.GatewayAddr()
	var programs []*sequenceProgram
	for i := range 3 {
		programs = append(programs, officialGo(ctx, t, &done, addr, add(fmt.Sprint("go", i)), tokens))
	}
	// Kite's limits are 10 requests a second together, one for quotes, three for
	// history: all ten programs together stay just below what the server may use.
	day := func(token, n int) string {
		to := time.Date(2026, 11, 1, 9, 15, 0, 0, time.UTC).AddDate(0, 0, -n)
		return fmt.Sprintf("/instruments/historical/%d/minute?from=%s&to=%s", token, url.QueryEscape(to.Format(time.DateTime)), url.QueryEscape(to.Add(time.Hour).Format(time.DateTime)))
	}
	programs = append(programs,
		ownProgram(ctx, t, &done, addr, add("own0"), tokens, 800*time.Millisecond, func(n int) string { return day(256265, n) }),
		ownProgram(ctx, t, &done, addr, add("own1"), tokens, 800*time.Millisecond, func(n int) string { return day(260105, n) }),
		ownProgram(ctx, t, &done, addr, add("own2"), tokens, 1200*time.Millisecond, func(n int) string { return fmt.Sprintf("/quote/ltp?i=NSE:NIFTY+50&i=%d", n) }),
		ownProgram(ctx, t, &done, addr, add("own3"), tokens, 1500*time.Millisecond, func(int) string { return "/instruments/NSE" }),
		ownProgram(ctx, t, &done, addr, add("own4"), tokens, time.Second, func(int) string { return "/orders" }),
	)
	script, err := os.ReadFile(filepath.Join(nodeFolder, "sequence.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	var list strings.Builder
	for i, token := range tokens {
		if i > 0 {
			list.WriteByte(',')
		}
		fmt.Fprint(&list, token)
	}
	lines := nodeProgram(t, string(script), addr, add("node"), list.String(), "kiteconnect", "kiteconnect4") // two of one version share their state
	// look reads what every program has counted up to now.
	look := func() (sum counted) {
		t.Helper()
		until(t, lines, "the counts of the JavaScript programs", func(line string, old bool) bool {
			sum = counted{}
			if err := json.Unmarshal([]byte(line), &sum); err != nil {
				t.Fatalf("the JavaScript programs said %q", line)
			}
			return !old
		})
		for i, p := range programs {
			c := p.counts()
			sum.Ticks += c.Ticks
			sum.Lost += c.Lost
			sum.Repeated += c.Repeated
			sum.Asked += c.Asked
			sum.Refused = append(sum.Refused, c.Refused...)
			for _, trouble := range c.Trouble {
				sum.Trouble = append(sum.Trouble, fmt.Sprintf("program %d: %s", i, trouble))
			}
		}
		return sum
	}
	// untroubled demands that no program has noticed anything.
	untroubled := func(when string) counted {
		t.Helper()
		c := look()
		if c.Lost != 0 || c.Repeated != 0 || len(c.Trouble) != 0 {
			t.Fatalf("%s: %d ticks lost, %d repeated, trouble %q", when, c.Lost, c.Repeated, c.Trouble)
		}
		for _, refused := range c.Refused {
			if strings.Contains(refused, "TokenException") {
				t.Fatalf("%s a program saw %s", when, refused)
			}
		}
		return c
	}
	actorstest.Until(t, "ten programs stream", func() bool {
		n := 0
		for _, c := range s.gatewayClients() {
			n += c.Sockets
		}
		return n == 10
	})
	before := untroubled("at first")
	began := time.Now()
	for range *rotations {
		s.rotate()
		select {
		case <-time.After(*apart): // ticks and requests between two tokens
		case <-t.Context().Done():
		}
	}
	after, took := untroubled("after the rotations"), time.Since(began)
	if len(after.Refused) > 0 {
		t.Errorf("%d of %d requests were refused: %q", len(after.Refused), after.Asked, after.Refused[0])
	}
	t.Logf("%d rotations in %.0f s, %d ticks to ten programs (%.0f a second each), %.1f requests a second, %d refused: 0 lost, 0 repeated, 0 closed",
		*rotations, took.Seconds(), after.Ticks-before.Ticks, float64(after.Ticks-before.Ticks)/took.Seconds()/10, float64(after.Asked-before.Asked)/took.Seconds(), len(after.Refused))

	// The morning: Kite ends the token, sockets live on, requests wait for the login.
	if code, body := s.sim(http.MethodPost, "/token", `{"action":"expire"}`); code/100 != 2 {
		t.Fatalf("%d %s", code, body)
	}
	actorstest.Until(t, "requests are answered with the login's address", func() bool {
		for _, refused := range look().Refused {
			if strings.Contains(refused, "waits for today's login") {
				return true
			}
		}
		return false
	})
	morning := untroubled("after Kite ended the token")
	s.login()
	actorstest.Until(t, "requests are answered again", func() bool {
		was := len(look().Refused)
		asked := look().Asked
		actorstest.Until(t, "more requests", func() bool { return look().Asked >= asked+10 })
		return len(look().Refused) == was
	})
	end := untroubled("after the login")
	if end.Ticks <= morning.Ticks {
		t.Error("no tick after the login")
	}
}

// login is a person's on the exchange's page, without a browser.
func (s *server) login() {
	s.t.Helper()
	code, body := s.post("/api/v1/login/start", "")
	var started api.LoginStarted
	if err := json.Unmarshal(body, &started); code/100 != 2 || err != nil {
		s.t.Fatalf("login: %d %s, %v", code, body, err)
	}
	page, err := url.Parse(started.LoginURL)
	if err != nil {
		s.t.Fatal(err)
	}
	form := url.Values{"api_key": {tree.SimAPIKey}, "redirect_params": {page.Query().Get("redirect_params")}, "answer": {"approve"}}
	resp, err := s.client.PostForm("http://"+s.SimAddr()+"/connect/login", form)
	if err != nil {
		s.t.Fatal(err)
	}
	resp.Body.Close()
	back, err := resp.Location()
	if err != nil {
		s.t.Fatalf("%s: %v", resp.Status, err)
	}
	s.call(http.MethodGet, "http://"+s.Addr()+back.RequestURI(), "")
}

// chains are the instrument tokens of every option chain.
func (s *server) chains() (tokens []uint32) {
	s.t.Helper()
	var all []messages.Underlying
	_, body := s.call(http.MethodGet, "http://"+s.Addr()+"/api/v1/instruments", "")
	if err := json.Unmarshal(body, &all); err != nil {
		s.t.Fatal(err)
	}
	for _, u := range all {
		for _, in := range u.Chain {
			tokens = append(tokens, in.Token)
		}
	}
	return tokens
}
