package classic

import (
	"cmp"
	"math"
	"slices"
)

// The window of zone control and the least it answers for.
const (
	ZoneControlWindow = 100
	ZoneControlLeast  = 20
	ZoneSwingOrder    = 5 // bars on each side; the newest five can never be swings
	ZonesShown        = 5
)

var (
	ZoneVolumeLadder  = []Rung{{2, 30}, {1.5, 25}, {1, 15}} // beyond, not at
	zoneRiskLadder    = []Rung{{30, 30}, {50, 20}, {70, 10}}
	zoneBounceLadder  = []Rung{{70, 40}, {50, 30}, {30, 20}} // beyond, not at
	zoneClosenessSell = []Rung{{0.5, 40}, {1, 30}, {2, 20}}
	zoneClosenessBuy  = []Rung{{0.3, 35}, {0.7, 25}, {1.5, 15}}
	ZoneProximity     = []Rung{{1, 30}, {2, 25}, {5, 15}}
	zoneRoomLadder    = []Rung{{5, 25}, {3, 15}} // beyond, not at
)

// Zone is a price at which the market turned more than once.
type Zone struct {
	Level      float64 // points
	Low, High  float64 // of its touches
	Touches    int
	Age        int     // bars since the newest touch; calibrated only
	Traded     bool    // the window has volume at all
	Volume     float64 // of its touches, in mean bars of the window; without meaning unless traded
	Distance   float64 // of the level from the price, percent; minus: below
	Strength   int     // 0-100
	rejection  float64 // 0-100: how far bars go that leave it
	absorption float64 // 0-100: volume that did not move the price
	wick       float64 // 0-100: share of the wicks that point at it
	Label      string
	Liquidity  int // 0-100
}

// ZoneTouch is one swing that a zone is made of.
type ZoneTouch struct {
	At            int // index of the bar
	Level, Volume float64
}

// Above is climb for ladders whose rungs must be exceeded, Below for those
// that must not be reached.
func Above(v float64, rungs []Rung) int {
	for _, r := range rungs {
		if v > r.At {
			return r.Points
		}
	}
	return 0
}

func Below(v float64, rungs []Rung) int {
	for _, r := range rungs {
		if v < r.At {
			return r.Points
		}
	}
	return 0
}

