package analysis

import (
	"fmt"
	"math"
	"strings"
	"time"

	"kitestring/actors/analysis/classic"
	"kitestring/actors/analysis/indicators"
	"kitestring/actors/hours"
	"kitestring/messages"
	"kitestring/messages/ist"
)

// instant weighs what the newest tick says together with the day and the indicators.
var instant = Analysis{
	Kind:         "instant",
	Needs:        Needs{Index: true, Future: true, Quotes: true, Readings: []string{"pcr"}},
	Stale:        instantTickAge,
	Parameters:   []*Parameter{instantSignalFrom, instantStrongFrom, instantStop, instantTarget, instantTickAge},
	Rules:        []Rule{ordered(instantSignalFrom, instantStrongFrom)},
	Judge:        judgeInstant,
	Classic:      func(in *Input) map[string]any { return classicInstantOf(in) },
	ClassicScale: 100,
}

var (
	instantSignalFrom = count("signal_from", 25, 5, 90, "points", "points of the larger side from which it is a signal")
	instantStrongFrom = count("strong_from", 70, 10, 95, "points", "points of the larger side from which it is a strong one")
	instantStop       = measure("stop_atr", 1, 0.1, 10, "ATR", "from the entry to the stop")
	instantTarget     = measure("target_atr", 2, 0.1, 20, "ATR", "from the entry to the target")
	instantTickAge    = count("max_tick_age_seconds", 60, 5, 300, "seconds", "with an older newest tick there is no reading in an open market")
)

// instantParts is how many inputs are wanted: change, day's range, averages,
// RSI, ATR, VWAP, volume, put/call ratio, the previous day's levels.
const instantParts = 9

// judgeInstant differs from the predecessor: its indicators are real, the trend
// is that of the averages instead of the change counted a second time, the larger
// side wins, and a tie waits. What is missing lowers the coverage.
func judgeInstant(in *Input) Judgement {
	tick := in.IndexTick
	if tick.At.IsZero() || tick.Last <= 0 {
		return lacking(in.Index.Last(1), "no tick of the index yet")
	}
	price := tick.Last
	j := Judgement{Status: messages.Watching, Values: classic.Object{"price": price, "time_quality": timeQuality(in)}}
	j.OverQuote(tick)
	s, parts := &classic.Sides{Reasons: []string{}}, 0
	// What the bars say counts once one of this session has closed.
	bars := in.Index.Last(1)
	current := len(bars) > 0 && in.session(bars[0].Time).Equal(in.session(tick.At))
	checks, before := []map[string]any{}, classic.Sides{}
	check := func(name, otherwise string) {
		text := otherwise
		if n := len(before.Reasons); len(s.Reasons) > n {
			text = strings.Join(s.Reasons[n:], "; ")
		}
		checks = append(checks, map[string]any{"name": name, "points": s.Bull - before.Bull - (s.Bear - before.Bear), "text": text})
		before = *s
	}
	have := func(name string, v float64, ok bool) bool {
		j.Values[name] = nil
		if ok {
			j.Values[name] = v
			parts++
		}
		return ok
	}

	change := (price - tick.Close) / tick.Close * 100
	if have("change_percent", change, tick.Close > 0) {
		s.Add(classic.Above(change, classic.ChangeLadder), classic.Above(-change, classic.ChangeLadder), "change %+.2f %%", change)
	}
	check("change", "no change to speak of since the previous close")
	if pcr, ok := pcrOf(in, &j); have("pcr", pcr, ok) {
		bull := classic.Above(pcr, classic.PcrBullLadder)
		bear := 0
		if bull == 0 {
			bear = classic.Below(pcr, classic.PcrBearLadder)
		}
		s.Add(bull, bear, "put/call ratio %.2f", pcr)
		check("pcr", fmt.Sprintf("put/call ratio %.2f: balanced", pcr))
	} else {
		check("pcr", "no put/call ratio")
	}
	if off, vwap, ok := offVWAP(in, &j); have("vwap_future", vwap, ok) {
		j.Values["off_vwap_percent"] = off
		if vwapText(off) != atVWAP {
			s.Add(vwapPoints(off), vwapPoints(-off), "%s", vwapText(off))
		}
		check("vwap", vwapText(off))
	} else {
		check("vwap", "no VWAP of the future yet")
	}
	if trend, ok := averagesTrend(&in.Index, j.Values); ok && current {
		parts++
		j.Values["trend"] = trend
		switch trend {
		case "up":
			s.Add(15, 0, "averages rise")
		case "down":
			s.Add(0, 15, "averages fall")
		}
		check("trend", "averages without a direction")
	} else {
		check("trend", "averages: no bar of this session yet")
	}
	strength, ok := indicators.RSI(in.Index.Closed, indicators.RSIPeriod)
	have("rsi", strength, ok)
	width, measured := indicators.ATR(in.Index.Closed, indicators.ATRPeriod)
	have("atr", width, measured)
	if !current { // shown, and not counted as an input
		for _, known := range [...]bool{ok, measured} {
			if known {
				parts--
			}
		}
	}
	if have("volume_future", float64(in.FutureTick.Volume), in.FutureTick.Volume > 0) {
		switch points := classic.Above(float64(in.FutureTick.Volume), classic.VolumeLadder); {
		case s.Bull > s.Bear:
			s.Add(points, 0, "volume")
		case s.Bear > s.Bull:
			s.Add(0, points, "volume")
		}
	}
	check("volume", "volume confirms no side")
	if have("range_position", classic.RangePosition(price, tick.Low, tick.High), tick.Low > 0 && tick.High > tick.Low) {
		s.AddRange(price, tick.Low, tick.High)
	}
	check("range", "price in the middle of the day's range")
	high, low, whole := previousDay(in, tick.At)
	have("prev_day_high", high, whole)
	j.Values["prev_day_low"], j.Values["prev_day_close"] = nil, nil
	if whole {
		j.Values["prev_day_low"] = low
	}
	if tick.Close > 0 {
		j.Values["prev_day_close"] = tick.Close
	}
	j.Over(in.Index.Last(indicators.Slow))
	j.Coverage = float64(parts) / instantParts

	j.Values["points_up"], j.Values["points_down"], j.Values["reasons"] = s.Bull, s.Bear, s.Reasons
	j.Values["checks"] = checks
	signal, confidence, way := larger(s, in.Settings)
	j.Signal, j.Confidence = signal, confidence
	j.Values["entry"], j.Values["stop"], j.Values["target"] = nil, nil, nil
	if way != 0 {
		j.Status = messages.Active
		if measured {
			j.Values["entry"] = price
			j.Values["stop"] = price - way*in.Settings.of(instantStop)*width
			j.Values["target"] = price + way*in.Settings.of(instantTarget)*width
		}
	}
	return j
}

