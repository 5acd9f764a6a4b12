package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"kitestring/actors/web/api"
	"kitestring/messages"
)

// A table that is too wide for the terminal leaves out what matters least.
func TestANarrowTableLeavesOutColumns(t *testing.T) {
	table := &table{head: []string{"ACTOR", "STATE", "EPOCH", "UPTIME", "LAST ERROR"}, ranks: []int{0, 0, 2, 1, 0}}
	table.add("feed", "running", "1", "12h30m0s", strings.Repeat("x", 80))
	for width, want := range map[int]string{0: "[0 1 2 3 4]", 200: "[0 1 2 3 4]", 43: "[0 1 3 4]", 30: "[0 1 4]", 10: "[0 1 4]"} {
		if shown, _, left := table.fit(width); fmt.Sprint(shown) != want || left != 5-len(shown) {
			t.Errorf("%d columns wide: %v with %d left out, want %s", width, shown, left, want)
		}
	}
}

func TestPlural(t *testing.T) {
	for n, want := range map[int]string{0: "0 sockets", 1: "1 socket", 2: "2 sockets"} {
		if got := plural(n, "socket"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Out of the session nothing is live.
func TestHeadlineKnowsTheSession(t *testing.T) {
	p := &program{getenv: func(string) string { return "" }}
	for want, st := range map[string]api.Status{
		"LIVE":     {Live: true, Market: api.StatusMarket{Phase: messages.Open}},
		"CLOSED":   {Live: true, Market: api.StatusMarket{Phase: messages.Closed}},
		"PRE OPEN": {Live: true, Market: api.StatusMarket{Phase: messages.PreOpen}},
		"NOT LIVE": {Market: api.StatusMarket{Phase: messages.Open}},
	} {
		if got := p.headline(st); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A second server on a .env file names the first one and changes nothing.
func TestASecondServerOnAFileRefuses(t *testing.T) {
	env := filepath.Join(t.TempDir(), ".env")
	addr, stop := server(t, "--env-file", env)
	code, _, stderr := kitestring(t, t.Context(), nil, "", "run", "--env-file", env, "--addr", "127.0.0.1:0", "--gateway-addr", "off", "--state-dir", t.TempDir())
	if code != exitError || !strings.Contains(stderr, "another server (process ") || !strings.Contains(stderr, addr) || !strings.Contains(stderr, "--env-file") {
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
	if code != exitLogin || !strings.Contains(stderr, "no login within 700ms") {
		t.Errorf("exit %d, %q", code, stderr)
	}
}
