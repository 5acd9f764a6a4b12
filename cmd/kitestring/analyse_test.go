package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"kitestring/actors/actorstest"
	"kitestring/actors/analysis"
	"kitestring/cmd/kitestring/cli"
)

// goldenTexts are the free texts of the golden files: not compared.
var goldenTexts = []string{
	"interpretation", "conviction", "dominant_wick", "recommendation", "reasons", "warnings", "upper_interpretation",
	"lower_interpretation", "volume_interpretation", "efficiency_interpretation",
}

func withoutTexts(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range goldenTexts {
			delete(v, name)
		}
		for _, inner := range v {
			withoutTexts(inner)
		}
	case []any:
		for _, inner := range v {
			withoutTexts(inner)
		}
	}
	return v
}

// analysed runs the command and gives its lines by kind and time.
func analysed(t *testing.T, args ...string) map[string]map[string]any {
	t.Helper()
	code, stdout, stderr := kitestring(t, t.Context(), nil, "", append([]string{"analyse", "--json"}, args...)...)
	if code != cli.ExitOK {
		t.Fatalf("%v: exit %d: %s", args, code, stderr)
	}
	lines := map[string]map[string]any{}
	for line := range strings.Lines(stdout) {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		lines[l["kind"].(string)+" "+l["time_ist"].(string)] = l
	}
	return lines
}

func TestAnalyseClassicEqualsTheGoldenFiles(t *testing.T) {
	dir := actorstest.Shared(t, "bars")
	for _, symbol := range []string{"nifty", "banknifty", "sensex"} {
		got := analysed(t, "--bars", filepath.Join(dir, symbol+"_5m.csv"), "--profile", "classic")
		rows := 0
		for _, kind := range analysis.FileKinds() {
			f, err := os.Open(filepath.Join(dir, "classic", symbol+"_"+kind+".jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			lines := bufio.NewScanner(f)
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
				line := got[kind+" "+want.TimeIST]
				if len(line) != 3 || !reflect.DeepEqual(withoutTexts(line["output"]), withoutTexts(want.Output)) {
					t.Errorf("%s %s %s:\n got %v\nwant %v", symbol, kind, want.TimeIST, line, want.Output)
				}
			}
		}
		if rows == 0 || rows != len(got) {
			t.Errorf("%s: %d lines, %d golden rows", symbol, len(got), rows)
		}
		t.Logf("%s: %d rows compared", symbol, rows)
	}
}

const fourBars = `time_ist,open,high,low,close,volume
2026-03-02 09:15:00,100,102,99,101,650
2026-03-02T09:20:00,101,103,100,102,650
2026-03-02 09:25:00,102,104,101,103,0
2026-03-02 09:15:00,1,1,1,1,1
2026-03-02 16:00:00,103,105,102,104,65
`

func TestAnalyseReportsAndChooses(t *testing.T) {
	bars := filepath.Join(t.TempDir(), "nifty_5m.csv")
	if err := os.WriteFile(bars, []byte(fourBars), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := kitestring(t, t.Context(), nil, "", "analyse", "--bars", bars, "--kind", "trend_base,candle_intent")
	if code != cli.ExitOK || strings.Count(stdout, "\n") != 6 || strings.Contains(stdout, "zone_control") {
		t.Errorf("exit %d, %s%s", code, stdout, stderr)
	}
	for _, want := range []string{
		"NIFTY, bars of 5 minutes: 3 of 5 rows kept", "line 5 (2026-03-02 09:15:00): the bar stands in line 2 already",
		"line 6 (2026-03-02 16:00:00): outside the session", "spelled in 2 ways",
	} {
		if !strings.Contains(stderr, want) {
			t.Errorf("the report %q does not say %q", stderr, want)
		}
	}
	for key, line := range analysed(t, "--bars", bars) {
		for _, field := range []string{"time_ist", "kind", "underlying", "profile", "signal", "confidence", "status", "as_of", "oldest_input", "coverage", "gapped", "partial"} {
			if _, ok := line[field]; !ok {
				t.Errorf("%s: no field %s", key, field)
			}
		}
	}
	_, stdout, _ = kitestring(t, t.Context(), nil, "", "analyse", "--bars", bars, "--profile", "classic", "--kind", "candle_intent")
	if strings.Count(stdout, "\n") != 2 { // the outside bar counts, the repeated one does not
		t.Errorf("classic says %q", stdout)
	}
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	if code, _, _ := kitestring(t, interrupted, nil, "", "analyse", "--bars", bars); code != cli.ExitInterrupted {
		t.Errorf("interrupted: exit %d", code)
	}
}

func TestAnalyseRefusesWithLineAndReason(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"empty.csv":     {"", []string{"line 1", "empty"}},
		"columns.csv":   {"when,open,high,low,close,volume\n", []string{"line 1", `"time_ist" is missing`}},
		"again.csv":     {"time_ist,open,open,high,low,close,volume\n", []string{"line 1", `"open" stands there again`}},
		"quote.csv":     {"time_ist,open,high,low,close,volume\n2026-03-02 09:15:00,\"1,2,3,4,5\n", []string{"line 2", "CSV"}},
		"unusable.csv":  {"time_ist,open,high,low,close,volume\nyesterday,1,1,1,1,1\n", []string{"line 2", "yesterday"}},
		"negative.csv":  {"time_ist,open,high,low,close,volume\n2026-03-02 09:15:00,1,1,1,1,-5\n", []string{"line 2", "negative"}},
		"cut.json":      {`{"candles": [{"time_ist": "2026-03-02 09:15:00"`, []string{"line 1"}},
		"nocandle.json": {"{\n\"bars\": []}", []string{"line 2", "candles"}},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := kitestring(t, t.Context(), nil, "", "analyse", "--bars", path)
		if code != cli.ExitError || stdout != "" || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit %d, stdout %q, stderr %q", name, code, stdout, stderr)
		}
		for _, want := range append(c.want, name) {
			if !strings.Contains(stderr, want) {
				t.Errorf("%s: %q does not say %q", name, stderr, want)
			}
		}
	}
}
