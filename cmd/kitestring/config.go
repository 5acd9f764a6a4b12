package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"

	"kitestring/actors/simulator"
	"kitestring/cmd/kitestring/cli"
	"kitestring/cmd/kitestring/configfile"
	"kitestring/messages/ist"
	"kitestring/supervisor/tree"
)

// Settings come from three places and are read here alone: flags for addresses
// and files (what they cannot express is in a configuration file), the .env file
// for credentials and endpoints, the process environment for keys that the file
// lacks.

const defaultGatewayAddr = "127.0.0.1:8430"

// runFlags are the flags of "kitestring run".
type runFlags struct {
	envFile, addr, stateDir, profile string
	gatewayAddr                      string
	configFile, bus, peerAddr        string
	envFileNamed                     bool // the flag was given
	logFormat, logLevel              string
	sim                              simFlags
	replay                           replayFlags
}

// simFlags are the simulator's flags that "run" and "sim" share.
type simFlags struct {
	addr, login, bars, sampling string
	seed                        int64
	speed                       float64
	rate, instruments           int
}

func (f *simFlags) add(c *cobra.Command, prefix, addr string, rate int) {
	flags := c.Flags()
	flags.StringVar(&f.addr, prefix+"addr", addr, "address of the simulated exchange (loopback; port 0: any)")
	flags.StringVar(&f.login, prefix+"login", "auto", "how a login to the simulator is approved: auto (by itself) or manual (by a person)")
	flags.StringVar(&f.bars, prefix+"bars", "", "folder with <underlying>_5m.csv files that the simulated prices follow")
	flags.Int64Var(&f.seed, prefix+"seed", 1, "seed of the simulated prices")
	flags.Float64Var(&f.speed, prefix+"speed", 1, "how much faster than real time the simulated exchange runs")
	flags.IntVar(&f.rate, prefix+"rate", rate, "ticks a second of the whole simulated exchange; 0: each instrument at its own pace")
	flags.StringVar(&f.sampling, prefix+"sampling", "uniform", "when sockets get packets: uniform (all at the same moments) or independent (each at its own)")
	flags.IntVar(&f.instruments, prefix+"instruments", 0, "instruments in addition to the indices and their derivatives, for load")
}

func (f *simFlags) check(prefix string) error {
	switch {
	case f.login != "auto" && f.login != "manual":
		return fmt.Errorf("--%slogin %q: it is auto or manual", prefix, f.login)
	case f.sampling != "uniform" && f.sampling != "independent":
		return fmt.Errorf("--%ssampling %q: it is uniform or independent", prefix, f.sampling)
	case f.sampling == "independent" && f.bars != "":
		return fmt.Errorf("--%ssampling independent: bars are sent to every socket; leave out --%sbars", prefix, prefix)
	case f.speed <= 0 || f.speed > 10_000:
		return fmt.Errorf("--%sspeed %g: it is above 0 and at most 10000", prefix, f.speed)
	case f.rate < 0 || f.rate > 1_000_000:
		return fmt.Errorf("--%srate %d: it is between 0 and 1000000 ticks a second", prefix, f.rate)
	case f.instruments < 0 || f.instruments > 9000:
		return fmt.Errorf("--%sinstruments %d: it is between 0 and 9000", prefix, f.instruments)
	}
	if err := cli.CheckLoopback("--"+prefix+"addr", f.addr); err != nil {
		return err
	}
	if f.bars != "" {
		if info, err := os.Stat(f.bars); err != nil || !info.IsDir() {
			return fmt.Errorf("--%sbars %s: there is no such folder", prefix, f.bars)
		}
	}
	return nil
}

