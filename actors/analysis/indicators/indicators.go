// Package indicators has the indicators of the analyses over closed bars, oldest
// first: exponential averages, RSI, ATR and the day's VWAP. Each is the plain
// definition, by go-talib where it has one, and gives false where the bars do not
// suffice; none is made up.
package indicators

import (
	talib "github.com/markcheno/go-talib"

	"kitestring/actors/analysis/classic"
	"kitestring/messages/ist"
)

// The periods of the indicators, in bars.
const (
	Fast      = 9
	Middle    = 21
	Slow      = 50
	RSIPeriod = 14
	ATRPeriod = 14
)

// Memory is how many bars the smoothed indicators look back: a fixed
// number, so that a bar's value does not depend on how much history happens to
// be held. What is older would weigh 0.3 % in EMA 50 and next to nothing in
// the others.
const Memory = 200

// EMA is the exponential moving average of the closes, seeded with the plain
// mean of the first period; false with fewer bars than the period.
func EMA(bars []classic.Candle, period int) (float64, bool) {
	bars = classic.LastN(bars, Memory)
	if len(bars) < period {
		return 0, false
	}
	values := talib.Ema(closes(bars), period)
	return values[len(values)-1], true
}

// RSI is Wilder's relative strength index, 0-100; false with fewer bars than
// the period + 1, or when no close differs from the one before.
func RSI(bars []classic.Candle, period int) (float64, bool) {
	bars = classic.LastN(bars, Memory)
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

// ATR is Wilder's average true range in points; false with fewer bars than the
// period + 1.
func ATR(bars []classic.Candle, period int) (float64, bool) {
	bars = classic.LastN(bars, Memory)
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

// SessionVWAP is the volume-weighted typical price of the newest bar's day;
// false when that day has no volume yet.
func SessionVWAP(bars []classic.Candle) (float64, bool) {
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

func closes(bars []classic.Candle) []float64 {
	v := make([]float64, len(bars))
	for i := range bars {
		v[i] = bars[i].Close
	}
	return v
}
