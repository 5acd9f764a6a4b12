package main

import (
	"path/filepath"
	"strings"
	"testing"

	"kitestring/actors/web/api"
	"kitestring/cmd/kitestring/cli"
	"kitestring/messages"
)

// Out of the session nothing is live.
func TestHeadlineKnowsTheSession(t *testing.T) {
	p := &cli.Program{Getenv: func(string) string { return "" }}
	for want, st := range map[string]api.Status{
		"LIVE":     {Live: true, Market: api.StatusMarket{Phase: messages.Open}},
		"CLOSED":   {Live: true, Market: api.StatusMarket{Phase: messages.Closed}},
		"PRE OPEN": {Live: true, Market: api.StatusMarket{Phase: messages.PreOpen}},
		"NOT LIVE": {Market: api.StatusMarket{Phase: messages.Open}},
	} {
		if got := headline(p, st); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

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
