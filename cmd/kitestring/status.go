package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/messages/ist"
)

func (p *program) statusCommand() *cobra.Command {
	var watch bool
	c := &cobra.Command{
		Use: "status", Short: "One screen: token, feed, last rotation, actors",
		Long: `One screen: token, feed, last rotation, actors.

With --watch the screen is redrawn each second until it is interrupted; where the
output is no terminal, or with --json, one screen follows the other.

Exit codes: 0 data is live, 4 a login is needed, 5 no server answers,
6 the server answers and the feed is not live.`,
		Args: usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if watch {
				return p.watch(c.Context(), time.Second, p.printStatus)
			}
			return p.printStatus(c.Context(), p.stdout)
		},
	}
	c.Flags().BoolVar(&watch, "watch", false, "redraw each second until interrupted")
	return p.reading(c)
}

// printStatus prints one screen; its error carries the exit code.
func (p *program) printStatus(ctx context.Context, out io.Writer) error {
	var st api.Status
	if err := p.get(ctx, "/api/v1/status", &st); err != nil {
		return err
	}
	if p.client.json {
		return verdict(st)
	}
	var rotations []messages.Rotation
	if err := p.get(ctx, "/api/v1/rotations", &rotations); err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(out, "%s  %s\n", p.headline(st), st.Message)
	fmt.Fprintf(w, "profile\t%s, server %s, process %d, up %s\n", st.Profile, st.Process.Version, st.Process.ID, time.Since(st.Process.StartedAt).Round(time.Second))
	coherent := "every part on it"
	if !st.Token.Coherent {
		coherent = "SOME PART STILL ON AN OLDER ONE"
	}
	if st.Token.Generation == 0 {
		fmt.Fprintf(w, "token\t%s, none adopted\n", st.Token.State)
	} else {
		fmt.Fprintf(w, "token\t%s, generation %d, fingerprint %s, %s\n", st.Token.State, st.Token.Generation, st.Token.Fingerprint, coherent)
	}
	fmt.Fprintf(w, "feed\t%s, %.0f ticks/s, last tick %s, %s, %s\n", st.Feed.State, st.Feed.TicksPerSecond, ago(st.Feed.LastTickAgeSeconds), plural(st.Feed.Instruments, "instrument"), plural(st.Feed.Sockets, "socket"))
	if gap := st.Feed.LastGap; gap != nil {
		fmt.Fprintf(w, "last gap\t%s ago, %s blind at a %s\n", st.At.Sub(gap.At).Round(time.Second), plural(gap.Instruments, "instrument"), gap.Reason)
	}
	fmt.Fprintf(w, "market\t%s, exchange time %s IST\n", st.Market.Phase, st.Market.ExchangeTime.In(ist.Zone).Format("2006-01-02 15:04:05"))
	if len(rotations) > 0 {
		fmt.Fprintf(w, "rotation\t%s\n", rotationLine(rotations[0]))
	}
	for _, m := range st.Missing {
		fmt.Fprintf(w, "missing\t%s, for %s: %s\n", m.What, st.Market.ExchangeTime.Sub(m.Since).Round(time.Second), m.Reason)
	}
	fmt.Fprintf(w, "actors\t%d of %d running, %s", st.Actors.Running, st.Actors.Total, plural(st.Actors.Restarts, "restart"))
	if len(st.Actors.NotRunning) > 0 {
		fmt.Fprintf(w, "; not running: %s", strings.Join(st.Actors.NotRunning, ", "))
	}
	fmt.Fprintln(w)
	if err := w.Flush(); err != nil {
		return err
	}
	return verdict(st)
}

// headline is the state in one word. Out of the session nothing is live, though
// nothing is wrong.
func (p *program) headline(st api.Status) string {
	switch {
	case !st.Live:
		return p.paint(red, "NOT LIVE")
	case st.Market.Phase != messages.Open:
		return p.paint(yellow, strings.ToUpper(strings.ReplaceAll(st.Market.Phase.String(), "_", " ")))
	}
	return p.paint(green, "LIVE")
}

// verdict is the exit code of "kitestring status", with what happened and what
// to do.
func verdict(st api.Status) error {
	code, todo := exitDegraded, "See what is in the way: kitestring doctor"
	switch {
	case st.Live:
		return nil
	case st.Token.State == messages.NoToken || st.Token.State == messages.Rejected:
		code, todo = exitLogin, "Run: kitestring login"
	case st.Feed.State == messages.Unauthorised && st.Token.State == messages.Valid:
		todo = "It tries again each 30 s while Kite accepts the token elsewhere. Ask Kite now: kitestring token validate"
	case st.Feed.State == messages.Unauthorised:
		todo = "If the token has expired, run: kitestring login"
	case len(st.Actors.NotRunning) > 0:
		todo = "See why " + strings.Join(st.Actors.NotRunning, ", ") + " does not run: kitestring actors"
	}
	said := strings.TrimSuffix(st.Message, ".")
	if said == "" {
		said = "data is not live"
	}
	return &exitWith{code, fmt.Errorf("%s. %s", said, todo)}
}

func ago(seconds *float64) string {
	if seconds == nil {
		return "never"
	}
	return fmt.Sprintf("%.1f s ago", *seconds)
}

// Control sequences of a terminal, as xterm has them.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l" // the other screen, no cursor, long lines cut instead of wrapped
	leaveScreen = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// watch shows what print gives until ctx ends. On a terminal it redraws one
// screen and leaves the terminal as it was; elsewhere screens follow each
// other. When no server answers it says so and goes on asking.
func (p *program) watch(ctx context.Context, each time.Duration, print func(context.Context, io.Writer) error) error {
	if err := checkAddr(p.client.addr); err != nil {
		return &exitWith{exitUsage, err}
	}
	terminal := isTerminal(p.stdout) && !p.client.json && p.getenv("TERM") != "dumb"
	if terminal {
		fmt.Fprint(p.stdout, enterScreen)
		defer fmt.Fprint(p.stdout, leaveScreen)
	}
	tick := time.NewTicker(each)
	defer tick.Stop()
	for first := true; ; first = false {
		var screen strings.Builder
		err := print(ctx, &screen)
		if err != nil {
			fmt.Fprintf(&screen, "\n%v\n", err)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case p.client.json && err != nil:
			fmt.Fprintln(p.stderr, "kitestring:", err)
		case terminal:
			lines := strings.ReplaceAll(screen.String(), "\n", clearLine+"\n")
			fmt.Fprint(p.stdout, home, lines, clearBelow)
		case !p.client.json:
			if !first {
				fmt.Fprintln(p.stdout)
			}
			fmt.Fprint(p.stdout, screen.String())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
