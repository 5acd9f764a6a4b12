package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"kitestring/actors/actorstest"
	"kitestring/actors/analysis"
	"kitestring/cmd/kitestring/assets"
	"kitestring/cmd/kitestring/cli"
	"kitestring/messages"
)

// The list that the binary carries is that of the declarations.
func TestParametersAreListed(t *testing.T) {
	listed, err := assets.Read("parameters")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, a := range analysis.All() {
		for _, p := range a.Parameters {
			unit := p.Unit
			if p.Whole {
				unit = "whole " + unit
			}
			want = append(want, fmt.Sprintf("| %s | `%s` | %g | %g | %g | %s | %s |", a.Kind, p.Name, p.Default, p.Least, p.Most, unit, p.Meaning))
		}
	}
	for _, a := range analysis.All() {
		for _, r := range a.Rules {
			want = append(want, fmt.Sprintf("| %s | %s |", a.Kind, r.Text))
		}
	}
	var got []string
	for line := range strings.Lines(string(listed)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| analysis |") {
			got = append(got, line)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("assets/parameters.md does not hold these rows alone:\n%s", strings.Join(want, "\n"))
	}
	for _, command := range []string{"run", "analyse"} {
		if _, help, _ := kitestring(t, t.Context(), nil, "", command, "--help"); !strings.Contains(help, "kitestring assets print parameters") {
			t.Errorf("%s --help does not say where the parameters are", command)
		}
	}
}

// configured writes a configuration file.
func configured(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kitestring.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRunRefusesAWrongConfigFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "kitestring.json")
	if err := os.WriteFile(path, []byte(`{"mailbox": {"ticks": 1}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for arg, want := range map[string]string{
		path:                        "kitestring.json: line 1: mailbox.ticks 1",
		dir:                         "not a file",
		filepath.Join(dir, "other"): "no such file",
	} {
		code, _, stderr := kitestring(t, t.Context(), nil, "", "run", "--env-file", filepath.Join(dir, ".env"), "--addr", "127.0.0.1:0", "--config", arg)
		if code != cli.ExitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, %q", arg, code, stderr)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, ".env")); err == nil {
		t.Error("a server that did not start has written its env file")
	}
}

const someThresholds = `{"analysis": {"thresholds": {"pcr": {"least_coverage": 0.3}, "trend_base": {"swing_order": 5, "active_from": 50}}}}`

func TestServerComputesWithTheThresholds(t *testing.T) {
	addr, _ := server(t, "--env-file", filepath.Join(t.TempDir(), ".env"), "--config", configured(t, someThresholds))
	var all []messages.Reading
	actorstest.Until(t, "every reading is there", func() bool {
		fetchJSON(t, addr, "/api/v1/readings", &all)
		return len(all) == 3*len(analysis.All())
	})
	changed := map[string]map[string]float64{"pcr": {"least_coverage": 0.3}, "trend_base": {"swing_order": 5}} // the rest is as it always is
	for _, r := range all {
		if !maps.Equal(r.Parameters, changed[r.Kind]) {
			t.Errorf("%s of %s was computed with %v", r.Kind, r.Underlying, r.Parameters)
		}
	}
}

func TestAnalyseComputesWithTheThresholds(t *testing.T) {
	bars := filepath.Join(actorstest.Shared(t, "bars"), "nifty_5m.csv")
	usual := analysed(t, "--bars", bars)
	tuned := analysed(t, "--bars", bars, "--config", configured(t, someThresholds))
	changed := 0
	for key, line := range tuned {
		if line["kind"] != "trend_base" {
			if !reflect.DeepEqual(line, usual[key]) {
				t.Errorf("%s: %v, without the file %v", key, line, usual[key])
			}
			continue
		}
		if !reflect.DeepEqual(line["parameters"], map[string]any{"swing_order": 5.0}) {
			t.Fatalf("%s was computed with %v", key, line["parameters"])
		}
		if !reflect.DeepEqual(line["values"], usual[key]["values"]) {
			changed++
		}
	}
	if changed < 10 {
		t.Errorf("%d readings of %d are others", changed, len(tuned))
	}
}

func TestAnalyseTakesTheFlagBeforeTheFile(t *testing.T) {
	dir := t.TempDir()
	bars, classic := filepath.Join(dir, "nifty_5m.csv"), configured(t, `{"analysis": {"profile": "classic"}}`)
	if err := os.WriteFile(bars, []byte(fourBars), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args    []string
		classic bool
	}{
		{[]string{"--config", classic}, true},
		{[]string{"--config", classic, "--profile", "calibrated"}, false},
		{[]string{"--config", configured(t, `{}`)}, false},
		{[]string{"--config", configured(t, `{}`), "--profile", "classic"}, true},
	} {
		for key, line := range analysed(t, append(c.args, "--bars", bars, "--kind", "candle_intent")...) {
			if _, ok := line["output"]; ok != c.classic {
				t.Errorf("%v: %s %v", c.args, key, line)
			}
		}
	}
	for want, args := range map[string][]string{
		"thresholds are for profile calibrated":           {"--config", configured(t, someThresholds), "--profile", "classic"},
		"no such file":                                    {"--config", filepath.Join(dir, "other.json")},
		"line 1: analysis.thresholds.moon is not known":   {"--config", configured(t, `{"analysis": {"thresholds": {"moon": {}}}}`)},
		`--profile "modern": it is calibrated or classic`: {"--config", classic, "--profile", "modern"},
	} {
		code, _, stderr := kitestring(t, t.Context(), nil, "", append([]string{"analyse", "--bars", bars}, args...)...)
		if code != cli.ExitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%v: exit %d, %q", args, code, stderr)
		}
	}
}
