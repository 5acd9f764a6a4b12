package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"kitestring/actors/edge"
	"kitestring/cmd/kitestring/cli"
	"kitestring/messages"
	"kitestring/supervisor/tree"
)

func edgeCommand(p *cli.Program) *cobra.Command {
	var upstreams, scopes []string
	var keyFile, client string
	var cfg tree.EdgeConfig
	c := &cobra.Command{
		Use: "edge", Short: "Serve the programs of this machine from two servers, so that neither is missed",
		Long: `Run a gateway that is fed by the gateways of two servers: each packet goes on
once, from the server that brings it first. One of them may die, be restarted or
be cut off; the programs here lose no tick and get none a second time. Reads are
asked of the first server, and of the second when the first does not answer;
orders go to the first alone, at most once.

On each server, and with the keys in a file of mode 0600, one a line, in the order
of --upstream:

  kitestring clients add edge --scope data,account      prints the server's key
  kitestring edge --upstream http://A:8430 --upstream http://B:8430 --keys FILE --client mybot

Two servers of one API key share Kite's three sockets: give one of them
{"feed": {"sockets": 2}} and the other {"feed": {"sockets": 1}} in its --config.

One JSON line {addr, gateway_addr, upstreams, client} is printed when it listens;
client is {name, key, scopes}, the key shown this once, or null where the name is
known already. The edge holds no token. It carries 3000 instruments.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if cfg.Upstreams, err = readUpstreams(upstreams, keyFile); err != nil {
				return cli.Exit(cli.ExitUsage, err)
			}
			cfg.Log = slog.New(slog.NewJSONHandler(p.Stderr, nil))
			return serveEdge(c.Context(), p, cfg, client, scopes)
		},
	}
	flags := c.Flags()
	flags.StringArrayVar(&upstreams, "upstream", nil, "a server's gateway, like http://10.0.0.1:8430; the first is the primary, a second one may follow")
	flags.StringVar(&keyFile, "keys", "", "file with the key that each upstream knows the edge by, one a line")
	flags.StringVar(&cfg.Gateway, "gateway-addr", defaultGatewayAddr, "address for programs, of this machine only")
	flags.StringVar(&cfg.Addr, "addr", cli.DefaultAddr, "address of the metrics, of this machine only")
	flags.StringVar(&cfg.StateDir, "state-dir", ".kitestring-edge", "folder that keeps who may use the edge")
	flags.BoolVar(&cfg.Orders, "orders", false, "let clients with the scope place orders, at the first upstream")
	flags.StringVar(&client, "client", "", "make a client of that name, unless there is one")
	flags.StringSliceVar(&scopes, "scope", []string{"data"}, "what that client may do: data, account, orders (a list with commas)")
	return c
}

// readUpstreams pairs addresses with the lines of the file of keys.
func readUpstreams(addresses []string, keyFile string) (all []edge.Upstream, err error) {
	if len(addresses) == 0 || len(addresses) > 2 {
		return nil, fmt.Errorf("%d upstreams: name one or two with --upstream http://HOST:8430", len(addresses))
	}
	if keyFile == "" {
		return nil, fmt.Errorf("--keys is missing: a file with the key of \"kitestring clients add edge\" of each upstream, one a line")
	}
	if info, err := os.Stat(keyFile); err == nil && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("--keys %s can be read by others: chmod 600 %s", keyFile, keyFile)
	}
	text, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("--keys: %w", err)
	}
	keys := strings.Fields(string(text))
	if len(keys) != len(addresses) {
		return nil, fmt.Errorf("--keys %s has %d keys for %d upstreams: one a line, in their order", keyFile, len(keys), len(addresses))
	}
	for i, address := range addresses {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "http" || u.Host == "" || u.Port() == "" || strings.Trim(u.Path, "/") != "" {
			return nil, fmt.Errorf("--upstream %q: it looks like http://10.0.0.1:8430", address)
		}
		all = append(all, edge.Upstream{Addr: u.Host, Key: messages.NewSecret(keys[i])})
	}
	return all, nil
}

type edgeClient struct {
	Name   string   `json:"name"`
	Key    string   `json:"key"`
	Scopes []string `json:"scopes"`
}

func serveEdge(ctx context.Context, p *cli.Program, cfg tree.EdgeConfig, client string, scopes []string) error {
	e, err := tree.OpenEdge(ctx, cfg)
	if err != nil {
		return err
	}
	line := struct {
		Addr        string      `json:"addr"`
		GatewayAddr string      `json:"gateway_addr"`
		Upstreams   []string    `json:"upstreams"`
		Client      *edgeClient `json:"client"`
	}{Addr: e.Addr(), GatewayAddr: e.GatewayAddr()}
	for _, up := range cfg.Upstreams {
		line.Upstreams = append(line.Upstreams, up.Addr)
	}
	if client != "" {
		key, added, err := e.AddClient(client, scopes)
		if err != nil {
			return fmt.Errorf("--client: %w", err)
		}
		if added {
			line.Client = &edgeClient{client, key.Reveal(), scopes}
		}
	}
	if err := json.NewEncoder(p.Stdout).Encode(line); err != nil {
		return err
	}
	<-ctx.Done()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	return e.Stop(stop)
}
