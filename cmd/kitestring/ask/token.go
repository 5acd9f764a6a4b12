package ask

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"kitestring/actors/token"
	"kitestring/actors/web/api"
	"kitestring/cmd/kitestring/cli"
	"kitestring/messages"
	"kitestring/messages/ist"
)

func tokenCommand(p *cli.Program) *cobra.Command {
	c := &cobra.Command{
		Use: "token", Short: "Show, set or validate the access token", Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(p.Reading(&cobra.Command{
		Use: "show", Short: "The token's state and who uses which generation", Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return showToken(c.Context(), p) },
	}))
	c.AddCommand(p.Acting(&cobra.Command{
		Use: "validate", Short: "Ask Kite about the token now", Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return validateToken(c.Context(), p) },
	}))
	var envFile string
	var force, create bool
	set := &cobra.Command{
		Use: "set", Short: "Write a token from standard input into the .env file",
		Long: `Write a token from standard input into the .env file, for those who get it from
another program: the token alone, quoted, or as a line ` + token.KeyAccessToken + `=...
A running server sees the change within 0.3 s. The token is never taken from the
command line, where other users could read it.

A file that does not exist is made only with --create: a wrong folder must not
get a file that no server reads. A token that does not have the 32 characters of
Kite's is refused; --force writes it.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return setToken(c.Context(), p, envFile, force, create) },
	}
	set.Flags().StringVar(&envFile, "env-file", ".env", "the file")
	set.Flags().BoolVar(&force, "force", false, "write a token that does not have the 32 characters of Kite's")
	set.Flags().BoolVar(&create, "create", false, "make the file when it does not exist")
	c.AddCommand(set)
	return c
}

func showToken(ctx context.Context, p *cli.Program) error {
	var t api.Token
	if err := p.Get(ctx, "/api/v1/token", &t); err != nil || p.JSON {
		return err
	}
	w := p.Rows(p.Stdout)
	fmt.Fprintf(w, "state\t%s\t%s\n", t.State, t.Reason)
	if t.Generation > 0 {
		fmt.Fprintf(w, "adopted\tgeneration %d, fingerprint %s\n", t.Generation, t.Fingerprint)
	}
	if t.CheckedAt != nil {
		fmt.Fprintf(w, "checked\t%s ago\n", time.Since(*t.CheckedAt).Round(time.Second))
	}
	if t.Candidate != nil {
		fmt.Fprintf(w, "candidate\tgeneration %d, %s\t%s\n", t.Candidate.Generation, t.Candidate.State, t.Candidate.Reason)
	}
	if t.FileFault != "" {
		fmt.Fprintf(w, "file\t%s\n", t.FileFault)
	}
	for _, warning := range t.Warnings {
		fmt.Fprintf(w, "warning\t%s\n", warning)
	}
	if t.ExpiresHint != nil {
		fmt.Fprintf(w, "expires\tabout %s IST\n", t.ExpiresHint.In(ist.Zone).Format("2006-01-02 15:04"))
	}
	fmt.Fprintf(w, "coherent\t%t\n", t.Coherent)
	for _, h := range t.Holders {
		fmt.Fprintf(w, "holder\t%s\tgeneration %d\n", h.Actor, h.Generation)
	}
	return w.Flush()
}

// validateToken asks for a check and waits for its answer.
func validateToken(ctx context.Context, p *cli.Program) error {
	quiet := p.JSON
	p.JSON = false
	start := time.Now()
	var accepted map[string]string
	if err := p.Post(ctx, "/api/v1/token/validate", nil, &accepted); err != nil {
		return err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(10 * time.Second); ; {
		var t api.Token
		if err := p.Get(ctx, "/api/v1/token", &t); err != nil {
			return err
		}
		if t.CheckedAt != nil && t.CheckedAt.After(start) {
			p.JSON = quiet
			if err := showToken(ctx, p); err != nil {
				return err
			}
			if t.State == messages.Rejected {
				return cli.Exit(cli.ExitLogin, errors.New("the token is refused by Kite. Run: kitestring login"))
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Canceled
		case <-deadline:
			return cli.Exit(cli.ExitDegraded, errors.New("no answer of Kite within 10 s, which says nothing about the token. Try again, or see \"kitestring token show\""))
		case <-tick.C:
		}
	}
}

func setToken(ctx context.Context, p *cli.Program, envFile string, force, create bool) error {
	line, err := bufio.NewReader(io.LimitReader(p.Stdin, 4<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read standard input: %w", err)
	}
	value, err := token.FromLine(line, force)
	if err != nil {
		return cli.Misuse("%w. %s is as it was", err, envFile)
	}
	if _, err := os.Stat(envFile); errors.Is(err, fs.ErrNotExist) && !create {
		return cli.Misuse("%s does not exist: is this the right folder? Name the file with --env-file, or make it with --create", envFile)
	}
	store, err := token.Open(token.StoreConfig{Path: envFile, Getenv: p.Getenv})
	if err != nil {
		return err
	}
	if err := store.SetToken(ctx, value); err != nil {
		return err
	}
	fmt.Fprintf(p.Stdout, "wrote the token with fingerprint %s into %s\n", value.Fingerprint(), envFile)
	return nil
}
