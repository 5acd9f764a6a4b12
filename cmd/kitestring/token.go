package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"kitestring/actors/token"
	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/messages/ist"
)

func (p *program) tokenCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "token", Short: "Show, set or validate the access token", Args: usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(p.reading(&cobra.Command{
		Use: "show", Short: "The token's state and who uses which generation", Args: usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return p.showToken(c.Context()) },
	}))
	c.AddCommand(p.acting(&cobra.Command{
		Use: "validate", Short: "Ask Kite about the token now", Args: usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return p.validateToken(c.Context()) },
	}))
	var envFile string
	var force, create bool
	set := &cobra.Command{
		Use: "set", Short: "Write a token from standard input into the .env file",
		Long: `Write a token from standard input into the .env file, for those who get it from
another program: the token alone, quoted, or as a line ` + token.KeyAccessToken + `=...
A running server sees the change within 0.3 s. The token is never taken from the
command line, where other users could read it.`,
		Args: usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return p.setToken(c.Context(), envFile, force, create) },
	}
	set.Flags().StringVar(&envFile, "env-file", ".env", "the file")
	set.Flags().BoolVar(&force, "force", false, "write a token that does not have the 32 characters of Kite's")
	set.Flags().BoolVar(&create, "create", false, "make the file when it does not exist")
	c.AddCommand(set)
	return c
}

func (p *program) showToken(ctx context.Context) error {
	var t api.Token
	if err := p.get(ctx, "/api/v1/token", &t); err != nil || p.client.json {
		return err
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
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
func (p *program) validateToken(ctx context.Context) error {
	quiet := p.client.json
	p.client.json = false
	start := time.Now()
	var accepted map[string]string
	if err := p.post(ctx, "/api/v1/token/validate", nil, &accepted); err != nil {
		return err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(10 * time.Second); ; {
		var t api.Token
		if err := p.get(ctx, "/api/v1/token", &t); err != nil {
			return err
		}
		if t.CheckedAt != nil && t.CheckedAt.After(start) {
			p.client.json = quiet
			if err := p.showToken(ctx); err != nil {
				return err
			}
			if t.State == messages.Rejected {
				return &exitWith{exitLogin, errors.New("the token is refused by Kite. Run: kitestring login")}
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Canceled
		case <-deadline:
			return &exitWith{exitDegraded, errors.New("no answer of Kite within 10 s, which says nothing about the token. Try again, or see \"kitestring token show\"")}
		case <-tick.C:
		}
	}
}

func (p *program) setToken(ctx context.Context, envFile string, force, create bool) error {
	line, err := bufio.NewReader(io.LimitReader(p.stdin, 4<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read standard input: %w", err)
	}
	value, err := token.FromLine(line, force)
	if err != nil {
		return &exitWith{exitUsage, fmt.Errorf("%w. %s is as it was", err, envFile)}
	}
	if _, err := os.Stat(envFile); errors.Is(err, fs.ErrNotExist) && !create {
		return &exitWith{exitUsage, fmt.Errorf("%s does not exist: is this the right folder? Name the file with --env-file, or make it with --create", envFile)}
	}
	store, err := token.Open(token.StoreConfig{Path: envFile, Getenv: p.getenv})
	if err != nil {
		return err
	}
	if err := store.SetToken(ctx, value); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "wrote the token with fingerprint %s into %s\n", value.Fingerprint(), envFile)
	return nil
}
