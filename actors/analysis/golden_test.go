package analysis

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"testing"
	"time"
)

const fiveMinutes = 5 * time.Minute

var goldenSymbols = []string{"NIFTY", "BANKNIFTY", "SENSEX"}

// goldenTexts are the fields of the golden files that are free text.
var goldenTexts = map[string]bool{
	"interpretation": true, "conviction": true, "dominant_wick": true, "recommendation": true, "reasons": true,
	"warnings": true, "upper_interpretation": true, "lower_interpretation": true, "volume_interpretation": true,
	"efficiency_interpretation": true, "error": true,
}

// sharedBars is the folder of the bars and golden files, which are read where
// they lie and never copied into the project.
func sharedBars(tb testing.TB) string {
	tb.Helper()
	dir := os.Getenv("KITESTRING_SHARED")
	if dir == "" {
		dir = "../shared"
	}
	if !filepath.IsAbs(dir) {
		root, err := os.Getwd()
		if err != nil {
			tb.Fatal(err)
		}
		for {
			if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
				break
			}
			if root == filepath.Dir(root) {
				tb.Fatal("no go.mod above the test")
			}
			root = filepath.Dir(root)
		}
		dir = filepath.Join(root, dir)
	}
	dir = filepath.Join(dir, "bars")
	if _, err := os.Stat(dir); err != nil {
		tb.Skip("the shared bars are not here; set KITESTRING_SHARED to their folder")
	}
	return dir
}

// goldenBars reads a CSV of bars, every row in file order.
func goldenBars(tb testing.TB, symbol string) (times []string, bars []Candle) {
	tb.Helper()
	f, err := os.Open(filepath.Join(sharedBars(tb), fileSymbol(symbol)+"_5m.csv"))
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
	compute := func(symbol string, bars []Candle) object {
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
		file, err := os.Open(filepath.Join(sharedBars(t), "classic", fileSymbol(symbol)+"_"+engine+".jsonl"))
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
			seen := lastN(bars[:i+1], want.Window)
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
	file, err := os.Open(filepath.Join(sharedBars(t), "classic", "instant.jsonl"))
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
		tick := &classicTick{numbers: map[string]*float64{}}
		for name, v := range want.Tick {
			switch v := v.(type) {
			case float64:
				tick.numbers[name] = &v
			case nil:
				tick.named = tick.named || name == "symbol"
				tick.numbers[name] = nil
			case string:
				if name == "symbol" {
					tick.symbol, tick.named = &v, true
				}
				if name == "trend" {
					tick.trend = v
				}
			}
		}
		if _, raised := want.Output["error"]; raised {
			refused++
		}
		rows++
		fields += diffGolden(t, fmt.Sprintf("tick %d", rows), want.Output, classicInstant(tick))
	}
	t.Logf("instant: %d ticks (%d raise), %d fields compared", rows, refused, fields)
}
