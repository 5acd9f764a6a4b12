package logs

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
)

// A flood of one message costs the log a bounded number of lines, each line that
// was left out is counted, and other messages and actors lose nothing.
func TestLogBudget(t *testing.T) {
	var out bytes.Buffer
	budget := NewBudget(slog.NewJSONHandler(&out, nil))
	log := slog.New(budget)
	const flood = 50_000
	feed := log.With("actor", "feed")
	for range flood {
		feed.Warn("text cannot be read", "text", strings.Repeat("x", 100))
	}
	feed.Error("text cannot be read")
	log.With("actor", "auth").Warn("text cannot be read")
	log.Info("another message")
	budget.Report()
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
	if written > burst+50 || written+left != flood+3 {
		t.Errorf("%d lines written and %d counted as left out, of %d", written, left, flood+3)
	}
	for _, want := range []string{`"level":"ERROR"`, `"actor":"auth"`, "another message"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the flood took the line with %s", want)
		}
	}
}
