package analysis

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"kitestring/actors/actorstest"
	"kitestring/actors/analysis/classic"
	"kitestring/messages/ist"
)

const (
	fiveMinutes = 5 * time.Minute
	niftyIndex  = 256265
	niftyFuture = 13568514 // ends in 2: NFO
)

// clockTime is a time of day in India, in Unix seconds.
func clockTime(t testing.TB, s string) int64 {
	t.Helper()
	at, err := time.ParseInLocation(ist.Layout, s, ist.Zone)
	if err != nil {
		t.Fatal(err)
	}
	return at.Unix()
}

var goldenSymbols = []string{"NIFTY", "BANKNIFTY", "SENSEX"}

// goldenTexts are the fields of the golden files that are free text.
var goldenTexts = map[string]bool{
	"interpretation": true, "conviction": true, "dominant_wick": true, "recommendation": true, "reasons": true,
	"warnings": true, "upper_interpretation": true, "lower_interpretation": true, "volume_interpretation": true,
	"efficiency_interpretation": true, "error": true,
}

// goldenDir is the folder of the bars and golden files: the shared data where
// it is there, else its first rows, which are in testdata.
func goldenDir(tb testing.TB) string {
	tb.Helper()
	dir := os.Getenv("KITESTRING_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "shared")
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(actorstest.ModuleRoot(tb), dir)
	}
	if dir = filepath.Join(dir, "bars"); hasFile(dir) {
		return dir
	}
	return filepath.Join("testdata", "bars")
}

func hasFile(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// The rows in testdata are the first ones of the shared data.
func TestTheSliceIsOfTheSharedData(t *testing.T) {
	for _, pattern := range []string{"*.csv", "classic/*.jsonl"} {
		names, err := filepath.Glob(filepath.Join("testdata", "bars", pattern))
		if err != nil || len(names) == 0 {
			t.Fatal(err)
		}
		for _, name := range names {
			rel, _ := filepath.Rel("testdata", name)
			slice, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if whole := actorstest.ReadShared(t, strings.Split(filepath.ToSlash(rel), "/")...); !bytes.HasPrefix(whole, slice) {
				t.Errorf("%s is not how the shared file begins", name)
			}
		}
	}
}

// goldenBars reads a CSV of bars, every row in file order.
func goldenBars(tb testing.TB, symbol string) (times []string, bars []Candle) {
	tb.Helper()
	f, err := os.Open(filepath.Join(goldenDir(tb), fileSymbol(symbol)+"_5m.csv"))
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		tb.Fatal(err)
	}
	for _, row := range rows[1:] {
		var v [5]float64
		for i := range v {
			if v[i], err = strconv.ParseFloat(row[i+1], 64); err != nil {
				tb.Fatal(err)
			}
		}
		start, err := time.ParseInLocation(time.DateTime, row[0], time.FixedZone("IST", 19800))
		if err != nil {
			tb.Fatal(err)
		}
		times = append(times, row[0])
		bars = append(bars, Candle{Time: start, Newest: start.Add(5 * time.Minute), Open: v[0], High: v[1], Low: v[2], Close: v[3], Volume: v[4]})
	}
	return times, bars
}

func fileSymbol(symbol string) string {
	return map[string]string{"NIFTY": "nifty", "BANKNIFTY": "banknifty", "SENSEX": "sensex"}[symbol]
}

