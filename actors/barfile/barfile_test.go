package barfile

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"kitestring/actors/actorstest"
	"kitestring/actors/analysis"
)

func TestLoadTheFileAsFound(t *testing.T) {
	const name = "raw_nifty_2026-03-02.json"
	text := actorstest.ReadShared(t, "bars", name)
	for _, p := range []analysis.Profile{analysis.Calibrated, analysis.Classic} {
		l, err := Load(bytes.NewReader(text), name, p)
		if err != nil {
			t.Fatal(err)
		}
		if l.Symbol != "NIFTY" || l.Interval != analysis.DefaultInterval || l.Report.Rows != 75 || l.Report.Kept != 74 || len(l.Candles) != 74 {
			t.Errorf("%s: %s %v %d rows, %d kept", p, l.Symbol, l.Interval, l.Report.Rows, l.Report.Kept)
		}
		if d := l.Report.Dropped; len(d) != 1 || !strings.Contains(d[0].Time, "11:40") || !strings.Contains(d[0].Reason, "already") || d[0].Line < 100 {
			t.Errorf("%s: dropped %+v", p, d)
		}
		if n := l.Report.Notes; len(n) != 2 || n[0] != "times are spelled in 2 ways" || !strings.Contains(n[1], "1 bars are missing") || !strings.Contains(n[1], "12:30") {
			t.Errorf("%s: notes %q", p, n)
		}
	}
}

const goodRows = `2026-03-02 10:00:00,100,101,99,100.5,10
2026-03-02 10:05:00,100.5,102,100,101,20
2026-03-02 10:10:00,101,103,100,102,30
`

