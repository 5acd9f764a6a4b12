package ask

import (
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"kitestring/actors/assume"
	"kitestring/actors/web/api"
	"kitestring/cmd/kitestring/cli"
	"kitestring/messages"
	"kitestring/messages/ist"
)

func assumptionsCommand(p *cli.Program) *cobra.Command {
	var share, table bool
	c := &cobra.Command{
		Use: "assumptions", Short: "What is assumed of Kite, and what was seen of each since the start",
		Long: `What is assumed of Kite: one row a fact that behaviour depends on, with its
source, what the running server has seen for and against it, and what is done
when it is false. A verdict is open (neither was seen yet), seen or contradicted;
one contradiction stands until the server is started again.

--share prints a text without secrets that you can post where others ask whether
Kite does the same for them. --table prints the table alone, as the README has
it, and needs no server.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if table {
				fmt.Fprint(p.Stdout, assume.Markdown())
				return nil
			}
			var rows []messages.AssumptionStatus
			if err := p.Get(c.Context(), "/api/v1/assumptions", &rows); err != nil || p.JSON {
				return err
			}
			if share {
				var st api.Status
				if err := p.Get(c.Context(), "/api/v1/status", &st); err != nil {
					return err
				}
				shareAssumptions(p.Stdout, rows, st)
				return nil
			}
			t := &cli.Table{Head: []string{"NAME", "VERDICT", "SEEN", "AGAINST", "FIRST AGAINST (IST)", "CLAIM"}, Ranks: []int{0, 0, 1, 2, 3, 0}}
			for _, r := range rows {
				t.Addf("%s\t%s\t%d\t%d\t%s\t%s", r.Name, r.Verdict, r.Seen, r.Contradicted, firstAgainst(r), r.Claim)
				if r.Verdict == messages.AssumptionContradicted {
					t.Addf("\t\t\t\t\tinstead: %s", r.Fallback)
				}
			}
			return p.Print(t)
		},
	}
	c.Flags().BoolVar(&share, "share", false, "print a text without secrets, to post")
	c.Flags().BoolVar(&table, "table", false, "print the table alone, without a server")
	return p.Reading(c)
}

func firstAgainst(r messages.AssumptionStatus) string {
	if r.FirstContradictedAt == nil {
		return "-"
	}
	return r.FirstContradictedAt.In(ist.Zone).Format("2 Jan 15:04")
}

// shareAssumptions writes what others may read: no account, no address, no token.
func shareAssumptions(out io.Writer, rows []messages.AssumptionStatus, st api.Status) {
	fmt.Fprintf(out, "What kitestring %s (%s, profile %s) saw of Kite in %s, on %s:\n\n", st.Process.Version, runtime.GOOS, st.Profile,
		st.At.Sub(st.Process.StartedAt).Round(time.Minute), st.At.In(ist.Zone).Format("2 January 2006"))
	for _, r := range rows {
		fmt.Fprintf(out, "- %s: %s (for: %d, against: %d). %s\n", r.Name, r.Verdict, r.Seen, r.Contradicted, r.Claim)
	}
}
