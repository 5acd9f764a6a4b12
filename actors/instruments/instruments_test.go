package instruments

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthdm/hollywood/actor"
	"go.uber.org/goleak"

	"kitestring/actors"
	"kitestring/actors/actorstest"
	"kitestring/messages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is everything round the actor: a clock that is moved by hand, the
// feed's last ticks, the token's well and book, and Kite.
type world struct {
	t     *testing.T
	state *State
	specs []UnderlyingSpec

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
	w := &world{t: t, state: NewState(), now: at(t, now), spots: map[uint32]float64{}}
	w.answer = file(march().String())
	return w
}

func (w *world) start() *actorstest.House {
	return actorstest.Start(w.t, "instruments", New(Config{
		Exchange: actors.Exchange{APIURL: "http://kite.invalid", Transport: w, Budget: actors.NewBudget()},
		Tokens:   w, Clock: w, Ticks: w, State: w.state, Underlyings: w.specs,
		Feed: feedPID, Auth: authPID, Listeners: []*actor.PID{webPID},
	}))
}

func session(g messages.Generation) messages.Session {
	return messages.Session{Generation: g, APIKey: "key", Token: messages.NewAccessToken("token-" + string(rune('0'+g)))}
}

func adopt(h *actorstest.House, g messages.Generation) {
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
func last[M any](h *actorstest.House) (m M) {
	for _, s := range h.Sent() {
		if got, ok := s.Msg.(M); ok {
			m = got
		}
	}
	return m
}

func count[M any](h *actorstest.House) (n int) {
	for _, s := range h.Sent() {
		if _, ok := s.Msg.(M); ok {
			n++
		}
	}
	return n
}

func wanted(h *actorstest.House) map[string]bool {
	symbols := map[string]bool{}
	for _, w := range last[messages.WantInstruments](h).Wants {
		symbols[w.Tradingsymbol] = true
	}
	return symbols
}

func (w *world) price(nifty, bank, sensex float64) {
	w.set(func() { w.spots = map[uint32]float64{256265: nifty, 260105: bank, 265: sensex} })
}

func TestFromTheFirstTokenToTheChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "2026-03-04 10:00:00")
		h := w.start()
		settle()
		if w.asked() != 0 || len(h.Sent()) != 0 {
			t.Errorf("without a token: %d requests, %v", w.asked(), h.Sent())
		}
		adopt(h, 1)
		settle()
		if w.asked() != 1 || w.requests[0] != "token key:token-1" || w.lastUsed() != 1 {
			t.Errorf("%v, used %v", w.requests, w.used)
		}
		if got := wanted(h); len(got) != 6 || !got["NIFTY 50"] || !got["NIFTY20260330FUT"] || !got["SENSEX20260325FUT"] {
			t.Errorf("wanted at first: %v", got)
		}
		first := last[messages.InstrumentsResolved](h)
		if first.Generation != 1 || !first.At.Equal(w.Now()) || len(first.Underlyings) != 3 ||
			!strings.Contains(first.Underlyings[0].Reason, "waits for its first tick") {
			t.Errorf("resolved at first: %+v", first)
		}
		w.price(25010, 60020, 82010)
		settle()
		told := last[messages.InstrumentsResolved](h)
		for i, middle := range []float64{25000, 60000, 82000} {
			u := told.Underlyings[i]
			if len(u.Chain) != 82 || u.Reason != "" || u.Chain[41].Strike != middle {
				t.Errorf("%s: %d options round %v, %q", u.Name, len(u.Chain), u.Chain[41].Strike, u.Reason)
			}
		}
		if got := wanted(h); len(got) != 6+3*82 {
			t.Errorf("wanted with the chains: %d", len(got))
		}
		if stored, ok := w.state.Resolved(); !ok || len(stored.Underlyings[0].Chain) != 82 {
			t.Errorf("the state holds %+v, %v", stored, ok)
		}
		// Nothing moves, nothing is said.
		n := len(h.Sent())
		time.Sleep(time.Minute)
		if len(h.Sent()) != n {
			t.Errorf("said without a cause: %v", h.Sent()[n:])
		}
		// The spot walks away: the chain follows.
		w.price(25100, 60020, 82010)
		settle()
		if got := wanted(h); got["NIFTY2026031024000CE"] || !got["NIFTY2026031026100PE"] || !got["SENSEX2026030582000CE"] {
			t.Error("the chain did not follow the spot")
		}
		for _, s := range h.Sent() {
			if _, want := s.Msg.(messages.WantInstruments); want != (s.To == feedPID) {
				t.Errorf("%T went to %v", s.Msg, s.To)
			}
		}
		if err := h.Err(); err != nil {
			t.Error(err)
		}
	})
}

