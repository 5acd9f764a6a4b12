package analysis

import (
	"fmt"
	"math"
	"strings"
	"time"

	"kitestring/messages"
)

// Parameter is a number of the calibrated formulas that a person may choose.
// It stands next to the formula that uses it, and no value within its bounds
// breaks that formula.
type Parameter struct {
	Name        string // lower_snake_case
	Default     float64
	Least, Most float64
	Whole       bool
	Unit        string
	Meaning     string // one line, for people
}

// longestWindow is how many bars a window may hold by choice: those of the
// longest interval that are kept, so that a restart changes no reading.
const longestWindow = messages.BarMinutes / 15

func measure(name string, usual, least, most float64, unit, meaning string) *Parameter {
	return &Parameter{Name: name, Default: usual, Least: least, Most: most, Unit: unit, Meaning: meaning}
}

func count(name string, usual, least, most float64, unit, meaning string) *Parameter {
	p := measure(name, usual, least, most, unit, meaning)
	p.Whole = true
	return p
}

// Allows reports whether a person may set a value.
func (p *Parameter) Allows(v float64) bool {
	return v >= p.Least && v <= p.Most && (!p.Whole || v == math.Trunc(v))
}

// Rule is what parameters of one analysis must keep to together.
type Rule struct {
	Text  string // for people
	Of    []*Parameter
	Holds func(Settings) bool
}

// ordered is the rule that one parameter stays below another.
func ordered(low, high *Parameter) Rule {
	return Rule{
		low.Name + " must be below " + high.Name,
		[]*Parameter{low, high},
		func(c Settings) bool { return c.of(low) < c.of(high) },
	}
}

// Settings are values in place of an analysis' defaults, by name; nil: none. It is
// not changed once an analysis has it.
type Settings map[string]float64

// Thresholds are the settings of all analyses, by kind.
type Thresholds map[string]Settings

// of is the value to compute with.
func (c Settings) of(p *Parameter) float64 {
	if v, ok := c[p.Name]; ok {
		return v
	}
	return p.Default
}

func (c Settings) whole(p *Parameter) int { return int(c.of(p)) }

func (c Settings) seconds(p *Parameter) time.Duration {
	return time.Duration(c.of(p) * float64(time.Second))
}

// With is the analysis with values in place of its defaults, each allowed by
// its [Parameter] and all together by Check. What equals its default is not
// kept: a reading names what differs.
func (a Analysis) With(settings Settings) Analysis {
	a.settings = nil
	for _, p := range a.Parameters {
		if v, ok := settings[p.Name]; ok && v != p.Default {
			if a.settings == nil {
				a.settings = Settings{}
			}
			a.settings[p.Name] = v
		}
	}
	return a
}

// Check names the first rule that the values break, defaults counted in.
func (a Analysis) Check(settings Settings) error {
	for _, r := range a.Rules {
		if r.Holds(settings) {
			continue
		}
		var have []string
		for _, p := range r.Of {
			have = append(have, fmt.Sprintf("%s is %g", p.Name, settings.of(p)))
		}
		return fmt.Errorf("%s; here %s", r.Text, strings.Join(have, ", "))
	}
	return nil
}
