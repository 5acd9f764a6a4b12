package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
)

// What a terminal is told, as xterm has it.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l" // the other screen, no cursor, long lines cut instead of wrapped
	leaveScreen = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// watchStatus shows the status until ctx ends. On a terminal it redraws one
// screen and leaves the terminal as it was; elsewhere screens follow each
// other. That the server is away is shown and waited out.
func (p *program) watchStatus(ctx context.Context, each time.Duration) error {
	if err := checkAddr(p.client.addr); err != nil {
		return &exitWith{exitUsage, err}
	}
	file, _ := p.stdout.(*os.File)
	terminal := file != nil && isatty.IsTerminal(file.Fd()) && !p.client.json && p.getenv("TERM") != "dumb"
	if terminal {
		fmt.Fprint(p.stdout, enterScreen)
		defer fmt.Fprint(p.stdout, leaveScreen)
	}
	tick := time.NewTicker(each)
	defer tick.Stop()
	for first := true; ; first = false {
		screen, err := p.screen(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case p.client.json && err != nil:
			fmt.Fprintln(p.stderr, "kitestring:", err)
		case terminal:
			lines := strings.ReplaceAll(screen, "\n", clearLine+"\n")
			fmt.Fprint(p.stdout, home, lines, clearBelow)
		case !p.client.json:
			if !first {
				fmt.Fprintln(p.stdout)
			}
			fmt.Fprint(p.stdout, screen)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// screen is what "status" prints, and what to do below it. With --json the
// answer has been printed already.
func (p *program) screen(ctx context.Context) (string, error) {
	var screen strings.Builder
	err := p.printStatus(ctx, &screen)
	if err != nil {
		fmt.Fprintf(&screen, "\n%v\n", err)
	}
	return screen.String(), err
}
