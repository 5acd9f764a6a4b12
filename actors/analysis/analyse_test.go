package analysis

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"kitestring/messages"
)

func loadGolden(tb testing.TB, symbol string, p Profile) Loaded {
	tb.Helper()
	path := filepath.Join(sharedBars(tb), fileSymbol(symbol)+"_5m.csv")
	f, err := os.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	l, err := Load(f, path, p)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func TestAnalyseClassicEqualsTheGoldenFiles(t *testing.T) {
	for _, symbol := range goldenSymbols {
		got := map[string]map[string]any{}
		count := map[string]int{}
		err := Analyse(loadGolden(t, symbol, Classic), Classic, nil, nil, func(l Line) error {
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
		for _, kind := range FileKinds() {
			f, err := os.Open(filepath.Join(sharedBars(t), "classic", fileSymbol(symbol)+"_"+kind+".jsonl"))
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
				fields += diffGolden(t, symbol+" "+kind+" "+want.TimeIST, want.Output, got[kind+want.TimeIST])
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
	for _, symbol := range goldenSymbols {
		l := loadGolden(t, symbol, Calibrated)
		readings := map[string]messages.Reading{}
		status := map[string]int{}
		if err := Analyse(l, Calibrated, nil, nil, func(line Line) error {
			if line.Output != nil || line.Profile != string(Calibrated) || line.Underlying != symbol {
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
			var last []Line
			if err := Analyse(prefix, Calibrated, nil, nil, func(line Line) error {
				last = append(last, line)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			for _, line := range last[len(last)-len(FileKinds()):] {
				if want := readings[line.Kind+line.TimeIST]; !reflect.DeepEqual(*line.Reading, want) {
					t.Errorf("%s of %s repaints\nfirst %d bars %+v\nall bars %+v", line.Kind, line.TimeIST, k, *line.Reading, want)
				}
			}
		}
	}
}

func TestAnalyseChoosesKinds(t *testing.T) {
	l, err := Load(strings.NewReader("time_ist,open,high,low,close,volume\n"+goodRows), "x.csv", Calibrated)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	if err := Analyse(l, Calibrated, nil, []string{"trend_base"}, func(l Line) error {
		kinds = append(kinds, l.Kind)
		return nil
	}); err != nil || !slices.Equal(kinds, []string{"trend_base", "trend_base", "trend_base"}) {
		t.Error(kinds, err)
	}
	if err := Analyse(l, Calibrated, nil, []string{"pcr"}, nil); err == nil || !strings.Contains(err.Error(), `kind "pcr" does not judge bars of a file: use volume_pulse, trend_base`) {
		t.Error(err)
	}
	full := errors.New("full")
	if err := Analyse(l, Calibrated, nil, nil, func(Line) error { return full }); !errors.Is(err, full) {
		t.Error(err)
	}
	text, err := json.Marshal(Line{TimeIST: "2026-03-02 10:00:00", Kind: "pcr", Reading: &messages.Reading{Kind: "pcr", Signal: "neutral"}})
	if err != nil || !strings.HasPrefix(string(text), `{"time_ist":"2026-03-02 10:00:00","kind":"pcr","underlying":"","profile":"","signal":"neutral"`) {
		t.Errorf("%s %v", text, err)
	}
}

func TestEveryAnalysisIsComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range All() {
		if a.Kind == "" || a.Title == "" || a.Judge == nil || seen[a.Kind] {
			t.Errorf("%q: kind, title and judge are needed, once", a.Kind)
		}
		seen[a.Kind] = true
		for _, other := range a.Needs.Readings {
			if _, ok := Find(other); !ok {
				t.Errorf("%s needs %q, which does not exist", a.Kind, other)
			}
		}
		// Without any input nothing is invented.
		for _, p := range []Profile{Calibrated, Classic} {
			r := NewCore(a, p, "NIFTY", DefaultInterval, nil).Reading(time.Unix(clockTime(t, "2026-03-02 11:00:00"), 0))
			if r.Status != messages.Unavailable || r.Reason == "" || r.Values != nil || r.Signal != "" || r.Confidence != 0 || !r.AsOf.IsZero() || r.Coverage != 0 {
				t.Errorf("%s %s without input: %+v", a.Kind, p, r)
			}
		}
	}
	want := []string{"pcr", "volume_pulse", "trend_base", "candle_intent", "instant", "zone_control", "direct", "outlook"}
	for _, kind := range want {
		if !seen[kind] {
			t.Errorf("%s is not in the list", kind)
		}
	}
	if p, err := ParseProfile("modern"); err == nil || p != "" {
		t.Error("an unknown profile is accepted")
	}
}

// How the next analysis is added: a variable like this one in a file of its
// own, and its name in All.
func ExampleAnalysis() {
	insideBars := Analysis{
		Kind:   "inside_bars",
		Title:  "Inside bars",
		Needs:  Needs{Index: true},
		Warmup: 2,
		Judge: func(in *Input) Judgement {
			two := in.Index.Last(2)
			j := Judgement{Status: messages.Watching, Signal: "neutral", Coverage: 1}
			j.Over(two)
			if two[1].High <= two[0].High && two[1].Low >= two[0].Low {
				j.Status, j.Signal, j.Confidence = messages.Active, "inside", 100
			}
			j.Values = map[string]any{"range": two[1].High - two[1].Low}
			return j
		},
	}
	core := NewCore(insideBars, Calibrated, "NIFTY", 5*time.Minute, nil)
	start := time.Date(2026, 3, 2, 4, 0, 0, 0, time.UTC)
	for i, high := range []int32{24050_00, 24040_00} {
		core.Update(messages.BarClosed{Bar: messages.Bar{
			Underlying: "NIFTY", Source: messages.FromIndex, Interval: 5 * time.Minute, Start: start.Add(time.Duration(i) * 5 * time.Minute),
			Open: 24020_00, High: high, Low: 24010_00, Close: 24030_00, Divisor: 100,
		}})
		r := core.Reading(start.Add(10 * time.Minute))
		fmt.Println(r.Kind, r.Status, r.Signal, r.Values["range"], r.Reason)
	}
	// Output:
	// inside_bars unavailable  <nil> 1 of 2 bars of the index so far
	// inside_bars active inside 30
}

// liveInput fills a core with what a live NIFTY has: 400 bars of index and
// future, ticks, a whole chain, and readings of all others.
func liveInput(tb testing.TB, a Analysis, p Profile) (*Core, time.Time) {
	l := loadGolden(tb, "NIFTY", Calibrated)
	c := NewCore(a, p, "NIFTY", DefaultInterval, nil)
	for _, candle := range l.Candles {
		c.append(candle)
	}
	last := l.Candles[len(l.Candles)-1]
	now := last.Newest
	u := niftyToday(tb)
	u.Chain = nil
	for i := range uint32(41) {
		for side, kind := range []string{"CE", "PE"} {
			u.Chain = append(u.Chain, messages.Instrument{Token: 1<<20 + i<<9 + uint32(side)<<8 + 2, Strike: 23000 + 50*float64(i), Type: kind})
		}
	}
	c.Update(u)
	c.Update(messages.PhaseChanged{Phase: messages.Open})
	for _, o := range append([]messages.Instrument{u.Index, u.Future}, u.Chain...) {
		tick := tickOf(o.Token, now, 24000_00, 4000)
		c.Tick(&tick, 1)
	}
	for _, kind := range a.Needs.Readings {
		c.Update(messages.Reading{Kind: kind, Underlying: "NIFTY", Status: messages.Active, Signal: "buy", Confidence: 60, AsOf: now, Values: map[string]any{"pcr": 1.1}})
	}
	c.Answer(Quote{Last: 24000, Close: 23900, At: now})
	return c, now
}

// BenchmarkReadingBeside measures the analyses that do not live on bars alone.
func BenchmarkReadingBeside(b *testing.B) {
	for _, p := range []Profile{Calibrated, Classic} {
		for _, a := range []Analysis{pcr, direct, outlook} {
			if p == Classic && a.Classic == nil {
				continue
			}
			b.Run(a.Kind+"/"+string(p), func(b *testing.B) {
				c, now := liveInput(b, a, p)
				var r messages.Reading
				for b.Loop() {
					r = c.Reading(now)
				}
				if r.Status == messages.Unavailable {
					b.Errorf("unavailable: %s", r.Reason)
				}
			})
		}
	}
}

func BenchmarkTick(b *testing.B) {
	a, _ := Find("pcr")
	c, now := liveInput(b, a, Calibrated)
	tick := tickOf(1<<20+2, now, 24000_00, 4000)
	for i := 0; b.Loop(); i++ {
		tick.OI = uint32(i)
		c.Tick(&tick, 1)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/tick")
}
