package optionchain

import (
	"errors"
	"math"
)

// Why a price has no volatility.
var (
	ErrExpired = errors.New("no time is left to expiry")
	ErrTooLow  = errors.New("the price is not above what exercise would bring")
	ErrTooHigh = errors.New("the price is above what any volatility gives")
	ErrInput   = errors.New("the price, the strike or the forward is not above zero")
)

// Contract is what Black's formula knows of a European option besides the
// volatility.
type Contract struct {
	Put     bool
	Strike  float64
	Forward float64 // price of the underlying for the day of expiry
	Years   float64 // to expiry
	Rate    float64 // that the premium is discounted at, continuous, a year
}

// Price is Black's formula of 1976.
func (c Contract) Price(volatility float64) float64 {
	discount := math.Exp(-c.Rate * c.Years)
	exercise := max(0, c.side()*(c.Forward-c.Strike))
	deviation := volatility * math.Sqrt(c.Years)
	if deviation <= 0 {
		return discount * exercise
	}
	// The option out of the money of the same strike, and parity for the other.
	value, _ := normalised(-math.Abs(math.Log(c.Forward/c.Strike)), deviation)
	return discount * (exercise + value*math.Sqrt(c.Forward*c.Strike))
}

// Delta is the change of the price for a change of the forward by one.
func (c Contract) Delta(volatility float64) float64 {
	deviation := volatility * math.Sqrt(c.Years)
	d1 := math.Log(c.Forward/c.Strike)/deviation + deviation/2
	return math.Exp(-c.Rate*c.Years) * c.side() * cumulative(c.side()*d1)
}

func (c Contract) side() float64 {
	if c.Put {
		return -1
	}
	return 1
}

const (
	mostSteps = 40   // Newton needs three to six
	enough    = 1e-7 // relative step after which it ends: the error is the square of it
)

// Volatility is the one at which Black's formula gives the price. It costs well
// under a microsecond.
//
// It looks for the deviation s (volatility times the root of the time) of the
// option out of the money of the same strike, whose value over the root of
// forward and strike is b(x, s) with x = -|ln(forward/strike)|. b rises in s,
// convex up to the root of 2|x| and concave after it, so that Newton's steps
// from there to a greater value never pass it. Below, b falls away as
// exp(-x²/2s²): there the steps are on 1/ln b, which is nearly a parabola in s.
// A bracket catches what rounding does to a step.
func (c Contract) Volatility(price float64) (float64, error) {
	switch {
	case !(price > 0) || !(c.Strike > 0) || !(c.Forward > 0): // NaN, too
		return 0, ErrInput
	case !(c.Years > 0):
		return 0, ErrExpired
	}
	scale := math.Sqrt(c.Forward * c.Strike)
	target := (price*math.Exp(c.Rate*c.Years) - max(0, c.side()*(c.Forward-c.Strike))) / scale
	x := -math.Abs(math.Log(c.Forward / c.Strike))
	switch {
	case target <= 1e-12:
		return 0, ErrTooLow
	case target >= math.Exp(x/2)*(1-1e-12):
		return 0, ErrTooHigh
	}
	turn := math.Sqrt(-2 * x)
	middle, slope := 0.0, 0.0
	if turn > 0 {
		middle, slope = normalised(x, turn)
	}
	s, low, high := turn, 0.0, math.Inf(1)
	below := target < middle
	if below {
		high = turn
	} else {
		low = turn
		if slope == 0 {
			slope = 1 / math.Sqrt(2*math.Pi) // at the money: b'(0)
		}
		s += (target - middle) / slope
	}
	inverse := 1 / math.Log(target)
	for range mostSteps {
		value, slope := normalised(x, s)
		if value > target {
			high = min(high, s)
		} else {
			low = max(low, s)
		}
		next := s
		if below && value > 0 {
			logarithm := math.Log(value)
			next += (1/logarithm - inverse) * value * logarithm * logarithm / slope
		} else {
			next -= (value - target) / slope
		}
		if math.Abs(next-s) <= enough*s { // before the bracket: s may be the answer itself
			s = next
			break
		}
		if !(next > low && next < high) { // NaN, too
			if math.IsInf(high, 1) {
				next = 2 * s
			} else {
				next = (low + high) / 2
			}
		}
		s = next
	}
	return s / math.Sqrt(c.Years), nil
}

// normalised is the value of an option out of the money over the root of forward
// and strike, and its slope in s; x <= 0, s > 0.
func normalised(x, s float64) (value, slope float64) {
	h, t := x/s, s/2
	root := math.Exp(x / 2)
	value = cumulative(h+t)*root - cumulative(h-t)/root
	return max(value, 0), math.Exp(-(h*h+t*t)/2) / math.Sqrt(2*math.Pi)
}

// cumulative is the standard normal distribution.
func cumulative(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }
