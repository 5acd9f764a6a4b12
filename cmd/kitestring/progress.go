package main

import (
	"fmt"
	"io"
	"time"
)

// progressBar is one line on a terminal that says how far a long command is. A
// nil one prints nothing.
type progressBar struct {
	out     io.Writer
	what    string
	total   int64
	done    int64
	started time.Time
	shown   time.Time
}

// progress starts a line, when a person reads standard error. It shows after a
// second, and then once in a while.
func (p *program) progress(what string, total int64) *progressBar {
	if !isTerminal(p.stderr) || total <= 0 {
		return nil
	}
	now := time.Now()
	return &progressBar{out: p.stderr, what: what, total: total, started: now, shown: now}
}

func (b *progressBar) add(n int64) {
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

// end clears the line.
func (b *progressBar) end() {
	if b != nil && !b.shown.Equal(b.started) {
		fmt.Fprint(b.out, "\r\x1b[K")
	}
}
