package simulator_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
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

func (e *exchange) inject(f simulator.Fault) {
	e.t.Helper()
	if err := e.InjectFault(f); err != nil {
		e.t.Fatal(err)
	}
}

func TestFaultsAtTheUpgrade(t *testing.T) {
	t.Parallel()
	e := open(t, false, nil)
	token := e.token()
	for _, c := range []struct {
		fault  simulator.Fault
		status int
	}{
		{simulator.Fault{Kind: simulator.FaultForbidden}, 403},
		{simulator.Fault{Kind: simulator.FaultTooMany}, 429},
		{simulator.Fault{Kind: simulator.FaultServerError}, 503},
		{simulator.Fault{Kind: simulator.FaultServerError, Status: 502}, 502},
		{simulator.Fault{Kind: simulator.FaultGhosts}, 429},
		{simulator.Fault{Kind: simulator.FaultGhosts, Sockets: 3}, 429},
		{simulator.Fault{Kind: simulator.FaultGhosts, Sockets: 2}, 101},
		{simulator.Fault{Kind: simulator.FaultSlowUpgrade, LatencyMS: 50}, 101},
	} {
		e.inject(c.fault)
		began := time.Now()
		s, status := e.dial(token)
		if status != c.status {
			t.Errorf("%s: %d, want %d", c.fault.Kind, status, c.status)
		}
		if time.Since(began) < time.Duration(c.fault.LatencyMS)*time.Millisecond {
			t.Errorf("%s: not slow", c.fault.Kind)
		}
		if s != nil {
			s.conn.Close()
		}
		// REST is fine meanwhile.
		if response, _ := e.do("GET", "/instruments/NONE", "", nil); response.StatusCode != 200 {
			t.Errorf("%s: REST says %d", c.fault.Kind, response.StatusCode)
		}
		e.ClearFaults()
		actorstest.Until(t, "all slots are free", func() bool { return len(e.State().Sockets) == 0 })
	}
	e.inject(simulator.Fault{Kind: simulator.FaultForbidden, Count: 2})
	for _, want := range []int{403, 403, 101} {
		if _, status := e.dial(token); status != want {
			t.Errorf("count 2: %d, want %d", status, want)
		}
	}
	e.inject(simulator.Fault{Kind: simulator.FaultForbidden, ForMS: 30})
	actorstest.Until(t, "the fault is over", func() bool { return len(e.State().Faults) == 0 })
	if _, status := e.dial(token); status != 101 {
		t.Errorf("after its time: %d", status)
	}
	if most := e.State().Upgrades.Most; most != 2 {
		t.Errorf("%d sockets were open at once at most, want 2", most)
	}
	if refused := e.State().Upgrades.Refused; refused["fault_forbidden"] != 3 || refused["too_many"] != 2 || refused["fault_too_many"] != 1 || refused["fault_server_error"] != 2 {
		t.Errorf("refused: %v", refused)
	}
}

func TestMute(t *testing.T) {
	t.Parallel()
	e := open(t, true, nil)
	began := time.Now()
	s := e.mustDial()
	s.mode(messages.ModeFull, 408065, 256265)
	s.ticks()
	e.inject(simulator.Fault{Kind: simulator.FaultMute})
	most := 10 + 10*int(time.Since(began)/time.Second) // that were on their way
	_ = s.conn.SetReadDeadline(time.Now().Add(2500 * time.Millisecond))
	pongs := 0
	s.conn.SetPongHandler(func(string) error { pongs++; return nil })
	_ = s.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
	late := 0
	for {
		_, _, err := s.conn.ReadMessage()
		if err != nil {
			if !strings.Contains(err.Error(), "timeout") {
				t.Errorf("not mute but %v", err)
			}
			break
		}
		late++
	}
	if late > most || pongs > 0 {
		t.Errorf("%d messages and %d pongs of a mute socket", late, pongs)
	}
	e.ClearFaults(simulator.FaultMute)
	again := e.mustDial()
	again.mode(messages.ModeFull, 408065)
	again.ticks()
}

func TestHeartbeatOnly(t *testing.T) {
	t.Parallel()
	e := open(t, true, nil)
	s := e.mustDial()
	s.mode(messages.ModeFull, 408065)
	s.ticks()
	e.inject(simulator.Fault{Kind: simulator.FaultHeartbeatOnly})
	made := e.Sequence(408065) // up to here they may be on their way
	actorstest.Until(t, "the market goes on", func() bool { return e.Sequence(408065) > made+1 })
	for beats := 0; beats < 2; {
		_, data := s.read()
		if wire.Heartbeat(data) {
			beats++
			continue
		}
		beats = 0 // of before the fault
		var d wire.Decoder
		ticks, err := d.Decode(data, nil)
		if err != nil || len(ticks) != 1 || ticks[0].LastQuantity > made {
			t.Fatalf("with heartbeats only came %+v, %v", ticks, err)
		}
	}
	e.ClearFaults()
	s.ticks()
}

