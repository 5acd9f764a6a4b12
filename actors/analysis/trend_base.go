package analysis

import (
	"math"
	"strings"
	"time"

	"kitestring/actors/analysis/classic"
	"kitestring/actors/analysis/indicators"
	"kitestring/messages/ist"
)

// trendBase reads the structure of the last swing highs and lows.
var trendBase = Analysis{
	Kind:       "trend_base",
	Needs:      Needs{Index: true},
	Warmup:     trendBaseCalibratedLeast,
	Parameters: []*Parameter{trendSwingOrder, trendSwingSize, trendActiveFrom},
	Judge:      judgeTrendBase,
	Classic: func(in *Input) map[string]any {
		return classic.TrendBase(in.Underlying, in.Index.Closed)
	},
}

var (
	trendSwingOrder = count("swing_order", 3, 1, 9, "bars", "bars on each side that confirm a swing")
	trendSwingSize  = measure("swing_size_atr", 0.5, 0.05, 5, "ATR", "least distance between two swings of a kind, of the ATR at the newer one")
	trendActiveFrom = count("active_from", 50, 50, 95, "points", "confidence, 0-100, from which the reading is active")
)

const (
	trendBaseCalibratedLeast = 20
	// trendMemory is how many bars the ATR at a swing looks back: with it a
	// swing's size is the same whatever came later and however much is held.
	trendMemory = 100
)

// judgeTrendBase differs from the predecessor: a swing is confirmed by closed
// bars on each side and stays what it is, a plateau counts once, and two swings
// of a kind must lie some part of an ATR apart. What the running price would
// change is given separately, as provisional.
func judgeTrendBase(in *Input) Judgement {
	context := in.Index.Last(classic.TrendBaseWindow + trendMemory)
	bars := classic.LastN(context, classic.TrendBaseWindow)
	if len(bars) < trendBaseCalibratedLeast {
		return lacking(bars, "the index has %d closed bars of the %d needed", len(bars), trendBaseCalibratedLeast)
	}
	price := bars[len(bars)-1].Close
	order, apart, active := in.Settings.whole(trendSwingOrder), in.Settings.of(trendSwingSize), in.Settings.whole(trendActiveFrom)
	highs := newestSwings(context, order, apart, func(c *Candle) float64 { return c.High })
	lows := mirrored(newestSwings(context, order, apart, func(c *Candle) float64 { return -c.Low }))

	j := Judgement{Signal: "neutral", Status: statusAt(0, active), Coverage: float64(len(bars)) / classic.TrendBaseWindow}
	j.Over(bars)
	if len(highs) < 2 || len(lows) < 2 {
		j.Reason = "fewer than two confirmed swings on a side"
		j.Values = classic.Object{"structure": "undetermined", "trend": "sideways", "provisional": nil}
		return j
	}
	structure, score := classic.TrendStructure(highs[0].Level, highs[1].Level, lows[0].Level, lows[1].Level)
	signal, confidence := classic.TrendSignal(structure, score, price, lows[0].Level)
	j.Signal, j.Confidence, j.Status = strings.ToLower(signal), float64(confidence), statusAt(confidence, active)
	j.Reason = structureTexts[structure]
	j.Values = classic.Object{
		"structure": structureName(structure), "integrity_score": score,
		"trend":     strings.ToLower(classic.TrendName(structure, score)),
		"last_high": highs[0].Level, "prev_high": highs[1].Level, "high_diff": highs[0].Level - highs[1].Level,
		"last_low": lows[0].Level, "prev_low": lows[1].Level, "low_diff": lows[0].Level - lows[1].Level,
		"last_high_at": stamp(context[highs[0].At].Time), "last_low_at": stamp(context[lows[0].At].Time),
		"prev_high_at": stamp(context[highs[1].At].Time), "prev_low_at": stamp(context[lows[1].At].Time),
		"provisional": provisionalTrend(in.Index.Running, apart, context, highs, lows),
	}
	return j
}

// stamp is a time as readings show it.
func stamp(t time.Time) string { return t.In(ist.Zone).Format(time.RFC3339) }

var structureTexts = map[string]string{
	classic.HigherHighHigherLow: "higher highs and higher lows",
	classic.LowerHighLowerLow:   "lower highs and lower lows",
	classic.HigherHighLowerLow:  "higher high, lower low: the range widens",
	classic.LowerHighHigherLow:  "lower high, higher low: the range narrows",
	classic.MixedStructure:      "no clear structure",
}

func structureName(structure string) string {
	return strings.ReplaceAll(strings.ToLower(structure), "-", "_")
}

// newestSwings is the newest confirmed swing of the last 50 bars and the one
// before it that lies far enough away, apart times the ATR; fewer when there
// are none.
func newestSwings(bars []Candle, order int, apart float64, level func(*Candle) float64) []classic.Swing {
	v := make([]float64, len(bars))
	for i := range bars {
		v[i] = level(&bars[i])
	}
	var found []classic.Swing
	size := 0.0
	for i := len(v) - 1; i >= max(0, len(v)-classic.TrendBaseWindow) && len(found) < 2; i-- {
		if !indicators.ConfirmedPeak(v, i, order) {
			continue
		}
		if len(found) == 0 {
			size = apart * atrAt(bars, i)
			found = append(found, classic.Swing{At: i, Level: v[i]})
		} else if math.Abs(v[i]-found[0].Level) >= size {
			found = append(found, classic.Swing{At: i, Level: v[i]})
		}
	}
	return found
}

// atrAt is the average true range when bar i closed; that of fewer bars when
// there are too few for the whole period.
func atrAt(bars []Candle, i int) float64 {
	seen := bars[max(0, i+1-trendMemory) : i+1]
	if v, ok := indicators.ATR(seen, indicators.ATRPeriod); ok {
		return v
	}
	return classic.MeanSpan(seen)
}

func mirrored(swings []classic.Swing) []classic.Swing {
	for i := range swings {
		swings[i].Level = -swings[i].Level
	}
	return swings
}

// provisionalTrend is the structure as it would be if the running bar's high
// and low were swings; nil when no bar is running.
func provisionalTrend(running *Candle, apart float64, bars []Candle, highs, lows []classic.Swing) any {
	if running == nil {
		return nil
	}
	size := apart * atrAt(bars, len(bars)-1)
	lastHigh, prevHigh := highs[0].Level, highs[1].Level
	if running.High >= lastHigh+size {
		lastHigh, prevHigh = running.High, lastHigh
	}
	lastLow, prevLow := lows[0].Level, lows[1].Level
	if running.Low <= lastLow-size {
		lastLow, prevLow = running.Low, lastLow
	}
	structure, score := classic.TrendStructure(lastHigh, prevHigh, lastLow, prevLow)
	return classic.Object{
		"structure": structureName(structure), "integrity_score": score,
		"trend": strings.ToLower(classic.TrendName(structure, score)), "price": running.Close,
		"last_high": lastHigh, "last_low": lastLow,
	}
}
