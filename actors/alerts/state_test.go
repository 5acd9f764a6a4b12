package alerts

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kitestring/actors/channels"
	"kitestring/messages"
	"kitestring/messages/ist"
)

var (
	monday  = time.Date(2026, 11, 23, 0, 0, 0, 0, ist.Zone)
	machine = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) // has nothing to do with the exchange's
)

func at(h, m, s int) time.Time { return ist.At(monday, h, m, s) }

func ptr(v float64) *float64 { return &v }

// moment is one look at the world; what stays the same is left out of a step.
type moment struct {
	at      time.Time
	reading messages.Reading
	price   float64 // its tick is of the same moment
	closed  bool
}

// active is an outlook with a signal.
func active(signal string, confidence float64) messages.Reading {
	return messages.Reading{Kind: "outlook", Underlying: "NIFTY", Signal: signal, Confidence: confidence, Coverage: 1, Status: messages.Active}
}

// ratio is a PCR with max pain.
func ratio(pcr float64, maxPain any) messages.Reading {
	return messages.Reading{Kind: "pcr", Underlying: "NIFTY", Signal: "neutral", Confidence: 50, Coverage: 1, Status: messages.Watching, Values: map[string]any{"pcr": pcr, "max_pain": maxPain}}
}

// zones is a zone control with its nearest zones.
func zones(support, resistance float64) messages.Reading {
	of := func(level float64) any {
		if level == 0 {
			return nil
		}
		return map[string]any{"level": level}
	}
	return messages.Reading{Kind: "zone_control", Underlying: "NIFTY", Coverage: 1, Status: messages.Watching, Values: map[string]any{"zone_width": 20., "nearest_support": of(support), "nearest_resistance": of(resistance)}}
}

func with(r messages.Reading, change func(*messages.Reading)) messages.Reading {
	change(&r)
	return r
}

// show is what effects say, in short.
func show(effects []effect) string {
	var list []string
	for _, e := range effects {
		switch e := e.(type) {
		case tell:
			list = append(list, string(e.change.State))
		case attempt:
			list = append(list, fmt.Sprintf("send %d %s", e.id, e.channel))
		case ended:
			list = append(list, fmt.Sprintf("ended %d %s %t", e.id, e.channel, e.arrived))
		case withheld:
			list = append(list, "withheld")
		}
	}
	return strings.Join(list, ", ")
}

