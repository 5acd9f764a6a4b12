package alerts

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"kitestring/actors/actorstest"
	"kitestring/actors/channels"
	"kitestring/messages"
)

func TestMain(m *testing.M) { actorstest.Main(m) }

// market is all that the actor sees.
type market struct {
	mu    sync.Mutex
	now   time.Time
	price int32
	keys  map[string]string
}

func (m *market) Now() time.Time { m.mu.Lock(); defer m.mu.Unlock(); return m.now }

func (m *market) Phase() (messages.PhaseChanged, bool) {
	return messages.PhaseChanged{Phase: messages.Open}, true
}

func (m *market) Resolved() (messages.InstrumentsResolved, bool) {
	return messages.InstrumentsResolved{Underlyings: []messages.Underlying{{Name: "NIFTY", Index: messages.Instrument{Token: 256265}}}}, true
}

func (m *market) LastTick(uint32) (messages.Tick, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return messages.Tick{InstrumentToken: 256265, LastPrice: m.price, ExchangeTime: uint32(m.now.Unix())}, true
}

func (m *market) Secret(key string) messages.Secret { return messages.NewSecret(m.keys[key]) }

func (m *market) set(now time.Time, price int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now, m.price = now, price
}

// TestAHangingWebhookDelaysNobody: the other channel has its message, the page
// learns it, and the actor stops at once.
func TestAHangingWebhookDelaysNobody(t *testing.T) {
	hang, received := make(chan struct{}), make(chan string, 10)
	var gaveUp atomic.Int32 // requests that were ended because no answer came
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		select {
		case <-hang:
		case <-r.Context().Done():
			gaveUp.Add(1)
		}
	}))
	ntfy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, "{}")
		received <- r.Header.Get("Title") + "|" + string(body)
	}))
	t.Cleanup(hook.Close)
	t.Cleanup(ntfy.Close)
	t.Cleanup(func() { close(hang) })
	m := &market{now: at(10, 0, 0), price: 2_499_000, keys: map[string]string{channels.KeyWebhookURL: hook.URL, channels.KeyNtfyURL: ntfy.URL + "/topic", channels.KeyDashboardURL: "https://kite.example"}}
	registry := prometheus.NewRegistry()
	store := NewStore(registry)
	web := actor.NewPID("local", "web")
	h := actorstest.Start(t, "alerts", New(Config{
		Rules: []Rule{{Name: "pain", Kind: "pcr", Crosses: "max_pain", Cooldown: time.Minute}},
		Keys:  m, Dashboard: "http://127.0.0.1:8420/", Clock: m, Market: m, Instruments: m, Ticks: m, Store: store, Web: web,
	}))
	h.Tell(with(ratio(1, 25000.), func(r *messages.Reading) { r.AsOf = at(10, 0, 0) }))
	actorstest.Until(t, "the condition has been looked at", func() bool { return len(store.Watches("pain")) == 1 && store.Watches("pain")[0].Reason == "" })
	m.set(at(10, 0, 1), 2_500_100)
	if got, want := <-received, "NIFTY: the price crosses pcr's max pain|10:00:01 IST, NIFTY: the price, 25001, is now above max pain, 25000 (alert pain)"; got != want {
		t.Errorf("ntfy got %q, want %q", got, want)
	}
	actorstest.Until(t, "the message over ntfy ended", func() bool { return len(store.Deliveries()) == 1 && store.Deliveries()[0].Arrived })
	if store.Waiting() != 1 || gaveUp.Load() != 0 {
		t.Errorf("%d messages wait, want the webhook's, which was given up %d times", store.Waiting(), gaveUp.Load())
	}
	m.set(at(10, 5, 0), 2_499_900)
	if got := <-received; got == "" {
		t.Error("no second message over ntfy")
	}
	h.Tell(messages.TestAlert{Name: "pain", ID: store.NextTest()})
	if got := <-received; got != "kitestring: a test|This is a test of the alert pain, which waits for: the price crosses pcr's max pain." {
		t.Errorf("the test said %q", got)
	}
	var states []messages.AlertState
	for _, s := range h.Sent() {
		states = append(states, s.Msg.(messages.AlertChanged).State)
	}
	if len(states) != 3 || states[0] != messages.AlertFired || states[2] != messages.AlertTested {
		t.Errorf("the web actor got %v", states)
	}
	if n := testutil.ToFloat64(store.changes[messages.AlertFired]); n != 2 {
		t.Errorf("counted %v alerts, want 2", n)
	}
	stopped := time.Now()
	h.Stop()
	if took := time.Since(stopped); took > 8*time.Second { // an attempt may take ten
		t.Errorf("the actor waits %v for a channel that hangs", took)
	}
	if err := h.Err(); err != nil {
		t.Errorf("the actor failed: %v", err)
	}
}

// TestAWebhookGetsFields reads what a program gets.
func TestAWebhookGetsFields(t *testing.T) {
	posted := make(chan map[string]any, 1)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var got map[string]any
		_ = json.NewDecoder(r.Body).Decode(&got)
		got["signed"] = r.Header.Get(channels.SignatureHeader) != ""
		posted <- got
	}))
	t.Cleanup(hook.Close)
	m := &market{now: at(10, 0, 0), price: 2_499_000, keys: map[string]string{channels.KeyWebhookURL: hook.URL, channels.KeyWebhookSecret: "a secret"}}
	store := NewStore(prometheus.NewRegistry())
	h := actorstest.Start(t, "alerts", New(Config{
		Rules: []Rule{{Name: "high", Kind: "pcr", Value: "pcr", Above: ptr(1.3)}},
		Keys:  m, Dashboard: "http://127.0.0.1:8420/", Clock: m, Market: m, Instruments: m, Ticks: m, Store: store, Web: actor.NewPID("local", "web"),
	}))
	h.Tell(with(ratio(1, nil), func(r *messages.Reading) { r.AsOf = at(10, 0, 0) }))
	actorstest.Until(t, "the condition has been looked at", func() bool { return len(store.Watches("high")) == 1 })
	h.Tell(with(ratio(1.4, nil), func(r *messages.Reading) { r.AsOf = at(10, 0, 0) }))
	got := <-posted
	for field, want := range map[string]any{
		"event": "alert", "alert": "high", "state": "fired", "underlying": "NIFTY", "kind": "pcr", "signal": "neutral", "confidence": 50., "coverage": 1.,
		"price": 24990., "level": 1.3, "at": "2026-11-23T04:30:00Z", "as_of": "2026-11-23T04:30:00Z", "signed": true,
		"text": "10:00:00 IST, NIFTY: pcr is 1.4, above 1.3 (alert high)", "content": "10:00:00 IST, NIFTY: pcr is 1.4, above 1.3 (alert high)",
	} {
		if got[field] != want {
			t.Errorf("%s: %v, want %v", field, got[field], want)
		}
	}
}