// larger is the signal of the larger side with its confidence, 0-95, and its
// way: 1 up, -1 down, 0 wait.
func larger(s *classic.Sides, settings Settings) (signal string, confidence, way float64) {
	points, strong, plain, way := s.Bull, "strong_buy", "buy_signal", 1.0
	if s.Bear > s.Bull {
		points, strong, plain, way = s.Bear, "strong_sell", "sell_signal", -1.0
	}
	switch {
	case s.Bull == s.Bear || points < settings.whole(instantSignalFrom):
		return "wait", 0, 0
	case points >= settings.whole(instantStrongFrom):
		return strong, min(float64(points), 95), way
	}
	return plain, float64(points), way
}

// atVWAP is on neither side: no points.
const atVWAP = "Future at VWAP"

// vwapText says where the future stands.
func vwapText(off float64) string {
	switch percent := fmt.Sprintf("%.2f", math.Abs(off)); {
	case percent == "0.00":
		return atVWAP
	case off > 0:
		return "Future " + percent + " % above VWAP"
	default:
		return "Future " + percent + " % below VWAP"
	}
}

func vwapPoints(off float64) int {
	return classic.Above(off, []classic.Rung{{At: 1, Points: 20}, {At: 0, Points: 12}})
}

// pcrOf is the put/call ratio of the newest reading that could be used.
func pcrOf(in *Input, j *Judgement) (float64, bool) {
	r, ok := in.Readings["pcr"]
	if !ok || r.Status == messages.Unavailable {
		return 0, false
	}
	pcr, ok := r.Values["pcr"].(float64)
	if ok && j != nil {
		j.used(r.OldestInput, r.AsOf, r.Generation)
	}
	return pcr, ok && pcr > 0
}

