package analysis

import (
	"testing"
	"time"

	"kitestring/actors/analysis/classic"
)

// bar makes a candle of open, high, low, close and volume.
func bar(o, h, l, c, v float64) Candle { return Candle{Open: o, High: h, Low: l, Close: c, Volume: v} }

// at gives candles consecutive five-minute starts from 09:15 IST.
func at(bars ...Candle) []Candle {
	start := time.Date(2026, 3, 2, 3, 45, 0, 0, time.UTC)
	for i := range bars {
		bars[i].Time = start.Add(time.Duration(i) * 5 * time.Minute)
		bars[i].Newest = bars[i].Time.Add(299 * time.Second)
	}
	return bars
}

// seesaw is n candles, alternately rising and falling by one point about 1000,
// each with the volume.
func seesaw(n int, volume float64) []Candle {
	bars := make([]Candle, n)
	for i := range bars {
		bars[i] = bar(1000, 1002, 999, 1001, volume)
		if i%2 == 1 {
			bars[i] = bar(1001, 1002, 999, 1000, volume)
		}
	}
	return at(bars...)
}

func part(t *testing.T, out classic.Object, path ...string) any {
	t.Helper()
	var v any = out
	for _, name := range path {
		o, ok := v.(classic.Object)
		if !ok {
			t.Fatalf("no object at %v in %v", path, out)
		}
		v = o[name]
	}
	return v
}

// The golden bars never reach EXHAUSTION, SELLER_EXHAUSTION and HEALTHY.