// A new token is taken up at once, without another fetch.
func TestAdoptionIsAUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "2026-03-04 10:00:00")
		w.adopted = session(3)
		h := w.start()
		settle()
		adopt(h, 4)
		synctest.Wait()
		if w.lastUsed() != 4 || w.asked() != 1 {
			t.Errorf("used %v, %d requests", w.used, w.asked())
		}
		adopt(h, 2) // late
		adopt(h, 4)
		settle()
		if w.lastUsed() != 4 || len(w.used) != 3 {
			t.Errorf("used %v", w.used)
		}
	})
}

// A fetch that runs with the older token is given up: nothing may use that
// token after the newer one.
func TestAdoptionDuringAFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "2026-03-04 10:00:00")
		w.adopted = session(1)
		good := w.answer
		w.answer = func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		}
		h := w.start()
		settle()
		w.set(func() { w.answer = good })
		adopt(h, 2)
		adopt(h, 3)
		settle()
		if got := strings.Join(w.requests, ","); got != "token key:token-1,token key:token-3" || w.lastUsed() != 3 {
			t.Errorf("requests %v, used %v", got, w.used)
		}
		if told := last[messages.InstrumentsResolved](h); told.Generation != 3 || count[messages.TokenDoubted](h) != 0 {
			t.Errorf("resolved with generation %d", told.Generation)
		}
	})
}

func TestAFetchThatFailsIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "2026-03-04 10:00:00")
		w.adopted = session(1)
		w.answer = status(http.StatusTooManyRequests, "<html>Too many requests</html>")
		h := w.start()
		settle()
		told := last[messages.InstrumentsResolved](h)
		if len(told.Underlyings) != 3 || !strings.Contains(told.Underlyings[2].Reason, "being retried: kite instruments: rate_limited") {
			t.Errorf("after the first failure: %+v", told)
		}
		if count[messages.WantInstruments](h) != 0 {
			t.Error("the feed was told to want nothing")
		}
		time.Sleep(time.Second)
		if n := w.asked(); n != 1 {
			t.Errorf("a throttled fetch was retried at once: %d requests", n)
		}
		w.set(func() { w.answer = status(http.StatusBadGateway, "<html>down</html>") })
		time.Sleep(10 * time.Minute)
		if n := w.asked(); n < 10 || n > 30 {
			t.Errorf("%d requests in ten minutes", n)
		}
		w.set(func() { w.answer = file(march().String()) })
		time.Sleep(time.Minute + time.Second)
		if told := last[messages.InstrumentsResolved](h); told.Underlyings[0].Future.Tradingsymbol != "NIFTY20260330FUT" {
			t.Errorf("after the recovery: %+v", told)
		}
		if count[messages.TokenDoubted](h) != 0 || h.Err() != nil {
			t.Errorf("doubted a token for a network fault, or failed: %v", h.Err())
		}
	})
}

func TestARefusedTokenIsDoubted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "2026-03-04 10:00:00")
		w.adopted = session(7)
		w.answer = status(http.StatusForbidden, `{"status":"error","message":"Incorrect api_key or access_token.","error_type":"TokenException"}`)
		h := w.start()
		settle()
		d := last[messages.TokenDoubted](h)
		if d.Generation != 7 || d.By != "instruments" || strings.Contains(d.Reason, "token-7") {
			t.Errorf("doubted: %+v", d)
		}
		// A new token does not wait for the backoff.
		w.set(func() { w.answer = file(march().String()) })
		adopt(h, 8)
		synctest.Wait()
		settle()
		if told := last[messages.InstrumentsResolved](h); told.Generation != 8 {
			t.Errorf("resolved %+v", told)
		}
	})
}

