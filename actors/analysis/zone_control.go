package analysis

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"kitestring/actors/analysis/classic"
	"kitestring/actors/analysis/indicators"
)

// zoneControl finds the prices at which the index turned more than once.
var zoneControl = Analysis{
	Kind:       "zone_control",
	Needs:      Needs{Index: true, Future: true},
	Parameters: []*Parameter{zoneTolerance, zoneTouches, zoneHalfLife, zoneNear},
	Judge:      judgeZoneControl, // it can do without the future: no Warmup
	Classic: func(in *Input) map[string]any {
		bars, traded := indexWithVolume(in, classic.ZoneControlWindow)
		if traded == 0 {
			return nil
		}
		return classic.ZoneControl(in.Underlying, bars)
	},
}

var (
	zoneTolerance = measure("tolerance_atr", 0.5, 0.05, 5, "ATR", "how far the touches of one zone may lie apart, end to end")
	zoneTouches   = count("least_touches", 2, 2, 6, "touches", "touches that make a zone")
	zoneHalfLife  = count("half_life_bars", 50, 5, 1000, "bars", "bars after its last touch in which a zone's strength halves")
	zoneNear      = measure("near_percent", 1, 0.05, 5, "percent", "a zone nearer to the price than this may give a signal")
)

// judgeZoneControl differs from the predecessor: a zone is some part of an ATR
// wide at most, end to end; a plateau is one touch; a zone's strength decays
// with the bars since its last touch; volume is the future's; and both sides
// are judged before a signal.
func judgeZoneControl(in *Input) Judgement {
	bars, traded := indexWithVolume(in, classic.ZoneControlWindow)
	if len(bars) < classic.ZoneControlLeast {
		return lacking(bars, "the index has %d closed bars of the %d needed", len(bars), classic.ZoneControlLeast)
	}
	price := bars[len(bars)-1].Close
	width, _ := indicators.ATR(bars, indicators.ATRPeriod)
	width *= in.Settings.of(zoneTolerance)
	lows, highs := confirmedZoneSwings(bars)
	support := calibratedZones(bars, lows, price, width, true, in.Settings)
	resistance := calibratedZones(bars, highs, price, width, false, in.Settings)
	under := classic.NearestZone(support, func(z *classic.Zone) bool { return z.Level < price })
	over := classic.NearestZone(resistance, func(z *classic.Zone) bool { return z.Level > price })

	momentum := classic.CloseMomentum(bars, 10)
	s := zoneSide{zone: under, breaks: classic.BreakdownRisk(under, momentum), holds: classic.BounceProbability(under, over)}
	r := zoneSide{zone: over, breaks: classic.BreakdownRisk(over, -momentum), holds: classic.BounceProbability(over, under)}
	signal, confidence, reason := calibratedZoneSignal(s, r, in.Settings)

	j := Judgement{
		Signal: signal, Confidence: float64(confidence), Reason: reason, Status: statusAt(0, 1),
		Coverage: float64(len(bars)) / classic.ZoneControlWindow * (0.5 + 0.5*traded),
		Values: classic.Object{
			"price": price, "support": zoneList(support), "resistance": zoneList(resistance),
			"nearest_support": s.object(), "nearest_resistance": r.object(),
			"zone_strength": strings.ToLower(classic.ZoneStrength(support, resistance)), "zone_width": width,
		},
	}
	if signal != "neutral" {
		j.Status = statusAt(confidence, 0)
	}
	j.Over(bars)
	return j
}

// indexWithVolume is the newest n closed bars of the index with the volume that
// the future traded in the same bars, and the share of bars that had one.
func indexWithVolume(in *Input, n int) (bars []Candle, share float64) {
	bars = slices.Clone(in.Index.Last(n))
	future := in.Future.Closed
	k, met := len(future)-1, 0
	for i := len(bars) - 1; i >= 0; i-- {
		c := &bars[i]
		for k >= 0 && future[k].Time.After(c.Time) {
			k--
		}
		c.Volume = 0
		if k >= 0 && future[k].Time.Equal(c.Time) {
			f := &future[k]
			c.Volume = f.Volume
			c.Gapped, c.Partial = c.Gapped || f.Gapped, c.Partial || f.Partial
			met++
			k-- // bars of a file may share a time or stand out of order
		}
	}
	if len(bars) == 0 {
		return bars, 0
	}
	return bars, float64(met) / float64(len(bars))
}

// confirmedZoneSwings is zoneSwings with each plateau counted once.
func confirmedZoneSwings(bars []Candle) (lows, highs []classic.ZoneTouch) {
	low, high := make([]float64, len(bars)), make([]float64, len(bars))
	for i := range bars {
		low[i], high[i] = -bars[i].Low, bars[i].High
	}
	for i := range bars {
		if indicators.ConfirmedPeak(low, i, classic.ZoneSwingOrder) {
			lows = append(lows, classic.ZoneTouch{At: i, Level: bars[i].Low, Volume: bars[i].Volume})
		}
		if indicators.ConfirmedPeak(high, i, classic.ZoneSwingOrder) {
			highs = append(highs, classic.ZoneTouch{At: i, Level: bars[i].High, Volume: bars[i].Volume})
		}
	}
	return lows, highs
}

