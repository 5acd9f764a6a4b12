package analysis

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kitestring/actors/actorstest"
	"kitestring/messages"
)

func TestParametersAreDeclaredSoundly(t *testing.T) {
	name := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	for _, a := range All() {
		if len(a.Parameters) == 0 {
			t.Errorf("%s has no parameter", a.Kind)
		}
		seen := map[string]bool{}
		for _, p := range a.Parameters {
			if !name.MatchString(p.Name) || seen[p.Name] {
				t.Errorf("%s.%s: the name is repeated or not lower_snake_case", a.Kind, p.Name)
			}
			seen[p.Name] = true
			if p.Least >= p.Most || !p.Allows(p.Default) || !p.Allows(p.Least) || !p.Allows(p.Most) {
				t.Errorf("%s.%s: %g from %g to %g", a.Kind, p.Name, p.Default, p.Least, p.Most)
			}
			if p.Unit == "" || p.Meaning == "" || strings.ContainsAny(p.Meaning, "\n|") {
				t.Errorf("%s.%s: unit %q, meaning %q", a.Kind, p.Name, p.Unit, p.Meaning)
			}
			for _, v := range []float64{math.Nextafter(p.Least, -1), math.Nextafter(p.Most, 1e9), math.NaN()} {
				if p.Allows(v) {
					t.Errorf("%s.%s allows %v", a.Kind, p.Name, v)
				}
			}
		}
		if err := a.Check(nil); err != nil {
			t.Errorf("%s: the defaults: %v", a.Kind, err)
		}
		for _, r := range a.Rules {
			for _, p := range r.Of {
				if !slices.Contains(a.Parameters, p) {
					t.Errorf("%s: a rule of %s, which it does not have", a.Kind, p.Name)
				}
			}
		}
	}
	if pcrTickAge.Allows(60.5) {
		t.Error("half a second is a whole number")
	}
}

func TestRulesAreTold(t *testing.T) {
	for _, c := range []struct {
		analysis Analysis
		settings Settings
		want     string
	}{
		{pcr, Settings{"bullish_from": 0.8}, "bearish_to must be below bullish_from; here bearish_to is 0.8, bullish_from is 0.8"},
		{instant, Settings{"signal_from": 80}, "signal_from must be below strong_from; here signal_from is 80, strong_from is 70"},
		{direct, Settings{"interval_seconds": 120}, "interval_seconds must be below max_answer_age_seconds; here interval_seconds is 120, max_answer_age_seconds is 120"},
		{outlook, weighing(0), "one weight at least must be above 0; here weight_instant is 0, weight_zone_control is 0"},
	} {
		if err := c.analysis.Check(c.settings); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v", c.analysis.Kind, err)
		}
	}
}

func weighing(weight float64) Settings {
	c := Settings{}
	for _, p := range outlookWeighed() {
		c[p.Name] = weight
	}
	return c
}

// drawn is any choice that is allowed, or none.
func drawn(t *rapid.T, a Analysis) Settings {
	c := Settings{}
	for _, p := range a.Parameters {
		if !rapid.Bool().Draw(t, p.Name+" settings") {
			continue
		}
		if p.Whole {
			c[p.Name] = float64(rapid.IntRange(int(p.Least), int(p.Most)).Draw(t, p.Name))
		} else {
			c[p.Name] = rapid.Float64Range(p.Least, p.Most).Draw(t, p.Name)
		}
		if a.Check(c) != nil {
			delete(c, p.Name)
		}
	}
	return c
}

// towards is the choice of one parameter as near to its bound as the rules let
// it be while the others have their defaults.
func towards(a Analysis, p *Parameter, bound float64) Settings {
	c := Settings{p.Name: bound}
	for a.Check(c) != nil {
		c[p.Name] = (c[p.Name] + p.Default) / 2
		if p.Whole {
			c[p.Name] = math.Trunc(c[p.Name])
		}
	}
	return c
}

// byHand are inputs for what the bars of a file do not reach.
var byHand = map[string]func(testing.TB) []Input{"pcr": chains, "direct": answers, "outlook": votes, "instant": climbs}

// said is what an analysis says, without what it was computed with: over the
// bars of a file with ticks of three ages, and over inputs made by hand.
func said(t *testing.T, a Analysis, bars []Candle) string {
	var all strings.Builder
	say := func(c *Core, now time.Time) {
		r := c.Reading(now)
		r.Parameters = nil
		all.WriteString(encoded(t, r) + "\n")
	}
	if slices.ContainsFunc(overBars(), func(b Analysis) bool { return b.Kind == a.Kind }) {
		c := fedCore(a, Calibrated)
		for _, bar := range bars {
			feedBar(c, bar)
			for _, age := range []time.Duration{time.Second, 30 * time.Second, 200 * time.Second} {
				say(c, bar.Time.Add(fiveMinutes-time.Second+age))
			}
		}
	}
	if inputs := byHand[a.Kind]; inputs != nil {
		for _, in := range inputs(t) {
			in.Settings, in.Future.Interval = a.settings, DefaultInterval
			say(&Core{analysis: a, profile: Calibrated, in: in}, in.Now)
		}
	}
	return all.String()
}

