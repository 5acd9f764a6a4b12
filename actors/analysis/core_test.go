package analysis

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"kitestring/messages"
)

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

func tickOf(instrument uint32, at time.Time, price int32, volume uint32) messages.Tick {
	return messages.Tick{
		InstrumentToken: instrument, LastPrice: price, Open: price, High: price, Low: price, Close: price,
		Volume: volume, OI: 500, ExchangeTime: uint32(at.Unix()), Mode: messages.ModeFull,
	}
}

func TestCoreKnowsItsInstruments(t *testing.T) {
	a, _ := Find("pcr")
	u := niftyToday(t)
	at := time.Unix(clockTime(t, "2026-03-02 11:00:00"), 0)
	c := NewCore(a, Calibrated, "NIFTY", DefaultInterval, nil, nil)
	c.Update(u)
	for _, o := range u.Chain {
		tick := tickOf(o.Token, at, 100, 7)
		if !c.Tick(&tick, 1) {
			t.Fatalf("a tick of %d changes nothing", o.Token)
		}
		older := tickOf(o.Token, at.Add(-time.Second), 200, 8)
		untimed := tickOf(o.Token, time.Unix(0, 0), 200, 8)
		if c.Tick(&older, 1) || c.Tick(&untimed, 1) {
			t.Fatal("an older tick replaced a newer one")
		}
	}
	other := tickOf(12345, at, 1, 1)
	if c.Tick(&other, 1) || c.Update(messages.Underlying{Name: "SENSEX"}) || c.Update("a word") {
		t.Error("what is not ours changed something")
	}
	known := func() (n int) {
		for _, o := range c.in.Chain {
			if !o.Quote.At.IsZero() {
				n++
			}
		}
		return n
	}
	if !slices.IsSortedFunc(c.in.Chain, func(a, b Option) int {
		if a.Strike != b.Strike {
			return int(a.Strike - b.Strike)
		}
		if a.Put == b.Put {
			return 0
		}
		if b.Put {
			return -1
		}
		return 1
	}) {
		t.Errorf("the chain is not in order: %+v", c.in.Chain)
	}
	moved := u // the money moved: two strikes are new
	moved.Chain = slices.Clone(u.Chain)
	for i := range 4 {
		moved.Chain[i].Token += 1 << 24
		moved.Chain[i].Strike += 250
	}
	c.Update(moved)
	if known() != 6 {
		t.Errorf("%d of 6 options kept", known())
	}
	moved.Expiry = u.Expiry.AddDate(0, 0, 7) // the instrument tokens are recycled
	c.Update(moved)
	if known() != 0 {
		t.Errorf("%d options took their past along", known())
	}
}

func TestEveryAnalysisIsComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range All() {
		if a.Kind == "" || a.Judge == nil || seen[a.Kind] {
			t.Errorf("%q: kind and judge are needed, once", a.Kind)
		}
		seen[a.Kind] = true
		for _, other := range a.Needs.Readings {
			if _, ok := Find(other); !ok {
				t.Errorf("%s needs %q, which does not exist", a.Kind, other)
			}
		}
		// Without any input nothing is invented.
		for _, p := range []Profile{Calibrated, Classic} {
			r := NewCore(a, p, "NIFTY", DefaultInterval, nil, nil).Reading(time.Unix(clockTime(t, "2026-03-02 11:00:00"), 0))
			if r.Status != messages.Unavailable || r.Reason == "" || r.Values != nil || r.Signal != "" || r.Confidence != 0 || !r.AsOf.IsZero() || r.Coverage != 0 {
				t.Errorf("%s %s without input: %+v", a.Kind, p, r)
			}
		}
	}
	want := []string{"pcr", "volume_pulse", "trend_base", "candle_intent", "instant", "zone_control", "direct", "outlook"}
	for _, kind := range want {
		if !seen[kind] {
			t.Errorf("%s is not in the list", kind)
		}
	}
	if p, err := ParseProfile("modern"); err == nil || p != "" {
		t.Error("an unknown profile is accepted")
	}
}

