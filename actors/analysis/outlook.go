package analysis

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"kitestring/actors/analysis/classic"
	"kitestring/messages"
	"kitestring/messages/ist"
)

// The outlook: one weighted vote over all readings that can be had.
var outlook = Analysis{
	Kind:       "outlook",
	Needs:      Needs{Index: true, Readings: []string{"instant", "zone_control", "volume_pulse", "candle_intent", "trend_base", "pcr"}},
	Parameters: append([]*Parameter{outlookLean}, outlookWeighed()...),
	Rules: []Rule{{"one weight at least must be above 0", outlookWeighed(), func(c Settings) bool {
		return slices.ContainsFunc(outlookWeighed(), func(p *Parameter) bool { return c.of(p) > 0 })
	}}},
	Judge: judgeOutlook,
}

var outlookLean = measure("lean_at", 0.25, 0.05, 0.95, "share", "how far of all the vote must lean to be a signal")

// outlookWeights are of 100 by default; over what is available they are taken
// as shares of their sum.
var outlookWeights = []struct {
	input  string
	weight *Parameter
}{
	{"instant", outlookWeight("instant", 20)},
	{"zone_control", outlookWeight("zone_control", 16)},
	{"volume_pulse", outlookWeight("volume_pulse", 16)},
	{"candle_intent", outlookWeight("candle_intent", 14)},
	{"trend_base", outlookWeight("trend_base", 12)},
	{"index_move", outlookWeight("index_move", 8)},
	{"momentum", outlookWeight("momentum", 8)},
	{"pcr", outlookWeight("pcr", 6)},
}

func outlookWeight(input string, usual float64) *Parameter {
	return measure("weight_"+input, usual, 0, 100, "weight", "what the vote of "+input+" weighs; 0 leaves it out")
}

func outlookWeighed() []*Parameter {
	weights := make([]*Parameter, len(outlookWeights))
	for i, w := range outlookWeights {
		weights[i] = w.weight
	}
	return weights
}

func judgeOutlook(in *Input) Judgement {
	var j Judgement
	var sum, have, all, current float64
	earlier := 0
	list := make([]map[string]any, 0, len(outlookWeights))
	for _, w := range outlookWeights {
		weight := in.Settings.of(w.weight)
		if weight == 0 {
			continue
		}
		all += weight
		v := outlookVote(in, w.input)
		entry := map[string]any{"input": w.input, "weight": weight, "vote": nil, "age_seconds": nil, "session": nil, "counts": 0.0}
		if !v.asOf.IsZero() {
			entry["age_seconds"] = math.Round(in.Now.Sub(v.asOf).Seconds())
			entry["session"] = v.asOf.In(ist.Zone).Format(time.DateOnly)
		}
		switch counts := in.counts(v.asOf); {
		case v.reason != "":
			entry["reason"] = v.reason
		default:
			if in.earlier(v.asOf) {
				earlier++
				entry["reason"] = in.origin(v.asOf)
			} else {
				current += weight
			}
			have += weight * counts
			sum += weight * counts * v.vote
			entry["vote"], entry["counts"] = classic.RoundDecimal(v.vote, 3), classic.RoundDecimal(counts, 3)
			j.Gapped, j.Partial = j.Gapped || v.gapped, j.Partial || v.partial
			j.used(v.oldest, v.asOf, v.generation)
		}
		list = append(list, entry)
	}
	if have == 0 {
		j.Reason = "none of its inputs is available"
		if earlier > 0 {
			j.Reason = "none of its inputs is of this session"
		}
		return j
	}
	j.Coverage = have / all
	lean, leanAt := sum/have, in.Settings.of(outlookLean)
	j.Confidence = 100 * math.Abs(lean) * j.Coverage
	j.Status, j.Signal = messages.Watching, "neutral"
	switch {
	case earlier > 0 && current < leastCurrent*all:
		j.Reason = fmt.Sprintf("%d of %d inputs are of an earlier session: no signal before half of the weight is of this one", earlier, len(list))
	case lean >= leanAt:
		j.Status, j.Signal = messages.Active, "bullish"
	case lean <= -leanAt:
		j.Status, j.Signal = messages.Active, "bearish"
	}
	j.Values = map[string]any{"lean": classic.RoundDecimal(lean, 3), "inputs": list}
	return j
}

// vote is one input's: from -1 (down) to +1 (up).
type vote struct {
	vote            float64
	reason          string // why there is none
	oldest, asOf    time.Time
	gapped, partial bool
	generation      messages.Generation
}

func outlookVote(in *Input, input string) vote {
	switch input {
	case "index_move":
		return indexMove(in)
	case "momentum":
		return momentum(in)
	}
	r, ok := in.Readings[input]
	if !ok {
		return vote{reason: "no reading yet"}
	}
	v := vote{oldest: r.OldestInput, asOf: r.AsOf, gapped: r.Gapped, partial: r.Partial, generation: r.Generation}
	switch {
	case r.Status == messages.Unavailable:
		v.reason = r.Reason
		if v.reason == "" {
			v.reason = "unavailable"
		}
	case in.Phase == messages.Open && in.overdue(r.AsOf) > 3*in.Index.Interval:
		// Its sender may be down, and cannot say so itself.
		v.reason = span(in.Now.Sub(r.AsOf)) + " old"
	default:
		v.vote = direction(r.Signal) * min(1, max(0, r.Confidence/100))
	}
	return v
}

// direction of a signal in either profile's spelling.
func direction(signal string) float64 {
	s := strings.ToLower(signal)
	switch {
	case strings.Contains(s, "buy"), strings.Contains(s, "bullish"):
		return 1
	case strings.Contains(s, "sell"), strings.Contains(s, "bearish"):
		return -1
	default:
		return 0
	}
}

// indexMove is the change since the open of the newest bar's session; 1 % is all.
func indexMove(in *Input) vote {
	price, ok := in.Index.Price()
	if !ok {
		return vote{reason: "no bar of the index yet"}
	}
	bars := in.Index.Closed
	if in.Index.Running != nil {
		bars = append(slices.Clip(bars), *in.Index.Running)
	}
	bars = in.ofSession(bars)
	v := vote{vote: min(1, max(-1, (price/bars[0].Open-1)*100))}
	v.over(bars[0], bars[len(bars)-1])
	return v
}

// momentum is the move over the last 3 closed bars of a session, in mean ranges
// of the last 20; one and a half of them are all.
func momentum(in *Input) vote {
	bars := in.Index.Last(20)
	if len(bars) < 20 {
		return vote{reason: fmt.Sprintf("%d of 20 bars of the index so far", len(bars))}
	}
	moved := in.ofSession(bars)
	moved = moved[max(0, len(moved)-4):]
	var v vote
	v.over(moved...)
	if len(moved) < 4 {
		v.reason = fmt.Sprintf("%d of 4 bars of the session so far", len(moved))
		return v
	}
	mean := classic.MeanSpan(bars)
	if mean == 0 {
		return v // flat bars: no move
	}
	v.vote = min(1, max(-1, (moved[3].Close-moved[0].Close)/(1.5*mean)))
	return v
}

func (v *vote) over(candles ...Candle) {
	var j Judgement
	j.Over(candles)
	v.oldest, v.asOf, v.gapped, v.partial, v.generation = j.Oldest, j.AsOf, j.Gapped, j.Partial, j.Generation
}
