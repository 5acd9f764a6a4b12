package analysis

import (
	"math"
	"slices"
)

// The window of trend base and the least it answers for.
const (
	trendBaseWindow  = 50
	trendBaseLeast   = 15
	classicSwingSize = 0.003 // of the window's range
)

// Trend base names a structure by its last two swing highs and lows.
const (
	higherHighHigherLow = "HIGHER-HIGH-HIGHER-LOW"
	lowerHighLowerLow   = "LOWER-HIGH-LOWER-LOW"
	higherHighLowerLow  = "HIGHER-HIGH-LOWER-LOW"
	lowerHighHigherLow  = "LOWER-HIGH-HIGHER-LOW"
	mixedStructure      = "MIXED"
)

// integrityLadder gives points for the change between two swings, in percent.
var integrityLadder = []rung{{1, 40}, {0.5, 30}, {0.25, 20}, {0.1, 10}}

// swing is a turning point: a bar's index and its high or low.
type swing struct {
	at    int
	level float64
}

// classicTrendBase judges the bars by the predecessor's formulas, in its
// names: highs, lows and differences in points, scores 0-100. Nil with fewer
// than 15 bars.
func classicTrendBase(symbol string, bars []Candle) object {
	if len(bars) < trendBaseLeast {
		return nil
	}
	bars = lastN(bars, trendBaseWindow)
	size := classicSwingSize * (highest(bars) - lowest(bars))
	highs := classicSwings(bars, size, func(c *Candle) float64 { return c.High })
	// A low is a high of the mirrored prices.
	lows := classicSwings(bars, size, func(c *Candle) float64 { return -c.Low })

	lastHigh, prevHigh := highs[len(highs)-1].level, highs[len(highs)-2].level
	lastLow, prevLow := -lows[len(lows)-1].level, -lows[len(lows)-2].level
	structure, score := trendStructure(lastHigh, prevHigh, lastLow, prevLow)
	signal, confidence := classicTrendSignal(structure, score, bars[len(bars)-1].Close, lastLow)
	status := "WATCHING"
	if confidence >= 50 {
		status = "ACTIVE"
	}
	return object{
		"symbol": symbol,
		"structure": object{
			"type":            structure,
			"integrity_score": score,
			"swing_points": object{
				"last_high": roundDecimal(lastHigh, 2), "prev_high": roundDecimal(prevHigh, 2),
				"last_low": roundDecimal(lastLow, 2), "prev_low": roundDecimal(prevLow, 2),
				"high_diff": roundDecimal(lastHigh-prevHigh, 2), "low_diff": roundDecimal(lastLow-prevLow, 2),
			},
		},
		"signal":     signal,
		"confidence": confidence,
		"trend":      trendName(structure, score),
		"status":     status,
	}
}

// classicSwings finds the turning points of level, at least two: strict
// extremes over two bars on each side, thinned to size; the newest bar when it
// goes beyond the last three (which repaints); and, for want of better, the
// most extreme bars.
func classicSwings(bars []Candle, size float64, level func(*Candle) float64) []swing {
	n := len(bars)
	v := make([]float64, n)
	for i := range bars {
		v[i] = level(&bars[i])
	}
	var swings []swing
	for i := range v {
		if !strictPeak(v, i, 2) {
			continue
		}
		if len(swings) == 0 || math.Abs(v[i]-swings[len(swings)-1].level) >= size {
			swings = append(swings, swing{i, v[i]})
		}
	}
	newest := swing{n - 1, v[n-1]}
	if len(swings) > 0 {
		top := math.Inf(-1)
		for _, s := range swings[max(0, len(swings)-3):] {
			top = max(top, s.level)
		}
		if newest.level > top+size {
			swings = append(swings, newest)
		}
	} else if newest.level >= slices.Max(v[max(0, n-5):]) {
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
func fillSwings(swings []swing, v []float64) []swing {
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
		if !slices.ContainsFunc(swings, func(s swing) bool { return s.at == i }) {
			swings = append(swings, swing{i, v[i]})
		}
	}
	slices.SortFunc(swings, func(a, b swing) int { return a.at - b.at })
	return swings
}

// trendStructure names the structure and scores how strongly it stands, 0-100.
func trendStructure(lastHigh, prevHigh, lastLow, prevLow float64) (structure string, score int) {
	points := func(last, prev float64) int {
		return climb(math.Abs(last-prev)/prev*100, integrityLadder, 5)
	}
	switch {
	case lastHigh > prevHigh && lastLow > prevLow:
		return higherHighHigherLow, min(100, 50+points(lastHigh, prevHigh)+points(lastLow, prevLow))
	case lastHigh < prevHigh && lastLow < prevLow:
		return lowerHighLowerLow, max(0, 50-points(lastHigh, prevHigh)-points(lastLow, prevLow))
	case lastHigh > prevHigh && lastLow < prevLow:
		return higherHighLowerLow, 45
	case lastHigh < prevHigh && lastLow > prevLow:
		return lowerHighHigherLow, 55
	}
	return mixedStructure, 50
}

func trendName(structure string, score int) string {
	switch {
	case structure == higherHighHigherLow && score >= 52:
		return "UPTREND"
	case structure == lowerHighLowerLow && score <= 48:
		return "DOWNTREND"
	}
	return "SIDEWAYS"
}

func classicTrendSignal(structure string, score int, price, lastLow float64) (signal string, confidence int) {
	switch {
	case structure == higherHighHigherLow && score >= 65:
		switch above := (price - lastLow) / lastLow * 100; {
		case above < 2:
			return "BUY", min(score+10, 95)
		case above < 5:
			return "BUY", score
		default:
			return "BUY", max(score-10, 55)
		}
	case structure == higherHighHigherLow && score >= 50:
		return "BUY", score
	case structure == lowerHighLowerLow && score <= 25:
		return "SELL", min(100-score, 95)
	case structure == lowerHighLowerLow && score <= 50:
		return "SELL", 100 - score
	}
	return "NEUTRAL", max(0, 50-abs(50-score))
}
