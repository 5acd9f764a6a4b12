package instruments

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kitestring/messages"
)

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
			t.Error("the next future is not subscribed in addition to the near one")
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
// back when it appears: the roll is published once, from the old to the new one.
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

// whole is march with what stands at the end of the month, too.
func whole() *sample {
	return march().chain("NFO", "NIFTY", "2026-04-07", 25000, 50, 30).chain("NFO", "BANKNIFTY", "2026-04-28", 60000, 100, 30).
		chain("BFO", "SENSEX", "2026-04-09", 82000, 100, 30)
}

// A restarted actor goes on with the day's table: no request, the same wants,
// no repeated roll.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "2026-03-30 15:00:00")
		w.adopted = session(1)
		w.answer = file(whole().String())
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
		w.answer = file(whole().String())
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
