package ask

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"kitestring/cmd/kitestring/cli"
	"kitestring/messages"
	"kitestring/messages/ist"
)

func readyCommand(p *cli.Program) *cobra.Command {
	return p.Reading(&cobra.Command{
		Use: "ready", Short: "Can the trading day begin? One line a check, each with its fix",
		Long: `Can the trading day begin? One line for each thing that it needs: its state,
since when, and what to do.

States: ok; warning (it works, with a drawback); missing (do what stands under
"fix"); waiting (for another line, or for a moment); not_due (no session needs
it now); off (it is not set up). On a day without a session the first line says
when the next one begins, and nothing is missing.

Exit codes: 0 ready, 5 no server answers, 6 a check is missing or waiting.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			var r messages.Readiness
			if err := p.Get(c.Context(), "/api/v1/ready", &r); err != nil {
				return err
			}
			if !p.JSON {
				w := p.Rows(p.Stdout)
				for _, check := range r.Checks {
					fmt.Fprintf(w, "%s\t%s\tsince %s\t%s\n", check.Name, check.State, check.Since.In(ist.Zone).Format("2 Jan 15:04"), check.Detail)
					if check.Fix != "" {
						fmt.Fprintf(w, "\t\t\tfix: %s\n", check.Fix)
					}
				}
				if err := w.Flush(); err != nil {
					return err
				}
			}
			return notReady(r)
		},
	})
}

// notReady is the exit code, with what keeps the day from beginning.
func notReady(r messages.Readiness) error {
	if r.Ready {
		return nil
	}
	var names []string
	for _, c := range r.Checks {
		if c.State == messages.ReadyMissing || c.State == messages.ReadyWaiting {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		names = append(names, "the server has just started")
	}
	return cli.Exit(cli.ExitDegraded, fmt.Errorf("not ready: %s", strings.Join(names, ", ")))
}
