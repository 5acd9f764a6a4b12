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
	Wall        float64 // strike of the largest open interest
	WallOI      int64   // 0: there is no wall
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
		if p.OI > side.WallOI {
			side.Wall, side.WallOI = p.Strike, p.OI
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

// rounded is to two decimals, as they are printed.
func rounded(x float64) float64 {
	r, _ := strconv.ParseFloat(strconv.FormatFloat(x, 'f', 2, 64), 64) // reads back what it wrote
	return r
}

func ptr[T any](v T) *T { return &v }