// The roll of NIFTY and BANKNIFTY at 15:30 on Monday the 30th (Tuesday is a
// holiday), by the clock alone, and the file of the next morning.
func TestRollover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "2026-03-27 15:29:00")
		w.adopted = session(1)
		w.price(25010, 60020, 82010)
		s := march().chain("NFO", "NIFTY", "2026-03-30", 25000, 50, 30).chain("NFO", "NIFTY", "2026-04-07", 25000, 50, 30).
			chain("NFO", "BANKNIFTY", "2026-04-28", 60000, 100, 30)
		w.answer = file(s.String())
		h := w.start()
		settle()
		if got := wanted(h); got["NIFTY20260428FUT"] || !got["NIFTY20260330FUT"] {
			t.Error("the next future is subscribed too early")
		}
		w.set(func() { w.now = at(t, "2026-03-27 15:30:00") })
		settle()
		if got := wanted(h); !got["NIFTY20260428FUT"] || !got["NIFTY20260330FUT"] || count[messages.FuturesRolled](h) != 0 {
			t.Error("the next future is not subscribed beside the near one")
		}
		if u := last[messages.InstrumentsResolved](h).Underlyings[0]; u.Next == nil || u.Next.Tradingsymbol != "NIFTY20260428FUT" {
			t.Errorf("next: %+v", u.Next)
		}
		// A weekend and a fetch on Monday morning.
		w.set(func() { w.now = at(t, "2026-03-30 15:29:59") })
		settle()
		before := w.asked()
		if count[messages.FuturesRolled](h) != 0 {
			t.Error("rolled before the hour")
		}
		w.set(func() { w.now = at(t, "2026-03-30 15:30:00") })
		settle()
		var rolled []messages.FuturesRolled
		for _, s := range h.Sent() {
			if r, ok := s.Msg.(messages.FuturesRolled); ok {
				rolled = append(rolled, r)
			}
		}
		if len(rolled) != 2 || rolled[0].Underlying != "NIFTY" || rolled[0].From.Tradingsymbol != "NIFTY20260330FUT" ||
			rolled[0].To.Tradingsymbol != "NIFTY20260428FUT" || rolled[1].Underlying != "BANKNIFTY" || !rolled[0].At.Equal(w.Now()) {
			t.Errorf("rolled: %+v", rolled)
		}
		got := wanted(h)
		if got["NIFTY20260330FUT"] || got["NIFTY2026033025000CE"] || !got["NIFTY20260428FUT"] || !got["NIFTY2026040725000CE"] || !got["BANKNIFTY2026042860000PE"] {
			t.Error("the wants did not roll")
		}
		if w.asked() != before {
			t.Error("the roll needed a fetch")
		}
		w.set(func() { w.now = at(t, "2026-03-31 08:29:59") })
		settle()
		if w.asked() != before {
			t.Error("fetched before 08:30")
		}
		w.set(func() { w.now = at(t, "2026-03-31 08:30:00") })
		settle()
		if w.asked() != before+1 || count[messages.FuturesRolled](h) != 2 {
			t.Errorf("%d fetches at 08:30", w.asked()-before)
		}
	})
}

// Over the expiry of a contract whose successor is missing from the file, and
// back when it appears: the roll is told once, from the old to the new one.
func TestContractMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "2026-03-30 15:00:00")
		w.adopted = session(1)
		w.specs = Defaults()[:1]
		w.answer = file(newSample().indices().futures("NFO", "NIFTY", "2026-03-30").String())
		h := w.start()
		settle()
		w.set(func() { w.now = at(t, "2026-03-30 15:31:00") })
		settle()
		u := last[messages.InstrumentsResolved](h).Underlyings[0]
		if u.Future.Token != 0 || !strings.Contains(u.Reason, "no future of NIFTY on NFO") || wanted(h)["NIFTY20260330FUT"] {
			t.Errorf("past the expiry: %+v", u)
		}
		w.set(func() {
			w.now = at(t, "2026-03-31 08:31:00")
			w.answer = file(newSample().indices().futures("NFO", "NIFTY", "2026-03-30", "2026-04-28").String())
		})
		settle()
		r := last[messages.FuturesRolled](h)
		if count[messages.FuturesRolled](h) != 1 || r.From.Tradingsymbol != "NIFTY20260330FUT" || r.To.Tradingsymbol != "NIFTY20260428FUT" {
			t.Errorf("rolled: %+v", r)
		}
	})
}

