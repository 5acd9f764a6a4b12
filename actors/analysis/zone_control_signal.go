package analysis

import (
	"fmt"
	"math"
)

// active reports whether the price is near enough for the zone to count.
func (z *zone) active() bool { return math.Abs(z.distance) < 10 }

// nearestZone is the nearest active zone on the wanted side; zones come
// nearest first.
func nearestZone(zones []zone, wanted func(*zone) bool) *zone {
	for i := range zones {
		if zones[i].active() && wanted(&zones[i]) {
			return &zones[i]
		}
	}
	return nil
}

// closeMomentum is the move of the close over n bars, percent.
func closeMomentum(bars []Candle, n int) float64 {
	if len(bars) < n {
		return 0
	}
	then := bars[len(bars)-n].Close
	return (bars[len(bars)-1].Close - then) / then * 100
}

// breakdownRisk is how likely the support gives way, 0-95; 50 without one.
func breakdownRisk(support *zone, momentum float64) int {
	if support == nil {
		return 50
	}
	risk := below(math.Abs(roundScaled(support.distance, 2)), zoneClosenessSell) +
		below(float64(support.strength), zoneRiskLadder)
	switch {
	case momentum < -2:
		risk += 30
	case momentum < -1:
		risk += 20
	case momentum < 0:
		risk += 10
	}
	return min(risk, 95)
}

// bounceProbability is how likely the support holds, 0-95; 50 without one. The
// room that counts is that up to the resistance.
func bounceProbability(support, resistance *zone) int {
	if support == nil {
		return 50
	}
	bounce := above(float64(support.strength), zoneBounceLadder) +
		below(math.Abs(roundScaled(support.distance, 2)), zoneClosenessBuy)
	if resistance != nil {
		bounce += above(math.Abs(roundScaled(resistance.distance, 2)), zoneRoomLadder)
	}
	return min(bounce, 95)
}

// zoneStrength is the mean strength of all zones in a word.
func zoneStrength(support, resistance []zone) string {
	var strength average
	for _, side := range [][]zone{support, resistance} {
		for i := range side {
			strength.add(float64(side[i].strength))
		}
	}
	switch {
	case strength.n == 0 || strength.mean() <= 40:
		return "WEAK"
	case strength.mean() <= 70:
		return "MODERATE"
	}
	return "STRONG"
}

func zoneHealth(support, resistance *zone) string {
	if support == nil || resistance == nil {
		return "UNKNOWN"
	}
	switch mean := float64(support.liquidity+resistance.liquidity) / 2; {
	case mean > 50:
		return "GOOD"
	case mean > 30:
		return "MODERATE"
	}
	return "WEAK"
}

// classicZoneSignal leaves out the branches that the predecessor's own
// numbers never reach: within 1 % of a support the risk is at least 30, and
// beyond it at most 70.
func classicZoneSignal(support, resistance *zone, risk, bounce int, strength string) (signal string, confidence int, advice string) {
	within := func(z *zone) bool { return z != nil && math.Abs(roundScaled(z.distance, 2)) < 1 }
	switch {
	case within(support):
		if bounce > 50 && strength == "STRONG" {
			return "BUY_ZONE", bounce - 10, fmt.Sprintf("above support at %.2f, which holds", support.level)
		}
		return "NEUTRAL", max(30, bounce-20), fmt.Sprintf("near support at %.2f", support.level)
	case within(resistance):
		if resistance.strength > 60 {
			return "SELL_ZONE", resistance.strength, fmt.Sprintf("near strong resistance at %.2f", resistance.level)
		}
		return "NEUTRAL", max(30, resistance.strength-10), fmt.Sprintf("near resistance at %.2f", resistance.level)
	}
	confidence = 50 - abs(50-bounce)
	if support != nil && resistance != nil {
		switch strength {
		case "STRONG":
			confidence = min(confidence+25, 75)
		case "MODERATE":
			confidence = min(confidence+15, 60)
		}
	}
	return "NEUTRAL", confidence, "between zones"
}

func zoneObjects(zones []zone) []any {
	list := make([]any, 0, zonesShown)
	for i := range zones[:min(len(zones), zonesShown)] {
		z := &zones[i]
		o := nearestObject(z)
		o["active"] = z.active()
		o["volume_strength"] = nil
		if z.traded {
			o["volume_strength"] = roundScaled(z.volume, 2)
		}
		list = append(list, o)
	}
	return list
}

func nearestObject(z *zone) object {
	if z == nil {
		return object{
			"level": nil, "distance_pct": nil, "strength": 0, "touches": 0, "zone_label": "Unknown",
			"liquidity_score": 0, "rejection_speed": 0, "absorption_strength": 0, "wick_dominance": 0,
		}
	}
	return object{
		"level": roundScaled(z.level, 2), "distance_pct": roundScaled(z.distance, 2), "strength": z.strength,
		"touches": z.touches, "zone_label": z.label, "liquidity_score": z.liquidity,
		"rejection_speed": roundScaled(z.rejection, 1), "absorption_strength": roundScaled(z.absorption, 1),
		"wick_dominance": roundScaled(z.wick, 1),
	}
}

func qualityObject(z *zone) object {
	if z == nil {
		return object{}
	}
	return object{
		"level": roundScaled(z.level, 2), "zone_label": z.label, "liquidity_score": z.liquidity,
		"rejection_speed": roundScaled(z.rejection, 1), "absorption_strength": roundScaled(z.absorption, 1),
		"wick_dominance": roundScaled(z.wick, 1), "interpretation": fmt.Sprintf("%s, quality %d of 100", z.label, z.liquidity),
	}
}
