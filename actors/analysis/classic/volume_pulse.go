package classic

import "math"

// The window of volume pulse and the least it answers for.
const (
	VolumePulseWindow = 20
	volumePulseLeast  = 10
)

// The scores from which it buys and down to which it sells.
const (
	VolumePulseBuy  = 55
	VolumePulseSell = 45
)

var (
	ParticipationLadder = []Rung{{2, 100}, {1.5, 80}, {1, 60}, {0.7, 40}}
	aggressionLadder    = []Rung{{1.5, 100}, {1, 80}, {0.5, 60}, {0.25, 40}}
	spikeLadder         = []Rung{{2.5, 40}, {2, 30}, {1.5, 20}}
)

var VolumeQualityTexts = map[string]string{
	"ABSORPTION":        "high volume moves the price little: somebody takes the other side",
	"COMPRESSION":       "volume rises while ranges shrink",
	"FAKE_BREAKOUT":     "the price moves on weak volume",
	"EXHAUSTION":        "a volume spike while the move tires",
	"SELLER_EXHAUSTION": "heavy selling while the fall tires",
	"HEALTHY":           "volume and price move together",
	"NEUTRAL":           "no clear volume pattern",
}

// VolumePulse judges the newest of the bars by the predecessor's
// formulas, in its names: volumes in quantity over 20 bars, percentages,
// scores and confidence 0-100. Nil with fewer than 10 bars.
func VolumePulse(symbol string, bars []Candle) Object {
	if len(bars) < volumePulseLeast {
		return nil
	}
	bars = LastN(bars, VolumePulseWindow)
	green, red := ColouredVolume(bars)
	if green+red == 0 {
		return classicNoVolume(symbol)
	}
	greenPct := green / (green + red) * 100
	ratio := 999.0
	if red > 0 {
		ratio = RoundDecimal(green/red, 2)
	}
	score := int(0.7*greenPct) + volumeMomentum(LastN(bars, 5), greenPct)
	score = min(max(score, 0), 100)
	signal, confidence := VolumePulseSignal(score, ratio, VolumePulseBuy, VolumePulseSell)
	status := "WATCHING"
	if confidence >= 63 {
		status = "ACTIVE"
	}
	detail := classicVolumeDetail(bars)
	return Object{
		"symbol": symbol,
		"volume_data": Object{
			"green_candle_volume": int64(green),
			"red_candle_volume":   int64(red),
			"green_percentage":    RoundDecimal(greenPct, 1),
			"red_percentage":      RoundDecimal(100-greenPct, 1),
			"ratio":               ratio,
		},
		"pulse_score": score,
		"signal":      signal,
		"confidence":  confidence,
		"trend":       VolumePulseTrend(score, ratio),
		"status":      status,
		"pro_metrics": detail.object(VolumeQualityTexts[detail.Quality]),
	}
}

// classicNoVolume is the fixed answer for a window without coloured volume:
// 273 of the golden rows.
func classicNoVolume(symbol string) Object {
	detail := VolumeDetail{Participation: 50, Aggression: 50, Quality: "NEUTRAL"}
	return Object{
		"symbol": symbol,
		"volume_data": Object{
			"green_candle_volume": 0, "red_candle_volume": 0,
			"green_percentage": 50, "red_percentage": 50, "ratio": 1.0,
		},
		"pulse_score": 50,
		"signal":      "NEUTRAL",
		"confidence":  0,
		"trend":       "NEUTRAL",
		"status":      "WATCHING",
		"pro_metrics": detail.object("no volume in the window"),
	}
}

func ColouredVolume(bars []Candle) (green, red float64) {
	for i := range bars {
		switch {
		case bars[i].Green():
			green += bars[i].Volume
		case bars[i].Red():
			red += bars[i].Volume
		}
	}
	return green, red
}

// volumeMomentum compares the green share of the newest bars with that of the
// whole window, both in percent.
func volumeMomentum(newest []Candle, greenPct float64) int {
	green, red := ColouredVolume(newest)
	if green+red == 0 {
		return 0
	}
	switch delta := green/(green+red)*100 - greenPct; {
	case delta > 10:
		return 30
	case delta > 5:
		return 20
	case delta > 0:
		return 10
	case delta < -10:
		return -10
	}
	return 0
}