// ZoneControl judges the bars by the predecessor's formulas, in its
// names: levels in points, distances in percent, the rest 0-100. Nil with
// fewer than 20 bars.
func ZoneControl(symbol string, bars []Candle) Object {
	if len(bars) < ZoneControlLeast {
		return nil
	}
	bars = LastN(bars, ZoneControlWindow)
	price := bars[len(bars)-1].Close
	lows, highs := ZoneSwings(bars)
	if len(lows) < 2 || len(highs) < 2 {
		return classicNoZones(symbol, price)
	}
	support := classicZones(bars, lows, price, true)
	resistance := classicZones(bars, highs, price, false)
	under := NearestZone(support, func(z *Zone) bool { return roundScaled(z.Level, 2) < price })
	over := NearestZone(resistance, func(z *Zone) bool { return roundScaled(z.Level, 2) > price })

	risk := BreakdownRisk(under, CloseMomentum(bars, 10))
	bounce := BounceProbability(under, over)
	strength := ZoneStrength(support, resistance)
	signal, confidence, advice := classicZoneSignal(under, over, risk, bounce, strength)
	return Object{
		"symbol":        symbol,
		"current_price": price,
		"zones":         Object{"support": zoneObjects(support), "resistance": zoneObjects(resistance)},
		"nearest_zones": Object{"support": nearestObject(under), "resistance": nearestObject(over)},
		"risk_metrics": Object{
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
func classicNoZones(symbol string, price float64) Object {
	return Object{
		"symbol":        symbol,
		"current_price": price,
		"zones":         Object{"support": []any{}, "resistance": []any{}},
		"nearest_zones": Object{"support": nearestObject(nil), "resistance": nearestObject(nil)},
		"risk_metrics":  Object{"overall_zone_health": "UNKNOWN"},

		"breakdown_risk":     50,
		"bounce_probability": 50,
		"zone_strength":      "WEAK",
		"signal":             "NEUTRAL",
		"confidence":         0,
		"recommendation":     "too few turning points",
	}
}

// ZoneSwings finds the lows and highs that are extremes of five bars on each
// side; on a plateau each bar counts.
func ZoneSwings(bars []Candle) (lows, highs []ZoneTouch) {
	for i := ZoneSwingOrder; i < len(bars)-ZoneSwingOrder; i++ {
		around := bars[i-ZoneSwingOrder : i+ZoneSwingOrder+1]
		if bars[i].Low == Lowest(around) {
			lows = append(lows, ZoneTouch{i, bars[i].Low, bars[i].Volume})
		}
		if bars[i].High == Highest(around) {
			highs = append(highs, ZoneTouch{i, bars[i].High, bars[i].Volume})
		}
	}
	return lows, highs
}

// classicZones groups the touches and judges each group, nearest first.
func classicZones(bars []Candle, touches []ZoneTouch, price float64, support bool) []Zone {
	slices.SortStableFunc(touches, func(a, b ZoneTouch) int { return cmp.Compare(a.Level, b.Level) })
	mean := MeanVolume(bars)
	var zones []Zone
	for from, to := 0, 0; from < len(touches); from = to {
		sum := 0.0
		for to = from; to < len(touches); to++ {
			if to > from {
				// The mean moves along with the chain: the predecessor's chaining.
				mean := sum / float64(to-from)
				if math.Abs(touches[to].Level-mean)/mean*100 > 0.5 {
					break
				}
			}
			sum += touches[to].Level
		}
		if to-from < 2 {
			continue
		}
		z := ZoneOf(touches[from:to], mean, price)
		z.Strength = min(10*z.Touches, 40) + Below(math.Abs(z.Distance), ZoneProximity)
		if z.Traded {
			z.Strength += Above(z.Volume, ZoneVolumeLadder)
		}
		z.JudgeQuality(bars, support)
		zones = append(zones, z)
	}
	slices.SortStableFunc(zones, func(a, b Zone) int { return cmp.Compare(math.Abs(a.Distance), math.Abs(b.Distance)) })
	return zones
}

// ZoneOf is the volume-weighted level of touches; the plain mean when they
// have no volume. mean is the window's volume per bar.
func ZoneOf(touches []ZoneTouch, mean, price float64) Zone {
	var plain, weighted, volume float64
	for _, t := range touches {
		plain += t.Level
		weighted += t.Level * t.Volume
		volume += t.Volume
	}
	z := Zone{Touches: len(touches), Level: plain / float64(len(touches)), Low: touches[0].Level, High: touches[0].Level}
	for _, t := range touches {
		z.Low, z.High = min(z.Low, t.Level), max(z.High, t.Level)
	}
	if volume > 0 {
		z.Level = weighted / volume
	}
	if mean > 0 {
		z.Traded, z.Volume = true, volume/mean
	}
	z.Distance = (z.Level - price) / price * 100
	return z
}

// JudgeQuality looks at the newest 20 bars within 2 % of the level; 50 stands
// for "nothing seen".
func (z *Zone) JudgeQuality(bars []Candle, support bool) {
	near := make([]Candle, 0, 20)
	for i := len(bars) - 1; i >= 0 && len(near) < 20; i-- {
		if bars[i].Low <= z.Level*1.02 && bars[i].High >= z.Level*0.98 {
			near = append(near, bars[i])
		}
	}
	slices.Reverse(near)
	z.rejection, z.absorption, z.wick = 50, 50, 50
	mean := MeanVolume(near)
	var away, absorbed, wicked average
	for i, c := range near {
		off := math.Abs(c.Close-z.Level) / z.Level
		if i+1 < len(near) && c.Low <= z.Level && c.High >= z.Level {
			if next := math.Abs(near[i+1].Close-z.Level) / z.Level; next > off {
				away.add(next * 100)
			}
		}
		span := c.Span()
		if span <= 0 {
			continue
		}
		if off <= 0.01 && mean > 0 && c.Volume/mean > 1.5 && c.Body()/span < 0.3 {
			absorbed.add(30 * c.Volume / mean)
		}
		wick, lower := Wicks(c)
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
	z.Label = z.name()
	volume := 1.0
	if z.Traded {
		volume = z.Volume
	}
	z.Liquidity = min(100, int(0.30*z.rejection+0.25*z.absorption+0.20*(100-z.wick)+
		0.15*float64(min(8*z.Touches, 40))+0.10*10*volume))
}

type average struct {
	sum float64
	n   int
}

func (a *average) add(v float64) { a.sum += v; a.n++ }

func (a average) mean() float64 { return a.sum / float64(a.n) }

// name is the kind of zone: the first rule that holds.
func (z *Zone) name() string {
	switch {
	case z.wick > 70:
		return "Trap Zone"
	case z.rejection > 70 && z.absorption < 60:
		return "Defensive Zone"
	case z.absorption > 70:
		return "Supply Exhaustion Zone"
	case z.Touches >= 3 && z.rejection > 40 && z.rejection < 70:
		return "Liquidity Pool"
	}
	return "Standard Zone"
}
