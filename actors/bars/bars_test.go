package bars

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors/actorstest"
	"kitestring/actors/hours"
	"kitestring/actors/kite"
	"kitestring/messages"
)

var (
	webPID  = actor.NewPID(actor.LocalLookupAddr, "web/main")
	authPID = actor.NewPID(actor.LocalLookupAddr, "auth/main")
)

// runningClock runs with the bubble's time from an exchange time on.
type runningClock struct{ base, began time.Time }

func clockFrom(t testing.TB, s string) runningClock {
	return runningClock{time.Unix(clockTime(t, s), 0).UTC(), time.Now()}
}

func (c runningClock) Now() time.Time { return c.base.Add(time.Since(c.began)) }

func TestMain(m *testing.M) { actorstest.Main(m) }

// pass lets the bubble's time go by, and all that happens at its last moment
// happen: a timer of an actor's may ring together with ours.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// adopt adopts the session of a generation.
func adopt(tokens *actorstest.Tokens, g messages.Generation) messages.TokenAdopted {
	return tokens.WriteAdopted(actorstest.Session(g))
}

func used(tokens *actorstest.Tokens) (list []messages.Generation) {
	for _, u := range tokens.Uses() {
		list = append(list, u.Generation)
	}
	return list
}

func niftyToday(t testing.TB) messages.Underlying {
	u := messages.Underlying{
		Name:   "NIFTY",
		Index:  messages.Instrument{Token: niftyIndex, Exchange: "NSE", Tradingsymbol: "NIFTY 50"},
		Future: messages.Instrument{Token: niftyFuture, Exchange: "NFO", Tradingsymbol: "NIFTY26MARFUT"},
		Expiry: time.Unix(clockTime(t, "2026-03-03 00:00:00"), 0), Step: 50,
	}
	for i := range uint32(5) {
		strike := 23900 + 50*float64(i)
		u.Chain = append(u.Chain,
			messages.Instrument{Token: 1000<<8 + i<<9 + 2, Strike: strike, Type: "PE"},
			messages.Instrument{Token: 2000<<8 + i<<9 + 2, Strike: strike, Type: "CE"})
	}
	return u
}

func batch(g messages.Generation, ticks ...messages.Tick) *messages.Ticks {
	b := messages.NewTicks(nil)
	b.Generation, b.Ticks = g, ticks
	return b
}

func tickOf(instrument uint32, at time.Time, price int32, volume uint32) messages.Tick {
	return messages.Tick{
		InstrumentToken: instrument, LastPrice: price, Open: price, High: price, Low: price, Close: price,
		Volume: volume, OI: 500, ExchangeTime: uint32(at.Unix()), Mode: messages.ModeFull,
	}
}

func sentTo[M any](h *actorstest.Harness, to *actor.PID) []M {
	var out []M
	for _, s := range h.Sent() {
		if m, ok := s.Msg.(M); ok && s.To.Equals(to) {
			out = append(out, m)
		}
	}
	return out
}

// archive is a historian that answers with flat minutes of a price.
type archive struct {
	mu       sync.Mutex
	sessions []messages.Generation
	asked    []uint32
	from     []time.Time
	err      error
	refused  uint32 // an instrument that Kite refuses
	empty    bool
	slow     time.Duration
}

func (a *archive) Historical(_ context.Context, s messages.Session, instrument uint32, from, to time.Time) ([]kite.Candle, error) {
	time.Sleep(a.slow)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sessions, a.asked = append(a.sessions, s.Generation), append(a.asked, instrument)
	a.from = append(a.from, from)
	switch {
	case a.err != nil:
		return nil, a.err
	case a.refused == instrument:
		return nil, &kite.Error{Kind: kite.Input, Status: 400, Type: "InputException", Detail: "invalid token"}
	case a.empty:
		return nil, nil
	}
	var out []kite.Candle
	for at := from.Truncate(time.Minute); at.Before(to); at = at.Add(time.Minute) {
		if hours.BuiltIn().IsOpen(at, hours.Of(instrument)) {
			out = append(out, kite.Candle{Start: at, Open: 240, High: 241, Low: 239, Close: 240, Volume: 10})
		}
	}
	return out, nil
}

