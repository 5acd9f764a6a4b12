package analysis

import (
	"math"
	"time"

	"kitestring/actors/analysis/classic"
	"kitestring/messages"
)

// Direct analysis: the one analysis that asks over REST. It answers once at
// each adopted token (which proves that the REST side works with it), on
// demand, and once an interval while no ticks come in an open market.
var direct = Analysis{
	Kind:       "direct",
	Needs:      Needs{Index: true, REST: true}, // the bars tell whether ticks come
	Parameters: []*Parameter{directEvery, directFresh, directMove},
	Rules:      []Rule{ordered(directEvery, directFresh)},
	Judge:      judgeDirect,
}

var (
	directEvery = count("interval_seconds", 60, 10, 170, "seconds", "from one question to the next while no ticks come")
	// Three bars of a minute are 180 seconds: what is older is stale anyway.
	directFresh = count("max_answer_age_seconds", 120, 20, 180, "seconds", "an older answer is no reading in an open market")
	directMove  = measure("signal_from_percent", 0.5, 0.05, 5, "percent", "a change since the previous close beyond it is a signal")
)

func judgeDirect(in *Input) Judgement {
	q := in.REST
	if q == nil && in.RESTError != "" {
		return Missing("the question over REST brought nothing: %s", in.RESTError)
	}
	if q == nil {
		return Missing("not asked over REST yet: that happens on demand, at a new token and while the feed is down")
	}
	j := Judgement{Coverage: 1}
	j.OverQuote(*q)
	age := in.Now.Sub(q.At)
	switch {
	case q.At.IsZero():
		return Missing("the answer over REST has no time, so its age is unknown")
	case in.Phase == messages.Open && age > in.Settings.seconds(directFresh):
		if silent := in.overdue(in.Index.newest()); silent <= mostSilence {
			return standingBy(in, age)
		}
		j.Reason = "the last answer over REST is " + span(age) + " old; refreshes when the feed drops, or press Ask"
		return j
	case q.Last <= 0 || q.Close <= 0:
		j.Reason = "the answer over REST lacks the last price or the previous close"
		return j
	}
	change := (q.Last - q.Close) / q.Close * 100
	j.Status, j.Signal, j.Confidence = messages.Watching, "wait", 50
	if math.Abs(change) > in.Settings.of(directMove) {
		j.Status, j.Signal = messages.Active, "buy"
		if change < 0 {
			j.Signal = "sell"
		}
		j.Confidence = min(60+10*math.Abs(change), 95)
	}
	trend := "sideways"
	switch {
	case change > 0.3:
		trend = "uptrend"
	case change < -0.3:
		trend = "downtrend"
	}
	j.Values = map[string]any{
		"source": "rest", "price": q.Last, "previous_close": q.Close, "change_pct": classic.RoundDecimal(change, 2),
		"open": q.Open, "high": q.High, "low": q.Low, "trend": trend,
	}
	return j
}

// standingBy is the analysis while ticks come: nothing needs to be asked.
func standingBy(in *Input, age time.Duration) Judgement {
	j := Judgement{
		Status: messages.Watching, Signal: "standby", Coverage: 1,
		Reason: "standing by: ticks come. The last answer over REST is " + span(age) + " old; refreshes when the feed drops, or press Ask",
		Values: map[string]any{"source": "rest", "answered_at": stamp(in.REST.At), "answer_age_seconds": math.Round(age.Seconds())},
	}
	if in.Index.Running != nil {
		j.Over([]Candle{*in.Index.Running})
	} else {
		j.Over(in.Index.Last(1))
	}
	return j
}

// AskEvery is how long direct analysis waits from one question to the next
// while no ticks come.
func (a *Analysis) AskEvery() time.Duration { return a.settings.seconds(directEvery) }
