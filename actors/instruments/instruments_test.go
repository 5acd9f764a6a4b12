package instruments

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kitestring/actors/actorstest"
	"kitestring/messages"
)

func TestMain(m *testing.M) { actorstest.Main(m) }

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
		resolved := last[messages.InstrumentsResolved](h)
		for i, middle := range []float64{25000, 60000, 82000} {
			u := resolved.Underlyings[i]
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
		// Whether the fetch with generation 2 begins before 3 comes is chance: it
		// must end all the same.
		w.set(func() {
			w.answer = func(req *http.Request) (*http.Response, error) {
				if req.Header.Get("Authorization") == "token key:token-3" {
					return good(req)
				}
				<-req.Context().Done()
				return nil, req.Context().Err()
			}
		})
		adopt(h, 2)
		adopt(h, 3)
		settle()
		if got := strings.Join(w.requests, ","); !strings.HasPrefix(got, "token key:token-1,") || !strings.HasSuffix(got, ",token key:token-3") || w.lastUsed() != 3 {
			t.Errorf("requests %v, used %v", got, w.used)
		}
		if resolved := last[messages.InstrumentsResolved](h); resolved.Generation != 3 || count[messages.TokenDoubted](h) != 0 {
			t.Errorf("resolved with generation %d", resolved.Generation)
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
		resolved := last[messages.InstrumentsResolved](h)
		if len(resolved.Underlyings) != 3 || !strings.Contains(resolved.Underlyings[2].Reason, "being retried: kite instruments: rate_limited") {
			t.Errorf("after the first failure: %+v", resolved)
		}
		if count[messages.WantInstruments](h) != 0 {
			t.Error("the feed was asked to want nothing")
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
		if resolved := last[messages.InstrumentsResolved](h); resolved.Underlyings[0].Future.Tradingsymbol != "NIFTY20260330FUT" {
			t.Errorf("after the recovery: %+v", resolved)
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
		if d.Generation != 7 {
			t.Errorf("doubted: %+v", d)
		}
		// A new token does not wait for the backoff.
		w.set(func() { w.answer = file(march().String()) })
		adopt(h, 8)
		synctest.Wait()
		settle()
		if resolved := last[messages.InstrumentsResolved](h); resolved.Generation != 8 {
			t.Errorf("resolved %+v", resolved)
		}
	})
}
