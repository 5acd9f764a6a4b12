package classic

import "math"

// The window of candle intent and the least it answers for.
const (
	CandleIntentWindow = 20
	candleIntentLeast  = 3
)

var (
	BodyLadder = []Rung{{0.7, 90}, {0.5, 70}, {0.3, 50}, {0.15, 30}}

	BodyNames = map[int]string{
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
	PatternTexts = map[string]string{
		"REJECTION":      "long upper wick: sellers reject higher prices",
		"ABSORPTION":     "long lower wick: selling is being absorbed",
		"EMOTIONAL":      "big body on little volume",
		"BREAKOUT_SETUP": "small body near the edge of the window",
		"HEALTHY_MOVE":   "strong body on volume",
		"NEUTRAL":        "no clear pattern",
	}
)

// CandleShape is what a bar looks like within its window: shares of its range
// and its volume in means.
type CandleShape struct {
	Body, Upper, Lower float64 // 0-1, of the range
	VolumeRatio        float64 // volume / mean
	Green              bool
	Near               bool // the close stands near the window's high or low
}

// CandlePattern is what the shape is taken for.
type CandlePattern struct {
	Kind       string
	Intent     string // BULLISH, BEARISH, NEUTRAL
	Strength   int    // 0-100; beyond 100 in classic
	Confidence int    // 0-100
}

// CandleIntent judges the newest bar by the predecessor's formulas, in
// its names: prices in points, percentages of the bar's range. Nil with fewer
// than 3 bars.
func CandleIntent(symbol string, bars []Candle) Object {
	if len(bars) < candleIntentLeast {
		return nil
	}
	bars = LastN(bars, CandleIntentWindow)
	last := bars[len(bars)-1]
	span := last.Span()
	if span == 0 {
		span = 0.01 // shown as well
	}
	mean := MeanVolume(bars)
	if mean == 0 {
		mean = 1
	}
	upper, lower := Wicks(last)
	s := CandleShape{
		Body: last.Body() / span, Upper: upper / span, Lower: lower / span,
		VolumeRatio: last.Volume / mean, Green: last.Green(),
		Near: nearPercent(last.Close, Highest(bars)) || nearPercent(last.Close, Lowest(bars)),
	}
	p := s.Pattern("BEARISH", s.Near && s.Body < 0.4)
	status := "WATCHING"
	if p.Confidence >= 70 {
		status = "ACTIVE"
	}
	return Object{
		"symbol": symbol,
		"current_candle": Object{
			"open": RoundDecimal(last.Open, 2), "high": RoundDecimal(last.High, 2),
			"low": RoundDecimal(last.Low, 2), "close": RoundDecimal(last.Close, 2),
			"volume": int64(last.Volume), "range": RoundDecimal(span, 2), "body_size": RoundDecimal(last.Body(), 2),
			"upper_wick": RoundDecimal(upper, 2), "lower_wick": RoundDecimal(lower, 2),
		},
		"pattern": Object{
			"type": p.Kind, "strength": p.Strength, "intent": p.Intent,
			"interpretation": PatternTexts[p.Kind], "confidence": p.Confidence,
		},
		"wick_analysis":       s.wickObject(),
		"body_analysis":       s.bodyObject(),
		"volume_analysis":     s.volumeObject(last.Volume, mean),
		"near_zone":           s.Near,
		"professional_signal": ProfessionalSignal(p, s.Near, RoundDecimal(s.VolumeRatio, 2)),
		"status":              status,
	}
}

func Wicks(c Candle) (upper, lower float64) {
	return c.High - max(c.Open, c.Close), min(c.Open, c.Close) - c.Low
}

// nearPercent is the predecessor's "near a zone": within 1.5 %, which on an
// index is almost always true.
func nearPercent(price, level float64) bool {
	return math.Abs(price-level)/level*100 <= 1.5
}

// Intent is the side of the bar's colour.
func (s CandleShape) Intent() string {
	if s.Green {
		return "BULLISH"
	}
	return "BEARISH"
}

// Pattern is the first rule that holds. emotional is the side that a big body
// on little volume speaks for; setup says whether the bar may precede a
// breakout.
func (s CandleShape) Pattern(emotional string, setup bool) CandlePattern {
	atZone := 70
	if s.Near {
		atZone = 85
	}
	switch {
	case s.Upper >= 0.4 && s.Upper > 1.5*s.Lower:
		return CandlePattern{"REJECTION", "BEARISH", wickStrength(s.Upper), atZone}
	case s.Lower >= 0.4 && s.Lower > 1.5*s.Upper:
		return CandlePattern{"ABSORPTION", "BULLISH", wickStrength(s.Lower), atZone}
	case s.Efficiency() == "ABSORPTION":
		return CandlePattern{"ABSORPTION", "BULLISH", int(s.VolumeRatio * 50), 80}
	case s.Efficiency() == "EMOTIONAL_MOVE":
		return CandlePattern{"EMOTIONAL", emotional, int(s.Body * 100), 75}
	case setup:
		return CandlePattern{"BREAKOUT_SETUP", "NEUTRAL", 60, 70}
	case s.Efficiency() == "HEALTHY":
		return CandlePattern{"HEALTHY_MOVE", s.Intent(), int((s.Body + s.VolumeRatio/3) * 100), 85}
	}
	return CandlePattern{"NEUTRAL", "NEUTRAL", 50, 50}
}

// ProfessionalSignal takes the volume ratio as it is shown.
func ProfessionalSignal(p CandlePattern, near bool, volumeRatio float64) string {
	switch {
	case p.Kind == "ABSORPTION" && near && p.Confidence >= 80 && volumeRatio >= 1.3:
		return "STRONG_BUY"
	case p.Intent == "BULLISH" && p.Confidence >= 70:
		return "BUY"
	case p.Kind == "REJECTION" && near && p.Confidence >= 80:
		return "STRONG_SELL"
	case p.Intent == "BEARISH" && p.Confidence >= 70:
		return "SELL"
	}
	return "WAIT"
}

// Efficiency compares what the volume moved with what it should have.
func (s CandleShape) Efficiency() string {
	switch {
	case s.Body < 0.3 && s.VolumeRatio >= 1.5:
		return "ABSORPTION"
	case s.Body >= 0.7 && s.VolumeRatio < 0.8:
		return "EMOTIONAL_MOVE"
	case s.Body >= 0.6 && s.VolumeRatio >= 1.5:
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

func WickSignal(share float64, side string) (signal, text string) {
	switch {
	case share >= 0.40:
		return side, "strong"
	case share >= 0.25:
		return "SLIGHTLY_" + side, "moderate"
	}
	return "NEUTRAL", "minimal"
}

func (s CandleShape) wickObject() Object {
	upperSignal, upperText := WickSignal(s.Upper, "BEARISH")
	lowerSignal, lowerText := WickSignal(s.Lower, "BULLISH")
	dominant := "balanced"
	switch {
	case s.Upper > s.Lower && s.Upper >= 0.4:
		dominant = "upper: sellers"
	case s.Lower > s.Upper && s.Lower >= 0.4:
		dominant = "lower: buyers"
	}
	return Object{
		"upper_wick_pct": RoundDecimal(s.Upper*100, 1), "lower_wick_pct": RoundDecimal(s.Lower*100, 1),
		"upper_strength": wickStrength(s.Upper), "lower_strength": wickStrength(s.Lower),
		"upper_signal": upperSignal, "lower_signal": lowerSignal,
		"upper_interpretation": upperText + " rejection at the high", "lower_interpretation": lowerText + " absorption at the low",
		"dominant_wick": dominant,
	}
}

func (s CandleShape) bodyObject() Object {
	strength := Climb(s.Body, BodyLadder, 10)
	colour := "RED"
	if s.Green {
		colour = "GREEN"
	}
	return Object{
		"body_ratio_pct": RoundDecimal(s.Body*100, 1), "body_type": BodyNames[strength], "color": colour,
		"is_bullish": s.Green, "strength": strength, "conviction": bodyTexts[strength],
		"interpretation": colour + " " + BodyNames[strength] + ": " + bodyTexts[strength],
	}
}

func VolumeType(ratio float64) (name, text string) {
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

func (s CandleShape) volumeObject(volume, mean float64) Object {
	name, text := VolumeType(s.VolumeRatio)
	efficiency := s.Efficiency()
	signal := map[string]string{
		"ABSORPTION": "BULLISH", "HEALTHY": "BULLISH", "EMOTIONAL_MOVE": "BEARISH", "NEUTRAL": "NEUTRAL",
	}[efficiency]
	return Object{
		"volume": int64(volume), "avg_volume": int64(mean), "volume_ratio": RoundDecimal(s.VolumeRatio, 2),
		"volume_type": name, "volume_interpretation": text,
		"efficiency": efficiency, "efficiency_interpretation": efficiencyTexts[efficiency], "signal": signal,
	}
}
