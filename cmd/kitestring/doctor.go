package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"kitestring/actors/token"
	"kitestring/actors/web/api"
	"kitestring/supervisor/tree"
)

func (p *program) doctorCommand() *cobra.Command {
	d := &doctor{getenv: p.getenv, unitDirs: systemdUnitDirs}
	var asJSON bool
	c := &cobra.Command{
		Use: "doctor", Short: "Check the .env file, its directory, the port and Kite; name a fix for each trap",
		Long: `Check what can keep a token from its server: the .env file and its directory,
the environment, the port, the redirect URL, the clock, Kite, the token,
systemd, and the disk of the recording. A fix of one line stands under each finding.

Nothing is changed. A server may be running or not.

Exit codes: 0 nothing fails (warnings aside), 4 only a login is missing, 1 else.`,
		Args: usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := cmp.Or(checkAddr(d.addr), checkProfile(d.profile)); err != nil {
				return &exitWith{exitUsage, err}
			}
			d.stateDir = p.stateDir(d.stateDir, d.envFile)
			if err := d.examine(c.Context()); err != nil {
				return err
			}
			if asJSON {
				if err := p.printJSON(d.report()); err != nil {
					return err
				}
			} else {
				d.print(p.stdout)
			}
			return d.verdict()
		},
	}
	f := c.Flags()
	f.StringVar(&d.envFile, "env-file", ".env", "the file with the credentials and the token")
	f.StringVar(&d.addr, "addr", p.defaultAddr(), "address that the server listens on")
	f.StringVar(&d.profile, "profile", "auto", "auto, sim, sandbox or live: the server's --profile")
	f.StringVar(&d.stateDir, "state-dir", "", "the server's --state-dir (default: $STATE_DIRECTORY, else .kitestring beside the .env file)")
	f.BoolVar(&asJSON, "json", false, "print the report as JSON")
	return c
}

// doctor looks at what a server would find. Each check reports one thing and how
// to repair it; later checks use what earlier ones found.
type doctor struct {
	envFile, addr, profile string
	stateDir               string
	getenv                 func(string) string
	unitDirs               []string // where systemd's units lie

	file    token.Inspection
	store   *token.Store
	plan    tree.Plan
	planned bool        // plan holds
	running *api.Status // of the kitestring that listens on addr; nil: none

	checks []check
}

// check is one finding: a line of "doctor --json".
type check struct {
	Name   string `json:"name"`
	Status status `json:"status"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

// status is the result of a check.
type status string

const (
	good    status = "ok"
	warned  status = "warn" // works, with a drawback
	failed  status = "fail"
	skipped status = "skip" // there was nothing to check here
)

// doctorReport is "doctor --json". Fields are added, never renamed.
type doctorReport struct {
	Version int     `json:"version"` // of this shape
	OK      bool    `json:"ok"`      // nothing fails
	Profile string  `json:"profile"` // the one that --profile comes to; "": none
	EnvFile string  `json:"env_file"`
	Addr    string  `json:"addr"`
	Checks  []check `json:"checks"`
}

// The names of the checks, in their order.
const (
	checkEnvFile     = "env_file"
	checkPermissions = "permissions"
	checkParseable   = "parseable"
	checkKeys        = "keys"
	checkEnvironment = "environment"
	checkMount       = "single_file_mount"
	checkWritable    = "directory_writable"
	checkRename      = "rename_atomic"
	checkInotify     = "inotify"
	checkPlan        = "profile"
	checkPort        = "port"
	checkServer      = "server"
	checkRedirect    = "redirect_url"
	checkAPI         = "api_reachable"
	checkClock       = "clock"
	checkToken       = "token"
	checkSystemd     = "systemd"
	checkRecording   = "recording"
)

// examine makes all checks. Its error is that ctx ended before.
func (d *doctor) examine(ctx context.Context) error {
	path, err := filepath.Abs(d.envFile)
	if err != nil {
		return fmt.Errorf("--env-file %q: %w", d.envFile, err)
	}
	d.envFile = path
	d.file = token.Inspect(path, d.getenv)
	if d.store, err = token.Open(token.StoreConfig{Path: path, Getenv: d.getenv, Log: slog.New(slog.DiscardHandler)}); err != nil {
		return &exitWith{exitUsage, fmt.Errorf("--env-file %s: %w", path, err)}
	}
	for _, look := range []func(context.Context){
		d.lookAtFile, d.lookAtDirectory, d.lookAtPlan, d.lookAtPort, d.lookAtServer, d.lookAtRedirect, d.askKite, d.lookAtSystemd, d.lookAtRecording,
	} {
		if look(ctx); ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func (d *doctor) note(name string, s status, detail, fix string) {
	d.checks = append(d.checks, check{name, s, detail, fix})
}

func (d *doctor) count(s status) (n int) {
	for _, c := range d.checks {
		if c.Status == s {
			n++
		}
	}
	return n
}

func (d *doctor) report() doctorReport {
	return doctorReport{Version: 1, OK: d.count(failed) == 0, Profile: d.plan.Profile, EnvFile: d.envFile, Addr: d.addr, Checks: d.checks}
}

func (d *doctor) print(out io.Writer) {
	for _, c := range d.checks {
		fmt.Fprintf(out, "%-4s  %-18s  %s\n", c.Status, c.Name, c.Detail)
		if c.Fix != "" {
			fmt.Fprintf(out, "      %-18s  fix: %s\n", "", c.Fix)
		}
	}
	fmt.Fprintf(out, "\n%d checks: ok %d, warnings %d, failed %d, nothing to check %d\n",
		len(d.checks), d.count(good), d.count(warned), d.count(failed), d.count(skipped))
}

// verdict is the exit code; the checks are printed already.
func (d *doctor) verdict() error {
	switch n := d.count(failed); {
	case n == 0:
		return nil
	case n == 1 && slices.ContainsFunc(d.checks, func(c check) bool { return c.Name == checkToken && c.Status == failed }):
		return &exitWith{code: exitLogin}
	}
	return &exitWith{code: exitError}
}
