package main

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"kitestring/actors/simulator"
	"kitestring/cmd/kitestring/cli"
)

// A flood of one message costs the log a bounded number of lines, each line that
// was left out is counted, and other messages and actors lose nothing.
func TestLogBudget(t *testing.T) {
	var out safeBuffer
	budget := newLogBudget(slog.NewJSONHandler(&out, nil))
	log := slog.New(budget)
	const flood = 50_000
	feed := log.With("actor", "feed")
	for range flood {
		feed.Warn("text cannot be read", "text", strings.Repeat("x", 100))
	}
	feed.Error("text cannot be read")
	log.With("actor", "auth").Warn("text cannot be read")
	log.Info("another message")
	budget.report()
	written, left := 0, 0
	for line := range strings.Lines(out.String()) {
		var l struct {
			Message string `json:"msg"`
			Left    int    `json:"left_out"`
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		left += l.Left
		if l.Message != "log lines left out" {
			written++
		}
	}
	if written > logBurst+50 || written+left != flood+3 {
		t.Errorf("%d lines written and %d counted as left out, of %d", written, left, flood+3)
	}
	for _, want := range []string{`"level":"ERROR"`, `"actor":"auth"`, "another message"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the flood took the line with %s", want)
		}
	}
}

// An exchange that floods its sockets with texts writes little into the log.
func TestAFloodOfTextsDoesNotFloodTheLog(t *testing.T) {
	leftOutByShort(t)
	sim := freeAddr(t)
	for _, kind := range []simulator.FaultKind{simulator.FaultTextFlood, simulator.FaultOrderFlood} {
		s := serve(t, "--env-file", file(t, ".env", ""), "--addr", "127.0.0.1:0", "--sim-addr", sim, "--sim-rate", "200")
		live(t, s.addr)
		before := len(s.log.String())
		postJSON(t, "http://"+sim+"/sim/v1/faults", simulator.Fault{Kind: kind})
		<-time.After(3 * time.Second) // the flood
		if n := len(s.log.String()) - before; n > 200_000 {
			t.Errorf("%s: %d bytes of log in 3 s", kind, n)
		}
		if code := s.stop(); code != cli.ExitOK {
			t.Errorf("exit %d", code)
		}
	}
}
