package actorstest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Until polls until a condition holds, and fails the test after a minute.
func Until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("not within a minute: %s", what)
		case <-poll.C:
		}
	}
}

// ModuleRoot is the folder of go.mod.
func ModuleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if filepath.Dir(dir) == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
}

// Shared is a path in the folder of test data that is not part of the project:
// $KITESTRING_SHARED (relative to the module), or ../shared beside the module. A
// test that needs it is left out where it is absent, and fails with CI=true.
func Shared(t testing.TB, elements ...string) string {
	t.Helper()
	folder := os.Getenv("KITESTRING_SHARED")
	if folder == "" {
		folder = filepath.Join("..", "shared")
	}
	if !filepath.IsAbs(folder) {
		folder = filepath.Join(ModuleRoot(t), folder)
	}
	path := filepath.Join(append([]string{folder}, elements...)...)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing: KITESTRING_SHARED must name the shared test data", path)
		}
		t.Skipf("LEFT OUT: %s is missing; KITESTRING_SHARED names the shared test data", path)
	}
	return path
}

// ReadShared is the content of a file in the shared test data.
func ReadShared(t testing.TB, elements ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(Shared(t, elements...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Tool is a program that a test runs. A test is left out where the program is
// absent, and fails with CI=true.
func Tool(t testing.TB, name, debianPackage string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing: install Debian's package %s", name, debianPackage)
	}
	if err != nil {
		t.Skipf("LEFT OUT: %s is missing; Debian's package %s has it", name, debianPackage)
	}
	return path
}
