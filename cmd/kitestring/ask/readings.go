package ask

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kitestring/actors/kinds"
	"kitestring/actors/web/api"
	"kitestring/cmd/kitestring/cli"
	"kitestring/messages"
)

func readingsCommand(p *cli.Program) *cobra.Command {
	var watch, csv bool
	var about strings.Builder
	for _, k := range kinds.All() {
		about.WriteString("\n" + wrapped(fmt.Sprintf("%s (%s): %s", k.Title, k.Kind, k.About), 80) + "\n")
	}
	c := &cobra.Command{
		Use: "readings [UNDERLYING]", Short: "What the analyses say now",
		Long: `What the analyses say now, of one underlying or of all: status, signal, confidence
and coverage in percent, how old the newest input is, and why. A reading of an earlier
session is watching, never active, and says which close it is from.
` + about.String() + `
--json has every value; /api/v1/kinds explains each.`,
		Args: cli.Args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			path := "/api/v1/readings"
			if len(args) > 0 {
				path += "/" + url.PathEscape(strings.ToUpper(args[0]))
			}
			if csv {
				if p.JSON || watch {
					return cli.Misuse("--csv goes with neither --json nor --watch")
				}
				return p.Get(c.Context(), path+"?format=csv", cli.CSVText{})
			}
			show := func(ctx context.Context, p *cli.Program, out io.Writer) error {
				return printReadings(ctx, p, out, path)
			}
			if watch {
				return redraw(c.Context(), p, time.Second, show)
			}
			return show(c.Context(), p, p.Stdout)
		},
	}
	c.Flags().BoolVar(&watch, "watch", false, "redraw each second until interrupted")
	c.Flags().BoolVar(&csv, "csv", false, "print a line a reading, as CSV, without its values")
	return p.Reading(c)
}

func printReadings(ctx context.Context, p *cli.Program, out io.Writer, path string) error {
	var all []messages.Reading
	if err := p.Get(ctx, path, &all); err != nil || p.JSON {
		return err
	}
	var st api.Status
	if err := p.Get(ctx, "/api/v1/status", &st); err != nil {
		return err
	}
	t := &cli.Table{
		Head:  []string{"UNDERLYING", "ANALYSIS", "STATUS", "SIGNAL", "CONFIDENCE", "COVERAGE", "AGE", "REASON"},
		Ranks: []int{0, 0, 0, 0, 1, 3, 2, 0},
	}
	for _, r := range all {
		t.Add(r.Underlying, r.Kind, r.Status.String(), cellOr(r.Signal), fmt.Sprintf("%.0f", r.Confidence), fmt.Sprintf("%.0f %%", 100*r.Coverage), inputAge(r.AsOf, st.Market.ExchangeTime), r.Reason)
	}
	_, err := io.WriteString(out, p.Lines(t))
	return err
}

// wrapped breaks a text into lines.
func wrapped(text string, width int) string {
	lines, line := "", ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = lines+line+"\n", ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return lines + line
}

func cellOr(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// inputAge is how old an input is at the exchange's time.
func inputAge(at, now time.Time) string {
	if at.IsZero() {
		return "-"
	}
	switch age := max(0, now.Sub(at)).Round(time.Second); {
	case age < time.Minute:
		return fmt.Sprintf("%d s", int(age/time.Second))
	case age < time.Hour:
		return fmt.Sprintf("%d min", int(age/time.Minute))
	default:
		return fmt.Sprintf("%d h %d min", int(age/time.Hour), int(age%time.Hour/time.Minute))
	}
}
