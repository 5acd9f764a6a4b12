package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"kitestring/cmd/kitestring/cli"
	"kitestring/cmd/kitestring/rehearse"
)

// soakFlags are those that all soaks share.
type soakFlags struct {
	span time.Duration
	keep string
	json bool
}

func soakCommand(p *cli.Program) *cobra.Command {
	c := &cobra.Command{
		Use: "soak", Short: "Run a server for long and measure it",
		Long: `Run a server for long against a simulated exchange, each a process of its own,
and measure it: CPU, memory, goroutines, files, ticks lost and duplicated,
latency. A running server is not touched. Exit code 1 when a target is missed.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(soakLoadCommand(p), soakDaysCommand(p), soakPairCommand(p))
	return c
}

func (f *soakFlags) add(c *cobra.Command, span time.Duration, what string) *cobra.Command {
	flags := c.Flags()
	flags.DurationVar(&f.span, "for", span, what)
	flags.StringVar(&f.keep, "keep", "", "new or empty folder that keeps the logs, the state and the .env file (default: a temporary one)")
	flags.BoolVar(&f.json, "json", false, "print one JSON object a row, and the report as the last one")
	return c
}

func soakLoadCommand(p *cli.Program) *cobra.Command {
	var f soakFlags
	var instruments, rate, clients int
	var unrecorded bool
	c := f.add(&cobra.Command{
		Use: "load", Short: "The heaviest load, with a rotation of the token each minute",
		Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return soak(p, f, 10*time.Second, func(o rehearse.SoakOptions) (verdicts []rehearse.Verdict, err error) {
				soakHeader(p, f, rehearse.LoadHeader)
				report, err := rehearse.SoakLoad(c.Context(), rehearse.LoadOptions{SoakOptions: o, Instruments: instruments, Rate: rate, Clients: clients, Unrecorded: unrecorded})
				if err == nil {
					soakTotal(p, f, report, report.Total, report.Verdicts, report.Machine)
				}
				return report.Verdicts, err
			})
		},
	}, 10*time.Minute, "how long to measure, in minutes that are rounded up")
	c.Flags().IntVar(&instruments, "instruments", 6000, "instruments subscribed to, in full mode")
	c.Flags().IntVar(&clients, "clients", 0, "programs that stream the load through the gateway, up to 64; with 3000 instruments or fewer their latency is measured against a direct socket")
	c.Flags().BoolVar(&unrecorded, "no-record", false, "without the recorder, to compare")
	c.Flags().IntVar(&rate, "rate", 36_000, "ticks a second over all of them")
	return c
}

func soakDaysCommand(p *cli.Program) *cobra.Command {
	var f soakFlags
	var days int
	c := f.add(&cobra.Command{
		Use: "days", Short: "Whole trading days on a fast clock: flush, reminders, login, open, faults, close",
		Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return soak(p, f, time.Duration(days)*rehearse.LeastDay, func(o rehearse.SoakOptions) (verdicts []rehearse.Verdict, err error) {
				soakHeader(p, f, rehearse.DaysHeader)
				report, err := rehearse.SoakDays(c.Context(), rehearse.DaysOptions{SoakOptions: o, Days: days})
				if err == nil {
					soakTotal(p, f, report, report.Total, report.Verdicts, report.Machine)
				}
				return report.Verdicts, err
			})
		},
	}, 5*time.Minute, "how long all days together take")
	c.Flags().IntVar(&days, "days", 5, "trading days")
	return c
}

func soakPairCommand(p *cli.Program) *cobra.Command {
	var f soakFlags
	var o rehearse.PairOptions
	c := f.add(&cobra.Command{
		Use: "pair", Short: "Two servers and an edge, one of the servers hurt at a time, a rotation every two minutes",
		Long: `Run two servers with two and one of Kite's three sockets, an edge before them and
programs behind it, each server and the edge a process of its own. One server at
a time is killed, stands still or is cut off from Kite or from the edge, at
random; both get a new token every two minutes, while both are well. Ticks are
counted by the exchange's sequence, at the programs.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return soak(p, f, 10*time.Second, func(so rehearse.SoakOptions) (verdicts []rehearse.Verdict, err error) {
				so.Seed, o.SoakOptions = o.Seed, so
				soakHeader(p, f, rehearse.PairHeader)
				report, err := rehearse.SoakPair(c.Context(), o)
				if err == nil {
					soakTotal(p, f, report, report.Total, report.Verdicts, report.Machine)
				}
				return report.Verdicts, err
			})
		},
	}, time.Hour, "how long, in minutes that are rounded up")
	c.Flags().IntVar(&o.Instruments, "instruments", 300, "instruments that each program streams, in full mode")
	c.Flags().IntVar(&o.Programs, "clients", 2, "programs behind the edge")
	c.Flags().IntVar(&o.Rate, "rate", 2000, "ticks a second of the exchange")
	c.Flags().Uint64Var(&o.Seed, "seed", 0, "of what is hurt when; 0: a new one, which the report names")
	return c
}

// soak runs one in a folder of its own.
func soak(p *cli.Program, f soakFlags, least time.Duration, run func(rehearse.SoakOptions) ([]rehearse.Verdict, error)) (err error) {
	if f.span < least {
		return cli.Misuse("--for %s: it is at least %s", f.span, least)
	}
	dir := f.keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "kitestring-soak-"); err != nil {
			return fmt.Errorf("a folder for the soak: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return cli.Misuse("--keep: %w", err)
	} else if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		return cli.Exit(cli.ExitUsage, errors.Join(err, fmt.Errorf("--keep %s: the folder is not empty; name a new one", dir)))
	}
	verdicts, err := run(rehearse.SoakOptions{Options: rehearse.Options{For: f.span}, Dir: dir, Row: func(row fmt.Stringer) { soakRow(p, f, row) }})
	if err != nil {
		return err
	}
	missed := 0
	for _, v := range verdicts {
		if !v.OK {
			missed++
		}
	}
	if missed > 0 {
		return cli.Exit(cli.ExitError, fmt.Errorf("%d of %d targets missed", missed, len(verdicts)))
	}
	return nil
}

func soakHeader(p *cli.Program, f soakFlags, header string) {
	if !f.json {
		fmt.Fprintln(p.Stdout, header)
	}
}

func soakRow(p *cli.Program, f soakFlags, row fmt.Stringer) {
	if f.json {
		_ = json.NewEncoder(p.Stdout).Encode(row)
		return
	}
	fmt.Fprintln(p.Stdout, row)
}

func soakTotal(p *cli.Program, f soakFlags, report any, total fmt.Stringer, verdicts []rehearse.Verdict, m rehearse.Machine) {
	if f.json {
		_ = json.NewEncoder(p.Stdout).Encode(report)
		return
	}
	fmt.Fprintf(p.Stdout, "%s\n\n", total)
	for _, v := range verdicts {
		word := "ok    "
		if !v.OK {
			word = "MISSED"
		}
		fmt.Fprintf(p.Stdout, "%s  %-40s %s\n", word, v.Target, v.Found)
	}
	fmt.Fprintf(p.Stdout, "\n%d x %s, %s; other programs took %.0f %% of a core meanwhile (load %.1f)\n", m.CPUs, m.CPU, m.Go, m.OtherPC, m.Load)
}
