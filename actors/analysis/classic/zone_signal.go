package classic

import (
	"fmt"
	"math"
)

// Active reports whether the price is near enough for the zone to count.
func (z *Zone) Active() bool { return math.Abs(z.Distance) < 10 }

// NearestZone is the nearest active zone on the wanted side; zones come
// nearest first.
func NearestZone(zones []Zone, wanted func(*Zone) bool) *Zone {
	for i := range zones {
		if zones[i].Active() && wanted(&zones[i]) {
			return &zones[i]
		}
	}
	return nil
}

// CloseMomentum is the move of the close over n bars, percent.
func CloseMomentum(bars []Candle, n int) float64 {
	if len(bars) < n {
		return 0
	}
	then := bars[len(bars)-n].Close
	return (bars[len(bars)-1].Close - then) / then * 100
}

// BreakdownRisk is how likely the support gives way, 0-95; 50 without one.
func BreakdownRisk(support *Zone, momentum float64) int {
	if support == nil {
		return 50
	}
	risk := Below(math.Abs(roundScaled(support.Distance, 2)), zoneClosenessSell) +
		Below(float64(support.Strength), zoneRiskLadder)
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

// BounceProbability is how likely the support holds, 0-95; 50 without one. The
// room that counts is that up to the resistance.
func BounceProbability(support, resistance *Zone) int {
	if support == nil {
		return 50
	}
	bounce := Above(float64(support.Strength), zoneBounceLadder) +
		Below(math.Abs(roundScaled(support.Distance, 2)), zoneClosenessBuy)
	if resistance != nil {
		bounce += Above(math.Abs(roundScaled(resistance.Distance, 2)), zoneRoomLadder)
	}
	return min(bounce, 95)
}

// ZoneStrength is the mean strength of all zones in a word.
func ZoneStrength(support, resistance []Zone) string {
	var strength average
	for _, side := range [][]Zone{support, resistance} {
		for i := range side {
			strength.add(float64(side[i].Strength))
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

func zoneHealth(support, resistance *Zone) string {
	if support == nil || resistance == nil {
		return "UNKNOWN"
	}
	switch mean := float64(support.Liquidity+resistance.Liquidity) / 2; {
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
func classicZoneSignal(support, resistance *Zone, risk, bounce int, strength string) (signal string, confidence int, advice string) {
	within := func(z *Zone) bool { return z != nil && math.Abs(roundScaled(z.Distance, 2)) < 1 }
	switch {
	case within(support):
		if bounce > 50 && strength == "STRONG" {
			return "BUY_ZONE", bounce - 10, fmt.Sprintf("above support at %.2f, which holds", support.Level)
		}
		return "NEUTRAL", max(30, bounce-20), fmt.Sprintf("near support at %.2f", support.Level)
	case within(resistance):
		if resistance.Strength > 60 {
			return "SELL_ZONE", resistance.Strength, fmt.Sprintf("near strong resistance at %.2f", resistance.Level)
		}
		return "NEUTRAL", max(30, resistance.Strength-10), fmt.Sprintf("near resistance at %.2f", resistance.Level)
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

func zoneObjects(zones []Zone) []any {
	list := make([]any, 0, ZonesShown)
	for i := range zones[:min(len(zones), ZonesShown)] {
		z := &zones[i]
		o := nearestObject(z)
		o["active"] = z.Active()
		o["volume_strength"] = nil
		if z.Traded {
			o["volume_strength"] = roundScaled(z.Volume, 2)
		}
		list = append(list, o)
	}
	return list
}

func nearestObject(z *Zone) Object {
	if z == nil {
		return Object{
			"level": nil, "distance_pct": nil, "strength": 0, "touches": 0, "zone_label": "Unknown",
			"liquidity_score": 0, "rejection_speed": 0, "absorption_strength": 0, "wick_dominance": 0,
		}
	}
	return Object{
		"level": roundScaled(z.Level, 2), "distance_pct": roundScaled(z.Distance, 2), "strength": z.Strength,
		"touches": z.Touches, "zone_label": z.Label, "liquidity_score": z.Liquidity,
		"rejection_speed": roundScaled(z.rejection, 1), "absorption_strength": roundScaled(z.absorption, 1),
		"wick_dominance": roundScaled(z.wick, 1),
	}
}

func qualityObject(z *Zone) Object {
	if z == nil {
		return Object{}
	}
	return Object{
		"level": roundScaled(z.Level, 2), "zone_label": z.Label, "liquidity_score": z.Liquidity,
		"rejection_speed": roundScaled(z.rejection, 1), "absorption_strength": roundScaled(z.absorption, 1),
		"wick_dominance": roundScaled(z.wick, 1), "interpretation": fmt.Sprintf("%s, quality %d of 100", z.Label, z.Liquidity),
	}
}
