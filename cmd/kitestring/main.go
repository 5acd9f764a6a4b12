// Command kitestring keeps market data and analyses on Zerodha's Kite Connect
// running across the daily change of the access token. "kitestring run" is the
// server; the other commands ask a server, or try faults on one of their own.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // a container may have no zones

	"github.com/spf13/cobra"
	_ "golang.org/x/crypto/x509roots/fallback" // Kite over TLS, on a host without a certificate store
)

// version is set by the linker.
var version = "unknown"

// The exit codes, the same for every command.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitLogin       = 4 // a login is needed
	exitUnreachable = 5 // no server answers
	exitDegraded    = 6 // the server answers, and the feed is not live
	exitInterrupted = 130
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program without its process: arguments in, exit code out.
func run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	syscall.Umask(0o077)
	p := &program{getenv: getenv, stdin: stdin, stdout: stdout, stderr: stderr}
	root := p.command()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var exit *exitWith
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		if exit.err != nil {
			fmt.Fprintln(stderr, "kitestring:", exit.err)
		}
		return exit.code
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	fmt.Fprintln(stderr, "kitestring:", err)
	return exitError
}

// program is what the commands share.
type program struct {
	getenv         func(string) string
	stdin          io.Reader
	stdout, stderr io.Writer
	client         clientFlags
}

func (p *program) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "kitestring",
		Short: "Kite Connect market data and analyses that survive the daily access token",
		Long: `kitestring runs market data and analyses on Zerodha's Kite Connect, and moves
them to each new access token without a restart and without losing a tick.

Start with "kitestring run": without credentials it runs on a built-in simulator
of the exchange, so that everything can be tried before an account is connected.

Environment: KITESTRING_ADDR is the server's address (127.0.0.1:8420) for every
command, NO_COLOR turns colours off, STATE_DIRECTORY is the default of --state-dir.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          usage(cobra.NoArgs),
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &exitWith{exitUsage, fmt.Errorf("%w; see \"%s --help\"", err, c.CommandPath())}
	})
	root.PersistentFlags().SortFlags = false
	root.AddCommand(
		p.runCommand(), p.edgeCommand(), p.simCommand(), p.replayCommand(), // servers
		p.statusCommand(), p.readyCommand(), p.assumptionsCommand(), p.loginCommand(), p.tokenCommand(), p.rotationsCommand(), p.actorsCommand(), p.clientsCommand(), p.alertsCommand(), p.readingsCommand(), p.barsCommand(), p.eventsCommand(), p.chainCommand(), p.restartCommand(), p.chaosCommand(), // ask one
		p.doctorCommand(), p.analyseCommand(), p.recordCommand(), p.exportCommand(), p.drillCommand(), p.soakCommand(), // need none
		p.assetsCommand(), p.completionCommand(), p.manCommand(), p.licencesCommand(), p.versionCommand(), // print what the binary holds
	)
	p.complete(root)
	return root
}

// exitWith ends the program with an exit code. err is nil when the command has
// printed everything itself.
type exitWith struct {
	code int
	err  error
}

func (e *exitWith) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitWith) Unwrap() error { return e.err }

// printJSON is the output of a command with --json.
func (p *program) printJSON(v any) error { return json.NewEncoder(p.stdout).Encode(v) }

// usage makes a wrong number of arguments a usage error that shows the usage.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			if c.HasSubCommands() && len(args) > 0 {
				c.SuggestionsMinimumDistance = 2
				meant := "."
				if near := c.SuggestionsFor(args[0]); len(near) > 0 {
					meant = "; did you mean " + strings.Join(near, " or ") + "?"
				}
				return &exitWith{exitUsage, fmt.Errorf("there is no command \"%s %s\"%s See \"%s --help\"", c.CommandPath(), args[0], meant, c.CommandPath())}
			}
			return &exitWith{exitUsage, fmt.Errorf("%w; usage: %s", err, c.UseLine())}
		}
		return nil
	}
}
