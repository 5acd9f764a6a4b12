package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kitestring/actors/actorstest"
	"kitestring/actors/assume"
	"kitestring/actors/ready"
	"kitestring/actors/web/api"
	"kitestring/cmd/kitestring/cli"
	"kitestring/cmd/kitestring/rehearse"
	"kitestring/messages"
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

// TestSharedAssumptionsNameNoOne prints what a user may post.
func TestSharedAssumptionsNameNoOne(t *testing.T) {
	var out strings.Builder
	at := time.Date(2026, 3, 11, 6, 0, 0, 0, time.UTC)
	st := api.Status{Profile: "live", Message: "CANARY", At: at, Process: api.StatusProcess{Version: "1", StartedAt: at.Add(-time.Hour), ID: 4711}}
	st.Token.Fingerprint = "CANARY"
	shareAssumptions(&out, []messages.AssumptionStatus{{Name: messages.Heartbeat, Claim: "A message comes every second.", Verdict: messages.AssumptionSeen, Seen: 7}}, st)
	if got := out.String(); !strings.Contains(got, "heartbeat: seen (for: 7, against: 0)") || strings.Contains(got, "CANARY") || strings.Contains(got, "4711") {
		t.Error(got)
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
