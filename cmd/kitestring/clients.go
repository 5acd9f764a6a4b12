package main

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
	"kitestring/messages/ist"
)

func (p *program) clientsCommand() *cobra.Command {
	c := p.reading(&cobra.Command{
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
		Args: usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			var all []api.Client
			if err := p.get(c.Context(), "/api/v1/clients", &all); err != nil || p.client.json {
				return err
			}
			if len(all) == 0 {
				fmt.Fprintln(p.stdout, "no program has a key yet: kitestring clients add NAME")
				return nil
			}
			return listClients(p.stdout, all)
		},
	})
	c.AddCommand(p.addClientCommand(), p.showClientCommand(), p.revokeClientCommand())
	return c
}

func listClients(out io.Writer, all []api.Client) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSCOPES\tSOCKETS\tLTP\tQUOTE\tFULL\tPACKETS\tCONFLATED\tREST\tREFUSED\tSINCE (IST)\tAGENT")
	for _, a := range all {
		since := "-"
		if a.Since != nil {
			since = a.Since.In(ist.Zone).Format("01-02 15:04:05")
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\n", a.Name, strings.Join(a.Scopes, ","), a.Sockets,
			a.Instruments["ltp"], a.Instruments["quote"], a.Instruments["full"], a.Packets, a.Conflated, a.Requests, a.Refusals, since, cmp.Or(a.Agent, "-"))
	}
	return w.Flush()
}

func (p *program) addClientCommand() *cobra.Command {
	var scopes []string
	c := p.acting(&cobra.Command{
		Use: "add NAME", Short: "Let a program use the gateway; prints its key, once",
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			var key api.ClientKey
			if err := p.post(c.Context(), "/api/v1/clients", api.ClientAdd{Name: args[0], Scopes: scopes}, &key); err != nil || p.client.json {
				return err
			}
			return showKey(p.stdout, key)
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

func (p *program) showClientCommand() *cobra.Command {
	return p.reading(&cobra.Command{
		Use: "show NAME", Short: "One program: its scopes, sockets, instruments and requests",
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			var one api.Client
			if err := p.get(c.Context(), "/api/v1/clients/"+url.PathEscape(args[0]), &one); err != nil || p.client.json {
				return err
			}
			return listClients(p.stdout, []api.Client{one})
		},
	})
}

func (p *program) revokeClientCommand() *cobra.Command {
	return p.acting(&cobra.Command{
		Use: "revoke NAME", Short: "Take a program's key away; its sockets drop at once",
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			var revoked map[string]string
			if err := p.call(c.Context(), http.MethodDelete, "/api/v1/clients/"+url.PathEscape(args[0]), nil, &revoked); err != nil || p.client.json {
				return err
			}
			fmt.Fprintln(p.stdout, revoked["revoked"], "is revoked")
			return nil
		},
	})
}
