package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// arrows is the import policy: which packages of ours a package
// may import, tests aside. Arrows run down only: cmd -> supervisor/tree -> supervisor | actors/* -> actors/kite
// -> actors -> messages. A pattern ends in /... for a folder with all below.
var arrows = map[string][]string{
	"messages":               {},
	"messages/wire":          {"messages"},
	"messages/ist":           {},
	"messages/minute":        {"messages"},
	"actors":                 {"messages"},
	"actors/actorstest":      {"actors"},
	"actors/internal/serve":  {},
	"actors/kite":            {"actors", "messages", "messages/ist"},
	"actors/token":           {"actors", "messages"},
	"actors/token/envstyles": {},
	"actors/auth":            {"actors", "actors/kite", "messages", "messages/ist"},
	"actors/feed":            {"actors", "actors/kite", "messages", "messages/..."},
	"actors/market":          {"actors", "messages", "messages/ist"},
	"actors/instruments":     {"actors", "actors/kite", "messages", "messages/ist"},
	"actors/reminder":        {"actors", "messages", "messages/ist"},
	"actors/analysis":        {"actors", "actors/kite", "messages", "messages/ist"},
	"actors/simulator":       {"actors", "actors/internal/serve", "messages", "messages/..."},
	"actors/web/api":         {"messages"},
	"actors/web":             {"actors", "actors/internal/serve", "actors/web/api", "messages"},
	"supervisor":             {"actors", "messages"},
	"supervisor/tree":        {"supervisor", "actors", "actors/...", "messages", "messages/..."},
	"cmd/kitestring/drills":  {"supervisor", "supervisor/tree", "actors/simulator", "actors/token/envstyles", "actors/web/api", "messages", "messages/..."},
	"cmd/kitestring/soak":    {"actors/simulator", "actors/web/api", "messages", "messages/ist"},
	"cmd/kitestring/e2e":     {}, // tests only: a whole server and a browser
	"cmd/kitestring/assets":  {},
	"cmd/kitestring":         {"cmd/kitestring/drills", "cmd/kitestring/soak", "cmd/kitestring/assets", "supervisor", "supervisor/tree", "actors/analysis", "actors/instruments", "actors/simulator", "actors/token", "actors/web", "actors/web/api", "messages", "messages/..."},
}

// stdAndModels is all that messages may import besides us.
var strictlyStd = []string{"messages", "messages/wire", "messages/ist", "messages/minute", "actors/internal/serve", "actors/web/api", "actors/token/envstyles"}

func TestArrowsRunDown(t *testing.T) {
	root := moduleRoot(t)
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
			own, ours := strings.CutPrefix(imp, "kitestring/")
			switch {
			case ours && !slices.ContainsFunc(allowed, func(pattern string) bool { return matches(pattern, own) }):
				t.Errorf("%s imports %s: the arrow is not in the import policy", name, own)
			case !ours && slices.Contains(strictlyStd, name) && strings.Contains(strings.Split(imp, "/")[0], "."):
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

func TestTopLevelHoldsOnlyTheLayout(t *testing.T) {
	want := []string{"Makefile", "README.md", "actors", "bin", "cmd", "go.mod", "go.sum", "messages", "supervisor"}
	entries, err := os.ReadDir(moduleRoot(t))
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
}

func packages(t *testing.T, root string) []goPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "./...")
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

func moduleRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the working directory")
		}
		dir = parent
	}
}
