package analysis

import (
	"cmp"
	"math"
	"slices"
)

// The window of zone control and the least it answers for.
const (
	zoneControlWindow = 100
	zoneControlLeast  = 20
	zoneSwingOrder    = 5 // bars on each side; the newest five can never be swings
	zonesShown        = 5
)

var (
	zoneVolumeLadder  = []rung{{2, 30}, {1.5, 25}, {1, 15}} // beyond, not at
	zoneRiskLadder    = []rung{{30, 30}, {50, 20}, {70, 10}}
	zoneBounceLadder  = []rung{{70, 40}, {50, 30}, {30, 20}} // beyond, not at
	zoneClosenessSell = []rung{{0.5, 40}, {1, 30}, {2, 20}}
	zoneClosenessBuy  = []rung{{0.3, 35}, {0.7, 25}, {1.5, 15}}
	zoneProximity     = []rung{{1, 30}, {2, 25}, {5, 15}}
	zoneRoomLadder    = []rung{{5, 25}, {3, 15}} // beyond, not at
)

// zone is a price at which the market turned more than once.
type zone struct {
	level      float64 // points
	touches    int
	age        int     // bars since the newest touch; calibrated only
	traded     bool    // the window has volume at all
	volume     float64 // of its touches, in mean bars of the window; without meaning unless traded
	distance   float64 // of the level from the price, percent; minus: below
	strength   int     // 0-100
	rejection  float64 // 0-100: how far bars go that leave it
	absorption float64 // 0-100: volume that did not move the price
	wick       float64 // 0-100: share of the wicks that point at it
	label      string
	liquidity  int // 0-100
}

// zoneTouch is one swing that a zone is made of.
type zoneTouch struct {
	at            int // index of the bar
	level, volume float64
}

// above is climb for ladders whose rungs must be exceeded, below for those
// that must not be reached.
func above(v float64, rungs []rung) int {
	for _, r := range rungs {
		if v > r.at {
			return r.points
		}
	}
	return 0
}

func below(v float64, rungs []rung) int {
	for _, r := range rungs {
		if v < r.at {
			return r.points
		}
	}
	return 0
}

// classicZoneControl judges the bars by the predecessor's formulas, in its
// names: levels in points, distances in percent, the rest 0-100. Nil with
// fewer than 20 bars.
func classicZoneControl(symbol string, bars []Candle) object {
	if len(bars) < zoneControlLeast {
		return nil
	}
	bars = lastN(bars, zoneControlWindow)
	price := bars[len(bars)-1].Close
	lows, highs := zoneSwings(bars)
	if len(lows) < 2 || len(highs) < 2 {
		return classicNoZones(symbol, price)
	}
	support := classicZones(bars, lows, price, true)
	resistance := classicZones(bars, highs, price, false)
	under := nearestZone(support, func(z *zone) bool { return roundScaled(z.level, 2) < price })
	over := nearestZone(resistance, func(z *zone) bool { return roundScaled(z.level, 2) > price })

	risk := breakdownRisk(under, closeMomentum(bars, 10))
	bounce := bounceProbability(under, over)
	strength := zoneStrength(support, resistance)
	signal, confidence, advice := classicZoneSignal(under, over, risk, bounce, strength)
	return object{
		"symbol":        symbol,
		"current_price": price,
		"zones":         object{"support": zoneObjects(support), "resistance": zoneObjects(resistance)},
		"nearest_zones": object{"support": nearestObject(under), "resistance": nearestObject(over)},
		"risk_metrics": object{
			"nearest_support_quality": qualityObject(under), "nearest_resistance_quality": qualityObject(over),
			"overall_zone_health": zoneHealth(under, over),
		},
		"breakdown_risk":     risk,
		"bounce_probability": bounce,
		"zone_strength":      strength,
		"signal":             signal,
		"confidence":         confidence,
		"recommendation":     advice,
	}
}

// classicNoZones is the fixed answer when a side has fewer than two swings.
func classicNoZones(symbol string, price float64) object {
	return object{
		"symbol":        symbol,
		"current_price": price,
		"zones":         object{"support": []any{}, "resistance": []any{}},
		"nearest_zones": object{"support": nearestObject(nil), "resistance": nearestObject(nil)},
		"risk_metrics":  object{"overall_zone_health": "UNKNOWN"},

		"breakdown_risk":     50,
		"bounce_probability": 50,
		"zone_strength":      "WEAK",
		"signal":             "NEUTRAL",
		"confidence":         0,
		"recommendation":     "too few turning points",
	}
}

