package ask

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kitestring/actors/web/api"
	"kitestring/cmd/kitestring/cli"
	"kitestring/messages"
	"kitestring/messages/ist"
)

func statusCommand(p *cli.Program) *cobra.Command {
	var watch bool
	c := &cobra.Command{
		Use: "status", Short: "One screen: token, feed, last rotation, actors",
		Long: `One screen: token, feed, last rotation, actors.

With --watch the screen is redrawn each second until it is interrupted; where the
output is no terminal, or with --json, one screen follows the other.

Exit codes: 0 data is live, 4 a login is needed, 5 no server answers,
6 the server answers and the feed is not live.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if watch {
				return redraw(c.Context(), p, time.Second, printStatus)
			}
			return printStatus(c.Context(), p, p.Stdout)
		},
	}
	c.Flags().BoolVar(&watch, "watch", false, "redraw each second until interrupted")
	return p.Reading(c)
}

// printStatus prints one screen; its error carries the exit code.
func printStatus(ctx context.Context, p *cli.Program, out io.Writer) error {
	var st api.Status
	if err := p.Get(ctx, "/api/v1/status", &st); err != nil {
		return err
	}
	if p.JSON {
		return verdict(st)
	}
	var rotations []messages.Rotation
	if err := p.Get(ctx, "/api/v1/rotations", &rotations); err != nil {
		return err
	}
	w := p.Rows(out)
	fmt.Fprintf(out, "%s  %s\n", headline(p, st), st.Message)
	fmt.Fprintf(w, "profile\t%s, server %s, process %d, up %s\n", st.Profile, st.Process.Version, st.Process.ID, time.Since(st.Process.StartedAt).Round(time.Second))
	coherent := "all services use it"
	if !st.Token.Coherent {
		coherent = "SOME PART STILL ON AN OLDER ONE"
	}
	if st.Token.Generation == 0 {
		fmt.Fprintf(w, "token\t%s, none adopted\n", st.Token.State)
	} else {
		fmt.Fprintf(w, "token\t%s, generation %d, fingerprint %s, %s\n", st.Token.State, st.Token.Generation, st.Token.Fingerprint, coherent)
	}
	fmt.Fprintf(w, "feed\t%s, %.0f ticks/s, last tick %s, %s, %s\n", st.Feed.State, st.Feed.TicksPerSecond, ago(st.Feed.LastTickAgeSeconds), cli.Plural(st.Feed.Instruments, "instrument"), cli.Plural(st.Feed.Sockets, "socket"))
	if gap := st.Feed.LastGap; gap != nil {
		fmt.Fprintf(w, "last gap\t%s ago, %s blind at a %s\n", st.At.Sub(gap.At).Round(time.Second), cli.Plural(gap.Instruments, "instrument"), gap.Reason)
	}
	fmt.Fprintf(w, "market\t%s, exchange time %s IST\n", st.Market.Phase, st.Market.ExchangeTime.In(ist.Zone).Format("2006-01-02 15:04:05"))
	if len(rotations) > 0 {
		fmt.Fprintf(w, "rotation\t%s\n", rotationLine(rotations[0]))
	}
	for _, m := range st.Missing {
		fmt.Fprintf(w, "missing\t%s, for %s: %s\n", m.What, st.Market.ExchangeTime.Sub(m.Since).Round(time.Second), m.Reason)
	}
	if st.Peer != nil {
		fmt.Fprintf(w, "peer\t%s\n", peerLine(*st.Peer))
	}
	if st.Bus != nil {
		fmt.Fprintf(w, "bus\t%s\n", busLine(*st.Bus))
	}
	fmt.Fprintf(w, "actors\t%d of %d running, %s", st.Actors.Running, st.Actors.Total, cli.Plural(st.Actors.Restarts, "restart"))
	if len(st.Actors.NotRunning) > 0 {
		fmt.Fprintf(w, "; not running: %s", strings.Join(st.Actors.NotRunning, ", "))
	}
	fmt.Fprintln(w)
	if err := w.Flush(); err != nil {
		return err
	}
	return verdict(st)
}

// busLine is the bus in one line.
func busLine(b api.StatusBus) string {
	line := b.State + " to " + b.Bus
	if b.Addr != "" {
		line += fmt.Sprintf(" at %s, %s", b.Addr, cli.Plural(b.Consumers, "consumer"))
	}
	var sent, lost uint64
	for _, n := range b.Published {
		sent += n
	}
	for _, n := range b.Lost {
		lost += n
	}
	line += ", " + cli.Plural(sent, "message")
	if lost > 0 {
		line += fmt.Sprintf(", %d lost", lost)
	}
	if b.Cut > 0 {
		line += ", " + cli.Plural(int(b.Cut), "slow consumer") + " cut off"
	}
	if b.Reason != "" {
		line += ": " + b.Reason
	}
	return line
}

// headline is the state in one word. Out of the session nothing is live, though
// nothing is wrong.
func headline(p *cli.Program, st api.Status) string {
	switch {
	case !st.Live:
		return p.Paint(cli.Red, "NOT LIVE")
	case st.Market.Phase != messages.Open:
		return p.Paint(cli.Yellow, strings.ToUpper(strings.ReplaceAll(st.Market.Phase.String(), "_", " ")))
	}
	return p.Paint(cli.Green, "LIVE")
}

// verdict is the exit code of "kitestring status", with what happened and what
// to do.
func verdict(st api.Status) error {
	code, todo := cli.ExitDegraded, "See what is in the way: kitestring doctor"
	switch {
	case st.Live:
		return nil
	case st.Token.State == messages.NoToken || st.Token.State == messages.Rejected:
		code, todo = cli.ExitLogin, "Run: kitestring login"
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
	return cli.Exit(code, fmt.Errorf("%s. %s", said, todo))
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

// redraw shows what print gives until ctx ends. On a terminal it redraws one
// screen and leaves the terminal as it was; elsewhere screens follow each
// other. When no server answers it says so and goes on asking.
func redraw(ctx context.Context, p *cli.Program, each time.Duration, print func(context.Context, *cli.Program, io.Writer) error) error {
	if err := cli.CheckAddr(p.Addr); err != nil {
		return cli.Exit(cli.ExitUsage, err)
	}
	terminal := cli.IsTerminal(p.Stdout) && !p.JSON && p.Getenv("TERM") != "dumb"
	if terminal {
		fmt.Fprint(p.Stdout, enterScreen)
		defer fmt.Fprint(p.Stdout, leaveScreen)
	}
	tick := time.NewTicker(each)
	defer tick.Stop()
	for first := true; ; first = false {
		var screen strings.Builder
		err := print(ctx, p, &screen)
		if err != nil {
			fmt.Fprintf(&screen, "\n%v\n", err)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case p.JSON && err != nil:
			fmt.Fprintln(p.Stderr, "kitestring:", err)
		case terminal:
			lines := strings.ReplaceAll(screen.String(), "\n", clearLine+"\n")
			fmt.Fprint(p.Stdout, home, lines, clearBelow)
		case !p.JSON:
			if !first {
				fmt.Fprintln(p.Stdout)
			}
			fmt.Fprint(p.Stdout, screen.String())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