func VolumePulseSignal(score int, ratio float64, buyFrom, sellTo int) (signal string, confidence int) {
	switch {
	case score >= 70 && ratio > 1.4:
		return "BUY", min(score, 95)
	case score >= buyFrom && ratio > 1.1:
		return "BUY", score
	case score <= 30 && ratio < 0.7:
		return "SELL", min(100-score, 95)
	case score <= sellTo && ratio < 0.9:
		return "SELL", 100 - score
	}
	return "NEUTRAL", max(0, 50-abs(50-score))
}

func VolumePulseTrend(score int, ratio float64) string {
	switch {
	case score >= 58 && ratio > 1.15:
		return "BULLISH"
	case score <= 42 && ratio < 0.87:
		return "BEARISH"
	}
	return "NEUTRAL"
}

// VolumeDetail is how the newest bar trades, each 0-100, and the name for it.
type VolumeDetail struct {
	Participation, Aggression, Exhaustion int
	Quality                               string
}

func (d VolumeDetail) object(interpretation string) Object {
	return Object{
		"participation": d.Participation, "aggression": d.Aggression, "exhaustion": d.Exhaustion,
		"volume_quality": d.Quality, "interpretation": interpretation,
	}
}

func classicVolumeDetail(bars []Candle) VolumeDetail {
	last := bars[len(bars)-1]
	mean := MeanVolume(bars)
	d := VolumeDetail{Participation: 50, Aggression: 50}
	if mean > 0 {
		d.Participation = Climb(last.Volume/mean, ParticipationLadder, 20)
		if last.Volume > 0 {
			d.Aggression = Climb(last.Body()/last.Open*100/(last.Volume/mean), aggressionLadder, 20)
		}
	}
	d.Exhaustion = classicExhaustion(bars)
	narrow := last.Span()/last.Open*100 < 0.8
	d.Quality = VolumeQuality(bars, d, narrow)
	return d
}

func classicExhaustion(bars []Candle) int {
	n := len(bars)
	last, before := bars[n-1], bars[:n-1]
	spike := 1.0
	if mean := MeanVolume(before); mean > 0 {
		spike = last.Volume / mean
	}
	points := Climb(spike, spikeLadder, 0)
	switch momentum := MoveRatio(bars); {
	case momentum < 0.7 && spike > 1.5:
		points += 40
	case momentum < 0.85:
		points += 20
	}
	if last.Span() > 1.5*MeanSpan(before) && spike > 1.8 {
		points += 20
	}
	return min(points, 100)
}

// MoveRatio is the move over the newest three bars against that over the three
// before; 1 when there was none to compare with.
func MoveRatio(bars []Candle) float64 {
	n := len(bars)
	if n < 7 {
		return 1
	}
	older := math.Abs(bars[n-4].Close - bars[n-7].Close)
	if older == 0 {
		return 1
	}
	return math.Abs(bars[n-1].Close-bars[n-4].Close) / older
}

// VolumeQuality names the bar's volume: the first rule that holds.
func VolumeQuality(bars []Candle, d VolumeDetail, narrow bool) string {
	n := len(bars)
	switch {
	case d.Participation >= 70 && d.Aggression <= 40 && narrow:
		return "ABSORPTION"
	case compressing(bars):
		return "COMPRESSION"
	case d.Participation <= 40 && d.Aggression >= 70:
		return "FAKE_BREAKOUT"
	case d.Exhaustion >= 70:
		return "EXHAUSTION"
	case bars[n-1].Red() && d.Exhaustion >= 60 && d.Participation >= 70:
		return "SELLER_EXHAUSTION"
	case d.Participation >= 50 && d.Aggression >= 50 && d.Exhaustion <= 50:
		return "HEALTHY"
	}
	return "NEUTRAL"
}

// compressing: volume rises by a fifth while ranges shrink by 15 %, the newest
// three bars against the three before.
func compressing(bars []Candle) bool {
	n := len(bars)
	if n < 6 {
		return false
	}
	now, before := bars[n-3:], bars[n-6:n-3]
	return MeanVolume(now) > 1.2*MeanVolume(before) && MeanSpan(now) < 0.85*MeanSpan(before)
}

func abs(i int) int {
	if i < 0 {
		return -i
	}
	return i
}
