package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kitestring/actors/actorstest"
)

// arrows is the import policy: which packages of this module a package may
// import, tests aside. Imports run down only:
//
//	cmd -> supervisor/tree -> supervisor | actors/* -> actors/kite -> actors -> messages
//
// A pattern that ends in /... is a folder with all below it.
var arrows = map[string][]string{
	"messages":        {},
	"messages/ist":    {},
	"messages/minute": {"messages"},
	"messages/scrub":  {"messages"},
	"messages/wire":   {"messages"},

	"actors":                  {"messages"},
	"actors/actorstest":       {"actors", "messages"},
	"actors/channels":         {"messages"}, // ways to a person, no actor
	"actors/hours":            {"messages/ist"},
	"actors/kite":             {"actors", "messages", "messages/..."},
	"actors/internal/serve":   {},
	"actors/spare":            {}, // file descriptors held back, no actor
	"actors/token":            append([]string{"actors/spare", "actors/token/dotenv"}, actorPackage...),
	"actors/token/dotenv":     {},
	"actors/token/envstyles":  {},
	"actors/auth":             actorPackage,
	"actors/merger":           {"messages"},
	"actors/replay":           {"actors/merger", "actors/tape", "messages", "messages/ist", "messages/wire"},
	"actors/feed":             append([]string{"actors/merger", "actors/spare"}, actorPackage...),
	"actors/market":           actorPackage,
	"actors/instruments":      actorPackage,
	"actors/edge":             append([]string{"actors/internal/serve", "actors/merger"}, actorPackage...),
	"actors/bus":              actorPackage,
	"actors/gateway":          append([]string{"actors/gateway/clients", "actors/internal/serve"}, actorPackage...),
	"actors/gateway/clients":  {"messages"}, // who may use it, no actor
	"actors/peers":            actorPackage,
	"actors/record":           append([]string{"actors/tape"}, actorPackage...),
	"actors/alerts":           append([]string{"actors/channels"}, actorPackage...),
	"actors/reminder":         append([]string{"actors/channels"}, actorPackage...),
	"actors/replies":          append([]string{"actors/channels"}, actorPackage...),
	"actors/ready":            actorPackage,
	"actors/assume":           {"actors", "messages"}, // a table, no actor
	"actors/bars":             actorPackage,
	"actors/optionchain":      {"actors/hours", "messages", "messages/ist"}, // formulas, no actor
	"actors/chain":            append([]string{"actors/optionchain"}, actorPackage...),
	"actors/analysis":         {"actors/analysis/classic", "actors/analysis/indicators", "actors/hours", "actors/optionchain", "messages", "messages/ist"}, // formulas, no actor
	"actors/analysis/classic": {"messages"},
	"actors/readings":         append([]string{"actors/analysis", "actors/optionchain"}, actorPackage...),
	"actors/barfile":          {"actors/analysis", "actors/hours", "messages", "messages/ist"},
	"actors/tape":             {"messages", "messages/ist", "messages/wire"},
	"actors/tape/export":      {"actors/tape", "messages", "messages/ist", "messages/wire"},
	"actors/simulator":        append([]string{"actors/internal/serve"}, actorPackage...),
	"actors/web":              append([]string{"actors/internal/serve", "actors/kinds", "actors/web/api", "actors/web/csv", "actors/web/guard", "actors/web/history", "actors/web/hub", "actors/web/live", "actors/web/openapi", "actors/web/ticks"}, actorPackage...),
	"actors/web/api":          {"messages"},
	"actors/web/csv":          {},
	"actors/web/history":      {"messages", "messages/ist"},
	"actors/kinds":            {},
	"actors/web/guard":        {"messages"},
	"actors/web/live":         {"actors/web/api", "messages", "messages/ist"},
	"actors/web/hub":          {"actors/web/api", "actors/web/ticks", "messages"},
	"actors/web/openapi":      {"actors/web/api"},
	"actors/web/ticks":        {"actors/web/api", "messages", "messages/wire"},

	"actors/channels/channelstest": {}, // servers of channels, for tests and drills

	"actors/analysis/indicators": {"actors/analysis/classic", "messages/ist"},

	"supervisor":           {"supervisor/histogram", "supervisor/queue", "supervisor/spec", "actors", "messages"},
	"supervisor/histogram": {},
	"supervisor/queue":     {"messages"},
	"supervisor/spec":      {"supervisor/queue", "actors", "messages"},
	"supervisor/tree":      {"supervisor", "supervisor/tree/flight", "supervisor/tree/profile", "supervisor/tree/remoteclock", "actors", "actors/...", "messages", "messages/..."},

	"supervisor/tree/flight":      {},
	"supervisor/tree/remoteclock": {"supervisor/tree/profile", "actors/simulator"},
	"supervisor/tree/profile":     {"actors/kite", "actors/token", "actors/token/dotenv"},

	"cmd/kitestring/analyse":          {"cmd/kitestring/cli", "cmd/kitestring/configfile", "actors/analysis", "actors/barfile"},
	"cmd/kitestring/ask":              {"cmd/kitestring/cli", "supervisor", "actors/assume", "actors/kinds", "actors/token", "actors/web/api", "actors/web/csv", "messages", "messages/ist"},
	"cmd/kitestring/assets":           {},
	"cmd/kitestring/cli":              {"actors/token", "actors/web/api", "messages"},
	"cmd/kitestring/configfile":       {"cmd/kitestring/cli", "supervisor/tree", "actors/alerts", "actors/analysis", "actors/bars", "actors/channels", "actors/instruments", "actors/kinds", "messages"},
	"cmd/kitestring/doctor":           {"supervisor/tree/profile", "actors/kite", "actors/peers", "actors/tape", "actors/token", "actors/token/dotenv", "actors/web/api", "messages"},
	"cmd/kitestring/judge":            {"supervisor", "supervisor/tree", "actors", "actors/analysis", "actors/bars", "actors/hours", "actors/replay", "actors/tape", "messages", "messages/..."},
	"cmd/kitestring/logs":             {},
	"cmd/kitestring/rehearse/program": {"messages", "messages/wire"},
	"cmd/kitestring/rehearse":         {"cmd/kitestring/judge", "cmd/kitestring/rehearse/program", "supervisor", "supervisor/tree", "actors/analysis", "actors/channels/channelstest", "actors/hours", "actors/ready", "actors/replay", "actors/simulator", "actors/tape", "actors/token/envstyles", "actors/web/api", "messages", "messages/..."},
	"cmd/kitestring/e2e":              {}, // tests only: a whole server and a browser
	"cmd/kitestring":                  {"cmd/kitestring/...", "supervisor", "supervisor/tree", "actors/alerts", "actors/analysis", "actors/assume", "actors/barfile", "actors/bars", "actors/channels", "actors/edge", "actors/hours", "actors/instruments", "actors/kinds", "actors/kite", "actors/replay", "actors/simulator", "actors/tape", "actors/tape/export", "actors/token", "actors/web", "actors/web/api", "actors/web/csv", "messages", "messages/..."},
}

