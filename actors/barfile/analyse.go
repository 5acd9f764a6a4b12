package barfile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"kitestring/actors/analysis"
	"kitestring/messages"
	"kitestring/messages/ist"
)

// Line is what one analysis says of one bar of a file. In profile classic it
// carries Output, the predecessor's fields; in calibrated the fields of a
// Reading.
type Line struct {
	TimeIST string         `json:"time_ist"` // start of the bar
	Kind    string         `json:"kind"`
	Output  map[string]any `json:"output,omitempty"`
	*messages.Reading
}

// Analyse judges a file bar by bar, each from the bars up to it, and hands each
// what every kind says (no kinds: all of [analysis.FileKinds]), in the order of the
// bars. Thresholds change profile calibrated only. In profile classic a kind says
// nothing as long as it has too few bars.
// It ends early with the error of each.
func Analyse(l Loaded, p analysis.Profile, t analysis.Thresholds, kinds []string, each func(Line) error) error {
	var cores []*analysis.Core
	able := analysis.FileKinds()
	for _, a := range analysis.All() {
		if slices.Contains(able, a.Kind) && (len(kinds) == 0 || slices.Contains(kinds, a.Kind)) {
			c := analysis.NewCore(a.With(t[a.Kind]), p, l.Symbol, l.Interval, nil, nil)
			c.Update(messages.PhaseChanged{Phase: messages.Open}) // at each bar
			cores = append(cores, c)
		}
	}
	for _, kind := range kinds {
		if !slices.Contains(able, kind) {
			return fmt.Errorf("kind %q does not judge bars of a file: use %s", kind, strings.Join(able, ", "))
		}
	}
	for _, candle := range l.Candles {
		at := candle.Time.In(ist.Zone).Format(time.DateTime)
		for _, c := range cores {
			c.Append(candle)
			line := Line{TimeIST: at, Kind: c.Kind()}
			if c.Profile() == analysis.Classic {
				if line.Output = c.Classic(); line.Output == nil {
					continue
				}
			} else {
				r := c.Reading(candle.Time.Add(l.Interval))
				line.Reading = &r
			}
			if err := each(line); err != nil {
				return err
			}
		}
	}
	return nil
}
