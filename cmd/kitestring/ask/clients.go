package ask

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kitestring/actors/web/api"
	"kitestring/cmd/kitestring/cli"
	"kitestring/messages/ist"
)

func clientsCommand(p *cli.Program) *cobra.Command {
	c := p.Reading(&cobra.Command{
		Use: "clients", Short: "The programs that use the gateway; add, show and revoke them",
		Long: `The gateway speaks Kite's own protocol on this machine: a program written for
Kite Connect, in any language, changes its root URL to the gateway's and its
access token to a key of its own. From then on it survives every token change,
shares this server's sockets and request limits with all other programs, and
never holds the real token.

  kitestring clients add mybot           prints the key once, and the line to change
  kitestring clients                     who is connected, and what it uses
  kitestring clients revoke mybot        takes the key away; its sockets drop

Scopes: data (ticks, quotes, instruments, history), account (order updates;
reading orders, positions, holdings, funds), orders (placing them; only where the
server's configuration says {"gateway": {"orders": true}} as well).`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			var all []api.Client
			if err := p.Get(c.Context(), "/api/v1/clients", &all); err != nil || p.JSON {
				return err
			}
			if len(all) == 0 {
				fmt.Fprintln(p.Stdout, "no program has a key yet: kitestring clients add NAME")
				return nil
			}
			return listClients(p, all)
		},
	})
	c.AddCommand(addClientCommand(p), showClientCommand(p), revokeClientCommand(p))
	return c
}

func listClients(p *cli.Program, all []api.Client) error {
	t := &cli.Table{
		Head:  []string{"NAME", "SCOPES", "SOCKETS", "LTP", "QUOTE", "FULL", "PACKETS", "CONFLATED", "REST", "REFUSED", "SINCE (IST)", "AGENT"},
		Ranks: []int{0, 0, 0, 5, 5, 5, 1, 4, 3, 2, 2, 0},
	}
	for _, a := range all {
		since := "-"
		if a.Since != nil {
			since = a.Since.In(ist.Zone).Format("01-02 15:04:05")
		}
		t.Addf("%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s", a.Name, strings.Join(a.Scopes, ","), a.Sockets,
			a.Instruments["ltp"], a.Instruments["quote"], a.Instruments["full"], a.Packets, a.Conflated, a.Requests, a.Refusals, since, cmp.Or(a.Agent, "-"))
	}
	return p.Print(t)
}

func addClientCommand(p *cli.Program) *cobra.Command {
	var scopes []string
	c := p.Acting(&cobra.Command{
		Use: "add NAME", Short: "Let a program use the gateway; prints its key, once",
		Args: cli.Args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			var key api.ClientKey
			if err := p.Post(c.Context(), "/api/v1/clients", api.ClientAdd{Name: args[0], Scopes: scopes}, &key); err != nil || p.JSON {
				return err
			}
			return showKey(p.Stdout, key)
		},
	})
	c.Flags().StringSliceVar(&scopes, "scope", []string{"data"}, "what it may do: data, account, orders (a list with commas)")
	return c
}

// rootLines is the line that changes, by language: what each official client
// calls its root URL.
var rootLines = []struct{ language, line string }{
	{"Python", `kite = KiteConnect("{name}", access_token="{key}", root="http://{addr}"); ticker = KiteTicker("{name}", "{key}", root="ws://{addr}")`},
	{"JavaScript", `new KiteConnect({api_key: "{name}", access_token: "{key}", root: "http://{addr}"}); new KiteTicker({api_key: "{name}", access_token: "{key}", root: "ws://{addr}"})`},
	{"Go", `client.SetBaseURI("http://{addr}"); client.SetAccessToken("{key}"); ticker.SetRootURL(url.URL{Scheme: "ws", Host: "{addr}"})`},
	{".NET", `new Kite("{name}", "{key}", Root: "http://{addr}"); new Ticker("{name}", "{key}", Root: "ws://{addr}/")`},
	{"Java", `Routes: set _rootUrl to "http://{addr}" and _wsuri to "ws://{addr}/?access_token=:access_token&api_key=:api_key" by reflection, before the first use`},
	{"PHP", `new KiteConnect("{name}", "{key}", "http://{addr}"); new KiteTicker("{name}", "{key}", root: "ws://{addr}/")`},
}

func showKey(out io.Writer, key api.ClientKey) error {
	fmt.Fprintf(out, "name    %s\nscopes  %s\nkey     %s\n\nThe key is the program's access token; it is shown this once and stays good until\n\"kitestring clients revoke %s\". The API key may be anything, e.g. the name. Change:\n\n",
		key.Name, strings.Join(key.Scopes, ","), key.Key, key.Name)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fill := strings.NewReplacer("{addr}", key.Addr, "{key}", key.Key, "{name}", key.Name)
	for _, r := range rootLines {
		fmt.Fprintf(w, "%s\t%s\n", r.language, fill.Replace(r.line))
	}
	return w.Flush()
}

func showClientCommand(p *cli.Program) *cobra.Command {
	return p.Reading(&cobra.Command{
		Use: "show NAME", Short: "One program: its scopes, sockets, instruments and requests",
		Args: cli.Args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			var one api.Client
			if err := p.Get(c.Context(), "/api/v1/clients/"+url.PathEscape(args[0]), &one); err != nil || p.JSON {
				return err
			}
			return listClients(p, []api.Client{one})
		},
	})
}

func revokeClientCommand(p *cli.Program) *cobra.Command {
	return p.Acting(&cobra.Command{
		Use: "revoke NAME", Short: "Take a program's key away; its sockets drop at once",
		Args: cli.Args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			var revoked map[string]string
			if err := p.Call(c.Context(), http.MethodDelete, "/api/v1/clients/"+url.PathEscape(args[0]), nil, &revoked); err != nil || p.JSON {
				return err
			}
			fmt.Fprintln(p.Stdout, revoked["revoked"], "is revoked")
			return nil
		},
	})
}
