package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"kitestring/cmd/kitestring/cli"
	"kitestring/cmd/kitestring/rehearse"
)

func drillCommand(p *cli.Program) *cobra.Command {
	var asJSON bool
	var options rehearse.Options
	c := &cobra.Command{
		Use: "drill [NAME...|all|list]", Short: "Inject faults into a server of its own on a simulated exchange",
		Long: `Inject faults into a server of its own on a simulated exchange: each drill
starts one in this process, injects its fault, and says whether what must hold
did, and how long the recovery took. A running server is not touched.

"list" (the default) names the drills, "all" runs every one. Exit code 1 when
one fails; a drill that this machine cannot run is skipped with its reason.`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 || len(args) == 1 && args[0] == "list" {
				return listDrills(p, asJSON)
			}
			selected, err := rehearse.Find(args)
			if err != nil {
				return cli.Exit(cli.ExitUsage, err)
			}
			failed := 0
			for _, d := range selected {
				result, err := drill(p, c, d, options)
				if err != nil {
					return err
				}
				if !result.OK {
					failed++
				}
				if err := printResult(p, result, asJSON); err != nil {
					return err
				}
			}
			if failed > 0 {
				return cli.Exit(cli.ExitError, fmt.Errorf("%d of %d drills failed", failed, len(selected)))
			}
			return nil
		},
	}
	flags := c.Flags()
	flags.BoolVar(&asJSON, "json", false, "print one JSON object a drill")
	flags.Uint64Var(&options.Seed, "seed", 0, "repeat the random choices of an earlier run; 0: a new seed, which is printed")
	flags.DurationVar(&options.For, "for", 0, "how long chaos lasts (default 3m)")
	return c
}

func drill(p *cli.Program, c *cobra.Command, d rehearse.Drill, options rehearse.Options) (result rehearse.Result, err error) {
	dir, err := os.MkdirTemp("", "kitestring-drill-")
	if err != nil {
		return result, fmt.Errorf("a folder for the drill: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	result = rehearse.Run(c.Context(), d, dir, options)
	return result, c.Context().Err()
}

func printResult(p *cli.Program, r rehearse.Result, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(p.Stdout).Encode(r)
	}
	verdict := "ok"
	switch {
	case r.Skipped:
		verdict = "skipped"
	case !r.OK:
		verdict = "FAILED"
	}
	recovery := "-"
	if r.RecoveryMS != nil {
		recovery = fmt.Sprintf("%.0f ms", *r.RecoveryMS)
	}
	_, err := fmt.Fprintf(p.Stdout, "%-22s %-8s %9s  %s\n", r.Name, verdict, recovery, r.Detail)
	return err
}

func listDrills(p *cli.Program, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(p.Stdout)
		for _, d := range rehearse.All() {
			if err := enc.Encode(map[string]any{"name": d.Name, "inject": d.Inject, "hold": d.Hold, "short": d.Short}); err != nil {
				return err
			}
		}
		return nil
	}
	w := p.Rows(p.Stdout)
	for _, d := range rehearse.All() {
		fmt.Fprintf(w, "%s\t%s\n\t-> %s\n", d.Name, d.Inject, d.Hold)
	}
	return w.Flush()
}