func TestNoFirstTick(t *testing.T) {
	t.Parallel()
	e := open(t, true, nil)
	token := e.token()
	old := e.mustDialWith(token)
	old.mode(messages.ModeFull, 408065)
	old.ticks()
	e.inject(simulator.Fault{Kind: simulator.FaultNoFirstTick})
	s := e.mustDialWith(token)
	s.mode(messages.ModeFull, 408065)
	for range 2 {
		if _, data := s.read(); !wire.Heartbeat(data) {
			t.Fatalf("got %x", data)
		}
	}
	old.ticks()
}

func TestDrop(t *testing.T) {
	t.Parallel()
	e := open(t, true, nil)
	for variant, want := range map[string]func(error) bool{
		"": func(err error) bool { return websocket.IsCloseError(err, websocket.CloseAbnormalClosure) },
		"reset": func(err error) bool {
			return strings.Contains(err.Error(), "reset") || websocket.IsCloseError(err, websocket.CloseAbnormalClosure)
		},
		"mid_frame":   func(err error) bool { return !websocket.IsCloseError(err, websocket.CloseGoingAway) },
		"close_frame": func(err error) bool { return websocket.IsCloseError(err, websocket.CloseGoingAway) },
	} {
		s := e.mustDial()
		s.mode(messages.ModeFull, 408065)
		s.ticks()
		e.inject(simulator.Fault{Kind: simulator.FaultDrop, Variant: variant})
		_ = s.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		var err error
		for err == nil {
			_, _, err = s.conn.ReadMessage()
		}
		if !want(err) {
			t.Errorf("drop %q: %v", variant, err)
		}
		s.conn.Close()
		actorstest.Until(t, "the socket is gone", func() bool { return len(e.State().Sockets) == 0 })
	}
	// Again and again.
	e.inject(simulator.Fault{Kind: simulator.FaultDrop, EveryMS: 20, Count: 3})
	actorstest.Until(t, "three times", func() bool { return len(e.State().Faults) == 0 })
}

// Every malformed frame arrives, and our decoder takes none for a tick but the
// one of an unknown segment, which is well-formed.
func TestMalformed(t *testing.T) {
	t.Parallel()
	e := open(t, false, nil)
	s := e.mustDial()
	s.conn.SetReadLimit(8 << 20)
	s.mode(messages.ModeFull, 408065)
	s.ticks()
	if len(simulator.MalformedVariants()) < 15 {
		t.Errorf("variants: %v", simulator.MalformedVariants())
	}
	next := func() (int, []byte) {
		for {
			kind, data := s.read()
			if kind != websocket.BinaryMessage || len(data) != 1 || data[0] != 0 {
				return kind, data
			}
		}
	}
	for _, variant := range simulator.MalformedVariants() {
		e.inject(simulator.Fault{Kind: simulator.FaultMalformed, Variant: variant})
		kind, data := next()
		if strings.HasPrefix(variant, "text_") != (kind == websocket.TextMessage) {
			t.Errorf("%s: a message of kind %d", variant, kind)
			continue
		}
		var d wire.Decoder
		ticks, err := d.Decode(data, nil)
		switch {
		case kind == websocket.TextMessage:
		case variant == "unknown_segment":
			if len(ticks) != 1 || d.UnknownSegment != 1 {
				t.Errorf("%s: %d ticks, %+v", variant, len(ticks), d.Stats)
			}
		case variant == "unknown_length":
			if len(ticks) != 1 || d.UnknownLength != 1 {
				t.Errorf("%s: %d ticks, %+v", variant, len(ticks), d.Stats)
			}
		case len(ticks) != 0:
			t.Errorf("%s: %d ticks, %v", variant, len(ticks), err)
		}
		if variant == "huge" && len(data) < 3<<20-200 {
			t.Errorf("huge: %d bytes", len(data))
		}
	}
	for _, f := range []simulator.Fault{
		{Kind: simulator.FaultMalformed, Hex: "00017fff00"},
		{Kind: simulator.FaultMalformed, Base64: "AAF//wA="},
	} {
		e.inject(f)
		if _, data := next(); string(data) != "\x00\x01\x7f\xff\x00" {
			t.Errorf("raw: %x", data)
		}
	}
	e.inject(simulator.Fault{Kind: simulator.FaultMalformed, Text: `{"type":"message","data":"hello"}`, Count: 2})
	for range 2 {
		if kind, data := next(); kind != websocket.TextMessage || !strings.Contains(string(data), "hello") {
			t.Errorf("text: %s", data)
		}
	}
}