// chains have put/call ratios from 0.3 to 2.6 and more and more old options.
func chains(tb testing.TB) (all []Input) {
	for _, part := range []int64{4, 2, 1} {
		for _, age := range []time.Duration{time.Minute, 10 * time.Minute} {
			for old := range 10 {
				in := pcrInput(tb)
				for i := range in.Chain {
					if o := &in.Chain[i]; o.Put {
						o.Quote.OI = 2 * o.Quote.OI / part
					}
					if i < old {
						in.Chain[i].Quote.At = in.Now.Add(-age)
					}
				}
				all = append(all, *in)
			}
		}
	}
	return all
}

// answers over REST move by up to 6 % and are up to three minutes old.
func answers(testing.TB) (all []Input) {
	for percent := -6.0; percent <= 6; percent += 0.25 {
		for age := time.Duration(0); age <= 3*time.Minute; age += 25 * time.Second {
			all = append(all, Input{Now: noon, Phase: messages.Open, REST: &Quote{Last: 24000 * (1 + percent/100), Close: 24000, At: noon.Add(-age)}})
		}
	}
	return all
}

// votes lean by 0.21 and by 1.
func votes(tb testing.TB) []Input {
	mixed, sure := *outlookInput(tb), *outlookInput(tb)
	for kind, r := range sure.Readings {
		r.Signal, r.Confidence = "buy", 100
		sure.Readings[kind] = r
	}
	return []Input{mixed, sure}
}

// climbs collect 75 points and more upwards.
func climbs(testing.TB) []Input {
	in := withPCR(quoted(1012), 1.6)
	in.FutureTick = Quote{Last: 1020, Average: 1000, At: noon}
	return []Input{*in}
}

// No parameter is dead: towards either bound it changes what is said.
func TestEveryParameterMatters(t *testing.T) {
	actorstest.Shared(t, "bars") // the first rows are too few for it
	_, bars := goldenBars(t, "NIFTY")
	for _, a := range All() {
		usual := said(t, a, bars)
		for _, p := range a.Parameters {
			if p == directEvery {
				continue // it says when to ask: see the next test
			}
			for _, bound := range []float64{p.Least, p.Most} {
				if bound == p.Default {
					continue
				}
				settings := towards(a, p, bound)
				if said(t, a.With(settings), bars) == usual {
					t.Errorf("%s: %v changes nothing", a.Kind, settings)
				}
			}
		}
	}
}

// A reading names what it was computed with where that is not the default, and
// profile classic is computed with nothing but its own.
func TestReadingsNameTheirSettings(t *testing.T) {
	actorstest.Shared(t, "bars") // the first rows are too few for it
	_, bars := goldenBars(t, "NIFTY")
	for _, a := range overBars() {
		settings := Settings{}
		for _, p := range a.Parameters {
			settings[p.Name] = p.Most
		}
		tuned, usual, classic := fedCore(a.With(settings), Calibrated), fedCore(a.With(nil), Calibrated), fedCore(a.With(settings), Classic)
		plain := fedCore(a, Classic)
		for _, bar := range bars[:200] {
			if r := feedBar(tuned, bar); len(r.Parameters) != len(settings) || r.Parameters[a.Parameters[0].Name] != a.Parameters[0].Most {
				t.Fatalf("%s: %v", a.Kind, r.Parameters)
			}
			if r := feedBar(usual, bar); r.Parameters != nil {
				t.Fatalf("%s with defaults: %v", a.Kind, r.Parameters)
			}
			if got, want := encoded(t, feedBar(classic, bar)), encoded(t, feedBar(plain, bar)); got != want {
				t.Fatalf("%s classic:\n got %s\nwant %s", a.Kind, got, want)
			}
		}
	}
	if a := pcr.With(Settings{"bullish_from": pcrBullish, "bearish_to": 0.7}); len(a.settings) != 1 {
		t.Errorf("kept %v", a.settings)
	}
}

// No choice makes a closed bar's reading change afterwards.
func TestChosenReadingsDoNotRepaint(t *testing.T) {
	_, bars := goldenBars(t, "NIFTY")
	for _, a := range overBars() {
		for _, edge := range []func(*Parameter) float64{
			func(p *Parameter) float64 { return p.Least },
			func(p *Parameter) float64 { return p.Most },
		} {
			settings := Settings{}
			for _, p := range a.Parameters {
				settings[p.Name] = edge(p)
			}
			whole := fedCore(a.With(settings), Calibrated)
			for k := range bars {
				inWhole := encoded(t, feedBar(whole, bars[k]))
				if k%17 > 0 {
					continue
				}
				first := fedCore(a.With(settings), Calibrated)
				for _, b := range bars[:k] {
					feedClosed(first, b)
				}
				if alone := encoded(t, feedBar(first, bars[k])); alone != inWhole {
					t.Fatalf("%s %v bar %d:\nalone %s\nwhole %s", a.Kind, settings, k, alone, inWhole)
				}
			}
		}
	}
}
