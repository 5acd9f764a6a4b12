package analysis

import (
	"fmt"
	"math"
	"strings"

	"kitestring/actors/analysis/classic"
	"kitestring/messages"
)

// volumePulse weighs the volume of rising bars against that of falling ones,
// on the future (an index has no volume).
var volumePulse = Analysis{
	Kind:       "volume_pulse",
	Needs:      Needs{Future: true},
	Warmup:     classic.VolumePulseWindow,
	Parameters: []*Parameter{pulseRankBars, pulseBuyFrom, pulseSellTo, pulseActiveFrom},
	Judge:      judgeVolumePulse,
	Classic: func(in *Input) map[string]any {
		return classic.VolumePulse(in.Underlying, in.Future.Closed)
	},
}

var (
	pulseRankBars = count("window_bars", 100, classic.VolumePulseWindow, longestWindow, "bars", "bars that a percentile rank is taken among")
	// A score of 70 buys and one of 30 sells whatever these say.
	pulseBuyFrom    = count("buy_from", classic.VolumePulseBuy, 51, 70, "points", "score, 0-100, from which rising volume is a buy")
	pulseSellTo     = count("sell_to", classic.VolumePulseSell, 30, 49, "points", "score, 0-100, down to which falling volume is a sell")
	pulseActiveFrom = count("active_from", 63, 51, 95, "points", "confidence, 0-100, from which the reading is active")
)

// Percentile ranks take the place of the predecessor's fixed steps, which were
// made for shares and are out of an index's reach.
var (
	rankLadder      = []classic.Rung{{At: 95, Points: 100}, {At: 85, Points: 80}, {At: 70, Points: 60}, {At: 50, Points: 40}}
	rankSpikeLadder = []classic.Rung{{At: 95, Points: 40}, {At: 85, Points: 30}, {At: 70, Points: 20}}
)

// judgeVolumePulse differs from the predecessor: a balanced market scores 50
// (35 there), up and down momentum count alike, aggression, spike and "narrow"
// are ranks among the newest bars, and only closed bars are judged.
func judgeVolumePulse(in *Input) Judgement {
	window := in.Settings.whole(pulseRankBars)
	context := in.Future.Last(window)
	bars := classic.LastN(context, classic.VolumePulseWindow)
	if len(bars) < classic.VolumePulseWindow {
		return lacking(bars, "the future has %d closed bars of the %d needed", len(bars), classic.VolumePulseWindow)
	}
	green, red := classic.ColouredVolume(bars)
	if green+red == 0 {
		return lacking(bars, "no volume in the last %d bars of the future", classic.VolumePulseWindow)
	}
	greenPct := green / (green + red) * 100
	score := calibratedPulseScore(bars, greenPct)
	ratio := math.Inf(1)
	if red > 0 {
		ratio = green / red
	}
	signal, confidence := classic.VolumePulseSignal(score, ratio, in.Settings.whole(pulseBuyFrom), in.Settings.whole(pulseSellTo))
	detail := rankedVolumeDetail(context, bars)

	j := Judgement{
		Signal: strings.ToLower(signal), Confidence: float64(confidence), Status: statusAt(confidence, in.Settings.whole(pulseActiveFrom)),
		Reason:   pulseReason(signal, detail.Quality, greenPct),
		Coverage: float64(len(context)) / float64(window),
		Values: classic.Object{
			"green_volume": green, "red_volume": red, "green_percent": greenPct, "ratio": finite(ratio),
			"pulse_score": score, "trend": strings.ToLower(classic.VolumePulseTrend(score, ratio)),
			"participation": detail.Participation, "aggression": nil, "exhaustion": detail.Exhaustion,
			"volume_quality": strings.ToLower(detail.Quality), "running": runningVolume(&in.Future),
		},
	}
	if bars[len(bars)-1].Volume > 0 {
		j.Values["aggression"] = detail.Aggression
	}
	j.Over(context)
	return j
}