// calibratedZones groups the touches and judges each group, nearest first.
func calibratedZones(bars []Candle, touches []classic.ZoneTouch, price, width float64, support bool, settings Settings) []classic.Zone {
	mean := classic.MeanVolume(bars)
	var zones []classic.Zone
	for _, group := range linkCompletely(touches, width) {
		if len(group) < settings.whole(zoneTouches) {
			continue
		}
		z := classic.ZoneOf(group, mean, price)
		newest := 0
		for _, t := range group {
			newest = max(newest, t.At)
		}
		strength := min(10*z.Touches, 40) + classic.Below(math.Abs(z.Distance), classic.ZoneProximity)
		if z.Traded {
			strength += classic.Above(z.Volume, classic.ZoneVolumeLadder)
		}
		z.Age = len(bars) - 1 - newest
		z.Strength = int(math.Round(float64(strength) * math.Exp2(-float64(z.Age)/settings.of(zoneHalfLife))))
		z.JudgeQuality(bars, support)
		zones = append(zones, z)
	}
	slices.SortStableFunc(zones, func(a, b classic.Zone) int { return cmp.Compare(math.Abs(a.Distance), math.Abs(b.Distance)) })
	return zones
}

// linkCompletely groups touches so that no two of a group lie further apart
// than width: the two neighbouring groups that stay narrowest together are
// joined first, until none may be.
func linkCompletely(touches []classic.ZoneTouch, width float64) [][]classic.ZoneTouch {
	touches = slices.Clone(touches)
	slices.SortStableFunc(touches, func(a, b classic.ZoneTouch) int { return cmp.Compare(a.Level, b.Level) })
	groups := make([][]classic.ZoneTouch, len(touches))
	for i := range touches {
		groups[i] = touches[i : i+1]
	}
	for {
		best, narrowest := -1, width
		for i := 0; i+1 < len(groups); i++ {
			next := groups[i+1]
			if span := next[len(next)-1].Level - groups[i][0].Level; span <= width && (best < 0 || span < narrowest) {
				best, narrowest = i, span
			}
		}
		if best < 0 {
			return groups
		}
		// Neighbours in groups are neighbours in touches.
		groups[best] = groups[best][:len(groups[best])+len(groups[best+1])]
		groups = slices.Delete(groups, best+1, best+2)
	}
}

// zoneSide is the nearest zone of a side with the chances, 0-95, that it gives
// way and that it holds.
type zoneSide struct {
	zone          *classic.Zone
	breaks, holds int
}

func (s zoneSide) near(percent float64) bool {
	return s.zone != nil && math.Abs(s.zone.Distance) < percent
}

// turns reports whether the zone, being near, is expected to turn the price.
func (s zoneSide) turns(near float64) bool { return s.near(near) && s.holds > 50 && s.holds > s.breaks }

// gives reports whether the zone, being near, is expected to give way.
func (s zoneSide) gives(near float64) bool {
	return s.near(near) && s.breaks > 70 && s.breaks > s.holds
}

func (s zoneSide) edge() int { return s.holds - s.breaks }

func (s zoneSide) object() any {
	if s.zone == nil {
		return nil
	}
	o := zoneValues(s.zone)
	o["break_risk"], o["hold_probability"] = s.breaks, s.holds
	return o
}

// calibratedZoneSignal weighs both sides; equal chances are no signal.
func calibratedZoneSignal(support, resistance zoneSide, settings Settings) (signal string, confidence int, reason string) {
	near := settings.of(zoneNear)
	up, down := support.turns(near), resistance.turns(near)
	if up && down {
		switch {
		case support.edge() > resistance.edge():
			down = false
		case support.edge() < resistance.edge():
			up = false
		default:
			return "neutral", 0, "between a support and a resistance that are as likely to hold"
		}
	}
	switch {
	case up:
		return "buy_zone", support.holds, fmt.Sprintf("support at %.2f is likely to hold", support.zone.Level)
	case down:
		return "sell_zone", resistance.holds, fmt.Sprintf("resistance at %.2f is likely to hold", resistance.zone.Level)
	case support.gives(near) && !resistance.gives(near):
		return "sell_zone", support.breaks, fmt.Sprintf("support at %.2f is likely to give way", support.zone.Level)
	case resistance.gives(near) && !support.gives(near):
		return "buy_zone", resistance.breaks, fmt.Sprintf("resistance at %.2f is likely to give way", resistance.zone.Level)
	case support.zone == nil && resistance.zone == nil:
		return "neutral", 0, "no zone near the price"
	}
	return "neutral", 0, "between zones"
}

func zoneList(zones []classic.Zone) []any {
	list := make([]any, 0, classic.ZonesShown)
	for i := range zones[:min(len(zones), classic.ZonesShown)] {
		list = append(list, zoneValues(&zones[i]))
	}
	return list
}

func zoneValues(z *classic.Zone) classic.Object {
	o := classic.Object{
		"level": z.Level, "low": z.Low, "high": z.High, "touches": z.Touches, "distance_percent": z.Distance, "strength": z.Strength,
		"age_bars": z.Age, "active": z.Active(), "label": strings.ReplaceAll(strings.ToLower(z.Label), " ", "_"),
		"liquidity": nil, "volume_strength": nil,
	}
	if z.Traded {
		o["liquidity"], o["volume_strength"] = z.Liquidity, z.Volume
	}
	return o
}
