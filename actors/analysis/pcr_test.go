package analysis

import (
	"math"
	"testing"
	"time"

	"kitestring/actors/optionchain"
	"kitestring/messages"
)

// chainOf makes options of one age: call and put open interest per strike.
func chainOf(at time.Time, strikes []float64, calls, puts []int64) []Option {
	var chain []Option
	for i, strike := range strikes {
		chain = append(chain,
			Option{Strike: strike, Quote: Quote{Last: 120, OI: calls[i], Volume: 10, At: at, Generation: 4}},
			Option{Strike: strike, Put: true, Quote: Quote{Last: 80, OI: puts[i], Volume: 15, At: at, Generation: 4}})
	}
	return chain
}

func pcrInput(t testing.TB) *Input {
	now := time.Unix(clockTime(t, "2026-03-02 11:00:00"), 0)
	return &Input{
		Underlying: "NIFTY", Now: now, Phase: messages.Open, Step: 50,
		Expiry:    time.Unix(clockTime(t, "2026-03-03 00:00:00"), 0).UTC(),
		IndexTick: Quote{Last: 24010, At: now},
		Chain: chainOf(now.Add(-2*time.Second), []float64{23900, 23950, 24000, 24050, 24100},
			[]int64{1000, 2000, 3000, 9000, 5000}, []int64{4000, 8000, 6000, 5000, 3000}),
	}
}

func TestPCRByHand(t *testing.T) {
	in := pcrInput(t)
	j := judgePCR(in)
	// Puts 26000, calls 20000: 1.3, bullish; 55 + 100 x (1.3 - 1.2) = 65.
	if j.Status != messages.Active || j.Signal != "bullish" || math.Abs(j.Confidence-65) > 1e-9 || j.Coverage != 1 || j.Generation != 4 {
		t.Fatalf("%+v", j)
	}
	// Pain at 24000: calls below pay 100x1000 + 50x2000 = 200,000, puts above 50x5000 + 100x3000 = 550,000: 750,000;
	// at 24050: 150x1000 + 100x2000 + 50x3000 = 500,000 and 50x3000 = 150,000: 650,000, the least;
	// at 24100: 200x1000 + 150x2000 + 100x3000 + 50x9000 = 1,250,000.
	want := map[string]any{
		"pcr": 1.3, "pcr_volume": 1.5, "call_oi": 20000.0, "put_oi": 26000.0, "call_wall": 24050.0, "put_wall": 23950.0,
		"max_pain": 24050.0, "straddle": 200.0, "defender": "puts", "pcr_oi_change": nil, "rotation": nil, "options": 10, "expiry": "2026-03-03",
	}
	for name, w := range want {
		if got, ok := j.Values[name]; !ok || got != w {
			t.Errorf("%s: %v, want %v", name, got, w)
		}
	}
	if !j.AsOf.Equal(in.Now.Add(-2*time.Second)) || !j.Oldest.Equal(j.AsOf) {
		t.Errorf("ages %v %v", j.AsOf, j.Oldest)
	}
}

func TestPCRIsUnavailableRatherThanZero(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(in *Input)
		reason string
	}{
		{"no chain", func(in *Input) { in.Chain = nil }, "no option chain is known yet"},
		{"no tick", func(in *Input) {
			for i := range in.Chain {
				in.Chain[i].Quote = Quote{}
			}
		}, "no option of the chain has had a tick yet"},
		{"half of it old", func(in *Input) {
			for i := range 5 {
				in.Chain[i].Quote.At = in.Now.Add(-4 * time.Minute)
			}
		}, "5 of 10 options have a tick newer than 3 min; the newest is 2 s old"},
		{"the option feed is cut", func(in *Input) { in.Now = in.Now.Add(10 * time.Minute) }, "0 of 10 options have a tick newer than 3 min; the newest is 10 min old"},
		{"no call open interest", func(in *Input) {
			for i := range in.Chain {
				if !in.Chain[i].Put {
					in.Chain[i].Quote.OI = 0
				}
			}
		}, "the calls have no open interest: there is nothing to divide by"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := pcrInput(t)
			c.change(in)
			if j := judgePCR(in); j.Status != messages.Unavailable || j.Reason != c.reason || j.Values != nil {
				t.Errorf("%+v", j)
			}
		})
	}
	in := pcrInput(t)
	for i := range 4 { // exactly 0.6 is enough
		in.Chain[i].Quote.At = in.Now.Add(-4 * time.Minute)
	}
	// Left are 24000 to 24100: calls 17000, puts 14000.
	if j := judgePCR(in); j.Status != messages.Watching || j.Values["pcr"] != 0.82 || j.Coverage != 0.6 || j.Values["straddle"] != 200.0 {
		t.Errorf("%+v", j)
	}
	in.Phase = messages.Closed
	in.Now = in.Now.Add(10 * time.Hour)
	if j := judgePCR(in); j.Status != messages.Watching || j.Coverage != 0.6 {
		t.Errorf("after the session its last ticks stand: %+v", j)
	}
}

func TestPCRRotation(t *testing.T) {
	for _, c := range []struct {
		calls, puts float64
		want        string
	}{
		{-600, 600, "ce_to_pe"},
		{600, -600, "pe_to_ce"},
		{600, 700, "building"},
		{600, 0, "building"},
		{-600, -700, "unwinding"},
		{0, -501, "unwinding"},
		{500, -500, "stable"}, // the limit itself is no move
		{0, 0, "stable"},
	} {
		if got := optionchain.Rotation(optionchain.Side{OI: 20000, Change: c.calls}, optionchain.Side{OI: 26000, Change: c.puts}); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
	// 2 % of the smaller side is more than 500.
	if got := optionchain.Rotation(optionchain.Side{OI: 100_000, Change: 1999}, optionchain.Side{OI: 300_000}); got != "stable" {
		t.Error(got)
	}
	if got := optionchain.Rotation(optionchain.Side{OI: 100_000, Change: 2001}, optionchain.Side{OI: 300_000}); got != "building" {
		t.Error(got)
	}
	in := pcrInput(t)
	for i := range in.Chain {
		o := &in.Chain[i]
		o.HasOpen, o.OpenOI = true, o.Quote.OI-200
		if o.Put {
			o.OpenOI = o.Quote.OI - 300
		}
	}
	j := judgePCR(in)
	if j.Values["pcr_oi_change"] != 1.5 || j.Values["rotation"] != "building" {
		t.Errorf("%+v", j.Values)
	}
}

func TestClassicPCR(t *testing.T) {
	for _, c := range []struct {
		calls, puts int64
		pcr         float64
		sentiment   string
	}{
		{100, 121, 1.21, "bullish"},
		{100, 120, 1.2, "neutral"},
		{100, 80, 0.8, "neutral"},
		{100, 79, 0.79, "bearish"},
		{1000, 1205, 1.21, "bullish"}, // 1.205 is a little more in binary
		{0, 50, 0, "bearish"},         // the predecessor's 0 for want of calls
	} {
		out := classicRatio(c.calls, c.puts)
		if out["pcr"] != c.pcr || out["sentiment"] != c.sentiment || out["oi"] != c.calls+c.puts {
			t.Errorf("%+v: %v", c, out)
		}
	}
	if classicPCR(&Input{Chain: make([]Option, 4)}) != nil {
		t.Error("the classic formula answers without a tick")
	}
}
