package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"kitestring/actors/simulator"
	"kitestring/cmd/kitestring/cli"
	"kitestring/messages"
	"kitestring/supervisor/tree"
)

func simCommand(p *cli.Program) *cobra.Command {
	var f simFlags
	var redirect, key, secret string
	c := &cobra.Command{
		Use: "sim", Short: "Run the simulated exchange alone, for any Kite client",
		Long: `Run the simulated exchange alone, for any Kite client: REST, WebSocket, login
page, and its admin interface under /sim/v1 (faults, token, clock, state).

One JSON line {api_url, ws_url, login_url, api_key} is printed when it listens.
It has no access control and listens on loopback only.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.check(""); err != nil {
				return cli.Exit(cli.ExitUsage, err)
			}
			return simulate(c.Context(), p, simulator.Config{
				APIKey: key, APISecret: messages.NewSecret(secret), RedirectURL: redirect, Login: simulator.Login(f.login),
				Seed: uint64(f.seed), Speed: f.speed, BarsDir: f.bars, Instruments: f.instruments, Rate: f.rate, Sequence: true, Sampling: simulator.Sampling(f.sampling),
			}, f.addr)
		},
	}
	f.add(c, "", "127.0.0.1:8421", 0)
	flags := c.Flags()
	flags.StringVar(&redirect, "redirect-url", "http://"+cli.DefaultAddr+"/callback", "where a login ends")
	flags.StringVar(&key, "api-key", tree.SimAPIKey, "the API key that it knows")
	flags.StringVar(&secret, "api-secret", tree.SimAPISecret, "the secret of that key; it protects nothing")
	return c
}

func simulate(ctx context.Context, p *cli.Program, cfg simulator.Config, addr string) error {
	ex, err := simulator.New(cfg)
	if err != nil {
		return err
	}
	if err := ex.Listen(addr); err != nil {
		return fmt.Errorf("%w. Choose another address with --addr", err)
	}
	defer ex.Close()
	if err := json.NewEncoder(p.Stdout).Encode(map[string]string{
		"api_url": ex.APIURL(), "ws_url": ex.WSURL(), "login_url": ex.LoginURL(), "api_key": ex.APIKey(),
	}); err != nil {
		return err
	}
	return ex.Serve(ctx)
}
