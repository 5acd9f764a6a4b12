package analysis

import "math"

// The window of candle intent and the least it answers for.
const (
	candleIntentWindow = 20
	candleIntentLeast  = 3
)

var (
	bodyLadder = []rung{{0.7, 90}, {0.5, 70}, {0.3, 50}, {0.15, 30}}

	bodyNames = map[int]string{
		90: "STRONG_BODY", 70: "MODERATE_BODY", 50: "AVERAGE_BODY", 30: "SMALL_BODY", 10: "DOJI",
	}
	bodyTexts = map[int]string{
		90: "high conviction", 70: "moderate conviction", 50: "average move", 30: "low conviction", 10: "indecision",
	}
	efficiencyTexts = map[string]string{
		"ABSORPTION":     "big volume, small move",
		"EMOTIONAL_MOVE": "big move, little volume",
		"HEALTHY":        "big move on volume",
		"NEUTRAL":        "volume and move in proportion",
	}
	patternTexts = map[string]string{
		"REJECTION":      "long upper wick: sellers reject higher prices",
		"ABSORPTION":     "buyers take what is sold",
		"EMOTIONAL":      "big body on little volume",
		"BREAKOUT_SETUP": "small body near the edge of the window",
		"HEALTHY_MOVE":   "strong body on volume",
		"NEUTRAL":        "no clear pattern",
	}
)

// candleShape is what a bar looks like beside its window: shares of its range
// and its volume in means.
type candleShape struct {
	body, upper, lower float64 // 0-1, of the range
	volumeRatio        float64 // volume / mean
	green              bool
	near               bool // the close stands near the window's high or low
}

// candlePattern is what the shape is taken for.
type candlePattern struct {
	kind       string
	intent     string // BULLISH, BEARISH, NEUTRAL
	strength   int    // 0-100; beyond 100 in classic
	confidence int    // 0-100
}

// classicCandleIntent judges the newest bar by the predecessor's formulas, in
// its names: prices in points, percentages of the bar's range. Nil with fewer
// than 3 bars.
func classicCandleIntent(symbol string, bars []Candle) object {
	if len(bars) < candleIntentLeast {
		return nil
	}
	bars = lastN(bars, candleIntentWindow)
	last := bars[len(bars)-1]
	span := last.span()
	if span == 0 {
		span = 0.01 // shown as well
	}
	mean := meanVolume(bars)
	if mean == 0 {
		mean = 1
	}
	upper, lower := wicks(last)
	s := candleShape{
		body: last.body() / span, upper: upper / span, lower: lower / span,
		volumeRatio: last.Volume / mean, green: last.green(),
		near: nearPercent(last.Close, highest(bars)) || nearPercent(last.Close, lowest(bars)),
	}
	p := s.pattern("BEARISH", s.near && s.body < 0.4)
	status := "WATCHING"
	if p.confidence >= 70 {
		status = "ACTIVE"
	}
	return object{
		"symbol": symbol,
		"current_candle": object{
			"open": roundDecimal(last.Open, 2), "high": roundDecimal(last.High, 2),
			"low": roundDecimal(last.Low, 2), "close": roundDecimal(last.Close, 2),
			"volume": int64(last.Volume), "range": roundDecimal(span, 2), "body_size": roundDecimal(last.body(), 2),
			"upper_wick": roundDecimal(upper, 2), "lower_wick": roundDecimal(lower, 2),
		},
		"pattern": object{
			"type": p.kind, "strength": p.strength, "intent": p.intent,
			"interpretation": patternTexts[p.kind], "confidence": p.confidence,
		},
		"wick_analysis":       s.wickObject(),
		"body_analysis":       s.bodyObject(),
		"volume_analysis":     s.volumeObject(last.Volume, mean),
		"near_zone":           s.near,
		"professional_signal": professionalSignal(p, s.near, roundDecimal(s.volumeRatio, 2)),
		"status":              status,
	}
}

func wicks(c Candle) (upper, lower float64) {
	return c.High - max(c.Open, c.Close), min(c.Open, c.Close) - c.Low
}

// nearPercent is the predecessor's "near a zone": within 1.5 %, which on an
// index is almost always true.
func nearPercent(price, level float64) bool {
	return math.Abs(price-level)/level*100 <= 1.5
}

// intent is the side of the bar's colour.
func (s candleShape) intent() string {
	if s.green {
		return "BULLISH"
	}
	return "BEARISH"
}

