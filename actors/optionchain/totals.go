package optionchain

import (
	"math"
	"strconv"
)

// Position is the open interest of one option.
type Position struct {
	Strike     float64
	Put        bool
	OI, Volume int64
	OpenOI     int64 // open interest at the open
	HasOpen    bool  // OpenOI is known
}

// Side sums one side of the chain up.
type Side struct {
	OI, Volume  float64
	Change      float64 // of the open interest since the open
	Largest     float64 // strike of the largest open interest
	LargestOI   int64   // at that strike; 0: there is none
	Known, With int     // options counted; of them with an open to compare
}

// Sum is the calls and the puts of a chain.
func Sum(positions []Position) (calls, puts Side) {
	for i := range positions {
		p := &positions[i]
		side := &calls
		if p.Put {
			side = &puts
		}
		side.Known++
		side.OI += float64(p.OI)
		side.Volume += float64(p.Volume)
		if p.OI > side.LargestOI {
			side.Largest, side.LargestOI = p.Strike, p.OI
		}
		if p.HasOpen {
			side.With++
			side.Change += float64(p.OI - p.OpenOI)
		}
	}
	return calls, puts
}

// Ratio is a/b to two decimals, nil without a b.
func Ratio(a, b float64) *float64 {
	if b == 0 {
		return nil
	}
	return ptr(rounded(a / b))
}

// MaxPain is the strike at which the options, sorted by strike, would pay out
// least if they expired there now, the lowest of equals; nil for none. It walks the
// strikes once: from one to the next the calls below gain and the puts above lose
// the step.
func MaxPain(positions []Position) *float64 {
	var best *float64
	var pain, callsBelow, putsAbove, last float64
	least := math.Inf(1)
	for i := range positions {
		if p := &positions[i]; p.Put {
			putsAbove += float64(p.OI)
			pain += (p.Strike - positions[0].Strike) * float64(p.OI)
		}
	}
	for i := 0; i < len(positions); {
		strike := positions[i].Strike
		if i > 0 {
			pain += (strike - last) * (callsBelow - putsAbove)
		}
		last = strike
		if pain < least {
			best, least = &positions[i].Strike, pain
		}
		for ; i < len(positions) && positions[i].Strike == strike; i++ {
			if oi := float64(positions[i].OI); positions[i].Put {
				putsAbove -= oi
			} else {
				callsBelow += oi
			}
		}
	}
	if best != nil {
		best = ptr(*best)
	}
	return best
}

const (
	leastRotation = 500.0 // contracts of open interest
	rotationShare = 0.02  // of the smaller side's open interest
)

// Rotation names what the open interest has done since the open. One side that
// moves alone builds or unwinds; a move within max(500, 2 % of the smaller
// side) is none.
func Rotation(calls, puts Side) string {
	limit := max(leastRotation, rotationShare*min(calls.OI, puts.OI))
	direction := func(x float64) int {
		switch {
		case x > limit:
			return 1
		case x < -limit:
			return -1
		default:
			return 0
		}
	}
	switch c, p := direction(calls.Change), direction(puts.Change); {
	case c < 0 && p > 0:
		return "ce_to_pe"
	case c > 0 && p < 0:
		return "pe_to_ce"
	case c > 0 || p > 0:
		return "building"
	case c < 0 || p < 0:
		return "unwinding"
	default:
		return "stable"
	}
}

// Defender names the side whose writers stand firmer: 1.3 times the other's
// open interest.
func Defender(calls, puts float64) string {
	switch {
	case calls >= 1.3*puts:
		return "calls"
	case puts >= 1.3*calls:
		return "puts"
	default:
		return "none"
	}
}

// rounded is to two decimals, as they are printed.
func rounded(x float64) float64 {
	r, _ := strconv.ParseFloat(strconv.FormatFloat(x, 'f', 2, 64), 64) // reads back what it wrote
	return r
}

func ptr[T any](v T) *T { return &v }
