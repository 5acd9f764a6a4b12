package ask

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kitestring/actors/web/api"
	"kitestring/cmd/kitestring/cli"
	"kitestring/messages"
)

func loginCommand(p *cli.Program) *cobra.Command {
	var noBrowser, paste bool
	var wait time.Duration
	c := &cobra.Command{
		Use: "login", Short: "Do the daily login and wait until the token is live",
		Long: `Open Kite's login in a browser (or print its address) and wait until the server
works with the new token.

With --paste, read the address that the browser was sent back to, or the request
token in it, from standard input: for a phone or a browser on another machine.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if wait <= 0 {
				return cli.Misuse("--wait %s: it is a time above 0, like 10m", wait)
			}
			if paste {
				return pasteLogin(c.Context(), p)
			}
			return browserLogin(c.Context(), p, noBrowser, wait)
		},
	}
	c.Flags().BoolVar(&noBrowser, "no-browser", false, "print the address only")
	c.Flags().BoolVar(&paste, "paste", false, "read the redirected address or the request token from standard input")
	c.Flags().DurationVar(&wait, "wait", 10*time.Minute, "how long to wait for the login")
	return p.Acting(c)
}

func browserLogin(ctx context.Context, p *cli.Program, noBrowser bool, wait time.Duration) error {
	start := time.Now() // a login that ends from now on may be ours
	var before api.Token
	quiet := p.JSON
	p.JSON = false // the last answer alone is printed
	if err := p.Get(ctx, "/api/v1/token", &before); err != nil {
		return err
	}
	var started api.LoginStarted
	if err := p.Post(ctx, "/api/v1/login/start", nil, &started); err != nil {
		return err
	}
	if noBrowser || exec.CommandContext(ctx, "xdg-open", started.LoginURL).Start() != nil {
		fmt.Fprintf(p.Stderr, "Open this address, log in and approve:\n\n  %s\n\n", started.LoginURL)
	}
	fmt.Fprintln(p.Stderr, "Waiting for the login ...")
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return cli.Exit(cli.ExitLogin, fmt.Errorf("no login within %s. Run \"kitestring login\" again when you are ready", wait))
			}
			return context.Canceled
		case <-tick.C:
		}
		var st api.Status
		if err := p.Get(ctx, "/api/v1/status", &st); err != nil {
			if ctx.Err() != nil {
				continue // the time has run out in the middle of the request
			}
			return err
		}
		if st.Login != nil && st.Login.At.After(start) && st.Login.Result != messages.LoginOK {
			return cli.Exit(cli.ExitLogin, errors.New(st.Login.Reason))
		}
		// The login has ended when its token is in the file; a moment later it is
		// adopted, or it is the one before, which Kite gives again within a day.
		ours := st.Login != nil && st.Login.At.After(start) && st.Login.Fingerprint == st.Token.Fingerprint
		if st.Token.State == messages.Valid && (ours || st.Token.Generation > before.Generation) {
			p.JSON = quiet
			return showToken(ctx, p)
		}
	}
}

func pasteLogin(ctx context.Context, p *cli.Program) error {
	if !p.JSON {
		fmt.Fprintln(p.Stderr, "Paste the address that the browser was sent back to (or the request token), then press Enter:")
	}
	line, err := bufio.NewReader(io.LimitReader(p.Stdin, 8<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read standard input: %w", err)
	}
	if line = strings.TrimSpace(line); line == "" {
		return cli.Misuse("nothing was pasted. Copy the whole address line of the browser after the login")
	}
	var done api.LoginCompleted
	if err := p.Post(ctx, "/api/v1/login/complete", api.LoginPasted{Pasted: line}, &done); err != nil || p.JSON {
		return err
	}
	fmt.Fprintln(p.Stdout, done.Reason)
	return nil
}
