package simulator_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
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

func TestUpgradeRefused(t *testing.T) {
	e := open(t, false, nil)
	token := e.token()
	upgrade := http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}
	for _, c := range []struct {
		name, query string
		status      int
		body        string
	}{
		{"no credentials", "", 400, ""},
		{"no token", "?api_key=simkey", 400, ""},
		{"no key", "?access_token=" + token, 400, ""},
		{"wrong key", "?api_key=other&access_token=" + token, 403, "Authentication failed"},
		{"wrong token", "?api_key=simkey&access_token=" + strings.Repeat("a", 32), 403, "Authentication failed"},
		{"a longer token", "?api_key=simkey&access_token=" + token + "x", 403, "Authentication failed"},
		{"a token with characters of URLs", "?api_key=simkey&access_token=a%2Bb%2Fc%3D", 403, "Authentication failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			response, body := e.do(http.MethodGet, "/"+c.query, "", upgrade)
			if response.StatusCode != c.status || !strings.Contains(body, c.body) {
				t.Errorf("%d %q, want %d %q", response.StatusCode, body, c.status, c.body)
			}
		})
	}
	refused := e.State().Upgrades.Refused
	if refused["bad_request"] != 3 || refused["forbidden"] != 4 {
		t.Errorf("refused: %v", refused)
	}
	// Unknown parameters are tolerated, and a plain GET is no upgrade.
	if response, _ := e.get("/"); response.StatusCode != 404 {
		t.Errorf("a plain GET: %d", response.StatusCode)
	}
}

func TestFourthSocket(t *testing.T) {
	t.Parallel()
	e := open(t, false, nil)
	token := e.token()
	var held []*socket
	for range 3 {
		held = append(held, e.mustDialWith(token))
	}
	if s, status := e.dial(token); s != nil || status != http.StatusTooManyRequests {
		t.Fatalf("the fourth: %d", status)
	}
	actorstest.Until(t, "three sockets", func() bool { return len(e.State().Sockets) == 3 })
	held[0].conn.Close()
	actorstest.Until(t, "the slot is free", func() bool { return len(e.State().Sockets) == 2 })
	if s, status := e.dial(token); s == nil {
		t.Fatalf("after one closed: %d", status)
	}
}

// Texts come on open unless they are switched off.
func TestOpenTexts(t *testing.T) {
	e := open(t, false, func(c *simulator.Config) { c.QuietOpen = false })
	s := e.mustDial()
	for _, want := range []wire.TextType{wire.TextInstrumentsMeta, wire.TextAppCode} {
		kind, data := s.read()
		text, err := wire.ParseText(data)
		if kind != websocket.TextMessage || err != nil || text.Type != want {
			t.Fatalf("got %d %s, %v, want a text %s", kind, data, err, want)
		}
		if want == wire.TextAppCode && (text.Data != nil || !strings.HasSuffix(text.Timestamp, "+05:30")) {
			t.Errorf("app_code: %s", data)
		}
	}
}

func TestHeartbeatAndPing(t *testing.T) {
	t.Parallel()
	e := open(t, false, nil)
	s := e.mustDial()
	pong := make(chan string, 1)
	s.conn.SetPongHandler(func(data string) error { pong <- data; return nil })
	if err := s.conn.WriteControl(websocket.PingMessage, []byte("x"), time.Now().Add(10*time.Second)); err != nil {
		t.Fatal(err)
	}
	for beats := 0; beats < 2 || len(pong) == 0; beats++ {
		if kind, data := s.read(); kind != websocket.BinaryMessage || !bytes.Equal(data, []byte{0}) || beats > 20 {
			t.Fatalf("got %d %x, want a heartbeat, and a pong at last", kind, data)
		}
	}
	if got := <-pong; got != "x" {
		t.Errorf("pong %q", got)
	}
}

