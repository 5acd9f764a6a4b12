package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"kitestring/cmd/kitestring/assets"
	"kitestring/cmd/kitestring/cli"
)

func assetsCommand(p *cli.Program) *cobra.Command {
	var asJSON bool
	list := func(*cobra.Command, []string) error {
		if asJSON {
			return p.PrintJSON(assets.All())
		}
		w := p.Rows(p.Stdout)
		for _, a := range assets.All() {
			fmt.Fprintf(w, "%s\t%s\n", a.Name, a.About)
		}
		return w.Flush()
	}
	c := &cobra.Command{
		Use: "assets [list|print NAME]", Short: "Print the runbook, alert rules, dashboard, systemd unit and more, which the binary carries",
		Long: `Print what the binary carries for those who operate it: the runbook, the lists
of metrics and of the analyses' parameters, alert and recording rules for
Prometheus, a Grafana dashboard, a systemd unit and a Dockerfile. For example:

  kitestring assets print alerts > /etc/prometheus/kitestring-alerts.yml`,
		Args: cli.Args(cobra.NoArgs), RunE: list,
	}
	listing := &cobra.Command{Use: "list", Short: "Name what the binary carries", Args: cli.Args(cobra.NoArgs), RunE: list}
	listing.Flags().BoolVar(&asJSON, "json", false, "print a JSON list of {name, file, about}")
	c.AddCommand(listing, &cobra.Command{
		Use: "print NAME", Short: "Print one of them to standard output", Args: cli.Args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			content, err := assets.Read(args[0])
			if err != nil {
				return cli.Exit(cli.ExitUsage, err)
			}
			_, err = p.Stdout.Write(content)
			return err
		},
	})
	return c
}
