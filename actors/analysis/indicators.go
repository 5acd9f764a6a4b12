package analysis

import (
	talib "github.com/markcheno/go-talib"

	"kitestring/actors/analysis/classic"
	"kitestring/messages/ist"
)

// The periods of the indicators, in bars.
const (
	emaFast   = 9
	emaMiddle = 21
	emaSlow   = 50
	rsiPeriod = 14
	atrPeriod = 14
)

// indicatorMemory is how many bars the smoothed indicators look back: a fixed
// number, so that a bar's value does not depend on how much history happens to
// be held. What is older would weigh 0.3 % in EMA 50 and next to nothing in
// the others.
const indicatorMemory = 200

// ema is the exponential moving average of the closes, seeded with the plain
// mean of the first period; false with fewer bars than the period.
func ema(bars []Candle, period int) (float64, bool) {
	bars = classic.LastN(bars, indicatorMemory)
	if len(bars) < period {
		return 0, false
	}
	values := talib.Ema(closes(bars), period)
	return values[len(values)-1], true
}

// rsi is Wilder's relative strength index, 0-100; false with fewer bars than
// the period + 1, or when no close differs from the one before.
func rsi(bars []Candle, period int) (float64, bool) {
	bars = classic.LastN(bars, indicatorMemory)
	if len(bars) < period+1 {
		return 0, false
	}
	moved := false
	for i := range bars[1:] {
		moved = moved || bars[i].Close != bars[i+1].Close
	}
	if !moved {
		return 0, false
	}
	values := talib.Rsi(closes(bars), period)
	return values[len(values)-1], true
}

// atr is Wilder's average true range in points; false with fewer bars than the
// period + 1.
func atr(bars []Candle, period int) (float64, bool) {
	bars = classic.LastN(bars, indicatorMemory)
	if len(bars) < period+1 {
		return 0, false
	}
	high, low := make([]float64, len(bars)), make([]float64, len(bars))
	for i := range bars {
		high[i], low[i] = bars[i].High, bars[i].Low
	}
	values := talib.Atr(high, low, closes(bars), period)
	return values[len(values)-1], true
}

// sessionVWAP is the volume-weighted typical price of the newest bar's day;
// false when that day has no volume yet.
func sessionVWAP(bars []Candle) (float64, bool) {
	if len(bars) == 0 {
		return 0, false
	}
	day := ist.Day(bars[len(bars)-1].Time)
	weighted, volume := 0.0, 0.0
	for i := len(bars) - 1; i >= 0 && !bars[i].Time.Before(day); i-- {
		c := &bars[i]
		weighted += (c.High + c.Low + c.Close) / 3 * c.Volume
		volume += c.Volume
	}
	if volume <= 0 {
		return 0, false
	}
	return weighted / volume, true
}

func closes(bars []Candle) []float64 {
	v := make([]float64, len(bars))
	for i := range bars {
		v[i] = bars[i].Close
	}
	return v
}