func (a *archive) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = err
}

func (a *archive) questions() (sessions []messages.Generation, asked []uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.sessions), slices.Clone(a.asked)
}

func TestBarsActor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock, tokens, series, past := clockFrom(t, "2026-03-02 11:03:10"), actorstest.NewTokens(), &Store{}, &archive{}
		h := actorstest.Start(t, "bars", New(Config{
			Clock: clock, Tokens: tokens, Series: series, Historian: past, Listeners: []*actor.PID{webPID}, Auth: authPID,
		}))
		h.Tell(messages.InstrumentsResolved{Underlyings: []messages.Underlying{niftyToday(t)}})
		h.Tell(batch(1, tickOf(niftyIndex, clock.Now(), 24000, 0), tickOf(niftyFuture, clock.Now(), 24010, 5000)))
		pass(time.Second)
		if _, asked := past.questions(); len(asked) != 0 {
			t.Fatal("history was asked for without a token")
		}
		h.Tell(adopt(tokens, 1))
		pass(time.Second) // within it both series have their windows
		bars := series.History("NIFTY", messages.FromFuture, 5*time.Minute)
		if n := len(bars); n < 300 || !bars[n-1].Start.Equal(time.Unix(clockTime(t, "2026-03-02 10:55:00"), 0)) || !bars[n-1].Backfilled || bars[n-1].Volume != 50 || bars[n-1].Partial {
			t.Fatalf("%d bars, the last %+v", n, bars[n-1])
		}
		if n := len(series.History("NIFTY", messages.FromIndex, time.Minute)); n < 1800 {
			t.Fatalf("%d minutes of the index", n)
		}
		running, ok := series.Running("NIFTY", messages.FromFuture, 5*time.Minute)
		if !ok || !running.Partial || running.Open != 24000 || running.Close != 24010 {
			t.Fatalf("running %+v", running)
		}

		h.Tell(batch(1, tickOf(niftyFuture, clock.Now().Add(10*time.Second), 24020, 5007)))
		pass(75 * time.Second) // the minute ends, closes by the clock, and is asked for again
		bars = series.History("NIFTY", messages.FromFuture, time.Minute)
		last := bars[len(bars)-1]
		if last.Start.Unix() != clockTime(t, "2026-03-02 11:03:00") || last.Partial || !last.Backfilled {
			t.Errorf("the first minute was not healed: %+v", last)
		}
		closed := sentTo[messages.BarClosed](h, webPID)
		if len(closed) != 2 || !closed[0].Bar.Partial || closed[1].Bar.Volume+closed[0].Bar.Volume != 7 {
			t.Errorf("closed live: %+v", closed)
		}
		if got := sentTo[messages.GenerationReached](h, webPID); len(got) != 1 || got[0].Generation != 1 {
			t.Errorf("generations %+v", got)
		}
		h.Tell(batch(2))
		h.Tell(batch(1)) // the older socket's last words
		h.Tell("a word")
		synctest.Wait()
		if got := used(tokens); !slices.Equal(got, []messages.Generation{1, 2}) {
			t.Errorf("uses %v", got)
		}
	})
}

