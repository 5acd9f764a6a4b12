package analysis

import (
	"slices"
	"testing"

	"kitestring/actors/analysis/classic"
	"kitestring/messages"
)

func futureOf(bars []Candle) *Input {
	return &Input{Underlying: "NIFTY", Phase: messages.Open, Future: Window{Interval: fiveMinutes, Closed: bars}}
}

func wantValues(t *testing.T, j Judgement, want classic.Object) {
	t.Helper()
	for name, v := range want {
		if got := j.Values[name]; got != v {
			t.Errorf("%s is %v, want %v", name, got, v)
		}
	}
}

func TestVolumePulseBalancedScoresFifty(t *testing.T) {
	bars := seesaw(100, 300)
	j := judgeVolumePulse(futureOf(bars))
	wantValues(t, j, classic.Object{"pulse_score": 50, "green_percent": 50.0, "ratio": 1.0, "trend": "neutral"})
	if j.Signal != "neutral" || j.Confidence != 50 || j.Status != messages.Watching || j.Coverage != 1 {
		t.Errorf("%+v", j)
	}
	// The predecessor leans to the sellers here: 0.7 * 50.
	if got := classic.VolumePulse("NIFTY", bars)["pulse_score"]; got != 35 {
		t.Errorf("classic score of a balanced market: %v, want 35", got)
	}
}

func TestVolumePulseMirrorsUpAndDown(t *testing.T) {
	up := seesaw(100, 300)
	for i := 80; i < 100; i++ {
		if i%4 != 0 {
			up[i] = bar(1000, 1002, 999, 1001, 300)
		} else {
			up[i] = bar(1001, 1002, 999, 1000, 300)
		}
	}
	up = at(up...)
	down := slices.Clone(up)
	for i := range down {
		down[i].Open, down[i].Close = up[i].Close, up[i].Open
	}
	a, b := judgeVolumePulse(futureOf(up)), judgeVolumePulse(futureOf(down))
	if a.Signal != "buy" || b.Signal != "sell" || a.Confidence != b.Confidence {
		t.Errorf("up %s %v, down %s %v", a.Signal, a.Confidence, b.Signal, b.Confidence)
	}
	// 75 % green: 50 + 0.7 * 25 = 67.5 -> 68; the last six are 83 % green: +20.
	wantValues(t, a, classic.Object{"pulse_score": 88, "trend": "bullish"})
	wantValues(t, b, classic.Object{"pulse_score": 12, "trend": "bearish"})
}

func TestVolumePulseRanks(t *testing.T) {
	// A body of 0.4 % on the usual volume: the largest of 100 bars, and out of
	// the classic ladder's sight (40).
	bars := seesaw(100, 300)
	bars[99].Open, bars[99].High, bars[99].Close = 1000, 1004, 1004
	j := judgeVolumePulse(futureOf(bars))
	wantValues(t, j, classic.Object{"aggression": 100, "participation": 60, "volume_quality": "healthy"})

	// The largest volume of 100 bars in the narrowest bar: absorption.
	bars = seesaw(100, 300)
	bars[99] = bar(1000, 1000.5, 1000, 1000.2, 700)
	j = judgeVolumePulse(futureOf(at(bars...)))
	wantValues(t, j, classic.Object{"aggression": 20, "participation": 100, "volume_quality": "absorption"})

	// The same volume in a wide bar that went nowhere is not narrow: a spike
	// (40) without a move (40), wide (20).
	bars[99] = bar(1010, 1015, 1005, 1010.2, 700)
	bars[96].Close, bars[93].Close = 1010, 1000
	j = judgeVolumePulse(futureOf(at(bars...)))
	wantValues(t, j, classic.Object{"exhaustion": 100, "volume_quality": "exhaustion"})
}

func TestRankCountsTiesHalf(t *testing.T) {
	bars := closeBars(1, 2, 3, 3)
	if got := rank(bars, func(c *Candle) (float64, bool) { return c.Close, true }); got != 75 {
		t.Errorf("rank %v, want (2 below + half of 2) / 4 = 75", got)
	}
	if got := rank(bars, func(c *Candle) (float64, bool) { return c.Close, c.Close != 1 }); got < 66 || got > 67 {
		t.Errorf("rank %v, want (1 + 1) / 3", got)
	}
}

func TestVolumePulseJudgesClosedBarsOnly(t *testing.T) {
	in := futureOf(seesaw(100, 300))
	quiet := judgeVolumePulse(in)
	in.Future.Running = &Candle{Open: 1000, High: 1100, Low: 1000, Close: 1100, Volume: 9000}
	in.Future.Elapsed = 0.25
	j := judgeVolumePulse(in)
	running, ok := j.Values["running"].(classic.Object)
	if !ok || running["volume"] != 9000.0 || running["elapsed"] != 0.25 || running["projected_volume"] != 36000.0 {
		t.Errorf("running: %v", j.Values["running"])
	}
	quiet.Values["running"], j.Values["running"] = nil, nil
	wantValues(t, j, quiet.Values)
	if j.Signal != quiet.Signal || j.Confidence != quiet.Confidence {
		t.Errorf("the running bar changed %s %v to %s %v", quiet.Signal, quiet.Confidence, j.Signal, j.Confidence)
	}
}

func TestVolumePulseWithoutVolume(t *testing.T) {
	for name, in := range map[string]*Input{
		"no bars":           futureOf(nil),
		"19 bars":           futureOf(seesaw(19, 300)),
		"no volume":         futureOf(seesaw(100, 0)),
		"the index is none": {Index: Window{Closed: seesaw(100, 300)}},
	} {
		j := judgeVolumePulse(in)
		if j.Status != messages.Unavailable || j.Reason == "" || j.Values != nil {
			t.Errorf("%s: %+v", name, j)
		}
		if n := len(in.Future.Closed); n > 0 && !j.AsOf.Equal(in.Future.Closed[n-1].Newest) {
			t.Errorf("%s: as of %v, not the newest bar's", name, j.AsOf)
		}
	}
	// A bar without volume has no aggression; without red volume there is no ratio.
	bars := seesaw(100, 300)
	for i := 80; i < 100; i++ {
		bars[i] = bar(1000, 1002, 999, 1001, 300)
	}
	bars[99].Volume = 0
	wantValues(t, judgeVolumePulse(futureOf(at(bars...))), classic.Object{"aggression": nil, "ratio": nil, "participation": 20})
}
