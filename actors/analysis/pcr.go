package analysis

import (
	"fmt"
	"math"
	"time"

	"kitestring/actors/analysis/classic"
	"kitestring/messages"
	"kitestring/messages/ist"
)

// The put/call ratio over the option chain that is subscribed: the strikes
// round the money of the nearest expiry.
var pcr = Analysis{
	Kind:       "pcr",
	Title:      "Put/call ratio",
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
	pcrBullish    = 1.2
	pcrBearish    = 0.8
	leastRotation = 500.0 // contracts of open interest
	rotationShare = 0.02  // of the smaller side's open interest
)

// side sums one side of the chain.
type side struct {
	oi, volume  float64
	change      float64 // of the open interest since the open
	wall        float64 // strike of the largest open interest
	wallOI      int64
	known, with int // options counted; of them with an open to compare
}

func (s *side) add(o *Option) {
	s.known++
	s.oi += float64(o.Quote.OI)
	s.volume += float64(o.Quote.Volume)
	if o.Quote.OI > s.wallOI {
		s.wall, s.wallOI = o.Strike, o.Quote.OI
	}
	if o.HasOpen {
		s.with++
		s.change += float64(o.Quote.OI - o.OpenOI)
	}
}

func judgePCR(in *Input) Judgement {
	if len(in.Chain) == 0 {
		return Missing("no option chain is known yet")
	}
	var j Judgement
	bullish, bearish := in.Settings.of(pcrBullishFrom), in.Settings.of(pcrBearishTo)
	coverage, fresh := in.Settings.of(pcrCoverage), in.Settings.seconds(pcrTickAge)
	var calls, puts side
	counted := make([]*Option, 0, len(in.Chain))
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
		counted = append(counted, o)
		j.OverQuote(o.Quote)
		if o.Put {
			puts.add(o)
		} else {
			calls.add(o)
		}
	}
	j.Coverage = float64(len(counted)) / float64(len(in.Chain))
	switch {
	case newest.IsZero():
		return Missing("no option of the chain has had a tick yet")
	case j.Coverage < coverage:
		j.Reason = fmt.Sprintf("%d of %d options have a tick newer than %v; the newest is %v old",
			len(counted), len(in.Chain), fresh, in.Now.Sub(newest).Round(time.Second))
		j.AsOf = newest
		return j
	case calls.oi == 0:
		j.Reason = "the calls have no open interest: there is nothing to divide by"
		return j
	}
	ratio := puts.oi / calls.oi
	j.Status, j.Signal, j.Confidence = messages.Watching, "neutral", max(0, 50-100*math.Abs(ratio-1))
	switch {
	case ratio > bullish:
		j.Status, j.Signal, j.Confidence = messages.Active, "bullish", min(90, 55+100*(ratio-bullish))
	case ratio < bearish:
		j.Status, j.Signal, j.Confidence = messages.Active, "bearish", min(90, 55+100*(bearish-ratio))
	}
	j.Confidence *= j.Coverage
	j.Values = map[string]any{
		"pcr": classic.RoundDecimal(ratio, 2), "pcr_volume": ratioOrNil(puts.volume, calls.volume),
		"call_oi": calls.oi, "put_oi": puts.oi, "sentiment": j.Signal,
		"call_wall": wallOrNil(calls), "put_wall": wallOrNil(puts), "max_pain": maxPain(counted),
		"straddle": straddle(in, reference, fresh), "expiry": in.Expiry.In(ist.Zone).Format(time.DateOnly), "options": len(in.Chain),
		"pcr_oi_change": nil, "rotation": nil, "defender": defender(calls.oi, puts.oi),
	}
	// The change since the open is given only where the open was seen.
	if enough := coverage * float64(len(in.Chain)); float64(calls.with+puts.with) >= enough {
		j.Values["pcr_oi_change"] = ratioOrNil(puts.change, calls.change)
		j.Values["call_oi_change"], j.Values["put_oi_change"] = calls.change, puts.change
		j.Values["rotation"] = rotation(calls, puts)
	}
	return j
}

// rotation names what the open interest has done since the open. One side that
// moves alone builds or unwinds; a move within max(500, 2 % of the smaller
// side) is none.
func rotation(calls, puts side) string {
	limit := max(leastRotation, rotationShare*min(calls.oi, puts.oi))
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
	switch c, p := direction(calls.change), direction(puts.change); {
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

// defender names the side whose writers stand firmer: 1.3 times the other's
// open interest.
func defender(calls, puts float64) string {
	switch {
	case calls >= 1.3*puts:
		return "calls"
	case puts >= 1.3*calls:
		return "puts"
	default:
		return "none"
	}
}

func ratioOrNil(a, b float64) any {
	if b == 0 {
		return nil
	}
	return classic.RoundDecimal(a/b, 2)
}

func wallOrNil(s side) any {
	if s.wallOI == 0 {
		return nil
	}
	return s.wall
}

// maxPain is the strike at which the given options would pay out least if they
// expired there now: nil for none. It walks the strikes once: from one to the
// next the calls below gain and the puts above lose the step.
func maxPain(options []*Option) any {
	var best any
	var pain, callsBelow, putsAbove float64
	least, last := math.Inf(1), 0.0
	for i, o := range options {
		if o.Put {
			putsAbove += float64(o.Quote.OI)
			pain += (o.Strike - options[0].Strike) * float64(o.Quote.OI)
		}
		if i == 0 {
			last = o.Strike
		}
	}
	for i := 0; i < len(options); {
		strike := options[i].Strike
		pain += (strike - last) * (callsBelow - putsAbove)
		last = strike
		if pain < least {
			best, least = strike, pain
		}
		for ; i < len(options) && options[i].Strike == strike; i++ {
			if oi := float64(options[i].Quote.OI); options[i].Put {
				putsAbove -= oi
			} else {
				callsBelow += oi
			}
		}
	}
	return best
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
