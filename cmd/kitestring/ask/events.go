package ask

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"kitestring/actors/web/api"
	"kitestring/cmd/kitestring/cli"
	"kitestring/messages/ist"
)

func eventsCommand(p *cli.Program) *cobra.Command {
	var follow bool
	limit := 50
	c := p.Reading(&cobra.Command{
		Use: "events", Short: "What happened, oldest first; -f goes on with what happens",
		Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			asJSON := p.JSON
			p.JSON = false // an event a line
			var last uint64
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for first := true; ; first = false {
				var all []api.Event
				if err := p.Get(c.Context(), "/api/v1/events", &all); err != nil {
					return err
				}
				if len(all) > 0 && all[0].ID < last {
					last = 0 // the server was started again
				}
				if first {
					all = all[:min(len(all), limit)]
				}
				for _, e := range slices.Backward(all) {
					if e.ID <= last {
						continue
					}
					last = e.ID
					if asJSON {
						if err := json.NewEncoder(p.Stdout).Encode(e); err != nil {
							return err
						}
						continue
					}
					fmt.Fprint(p.Stdout, p.Fold(fmt.Sprintf("%s  %-11s  %s\n", e.At.In(ist.Zone).Format("01-02 15:04:05"), e.Kind, e.Text), 29))
				}
				if !follow {
					return nil
				}
				select {
				case <-c.Context().Done():
					return nil
				case <-tick.C:
				}
			}
		},
	})
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what happens, until interrupted")
	c.Flags().IntVar(&limit, "limit", limit, "how many of the past")
	c.Flags().Lookup("json").Usage = "print a JSON object a line"
	return c
}
