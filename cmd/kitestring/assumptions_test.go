package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kitestring/actors/actorstest"
	"kitestring/actors/assume"
	"kitestring/actors/ready"
	"kitestring/cmd/kitestring/cli"
	"kitestring/cmd/kitestring/rehearse"
)

// TestTheREADMEHasTheTableOfAssumptions compares it with what the command prints.
func TestTheREADMEHasTheTableOfAssumptions(t *testing.T) {
	code, printed, stderr := kitestring(t, t.Context(), nil, "", "assumptions", "--table")
	if code != cli.ExitOK || printed != assume.Markdown() {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	readme, err := os.ReadFile(filepath.Join(actorstest.ModuleRoot(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "## What we assume of Kite\n")
	section, _, _ = strings.Cut(section, "\n## ")
	if !strings.HasSuffix(strings.TrimSpace(section), strings.TrimSpace(printed)) {
		t.Errorf("the README's section is not what \"kitestring assumptions --table\" prints:\n%s", printed)
	}
}

// TestEachAssumptionHasADrill: a row that nothing contradicts has an untried fallback.
func TestEachAssumptionHasADrill(t *testing.T) {
	for _, r := range assume.Table {
		if _, err := rehearse.Find([]string{"assume-" + strings.ReplaceAll(string(r.Name), "_", "-")}); err != nil {
			t.Error(err)
		}
		if r.Claim == "" || r.Source == "" || r.Fallback == "" {
			t.Errorf("%s is not whole: %+v", r.Name, r)
		}
	}
}

// TestTheSimulatorNamesEachAssumption: what it claims of Kite without a proof is
// in its list of sources, with the row that watches it.
func TestTheSimulatorNamesEachAssumption(t *testing.T) {
	source, err := os.ReadFile(filepath.Join(actorstest.ModuleRoot(t), "actors", "simulator", "exchange.go"))
	if err != nil {
		t.Fatal(err)
	}
	doc, _, _ := strings.Cut(string(source), "\npackage simulator\n")
	for _, r := range assume.Table {
		if !strings.Contains(doc, string(r.Name)) {
			t.Errorf("the simulator's list of claims does not name the row %s", r.Name)
		}
	}
}

// TestEachLineOfTheMorningHasADrill: a line that nothing breaks may never say so.
func TestEachLineOfTheMorningHasADrill(t *testing.T) {
	for _, name := range ready.Names {
		if _, err := rehearse.Find([]string{"ready-" + strings.ReplaceAll(name, "_", "-")}); err != nil {
			t.Error(err)
		}
	}
}
