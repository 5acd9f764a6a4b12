package configfile

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"kitestring/actors/alerts"
	"kitestring/actors/analysis"
	"kitestring/actors/channels"
	"kitestring/actors/instruments"
	"kitestring/actors/kinds"
	"kitestring/supervisor/tree"
)

// What the configuration file says under "alerts".

const (
	maxAlerts     = 100
	leastCooldown = time.Minute
	mostCooldown  = 24 * time.Hour
)

var (
	alertName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,39}$`)
	valueName = regexp.MustCompile(`^[a-z0-9_]+(\.[a-z0-9_]+)*$`)
)

func (r *reader) alerts(path string, into *[]alerts.Rule) error {
	var kinds []string
	for _, a := range analysis.All() {
		kinds = append(kinds, a.Kind)
	}
	name := func(into *string, like string) func(string) error {
		return r.nonEmpty(into, like, func(s string) string {
			if !valueName.MatchString(s) {
				return "it is lower-case letters, digits and _, " + like
			}
			return ""
		})
	}
	err := r.list(path, func(path string) error {
		rule := alerts.Rule{Cooldown: alerts.DefaultCooldown}
		err := r.object(path, fields{
			{"name", r.nonEmpty(&rule.Name, "like pcr-high", func(s string) string {
				if !alertName.MatchString(s) {
					return "it is 1 to 40 lower-case letters, digits, - and _, like pcr-high"
				}
				if slices.ContainsFunc(*into, func(o alerts.Rule) bool { return o.Name == s }) {
					return "it stands in the list already"
				}
				return ""
			})},
			{"underlying", r.nonEmpty(&rule.Underlying, "like NIFTY", nil)},
			{"kind", r.oneOf(&rule.Kind, kinds...)},
			{"signal", name(&rule.Signal, "like bullish")},
			{"value", name(&rule.Value, "like pcr or nearest_support.level")},
			{"above", func(path string) (err error) { rule.Above, err = r.number(path); return err }},
			{"below", func(path string) (err error) { rule.Below, err = r.number(path); return err }},
			{"price_crosses", name(&rule.Crosses, "like max_pain")},
			{"price_touches", r.oneOf(&rule.Touches, "support", "resistance", "zone")},
			{"min_confidence", func(path string) (err error) { rule.MinConfidence, err = r.within(path, 0, 100); return err }},
			{"min_coverage", func(path string) (err error) { rule.MinCoverage, err = r.within(path, 0, 1); return err }},
			{"session_only", func(path string) error {
				only, err := r.truth(path)
				rule.Always = !only
				return err
			}},
			{"doubtful_input", func(path string) (err error) { rule.Doubtful, err = r.truth(path); return err }},
			{"cooldown", func(path string) error {
				var text string
				return r.nonEmpty(&text, "like 15m", func(s string) string {
					d, err := time.ParseDuration(s)
					if err != nil || d < leastCooldown || d > mostCooldown {
						return "it is a time from 1m to 24h, like 15m"
					}
					rule.Cooldown = d
					return ""
				})(path)
			}},
			{"channels", func(path string) error {
				return r.list(path, func(path string) error {
					var kind string
					err := r.oneOf(&kind, channels.Kinds...)(path)
					rule.Channels = append(rule.Channels, kind)
					return err
				})
			}},
		}, "name", "kind")
		if err != nil {
			return err
		}
		*into = append(*into, rule)
		conditions := 0
		for _, set := range []bool{rule.Signal != "", rule.Value != "", rule.Crosses != "", rule.Touches != ""} {
			if set {
				conditions++
			}
		}
		switch {
		case conditions != 1:
			return r.errorf("%s: it has exactly one of signal, value, price_crosses and price_touches", path)
		case (rule.Value != "") != ((rule.Above != nil) != (rule.Below != nil)) || rule.Above != nil && rule.Below != nil:
			return r.errorf("%s: value has either above or below beside it, and nothing else has", path)
		case rule.Touches != "" && rule.Kind != "zone_control":
			return r.errorf("%s: price_touches is for kind zone_control", path)
		}
		return nil
	})
	if n := len(*into); err == nil && n > maxAlerts {
		err = r.errorf("%s holds %d entries: at most %d", path, n, maxAlerts)
	}
	return err
}

// checkAlerts holds the alerts against the signals and values that readings have, and against
// the underlyings and the profile, which may stand behind them in the file.
func (r *reader) checkAlerts(cfg *tree.Reloadable) error {
	known := cfg.Underlyings
	if len(known) == 0 {
		known = instruments.Defaults()
	}
	var names []string
	for _, u := range known {
		names = append(names, u.Name)
	}
	for _, a := range cfg.Alerts {
		// The formulas of the classic profile name their values and signals otherwise.
		if signals := kinds.Signals(a.Kind); a.Signal != "" && cfg.AnalysisProfile != analysis.Classic && !slices.Contains(signals, a.Signal) {
			return r.errorf("alerts: %s waits for %q, which %s never signals%s It signals: %s", a.Name, a.Signal, a.Kind, didYouMean(a.Signal, signals), strings.Join(signals, ", "))
		}
		if name := cmp.Or(a.Value, a.Crosses); name != "" && cfg.AnalysisProfile != analysis.Classic {
			if numbers := kinds.Numbers(a.Kind); !slices.Contains(numbers, name) {
				return r.errorf("alerts: %s watches %q, which is no number of %s%s It has: %s", a.Name, name, a.Kind, didYouMean(name, numbers), strings.Join(numbers, ", "))
			}
		}
		if a.Underlying != "" && !slices.Contains(names, a.Underlying) {
			return r.errorf("alerts: %s is about %q, which is not worked on: it is one of %s", a.Name, a.Underlying, strings.Join(names, ", "))
		}
	}
	return nil
}

// didYouMean names the name that a wrong one is nearest to.
func didYouMean(wrong string, names []string) string {
	best, least := "", max(2, len(wrong)/3)
	for _, name := range names {
		_, last, _ := strings.Cut(name, ".") // level for nearest_support.level
		for _, part := range []string{name, last} {
			if d := distance(wrong, part); part != "" && d <= least {
				best, least = name, d-1
			}
		}
	}
	if best == "" {
		return "."
	}
	return "; did you mean " + best + "?"
}

// distance is how many letters must be put in, left out or changed to make one
// word of the other.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

func (r *reader) number(path string) (*float64, error) {
	v, err := r.token()
	if err != nil {
		return nil, err
	}
	if n, ok := v.(json.Number); ok {
		if f, err := n.Float64(); err == nil {
			return &f, nil
		}
	}
	return nil, r.errorf("%s %s: it is a number", path, shownValue(v))
}

func (r *reader) within(path string, least, most float64) (float64, error) {
	f, err := r.number(path)
	if err == nil && (*f < least || *f > most) {
		err = r.errorf("%s %g: it is a number from %g to %g", path, *f, least, most)
	}
	if err != nil {
		return 0, err
	}
	return *f, nil
}