// zoneSwings finds the lows and highs that are extremes of five bars on each
// side; on a plateau each bar counts.
func zoneSwings(bars []Candle) (lows, highs []zoneTouch) {
	for i := zoneSwingOrder; i < len(bars)-zoneSwingOrder; i++ {
		around := bars[i-zoneSwingOrder : i+zoneSwingOrder+1]
		if bars[i].Low == lowest(around) {
			lows = append(lows, zoneTouch{i, bars[i].Low, bars[i].Volume})
		}
		if bars[i].High == highest(around) {
			highs = append(highs, zoneTouch{i, bars[i].High, bars[i].Volume})
		}
	}
	return lows, highs
}

// classicZones groups the touches and judges each group, nearest first.
func classicZones(bars []Candle, touches []zoneTouch, price float64, support bool) []zone {
	slices.SortStableFunc(touches, func(a, b zoneTouch) int { return cmp.Compare(a.level, b.level) })
	mean := meanVolume(bars)
	var zones []zone
	for from, to := 0, 0; from < len(touches); from = to {
		sum := 0.0
		for to = from; to < len(touches); to++ {
			if to > from {
				// The mean moves along with the chain: the predecessor's chaining.
				mean := sum / float64(to-from)
				if math.Abs(touches[to].level-mean)/mean*100 > 0.5 {
					break
				}
			}
			sum += touches[to].level
		}
		if to-from < 2 {
			continue
		}
		z := zoneOf(touches[from:to], mean, price)
		z.strength = min(10*z.touches, 40) + below(math.Abs(z.distance), zoneProximity)
		if z.traded {
			z.strength += above(z.volume, zoneVolumeLadder)
		}
		z.judgeQuality(bars, support)
		zones = append(zones, z)
	}
	slices.SortStableFunc(zones, func(a, b zone) int { return cmp.Compare(math.Abs(a.distance), math.Abs(b.distance)) })
	return zones
}

// zoneOf is the volume-weighted level of touches; the plain mean when they
// have no volume. mean is the window's volume per bar.
func zoneOf(touches []zoneTouch, mean, price float64) zone {
	var plain, weighted, volume float64
	for _, t := range touches {
		plain += t.level
		weighted += t.level * t.volume
		volume += t.volume
	}
	z := zone{touches: len(touches), level: plain / float64(len(touches))}
	if volume > 0 {
		z.level = weighted / volume
	}
	if mean > 0 {
		z.traded, z.volume = true, volume/mean
	}
	z.distance = (z.level - price) / price * 100
	return z
}

// judgeQuality looks at the newest 20 bars within 2 % of the level; 50 stands
// for "nothing seen".
func (z *zone) judgeQuality(bars []Candle, support bool) {
	near := make([]Candle, 0, 20)
	for i := len(bars) - 1; i >= 0 && len(near) < 20; i-- {
		if bars[i].Low <= z.level*1.02 && bars[i].High >= z.level*0.98 {
			near = append(near, bars[i])
		}
	}
	slices.Reverse(near)
	z.rejection, z.absorption, z.wick = 50, 50, 50
	mean := meanVolume(near)
	var away, absorbed, wicked average
	for i, c := range near {
		off := math.Abs(c.Close-z.level) / z.level
		if i+1 < len(near) && c.Low <= z.level && c.High >= z.level {
			if next := math.Abs(near[i+1].Close-z.level) / z.level; next > off {
				away.add(next * 100)
			}
		}
		span := c.span()
		if span <= 0 {
			continue
		}
		if off <= 0.01 && mean > 0 && c.Volume/mean > 1.5 && c.body()/span < 0.3 {
			absorbed.add(30 * c.Volume / mean)
		}
		wick, lower := wicks(c)
		if support {
			wick = lower
		}
		if off <= 0.015 && wick/span > 0.5 {
			wicked.add(wick / span * 100)
		}
	}
	if away.n > 0 {
		z.rejection = min(20*away.mean(), 100)
	}
	if absorbed.n > 0 {
		z.absorption = min(absorbed.mean(), 100)
	}
	if wicked.n > 0 {
		z.wick = wicked.mean()
	}
	z.label = z.name()
	volume := 1.0
	if z.traded {
		volume = z.volume
	}
	z.liquidity = int(0.30*z.rejection + 0.25*z.absorption + 0.20*(100-z.wick) +
		0.15*float64(min(8*z.touches, 40)) + 0.10*10*volume)
}

type average struct {
	sum float64
	n   int
}

func (a *average) add(v float64) { a.sum += v; a.n++ }

func (a average) mean() float64 { return a.sum / float64(a.n) }

// name is the kind of zone: the first rule that holds.
func (z *zone) name() string {
	switch {
	case z.wick > 70:
		return "Trap Zone"
	case z.rejection > 70 && z.absorption < 60:
		return "Defensive Zone"
	case z.absorption > 70:
		return "Supply Exhaustion Zone"
	case z.touches >= 3 && z.rejection > 40 && z.rejection < 70:
		return "Liquidity Pool"
	}
	return "Standard Zone"
}
