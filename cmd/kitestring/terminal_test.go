package main

import (
	"path/filepath"
	"strings"
	"testing"

	"kitestring/cmd/kitestring/cli"
)

// A second server on a .env file names the first one and changes nothing.
func TestASecondServerOnAFileRefuses(t *testing.T) {
	env := filepath.Join(t.TempDir(), ".env")
	addr, stop := server(t, "--env-file", env)
	code, _, stderr := kitestring(t, t.Context(), nil, "", "run", "--env-file", env, "--addr", "127.0.0.1:0", "--gateway-addr", "off", "--state-dir", t.TempDir())
	if code != cli.ExitError || !strings.Contains(stderr, "another server (process ") || !strings.Contains(stderr, addr) || !strings.Contains(stderr, "--env-file") {
		t.Errorf("exit %d, %q", code, stderr)
	}
	stop()
	_, stop = server(t, "--env-file", env)
	stop()
}

// A login that nobody makes ends with the time that it was given.
func TestALoginThatNobodyMakesSaysSo(t *testing.T) {
	env := filepath.Join(t.TempDir(), ".env")
	addr, _ := server(t, "--env-file", env, "--sim-login", "manual")
	code, _, stderr := kitestring(t, t.Context(), nil, "", "login", "--no-browser", "--wait", "700ms", "--addr", addr, "--env-file", env)
	if code != cli.ExitLogin || !strings.Contains(stderr, "no login within 700ms") {
		t.Errorf("exit %d, %q", code, stderr)
	}
}
