package classic

import (
	"math"
	"slices"
)

// The window of trend base and the least it answers for.
const (
	TrendBaseWindow  = 50
	trendBaseLeast   = 15
	classicSwingSize = 0.003 // of the window's range
)

// Trend base names a structure by its last two swing highs and lows.
const (
	HigherHighHigherLow = "HIGHER-HIGH-HIGHER-LOW"
	LowerHighLowerLow   = "LOWER-HIGH-LOWER-LOW"
	HigherHighLowerLow  = "HIGHER-HIGH-LOWER-LOW"
	LowerHighHigherLow  = "LOWER-HIGH-HIGHER-LOW"
	MixedStructure      = "MIXED"
)

// integrityLadder gives points for the change between two swings, in percent.
var integrityLadder = []Rung{{1, 40}, {0.5, 30}, {0.25, 20}, {0.1, 10}}

// Swing is a turning point: a bar's index and its high or low.
type Swing struct {
	At    int
	Level float64
}

// TrendBase judges the bars by the predecessor's formulas, in its
// names: highs, lows and differences in points, scores 0-100. Nil with fewer
// than 15 bars.
func TrendBase(symbol string, bars []Candle) Object {
	if len(bars) < trendBaseLeast {
		return nil
	}
	bars = LastN(bars, TrendBaseWindow)
	size := classicSwingSize * (Highest(bars) - Lowest(bars))
	highs := classicSwings(bars, size, func(c *Candle) float64 { return c.High })
	// A low is a high of the mirrored prices.
	lows := classicSwings(bars, size, func(c *Candle) float64 { return -c.Low })

	lastHigh, prevHigh := highs[len(highs)-1].Level, highs[len(highs)-2].Level
	lastLow, prevLow := -lows[len(lows)-1].Level, -lows[len(lows)-2].Level
	structure, score := TrendStructure(lastHigh, prevHigh, lastLow, prevLow)
	signal, confidence := TrendSignal(structure, score, bars[len(bars)-1].Close, lastLow)
	status := "WATCHING"
	if confidence >= 50 {
		status = "ACTIVE"
	}
	return Object{
		"symbol": symbol,
		"structure": Object{
			"type":            structure,
			"integrity_score": score,
			"swing_points": Object{
				"last_high": RoundDecimal(lastHigh, 2), "prev_high": RoundDecimal(prevHigh, 2),
				"last_low": RoundDecimal(lastLow, 2), "prev_low": RoundDecimal(prevLow, 2),
				"high_diff": RoundDecimal(lastHigh-prevHigh, 2), "low_diff": RoundDecimal(lastLow-prevLow, 2),
			},
		},
		"signal":     signal,
		"confidence": confidence,
		"trend":      TrendName(structure, score),
		"status":     status,
	}
}

// classicSwings finds the turning points of level, at least two: strict
// extremes over two bars on each side, thinned to size; the newest bar when it
// goes beyond the last three (which repaints); and, for want of better, the
// most extreme bars.
func classicSwings(bars []Candle, size float64, level func(*Candle) float64) []Swing {
	n := len(bars)
	v := make([]float64, n)
	for i := range bars {
		v[i] = level(&bars[i])
	}
	var swings []Swing
	for i := range v {
		if !strictPeak(v, i, 2) {
			continue
		}
		if len(swings) == 0 || math.Abs(v[i]-swings[len(swings)-1].Level) >= size {
			swings = append(swings, Swing{i, v[i]})
		}
	}
	newest := Swing{n - 1, v[n-1]}
	if len(swings) > 0 {
		top := math.Inf(-1)
		for _, s := range swings[max(0, len(swings)-3):] {
			top = max(top, s.Level)
		}
		if newest.Level > top+size {
			swings = append(swings, newest)
		}
	} else if newest.Level >= slices.Max(v[max(0, n-5):]) {
		swings = append(swings, newest)
	}
	if len(swings) < 2 {
		swings = fillSwings(swings, v)
	}
	return swings
}

// strictPeak reports whether v[i] is above each neighbour up to order bars
// away; a neighbour beyond the edge is the edge itself.
func strictPeak(v []float64, i, order int) bool {
	for d := 1; d <= order; d++ {
		if v[i] <= v[max(0, i-d)] || v[i] <= v[min(len(v)-1, i+d)] {
			return false
		}
	}
	return true
}

// fillSwings adds the earliest of the five most extreme bars until there are
// two swings.
func fillSwings(swings []Swing, v []float64) []Swing {
	order := make([]int, len(v))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case v[a] > v[b]:
			return -1
		case v[a] < v[b]:
			return 1
		}
		return 0
	})
	extreme := slices.Sorted(slices.Values(order[:min(5, len(order))]))
	for _, i := range extreme {
		if len(swings) >= 2 {
			break
		}
		if !slices.ContainsFunc(swings, func(s Swing) bool { return s.At == i }) {
			swings = append(swings, Swing{i, v[i]})
		}
	}
	slices.SortFunc(swings, func(a, b Swing) int { return a.At - b.At })
	return swings
}

// TrendStructure names the structure and scores how strongly it stands, 0-100.
func TrendStructure(lastHigh, prevHigh, lastLow, prevLow float64) (structure string, score int) {
	points := func(last, prev float64) int {
		return Climb(math.Abs(last-prev)/prev*100, integrityLadder, 5)
	}
	switch {
	case lastHigh > prevHigh && lastLow > prevLow:
		return HigherHighHigherLow, min(100, 50+points(lastHigh, prevHigh)+points(lastLow, prevLow))
	case lastHigh < prevHigh && lastLow < prevLow:
		return LowerHighLowerLow, max(0, 50-points(lastHigh, prevHigh)-points(lastLow, prevLow))
	case lastHigh > prevHigh && lastLow < prevLow:
		return HigherHighLowerLow, 45
	case lastHigh < prevHigh && lastLow > prevLow:
		return LowerHighHigherLow, 55
	}
	return MixedStructure, 50
}

func TrendName(structure string, score int) string {
	switch {
	case structure == HigherHighHigherLow && score >= 52:
		return "UPTREND"
	case structure == LowerHighLowerLow && score <= 48:
		return "DOWNTREND"
	}
	return "SIDEWAYS"
}

func TrendSignal(structure string, score int, price, lastLow float64) (signal string, confidence int) {
	switch {
	case structure == HigherHighHigherLow && score >= 65:
		switch above := (price - lastLow) / lastLow * 100; {
		case above < 2:
			return "BUY", min(score+10, 95)
		case above < 5:
			return "BUY", score
		default:
			return "BUY", max(score-10, 55)
		}
	case structure == HigherHighHigherLow && score >= 50:
		return "BUY", score
	case structure == LowerHighLowerLow && score <= 25:
		return "SELL", min(100-score, 95)
	case structure == LowerHighLowerLow && score <= 50:
		return "SELL", 100 - score
	}
	return "NEUTRAL", max(0, 50-abs(50-score))
}
