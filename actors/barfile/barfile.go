// Package barfile reads bars from a file, and lets the analyses judge them bar
// by bar: what `kitestring analyse` does.
//
// Promise: it takes what Kite and its clients hand out (the raw answer of the
// historical API, the client's list of dicts, a data frame's CSV), survives the
// dirt of real files, and reports each row that it leaves out with its line.
//
// Limits: a file is one instrument at one interval; it is held in memory.
package barfile

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kitestring/actors/analysis"
	"kitestring/actors/hours"
	"kitestring/messages/ist"
)

// Loaded is a file of bars.
type Loaded struct {
	Symbol   string // as the file says, else from its name: "nifty_5m.csv" is NIFTY
	Interval time.Duration
	Candles  []analysis.Candle
	Report   LoadReport
}

// LoadReport says what became of the rows of a file.
type LoadReport struct {
	Rows    int       `json:"rows"`
	Kept    int       `json:"kept"`
	Dropped []Dropped `json:"dropped"`
	Notes   []string  `json:"notes"` // what is odd but was kept: holes, other spellings, other columns
}

// Dropped is a row that was left out.
type Dropped struct {
	Line   int    `json:"line"`
	Time   string `json:"time"` // as the file spells it
	Reason string `json:"reason"`
}

// Load reads bars: CSV with a column for the time (time_ist, date, datetime,
// timestamp or time) and open, high, low, close, volume in any order, others
// being ignored; or JSON: Kite's raw answer {"data":{"candles":[[time, open,
// high, low, close, volume, ...]]}}, an object with candles, or a list of
// candles, each a list like Kite's or an object with the names of the columns.
// No volume counts as 0: an index has none. name is the file's, for errors and
// the symbol.
//
// Times are IST unless they carry a zone. A row that cannot be a bar, or that
// comes a second time, is left out and reported with its line. Calibrated
// leaves out prints round the sessions and prices more than 20 % away from
// their neighbours (the exchange halts before) as well, and sorts by time;
// classic keeps them, in the order of the file. A file of another form, or
// without one usable bar, is refused with line and reason.
func Load(r io.Reader, name string, p analysis.Profile) (Loaded, error) {
	base := filepath.Base(name)
	l := Loaded{Symbol: strings.ToUpper(base[:min(strings.IndexAny(base+".", "_.-"), len(base))])}
	l.Report.Dropped, l.Report.Notes = []Dropped{}, []string{}
	in := bufio.NewReader(r)
	if bom, _ := in.Peek(3); bytes.Equal(bom, []byte("\xef\xbb\xbf")) {
		_, _ = in.Discard(3)
	}
	form, err := firstByte(in)
	if err != nil {
		return l, fmt.Errorf("%s: line 1: the file is empty", base)
	}
	var rows []fileRow
	if form == '{' || form == '[' {
		rows, err = l.readJSON(in)
	} else {
		rows, err = l.readCSV(in)
	}
	if err != nil {
		return l, fmt.Errorf("%s: %w", base, err)
	}
	l.Report.Rows = len(rows)
	l.judge(rows, p)
	l.Report.Kept = len(l.Candles)
	if len(l.Candles) == 0 {
		reason := "there are no rows"
		if d := l.Report.Dropped; len(d) > 0 {
			reason = fmt.Sprintf("line %d: %s", d[0].Line, d[0].Reason)
		}
		return l, fmt.Errorf("%s: not one usable bar: %s", base, reason)
	}
	return l, nil
}

func firstByte(in *bufio.Reader) (byte, error) {
	for n := 1; ; n++ {
		b, err := in.Peek(n)
		if len(b) < n {
			return 0, cmp.Or(err, io.EOF)
		}
		if c := b[n-1]; strings.IndexByte(" \t\r\n", c) < 0 {
			return c, nil
		}
	}
}

