// Package analyse is "kitestring analyse": the analyses over a file of bars, without a
// server.
package analyse

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kitestring/actors/analysis"
	"kitestring/actors/barfile"
	"kitestring/cmd/kitestring/cli"
	"kitestring/cmd/kitestring/configfile"
)

// Command is "kitestring analyse".
func Command(p *cli.Program) *cobra.Command {
	var bars, profile, config string
	var kinds []string
	var asJSON bool
	c := &cobra.Command{
		Use: "analyse --bars FILE", Short: "Run the bar-based analyses over a file of bars, without a server",
		Long: fmt.Sprintf(`Run the bar-based analyses over a file of bars, without a server: one reading
per bar and kind, each judged from the bars up to it.

The file is CSV with a column for the time (time_ist, date, datetime, timestamp
or time) and open, high, low, close, volume in any order (others are ignored), or
JSON: the raw answer of Kite's historical API, or a list of candles with the same
fields. A volume may be absent, as an index's is. What was left out of the file,
and why, is reported on standard error; a file that cannot be used is refused
with the line and the reason.

Kinds: %s.

--config takes the profile and the thresholds from a server's configuration
file, so that both compute with the same numbers; --profile overrules it, and
the bars keep their own length. "kitestring assets print parameters" lists the
thresholds: what each means, its default and its range.

With --json, one object a line: {time_ist, kind, output} in profile classic, the
fields of a reading in calibrated.`, strings.Join(analysis.FileKinds(), ", ")),
		Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if bars == "" {
				return cli.Misuse("--bars is missing; for example: kitestring analyse --bars nifty_5m.csv --json")
			}
			formula, thresholds, err := formulas(config, profile, c.Flags().Changed("profile"))
			if err != nil {
				return cli.Exit(cli.ExitUsage, err)
			}
			for _, kind := range kinds {
				if !slices.Contains(analysis.FileKinds(), kind) {
					return cli.Misuse("--kind %q: it is one of %s", kind, strings.Join(analysis.FileKinds(), ", "))
				}
			}
			loaded, err := loadBars(p, bars, formula)
			if err != nil {
				return err
			}
			out := bufio.NewWriter(p.Stdout)
			show := func(l barfile.Line) error { return printLine(out, l) }
			if asJSON {
				enc := json.NewEncoder(out)
				show = func(l barfile.Line) error { return enc.Encode(l) }
			}
			err = barfile.Analyse(loaded, formula, thresholds, kinds, func(l barfile.Line) error {
				if err := c.Context().Err(); err != nil {
					return err
				}
				return show(l)
			})
			return errors.Join(err, out.Flush())
		},
	}
	f := c.Flags()
	f.StringVar(&bars, "bars", "", "the file (CSV or JSON)")
	f.StringVar(&profile, "profile", string(analysis.Calibrated), "the formulas: calibrated, or classic (the predecessor's, with their faults)")
	f.StringVar(&config, "config", "", "JSON file with profile and thresholds of the analyses, as \"kitestring run\" takes it")
	f.StringSliceVar(&kinds, "kind", nil, "only these kinds (default: all that judge bars)")
	f.BoolVar(&asJSON, "json", false, "print one JSON object a bar and kind")
	return c
}

// formulas are what to compute with: the file's choice, if there is a file, and
// the flag's profile where it was typed.
func formulas(config, profile string, typed bool) (analysis.Profile, analysis.Thresholds, error) {
	formula, err := analysis.ParseProfile(profile)
	if err != nil || profile == "" {
		return "", nil, fmt.Errorf("--profile %q: it is calibrated or classic", profile)
	}
	cfg, err := configfile.Read(config)
	if err != nil {
		return "", nil, err
	}
	if cfg.AnalysisProfile != "" && !typed {
		formula = cfg.AnalysisProfile
	}
	if formula == analysis.Classic && len(cfg.Thresholds) > 0 {
		return "", nil, fmt.Errorf("--profile classic with --config %s: %w", config, configfile.ErrClassicIsFixed)
	}
	return formula, cfg.Thresholds, nil
}

// loadBars reads the file and reports on standard error what became of it.
func loadBars(p *cli.Program, path string, profile analysis.Profile) (barfile.Loaded, error) {
	f, err := os.Open(path)
	if err == nil {
		defer f.Close()
		var info fs.FileInfo
		if info, err = f.Stat(); err == nil && info.IsDir() {
			err = errors.New("it is a folder; name one file in it")
		}
	}
	if err != nil {
		return barfile.Loaded{}, cli.Misuse("--bars %s: %w", path, cli.Cause(err))
	}
	loaded, err := barfile.Load(f, path, profile)
	if err != nil {
		return loaded, err
	}
	printReport(p.Stderr, filepath.Base(path), loaded)
	return loaded, nil
}

// mostDropped bounds the lines of a report; what is wrong with a file shows in
// its first ones.
const mostDropped = 50

func printReport(out io.Writer, name string, l barfile.Loaded) {
	fmt.Fprintf(out, "%s: %s, bars of %g minutes: %d of %d rows kept\n", name, l.Symbol, l.Interval.Minutes(), l.Report.Kept, l.Report.Rows)
	for i, d := range l.Report.Dropped {
		if i == mostDropped {
			fmt.Fprintf(out, "  dropped: %d more rows\n", len(l.Report.Dropped)-i)
			break
		}
		fmt.Fprintf(out, "  dropped: line %d (%s): %s\n", d.Line, d.Time, d.Reason)
	}
	for _, note := range l.Report.Notes {
		fmt.Fprintf(out, "  note: %s\n", note)
	}
}

// printLine is a reading in one line, for people.
func printLine(out io.Writer, l barfile.Line) error {
	text := "unavailable"
	if l.Reading == nil {
		data, err := json.Marshal(l.Output)
		if err != nil {
			return err
		}
		text = string(data)
	} else if r := l.Reading; r.Signal != "" {
		text = fmt.Sprintf("%-8s %-12s %3.0f", r.Status, r.Signal, r.Confidence)
	}
	if r := l.Reading; r != nil && r.Reason != "" {
		text += "  " + r.Reason
	}
	_, err := fmt.Fprintf(out, "%s  %-13s %s\n", l.TimeIST, l.Kind, text)
	return err
}
