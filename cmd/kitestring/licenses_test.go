package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kitestring/actors/actorstest"
	"kitestring/cmd/kitestring/cli"
)

var update = flag.Bool("update", false, "write licenses.txt")

// licenceFile is what modules call the texts that must travel with them.
var licenceFile = regexp.MustCompile(`(?i)^(licen[sc]e|copying|notice|patents)(\.(txt|md)|-[a-z0-9]+)?$`)

// TestLicencesCoverEveryLinkedModule compares the texts in the binary with
// those of every module that a package of the binary comes from: what
// "go version -m" lists.
func TestLicencesCoverEveryLinkedModule(t *testing.T) {
	root := actorstest.ModuleRoot(t)
	goTool := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = root
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go %v: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}
	var want strings.Builder
	write := func(name, dir string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&want, "%s%s\n", licenceMark, name)
		found := 0
		for _, e := range entries {
			if !licenceFile.MatchString(e.Name()) {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), licenceMark) {
				t.Errorf("%s: its %s holds our mark", name, e.Name())
			}
			found++
			fmt.Fprintf(&want, "\n%s\n", strings.Trim(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n"))
		}
		if found == 0 {
			t.Errorf("%s: no licence in %s", name, dir)
		}
		want.WriteString("\n")
	}
	write("go (runtime and standard library)", goTool("env", "GOROOT"))
	listed := goTool("list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}|{{.Dir}}{{end}}{{end}}", "./cmd/kitestring")
	modules := slices.Compact(slices.Sorted(strings.FieldsFuncSeq(listed, func(r rune) bool { return r == '\n' })))
	for _, m := range modules {
		name, dir, _ := strings.Cut(m, "|")
		write(name, dir)
	}
	if *update {
		if err := os.WriteFile("licenses.txt", []byte(want.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if thirdParty != want.String() {
		t.Error("licenses.txt is not what is linked: write it with go test ./cmd/kitestring -run Licences -update")
	}
	t.Logf("%d modules", len(modules))
}

func TestLicencesCommand(t *testing.T) {
	_, text, _ := kitestring(t, t.Context(), nil, "", "licenses")
	_, stdout, _ := kitestring(t, t.Context(), nil, "", "licenses", "--json")
	var all []licence
	if err := json.Unmarshal([]byte(stdout), &all); err != nil || len(all) < 20 {
		t.Fatalf("%d licences: %v", len(all), err)
	}
	for _, l := range all {
		if len(l.Text) < 100 || l.Module == "" || l.Version == "" || !strings.Contains(text, l.Text) {
			t.Errorf("%s %s: %d bytes", l.Module, l.Version, len(l.Text))
		}
	}
	_, one, _ := kitestring(t, t.Context(), nil, "", "licenses", "github.com/gorilla/websocket")
	if strings.Count(one, licenceMark) != 1 || !strings.Contains(one, "Gorilla") {
		t.Errorf("one module: %q", one)
	}
	if code, _, stderr := kitestring(t, t.Context(), nil, "", "licenses", "moon"); code != cli.ExitUsage || !strings.Contains(stderr, "moon") {
		t.Errorf("exit %d, %q", code, stderr)
	}
}
