package web_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The dashboard that is embedded is the one that its sources make.
func TestDistIsBuiltFromItsSources(t *testing.T) {
	if _, err := os.Stat("ui/node_modules/preact"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("the npm packages are missing; CI installs them (.ci/run)")
		}
		t.Skip("the npm packages are missing: run 'npm ci' in actors/web/ui")
	}
	fresh := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "ui/build", fresh).CombinedOutput()
	if err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	built, committed := read(t, fresh), read(t, "dist")
	for name, data := range built {
		if !bytes.Equal(data, committed[name]) {
			t.Errorf("dist/%s differs from what ui makes (%d bytes, %d fresh): run 'make ui' and commit it", name, len(committed[name]), len(data))
		}
	}
	for name := range committed {
		if _, ok := built[name]; !ok {
			t.Errorf("dist/%s is made of nothing: run 'make ui'", name)
		}
	}
	t.Logf("compared %d files", len(built))
}

func TestDashboardsTypesHold(t *testing.T) {
	const compiler = "ui/node_modules/.bin/tsc"
	if _, err := exec.LookPath(compiler); errors.Is(err, os.ErrNotExist) {
		if os.Getenv("CI") == "true" {
			t.Fatal("the TypeScript compiler is missing; CI installs it (.ci/run)")
		}
		t.Skip("the TypeScript compiler is missing: run 'npm ci' in actors/web/ui")
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join("node_modules", ".bin", "tsc"), "--noEmit")
	cmd.Dir = "ui"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func read(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}