// The instrument token of an expired contract belongs to a stock the next day:
// the old contract is gone from the wants, and nothing of the stock is wanted.
func TestRecycledInstrument(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "2026-03-30 15:00:00")
		w.adopted = session(1)
		w.specs = Defaults()[:1]
		w.answer = file(newSample().indices().futures("NFO", "NIFTY", "2026-03-30", "2026-04-28").String())
		h := w.start()
		settle()
		old := last[messages.InstrumentsResolved](h).Underlyings[0].Future
		fresh := newSample().indices().row(old.Token, "ABC26APRFUT", "ABC", "2026-04-28", 0, 100, future, "NFO-FUT", "NFO")
		fresh.tokens = 1
		w.set(func() {
			w.now = at(t, "2026-03-31 09:00:00")
			w.answer = file(fresh.futures("NFO", "NIFTY", "2026-04-28").String())
		})
		settle()
		for _, want := range last[messages.WantInstruments](h).Wants {
			if want.InstrumentToken == old.Token {
				t.Errorf("wanted: %+v", want)
			}
		}
		if u := last[messages.InstrumentsResolved](h).Underlyings[0]; u.Future.Tradingsymbol != "NIFTY20260428FUT" {
			t.Errorf("resolved: %+v", u.Future)
		}
	})
}

// A morning on which the file cannot be fetched, or is half: yesterday's
// serves, and says so.
func TestYesterdaysFileServes(t *testing.T) {
	for name, answer := range map[string]func(*http.Request) (*http.Response, error){
		"refused": func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") },
		"half":    file(newSample().indices().futures("NFO", "NIFTY", "2026-04-28").String()),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "2026-03-04 10:00:00")
				w.adopted = session(1)
				w.price(25010, 60020, 82010)
				h := w.start()
				settle()
				wants := count[messages.WantInstruments](h)
				w.set(func() { w.now, w.answer = at(t, "2026-03-05 08:30:00"), answer })
				settle()
				u := last[messages.InstrumentsResolved](h).Underlyings[0]
				if len(u.Chain) != 82 || !strings.Contains(u.Reason, "the instruments file of 2026-03-04 serves") {
					t.Errorf("%d options, %q", len(u.Chain), u.Reason)
				}
				if count[messages.WantInstruments](h) != wants {
					t.Error("the wants changed")
				}
				w.set(func() { w.answer = file(march().String()) })
				time.Sleep(time.Minute)
				if u := last[messages.InstrumentsResolved](h).Underlyings[0]; u.Reason != "" {
					t.Errorf("after the recovery: %q", u.Reason)
				}
			})
		})
	}
}

// A restarted actor goes on with the day's table: no request, the same wants,
// no roll told again.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "2026-03-30 15:00:00")
		w.adopted = session(1)
		w.price(25010, 60020, 82010)
		h := w.start()
		settle()
		w.set(func() { w.now = at(t, "2026-03-30 15:31:00") })
		settle()
		if count[messages.FuturesRolled](h) != 2 {
			t.Fatalf("%d rolls", count[messages.FuturesRolled](h))
		}
		before := last[messages.InstrumentsResolved](h)
		h.Stop()

		w.set(func() { w.adopted = session(2) })
		again := w.start()
		settle()
		after := last[messages.InstrumentsResolved](again)
		if w.asked() != 1 || w.lastUsed() != 2 || count[messages.FuturesRolled](again) != 0 {
			t.Errorf("%d requests, used %v, %d rolls", w.asked(), w.used, count[messages.FuturesRolled](again))
		}
		if len(wanted(again)) != len(wanted(h)) || len(after.Underlyings) != 3 || after.Underlyings[0].Future != before.Underlyings[0].Future {
			t.Errorf("after the restart: %+v", after)
		}
	})
}

// A clock that runs a whole week within seconds, as the simulator's may: one
// fetch a day, each roll once.
func TestAFastClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "2026-03-27 09:00:00")
		w.adopted = session(1)
		h := w.start()
		for range 7 * 24 * 4 {
			settle()
			w.set(func() { w.now = w.now.Add(15 * time.Minute) })
		}
		if w.asked() != 8 || count[messages.FuturesRolled](h) != 2 || h.Err() != nil {
			t.Errorf("%d fetches, %d rolls, %v", w.asked(), count[messages.FuturesRolled](h), h.Err())
		}
		// And back to the first morning.
		w.set(func() { w.now = at(t, "2026-03-27 09:00:00") })
		settle()
		if got := wanted(h); !got["NIFTY20260330FUT"] {
			t.Error("the clock went back and the contract did not")
		}
	})
}
