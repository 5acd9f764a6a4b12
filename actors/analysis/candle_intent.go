package analysis

import "strings"

// candleIntent reads the shape of the newest closed bar of the future.
var candleIntent = Analysis{
	Kind:       "candle_intent",
	Title:      "Candle intent",
	Needs:      Needs{Future: true},
	Warmup:     candleIntentWindow,
	Parameters: []*Parameter{candleNearness, candleActiveFrom},
	Judge:      judgeCandleIntent,
	Classic: func(in *Input) map[string]any {
		return classicCandleIntent(in.Underlying, in.Future.Closed)
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
	context := in.Future.Last(indicatorMemory)
	bars := lastN(context, candleIntentWindow)
	if len(bars) < candleIntentWindow {
		return lacking(bars, "the future has %d closed bars of the %d needed", len(bars), candleIntentWindow)
	}
	mean := meanVolume(bars)
	if mean <= 0 {
		return lacking(bars, "no volume in the last %d bars of the future", candleIntentWindow)
	}
	active := in.Chosen.whole(candleActiveFrom)
	last, before := bars[len(bars)-1], bars[len(bars)-2]
	j := Judgement{Signal: "wait", Status: statusAt(0, active), Coverage: 1}
	j.Over(bars)
	span := last.span()
	if span <= 0 {
		j.Reason = "the bar has no range"
		j.Values = object{"pattern": "flat", "intent": "neutral", "volume": last.Volume, "volume_ratio": last.Volume / mean}
		return j
	}
	reach, _ := atr(context, atrPeriod)
	reach *= in.Chosen.of(candleNearness)
	upper, lower := wicks(last)
	s := candleShape{
		body: last.body() / span, upper: upper / span, lower: lower / span,
		volumeRatio: last.Volume / mean, green: last.green(),
		near: highest(bars)-last.Close <= reach || last.Close-lowest(bars) <= reach,
	}
	if last.Volume <= 0 {
		return lacking(bars, "the bar's price moved and no volume came with it")
	}
	inside := last.High <= before.High && last.Low >= before.Low
	p := calibratedPattern(s, inside)

	j.Signal = strings.ToLower(professionalSignal(p, s.near, s.volumeRatio))
	j.Confidence, j.Status, j.Reason = float64(p.confidence), statusAt(p.confidence, active), patternTexts[p.kind]
	volume, _ := volumeType(s.volumeRatio)
	upperSignal, _ := wickSignal(s.upper, "BEARISH")
	lowerSignal, _ := wickSignal(s.lower, "BULLISH")
	j.Values = object{
		"pattern": strings.ToLower(p.kind), "intent": strings.ToLower(p.intent), "strength": p.strength,
		"open": last.Open, "high": last.High, "low": last.Low, "close": last.Close, "volume": last.Volume,
		"body_percent": s.body * 100, "upper_wick_percent": s.upper * 100, "lower_wick_percent": s.lower * 100,
		"upper_signal": strings.ToLower(upperSignal), "lower_signal": strings.ToLower(lowerSignal),
		"body": strings.ToLower(bodyNames[climb(s.body, bodyLadder, 10)]), "colour": colour(last),
		"mean_volume": mean, "volume_ratio": s.volumeRatio, "volume_type": strings.ToLower(volume),
		"efficiency": strings.ToLower(s.efficiency()), "near_zone": s.near, "inside_bar": inside,
	}
	return j
}

// calibratedPattern lets an emotional bar speak for its own colour and asks a
// setup to be an inside bar.
func calibratedPattern(s candleShape, inside bool) candlePattern {
	p := s.pattern(s.intent(), s.near && s.body < 0.4 && inside)
	p.strength = min(p.strength, 100)
	return p
}

func colour(c Candle) string {
	switch {
	case c.green():
		return "green"
	case c.red():
		return "red"
	}
	return "none"
}