// pattern is the first rule that holds. emotional is the side that a big body
// on little volume speaks for; setup says whether the bar may precede a
// breakout.
func (s candleShape) pattern(emotional string, setup bool) candlePattern {
	atZone := 70
	if s.near {
		atZone = 85
	}
	switch {
	case s.upper >= 0.4 && s.upper > 1.5*s.lower:
		return candlePattern{"REJECTION", "BEARISH", wickStrength(s.upper), atZone}
	case s.lower >= 0.4 && s.lower > 1.5*s.upper:
		return candlePattern{"ABSORPTION", "BULLISH", wickStrength(s.lower), atZone}
	case s.efficiency() == "ABSORPTION":
		return candlePattern{"ABSORPTION", "BULLISH", int(s.volumeRatio * 50), 80}
	case s.efficiency() == "EMOTIONAL_MOVE":
		return candlePattern{"EMOTIONAL", emotional, int(s.body * 100), 75}
	case setup:
		return candlePattern{"BREAKOUT_SETUP", "NEUTRAL", 60, 70}
	case s.efficiency() == "HEALTHY":
		return candlePattern{"HEALTHY_MOVE", s.intent(), int((s.body + s.volumeRatio/3) * 100), 85}
	}
	return candlePattern{"NEUTRAL", "NEUTRAL", 50, 50}
}

// professionalSignal takes the volume ratio as it is shown.
func professionalSignal(p candlePattern, near bool, volumeRatio float64) string {
	switch {
	case p.kind == "ABSORPTION" && near && p.confidence >= 80 && volumeRatio >= 1.3:
		return "STRONG_BUY"
	case p.intent == "BULLISH" && p.confidence >= 70:
		return "BUY"
	case p.kind == "REJECTION" && near && p.confidence >= 80:
		return "STRONG_SELL"
	case p.intent == "BEARISH" && p.confidence >= 70:
		return "SELL"
	}
	return "WAIT"
}

// efficiency compares what the volume moved with what it should have.
func (s candleShape) efficiency() string {
	switch {
	case s.body < 0.3 && s.volumeRatio >= 1.5:
		return "ABSORPTION"
	case s.body >= 0.7 && s.volumeRatio < 0.8:
		return "EMOTIONAL_MOVE"
	case s.body >= 0.6 && s.volumeRatio >= 1.5:
		return "HEALTHY"
	}
	return "NEUTRAL"
}

// wickStrength is 0-100 for a wick of this share of the range.
func wickStrength(share float64) int {
	switch {
	case share >= 0.40:
		return min(int(share*150), 100)
	case share >= 0.25:
		return int(share * 200)
	}
	return int(share * 100)
}

func wickSignal(share float64, side string) (signal, text string) {
	switch {
	case share >= 0.40:
		return side, "strong"
	case share >= 0.25:
		return "SLIGHTLY_" + side, "moderate"
	}
	return "NEUTRAL", "minimal"
}

func (s candleShape) wickObject() object {
	upperSignal, upperText := wickSignal(s.upper, "BEARISH")
	lowerSignal, lowerText := wickSignal(s.lower, "BULLISH")
	dominant := "balanced"
	switch {
	case s.upper > s.lower && s.upper >= 0.4:
		dominant = "upper: sellers"
	case s.lower > s.upper && s.lower >= 0.4:
		dominant = "lower: buyers"
	}
	return object{
		"upper_wick_pct": roundDecimal(s.upper*100, 1), "lower_wick_pct": roundDecimal(s.lower*100, 1),
		"upper_strength": wickStrength(s.upper), "lower_strength": wickStrength(s.lower),
		"upper_signal": upperSignal, "lower_signal": lowerSignal,
		"upper_interpretation": upperText + " rejection at the high", "lower_interpretation": lowerText + " absorption at the low",
		"dominant_wick": dominant,
	}
}

func (s candleShape) bodyObject() object {
	strength := climb(s.body, bodyLadder, 10)
	colour := "RED"
	if s.green {
		colour = "GREEN"
	}
	return object{
		"body_ratio_pct": roundDecimal(s.body*100, 1), "body_type": bodyNames[strength], "color": colour,
		"is_bullish": s.green, "strength": strength, "conviction": bodyTexts[strength],
		"interpretation": colour + " " + bodyNames[strength] + ": " + bodyTexts[strength],
	}
}

func volumeType(ratio float64) (name, text string) {
	switch {
	case ratio >= 2:
		return "VERY_HIGH", "very high volume"
	case ratio >= 1.5:
		return "HIGH", "high volume"
	case ratio >= 1.2:
		return "ABOVE_AVERAGE", "above average volume"
	case ratio >= 0.8:
		return "AVERAGE", "average volume"
	case ratio >= 0.5:
		return "LOW", "low volume"
	}
	return "VERY_LOW", "very low volume"
}

func (s candleShape) volumeObject(volume, mean float64) object {
	name, text := volumeType(s.volumeRatio)
	efficiency := s.efficiency()
	signal := map[string]string{
		"ABSORPTION": "BULLISH", "HEALTHY": "BULLISH", "EMOTIONAL_MOVE": "BEARISH", "NEUTRAL": "NEUTRAL",
	}[efficiency]
	return object{
		"volume": int64(volume), "avg_volume": int64(mean), "volume_ratio": roundDecimal(s.volumeRatio, 2),
		"volume_type": name, "volume_interpretation": text,
		"efficiency": efficiency, "efficiency_interpretation": efficiencyTexts[efficiency], "signal": signal,
	}
}