// config checks the flags and makes the server's configuration of them.
func (f *runFlags) config(p *cli.Program, stream io.Writer) (tree.Config, error) {
	bad := func(err error) (tree.Config, error) {
		return tree.Config{}, cli.Exit(cli.ExitUsage, err)
	}
	if err := cli.CheckAddr(f.addr); err != nil {
		return bad(err)
	}
	if f.gatewayAddr == "off" {
		f.gatewayAddr = ""
	} else if err := cli.CheckAddrOf("--gateway-addr", f.gatewayAddr, defaultGatewayAddr); err != nil {
		return bad(fmt.Errorf("%w, or off", err))
	}
	if err := cli.CheckProfile(f.profile); err != nil {
		return bad(err)
	}
	if err := f.sim.check("sim-"); err != nil {
		return bad(err)
	}
	log, err := f.logger(p, stream)
	if err != nil {
		return bad(err)
	}
	envFile, err := filepath.Abs(f.envFile)
	if err != nil {
		return bad(fmt.Errorf("--env-file %q: %w", f.envFile, err))
	}
	cfg := tree.Config{
		EnvFile: envFile, StateDir: p.StateDir(f.stateDir, envFile), Addr: f.addr, GatewayAddr: f.gatewayAddr, GatewayOptional: f.gatewayAddr == defaultGatewayAddr, Profile: f.profile, Version: version,
		Getenv: p.Getenv, Log: log,
		Sim: tree.SimConfig{
			Addr: f.sim.addr, ManualLogin: f.sim.login == "manual", Bars: f.sim.bars, Seed: f.sim.seed,
			Speed: f.sim.speed, Rate: f.sim.rate, Instruments: f.sim.instruments,
			Sampling: simulator.Sampling(f.sim.sampling),
		},
	}
	if cfg.Reloadable, err = f.reloadable(); err != nil {
		return bad(err)
	}
	if f.replay.what != "" {
		return cfg, f.replay.into(&cfg, f.envFileNamed)
	}
	return cfg, nil
}

// reloadable is the configuration file with what flags say in its place.
func (f *runFlags) reloadable() (tree.Reloadable, error) {
	cfg, err := configfile.Read(f.configFile)
	if err != nil {
		return cfg, err
	}
	switch {
	case f.peerAddr == "off":
		cfg.PeerAddr = ""
	case f.peerAddr != "":
		if err := tree.CheckPeerAddr(f.peerAddr); err != nil {
			return cfg, fmt.Errorf("--peer-addr %w, or off", err)
		}
		cfg.PeerAddr = f.peerAddr
	}
	if f.bus == "" {
		return cfg, err
	}
	if err := configfile.CheckBus(f.bus); err != nil {
		return cfg, fmt.Errorf("--bus %w", err)
	}
	if f.bus == "off" {
		cfg.Bus = tree.BusConfig{}
	} else {
		cfg.Bus.URL = f.bus
	}
	if err := configfile.CheckBusParts(cfg.Bus); err != nil {
		return cfg, fmt.Errorf("--bus %s: %w", f.bus, err)
	}
	return cfg, nil
}

// logger writes to standard error: coloured text on a terminal, JSON elsewhere.
func (f *runFlags) logger(p *cli.Program, stream io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return nil, fmt.Errorf("--log-level %q: it is debug, info, warn or error", f.logLevel)
	}
	terminal := cli.IsTerminal(p.Stderr)
	format := f.logFormat
	if format == "auto" {
		format = "json"
		if terminal {
			format = "text"
		}
	}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(stream, &slog.HandlerOptions{Level: level})), nil
	case "text":
		return slog.New(tint.NewTextHandler(stream, &tint.Options{
			Level: level, TimeFormat: "15:04:05.000", NoColor: !terminal || p.Getenv("NO_COLOR") != "",
			ReplaceAttr: inIST,
		})), nil
	}
	return nil, errors.New("--log-format " + strings.TrimSpace(f.logFormat) + ": it is auto, text or json")
}

// inIST shows a line's time as the page does.
func inIST(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		a.Value = slog.TimeValue(a.Value.Time().In(ist.Zone))
	}
	return a
}
