package analysis

import (
	"fmt"
	"math"
	"time"

	"kitestring/actors/analysis/classic"
	"kitestring/actors/optionchain"
	"kitestring/messages"
	"kitestring/messages/ist"
)

// The put/call ratio over the option chain that is subscribed: the strikes
// round the money of the nearest expiry.
var pcr = Analysis{
	Kind:       "pcr",
	Needs:      Needs{Chain: true},
	Stale:      pcrTickAge,
	Parameters: []*Parameter{pcrBullishFrom, pcrBearishTo, pcrCoverage, pcrTickAge},
	Rules:      []Rule{ordered(pcrBearishTo, pcrBullishFrom)},
	Judge:      judgePCR,
	Classic:    classicPCR,
}

var (
	pcrBullishFrom = measure("bullish_from", pcrBullish, 0.5, 5, "ratio", "a put/call ratio above it is bullish")
	pcrBearishTo   = measure("bearish_to", pcrBearish, 0.1, 2, "ratio", "a put/call ratio below it is bearish")
	pcrCoverage    = measure("least_coverage", 0.6, 0.1, 1, "share", "below this share of options with a fresh tick there is no ratio")
	pcrTickAge     = count("max_tick_age_seconds", 180, 5, 900, "seconds", "an option whose newest tick is older does not count")
)

const (
	pcrBullish = 1.2
	pcrBearish = 0.8
)

// ChainLimits are the put/call analysis' demands on the chain, so that others who
// sum it up come to the same numbers.
func ChainLimits(of Thresholds) optionchain.Limits {
	settings := of["pcr"]
	return optionchain.Limits{Fresh: settings.seconds(pcrTickAge), Coverage: settings.of(pcrCoverage)}
}

func judgePCR(in *Input) Judgement {
	if len(in.Chain) == 0 {
		return Missing("no option chain is known yet")
	}
	var j Judgement
	bullish, bearish := in.Settings.of(pcrBullishFrom), in.Settings.of(pcrBearishTo)
	coverage, fresh := in.Settings.of(pcrCoverage), in.Settings.seconds(pcrTickAge)
	counted := make([]optionchain.Position, 0, len(in.Chain))
	var newest time.Time
	for i := range in.Chain {
		if o := &in.Chain[i]; o.Quote.At.After(newest) {
			newest = o.Quote.At
		}
	}
	// Out of market hours the last ticks of the session are the newest there
	// are: ages count from them.
	reference := in.Now
	if in.Phase != messages.Open && !newest.IsZero() {
		reference = newest
	}
	for i := range in.Chain {
		o := &in.Chain[i]
		if o.Quote.At.IsZero() || reference.Sub(o.Quote.At) > fresh {
			continue
		}
		counted = append(counted, optionchain.Position{
			Strike: o.Strike, Put: o.Put, OI: o.Quote.OI, Volume: o.Quote.Volume, OpenOI: o.OpenOI, HasOpen: o.HasOpen,
		})
		j.OverQuote(o.Quote)
	}
	calls, puts := optionchain.Sum(counted)
	j.Coverage = float64(len(counted)) / float64(len(in.Chain))
	switch {
	case newest.IsZero():
		return Missing("no option of the chain has had a tick yet")
	case j.Coverage < coverage:
		j.Reason = fmt.Sprintf("%d of %d options have a tick newer than %s; the newest is %s old",
			len(counted), len(in.Chain), span(fresh), span(in.Now.Sub(newest)))
		j.AsOf = newest
		return j
	case calls.OI == 0:
		j.Reason = "the calls have no open interest: there is nothing to divide by"
		return j
	}
	ratio := puts.OI / calls.OI
	j.Status, j.Signal, j.Confidence = messages.Watching, "neutral", max(0, 50-100*math.Abs(ratio-1))
	switch {
	case ratio > bullish:
		j.Status, j.Signal, j.Confidence = messages.Active, "bullish", min(90, 55+100*(ratio-bullish))
	case ratio < bearish:
		j.Status, j.Signal, j.Confidence = messages.Active, "bearish", min(90, 55+100*(bearish-ratio))
	}
	j.Confidence *= j.Coverage
	j.Values = map[string]any{
		"pcr": classic.RoundDecimal(ratio, 2), "pcr_volume": orNil(optionchain.Ratio(puts.Volume, calls.Volume)),
		"call_oi": calls.OI, "put_oi": puts.OI, "sentiment": j.Signal,
		"call_wall": largestOrNil(calls), "put_wall": largestOrNil(puts), "max_pain": orNil(optionchain.MaxPain(counted)),
		"straddle": straddle(in, reference, fresh), "expiry": in.Expiry.In(ist.Zone).Format(time.DateOnly), "options": len(in.Chain),
		"pcr_oi_change": nil, "rotation": nil, "defender": optionchain.Defender(calls.OI, puts.OI),
	}
	// The change since the open is given only where the open was seen.
	if enough := coverage * float64(len(in.Chain)); float64(calls.With+puts.With) >= enough {
		j.Values["pcr_oi_change"] = orNil(optionchain.Ratio(puts.Change, calls.Change))
		j.Values["call_oi_change"], j.Values["put_oi_change"] = calls.Change, puts.Change
		j.Values["rotation"] = optionchain.Rotation(calls, puts)
	}
	return j
}

// orNil is the number, or nil when there is none.
func orNil(v *float64) any {
	if v == nil {
		return nil
	}
	return *v
}

func largestOrNil(s optionchain.Side) any {
	if s.LargestOI == 0 {
		return nil
	}
	return s.Largest
}

// straddle is the price of call and put at the strike nearest to the index,
// nil unless index, call and put are fresh.
func straddle(in *Input, now time.Time, fresh time.Duration) any {
	stale := func(q Quote) bool { return q.At.IsZero() || now.Sub(q.At) > fresh || q.Last <= 0 }
	if stale(in.IndexTick) {
		return nil
	}
	nearest, call, put := math.Inf(1), any(nil), any(nil)
	for i := range in.Chain {
		o := &in.Chain[i]
		switch distance := math.Abs(o.Strike - in.IndexTick.Last); {
		case distance < nearest:
			nearest, call, put = distance, nil, nil
		case distance > nearest:
			continue
		}
		if stale(o.Quote) {
			continue
		}
		if o.Put {
			put = o.Quote.Last
		} else {
			call = o.Quote.Last
		}
	}
	if call == nil || put == nil {
		return nil
	}
	return classic.RoundDecimal(call.(float64)+put.(float64), 2)
}

// classicPCR is the predecessor's formula over the options that have had a
// tick. It took the first 100 calls and puts of the instruments file; here they
// are those of the subscribed chain. Its zeros for want of data are not kept.
func classicPCR(in *Input) map[string]any {
	var calls, puts int64
	any := false
	for i := range in.Chain {
		o := &in.Chain[i]
		if o.Quote.At.IsZero() {
			continue
		}
		any = true
		if o.Put {
			puts += o.Quote.OI
		} else {
			calls += o.Quote.OI
		}
	}
	if !any {
		return nil
	}
	return classicRatio(calls, puts)
}

func classicRatio(calls, puts int64) map[string]any {
	ratio := 0.0
	if calls > 0 {
		ratio = classic.RoundDecimal(float64(puts)/float64(calls), 2)
	}
	sentiment := "neutral"
	switch {
	case ratio > pcrBullish:
		sentiment = "bullish"
	case ratio < pcrBearish:
		sentiment = "bearish"
	}
	return map[string]any{"pcr": ratio, "callOI": calls, "putOI": puts, "oi": calls + puts, "sentiment": sentiment, "signal": sentiment}
}