// While two sockets hand over, one series may be ahead of another, and a fast
// clock ahead of both: neither closes a bar that waits for its last tick.
func TestBarsWaitForTheirOwnLastTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock, series := clockFrom(t, "2026-03-02 11:59:00"), &Store{} // far ahead of the ticks
		h := actorstest.Start(t, "bars", New(Config{Clock: clock, Tokens: actorstest.NewTokens(), Series: series, Listeners: []*actor.PID{webPID}}))
		h.Tell(messages.InstrumentsResolved{Underlyings: []messages.Underlying{niftyToday(t)}})
		at := func(s string) time.Time { return time.Unix(clockTime(t, "2026-03-02 "+s), 0) }
		h.Tell(batch(1, tickOf(niftyIndex, at("10:00:00"), 24000, 0), tickOf(niftyFuture, at("10:00:00"), 24010, 5000)))
		h.Tell(batch(1, tickOf(niftyIndex, at("10:02:30"), 24001, 0), tickOf(niftyFuture, at("10:02:30"), 24011, 5001)))
		h.Tell(batch(1, tickOf(niftyIndex, at("10:04:59"), 24002, 0)))
		h.Tell(batch(1, tickOf(niftyIndex, at("10:05:00"), 24003, 0)))
		pass(1500 * time.Millisecond)
		h.Tell(batch(1, tickOf(niftyFuture, at("10:04:59"), 24012, 5003)))
		h.Tell(batch(1, tickOf(niftyFuture, at("10:05:00"), 24013, 5004)))
		synctest.Wait()
		bars := series.History("NIFTY", messages.FromFuture, 5*time.Minute)
		if len(bars) != 1 || bars[0].Close != 24012 || bars[0].Volume != 3 || bars[0].Gapped {
			t.Errorf("closed %+v", bars)
		}
		pass(3 * time.Second) // without any tick the clock decides
		bars = series.History("NIFTY", messages.FromFuture, 5*time.Minute)
		if len(bars) != 2 || bars[1].Close != 24013 || bars[1].Volume != 1 {
			t.Errorf("closed by the clock %+v", bars)
		}
	})
}

// Ticks that stand still for longer than the grace, while the exchange's clock
// runs on, close a bar of five minutes at its first tick. It is published once,
// and marked when the rest comes.
func TestLongBarClosedTooEarlyIsMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock, series := clockFrom(t, "2026-03-02 11:59:00"), &Store{} // far ahead of the ticks
		h := actorstest.Start(t, "bars", New(Config{Clock: clock, Tokens: actorstest.NewTokens(), Series: series, Listeners: []*actor.PID{webPID}}))
		h.Tell(messages.InstrumentsResolved{Underlyings: []messages.Underlying{niftyToday(t)}})
		tick := func(s string, price int32, volume uint32) {
			h.Tell(batch(1, tickOf(niftyFuture, time.Unix(clockTime(t, "2026-03-02 "+s), 0), price, volume)))
		}
		tick("10:04:59", 24009, 4990) // the first is partial anyway
		tick("10:05:00", 24010, 5000)
		pass(3 * time.Second)
		five := func() []messages.Bar { return series.History("NIFTY", messages.FromFuture, 5*time.Minute) }
		if bars := five(); len(bars) != 2 || bars[1].Close != 24010 || bars[1].Gapped {
			t.Fatalf("before the rest came: %+v", bars)
		}
		tick("10:06:15", 24011, 5001)
		tick("10:07:30", 24012, 5002)
		tick("10:09:59", 24013, 5003)
		synctest.Wait()
		if bars := five(); len(bars) != 2 || !bars[1].Gapped || bars[1].Close != 24012 {
			t.Errorf("after it came: %+v", bars)
		}
		tick("10:10:00", 24014, 5004)
		tick("10:15:00", 24015, 5005)
		synctest.Wait()
		bars := five()
		if len(bars) != 3 || bars[1].Gapped || bars[1].Close != 24013 || bars[1].Volume != 13 || bars[2].Gapped || bars[2].Close != 24014 {
			t.Errorf("in the end: %+v", bars)
		}
		seen := map[time.Time]bool{}
		for _, m := range sentTo[messages.BarClosed](h, webPID) {
			if m.Bar.Interval == 5*time.Minute && seen[m.Bar.Start] {
				t.Errorf("closed again: %+v", m.Bar)
			}
			seen[m.Bar.Start] = seen[m.Bar.Start] || m.Bar.Interval == 5*time.Minute
		}
	})
}

