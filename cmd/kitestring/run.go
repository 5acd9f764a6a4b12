package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"kitestring/cmd/kitestring/assets"
	"kitestring/cmd/kitestring/cli"
	"kitestring/cmd/kitestring/configfile"
	"kitestring/cmd/kitestring/logs"
	"kitestring/supervisor/tree"
)

// stopWithin bounds an orderly stop, flushWithin the wait for the log's reader.
const (
	stopWithin  = 10 * time.Second
	flushWithin = 2 * time.Second
)

func runCommand(p *cli.Program) *cobra.Command {
	f := &runFlags{}
	c := &cobra.Command{
		Use: "run", Short: "Run the server",
		Long: `Run the server: market feed, analyses, HTTP API, dashboard and metrics.

The access token lives in one .env file. Whatever writes it there (the dashboard's
login, "kitestring login", another program), the server moves to it within a
moment, without a restart and without losing a tick.

Without a file, or with one that the simulator wrote, the server runs on a
built-in simulator of the exchange and logs in to it by itself. A file that holds
anything else is never written to for the simulator, unless --profile sim asks for
it; real credentials are never replaced. An ADMIN_TOKEN in it has 32 characters or
more, on loopback too. ZERODHA_USER_ID names the account that a login must be of;
without it, that of the first login counts.

--config names a JSON file. It is read again at SIGHUP; a size of mailboxes and
the bus take a restart. Every field may be left out:

` + configfile.Example + `

"kitestring assets print parameters" lists the thresholds: what each means, its
default and its range. "record" is how what Kite sends is kept on disk, or "off".
"instruments" are subscribed to in addition to what the analyses need; one that
the day's instruments file does not have under its tradingsymbol is left out, and
"kitestring status" names it. "holidays" replaces the table of sessions;
"kitestring assets print runbook" has its format.

"bus", or --bus, publishes what there is to other machines and programs over NATS:
"embedded" is a NATS server in this process, on loopback, which lets every program
of the machine read; nats://HOST:PORT (tls:// for TLS) is one of its own. It may be
an object with "url" and, for each, "server" (the name in the headers, default:
the machine's) and "ticks" (instrument tokens, or "all": a message of its own for
each packet); for the embedded one "listen" (default: 127.0.0.1:4222); for another
"credentials" (a file with an nsc user, the seed of an NKey, user:password or a
token), "ca", "certificate" and "key" (files), and "shared" (true: two servers
publish there, and a lease says which; the NATS server needs JetStream). Subjects:
ks.PROFILE.md.frame.SHARD (Kite's packets in Kite's binary form),
ks.PROFILE.md.tick.EXCHANGE.TOKEN, ks.PROFILE.bar.INTERVAL.SOURCE.UNDERLYING,
ks.PROFILE.sig.KIND.UNDERLYING, ks.PROFILE.evt.NAME. "kitestring assets print
example-nats-go" and "example-nats-python" print a consumer. Orders and tokens are
never published.

--replay DAY runs the whole server on a recorded day: the simulated exchange plays
it, and its time is the server's. The recording is looked for in the state
directory; the replay has a folder "replay" in there for a .env file and a state of
its own, so that nothing of yours is touched, and is recorded with --replay-record only.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			var cfg tree.Config
			stream := logs.NewWriter(p.Stderr, func(lines uint64) {
				cfg.Log.Warn("log lines dropped: the reader of the log is too slow or gone", "lines", lines)
			})
			defer stream.Close(flushWithin)
			var err error
			f.envFileNamed = c.Flags().Changed("env-file")
			if cfg, err = f.config(p, stream); err != nil {
				return err
			}
			cfg.LogMetrics = stream.Collector()
			runbook, err := assets.Read("runbook")
			if err != nil {
				return err
			}
			cfg.Runbook = string(runbook)
			return runServer(c.Context(), p, cfg, f)
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.envFile, "env-file", ".env", "the file with the credentials and the token")
	flags.StringVar(&f.addr, "addr", p.ServerAddr(), "address to listen on")
	flags.StringVar(&f.gatewayAddr, "gateway-addr", defaultGatewayAddr, "address of the gateway, which speaks Kite's protocol to other programs; off: none")
	flags.StringVar(&f.stateDir, "state-dir", "", "folder for what must survive a restart (default: $STATE_DIRECTORY, else .kitestring beside the .env file)")
	flags.StringVar(&f.profile, "profile", "auto", "auto, sim, sandbox or live; auto is live when the file holds credentials that are not the simulator's")
	flags.StringVar(&f.logFormat, "log-format", "auto", "auto (text on a terminal, else json), text or json")
	flags.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&f.configFile, "config", "", "JSON file with underlyings, profile, bars and thresholds of the analyses, size of mailboxes, instruments, sessions")
	flags.StringVar(&f.peerAddr, "peer-addr", "", "address on which a second server, which shares the login, reaches this one (see \"kitestring peer\"), or off; in place of the configuration's peer.addr (default: none)")
	flags.StringVar(&f.bus, "bus", "", "where to publish for other machines: embedded, nats://HOST:PORT or off; in place of the configuration's url")
	f.sim.add(c, "sim-", "127.0.0.1:0", 0)
	flags.StringVar(&f.replay.what, "replay", "", "a recorded day (2026-11-27) or a file of it that runs in place of simulated prices")
	f.replay.add(c, "replay-")
	flags.BoolVar(&f.replay.record, "replay-record", false, "record the replay too, in its own state directory, to compare the two")
	return c
}

// runServer runs the server until ctx ends, then stops it in order. A hangup makes
// it read its configuration again. A server that was started in a terminal ends
// at a hangup: the terminal is gone, and nobody could stop the server any more.
func runServer(ctx context.Context, p *cli.Program, cfg tree.Config, f *runFlags) error {
	budget := logs.NewBudget(cfg.Log.Handler())
	defer budget.Report()
	cfg.Log = slog.New(budget)
	// A reader of the log that goes away must not end the server: writes fail.
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGPIPE)
	ends := endsWithTerminal(p) // asked now: a terminal that is gone is none any more
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	systemd := newNotifier(cfg.Log)
	defer systemd.close()
	cfg.Pulse = systemd.pulse
	server, err := tree.Open(ctx, cfg)
	if err != nil {
		return err
	}
	systemd.ready()
	// A person finds the address below the lines of the start, a script at once.
	var settled <-chan time.Time
	if cli.IsTerminal(p.Stdout) {
		settled = time.After(settleAfter)
	} else {
		fmt.Fprintf(p.Stdout, "kitestring %s (%s): dashboard at %s\n", version, server.Profile(), server.URL())
	}
	for running := true; running; {
		select {
		case <-ctx.Done():
			running = false
		case <-settled:
			welcome(p, server)
		case <-hangups:
			if ends {
				running = false
				break
			}
			cfg.Log.Info("hangup: env file and configuration are read again", "env_file", cfg.EnvFile, "config", f.configFile)
			reloaded, err := f.reloadable()
			if err == nil {
				err = server.Reload(reloaded)
			}
			if err != nil {
				cfg.Log.Warn("nothing was read again, everything goes on as before: correct what the error names, and send SIGHUP again", "error", err)
			}
		}
	}
	systemd.stopping()
	// The interrupt has ended ctx; the stop has a bound of its own.
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if err := server.Stop(stop); err != nil {
		return fmt.Errorf("stopped, but not everything in order: %w", err)
	}
	return nil
}

// settleAfter is when the lines of a start have passed.
const settleAfter = 2 * time.Second

// welcome says where things are, last and alone.
func welcome(p *cli.Program, server *tree.Server) {
	fmt.Fprintf(p.Stdout, "\n  Dashboard  %s\n", p.Paint(cli.Green, server.URL()))
	if at := server.SimAddr(); at != "" {
		fmt.Fprintf(p.Stdout, "  Exchange   http://%s (built in; prices are simulated)\n", at)
		fmt.Fprintf(p.Stdout, "  Its clock  curl -d '{\"speed\": 60}' http://%s/sim/v1/clock   (or {\"now\": \"2026-11-27T15:25:00+05:30\"}; GET shows it)\n", at)
	}
	fmt.Fprintln(p.Stdout)
}

// endsWithTerminal reports whether the server was started in a terminal, and
// not by nohup: it ends when that terminal is closed.
func endsWithTerminal(p *cli.Program) bool {
	return (cli.IsTerminal(p.Stdin) || cli.IsTerminal(p.Stdout) || cli.IsTerminal(p.Stderr)) && !signal.Ignored(syscall.SIGHUP)
}
