package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestAPanicLeavesItsLastSeconds makes an actor of a running server panic: the
// execution trace before it is in the state directory, once a minute at most.
func TestAPanicLeavesItsLastSeconds(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p := startProcess(t, program, nil, "--env-file", filepath.Join(dir, ".env"), "--state-dir", filepath.Join(dir, "state"))
	post := func(path, body string) int {
		t.Helper()
		resp, err := http.Post("http://"+p.addr+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	if code := post("/api/v1/chaos", `{"actor":"pcr","kind":"panic"}`); code != http.StatusAccepted {
		t.Fatalf("chaos: %d", code)
	}
	var found []string
	eventually(t, time.Minute, "the trace is written", func() (bool, string) {
		found, _ = filepath.Glob(filepath.Join(dir, "state", "traces", "*-pcr-failed.trace"))
		return len(found) == 1, strings.Join(found, " ")
	})
	if info, err := os.Stat(found[0]); err != nil || info.Size() == 0 || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if code := post("/api/v1/debug/trace", ""); code != http.StatusConflict {
		t.Errorf("a second trace within the minute: %d, want %d", code, http.StatusConflict)
	}
	if code, _ := p.end(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit %d", code)
	}
}
