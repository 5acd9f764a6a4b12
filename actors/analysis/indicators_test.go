package analysis

import (
	"math"
	"testing"
	"time"

	"kitestring/actors/analysis/classic"
	"kitestring/actors/analysis/indicators"

	talib "github.com/markcheno/go-talib"
)

func closeBars(prices ...float64) []Candle {
	bars := make([]Candle, len(prices))
	start := time.Date(2026, 3, 2, 3, 45, 0, 0, time.UTC)
	for i, p := range prices {
		at := start.Add(time.Duration(i) * 5 * time.Minute)
		bars[i] = Candle{Time: at, Newest: at.Add(5 * time.Minute), Open: p, High: p, Low: p, Close: p}
	}
	return bars
}

// The definitions, written out plainly.

func plainEMA(bars []Candle, period int) float64 {
	v := 0.0
	for i := range bars {
		switch {
		case i < period:
			v += bars[i].Close / float64(period)
		default:
			v += (bars[i].Close - v) * 2 / float64(period+1)
		}
	}
	return v
}

func plainRSI(bars []Candle, period int) float64 {
	var gain, loss float64
	for i := 1; i < len(bars); i++ {
		move := bars[i].Close - bars[i-1].Close
		if i <= period {
			gain += max(move, 0) / float64(period)
			loss += max(-move, 0) / float64(period)
			continue
		}
		gain += (max(move, 0) - gain) / float64(period)
		loss += (max(-move, 0) - loss) / float64(period)
	}
	return 100 * gain / (gain + loss)
}

func plainATR(bars []Candle, period int) float64 {
	v := 0.0
	for i := 1; i < len(bars); i++ {
		before := bars[i-1].Close
		tr := max(bars[i].High, before) - min(bars[i].Low, before)
		if i <= period {
			v += tr / float64(period)
			continue
		}
		v += (tr - v) / float64(period)
	}
	return v
}

func TestIndicatorsAgreeWithTalibAndTheirDefinition(t *testing.T) {
	compared := 0
	for _, symbol := range goldenSymbols {
		_, bars := goldenBars(t, symbol)
		for k := 1; k <= len(bars); k++ {
			for _, c := range []struct {
				name  string
				least int
				got   func([]Candle) (float64, bool)
				plain func([]Candle) float64
				talib func(high, low, closed []float64) []float64
			}{
				{
					"ema 9", 9,
					func(b []Candle) (float64, bool) { return indicators.EMA(b, indicators.Fast) },
					func(b []Candle) float64 { return plainEMA(b, 9) },
					func(_, _, c []float64) []float64 { return talib.Ema(c, 9) },
				},
				{
					"ema 21", 21,
					func(b []Candle) (float64, bool) { return indicators.EMA(b, indicators.Middle) },
					func(b []Candle) float64 { return plainEMA(b, 21) },
					func(_, _, c []float64) []float64 { return talib.Ema(c, 21) },
				},
				{
					"ema 50", 50,
					func(b []Candle) (float64, bool) { return indicators.EMA(b, indicators.Slow) },
					func(b []Candle) float64 { return plainEMA(b, 50) },
					func(_, _, c []float64) []float64 { return talib.Ema(c, 50) },
				},
				{
					"rsi 14", 15,
					func(b []Candle) (float64, bool) { return indicators.RSI(b, indicators.RSIPeriod) },
					func(b []Candle) float64 { return plainRSI(b, 14) },
					func(_, _, c []float64) []float64 { return talib.Rsi(c, 14) },
				},
				{
					"atr 14", 15,
					func(b []Candle) (float64, bool) { return indicators.ATR(b, indicators.ATRPeriod) },
					func(b []Candle) float64 { return plainATR(b, 14) },
					func(h, l, c []float64) []float64 { return talib.Atr(h, l, c, 14) },
				},
			} {
				got, ok := c.got(bars[:k])
				if ok != (k >= c.least) {
					t.Fatalf("%s %s of %d bars: ok %t", symbol, c.name, k, ok)
				}
				if !ok {
					continue
				}
				seen := classic.LastN(bars[:k], indicators.Memory)
				high, low, closed := make([]float64, len(seen)), make([]float64, len(seen)), make([]float64, len(seen))
				for i := range seen {
					high[i], low[i], closed[i] = seen[i].High, seen[i].Low, seen[i].Close
				}
				reference := c.talib(high, low, closed)
				for _, want := range []float64{c.plain(seen), reference[len(reference)-1]} {
					if math.Abs(got-want) > 1e-9 {
						t.Fatalf("%s %s of %d bars: got %.12f, want %.12f", symbol, c.name, k, got, want)
					}
					compared++
				}
			}
		}
	}
	t.Logf("%d values compared to 1e-9", compared)
}

func TestIndicatorsByHand(t *testing.T) {
	// Nine closes 1..9 have the mean 5; the tenth moves a fifth of the way.
	if got, ok := indicators.EMA(closeBars(1, 2, 3, 4, 5, 6, 7, 8, 9, 10), 9); !ok || math.Abs(got-6) > 1e-12 {
		t.Errorf("ema: %v %t, want 6", got, ok)
	}
	// Gains of 2, losses of 1: three gains and one loss in four moves.
	if got, ok := indicators.RSI(closeBars(10, 12, 14, 13, 15), 4); !ok || math.Abs(got-100*6.0/7) > 1e-12 {
		t.Errorf("rsi: %v %t, want %v", got, ok, 100*6.0/7)
	}
	// A range of 2 and a gap: |11-8| = 3.
	bars := closeBars(9, 9, 9)
	bars[1].High, bars[1].Low, bars[1].Close = 10, 8, 8
	bars[2].High, bars[2].Low, bars[2].Close = 11, 10, 10
	if got, ok := indicators.ATR(bars, 2); !ok || math.Abs(got-2.5) > 1e-12 {
		t.Errorf("atr: %v %t, want 2.5", got, ok)
	}
}

func TestIndicatorsInventNothing(t *testing.T) {
	flat := closeBars(make([]float64, 60)...)
	if v, ok := indicators.RSI(flat, indicators.RSIPeriod); ok {
		t.Errorf("rsi of a price that never moved: %v", v)
	}
	for n := range 3 {
		bars := closeBars(make([]float64, n)...)
		if _, ok := indicators.EMA(bars, indicators.Fast); ok {
			t.Errorf("ema of %d bars", n)
		}
		if _, ok := indicators.RSI(bars, indicators.RSIPeriod); ok {
			t.Errorf("rsi of %d bars", n)
		}
		if _, ok := indicators.ATR(bars, indicators.ATRPeriod); ok {
			t.Errorf("atr of %d bars", n)
		}
		if _, ok := indicators.SessionVWAP(bars); ok {
			t.Errorf("vwap of %d bars without volume", n)
		}
	}
}

func TestSessionVWAP(t *testing.T) {
	bars := closeBars(500, 100, 200)
	bars[0].Volume, bars[1].Volume, bars[2].Volume = 1000, 30, 10
	bars[0].Time = bars[0].Time.Add(-24 * time.Hour) // the day before does not count
	if got, ok := indicators.SessionVWAP(bars); !ok || got != 125 {
		t.Errorf("vwap %v %t, want (100*30 + 200*10) / 40 = 125", got, ok)
	}
}
