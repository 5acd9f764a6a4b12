package alerts

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"kitestring/messages"
	"kitestring/messages/ist"
)

// Rule is an alert of the configuration. Exactly one of Signal, Value, Crosses
// and Touches is set.
type Rule struct {
	Name       string
	Underlying string // "": each
	Kind       string // of the reading
	Signal     string // that an active reading has
	Value      string // a number of the reading, e.g. pcr or nearest_support.level
	Above      *float64
	Below      *float64
	Crosses    string // a number of the reading that the price crosses, e.g. max_pain
	Touches    string // support, resistance or zone: a zone of zone_control that the price comes into

	MinConfidence float64 // 0-100
	MinCoverage   float64 // 0-1
	Always        bool    // out of the session, too
	Doubtful      bool    // on input that is gapped, old or of another session, too
	Cooldown      time.Duration
	Channels      []string // none: each that is set up
}

// DefaultCooldown is how long an alert is silent after it was sent.
const DefaultCooldown = 15 * time.Minute

// The oldest input that counts: a reading of bars is as old as the longest bar
// and the one that runs; the index ticks each second.
const (
	oldestReading = 35 * time.Minute
	oldestPrice   = time.Minute
)

// Condition says in words what the alert waits for.
func (r *Rule) Condition() string {
	what := r.Kind
	if r.Value != "" && r.Value != r.Kind {
		what += "'s " + words(r.Value)
	}
	switch {
	case r.Signal != "":
		return r.Kind + " is " + words(r.Signal)
	case r.Above != nil:
		return what + " is above " + number(*r.Above)
	case r.Below != nil:
		return what + " is below " + number(*r.Below)
	case r.Crosses != "":
		return "the price crosses " + r.Kind + "'s " + words(r.Crosses)
	}
	return "the price touches a " + strings.ReplaceAll(r.Touches+" zone", "zone zone", "zone")
}

// price is an index' newest price.
type price struct {
	value float64
	at    time.Time // exchange time
}

// judgement is what a look says of a rule's condition.
type judgement struct {
	known bool
	holds bool
	side  int8   // of the price, for a rule that waits for a crossing: -1 below, 1 above
	text  string // what is so; of one that is not known, why not
	level *float64
}

// judge looks at a rule's condition.
func (r *Rule) judge(reading messages.Reading, p price, now time.Time, open bool) (j judgement) {
	unknown := func(format string, args ...any) judgement { return judgement{text: fmt.Sprintf(format, args...)} }
	switch {
	case !open && !r.Always:
		return unknown("no session runs")
	case reading.Status == messages.Unavailable:
		return unknown("%s is unavailable: %s", r.Kind, reading.Reason)
	case r.Doubtful:
	case reading.Gapped:
		return unknown("%s rests on data with a gap", r.Kind)
	case !ist.Day(reading.AsOf).Equal(ist.Day(now)):
		return unknown("%s is of an earlier session", r.Kind)
	case now.Sub(reading.AsOf) > oldestReading, reading.ValidUntil != nil && now.After(*reading.ValidUntil):
		return unknown("%s is of %s IST", r.Kind, reading.AsOf.In(ist.Zone).Format("15:04"))
	}
	enough := reading.Confidence >= r.MinConfidence && reading.Coverage >= r.MinCoverage
	priced := p.value > 0 && (r.Doubtful || now.Sub(p.at) <= oldestPrice)
	switch {
	case r.Signal != "":
		j.known = true
		j.holds = enough && reading.Status == messages.Active && reading.Signal == r.Signal
		j.text = fmt.Sprintf("%s is %s, confidence %.0f", r.Kind, words(r.Signal), reading.Confidence)
	case r.Value != "":
		v, ok := numberAt(reading.Values, r.Value)
		if !ok {
			return unknown("%s has no number %s now", r.Kind, r.Value)
		}
		j.known = true
		limit, where := r.Above, "above"
		if limit == nil {
			limit, where = r.Below, "below"
		}
		j.holds = enough && (where == "above" && v > *limit || where == "below" && v < *limit)
		j.level, j.text = limit, fmt.Sprintf("%s is %s, %s %s", words(r.Value), number(v), where, number(*limit))
	case r.Crosses != "":
		v, ok := numberAt(reading.Values, r.Crosses)
		switch {
		case !ok:
			return unknown("%s has no number %s now", r.Kind, r.Crosses)
		case !priced:
			return unknown("the index has no price of now")
		case !enough || p.value == v:
			return unknown("the price is on the level, or %s not sure enough", r.Kind)
		}
		j.known, j.side, j.level = true, 1, &v
		where := "above"
		if p.value < v {
			j.side, where = -1, "below"
		}
		j.text = fmt.Sprintf("the price, %s, is now %s %s, %s", number(p.value), where, words(r.Crosses), number(v))
	case r.Touches != "":
		width, ok := numberAt(reading.Values, "zone_width")
		if !ok || !priced {
			return unknown("there is no zone or no price of now")
		}
		j.known = true
		for _, side := range []string{"support", "resistance"} {
			level, there := numberAt(reading.Values, "nearest_"+side+".level")
			if r.Touches != side && r.Touches != "zone" || !there || !enough {
				continue
			}
			if math.Abs(p.value-level) <= width/2 {
				j.holds, j.level = true, &level
				j.text = fmt.Sprintf("the price, %s, touches the %s zone at %s", number(p.value), side, number(level))
			}
		}
	}
	return j
}

// numberAt finds a number in a reading's values, by the names on the way to it.
func numberAt(values map[string]any, path string) (float64, bool) {
	name, rest, deeper := strings.Cut(path, ".")
	v := values[name]
	if deeper {
		inner, _ := v.(map[string]any)
		return numberAt(inner, rest)
	}
	switch n := v.(type) {
	case float64:
		return n, !math.IsNaN(n) && !math.IsInf(n, 0)
	case int:
		return float64(n), true
	case int64:
		return float64(n), true
	}
	return 0, false
}

func words(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "_", " "), ".", "'s ")
}

func number(v float64) string {
	return strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(v, 'f', 2, 64), "0"), ".")
}
