// Package doctor looks for what can keep a token from its server: in the .env
// file and its directory, the environment, the port, the redirect URL, the clock,
// at Kite, in systemd's unit, on the disk of the recording, and at the bus.
//
// Each finding has a fix in one line. Nothing is changed; a server may be running
// or not. Limits: systemd's units are looked for where Linux has them, and Kite
// is asked one question, for the profile.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"

	"kitestring/actors/token"
	"kitestring/actors/web/api"
	"kitestring/supervisor/tree/profile"
)

// Config is what a server would be started with.
type Config struct {
	EnvFile     string // with the credentials and the token
	Addr        string // on which the server listens
	Profile     string // auto, sim, sandbox or live
	StateDir    string
	Getenv      func(string) string
	UnitDirs    []string // where systemd's units lie; nil: those of the system
	DefaultAddr string   // is proposed where Addr cannot be had
}

// Report is "doctor --json". Fields are added, never renamed.
type Report struct {
	Version int     `json:"version"` // of this shape
	OK      bool    `json:"ok"`      // nothing fails
	Profile string  `json:"profile"` // the one that --profile comes to; "": none
	EnvFile string  `json:"env_file"`
	Addr    string  `json:"addr"`
	Checks  []Check `json:"checks"`
}

// Check is one finding.
type Check struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

// Status is the result of a check.
type Status string

// The results.
const (
	OK      Status = "ok"
	Warned  Status = "warn" // works, with a drawback
	Failed  Status = "fail"
	Skipped Status = "skip" // there was nothing to check here
)

// The names of the checks, in their order.
const (
	EnvFile     = "env_file"
	Permissions = "permissions"
	Parseable   = "parseable"
	Keys        = "keys"
	Environment = "environment"
	Mount       = "single_file_mount"
	Writable    = "directory_writable"
	Rename      = "rename_atomic"
	Inotify     = "inotify"
	Profile     = "profile"
	Port        = "port"
	Server      = "server"
	Redirect    = "redirect_url"
	API         = "api_reachable"
	Clock       = "clock"
	Token       = "token"
	Systemd     = "systemd"
	Recording   = "recording"
	Bus         = "bus"
	Peer        = "peer"
)

// examination is one run over all checks. Each reports one thing and how to
// repair it; later checks use what earlier ones found.
type examination struct {
	cfg Config

	file    token.Inspection
	store   *token.Store
	plan    profile.Plan
	planned bool        // plan holds
	running *api.Status // of the kitestring that listens on Addr; nil: none

	checks []Check
}

// Examine makes all checks. Its error is that the path of the file is none, or
// that ctx ended before.
func Examine(ctx context.Context, cfg Config) (Report, error) {
	path, err := filepath.Abs(cfg.EnvFile)
	if err != nil {
		return Report{}, fmt.Errorf("--env-file %q: %w", cfg.EnvFile, err)
	}
	cfg.EnvFile = path
	if cfg.UnitDirs == nil {
		cfg.UnitDirs = systemdUnitDirs
	}
	e := &examination{cfg: cfg, file: token.Inspect(path, cfg.Getenv)}
	if e.store, err = token.Open(token.StoreConfig{Path: path, Getenv: cfg.Getenv, Log: slog.New(slog.DiscardHandler)}); err != nil {
		return Report{}, fmt.Errorf("--env-file %s: %w", path, err)
	}
	for _, look := range []func(context.Context){
		e.lookAtFile, e.lookAtDirectory, e.lookAtPlan, e.lookAtPort, e.lookAtServer, e.lookAtRedirect, e.askKite, e.lookAtSystemd, e.lookAtRecording, e.lookAtBus, e.lookAtPeer,
	} {
		if look(ctx); ctx.Err() != nil {
			return Report{}, ctx.Err()
		}
	}
	r := Report{Version: 1, Profile: e.plan.Profile, EnvFile: path, Addr: cfg.Addr, Checks: e.checks}
	r.OK = r.Count(Failed) == 0
	return r, nil
}

func (e *examination) note(name string, s Status, detail, fix string) {
	e.checks = append(e.checks, Check{name, s, detail, fix})
}

// Count is how many checks ended so.
func (r Report) Count(s Status) (n int) {
	for _, c := range r.Checks {
		if c.Status == s {
			n++
		}
	}
	return n
}

// Print writes the report for a person: a line a check, its fix under it.
func (r Report) Print(out io.Writer) {
	for _, c := range r.Checks {
		fmt.Fprintf(out, "%-4s  %-18s  %s\n", c.Status, c.Name, c.Detail)
		if c.Fix != "" {
			fmt.Fprintf(out, "      %-18s  fix: %s\n", "", c.Fix)
		}
	}
	fmt.Fprintf(out, "\n%d checks: ok %d, warnings %d, failed %d, nothing to check %d\n",
		len(r.Checks), r.Count(OK), r.Count(Warned), r.Count(Failed), r.Count(Skipped))
}

// cause is an error without the path that the finding names already.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
