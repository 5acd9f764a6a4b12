package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"kitestring/cmd/kitestring/cli"
	"kitestring/cmd/kitestring/configfile"
	"kitestring/cmd/kitestring/judge"
)

// recordedReadings is the answer of "record readings".
type recordedReadings struct {
	Equal bool          `json:"equal"` // all recordings give the same readings
	Of    []tapeJudging `json:"of"`
}

type tapeJudging struct {
	Recording string `json:"recording"` // as it was named
	judge.Result
}

func recordReadingsCommand(p *cli.Program) *cobra.Command {
	var f recordFlags
	var config string
	c := f.add(p, &cobra.Command{
		Use: "readings DAY|FILE...", Short: "What the analyses make of a recording: a SHA-256 of all readings",
		Long: `Run the bars and the analyses over what is recorded, by the recording's own
clock, and print a SHA-256 of all readings: one a minute, underlying and kind. The
same packets give the same readings, however fast they came; so a recording and
one that was made of its replay ("kitestring run --replay DAY --replay-record")
have the same hash at any speed, and a changed formula shows.

Each argument is a day (2026-11-27), a file, or the folder of a day
(STATE_DIR/record/sim/day=2026-11-27). With several, exit code 1 when they differ.

History of the days before is in the recording, as far as the server had asked for
it. "direct", which asks over REST, is left out.

--config takes profile, length of bars and thresholds from a server's
configuration file.`,
		Args: cli.Args(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			settings, err := configfile.Read(config)
			if err != nil {
				return cli.Exit(cli.ExitUsage, err)
			}
			answer := recordedReadings{Equal: true, Of: []tapeJudging{}}
			for _, arg := range args {
				var days []string
				segments, err := f.segments([]string{arg}, &days)
				if err != nil {
					return err
				}
				judged, err := judge.Run(c.Context(), segments, settings, nil)
				if err != nil {
					return explained(err)
				}
				for _, d := range judged.Damage {
					fmt.Fprintf(p.Stderr, "damaged: %s: %s at byte %d; the rest of it is left out\n", d.Path, d.Reason, d.Offset)
				}
				answer.Of = append(answer.Of, tapeJudging{arg, judged})
				answer.Equal = answer.Equal && judged.SHA256 == answer.Of[0].SHA256
			}
			if f.json {
				err = p.PrintJSON(answer)
			} else {
				printJudged(p, answer)
			}
			if err == nil && !answer.Equal {
				err = cli.Exit(cli.ExitError, nil)
			}
			return err
		},
	})
	c.Flags().StringVar(&config, "config", "", "JSON file with profile, length of bars and thresholds, as \"kitestring run\" takes it")
	return c
}

func printJudged(p *cli.Program, r recordedReadings) {
	for _, one := range r.Of {
		for _, kind := range slices.Sorted(maps.Keys(one.Kinds)) {
			fmt.Fprintf(p.Stdout, "%-14s %s\n", kind, one.Kinds[kind])
		}
		fmt.Fprintf(p.Stdout, "%-14s %s  %d readings of %s\n", "all", one.SHA256, one.Readings, one.Recording)
		if one.Readings == 0 {
			fmt.Fprintln(p.Stdout, "no readings: it holds less than a minute, or was made by a version that did not record what the analyses watch")
		}
	}
	if len(r.Of) > 1 && r.Equal {
		fmt.Fprintln(p.Stdout, "equal")
	} else if len(r.Of) > 1 {
		fmt.Fprintln(p.Stdout, "DIFFERS")
	}
}
