package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kitestring/messages"
	"kitestring/messages/ist"
)

func (p *program) rotationsCommand() *cobra.Command {
	return p.reading(&cobra.Command{
		Use: "rotations", Short: "The receipts of the last rotations, newest first",
		Long: `The receipts of the last rotations, newest first. Stages are milliseconds since
the file changed; "-" where a stage did not happen, "?" where the exchange does
not number its ticks. CLIENTS counts the sockets of the gateway's clients, which
streamed on; "-" without a gateway.`,
		Args: usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			var all []messages.Rotation
			if err := p.get(c.Context(), "/api/v1/rotations", &all); err != nil || p.client.json {
				return err
			}
			if len(all) == 0 {
				fmt.Fprintln(p.stdout, "no rotation yet")
				return nil
			}
			w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "GEN\tCHANGED (IST)\tSOURCE\tRESULT\tDETECTED\tVALIDATED\tDIALLED\tFIRST FRAME\tFIRST TICK\tOLD CLOSED\tTOTAL\tLOST\tREPEATED\tCLIENTS\tREASON")
			for _, r := range all {
				fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Generation, r.ChangedAt.In(ist.Zone).Format("01-02 15:04:05"), r.Source, r.Result,
					stage(r.DetectedMS), stage(r.ValidatedMS), stage(r.DialledMS), stage(r.FirstFrameMS), stage(r.FirstTickMS), stage(r.RetiredMS), stage(r.TotalMS),
					counted(r.Lost), counted(r.Repeated), clients(r.Clients), r.Reason)
			}
			return w.Flush()
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
