package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kitestring/actors/replay"
	"kitestring/actors/simulator"
	"kitestring/cmd/kitestring/cli"
	"kitestring/messages"
	"kitestring/messages/ist"
	"kitestring/supervisor/tree"
)

// replayFlags say what is replayed, and how.
type replayFlags struct {
	recordFlags
	what, speed, from   string
	speedFlag, fromFlag string
	record              bool // once more
}

func (f *replayFlags) add(c *cobra.Command, prefix string) {
	f.speedFlag, f.fromFlag = prefix+"speed", prefix+"from"
	c.Flags().StringVar(&f.speed, f.speedFlag, "1", "how much faster than recorded: a number, or max (as fast as it is read)")
	c.Flags().StringVar(&f.from, f.fromFlag, "", "time of the day to begin at, like 09:15 (default: where the recording begins)")
}

// open opens the recording.
func (f *replayFlags) open() (r *simulator.Recording, speed float64, err error) {
	bad := func(format string, args ...any) (*simulator.Recording, float64, error) {
		return nil, 0, cli.Misuse(format, args...)
	}
	highest := f.speed == "max"
	if speed = 1; !highest {
		if speed, err = strconv.ParseFloat(f.speed, 64); err != nil || !(speed > 0 && speed <= 10_000) {
			return bad("--%s %q: it is above 0 and at most 10000, or max", f.speedFlag, f.speed)
		}
	}
	directory := ""
	if !strings.HasSuffix(f.what, ".ks") {
		dir, err := f.directory()
		if err != nil {
			return nil, 0, err
		}
		directory = dir.Path()
	}
	stream, err := replay.Open(directory, f.what)
	if err != nil {
		return bad("%w; \"kitestring record ls --state-dir %s\" lists the days", err, f.stateDir)
	}
	defer func() {
		if err != nil {
			stream.Close()
		}
	}()
	r = &simulator.Recording{Day: stream.Day, Sequenced: stream.Sequenced(), Max: highest, Close: stream.Close}
	if f.from != "" {
		if r.From, err = time.ParseInLocation(time.DateOnly+" 15:04", stream.Day+" "+f.from, ist.Zone); err != nil {
			return bad("--%s %q: it looks like 09:15", f.fromFlag, f.from)
		}
	}
	if r.Instruments, err = stream.Instruments(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return bad("%w", err)
	}
	if r.History, err = stream.History(); err != nil {
		return bad("%w", explained(err))
	}
	r.Next = func() (time.Time, [][]byte, error) {
		b, err := stream.Next()
		return b.At, b.Packets, err
	}
	return r, speed, nil
}

// into makes a server's configuration one for a replay: with a state of its own,
// in the simulator's profile.
func (f *replayFlags) into(cfg *tree.Config, envFileNamed bool) (err error) {
	if cfg.Profile != "auto" && cfg.Profile != "sim" {
		return cli.Misuse("--profile %s with --replay: a replay runs in the profile sim; leave --profile out", cfg.Profile)
	}
	f.stateDir = cfg.StateDir
	if cfg.Sim.Tape, cfg.Sim.Speed, err = f.open(); err != nil {
		return err
	}
	cfg.Sim.RecordTape = f.record
	cfg.Profile, cfg.StateDir = "sim", filepath.Join(cfg.StateDir, "replay")
	if !envFileNamed {
		cfg.EnvFile = filepath.Join(cfg.StateDir, ".env")
	}
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return fmt.Errorf("the state directory of the replay: %w", err)
	}
	return nil
}

func replayCommand(p *cli.Program) *cobra.Command {
	var f replayFlags
	var addr, redirect, key, secret string
	c := &cobra.Command{
		Use: "replay DAY|FILE", Short: "Play a recorded day to any Kite client, as the simulated exchange does",
		Long: `Play a recorded day (2026-11-27), or one file of it, to any Kite client: the
simulated exchange with the recorded packets in place of its prices.

A client gets its instruments' packets, cut to its mode; an answer to a
subscription is the last packet before. Time is that of the recording, as
received. REST has the day's instruments, quotes of the last packets, and candles
of what was recorded. The recording runs once a client has subscribed to
all that its beginning has, or to something and then to nothing more for 5 s; a
silence of over a minute is passed over. At the end time goes on, without ticks.

One JSON line {api_url, ws_url, login_url, api_key} is printed when it listens. It
has no access control and listens on loopback only.`,
		Args: cli.Args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if err := cli.CheckLoopback("--addr", addr); err != nil {
				return cli.Exit(cli.ExitUsage, err)
			}
			f.what = args[0]
			recording, speed, err := f.open()
			if err != nil {
				return err
			}
			return simulate(c.Context(), p, simulator.Config{
				APIKey: key, APISecret: messages.NewSecret(secret), RedirectURL: redirect, Speed: speed, Tape: recording,
			}, addr)
		},
	}
	f.recordFlags.names(p, c)
	f.add(c, "")
	flags := c.Flags()
	flags.StringVar(&addr, "addr", "127.0.0.1:8421", "address to listen on (loopback; port 0: any)")
	flags.StringVar(&redirect, "redirect-url", "http://"+cli.DefaultAddr+"/callback", "where a login ends")
	flags.StringVar(&key, "api-key", tree.SimAPIKey, "the API key that it knows")
	flags.StringVar(&secret, "api-secret", tree.SimAPISecret, "the secret of that key; it protects nothing")
	return c
}
