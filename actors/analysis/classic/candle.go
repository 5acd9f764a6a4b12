// Package classic is the formulas of the program that kitestring replaces, with
// their faults, over bars: what profile classic says. Profile calibrated builds
// on their parts.
//
// Promise: equal bars give the very numbers of the predecessor, its rounding
// included; golden files hold it. Names of fields and signals are its own.
//
// Limits: no state, no time of day, no ticks but those that Instant is given.
package classic

import (
	"math"
	"strconv"
	"time"

	"kitestring/messages"
)

// Candle is a bar in rupees, as the analyses compute with it.
type Candle struct {
	Time                   time.Time // of its start
	Open, High, Low, Close float64
	Volume                 float64 // 0 for an index
	Newest                 time.Time
	Partial, Gapped        bool
	Generation             messages.Generation
}

// Object is a JSON object under the predecessor's field names.
type Object = map[string]any

func (c Candle) Span() float64 { return c.High - c.Low }
func (c Candle) Body() float64 { return math.Abs(c.Close - c.Open) }
func (c Candle) Green() bool   { return c.Close > c.Open }
func (c Candle) Red() bool     { return c.Close < c.Open }

// LastN is the newest n bars, or all of them.
func LastN(bars []Candle, n int) []Candle {
	if len(bars) > n {
		return bars[len(bars)-n:]
	}
	return bars
}

func MeanVolume(bars []Candle) float64 {
	if len(bars) == 0 {
		return 0
	}
	sum := 0.0
	for i := range bars {
		sum += bars[i].Volume
	}
	return sum / float64(len(bars))
}

func MeanSpan(bars []Candle) float64 {
	if len(bars) == 0 {
		return 0
	}
	sum := 0.0
	for i := range bars {
		sum += bars[i].Span()
	}
	return sum / float64(len(bars))
}

// Highest is the highest high of one bar or more, lowest the lowest low.
func Highest(bars []Candle) float64 {
	h := math.Inf(-1)
	for i := range bars {
		h = max(h, bars[i].High)
	}
	return h
}

func Lowest(bars []Candle) float64 {
	l := math.Inf(1)
	for i := range bars {
		l = min(l, bars[i].Low)
	}
	return l
}

// Rung is one step of a ladder: from at upwards the ladder says points.
type Rung struct {
	At     float64
	Points int
}

// Climb is the points of the first rung that v reaches, or else otherwise.
func Climb(v float64, rungs []Rung, otherwise int) int {
	for _, r := range rungs {
		if v >= r.At {
			return r.Points
		}
	}
	return otherwise
}

// RoundDecimal rounds the exact binary value, as CPython's round does:
// 24035.135 lies below the tie and gives 24035.13.
func RoundDecimal(x float64, places int) float64 {
	r, _ := strconv.ParseFloat(strconv.FormatFloat(x, 'f', places, 64), 64) // reads back what it wrote
	return r
}

// roundScaled rounds the scaled value to even, as numpy does: 24035.135
// becomes the tie 2403513.5 and gives 24035.14.
func roundScaled(x float64, places int) float64 {
	scale := math.Pow(10, float64(places))
	return math.RoundToEven(x*scale) / scale
}