// A last tick that comes after its bar was closed all the same has the bar
// marked and healed.
func TestBarClosedTooEarlyIsHealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock, tokens, series, past := clockFrom(t, "2026-03-02 11:03:58"), actorstest.NewTokens(), &Store{}, &archive{}
		h := actorstest.Start(t, "bars", New(Config{
			Clock: clock, Tokens: tokens, Series: series, Historian: past, Listeners: []*actor.PID{webPID}, Auth: authPID,
		}))
		h.Tell(messages.InstrumentsResolved{Underlyings: []messages.Underlying{niftyToday(t)}})
		h.Tell(adopt(tokens, 1))
		h.Tell(batch(1, tickOf(niftyFuture, clock.Now(), 24010, 5000))) // 11:03, partial
		pass(10 * time.Second)
		h.Tell(batch(1, tickOf(niftyFuture, clock.Now(), 24011, 5001))) // 11:04:08
		pass(75 * time.Second)                                          // 11:05:23: closed, and 11:03 is healed
		h.Tell(batch(1, tickOf(niftyFuture, clock.Now(), 24020, 5010)))
		minute := func(start string) messages.Bar {
			bars := series.History("NIFTY", messages.FromFuture, time.Minute)
			i := slices.IndexFunc(bars, func(b messages.Bar) bool { return b.Start.Unix() == clockTime(t, "2026-03-02 "+start) })
			if i < 0 {
				t.Fatalf("no bar of %s", start)
			}
			return bars[i]
		}
		synctest.Wait()
		if m := minute("11:04:00"); m.Close != 24011 || m.Volume != 1 || m.Gapped || m.Backfilled {
			t.Fatalf("before: %+v", m)
		}
		h.Tell(batch(1, tickOf(niftyFuture, clock.Now().Add(-25*time.Second), 24012, 5002))) // 11:04:58
		synctest.Wait()
		if m := minute("11:04:00"); !m.Gapped {
			t.Errorf("marked: %+v", m)
		}
		pass(70 * time.Second)
		for _, start := range []string{"11:04:00", "11:05:00"} {
			if m := minute(start); m.Gapped || !m.Backfilled || m.Close != 24000 || m.Volume != 10 {
				t.Errorf("healed: %+v", m)
			}
		}
	})
}

func TestBackfillFollowsTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock, tokens, past := clockFrom(t, "2026-03-02 11:03:10"), actorstest.NewTokens(), &archive{}
		past.fail(&kite.Error{Kind: kite.TokenRefused, Status: 403})
		h := actorstest.Start(t, "bars", New(Config{Clock: clock, Tokens: tokens, Series: &Store{}, Historian: past, Auth: authPID}))
		h.Tell(messages.InstrumentsResolved{Underlyings: []messages.Underlying{niftyToday(t)}})
		h.Tell(adopt(tokens, 1))
		pass(30 * time.Second)
		if n, _ := past.questions(); len(n) < 3 || len(n) > 12 {
			t.Errorf("%d questions in 30 s of refusals", len(n))
		}
		if doubts := sentTo[messages.TokenDoubted](h, authPID); len(doubts) == 0 || doubts[0].Generation != 1 {
			t.Errorf("%+v", doubts)
		}
		past.fail(nil)
		h.Tell(adopt(tokens, 2))
		pass(time.Second)
		sessions, asked := past.questions()
		if n := len(sessions); sessions[n-1] != 2 || sessions[n-2] != 2 || asked[n-1] == asked[n-2] {
			t.Errorf("sessions %v, instruments %v", sessions, asked)
		}
	})
}

