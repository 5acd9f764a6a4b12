package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kitestring/cmd/kitestring/cli"
	"kitestring/cmd/kitestring/doctor"
)

func doctorCommand(p *cli.Program) *cobra.Command {
	cfg := doctor.Config{Getenv: p.Getenv, DefaultAddr: cli.DefaultAddr}
	var asJSON bool
	c := &cobra.Command{
		Use: "doctor", Short: "Check the .env file, its directory, the port and Kite; name a fix for each trap",
		Long: `Check what can keep a token from its server: the .env file and its directory,
the environment, the port, the redirect URL, the clock, Kite, the token,
systemd, the disk of the recording, the bus, and the shared login. A fix of one
line stands under each finding.

Nothing is changed. A server may be running or not.

Exit codes: 0 nothing fails (warnings aside), 4 only a login is missing, 1 else.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := cmp.Or(cli.CheckAddr(cfg.Addr), cli.CheckProfile(cfg.Profile)); err != nil {
				return cli.Exit(cli.ExitUsage, err)
			}
			cfg.StateDir = p.StateDir(cfg.StateDir, cfg.EnvFile)
			report, err := doctor.Examine(c.Context(), cfg)
			switch {
			case errors.Is(err, c.Context().Err()) && err != nil:
				return err
			case err != nil:
				return cli.Exit(cli.ExitUsage, err)
			case asJSON:
				if err := p.PrintJSON(report); err != nil {
					return err
				}
			default:
				var text strings.Builder
				report.Print(&text)
				fmt.Fprint(p.Stdout, p.Fold(text.String(), 26))
			}
			return doctorExit(report)
		},
	}
	f := c.Flags()
	f.StringVar(&cfg.EnvFile, "env-file", ".env", "the file with the credentials and the token")
	f.StringVar(&cfg.Addr, "addr", p.ServerAddr(), "address that the server listens on")
	f.StringVar(&cfg.Profile, "profile", "auto", "auto, sim, sandbox or live: the server's --profile")
	f.StringVar(&cfg.StateDir, "state-dir", "", "the server's --state-dir (default: $STATE_DIRECTORY, else .kitestring beside the .env file)")
	f.BoolVar(&asJSON, "json", false, "print the report as JSON")
	return c
}

// doctorExit is the exit code of a report that is printed already.
func doctorExit(r doctor.Report) error {
	switch n := r.Count(doctor.Failed); {
	case n == 0:
		return nil
	case n == 1 && slices.ContainsFunc(r.Checks, func(c doctor.Check) bool { return c.Name == doctor.Token && c.Status == doctor.Failed }):
		return cli.Exit(cli.ExitLogin, nil)
	}
	return cli.Exit(cli.ExitError, nil)
}
