package instruments

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
	"kitestring/actors/actorstest"
	"kitestring/actors/kite"
	"kitestring/messages"
)

// world is everything round the actor: a clock that the test moves, the
// feed's last ticks, the token source and its uses, and Kite.
type world struct {
	t     *testing.T
	state *Store
	specs []UnderlyingSpec

	configured []messages.Want

	mu       sync.Mutex
	now      time.Time
	spots    map[uint32]float64
	adopted  messages.Session
	used     []messages.Generation
	requests []string // what each carried as its authorisation
	answer   func(*http.Request) (*http.Response, error)
}

var (
	feedPID = actor.NewPID(actor.LocalLookupAddr, "feed/main")
	authPID = actor.NewPID(actor.LocalLookupAddr, "auth/main")
	webPID  = actor.NewPID(actor.LocalLookupAddr, "web/main")
)

func newWorld(t *testing.T, now string) *world {
	w := &world{t: t, state: NewStore(), now: at(t, now), spots: map[uint32]float64{}}
	w.answer = file(march().String())
	return w
}

func (w *world) start() *actorstest.Harness {
	return actorstest.Start(w.t, "instruments", New(Config{
		Exchange: kite.Exchange{APIURL: "http://kite.invalid", Transport: w, Budget: kite.NewBudget()},
		Tokens:   w, Clock: w, Ticks: w, State: w.state, Underlyings: w.specs, Configured: w.configured,
		Feed: feedPID, Auth: authPID, Listeners: []*actor.PID{webPID},
	}))
}

func session(g messages.Generation) messages.Session {
	return messages.Session{Generation: g, APIKey: "key", Token: messages.NewAccessToken("token-" + string(rune('0'+g)))}
}

func adopt(h *actorstest.Harness, g messages.Generation) {
	h.Tell(messages.TokenAdopted{Session: session(g)})
}

func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *world) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) LastTick(instrumentToken uint32) (messages.Tick, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	spot, ok := w.spots[instrumentToken]
	return messages.Tick{InstrumentToken: instrumentToken, LastPrice: int32(spot * 100)}, ok
}

func (w *world) Current() actors.TokenView {
	w.mu.Lock()
	defer w.mu.Unlock()
	return actors.TokenView{Adopted: w.adopted}
}

func (w *world) Used(holder string, g messages.Generation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if holder != "instruments" {
		w.t.Errorf("used by %q", holder)
	}
	w.used = append(w.used, g)
}

func (w *world) RoundTrip(req *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.requests = append(w.requests, req.Header.Get("Authorization"))
	answer := w.answer
	w.mu.Unlock()
	if req.URL.Path != "/instruments" {
		w.t.Errorf("asked for %s", req.URL.Path)
	}
	return answer(req)
}

func (w *world) lastUsed() messages.Generation {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.used) == 0 {
		return 0
	}
	return w.used[len(w.used)-1]
}

func (w *world) asked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.requests)
}

func file(text string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/csv"}, "Content-Encoding": {"gzip"}},
			Body: io.NopCloser(bytes.NewReader(zipped(text))),
		}, nil
	}
}

func status(code int, body string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

// settle lets a little time pass: enough for two looks at the clock.
func settle() {
	time.Sleep(2*poll + poll/2) // the bubble's time, not ours
	synctest.Wait()
}

// last is the newest message of a type, the zero value when there is none.
func last[M any](h *actorstest.Harness) (m M) {
	for _, s := range h.Sent() {
		if got, ok := s.Msg.(M); ok {
			m = got
		}
	}
	return m
}

func count[M any](h *actorstest.Harness) (n int) {
	for _, s := range h.Sent() {
		if _, ok := s.Msg.(M); ok {
			n++
		}
	}
	return n
}

func wanted(h *actorstest.Harness) map[string]bool {
	symbols := map[string]bool{}
	for _, w := range last[messages.WantInstruments](h).Wants {
		symbols[w.Tradingsymbol] = true
	}
	return symbols
}

func (w *world) price(nifty, bank, sensex float64) {
	w.set(func() { w.spots = map[uint32]float64{256265: nifty, 260105: bank, 265: sensex} })
}
