package ask

import (
	"fmt"

	"github.com/spf13/cobra"

	"kitestring/cmd/kitestring/cli"
	"kitestring/messages"
	"kitestring/messages/ist"
)

func rotationsCommand(p *cli.Program) *cobra.Command {
	return p.Reading(&cobra.Command{
		Use: "rotations", Short: "The receipts of the last rotations, newest first",
		Long: `The receipts of the last rotations, newest first. Stages are milliseconds since
the file changed; "-" where a stage did not happen, "?" where the exchange does
not number its ticks. CLIENTS counts the sockets of the gateway's clients, which
streamed on; "-" without a gateway. A start is no rotation.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			var all []messages.Rotation
			if err := p.Get(c.Context(), "/api/v1/rotations", &all); err != nil || p.JSON {
				return err
			}
			if len(all) == 0 {
				fmt.Fprintln(p.Stdout, "no rotation yet")
				return nil
			}
			t := &cli.Table{
				Head:  []string{"GEN", "CHANGED (IST)", "SOURCE", "RESULT", "DETECTED", "VALIDATED", "DIALLED", "FIRST FRAME", "FIRST TICK", "OLD CLOSED", "TOTAL", "LOST", "REPEATED", "CLIENTS", "REASON"},
				Ranks: []int{0, 0, 4, 0, 8, 11, 10, 6, 5, 9, 0, 0, 3, 7, 2},
			}
			for _, r := range all {
				t.Add(fmt.Sprint(r.Generation), r.ChangedAt.In(ist.Zone).Format("01-02 15:04:05"), string(r.Source), r.Result,
					stage(r.DetectedMS), stage(r.ValidatedMS), stage(r.DialledMS), stage(r.FirstFrameMS), stage(r.FirstTickMS), stage(r.RetiredMS), stage(r.TotalMS),
					counted(r.Lost), counted(r.Repeated), clients(r.Clients), r.Reason)
			}
			return p.Print(t)
		},
	})
}

// rotationLine is a receipt in one line.
func rotationLine(r messages.Rotation) string {
	return fmt.Sprintf("generation %d %s in %s ms (detected %s, first frame %s, first tick %s), lost %s, repeated %s",
		r.Generation, r.Result, stage(r.TotalMS), stage(r.DetectedMS), stage(r.FirstFrameMS), stage(r.FirstTickMS), counted(r.Lost), counted(r.Repeated))
}

func stage(ms *float64) string {
	if ms == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f", *ms)
}

func clients(n *int) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}

func counted(n *int64) string {
	if n == nil {
		return "?"
	}
	return fmt.Sprint(*n)
}