// One cached tick a subscription and a mode, in the mode that Kite would use.
func TestModes(t *testing.T) {
	t.Parallel()
	e := open(t, false, nil)
	s := e.mustDial()
	expect := func(what string, want ...messages.Mode) {
		t.Helper()
		var got []messages.Mode
		for len(got) < len(want) { // on a busy machine a subscription is answered in parts
			for _, k := range s.ticks() {
				got = append(got, k.Mode)
				if int64(k.ExchangeTime) > start.Unix()+60 {
					t.Errorf("%s: a cached tick from the future", what)
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%s: got %v, want %v", what, got, want)
		}
	}
	s.command(wire.Command{Action: wire.ActionSubscribe, InstrumentTokens: []uint32{408065, 256265}})
	expect("subscribe", messages.ModeQuote, messages.ModeQuote)
	s.mode(messages.ModeFull, 408065)
	expect("mode", messages.ModeFull)
	s.command(wire.Command{Action: wire.ActionSubscribe, InstrumentTokens: []uint32{408065}})
	expect("subscribed again", messages.ModeFull)
	s.mode(messages.ModeLTP, 779521)
	expect("a mode alone subscribes", messages.ModeLTP)
	// Unknown instruments, nonsense and unsubscribing what is not there: silence.
	s.command(wire.Command{Action: wire.ActionSubscribe, InstrumentTokens: []uint32{1}})
	for _, nonsense := range []string{"", "{", `{"a":"dance"}`, `{"a":"mode","v":["ltpc",[408065]]}`} {
		if err := s.conn.WriteMessage(websocket.TextMessage, []byte(nonsense)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.conn.WriteMessage(websocket.BinaryMessage, []byte{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	s.command(wire.Command{Action: wire.ActionUnsubscribe, InstrumentTokens: []uint32{5, 779521}})
	s.mode(messages.ModeLTP, 256265)
	expect("after nonsense", messages.ModeLTP)
	st := e.State()
	if st.Requests.BadCommands != 4 || st.Subscriptions["779521"] != 0 || st.Subscriptions["408065"] != 1 || st.Sockets[0].Instruments != 3 {
		t.Errorf("state: %+v", st)
	}
}

func TestInstrumentLimit(t *testing.T) {
	t.Parallel()
	e := open(t, false, func(c *simulator.Config) { c.Instruments = 3100 })
	s := e.mustDial()
	var tokens []uint32
	for _, in := range e.Instruments() {
		if strings.HasPrefix(in.Tradingsymbol, "SIM") {
			tokens = append(tokens, in.Token)
		}
	}
	s.mode(messages.ModeLTP, tokens...)
	for n := 0; n != 3000; {
		if n += len(s.ticks()); n > 3000 {
			t.Fatalf("%d cached ticks", n)
		}
	}
	actorstest.Until(t, "the rest is refused", func() bool { return e.State().Requests.RefusedSubscriptions == 100 })
	if st := e.State(); st.Sockets[0].Instruments != 3000 || st.Requests.RefusedSubscriptions != 100 {
		t.Errorf("%d instruments, %d refused", st.Sockets[0].Instruments, st.Requests.RefusedSubscriptions)
	}
}

// Two sockets see the same packets in the same order, and the sequence counts
// every tick of an instrument.
func TestSameBytesAndSequence(t *testing.T) {
	t.Parallel()
	e := open(t, true, func(c *simulator.Config) { c.Rate = 2000 })
	tokens := []uint32{408065, 779521, 738561}
	const wanted = 600
	collect := func(s *socket) map[uint32][]string {
		got := map[uint32][]string{}
		for n := 0; n < wanted; {
			kind, data := s.read()
			if kind != websocket.BinaryMessage || wire.Heartbeat(data) {
				continue
			}
			var d wire.Decoder
			ticks, err := d.Decode(data, nil)
			if err != nil {
				t.Error(err)
				return got
			}
			for i := range ticks {
				got[ticks[i].InstrumentToken] = append(got[ticks[i].InstrumentToken], string(wire.PacketOf(data, &ticks[i])))
				n++
			}
		}
		return got
	}
	token := e.token()
	var results [2]map[uint32][]string
	var wg sync.WaitGroup
	for i := range results {
		s := e.mustDialWith(token)
		s.mode(messages.ModeFull, tokens...)
		wg.Go(func() { results[i] = collect(s) })
	}
	wg.Wait()
	sequence := func(packet string) uint32 {
		var d wire.Decoder
		ticks, err := d.Decode(wire.AppendFrame(nil, []byte(packet)), nil)
		if err != nil || len(ticks) != 1 {
			t.Fatal(err)
		}
		return ticks[0].LastQuantity
	}
	for _, token := range tokens {
		bySequence := map[uint32]string{}
		for _, packets := range []([]string){results[0][token], results[1][token]} {
			for i, p := range packets {
				seq := sequence(p)
				if i > 1 && seq != sequence(packets[i-1])+1 {
					t.Fatalf("%d: %d follows %d", token, seq, sequence(packets[i-1]))
				}
				if old, ok := bySequence[seq]; ok && old != p && seq > 0 {
					t.Fatalf("%d: two packets with the number %d", token, seq)
				}
				bySequence[seq] = p
			}
		}
	}
	if st := e.State(); !st.Sequence || st.Sequences["408065"] == 0 || st.Sent.ByInstrument["408065"] == 0 || len(st.Sent.ByToken) != 1 {
		t.Errorf("state: %+v", st.Sent)
	}
}

// A socket outlives its token, unless the exchange cuts it.
func TestOldSockets(t *testing.T) {
	for _, policy := range []simulator.OldSockets{simulator.OldSocketsLive, simulator.OldSocketsCut} {
		t.Run(string(policy), func(t *testing.T) {
			e := open(t, true, func(c *simulator.Config) { c.OldSockets = policy })
			old := e.token()
			s := e.mustDialWith(old)
			s.mode(messages.ModeFull, 408065)
			s.ticks()
			rotated := e.post("/sim/v1/token", `{"action":"rotate"}`)["access_token"].(string)
			if next, status := e.dial(old); next != nil || status != 403 {
				t.Errorf("the old token opens a socket: %d", status)
			}
			if next, status := e.dial(rotated); next == nil {
				t.Errorf("the new token: %d", status)
			}
			if policy == simulator.OldSocketsLive {
				for range 5 {
					s.ticks()
				}
				return
			}
			_ = s.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			for {
				if _, _, err := s.conn.ReadMessage(); err != nil {
					if !websocket.IsCloseError(err, websocket.CloseAbnormalClosure) && !strings.Contains(err.Error(), "EOF") && !strings.Contains(err.Error(), "reset") {
						t.Errorf("cut with %v", err)
					}
					return
				}
			}
		})
	}
}

// A reader that does not read is disconnected, and the others notice nothing.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	e := open(t, true, func(c *simulator.Config) { c.Instruments, c.Rate = 1000, 20_000 })
	token := e.token()
	slow := e.mustDialWith(token)
	quick := e.mustDialWith(token)
	var tokens []uint32
	for _, in := range e.Instruments() {
		if strings.HasPrefix(in.Tradingsymbol, "SIM") {
			tokens = append(tokens, in.Token)
		}
	}
	quick.mode(messages.ModeLTP, tokens[0])
	slow.mode(messages.ModeFull, tokens...)
	actorstest.Until(t, "the slow one is cut", func() bool {
		for range 20 {
			quick.ticks()
		}
		st := e.State()
		return st.Sent.SlowSockets > 0 && len(st.Sockets) == 1
	})
	quick.ticks()
}

func TestStateIsJSON(t *testing.T) {
	e := open(t, false, nil)
	s := e.mustDial()
	s.mode(messages.ModeFull, 408065)
	s.ticks()
	_, text := e.get("/sim/v1/state")
	var st simulator.State
	if err := json.Unmarshal([]byte(text), &st); err != nil {
		t.Fatal(err)
	}
	if len(st.Sockets) != 1 || len(st.Sockets[0].Fingerprint) != 8 || st.Sockets[0].OpenedAt.IsZero() || !st.Market.Open || st.Clock.Now.Before(start) || st.Clock.Speed != 1 {
		t.Errorf("state: %s", text)
	}
}