// goldenEngine compares one engine's output with every row of its files.
func goldenEngine(t *testing.T, a Analysis, window int) {
	t.Helper()
	engine := a.Kind
	// The index has the prices, the future the volume, as in live.
	compute := func(symbol string, bars []Candle) classic.Object {
		in := withFuture(bars)
		in.Underlying = symbol
		return a.Classic(in)
	}
	rows, fields := 0, 0
	for _, symbol := range goldenSymbols {
		times, bars := goldenBars(t, symbol)
		at := make(map[string]int, len(times))
		for i, s := range times {
			at[s] = i
		}
		file, err := os.Open(filepath.Join(goldenDir(t), "classic", fileSymbol(symbol)+"_"+engine+".jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 1<<20)
		first := -1
		for lines.Scan() {
			var want struct {
				TimeIST string         `json:"time_ist"`
				Window  int            `json:"window"`
				Bars    int            `json:"bars"`
				Output  map[string]any `json:"output"`
			}
			if err := json.Unmarshal(lines.Bytes(), &want); err != nil {
				t.Fatal(err)
			}
			i, known := at[want.TimeIST]
			if !known {
				t.Fatalf("%s: golden row of an unknown bar %s", symbol, want.TimeIST)
			}
			if first < 0 {
				first = i
			}
			seen := classic.LastN(bars[:i+1], want.Window)
			if len(seen) != want.Bars || want.Window != window {
				t.Fatalf("%s %s: %d bars in a window of %d, want %d", symbol, want.TimeIST, len(seen), want.Window, want.Bars)
			}
			// More history than the window is given: the analysis takes its part.
			got := compute(symbol, bars[:i+1])
			if got == nil {
				t.Fatalf("%s %s: no answer", symbol, want.TimeIST)
			}
			rows++
			fields += diffGolden(t, symbol+" "+want.TimeIST, want.Output, got)
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
		if first > 0 {
			if compute(symbol, bars[:first]) != nil {
				t.Errorf("%s: answers with %d bars; the first golden row has %d", symbol, first, first+1)
			}
		}
	}
	t.Logf("%s: %d rows, %d fields compared", engine, rows, fields)
}

// diffGolden reports each field that differs and counts those compared.
func diffGolden(t *testing.T, where string, want, got any) int {
	t.Helper()
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	var decoded any
	if err := json.Unmarshal(text, &decoded); err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	compared := 0
	for _, d := range diffValues("", want, decoded, &compared) {
		t.Errorf("%s: %s", where, d)
	}
	return compared
}

func diffValues(path string, want, got any, compared *int) (diffs []string) {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s: want an object, got %v", path, got)}
		}
		names := make([]string, 0, len(w)+len(g))
		for name := range w {
			names = append(names, name)
		}
		for name := range g {
			if _, both := w[name]; !both {
				names = append(names, name)
			}
		}
		sort.Strings(names)
		for _, name := range names {
			wv, inWant := w[name]
			gv, inGot := g[name]
			if !inWant || !inGot {
				diffs = append(diffs, fmt.Sprintf("%s.%s: in golden %t, in output %t", path, name, inWant, inGot))
				continue
			}
			if goldenTexts[name] {
				continue
			}
			diffs = append(diffs, diffValues(path+"."+name, wv, gv, compared)...)
		}
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return []string{fmt.Sprintf("%s: want %v, got %v", path, want, got)}
		}
		for i := range w {
			diffs = append(diffs, diffValues(fmt.Sprintf("%s[%d]", path, i), w[i], g[i], compared)...)
		}
	default:
		*compared++
		if want != got {
			diffs = append(diffs, fmt.Sprintf("%s: want %v, got %v", path, want, got))
		}
	}
	return diffs
}

func TestClassicVolumePulseIsGolden(t *testing.T) {
	goldenEngine(t, volumePulse, 50)
}

func TestClassicTrendBaseIsGolden(t *testing.T) {
	goldenEngine(t, trendBase, 100)
}

func TestClassicCandleIntentIsGolden(t *testing.T) {
	goldenEngine(t, candleIntent, 50)
}

func TestClassicZoneControlIsGolden(t *testing.T) {
	goldenEngine(t, zoneControl, 100)
}

func TestClassicInstantIsGolden(t *testing.T) {
	file, err := os.Open(filepath.Join(goldenDir(t), "classic", "instant.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, fields, refused := 0, 0, 0
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var want struct {
			Tick   map[string]any `json:"tick"`
			Output map[string]any `json:"output"`
		}
		if err := json.Unmarshal(lines.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		tick := &classic.Tick{Numbers: map[string]*float64{}}
		for name, v := range want.Tick {
			switch v := v.(type) {
			case float64:
				tick.Numbers[name] = &v
			case nil:
				tick.Named = tick.Named || name == "symbol"
				tick.Numbers[name] = nil
			case string:
				if name == "symbol" {
					tick.Symbol, tick.Named = &v, true
				}
				if name == "trend" {
					tick.Trend = v
				}
			}
		}
		if _, raised := want.Output["error"]; raised {
			refused++
		}
		rows++
		fields += diffGolden(t, fmt.Sprintf("tick %d", rows), want.Output, classic.Instant(tick))
	}
	t.Logf("instant: %d ticks (%d raise), %d fields compared", rows, refused, fields)
}
