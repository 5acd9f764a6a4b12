// Command kitestring keeps market data and analyses on Zerodha's Kite Connect
// running across the daily change of the access token. "kitestring run" is the
// server; the other commands ask a server, or try faults on one of their own.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // a container may have no zones

	"github.com/spf13/cobra"
	_ "golang.org/x/crypto/x509roots/fallback" // Kite over TLS, on a host without a certificate store

	"kitestring/cmd/kitestring/analyse"
	"kitestring/cmd/kitestring/ask"
	"kitestring/cmd/kitestring/cli"
)

// version is set by the linker.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program without its process: arguments in, exit code out.
func run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	syscall.Umask(0o077)
	p := &cli.Program{Getenv: getenv, Stdin: stdin, Stdout: stdout, Stderr: stderr}
	root := command(p)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var exit *cli.ExitWith
	switch {
	case err == nil:
		return cli.ExitOK
	case errors.As(err, &exit):
		if exit.Err != nil {
			fmt.Fprintln(stderr, "kitestring:", exit.Err)
		}
		return exit.Code
	case errors.Is(err, context.Canceled):
		return cli.ExitInterrupted
	}
	fmt.Fprintln(stderr, "kitestring:", err)
	return cli.ExitError
}

func command(p *cli.Program) *cobra.Command {
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
		Args:          cli.Args(cobra.NoArgs),
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return cli.Misuse("%w; see \"%s --help\"", err, c.CommandPath())
	})
	root.PersistentFlags().SortFlags = false
	root.AddCommand(
		runCommand(p), edgeCommand(p), simCommand(p), replayCommand(p), // servers
		doctorCommand(p), analyse.Command(p), recordCommand(p), exportCommand(p), drillCommand(p), soakCommand(p), // need none
		assetsCommand(p), completionCommand(p), manCommand(p), licencesCommand(p), versionCommand(p), // print what the binary holds
	)
	root.AddCommand(ask.Commands(p)...)
	complete(root)
	return root
}
