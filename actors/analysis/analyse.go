package analysis

import (
	"fmt"
	"slices"
	"strings"
	"time"

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

// FileKinds are the kinds that can judge a file of bars.
func FileKinds() []string {
	var kinds []string
	for _, a := range All() {
		if a.fromBars() {
			kinds = append(kinds, a.Kind)
		}
	}
	return kinds
}

func (a *Analysis) fromBars() bool {
	return a.Needs.Bars() && !a.Needs.Ticks() && !a.Needs.REST && len(a.Needs.Readings) == 0
}

// Analyse judges a file bar by bar, each from the bars up to it, and hands each
// what every kind says (no kinds: all of [FileKinds]), in the order of the
// bars. Thresholds change profile calibrated only. In profile classic a kind says
// nothing as long as it has too few bars.
// It ends early with the error of each.
func Analyse(l Loaded, p Profile, t Thresholds, kinds []string, each func(Line) error) error {
	var cores []*Core
	for _, a := range All() {
		if a.fromBars() && (len(kinds) == 0 || slices.Contains(kinds, a.Kind)) {
			cores = append(cores, NewCore(a.With(t[a.Kind]), p, l.Symbol, l.Interval, nil))
		}
	}
	for _, kind := range kinds {
		if !slices.Contains(FileKinds(), kind) {
			return fmt.Errorf("kind %q does not judge bars of a file: use %s", kind, strings.Join(FileKinds(), ", "))
		}
	}
	for _, candle := range l.Candles {
		at := candle.Time.In(ist.Zone).Format(time.DateTime)
		for _, c := range cores {
			c.append(candle)
			line := Line{TimeIST: at, Kind: c.analysis.Kind}
			if c.profile == Classic {
				if line.Output = c.analysis.Classic(&c.in); line.Output == nil {
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

// append adds a file's bar to both windows: index points with the future's
// volume, in the order of the file.
func (c *Core) append(candle Candle) {
	for _, w := range [...]*Window{&c.in.Index, &c.in.Future} {
		w.Closed = append(w.Closed, candle)
		w.Closed = w.Closed[max(0, len(w.Closed)-keepCandles):]
	}
}