// pulseReason is what stands out: the side that the volume is on, where it is a
// signal, and a pattern, where there is one.
func pulseReason(signal, quality string, greenPct float64) string {
	var said []string
	switch signal {
	case "BUY":
		said = append(said, fmt.Sprintf("rising bars carry %.0f %% of the volume", greenPct))
	case "SELL":
		said = append(said, fmt.Sprintf("falling bars carry %.0f %% of the volume", 100-greenPct))
	}
	if quality != "NEUTRAL" || said == nil {
		said = append(said, classic.VolumeQualityTexts[quality])
	}
	return strings.Join(said, "; ")
}

// lacking is Missing with the age of what there is.
func lacking(bars []Candle, format string, args ...any) Judgement {
	j := Missing(format, args...)
	j.Over(bars)
	return j
}

// statusAt is active from a confidence upwards.
func statusAt(confidence, least int) messages.ReadingStatus {
	if confidence >= least {
		return messages.Active
	}
	return messages.Watching
}

// finite is v, or nil when there is no such number.
func finite(v float64) any {
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return nil
	}
	return v
}

// pulseNewest is how many bars the window's momentum is measured over: an even
// number, so that bars which rise and fall in turn are balanced.
const pulseNewest = 6

func calibratedPulseScore(bars []Candle, greenPct float64) int {
	momentum := 0
	if green, red := classic.ColouredVolume(classic.LastN(bars, pulseNewest)); green+red > 0 {
		delta := green/(green+red)*100 - greenPct
		momentum = classic.Above(math.Abs(delta), []classic.Rung{{At: 10, Points: 30}, {At: 5, Points: 20}, {At: 0, Points: 10}})
		if delta < 0 {
			momentum = -momentum
		}
	}
	score := 50 + int(math.Round(0.7*(greenPct-50))) + momentum
	return min(max(score, 0), 100)
}

// rankedVolumeDetail judges the newest bar among those of context.
func rankedVolumeDetail(context, bars []Candle) classic.VolumeDetail {
	last := bars[len(bars)-1]
	d := classic.VolumeDetail{Participation: classic.Climb(last.Volume/classic.MeanVolume(bars), classic.ParticipationLadder, 20)}
	if last.Volume > 0 {
		d.Aggression = classic.Climb(rank(context, aggression), rankLadder, 20)
	}
	spike := rank(context, func(c *Candle) (float64, bool) { return c.Volume, true })
	span := rank(context, func(c *Candle) (float64, bool) { return c.Span() / c.Open, c.Open > 0 })
	d.Exhaustion = classic.Climb(spike, rankSpikeLadder, 0)
	switch momentum := classic.MoveRatio(bars); {
	case momentum < 0.7 && spike >= 70:
		d.Exhaustion += 40
	case momentum < 0.85:
		d.Exhaustion += 20
	}
	if last.Span() > 1.5*classic.MeanSpan(bars[:len(bars)-1]) && spike >= 85 {
		d.Exhaustion += 20
	}
	d.Exhaustion = min(d.Exhaustion, 100)
	d.Quality = classic.VolumeQuality(bars, d, span < 50)
	return d
}

// aggression is how far a bar's body went for its volume; none without volume.
func aggression(c *Candle) (float64, bool) {
	if c.Volume <= 0 || c.Open <= 0 {
		return 0, false
	}
	return c.Body() / c.Open / c.Volume, true
}

// rank is the percentile rank, 0-100, of the newest bar's value among those of
// all the bars: the share below, ties half. A bar without the value is left
// out; the newest must have it.
func rank(bars []Candle, value func(*Candle) (float64, bool)) float64 {
	newest, ok := value(&bars[len(bars)-1])
	if !ok {
		return 0
	}
	var under, equal, n float64
	for i := range bars {
		v, ok := value(&bars[i])
		switch {
		case !ok:
			continue
		case v < newest:
			under++
		case v == newest:
			equal++
		}
		n++
	}
	return (under + equal/2) / n * 100
}

// runningVolume shows the bar that is still growing: its volume so far and what
// it comes to at this pace. Nil: there is none.
func runningVolume(w *Window) any {
	if w.Running == nil {
		return nil
	}
	projected := any(nil)
	if w.Elapsed > 0 {
		projected = w.Running.Volume / w.Elapsed
	}
	return classic.Object{"elapsed": w.Elapsed, "volume": w.Running.Volume, "projected_volume": projected}
}
