package analysis

import (
	"math"
	"testing"
	"time"

	"kitestring/messages"
)

func outlookInput(t testing.TB) *Input {
	now := time.Unix(clockTime(t, "2026-03-02 11:00:00"), 0)
	in := &Input{Underlying: "NIFTY", Now: now, Phase: messages.Open, Index: Window{Interval: DefaultInterval}, Readings: map[string]messages.Reading{}}
	for kind, signal := range map[string]string{
		"instant": "strong_buy", "zone_control": "neutral", "volume_pulse": "buy", "candle_intent": "sell", "trend_base": "BUY", "pcr": "bearish",
	} {
		in.Readings[kind] = messages.Reading{
			Kind: kind, Underlying: "NIFTY", Signal: signal, Confidence: 50, Status: messages.Active,
			AsOf: now.Add(-time.Minute), OldestInput: now.Add(-time.Hour), Generation: 2,
		}
	}
	// Friday's last bar, then 20 bars of range 10 from an open at 24000; the last
	// three rise by 6.
	candle := func(at time.Time, closing float64) Candle {
		return Candle{Time: at, Open: closing, High: closing + 5, Low: closing - 5, Close: closing, Newest: at.Add(299 * time.Second), Generation: 3}
	}
	in.Index.Closed = append(in.Index.Closed, candle(now.Add(-(2*24+19)*time.Hour-35*time.Minute), 23000))
	for i := range 20 {
		closing := 24114.0
		if i >= 17 {
			closing += float64(i-16) * 2
		}
		in.Index.Closed = append(in.Index.Closed, candle(now.Add(time.Duration(i-20)*5*time.Minute), closing))
	}
	in.Index.Closed[1].Open = 24000
	return in
}

func outlookEntry(j Judgement, input string) map[string]any {
	for _, e := range j.Values["inputs"].([]map[string]any) {
		if e["input"] == input {
			return e
		}
	}
	return nil
}

func TestOutlookByHand(t *testing.T) {
	in := outlookInput(t)
	j := judgeOutlook(in)
	// 20x0.5 + 16x0 + 16x0.5 - 14x0.5 + 12x0.5 - 6x0.5 = 14; the index stands 0.5 % above
	// its open: 8x0.5 = 4; momentum 6 of 15 points: 8x0.4 = 3.2. Of 100: 0.212.
	if j.Status != messages.Watching || j.Signal != "neutral" || math.Abs(j.Confidence-21.2) > 1e-9 || j.Coverage != 1 || j.Values["lean"] != 0.212 || j.Reason != "" {
		t.Fatalf("%+v", j)
	}
	if j.Generation != 3 || !j.Oldest.Equal(in.Now.Add(-100*time.Minute)) {
		t.Errorf("generation %d, oldest %v", j.Generation, j.Oldest)
	}
	if e := outlookEntry(j, "instant"); e["vote"] != 0.5 || e["age_seconds"] != 60.0 {
		t.Errorf("%v", e)
	}
	if e := outlookEntry(j, "momentum"); e["vote"] != 0.4 || e["age_seconds"] != 1.0 {
		t.Errorf("%v", e)
	}
}

func TestOutlookGoesOnWithoutAnInput(t *testing.T) {
	in := outlookInput(t)
	in.Readings["candle_intent"] = messages.Reading{Kind: "candle_intent", Status: messages.Unavailable, Reason: "no bars", AsOf: in.Now.Add(-time.Hour)}
	delete(in.Readings, "pcr")
	r := in.Readings["zone_control"]
	r.AsOf = in.Now.Add(-16 * time.Minute)
	in.Readings["zone_control"] = r
	j := judgeOutlook(in)
	// 10 + 8 + 6 + 4 + 3.2 = 31.2 of 20+16+12+8+8 = 64: 0.4875; confidence x coverage 0.64.
	if j.Status != messages.Active || j.Signal != "bullish" || j.Coverage != 0.64 || math.Abs(j.Confidence-31.2) > 1e-9 || j.Values["lean"] != 0.487 {
		t.Fatalf("%+v", j)
	}
	for input, reason := range map[string]string{"candle_intent": "no bars", "pcr": "no reading yet", "zone_control": "16 min old"} {
		if e := outlookEntry(j, input); e["reason"] != reason || e["vote"] != nil {
			t.Errorf("%v", e)
		}
	}
	if e := outlookEntry(j, "candle_intent"); e["age_seconds"] != 3600.0 {
		t.Errorf("%v", e)
	}
	in.Phase = messages.Closed // the session's last words stand
	if e := outlookEntry(judgeOutlook(in), "zone_control"); e["vote"] != 0.0 {
		t.Errorf("%v", e)
	}
	j = judgeOutlook(&Input{Now: in.Now})
	if j.Status != messages.Unavailable || j.Reason != "none of its inputs is available" || j.Coverage != 0 {
		t.Errorf("%+v", j)
	}
}

func TestOutlookWeightsAreOfAHundred(t *testing.T) {
	sum := 0.0
	for _, w := range outlookWeights {
		sum += w.weight.Default
	}
	if sum != 100 {
		t.Error(sum)
	}
}
