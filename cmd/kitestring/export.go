package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kitestring/actors/tape"
	"kitestring/actors/tape/export"
	"kitestring/cmd/kitestring/cli"
)

func exportCommand(p *cli.Program) *cobra.Command {
	var f recordFlags
	var format, columns, out string
	var replace bool
	formats := []string{export.Parquet, export.CSV, export.Bars}
	c := f.add(p, &cobra.Command{
		Use: "export DAY -o DIR", Short: "Make Parquet, CSV or bars of a recorded day, for pandas, polars, DuckDB and others",
		Long: `Make files of a recorded day (2026-11-27) that other programs read:

  parquet  DIR/date=2026-11-27/exchange=NFO/ticks-0.parquet, a row a tick
  csv      DIR/ticks-2026-11-27.csv, a header and a row a tick
  bars     DIR/date=2026-11-27/exchange=NFO/bars-0.parquet, bars of a minute; gap
           marks those of which something may be missing

Rows are sorted by instrument and time of receipt (in a large day's second and
third file: other instruments). Times are UTC, ist_date is the date in India,
prices are rupees. --columns narrow is price, quantity, volume, OI and times;
full has every field of a packet, five levels of depth, and the socket. A field
that a mode does not carry is null.

A file gets its name when it was written, read back and compared. What was
damaged on disk is left out, and named.`,
		Args: cli.Args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case out == "":
				return cli.Exit(cli.ExitUsage, errors.New("-o is missing; for example: kitestring export "+args[0]+" --format parquet -o ticks"))
			case !slices.Contains(formats, format):
				return cli.Misuse("--format %q: it is one of %s", format, strings.Join(formats, ", "))
			case columns != "narrow" && columns != "full":
				return cli.Misuse("--columns %q: it is narrow or full", columns)
			}
			dir, err := f.directory()
			if err != nil {
				return err
			}
			var bar *cli.ProgressBar
			started := time.Now()
			report, err := export.Run(c.Context(), export.Config{
				Directory: dir, Day: args[0], Format: format, Full: columns == "full", Out: out, Replace: replace,
				Progress: func(done, total int64) {
					if bar == nil {
						if bar = p.Progress("exporting "+args[0], total); bar == nil {
							return
						}
					}
					bar.Set(done)
				},
			})
			bar.End()
			for _, d := range report.Damage {
				fmt.Fprintf(p.Stderr, "damaged: %s: %s at byte %d; the rest of it is left out\n", d.Path, d.Reason, d.Offset)
			}
			switch {
			case errors.Is(err, export.ErrExists):
				return cli.Misuse("%w; --replace exports it again", err)
			case errors.Is(err, tape.ErrNoDay):
				return noDay(dir, err)
			case err != nil:
				return explained(err)
			case f.json:
				return p.PrintJSON(report)
			}
			for _, path := range report.Files {
				fmt.Fprintln(p.Stdout, path)
			}
			what := "ticks"
			if format == export.Bars {
				what = fmt.Sprintf("bars of %d ticks", report.Ticks)
			}
			fmt.Fprintf(p.Stdout, "%d %s, %s (%s B a row) in %s, in %s\n", report.Rows, what, bytesOf(report.Bytes), perTick(report.Bytes, report.Rows), time.Since(started).Round(100*time.Millisecond), filepath.Clean(out))
			if report.Unnamed > 0 {
				fmt.Fprintf(p.Stderr, "%d instruments have no tradingsymbol: they are not in the instruments file of that day\n", report.Unnamed)
			}
			return nil
		},
	})
	flags := c.Flags()
	flags.StringVar(&format, "format", export.Parquet, "parquet, csv or bars")
	flags.StringVar(&columns, "columns", "narrow", "narrow or full, of ticks")
	flags.StringVarP(&out, "output", "o", "", "the folder, made when it is missing")
	flags.BoolVar(&replace, "replace", false, "replace the files of an export before")
	return c
}
