package analysis_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"kitestring/actors/analysis"
	"kitestring/actors/barfile"
	"kitestring/actors/hours"
	"kitestring/messages"
)

func loadGolden(tb testing.TB, symbol string, p analysis.Profile) barfile.Loaded {
	tb.Helper()
	path := filepath.Join(analysis.GoldenDir(tb), analysis.FileSymbol(symbol)+"_5m.csv")
	f, err := os.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	l, err := barfile.Load(f, path, p)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func TestAnalyseClassicEqualsTheGoldenFiles(t *testing.T) {
	for _, symbol := range analysis.GoldenSymbols {
		got := map[string]map[string]any{}
		count := map[string]int{}
		err := barfile.Analyse(loadGolden(t, symbol, analysis.Classic), analysis.Classic, nil, nil, func(l barfile.Line) error {
			if l.Reading != nil {
				t.Fatalf("%s %s: a reading in profile classic", l.TimeIST, l.Kind)
			}
			got[l.Kind+l.TimeIST] = l.Output
			count[l.Kind]++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range analysis.FileKinds() {
			f, err := os.Open(filepath.Join(analysis.GoldenDir(t), "classic", analysis.FileSymbol(symbol)+"_"+kind+".jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			lines, rows, fields := bufio.NewScanner(f), 0, 0
			lines.Buffer(nil, 1<<20)
			for lines.Scan() {
				var want struct {
					TimeIST string         `json:"time_ist"`
					Output  map[string]any `json:"output"`
				}
				if err := json.Unmarshal(lines.Bytes(), &want); err != nil {
					t.Fatal(err)
				}
				rows++
				fields += analysis.DiffGolden(t, symbol+" "+kind+" "+want.TimeIST, want.Output, got[kind+want.TimeIST])
			}
			_ = f.Close()
			if rows != count[kind] {
				t.Errorf("%s %s: %d lines, want %d", symbol, kind, count[kind], rows)
			}
			t.Logf("%s %s: %d rows, %d fields compared", symbol, kind, rows, fields)
		}
	}
}

func TestAnalyseCalibratedDoesNotRepaint(t *testing.T) {
	for _, symbol := range analysis.GoldenSymbols {
		l := loadGolden(t, symbol, analysis.Calibrated)
		readings := map[string]messages.Reading{}
		status := map[string]int{}
		if err := barfile.Analyse(l, analysis.Calibrated, nil, nil, func(line barfile.Line) error {
			if line.Output != nil || line.Profile != string(analysis.Calibrated) || line.Underlying != symbol {
				t.Fatalf("%+v", line)
			}
			if _, err := json.Marshal(line); err != nil {
				t.Fatalf("%s %s: %v", line.TimeIST, line.Kind, err)
			}
			if line.Confidence < 0 || line.Confidence > 100 || line.Coverage < 0 || line.Coverage > 1 {
				t.Errorf("%s %s: confidence %g, coverage %g", line.TimeIST, line.Kind, line.Confidence, line.Coverage)
			}
			readings[line.Kind+line.TimeIST] = *line.Reading
			status[line.Kind+" "+line.Status.String()]++
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d bars: %v", symbol, len(l.Candles), status)
		for k := 1; k <= len(l.Candles); k += 13 {
			prefix := l
			prefix.Candles = l.Candles[:k]
			var last []barfile.Line
			if err := barfile.Analyse(prefix, analysis.Calibrated, nil, nil, func(line barfile.Line) error {
				last = append(last, line)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			for _, line := range last[len(last)-len(analysis.FileKinds()):] {
				if want := readings[line.Kind+line.TimeIST]; !reflect.DeepEqual(*line.Reading, want) {
					t.Errorf("%s of %s repaints\nfirst %d bars %+v\nall bars %+v", line.Kind, line.TimeIST, k, *line.Reading, want)
				}
			}
		}
	}
}

func TestLoadAgreesWithTheCSV(t *testing.T) {
	for _, symbol := range analysis.GoldenSymbols {
		times, want := analysis.GoldenBars(t, symbol)
		path := filepath.Join(analysis.GoldenDir(t), analysis.FileSymbol(symbol)+"_5m.csv")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		l, err := barfile.Load(strings.NewReader(string(text)), path, analysis.Classic)
		if err != nil {
			t.Fatal(err)
		}
		if l.Symbol != symbol || len(l.Candles) != len(want) || len(l.Report.Dropped) != 0 {
			t.Fatalf("%s: %d of %d rows, dropped %v", l.Symbol, len(l.Candles), len(want), l.Report.Dropped)
		}
		outside := 0
		for i, c := range l.Candles {
			w := want[i]
			if c.Time.Unix() != w.Time.Unix() || c.Open != w.Open || c.High != w.High || c.Low != w.Low || c.Close != w.Close || c.Volume != w.Volume {
				t.Errorf("%s %s: %+v", symbol, times[i], c)
			}
			if !hours.BuiltIn().IsOpen(c.Time, hours.Market) {
				outside++
			}
		}
		l, err = barfile.Load(strings.NewReader(string(text)), path, analysis.Calibrated)
		if err != nil {
			t.Fatal(err)
		}
		if len(l.Report.Dropped) != outside {
			t.Errorf("%s: %d bars outside the session, dropped %v", symbol, outside, l.Report.Dropped)
		}
		t.Logf("%s: %d rows compared, %d outside the session", symbol, len(want), outside)
	}
}