// How the next analysis is added: a variable like this one in a file of its
// own, and its name in All.
func ExampleAnalysis() {
	insideBars := Analysis{
		Kind:   "inside_bars",
		Needs:  Needs{Index: true},
		Warmup: 2,
		Judge: func(in *Input) Judgement {
			two := in.Index.Last(2)
			j := Judgement{Status: messages.Watching, Signal: "neutral", Coverage: 1}
			j.Over(two)
			if two[1].High <= two[0].High && two[1].Low >= two[0].Low {
				j.Status, j.Signal, j.Confidence = messages.Active, "inside", 100
			}
			j.Values = map[string]any{"range": two[1].High - two[1].Low}
			return j
		},
	}
	core := NewCore(insideBars, Calibrated, "NIFTY", 5*time.Minute, nil, nil)
	core.Update(messages.PhaseChanged{Phase: messages.Open})
	start := time.Date(2026, 3, 2, 4, 0, 0, 0, time.UTC)
	for i, high := range []int32{24050_00, 24040_00} {
		core.Update(messages.BarClosed{Bar: messages.Bar{
			Underlying: "NIFTY", Source: messages.FromIndex, Interval: 5 * time.Minute, Start: start.Add(time.Duration(i) * 5 * time.Minute),
			Open: 24020_00, High: high, Low: 24010_00, Close: 24030_00, Divisor: 100, Newest: start.Add(time.Duration(i+1)*5*time.Minute - time.Second),
		}})
		r := core.Reading(start.Add(10 * time.Minute))
		fmt.Println(r.Kind, r.Status, r.Signal, r.Values["range"], r.Reason)
	}
	// Output:
	// inside_bars unavailable  <nil> 1 of 2 bars of the index so far
	// inside_bars active inside 30
}

// liveInput fills a core with what a live NIFTY has: 400 bars of index and
// future, ticks, a whole chain, and readings of all others.
func liveInput(tb testing.TB, a Analysis, p Profile) (*Core, time.Time) {
	_, bars := goldenBars(tb, "NIFTY")
	c := NewCore(a, p, "NIFTY", DefaultInterval, nil, nil)
	for _, candle := range bars {
		c.Append(candle)
	}
	now := bars[len(bars)-1].Newest
	u := niftyToday(tb)
	u.Chain = nil
	for i := range uint32(41) {
		for side, kind := range []string{"CE", "PE"} {
			u.Chain = append(u.Chain, messages.Instrument{Token: 1<<20 + i<<9 + uint32(side)<<8 + 2, Strike: 23000 + 50*float64(i), Type: kind})
		}
	}
	c.Update(u)
	c.Update(messages.PhaseChanged{Phase: messages.Open})
	for _, o := range append([]messages.Instrument{u.Index, u.Future}, u.Chain...) {
		tick := tickOf(o.Token, now, 24000_00, 4000)
		c.Tick(&tick, 1)
	}
	for _, kind := range a.Needs.Readings {
		c.Update(messages.Reading{Kind: kind, Underlying: "NIFTY", Status: messages.Active, Signal: "buy", Confidence: 60, AsOf: now, Values: map[string]any{"pcr": 1.1}})
	}
	c.Answer(Quote{Last: 24000, Close: 23900, At: now})
	return c, now
}

// BenchmarkReadingBeside measures the analyses that do not live on bars alone.
func BenchmarkReadingBeside(b *testing.B) {
	for _, p := range []Profile{Calibrated, Classic} {
		for _, a := range []Analysis{pcr, direct, outlook} {
			if p == Classic && a.Classic == nil {
				continue
			}
			b.Run(a.Kind+"/"+string(p), func(b *testing.B) {
				c, now := liveInput(b, a, p)
				var r messages.Reading
				for b.Loop() {
					r = c.Reading(now)
				}
				if r.Status == messages.Unavailable {
					b.Errorf("unavailable: %s", r.Reason)
				}
			})
		}
	}
}

func BenchmarkTick(b *testing.B) {
	a, _ := Find("pcr")
	c, now := liveInput(b, a, Calibrated)
	tick := tickOf(1<<20+2, now, 24000_00, 4000)
	for i := 0; b.Loop(); i++ {
		tick.OI = uint32(i)
		c.Tick(&tick, 1)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/tick")
}