// offVWAP is how far the future stands from the day's volume-weighted average
// price, percent: the exchange's own average, or that of the day's bars.
func offVWAP(in *Input, j *Judgement) (off, vwap float64, ok bool) {
	tick := in.FutureTick
	if tick.At.IsZero() || tick.Last <= 0 {
		return 0, 0, false
	}
	vwap = tick.Average
	if vwap <= 0 {
		if vwap, ok = indicators.SessionVWAP(in.Future.Closed); !ok {
			return 0, 0, false
		}
	}
	j.OverQuote(tick)
	return (tick.Last - vwap) / vwap * 100, vwap, true
}

// averagesTrend notes the moving averages and names their order; false without
// all three.
func averagesTrend(w *Window, values classic.Object) (trend string, ok bool) {
	fast, ok9 := indicators.EMA(w.Closed, indicators.Fast)
	middle, ok21 := indicators.EMA(w.Closed, indicators.Middle)
	slow, ok50 := indicators.EMA(w.Closed, indicators.Slow)
	values["trend"] = nil
	for _, e := range []struct {
		name  string
		value float64
		ok    bool
	}{{"ema_9", fast, ok9}, {"ema_21", middle, ok21}, {"ema_50", slow, ok50}} {
		values[e.name] = nil
		if e.ok {
			values[e.name] = e.value
		}
	}
	if !ok9 || !ok21 || !ok50 {
		return "", false
	}
	switch {
	case fast > middle && middle > slow:
		return "up", true
	case fast < middle && middle < slow:
		return "down", true
	}
	return "sideways", true
}

// previousDay is the high and low of the last trading day before at; false
// unless the bars show that day from open to close without a hole at its ends.
func previousDay(in *Input, at time.Time) (high, low float64, ok bool) {
	w := &in.Index
	today := ist.Day(at)
	end := len(w.Closed)
	for end > 0 && !w.Closed[end-1].Time.Before(today) {
		end--
	}
	if end == 0 {
		return 0, 0, false
	}
	last := w.Closed[end-1]
	day := ist.Day(last.Time)
	from := end - 1
	for from > 0 && !w.Closed[from-1].Time.Before(day) {
		from--
	}
	bars := w.Closed[from:end]
	session := in.Hours.Table().Day(day, hours.Indices)
	until := session.Close()
	if !session.Auction.IsZero() {
		until = session.Auction // what index packets carry during it is not known
	}
	whole := !bars[0].Time.After(session.Open()) && !last.Time.Add(w.Interval).Before(until)
	for i := range bars {
		whole = whole && !bars[i].Gapped && !bars[i].Partial
	}
	return classic.Highest(bars), classic.Lowest(bars), whole
}

// timeQuality is poor in the first and last ten minutes of a session.
func timeQuality(in *Input) string {
	const edge = 10 * time.Minute
	session, known := in.Hours.Table().Day(in.Now, hours.Market).At(in.Now)
	switch {
	case in.Phase != messages.Open:
		return "closed"
	case known && (in.Now.Before(session.From.Add(edge)) || !in.Now.Before(session.To.Add(-edge))):
		return "poor"
	}
	return "good"
}

// classicInstantOf makes the predecessor's tick of what is known; nil without a
// tick of the index.
func classicInstantOf(in *Input) classic.Object {
	tick := in.IndexTick
	if tick.At.IsZero() {
		return nil
	}
	t := &classic.Tick{Symbol: &in.Underlying, Named: true, Trend: "neutral", Numbers: map[string]*float64{
		"price": &tick.Last, "open": &tick.Open, "high": &tick.High, "low": &tick.Low, "close": &tick.Close,
	}}
	if tick.Close > 0 {
		change := classic.RoundDecimal((tick.Last-tick.Close)/tick.Close*100, 2)
		t.Numbers["changePercent"] = &change
		switch {
		case change > 0:
			t.Trend = "bullish"
		case change < 0:
			t.Trend = "bearish"
		}
	}
	if in.FutureTick.Volume > 0 {
		volume := float64(in.FutureTick.Volume)
		t.Numbers["volume"] = &volume
	}
	if pcr, ok := pcrOf(in, nil); ok {
		t.Numbers["pcr"] = &pcr
	}
	return classic.Instant(t)
}
