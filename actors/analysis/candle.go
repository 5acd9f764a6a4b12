package analysis

import (
	"math"
	"strconv"
)

// object is a JSON object under the predecessor's field names.
type object = map[string]any

func (c Candle) span() float64 { return c.High - c.Low }
func (c Candle) body() float64 { return math.Abs(c.Close - c.Open) }
func (c Candle) green() bool   { return c.Close > c.Open }
func (c Candle) red() bool     { return c.Close < c.Open }

// lastN is the newest n bars, or all of them.
func lastN(bars []Candle, n int) []Candle {
	if len(bars) > n {
		return bars[len(bars)-n:]
	}
	return bars
}

func meanVolume(bars []Candle) float64 {
	if len(bars) == 0 {
		return 0
	}
	sum := 0.0
	for i := range bars {
		sum += bars[i].Volume
	}
	return sum / float64(len(bars))
}

func meanSpan(bars []Candle) float64 {
	if len(bars) == 0 {
		return 0
	}
	sum := 0.0
	for i := range bars {
		sum += bars[i].span()
	}
	return sum / float64(len(bars))
}

// highest is the highest high of one bar or more, lowest the lowest low.
func highest(bars []Candle) float64 {
	h := math.Inf(-1)
	for i := range bars {
		h = max(h, bars[i].High)
	}
	return h
}

func lowest(bars []Candle) float64 {
	l := math.Inf(1)
	for i := range bars {
		l = min(l, bars[i].Low)
	}
	return l
}

// rung is one step of a ladder: from at upwards the ladder says points.
type rung struct {
	at     float64
	points int
}

// climb is the points of the first rung that v reaches, or else otherwise.
func climb(v float64, rungs []rung, otherwise int) int {
	for _, r := range rungs {
		if v >= r.at {
			return r.points
		}
	}
	return otherwise
}

// roundDecimal rounds the exact binary value, as CPython's round does:
// 24035.135 lies below the tie and gives 24035.13.
func roundDecimal(x float64, places int) float64 {
	r, _ := strconv.ParseFloat(strconv.FormatFloat(x, 'f', places, 64), 64) // reads back what it wrote
	return r
}

// roundScaled rounds the scaled value to even, as numpy does: 24035.135
// becomes the tie 2403513.5 and gives 24035.14.
func roundScaled(x float64, places int) float64 {
	scale := math.Pow(10, float64(places))
	return math.RoundToEven(x*scale) / scale
}