// actorPackage is what any actor may import: the contract, what lies below the
// actors, and the messages. Never another actor.
var actorPackage = []string{"actors", "actors/hours", "actors/kite", "actors/tape", "messages", "messages/..."}

// stdOnly are the packages that import no other module.
var stdOnly = []string{"messages", "messages/ist", "messages/minute", "messages/scrub", "messages/wire", "actors/channels", "actors/hours", "actors/internal/serve", "actors/spare", "actors/web/api", "actors/web/csv", "actors/web/history", "actors/web/hub", "actors/web/openapi", "actors/web/ticks", "actors/kinds", "actors/token/dotenv", "actors/token/envstyles", "supervisor/histogram", "supervisor/queue", "supervisor/spec"}

func TestArrowsRunDown(t *testing.T) {
	root := actorstest.ModuleRoot(t)
	seen := map[string]bool{}
	for _, p := range packages(t, root) {
		name := strings.TrimPrefix(p.ImportPath, "kitestring/")
		allowed, known := arrows[name]
		if !known {
			t.Errorf("package %s is not in the import policy: give it a row in arrows", name)
			continue
		}
		seen[name] = true
		for _, imp := range p.Imports {
			own, inside := strings.CutPrefix(imp, "kitestring/")
			switch {
			case inside && !slices.ContainsFunc(allowed, func(pattern string) bool { return matches(pattern, own) }):
				t.Errorf("%s imports %s: the arrow is not in the import policy", name, own)
			case !inside && slices.Contains(stdOnly, name) && strings.Contains(strings.Split(imp, "/")[0], "."):
				t.Errorf("%s imports %s: it may use the standard library only", name, imp)
			}
		}
	}
	for name := range arrows {
		if !seen[name] {
			t.Errorf("the import policy has a row for %s, which does not exist", name)
		}
	}
	t.Logf("checked the imports of %d packages", len(seen))
}

// mostLines is how many lines a package may have, tests aside: what is larger has
// more than one purpose, or says in its doc why it has not.
const mostLines = 2500

var largerPackages = []string{"actors/feed", "actors/simulator", "cmd/kitestring/rehearse"}

func TestPackagesAreSmall(t *testing.T) {
	root := actorstest.ModuleRoot(t)
	for _, p := range packages(t, root) {
		name := strings.TrimPrefix(p.ImportPath, "kitestring/")
		lines, reason := 0, false
		for _, file := range p.GoFiles {
			text, err := os.ReadFile(filepath.Join(root, name, file))
			if err != nil {
				t.Fatal(err)
			}
			lines += bytes.Count(text, []byte("\n"))
			reason = reason || bytes.Contains(text, []byte("// The package is larger than others because"))
		}
		switch may := slices.Contains(largerPackages, name); {
		case lines > mostLines && !may:
			t.Errorf("package %s has %d lines: split it where it has more than one purpose; %d are allowed", name, lines, mostLines)
		case may && !reason:
			t.Errorf("package %s has %d lines, and its doc does not say why (\"The package is larger than others because ...\")", name, lines)
		case may && lines <= mostLines:
			t.Errorf("package %s has %d lines: it needs no exception any more", name, lines)
		}
	}
}

func TestTopLevelHoldsOnlyTheLayout(t *testing.T) {
	want := []string{"Makefile", "README.md", "actors", "bin", "cmd", "go.mod", "go.sum", "messages", "supervisor"}
	entries, err := os.ReadDir(actorstest.ModuleRoot(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(want, e.Name()) {
			t.Errorf("the top level holds %s; it may hold %v (bin is built, not kept)", e.Name(), want)
		}
	}
}

func matches(pattern, name string) bool {
	if folder, ok := strings.CutSuffix(pattern, "/..."); ok {
		return name == folder || strings.HasPrefix(name, folder+"/")
	}
	return path.Clean(pattern) == name
}

type goPackage struct {
	ImportPath string
	Imports    []string
	GoFiles    []string
}

func packages(t *testing.T, root string) []goPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,GoFiles", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for dec.More() {
		var p goPackage
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}