func TestDuplicateSnapshot(t *testing.T) {
	t.Parallel()
	e := open(t, false, nil)
	s := e.mustDial()
	s.mode(messages.ModeFull, 408065, 256265)
	first := s.several(2)
	e.inject(simulator.Fault{Kind: simulator.FaultDuplicateSnapshot})
	second := s.several(2)
	if len(first) != 2 || len(second) != 2 {
		t.Fatalf("%d and %d ticks", len(first), len(second))
	}
	for _, a := range first {
		for _, b := range second {
			if a.InstrumentToken == b.InstrumentToken {
				a.Offset, b.Offset = 0, 0
				if a != b {
					t.Errorf("%+v came again as %+v", a, b)
				}
			}
		}
	}
}

func TestOrderUpdates(t *testing.T) {
	t.Parallel()
	e := open(t, false, nil)
	client := e.kite(e.token())
	e.inject(simulator.Fault{Kind: simulator.FaultOrderUpdate}) // without a socket
	s := e.mustDial()
	client.SetAccessToken(e.token())
	e.inject(simulator.Fault{Kind: simulator.FaultOrderUpdate, Order: map[string]any{"order_id": "77", "status": "OPEN"}})
	e.inject(simulator.Fault{Kind: simulator.FaultOrderUpdate, Order: map[string]any{"order_id": "77", "status": "COMPLETE"}})
	for _, want := range []string{"OPEN", "COMPLETE"} {
		kind, data := s.read()
		for kind == websocket.BinaryMessage {
			kind, data = s.read()
		}
		text, err := wire.ParseText(data)
		if err != nil {
			t.Fatal(err)
		}
		if id, status := text.Order(); id != "77" || status != want {
			t.Errorf("order %s %s, want %s", id, status, want)
		}
	}
	orders, err := client.GetOrders()
	if err != nil || len(orders) != 2 || orders[1].OrderID != "77" || orders[1].Status != "COMPLETE" || orders[0].OrderTimestamp.IsZero() {
		t.Errorf("orders: %+v, %v", orders, err)
	}
	if history, err := client.GetOrderHistory("77"); err != nil || len(history) != 1 {
		t.Errorf("order history: %+v, %v", history, err)
	}
}

func TestListingFaults(t *testing.T) {
	t.Parallel()
	e := open(t, false, nil)
	find := func(symbol string) (found messages.Instrument) {
		for _, in := range e.Instruments() {
			if in.Tradingsymbol == symbol {
				found = in
			}
		}
		return found
	}
	was := find("NIFTY26JUNFUT")
	before, _ := e.get("/instruments/NFO")
	e.inject(simulator.Fault{Kind: simulator.FaultRecycled, Tradingsymbol: "OTHER26JUNFUT"})
	if now, other := find("NIFTY26JUNFUT"), find("OTHER26JUNFUT"); now.Token == was.Token || other.Token != was.Token {
		t.Errorf("recycled: %d is %+v and %+v", was.Token, now, other)
	}
	after, text := e.get("/instruments/NFO")
	if after.Header.Get("ETag") == before.Header.Get("ETag") || !strings.Contains(text, "OTHER26JUNFUT") {
		t.Error("the file did not change")
	}
	s := e.mustDial()
	s.mode(messages.ModeFull, was.Token)
	if k := s.ticks()[0]; k.Price(k.LastPrice) > 5000 {
		t.Errorf("under the recycled instrument token the future still trades at %v", k.Price(k.LastPrice))
	}
	e.ClearFaults()
	if now := find("NIFTY26JUNFUT"); now.Token != was.Token || find("OTHER26JUNFUT").Token != 0 {
		t.Errorf("cleared: %+v", now)
	}
	e.inject(simulator.Fault{Kind: simulator.FaultMissing, Tradingsymbol: "NIFTY26JUNFUT"})
	if now := find("NIFTY26JUNFUT"); now.Token != 0 {
		t.Errorf("missing: %+v", now)
	}
	e.ClearFaults(simulator.FaultMissing)
	if now := find("NIFTY26JUNFUT"); now.Token != was.Token {
		t.Errorf("cleared: %+v", now)
	}
}

