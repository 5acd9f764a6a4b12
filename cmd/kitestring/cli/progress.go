package cli

import (
	"fmt"
	"io"
	"time"
)

// ProgressBar is one line on a terminal that says how far a long command is. A
// nil one prints nothing.
type ProgressBar struct {
	out     io.Writer
	what    string
	total   int64
	done    int64
	started time.Time
	shown   time.Time
}

// Progress starts a line, when a person reads standard error. It shows after a
// second, and then once in a while.
func (p *Program) Progress(what string, total int64) *ProgressBar {
	if !IsTerminal(p.Stderr) || total <= 0 {
		return nil
	}
	now := time.Now()
	return &ProgressBar{out: p.Stderr, what: what, total: total, started: now, shown: now}
}

// Add says how much more is done.
func (b *ProgressBar) Add(n int64) {
	if b == nil {
		return
	}
	b.done += n
	now := time.Now()
	if first := b.shown.Equal(b.started); now.Sub(b.shown) < 200*time.Millisecond || first && now.Sub(b.started) < time.Second {
		return
	}
	b.shown = now
	share := min(1, float64(b.done)/float64(b.total))
	left := ""
	if share > 0.02 {
		left = fmt.Sprintf(", %s left", time.Duration(float64(now.Sub(b.started))*(1-share)/share).Round(time.Second))
	}
	fmt.Fprintf(b.out, "\r\x1b[K%s: %.0f %%%s", b.what, 100*share, left)
}

// Set says how much is done.
func (b *ProgressBar) Set(done int64) {
	if b != nil {
		b.Add(done - b.done)
	}
}

// End clears the line.
func (b *ProgressBar) End() {
	if b != nil && !b.shown.Equal(b.started) {
		fmt.Fprint(b.out, "\r\x1b[K")
	}
}