// judge makes candles of rows.
func (l *Loaded) judge(rows []fileRow, p analysis.Profile) {
	drop := func(r fileRow, reason string) {
		l.Report.Dropped = append(l.Report.Dropped, Dropped{r.line, r.time, reason})
	}
	type kept struct {
		analysis.Candle
		row fileRow
	}
	var bars []kept
	table := hours.BuiltIn()
	spellings := map[string]bool{}
	seen := map[int64]int{}
	for _, r := range rows {
		at, spelling, ok := fileTime(r.time)
		if !ok {
			drop(r, fmt.Sprintf("%q is no time; spell it 2026-03-02 09:15:00", r.time))
			continue
		}
		var v [5]float64
		if i := parseCells(r.cells, &v); i >= 0 {
			drop(r, fmt.Sprintf("%s is %s, not a number", fileColumns[i], shown(r.cells[i])))
			continue
		}
		if reason := implausible(v); reason != "" {
			drop(r, reason)
			continue
		}
		if first, repeated := seen[at.Unix()]; repeated {
			drop(r, fmt.Sprintf("the bar stands in line %d already", first))
			continue
		}
		if p == analysis.Calibrated && table.Expects(at, hours.Market) && !table.IsOpen(at, hours.Market) {
			drop(r, "outside the sessions of that day")
			continue
		}
		seen[at.Unix()], spellings[spelling] = r.line, true
		bars = append(bars, kept{analysis.Candle{Time: at, Open: v[0], High: v[1], Low: v[2], Close: v[3], Volume: v[4]}, r})
	}
	if len(spellings) > 1 {
		l.Report.Notes = append(l.Report.Notes, fmt.Sprintf("times are spelled in %d ways", len(spellings)))
	}
	byTime := func(a, b kept) int { return a.Time.Compare(b.Time) }
	if !slices.IsSortedFunc(bars, byTime) {
		l.Report.Notes = append(l.Report.Notes, "the rows are not in the order of time")
		if p == analysis.Calibrated {
			slices.SortFunc(bars, byTime)
		}
	}
	for i, b := range bars {
		if p == analysis.Calibrated {
			var around []float64
			for k := max(0, i-2); k <= min(len(bars)-1, i+2); k++ {
				around = append(around, bars[k].Close)
			}
			slices.Sort(around)
			if m := around[len(around)/2]; b.High > 1.2*m || b.Low < 0.8*m {
				drop(b.row, fmt.Sprintf("a price is more than 20 %% away from its neighbours' %g", m))
				continue
			}
		}
		l.Candles = append(l.Candles, b.Candle)
	}
	slices.SortStableFunc(l.Report.Dropped, func(a, b Dropped) int { return a.Line - b.Line })
	l.measure()
}

// measure finds the interval, and what is missing between bars of a day.
func (l *Loaded) measure() {
	count := map[time.Duration]int{}
	l.Interval = analysis.DefaultInterval
	for i := 1; i < len(l.Candles); i++ {
		d := l.Candles[i].Time.Sub(l.Candles[i-1].Time)
		if count[d]++; d > 0 && count[d] > count[l.Interval] {
			l.Interval = d
		}
	}
	holes, missing := 0, 0
	first := ""
	for i := range l.Candles {
		c := &l.Candles[i]
		c.Newest = c.Time.Add(l.Interval - time.Second)
		if i == 0 || !ist.Day(c.Time).Equal(ist.Day(l.Candles[i-1].Time)) {
			continue
		}
		if d := c.Time.Sub(l.Candles[i-1].Time); d > l.Interval {
			holes++
			missing += int(d/l.Interval) - 1
			if first == "" {
				first = l.Candles[i-1].Time.Add(l.Interval).In(ist.Zone).Format(time.DateTime)
			}
		}
	}
	if holes > 0 {
		l.Report.Notes = append(l.Report.Notes, fmt.Sprintf("%d bars are missing within days, in %d places, the first at %s", missing, holes, first))
	}
}

// implausible says why numbers cannot be a bar, "" when they can.
func implausible(v [5]float64) string {
	open, high, low, closing, volume := v[0], v[1], v[2], v[3], v[4]
	for _, x := range v {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return "a number is not finite"
		}
	}
	switch {
	case volume < 0:
		return fmt.Sprintf("the volume is negative: %g", volume)
	case min(open, high, low, closing) <= 0:
		return fmt.Sprintf("a price is not positive: %g", min(open, high, low, closing))
	case high < low:
		return fmt.Sprintf("the high %g is below the low %g", high, low)
	case high < max(open, closing) || low > min(open, closing):
		return fmt.Sprintf("open %g or close %g lies outside low %g to high %g", open, closing, low, high)
	default:
		return ""
	}
}