func TestRESTFaults(t *testing.T) {
	t.Parallel()
	e := open(t, false, nil)
	header := authorisation(e.token())
	profile := func() (int, string) {
		response, text := e.do("GET", "/user/profile", "", header)
		return response.StatusCode, text
	}
	for _, c := range []struct {
		fault  simulator.Fault
		status int
		text   string
	}{
		{simulator.Fault{Kind: simulator.FaultRESTTooMany}, 429, "<html>"},
		{simulator.Fault{Kind: simulator.FaultRESTBadGateway}, 502, "<html>"},
		{simulator.Fault{Kind: simulator.FaultRESTError}, 403, "PermissionException"},
		{simulator.Fault{Kind: simulator.FaultRESTError, Status: 500, ErrorType: "GeneralException", Message: "oops"}, 500, "oops"},
		{simulator.Fault{Kind: simulator.FaultRESTSlow, LatencyMS: 30}, 200, "SIM001"},
		{simulator.Fault{Kind: simulator.FaultRESTTooMany, Path: "/quote"}, 200, "SIM001"},
	} {
		e.inject(c.fault)
		if status, text := profile(); status != c.status || !strings.Contains(text, c.text) {
			t.Errorf("%s: %d %s", c.fault.Kind, status, text)
		}
		e.ClearFaults()
	}
	e.inject(simulator.Fault{Kind: simulator.FaultRESTRefuse, Count: 1})
	request, err := http.NewRequest("GET", e.url+"/user/profile", nil)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := browser().Do(request); err == nil {
		response.Body.Close()
		t.Errorf("refused: %d", response.StatusCode)
	}
	e.inject(simulator.Fault{Kind: simulator.FaultRESTTimeout, Count: 1})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var asked sync.WaitGroup
	asked.Go(func() { // the client gives up after the fault was applied
		for len(e.State().Faults) > 0 && ctx.Err() == nil {
			<-time.After(5 * time.Millisecond)
		}
		<-time.After(200 * time.Millisecond) // in which it could answer
		cancel()
	})
	response, err := browser().Do(request.WithContext(ctx))
	cancel()
	asked.Wait()
	if !errors.Is(err, context.Canceled) {
		if err == nil {
			response.Body.Close()
		}
		t.Errorf("timeout: %v", err)
	}
	if status, _ := profile(); status != 200 {
		t.Errorf("afterwards: %d", status)
	}
	if refused := e.State().Requests.Refused["fault"]; refused != 4 {
		t.Errorf("%d refused by faults", refused)
	}
}

func TestFaultRoutes(t *testing.T) {
	t.Parallel()
	e := open(t, false, nil)
	e.post("/sim/v1/faults", `{"kind":"mute","for_ms":60000}`)
	e.post("/sim/v1/faults", `{"kind":"forbidden","count":3}`)
	_, text := e.get("/sim/v1/state")
	var st struct{ Faults []simulator.Fault }
	if err := json.Unmarshal([]byte(text), &st); err != nil || len(st.Faults) != 2 || st.Faults[1].Count != 3 {
		t.Errorf("faults: %+v, %v", st.Faults, err)
	}
	for _, body := range []string{`{"kind":"flood"}`, `{"kind":"mute","count":-1}`, `{"kind":"malformed","variant":"x"}`, `{"kind":"malformed","hex":"0"}`, `{"kind":"drop","variant":"x"}`, `{"kind":"mute","x":1}`, `[]`} {
		if response, text := e.do("POST", "/sim/v1/faults", body, nil); response.StatusCode != 400 || !strings.Contains(text, "message") {
			t.Errorf("%s: %d %s", body, response.StatusCode, text)
		}
	}
	if response, _ := e.do("DELETE", "/sim/v1/faults?"+url.Values{"kind": {"mute"}}.Encode(), "", nil); response.StatusCode != 200 || len(e.State().Faults) != 1 {
		t.Errorf("delete one: %d, %d left", response.StatusCode, len(e.State().Faults))
	}
	if response, _ := e.do("DELETE", "/sim/v1/faults?kind=flood", "", nil); response.StatusCode != 400 {
		t.Errorf("delete an unknown kind: %d", response.StatusCode)
	}
	if response, _ := e.do("DELETE", "/sim/v1/faults", "", nil); response.StatusCode != 200 || len(e.State().Faults) != 0 {
		t.Errorf("delete all: %d", response.StatusCode)
	}
}

func TestClockRoute(t *testing.T) {
	t.Parallel()
	e := open(t, false, nil)
	out := e.post("/sim/v1/clock", `{"now":"2026-06-16T05:59:50+05:30","speed":0,"skip_nights":false}`)
	if out["now"] != "2026-06-16T05:59:50+05:30" || out["speed"] != 0.0 || out["skip_nights"] != false {
		t.Errorf("clock: %v", out)
	}
	e.post("/sim/v1/clock", `{"speed":600}`)
	actorstest.Until(t, "time runs", func() bool { return e.Clock().Now().After(start.AddDate(0, 0, 1).Add(-4*time.Hour + time.Minute)) })
	for _, body := range []string{`{"speed":-1}`, `{"speed":1e9}`, `{"now":"tomorrow"}`, `{"now":"1999-01-01T00:00:00Z"}`} {
		if response, _ := e.do("POST", "/sim/v1/clock", body, nil); response.StatusCode != 400 {
			t.Errorf("%s: %d", body, response.StatusCode)
		}
	}
}
