package readings

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors/actorstest"
	"kitestring/actors/analysis"
	"kitestring/messages"
	"kitestring/messages/ist"
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

const (
	niftyIndex  = 256265
	niftyFuture = 13568514 // ends in 2: NFO
)

// clockTime is a time of day in India, in Unix seconds.
func clockTime(t testing.TB, s string) int64 {
	t.Helper()
	at, err := time.ParseInLocation(ist.Layout, s, ist.Zone)
	if err != nil {
		t.Fatal(err)
	}
	return at.Unix()
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

func TestAnalysisReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock, tokens := clockFrom(t, "2026-03-02 11:03:10"), actorstest.NewTokens()
		a, ok := analysis.Find("pcr")
		if !ok {
			t.Fatal("no pcr")
		}
		h := actorstest.Start(t, "pcr", New(Config{Analysis: a, Clock: clock, Tokens: tokens, Listeners: []*actor.PID{webPID}}))
		h.Tell(messages.PhaseChanged{Phase: messages.Open})
		u := niftyToday(t)
		h.Tell(messages.InstrumentsResolved{Underlyings: []messages.Underlying{u}})
		pass(pace)
		r := actorstest.Await[messages.Reading](h, nil)
		if r.Status != messages.Unavailable || r.Underlying != "NIFTY" || r.Reason == "" || r.Epoch != 1 || r.Profile != "calibrated" || r.Values != nil {
			t.Errorf("%+v", r)
		}
		var ticks []messages.Tick
		for _, o := range u.Chain {
			ticks = append(ticks, tickOf(o.Token, clock.Now(), 100, 7))
		}
		h.Tell(batch(3, ticks...))
		pass(pace)
		if all := sentTo[messages.Reading](h, webPID); len(all) != 2 {
			t.Fatalf("%d readings: what is new waits for no repetition", len(all))
		}
		r = actorstest.Await(h, func(r messages.Reading) bool { return r.Status != messages.Unavailable })
		if r.Values["pcr"] != 1.0 || r.Coverage != 1 || r.Generation != 3 || r.Signal != "neutral" {
			t.Errorf("%+v", r)
		}
		if got := used(tokens); !slices.Equal(got, []messages.Generation{3}) {
			t.Errorf("uses %v", got)
		}
		n := len(sentTo[messages.Reading](h, webPID))
		for range 100 { // the same again, 100 times in 1 s
			for i := range ticks {
				ticks[i].ExchangeTime = uint32(clock.Now().Unix())
			}
			h.Tell(batch(3, slices.Clone(ticks)...))
			pass(10 * time.Millisecond)
		}
		if got := len(sentTo[messages.Reading](h, webPID)) - n; got != 0 {
			t.Errorf("%d readings that say nothing new", got)
		}
		pass(repeat)
		if got := len(sentTo[messages.Reading](h, webPID)) - n; got < 1 || got > 2 {
			t.Errorf("%d readings in 5 quiet seconds", got)
		}
		pass(5 * time.Minute) // the option feed is cut off
		all := sentTo[messages.Reading](h, webPID)
		if last := all[len(all)-1]; last.Status != messages.Unavailable || !strings.Contains(last.Reason, "old") || last.AsOf.IsZero() || last.Values != nil {
			t.Errorf("%+v", last)
		}
	})
}

// A tick an hour ahead does not keep those after it out.
func TestATickAnHourAheadFreezesNoQuote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock, tokens := clockFrom(t, "2026-03-02 11:03:10"), actorstest.NewTokens()
		last := analysis.Analysis{Kind: "last", Needs: analysis.Needs{Quotes: true}, Judge: func(in *analysis.Input) analysis.Judgement {
			j := analysis.Judgement{Status: messages.Watching, Values: map[string]any{"last": in.IndexTick.Last}}
			j.OverQuote(in.IndexTick)
			return j
		}}
		h := actorstest.Start(t, "last", New(Config{Analysis: last, Clock: clock, Tokens: tokens, Listeners: []*actor.PID{webPID}}))
		h.Tell(messages.InstrumentsResolved{Underlyings: []messages.Underlying{niftyToday(t)}})
		h.Tell(batch(1, tickOf(niftyIndex, clock.Now(), 24000_00, 0)))
		h.Tell(batch(1, tickOf(niftyIndex, clock.Now().Add(time.Hour), 1, 0)))
		pass(time.Second)
		h.Tell(batch(1, tickOf(niftyIndex, clock.Now(), 24001_00, 0)))
		pass(time.Second)
		all := sentTo[messages.Reading](h, webPID)
		if r := all[len(all)-1]; r.Values["last"] != 24001.0 {
			t.Errorf("%+v", r)
		}
	})
}

func TestAnalysisIsSeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock, tokens, series := clockFrom(t, "2026-03-02 11:03:10"), actorstest.NewTokens(), past(nil)
		for i := range 40 {
			at := time.Unix(clockTime(t, "2026-03-02 07:40:00"), 0).Add(time.Duration(i) * 5 * time.Minute)
			series = append(series, messages.Bar{Underlying: "NIFTY", Interval: 5 * time.Minute, Start: at, Open: 100, High: 200, Low: 50, Close: 100 + int32(i), Divisor: 1, Newest: at, Generation: 2})
		}
		closes := analysis.Analysis{Kind: "closes", Needs: analysis.Needs{Index: true}, Warmup: 10, Judge: func(in *analysis.Input) analysis.Judgement {
			j := analysis.Judgement{Status: messages.Watching, Signal: "seen", Values: map[string]any{"bars": len(in.Index.Closed), "running": in.Index.Running != nil}}
			j.Over(in.Index.Last(1))
			return j
		}}
		h := actorstest.Start(t, "closes", New(Config{
			Analysis: closes, Clock: clock, Tokens: tokens, History: series, Listeners: []*actor.PID{webPID},
			Instruments: resolved{messages.InstrumentsResolved{Underlyings: []messages.Underlying{niftyToday(t)}}},
		}))
		pass(pace)
		r := actorstest.Await[messages.Reading](h, nil)
		if r.Values["bars"] != 40 || r.Generation != 2 {
			t.Errorf("%+v", r)
		}
		bar := messages.Bar{Underlying: "NIFTY", Interval: 5 * time.Minute, Start: clock.Now().Truncate(5 * time.Minute), Divisor: 1, Ticks: 1, Newest: clock.Now(), Generation: 4}
		h.Tell(messages.BarUpdated{Bar: bar})
		h.Tell(messages.GenerationReached{Generation: 4})
		pass(pace)
		actorstest.Await(h, func(r messages.Reading) bool { return r.Values["running"] == true })
		h.Tell(messages.BarClosed{Bar: bar})
		h.Tell(messages.BarClosed{Bar: bar}) // repeated, counted once
		h.Tell(messages.BarUpdated{Bar: bar})
		h.Tell(messages.BarClosed{Bar: messages.Bar{Underlying: "NIFTY", Interval: time.Minute, Divisor: 1}})
		h.Tell(messages.BarClosed{Bar: messages.Bar{Underlying: "SENSEX", Interval: 5 * time.Minute, Divisor: 1}})
		pass(pace)
		r = actorstest.Await(h, func(r messages.Reading) bool { return r.Values["bars"] == 41 })
		if r.Values["running"] != false || r.Generation != 4 {
			t.Errorf("%+v", r)
		}
		h.Tell(messages.BarsLoaded{Underlying: "NIFTY", Source: messages.FromIndex, Interval: 5 * time.Minute, Bars: nil})
		pass(pace)
		r = actorstest.Await(h, func(r messages.Reading) bool { return r.Status == messages.Unavailable })
		if r.Reason != "0 of 10 bars of the index so far" || r.Values != nil {
			t.Errorf("%+v", r)
		}
		if got := used(tokens); !slices.Equal(got, []messages.Generation{4}) {
			t.Errorf("uses %v", got)
		}
	})
}

type resolved struct{ messages.InstrumentsResolved }

func (r resolved) Resolved() (messages.InstrumentsResolved, bool) { return r.InstrumentsResolved, true }

// past is the history of the index of NIFTY.
type past []messages.Bar

func (p past) History(underlying string, source messages.BarSource, _ time.Duration) []messages.Bar {
	if underlying != "NIFTY" || source != messages.FromIndex {
		return nil
	}
	return p
}