func TestLoadJudgesRows(t *testing.T) {
	const header = "time_ist,open,high,low,close,volume\n"
	for _, c := range []struct {
		name, row        string
		reason           string // "": kept
		keptByClassic    bool
		onlyCalibratedIs bool
	}{
		{"good", "2026-03-02 10:15:00,102,103,101,102,5", "", true, false},
		{"another spelling", "2026-03-02T10:15:00+05:30,102,103,101,102,5", "", true, false},
		{"UTC", "2026-03-02T04:45:00Z,102,103,101,102,5", "", true, false},
		{"flat, no volume", "2026-03-02 10:15:00,102,102,102,102,0", "", true, false},
		{"before the session", "2026-03-02 08:55:00,102,103,101,102,5", "outside the sessions", true, true},
		{"after the session", "2026-03-02 15:30:00,102,103,101,102,5", "outside the sessions", true, true},
		{"no time", "yesterday,102,103,101,102,5", `"yesterday" is no time`, false, false},
		{"negative price", "2026-03-02 10:15:00,-102,103,-103,102,5", "not positive: -103", false, false},
		{"zero price", "2026-03-02 10:15:00,0,103,0,102,5", "not positive: 0", false, false},
		{"negative volume", "2026-03-02 10:15:00,102,103,101,102,-5", "volume is negative", false, false},
		{"a word", "2026-03-02 10:15:00,102,high,101,102,5", `high is "high", not a number`, false, false},
		{"not finite", "2026-03-02 10:15:00,102,Inf,101,102,5", "not finite", false, false},
		{"NaN", "2026-03-02 10:15:00,102,103,101,102,NaN", "not finite", false, false},
		{"no volume", "2026-03-02 10:15:00,102,103,101,102", "", true, false},
		{"upside down", "2026-03-02 10:15:00,102,101,103,102,5", "below the low", false, false},
		{"close outside", "2026-03-02 10:15:00,102,103,101,104,5", "lies outside", false, false},
		{"repeated", "2026-03-02 10:05:00,102,103,101,102,5", "stands in line 3 already", false, false},
		{"absurd", "2026-03-02 10:15:00,10200,10300,10100,10200,5", "20 % away", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, p := range []analysis.Profile{analysis.Calibrated, analysis.Classic} {
				l, err := Load(strings.NewReader(header+goodRows+c.row+"\n"), "x.csv", p)
				if err != nil {
					t.Fatal(err)
				}
				dropped := c.reason != "" && (p == analysis.Calibrated || !c.onlyCalibratedIs)
				switch d := l.Report.Dropped; {
				case !dropped && (len(d) != 0 || l.Report.Kept != 4):
					t.Errorf("%s: kept %d, dropped %+v", p, l.Report.Kept, d)
				case dropped && (len(d) != 1 || d[0].Line != 5 || !strings.Contains(d[0].Reason, c.reason) || l.Report.Kept != 3):
					t.Errorf("%s: kept %d, dropped %+v", p, l.Report.Kept, d)
				}
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	for _, c := range []struct{ name, text, reason string }{
		{"nothing", "", "line 1: the file is empty"},
		{"blanks", " \n\n", "line 1: the file is empty"},
		{"other columns", "when,o,h,l,c,v\n1,2,3,4,5,6\n", `line 1: the column "time_ist" is missing`},
		{"other prices", "date,o,h,l,c,v\n1,2,3,4,5,6\n", `line 1: the column "open" is missing`},
		{"a column repeated", "time_ist,open,open,high,low,close,volume\n", `line 1: the column "open" stands there again`},
		{"no rows", "time_ist,open,high,low,close,volume\n", "not one usable bar: there are no rows"},
		{"no good row", "time_ist,open,high,low,close,volume\nx,1,1,1,1,1\n", `not one usable bar: line 2: "x" is no time`},
		{"broken quotes", "time_ist,open,high,low,close,volume\n\"2026,1,1,1,1,1\n", "line 2: not CSV"},
		{"binary", "\x00\x01\x02", `line 1: the column "time_ist" is missing`},
		{"JSON without candles", `{"symbol":"X"}`, "line 1: the object has no list named candles"},
		{"JSON, candles no list", "{\n\"candles\":7}", "line 2: candles is not a list"},
		{"JSON, a candle no object", "[\n{},\n7]", "line 3: a candle is neither an object nor a list"},
		{"JSON, cut off", `{"candles":[{"timestamp":"2026-03-02 10:00:00"`, "line 1: not JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := Load(strings.NewReader(c.text), "/some/where/x.csv", analysis.Calibrated)
			if err == nil || !strings.Contains(err.Error(), c.reason) || !strings.HasPrefix(err.Error(), "x.csv: ") {
				t.Errorf("%v\nwant %s\n%+v", err, c.reason, l)
			}
		})
	}
}

func TestLoadToleratesDress(t *testing.T) {
	l, err := Load(strings.NewReader("\xef\xbb\xbfVolume, Time_IST ,close,low,high,open,chain_oi\r\n10,2026-03-02 10:00:00,100,99,101,100,7\r\n"), "bank-nifty.csv", analysis.Calibrated)
	if err != nil {
		t.Fatal(err)
	}
	if c := l.Candles[0]; c.Volume != 10 || c.High != 101 || c.Low != 99 || l.Symbol != "BANK" {
		t.Errorf("%s %+v", l.Symbol, c)
	}
	if !slices.Equal(l.Report.Notes, []string{"columns ignored: chain_oi"}) {
		t.Errorf("%q", l.Report.Notes)
	}
	l, err = Load(strings.NewReader(`[{"time_ist":"2026-03-02 10:05:00","open":10,"high":11,"low":10,"close":11,"volume":0},
		{"timestamp":"2026-03-02 10:00:00","open":10,"high":11,"low":10,"close":11,"volume":null},
		{"timestamp":7}, {"timestamp":"2026-03-02T10:00:00","open":10,"high":11,"low":10,"close":11,"volume":3}]`), "x", analysis.Calibrated)
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Candles) != 2 || l.Candles[0].Volume != 0 || len(l.Report.Dropped) != 2 || l.Report.Dropped[0].Line != 3 || l.Report.Dropped[1].Line != 3 {
		t.Errorf("%+v\n%+v", l.Candles, l.Report)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("time_ist,open,high,low,close,volume\n"+goodRows, true)
	f.Add(`{"symbol":"N","candles":[{"timestamp":"2026-03-02 10:00:00","open":1,"high":2,"low":1,"close":2,"volume":3}]}`, false)
	f.Add("[{}]", true)
	f.Add("time_ist,open,high,low,close,volume\n2026-03-02 10:00:00,1e300,1e301,1,1,1e18\n9999-12-31 23:59,1,1,1,1,1\n", false)
	f.Fuzz(func(t *testing.T, text string, calibrated bool) {
		p := analysis.Classic
		if calibrated {
			p = analysis.Calibrated
		}
		l, err := Load(strings.NewReader(text), "x.csv", p)
		if err != nil {
			return
		}
		if l.Report.Kept != len(l.Candles) || l.Report.Kept+len(l.Report.Dropped) != l.Report.Rows || l.Report.Kept == 0 {
			t.Fatalf("%+v of %d candles", l.Report, len(l.Candles))
		}
		for i, c := range l.Candles {
			if implausible([5]float64{c.Open, c.High, c.Low, c.Close, c.Volume}) != "" || calibrated && i > 0 && !c.Time.After(l.Candles[i-1].Time) {
				t.Fatalf("%+v", c)
			}
		}
	})
}

// What Kite and its clients hand out is taken as it is.
func TestLoadTakesKitesShapes(t *testing.T) {
	const rows = `["2026-12-01T15:30:00+0530",100,101,99,100.5,10,7],["2026-12-01T15:35:00+0530",100.5,102,100,101,20]`
	for name, text := range map[string]string{
		"the raw answer":                 `{"status":"success","data":{"candles":[` + rows + `]}}`,
		"an object with lists":           `{"symbol":"NIFTY","candles":[` + rows + `]}`,
		"a list of lists":                `[` + rows + `]`,
		"the data alone":                 `{"data":[` + rows + `]}`,
		"a client's list of dicts":       `[{"date":"2026-12-01T15:30:00+0530","open":100,"high":101,"low":99,"close":100.5,"volume":10},{"date":"2026-12-01 15:35:00+05:30","open":100.5,"high":102,"low":100,"close":101,"volume":20}]`,
		"a data frame with an index":     ",date,open,high,low,close,volume\n0,2026-12-01 15:30:00+05:30,100,101,99,100.5,10\n1,2026-12-01 15:35:00+05:30,100.5,102,100,101,20\n",
		"a data frame's column datetime": "datetime,open,high,low,close,volume\n2026-12-01 15:30:00,100,101,99,100.5,10\n2026-12-01 15:35:00,100.5,102,100,101,20\n",
		"a column timestamp":             "timestamp,open,high,low,close,volume\n2026-12-01 15:30:00,100,101,99,100.5,10\n2026-12-01 15:35:00,100.5,102,100,101,20\n",
	} {
		l, err := Load(strings.NewReader(text), "nifty.x", analysis.Calibrated)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		// Derivatives trade to 15:40 since August 2026.
		if len(l.Candles) != 2 || l.Candles[0].Volume != 10 || l.Candles[1].Close != 101 || l.Candles[1].Time.UTC().Format("15:04") != "10:05" || len(l.Report.Notes) != 0 && !strings.Contains(name, "dicts") {
			t.Errorf("%s: %+v\n%+v", name, l.Candles, l.Report)
		}
	}
	for name, text := range map[string]string{
		"an empty volume": "time_ist,open,high,low,close,volume\n2026-12-01 10:00:00,100,101,99,100.5,\n",
		"no volume":       "time_ist,open,high,low,close\n2026-12-01 10:00:00,100,101,99,100.5\n",
	} {
		if l, err := Load(strings.NewReader(text), "x", analysis.Calibrated); err != nil || l.Candles[0].Volume != 0 {
			t.Errorf("%s: %+v %v", name, l.Candles, err)
		}
	}
}
