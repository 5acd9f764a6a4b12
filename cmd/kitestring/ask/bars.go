package ask

import (
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"kitestring/actors/web/api"
	"kitestring/actors/web/csv"
	"kitestring/cmd/kitestring/cli"
	"kitestring/messages/ist"
)

func barsCommand(p *cli.Program) *cobra.Command {
	var interval, source, from, to string
	var limit int
	var asCSV bool
	c := p.Reading(&cobra.Command{
		Use: "bars UNDERLYING", Short: "Bars of an underlying's index or future, as a list or CSV",
		Long: `Bars of an underlying, oldest first, the running one last. --from and --to are
times like 2026-11-23T09:15:00+05:30 or days like 2026-11-23 in IST; what starts
at --to is left out.

  kitestring bars NIFTY --source future --csv > nifty.csv`,
		Args: cli.Args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			query := url.Values{"interval": {interval}, "source": {source}}
			for name, value := range map[string]string{"from": from, "to": to} {
				if value != "" {
					query.Set(name, value)
				}
			}
			if limit > 0 {
				query.Set("limit", fmt.Sprint(limit))
			}
			var bars []api.Bar
			if err := p.Get(c.Context(), "/api/v1/bars/"+url.PathEscape(args[0])+"?"+query.Encode(), &bars); err != nil || p.JSON {
				return err
			}
			if asCSV {
				return csv.Write(p.Stdout, bars)
			}
			t := &cli.Table{Head: []string{"START (IST)", "OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "OI", ""}, Ranks: []int{0, 0, 0, 0, 0, 1, 2, 3}}
			for _, b := range bars {
				note := ""
				switch {
				case !b.Closed:
					note = "runs"
				case b.Gapped:
					note = "has a gap"
				case b.Partial:
					note = "its start was not seen"
				}
				t.Add(b.Start.In(ist.Zone).Format("01-02 15:04"), fmt.Sprintf("%.2f", b.Open), fmt.Sprintf("%.2f", b.High), fmt.Sprintf("%.2f", b.Low),
					fmt.Sprintf("%.2f", b.Close), fmt.Sprint(b.Volume), fmt.Sprint(b.OI), note)
			}
			return p.Print(t)
		},
	})
	f := c.Flags()
	f.StringVar(&interval, "interval", "5m", "1m, 3m, 5m or 15m")
	f.StringVar(&source, "source", "index", "index or future")
	f.StringVar(&from, "from", "", "the first start")
	f.StringVar(&to, "to", "", "what starts here or later is left out")
	f.IntVar(&limit, "limit", 0, "at most so many, the newest (default: all that are kept)")
	f.BoolVar(&asCSV, "csv", false, "print CSV, with the names of the API's fields")
	return c
}