// A question that is refused after the token has changed is put again at once,
// and speaks against no token.
func TestBackfillOvertakenByTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock, tokens, past := clockFrom(t, "2026-03-02 11:03:10"), actorstest.NewTokens(), &archive{slow: 3 * time.Second}
		past.fail(&kite.Error{Kind: kite.TokenRefused, Status: 403})
		h := actorstest.Start(t, "bars", New(Config{Clock: clock, Tokens: tokens, Series: &Store{}, Historian: past, Auth: authPID}))
		h.Tell(messages.InstrumentsResolved{Underlyings: []messages.Underlying{niftyToday(t)}})
		h.Tell(adopt(tokens, 1))
		pass(2 * time.Second)
		h.Tell(adopt(tokens, 2))
		pass(4 * time.Second) // 1 s to the failure, then 3 s
		if sessions, _ := past.questions(); !slices.Equal(sessions, []messages.Generation{1, 2}) {
			t.Errorf("sessions %v", sessions)
		}
		if doubts := sentTo[messages.TokenDoubted](h, authPID); len(doubts) != 1 || doubts[0].Generation != 2 {
			t.Errorf("doubts %+v, want one of the token that is adopted", doubts)
		}
	})
}

func TestBarsRollWithTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock, tokens, series, past := clockFrom(t, "2026-03-02 11:03:10"), actorstest.NewTokens(), &Store{}, &archive{}
		adopt(tokens, 1)
		h := actorstest.Start(t, "bars", New(Config{Clock: clock, Tokens: tokens, Series: series, Historian: past, Listeners: []*actor.PID{webPID}}))
		h.Tell(messages.InstrumentsResolved{Underlyings: []messages.Underlying{niftyToday(t)}})
		h.Tell(batch(1, tickOf(niftyFuture, clock.Now(), 24010, 900_000)))
		pass(time.Second)
		const next = niftyFuture + 256
		h.Tell(messages.FuturesRolled{Underlying: "NIFTY", From: messages.Instrument{Token: niftyFuture}, To: messages.Instrument{Token: next}})
		h.Tell(batch(1, tickOf(next, clock.Now(), 25010, 100), tickOf(niftyFuture, clock.Now(), 24000, 900_100), tickOf(next, clock.Now(), 25011, 104)))
		pass(time.Second)
		empty := false
		for _, m := range sentTo[messages.BarsLoaded](h, webPID) {
			empty = empty || m.Source == messages.FromFuture && len(m.Bars) == 0
		}
		if !empty {
			t.Error("no message says to drop the old contract's bars")
		}
		bars := series.History("NIFTY", messages.FromFuture, 5*time.Minute)
		if len(bars) == 0 || slices.ContainsFunc(bars, func(b messages.Bar) bool { return b.InstrumentToken != next }) {
			t.Errorf("%d bars, of two contracts", len(bars))
		}
		if b, ok := series.Running("NIFTY", messages.FromFuture, time.Minute); !ok || b.Open != 25010 || b.Close != 25011 || b.Volume != 4 {
			t.Errorf("running %+v", b)
		}
	})
}

func TestSeriesOutlivesTheActor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock, tokens, series, past := clockFrom(t, "2026-03-02 11:03:10"), actorstest.NewTokens(), &Store{}, &archive{}
		adopt(tokens, 1)
		produce := New(Config{Clock: clock, Tokens: tokens, Series: series, Historian: past})
		h := actorstest.Start(t, "bars", produce)
		h.Tell(messages.InstrumentsResolved{Underlyings: []messages.Underlying{niftyToday(t)}})
		pass(time.Second)
		h.Stop()
		before, _ := past.questions()
		n := len(series.History("NIFTY", messages.FromIndex, time.Minute))
		h = actorstest.Start(t, "bars", produce)
		h.Tell(messages.InstrumentsResolved{Underlyings: []messages.Underlying{niftyToday(t)}})
		h.Tell(batch(1, tickOf(niftyIndex, clock.Now(), 24000, 0)))
		pass(10 * time.Second)
		if after, _ := past.questions(); len(after) != len(before) {
			t.Errorf("%d questions for what was there", len(after)-len(before))
		}
		if got := len(series.History("NIFTY", messages.FromIndex, time.Minute)); got != n || n == 0 {
			t.Errorf("%d minutes, before %d", got, n)
		}
		series.change(0, seriesKey{"NIFTY", messages.FromIndex}, func(*seriesSet) { t.Error("an incarnation that was given up may write") })
	})
}
