package analysis

import (
	"testing"

	"kitestring/actors/analysis/classic"
	"kitestring/messages"
)

// judged is candle intent of a last bar after 30 bars of volume 100 about 1000,
// with an ATR of 3 and extremes 999 and 1002.
func judged(last Candle) Judgement {
	return judgeCandleIntent(futureOf(at(append(seesaw(30, 100), last)...)))
}

func TestCandleIntentNearIsHalfAnATR(t *testing.T) {
	// A body in the middle: 1.5 % covers all of it, half an ATR (1.5) does not.
	high := bar(1010, 1011, 1000, 1010, 100)
	bars := append(seesaw(30, 100), high)
	far := bar(1004.9, 1005.6, 1004.2, 1005.1, 100)
	j := judgeCandleIntent(futureOf(at(append(bars, far)...)))
	wantValues(t, j, classic.Object{"near_zone": false, "inside_bar": true, "pattern": "neutral"})
	near := bar(1009.5, 1010.5, 1008.5, 1009.8, 100)
	j = judgeCandleIntent(futureOf(at(append(bars, near)...)))
	wantValues(t, j, classic.Object{"near_zone": true, "inside_bar": true, "pattern": "breakout_setup"})
	if j.Signal != "wait" || j.Confidence != 70 {
		t.Errorf("%s %v", j.Signal, j.Confidence)
	}
	if classic := classic.CandleIntent("NIFTY", append(bars, far)); classic["near_zone"] != true {
		t.Error("classic does not find 0.6 % near")
	}
}

func TestCandleIntentSetupMustBeInside(t *testing.T) {
	// The same small body near the high, but reaching above the bar before.
	j := judged(bar(1001, 1002.2, 1000, 1001.2, 100))
	wantValues(t, j, classic.Object{"near_zone": true, "inside_bar": false, "pattern": "neutral"})
}

func TestCandleIntentEmotionalHasItsColour(t *testing.T) {
	green := judged(bar(1000, 1010, 1000, 1010, 10))
	wantValues(t, green, classic.Object{"pattern": "emotional", "intent": "bullish", "strength": 100, "colour": "green"})
	red := judged(bar(1010, 1010, 1000, 1000, 10))
	wantValues(t, red, classic.Object{"pattern": "emotional", "intent": "bearish", "colour": "red"})
	if green.Signal != "buy" || red.Signal != "sell" || green.Confidence != 75 {
		t.Errorf("%s %s %v", green.Signal, red.Signal, green.Confidence)
	}
}

func TestCandleIntentStrengthIsCapped(t *testing.T) {
	j := judged(bar(1000, 1010, 999, 1009, 900))
	wantValues(t, j, classic.Object{"pattern": "healthy_move", "intent": "bullish", "strength": 100})
	if j.Signal != "buy" || j.Confidence != 85 || j.Status != messages.Active {
		t.Errorf("%+v", j)
	}
	j = judged(bar(1000, 1004, 996, 1000.5, 900))
	wantValues(t, j, classic.Object{"pattern": "absorption", "strength": 100})
}

func TestCandleIntentAtTheExtremes(t *testing.T) {
	j := judged(bar(1000.2, 1007, 999.5, 1000.4, 100))
	wantValues(t, j, classic.Object{"pattern": "rejection", "intent": "bearish", "near_zone": true})
	if j.Signal != "strong_sell" {
		t.Errorf("long upper wick near the low: %s", j.Signal)
	}
	j = judged(bar(1001, 1002, 993, 1001.2, 200))
	wantValues(t, j, classic.Object{"pattern": "absorption", "intent": "bullish", "near_zone": true})
	if j.Signal != "strong_buy" {
		t.Errorf("long lower wick on volume near the high: %s", j.Signal)
	}
}

func TestCandleIntentWithoutInput(t *testing.T) {
	for name, in := range map[string]*Input{
		"no bars":    futureOf(nil),
		"19 bars":    futureOf(seesaw(19, 100)),
		"no volume":  futureOf(seesaw(30, 0)),
		"index only": indexOf(seesaw(30, 0)),
	} {
		if j := judgeCandleIntent(in); j.Status != messages.Unavailable || j.Values != nil || j.Reason == "" {
			t.Errorf("%s: %+v", name, j)
		}
	}
	j := judged(bar(1000, 1000, 1000, 1000, 5))
	if j.Signal != "wait" || j.Confidence != 0 || j.Values["pattern"] != "flat" {
		t.Errorf("flat bar: %+v", j)
	}
	wantValues(t, judged(bar(1000, 1002, 999, 1000, 100)), classic.Object{"colour": "none"})
}

func TestCandleIntentOfABarWhoseVolumeIsMissing(t *testing.T) {
	// Volume 0 under a moving price is a missing input, not little volume.
	j := judged(bar(1000, 1010, 1000, 1010, 0))
	if j.Status != messages.Unavailable || j.Reason == "" {
		t.Errorf("%+v", j)
	}
}