// TestConditions goes through a day of each kind of condition, without channels.
func TestConditions(t *testing.T) {
	bullish := Rule{Kind: "outlook", Signal: "bullish", MinConfidence: 60, MinCoverage: 0.8, Cooldown: 15 * time.Minute}
	above := Rule{Kind: "pcr", Value: "pcr", Above: ptr(1.3), Cooldown: 15 * time.Minute}
	crosses := Rule{Kind: "pcr", Crosses: "max_pain", Cooldown: 15 * time.Minute}
	touches := Rule{Kind: "zone_control", Touches: "zone", Cooldown: 15 * time.Minute}
	change := func(r Rule, f func(*Rule)) Rule { f(&r); return r }
	type step struct {
		moment
		want string
	}
	for name, c := range map[string]struct {
		rule  Rule
		steps []step
	}{
		"a signal fires once, heals, and cools down": {bullish, []step{
			{moment{at(9, 20, 0), active("neutral", 10), 0, false}, ""},
			{moment{at(9, 21, 0), active("bullish", 59), 0, false}, ""}, // not sure enough
			{moment{at(9, 22, 0), active("bullish", 60), 0, false}, "fired"},
			{moment{at(9, 23, 0), active("bullish", 70), 0, false}, ""},
			{moment{at(9, 24, 0), active("neutral", 10), 0, false}, "healed"},
			{moment{at(9, 25, 0), active("bullish", 70), 0, false}, ""}, // within the cooldown
			{moment{at(9, 26, 0), active("bearish", 70), 0, false}, ""},
			{moment{at(9, 30, 0), active("bullish", 70), 0, false}, ""},
			{moment{at(9, 36, 59), active("bullish", 70), 0, false}, ""},
			{moment{at(9, 37, 0), active("bullish", 70), 0, false}, "fired"}, // began in the cooldown, and still holds
			{moment{at(9, 38, 0), active("bullish", 70), 0, false}, ""},
		}},
		"what held at the first look did not begin": {bullish, []step{
			{moment{at(9, 20, 0), active("bullish", 70), 0, false}, ""},
			{moment{at(9, 21, 0), active("neutral", 70), 0, false}, ""},
			{moment{at(9, 22, 0), active("bullish", 70), 0, false}, "fired"},
		}},
		"a signal that is only watched is none": {bullish, []step{
			{moment{at(9, 20, 0), active("neutral", 70), 0, false}, ""},
			{moment{at(9, 21, 0), with(active("bullish", 70), func(r *messages.Reading) { r.Status = messages.Watching }), 0, false}, ""},
		}},
		"too few inputs": {bullish, []step{
			{moment{at(9, 20, 0), active("neutral", 70), 0, false}, ""},
			{moment{at(9, 21, 0), with(active("bullish", 70), func(r *messages.Reading) { r.Coverage = 0.79 }), 0, false}, ""},
		}},
		"doubtful input says nothing, neither way": {bullish, []step{
			{moment{at(9, 20, 0), active("neutral", 70), 0, false}, ""},
			{moment{at(9, 21, 0), with(active("bullish", 70), func(r *messages.Reading) { r.Gapped = true }), 0, false}, ""},
			{moment{at(9, 22, 0), with(active("bullish", 70), func(r *messages.Reading) { r.AsOf = at(-9, 0, 0) }), 0, false}, ""},
			{moment{at(10, 0, 0), with(active("bullish", 70), func(r *messages.Reading) { r.AsOf = at(9, 24, 0) }), 0, false}, ""},
			{moment{at(10, 0, 30), with(active("bullish", 70), func(r *messages.Reading) { r.AsOf, r.ValidUntil = at(9, 55, 0), new(at(10, 0, 29)) }), 0, false}, ""},
			{moment{at(10, 1, 0), active("bullish", 70), 0, false}, "fired"},
			{moment{at(10, 2, 0), with(active("neutral", 70), func(r *messages.Reading) { r.Status = messages.Unavailable }), 0, false}, ""},
			{moment{at(10, 3, 0), active("bullish", 70), 0, false}, ""},
		}},
		"doubtful input that was asked for": {change(bullish, func(r *Rule) { r.Doubtful = true }), []step{
			{moment{at(9, 20, 0), active("neutral", 70), 0, false}, ""},
			{moment{at(9, 21, 0), with(active("bullish", 70), func(r *messages.Reading) { r.Gapped, r.AsOf = true, at(-9, 0, 0) }), 0, false}, "fired"},
		}},
		"out of the session": {bullish, []step{
			{moment{at(15, 29, 0), active("neutral", 70), 0, false}, ""},
			{moment{at(15, 41, 0), active("bullish", 70), 0, true}, ""},
		}},
		"out of the session, when asked for": {change(bullish, func(r *Rule) { r.Always = true }), []step{
			{moment{at(15, 29, 0), active("neutral", 70), 0, false}, ""},
			{moment{at(15, 41, 0), active("bullish", 70), 0, true}, "fired"},
		}},
		"another underlying": {change(bullish, func(r *Rule) { r.Underlying = "SENSEX" }), []step{
			{moment{at(9, 20, 0), active("neutral", 70), 0, false}, ""},
			{moment{at(9, 21, 0), active("bullish", 70), 0, false}, ""},
		}},
		"a value above a level": {above, []step{
			{moment{at(9, 20, 0), ratio(1.3, nil), 0, false}, ""},
			{moment{at(9, 21, 0), ratio(1.31, nil), 0, false}, "fired"},
			{moment{at(9, 22, 0), ratio(1.29, nil), 0, false}, "healed"},
			{moment{at(9, 23, 0), ratio(1.31, nil), 0, false}, ""},
			{moment{at(9, 24, 0), ratio(1.29, nil), 0, false}, ""},
			{moment{at(9, 40, 0), ratio(1.31, nil), 0, false}, "fired"},
			{moment{at(9, 41, 0), with(ratio(0, nil), func(r *messages.Reading) { r.Values = nil }), 0, false}, ""},
		}},
		"a value below a level": {change(above, func(r *Rule) { r.Above, r.Below = nil, ptr(0.8) }), []step{
			{moment{at(9, 20, 0), ratio(0.8, nil), 0, false}, ""},
			{moment{at(9, 21, 0), ratio(0.79, nil), 0, false}, "fired"},
		}},
		"the price crosses max pain": {crosses, []step{
			{moment{at(9, 20, 0), ratio(1, 25000.), 24990, false}, ""},
			{moment{at(9, 21, 0), ratio(1, 25000.), 25000, false}, ""}, // neither
			{moment{at(9, 22, 0), ratio(1, 25000.), 25001, false}, "fired"},
			{moment{at(9, 23, 0), ratio(1, 25000.), 24999, false}, ""}, // cools down
			{moment{at(9, 38, 0), ratio(1, 25000.), 25001, false}, "fired"},
			{moment{at(9, 54, 0), ratio(1, 25050.), 25001, false}, "fired"}, // the level has moved over the price
			{moment{at(10, 20, 0), ratio(1, nil), 25060, false}, ""},
			{moment{at(10, 21, 0), ratio(1, 25050.), 0, false}, ""},
		}},
		"the price touches a zone": {touches, []step{
			{moment{at(9, 20, 0), zones(24900, 25100), 25000, false}, ""},
			{moment{at(9, 21, 0), zones(24900, 25100), 25089, false}, ""},
			{moment{at(9, 22, 0), zones(24900, 25100), 25090, false}, "fired"},
			{moment{at(9, 23, 0), zones(24900, 25100), 25111, false}, "healed"},
			{moment{at(9, 40, 0), zones(24900, 0), 24910, false}, "fired"},
			{moment{at(9, 41, 0), zones(0, 0), 24910, false}, "healed"},
		}},
		"the price touches a resistance": {change(touches, func(r *Rule) { r.Touches = "resistance" }), []step{
			{moment{at(9, 20, 0), zones(24900, 25100), 25000, false}, ""},
			{moment{at(9, 21, 0), zones(24900, 25100), 24900, false}, ""},
			{moment{at(9, 22, 0), zones(24900, 25100), 25100, false}, "fired"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c.rule.Name = "a"
			s, _ := next(state{}, started{[]Rule{c.rule}})
			for i, st := range c.steps {
				if st.reading.AsOf.IsZero() {
					st.reading.AsOf = st.at
				}
				s, _ = next(s, read{st.reading})
				before := fmt.Sprint(s)
				after, effects := next(s, looked{st.at, machine, !st.closed, map[string]price{"NIFTY": {st.price, st.at}}, nil})
				if fmt.Sprint(s) != before {
					t.Fatalf("step %d changed the state that it was given", i+1)
				}
				if s = after; show(effects) != st.want {
					t.Errorf("step %d: %q, want %q", i+1, show(effects), st.want)
				}
				// Nothing changes while nothing happens.
				if s, effects = next(s, looked{st.at, machine, !st.closed, map[string]price{"NIFTY": {st.price, st.at}}, nil}); effects != nil {
					t.Errorf("step %d again: %q", i+1, show(effects))
				}
			}
		})
	}
}

func TestOldPricesCrossNothing(t *testing.T) {
	r := Rule{Name: "a", Kind: "pcr", Crosses: "max_pain"}
	reading := with(ratio(1, 25000.), func(r *messages.Reading) { r.AsOf = at(9, 20, 0) })
	if j := r.judge(reading, price{25001, at(9, 18, 0)}, at(9, 20, 0), true); j.known {
		t.Errorf("a price of two minutes ago: %+v", j)
	}
	r.Doubtful = true
	if j := r.judge(reading, price{25001, at(9, 18, 0)}, at(9, 20, 0), true); !j.known {
		t.Error("a price of two minutes ago, asked for, is not used")
	}
}

func TestTextsNameWhatHappened(t *testing.T) {
	for _, c := range []struct {
		rule      Rule
		reading   messages.Reading
		price     float64
		condition string
		text      string
	}{
		{Rule{Kind: "outlook", Signal: "strong_buy"}, active("strong_buy", 71.6), 0, "outlook is strong buy", "outlook is strong buy, confidence 72"},
		{Rule{Kind: "pcr", Value: "pcr", Above: ptr(1.3)}, ratio(1.35, nil), 0, "pcr is above 1.3", "pcr is 1.35, above 1.3"},
		{Rule{Kind: "pcr", Value: "max_pain", Below: ptr(25000)}, ratio(1, 24950.), 0, "pcr's max pain is below 25000", "max pain is 24950, below 25000"},
		{Rule{Kind: "pcr", Crosses: "max_pain"}, ratio(1, 25000.), 25001.5, "the price crosses pcr's max pain", "the price, 25001.5, is now above max pain, 25000"},
		{Rule{Kind: "zone_control", Touches: "zone"}, zones(24900, 0), 24905, "the price touches a zone", "the price, 24905, touches the support zone at 24900"},
		{Rule{Kind: "zone_control", Touches: "support"}, zones(24900, 0), 24905, "the price touches a support zone", "the price, 24905, touches the support zone at 24900"},
	} {
		c.reading.AsOf = at(10, 0, 0)
		j := c.rule.judge(c.reading, price{c.price, at(10, 0, 0)}, at(10, 0, 0), true)
		if c.rule.Condition() != c.condition || j.text != c.text {
			t.Errorf("%q and %q, want %q and %q", c.rule.Condition(), j.text, c.condition, c.text)
		}
	}
}

// TestDeliveries follows messages over two channels.
func TestDeliveries(t *testing.T) {
	both := []string{channels.Ntfy, channels.Webhook}
	s, _ := next(state{}, started{[]Rule{{Name: "a", Kind: "pcr", Value: "pcr", Above: ptr(1)}, {Name: "b", Kind: "pcr", Value: "pcr", Above: ptr(1), Channels: []string{channels.Ntfy}}}})
	pass := func(want string, ev event) {
		t.Helper()
		var effects []effect
		if s, effects = next(s, ev); show(effects) != want {
			t.Errorf("%q, want %q", show(effects), want)
		}
	}
	look := func(after time.Duration, pcr float64) looked {
		s, _ = next(s, read{with(ratio(pcr, nil), func(r *messages.Reading) { r.AsOf = at(10, 0, 0) })})
		return looked{at(10, 0, 0), machine.Add(after), true, nil, both}
	}
	failed := channels.Outcome{Reason: "it answered 500"}
	arrived := channels.Outcome{Arrived: true}
	pass("", look(0, 0.5))
	pass("fired, fired, send 1 ntfy, send 1 webhook", look(time.Second, 1.5))
	pass("ended 1 ntfy true, send 2 ntfy", answered{1, channels.Ntfy, arrived, machine.Add(time.Second), 1}) // in order
	pass("", answered{1, channels.Webhook, failed, machine.Add(2 * time.Second), 1})
	pass("", look(3*time.Second, 1.5))
	pass("send 1 webhook", look(4*time.Second, 1.5)) // two seconds after the failure
	pass("ended 2 ntfy true", answered{2, channels.Ntfy, arrived, machine.Add(4 * time.Second), 1})
	pass("ended 1 webhook false", answered{1, channels.Webhook, channels.Outcome{Final: true, Reason: "it answered 404"}, machine.Add(5 * time.Second), 1})
	pass("", answered{1, channels.Webhook, arrived, machine.Add(5 * time.Second), 1}) // of nothing
	pass("tested, send 9 ntfy", tested{9, "b", at(10, 0, 0), machine, both})
	pass("ended 9 ntfy false", started{s.rules})
	pass("tested", tested{10, "b", at(10, 0, 0), machine, []string{channels.Webhook}})
}

// TestADeadChannelIsGivenUp: attempts end, and messages do not pile up.
func TestADeadChannelIsGivenUp(t *testing.T) {
	s, _ := next(state{}, started{[]Rule{{Name: "a", Kind: "pcr", Value: "pcr", Above: ptr(1)}}})
	attempts, given, fired, most, held := map[uint64]int{}, 0, 0, 0, 0
	for i := range 4 * 3600 { // an hour, four looks a second; the condition begins every two seconds
		pcr := 0.5
		if i%8 == 0 {
			pcr = 1.5
		}
		now := machine.Add(time.Duration(i) * 250 * time.Millisecond)
		s, _ = next(s, read{with(ratio(pcr, nil), func(r *messages.Reading) { r.AsOf = at(10, 0, 0) })})
		var effects []effect
		s, effects = next(s, looked{at(10, 0, 0).Add(time.Duration(i) * time.Millisecond), now, true, nil, []string{channels.Webhook}})
		for len(effects) > 0 {
			e := effects[0]
			effects = effects[1:]
			switch e := e.(type) {
			case attempt:
				attempts[e.id]++
				var more []effect
				s, more = next(s, answered{e.id, e.channel, channels.Outcome{}, now, 0})
				effects = append(effects, more...)
			case ended:
				given++
			case withheld:
				held++
			case tell:
				if e.change.State == messages.AlertFired {
					fired++
				}
			}
		}
		most = max(most, len(s.open))
	}
	if fired != 1799 || held != fired-mostPerHour {
		t.Errorf("fired %d times, %d of them not sent; want 1799, all but %d", fired, held, mostPerHour)
	}
	if most > mostQueued || given+len(s.open) != mostPerHour {
		t.Errorf("%d messages waited at most, %d were given up and %d wait; want %d at most, %d in all", most, given, len(s.open), mostQueued, mostPerHour)
	}
	for id, n := range attempts {
		if n > channels.MostAttempts {
			t.Errorf("message %d: %d attempts", id, n)
		}
	}
}

// TestAReloadKeepsWhatIsTheSame: a changed rule begins again, another does not.
func TestAReloadKeepsWhatIsTheSame(t *testing.T) {
	a, b := Rule{Name: "a", Kind: "pcr", Value: "pcr", Above: ptr(1)}, Rule{Name: "b", Kind: "pcr", Value: "pcr", Above: ptr(1)}
	s, _ := next(state{}, started{[]Rule{a, b}})
	look := func(pcr float64) string {
		s, _ = next(s, read{with(ratio(pcr, nil), func(r *messages.Reading) { r.AsOf = at(10, 0, 0) })})
		var effects []effect
		s, effects = next(s, looked{at(10, 0, 0), machine, true, nil, nil})
		return show(effects)
	}
	if got := look(0.5) + look(1.5); got != "fired, fired" {
		t.Fatal(got)
	}
	b.Above = ptr(1.2)
	s, _ = next(s, started{[]Rule{{Name: "a", Kind: "pcr", Value: "pcr", Above: ptr(1)}, b}})
	if got := look(1.5); got != "" {
		t.Errorf("after the reload: %q", got)
	}
	if got := look(0.5); got != "healed" {
		t.Errorf("after the reload the old one alone is known to have fired: %q", got)
	}
}
