package analysis

import (
	"strings"

	"kitestring/actors/analysis/classic"
	"kitestring/actors/analysis/indicators"
)

// candleIntent reads the shape of the newest closed bar of the future.
var candleIntent = Analysis{
	Kind:       "candle_intent",
	Needs:      Needs{Future: true},
	Warmup:     classic.CandleIntentWindow,
	Parameters: []*Parameter{candleNearness, candleActiveFrom},
	Judge:      judgeCandleIntent,
	Classic: func(in *Input) map[string]any {
		return classic.CandleIntent(in.Underlying, in.Future.Closed)
	},
}

var (
	// The predecessor's 1.5 % is the whole window on an index.
	candleNearness   = measure("zone_nearness_atr", 0.5, 0.05, 3, "ATR", "how far from the 20 bars' high or low a close is still near it")
	candleActiveFrom = count("active_from", 70, 70, 90, "points", "confidence, 0-100, from which the reading is active")
)

// judgeCandleIntent differs from the predecessor: the bar is the future's,
// "near" is measured in ATR, an emotional bar has its own colour, a breakout
// setup must be an inside bar, and no strength exceeds 100.
func judgeCandleIntent(in *Input) Judgement {
	context := in.Future.Last(indicators.Memory)
	bars := classic.LastN(context, classic.CandleIntentWindow)
	if len(bars) < classic.CandleIntentWindow {
		return lacking(bars, "the future has %d closed bars of the %d needed", len(bars), classic.CandleIntentWindow)
	}
	mean := classic.MeanVolume(bars)
	if mean <= 0 {
		return lacking(bars, "no volume in the last %d bars of the future", classic.CandleIntentWindow)
	}
	active := in.Settings.whole(candleActiveFrom)
	last, before := bars[len(bars)-1], bars[len(bars)-2]
	j := Judgement{Signal: "wait", Status: statusAt(0, active), Coverage: 1}
	j.Over(bars)
	span := last.Span()
	if span <= 0 {
		j.Reason = "the bar has no range"
		j.Values = classic.Object{"pattern": "flat", "intent": "neutral", "volume": last.Volume, "volume_ratio": last.Volume / mean}
		return j
	}
	reach, _ := indicators.ATR(context, indicators.ATRPeriod)
	reach *= in.Settings.of(candleNearness)
	upper, lower := classic.Wicks(last)
	s := classic.CandleShape{
		Body: last.Body() / span, Upper: upper / span, Lower: lower / span,
		VolumeRatio: last.Volume / mean, Green: last.Green(),
		Near: classic.Highest(bars)-last.Close <= reach || last.Close-classic.Lowest(bars) <= reach,
	}
	if last.Volume <= 0 {
		return lacking(bars, "the bar's price moved and no volume came with it")
	}
	inside := last.High <= before.High && last.Low >= before.Low
	p := calibratedPattern(s, inside)

	j.Signal = strings.ToLower(classic.ProfessionalSignal(p, s.Near, s.VolumeRatio))
	j.Confidence, j.Status, j.Reason = float64(p.Confidence), statusAt(p.Confidence, active), classic.PatternTexts[p.Kind]
	volume, _ := classic.VolumeType(s.VolumeRatio)
	upperSignal, _ := classic.WickSignal(s.Upper, "BEARISH")
	lowerSignal, _ := classic.WickSignal(s.Lower, "BULLISH")
	j.Values = classic.Object{
		"pattern": strings.ToLower(p.Kind), "intent": strings.ToLower(p.Intent), "strength": p.Strength,
		"open": last.Open, "high": last.High, "low": last.Low, "close": last.Close, "volume": last.Volume,
		"body_percent": s.Body * 100, "upper_wick_percent": s.Upper * 100, "lower_wick_percent": s.Lower * 100,
		"upper_signal": strings.ToLower(upperSignal), "lower_signal": strings.ToLower(lowerSignal),
		"body": strings.ToLower(classic.BodyNames[classic.Climb(s.Body, classic.BodyLadder, 10)]), "colour": colour(last),
		"mean_volume": mean, "volume_ratio": s.VolumeRatio, "volume_type": strings.ToLower(volume),
		"efficiency": strings.ToLower(s.Efficiency()), "near_zone": s.Near, "inside_bar": inside,
	}
	return j
}

// calibratedPattern lets an emotional bar speak for its own colour and asks a
// setup to be an inside bar.
func calibratedPattern(s classic.CandleShape, inside bool) classic.CandlePattern {
	p := s.Pattern(s.Intent(), s.Near && s.Body < 0.4 && inside)
	p.Strength = min(p.Strength, 100)
	return p
}

func colour(c Candle) string {
	switch {
	case c.Green():
		return "green"
	case c.Red():
		return "red"
	}
	return "none"
}
