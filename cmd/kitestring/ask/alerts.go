package ask

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kitestring/actors/web/api"
	"kitestring/cmd/kitestring/cli"
	"kitestring/messages/ist"
)

func alertsCommand(p *cli.Program) *cobra.Command {
	c := p.Reading(&cobra.Command{
		Use: "alerts", Short: "Alerts on signals and levels, as configured; try one",
		Long: `The alerts of the configuration file: what each waits for, whether that holds now,
and when it was sent last. "run --help" shows how to write one. They go to the
channels of the .env file (NTFY_URL, TELEGRAM_BOT_TOKEN and TELEGRAM_CHAT_ID,
WEBHOOK_URL), to the page, and to the topic alert of the API's stream.

  kitestring alerts                  list them
  kitestring alerts test             send a test message over every channel
  kitestring alerts test pcr-high    send one where this alert goes`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			var all api.Alerts
			if err := p.Get(c.Context(), "/api/v1/alerts", &all); err != nil || p.JSON {
				return err
			}
			return listAlerts(p, all)
		},
	})
	c.AddCommand(testAlertCommand(p))
	return c
}

func listAlerts(p *cli.Program, all api.Alerts) error {
	if len(all.Alerts) == 0 {
		fmt.Fprintln(p.Stdout, `no alert is configured: "kitestring run --help" shows how to write one`)
	} else {
		t := &cli.Table{Head: []string{"ALERT", "UNDERLYING", "LAST SENT (IST)", "CHANNELS", "WAITS FOR", "NOW"}, Ranks: []int{0, 0, 3, 2, 1, 0}}
		for _, a := range all.Alerts {
			channels := cmp.Or(strings.Join(a.Channels, ","), "none set up")
			if len(a.Watches) == 0 {
				t.Add(a.Name, cmp.Or(a.Underlying, "each"), "-", channels, a.Condition, "no reading yet")
			}
			for _, watch := range a.Watches {
				now := "does not hold"
				switch {
				case watch.Reason != "":
					now = watch.Reason
				case watch.Holds:
					now = "holds"
				}
				last := "-"
				if watch.LastFiredAt != nil {
					last = watch.LastFiredAt.In(ist.Zone).Format("01-02 15:04:05")
				}
				t.Add(a.Name, watch.Underlying, last, channels, a.Condition, now)
			}
		}
		if err := p.Print(t); err != nil {
			return err
		}
	}
	for i, d := range all.Deliveries {
		if i == 5 {
			break
		}
		fmt.Fprintln(p.Stdout, delivered(d))
	}
	return nil
}

func delivered(d api.AlertDelivery) string {
	at := d.At.In(ist.Zone).Format("15:04:05")
	if d.Arrived {
		return fmt.Sprintf("%s IST  %s sent over %s", at, cmp.Or(d.Alert, "a test"), d.Channel)
	}
	return fmt.Sprintf("%s IST  %s over %s was given up: %s", at, cmp.Or(d.Alert, "a test"), d.Channel, d.Reason)
}

func testAlertCommand(p *cli.Program) *cobra.Command {
	wait := 30 * time.Second
	c := p.Acting(&cobra.Command{
		Use: "test [NAME]", Short: "Send a test message and say what came of it; exit 1 when one did not arrive",
		Args: cli.Args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			asJSON := p.JSON
			p.JSON = false // what is printed is what came of it
			var in api.AlertTest
			if len(args) == 1 {
				in.Name = args[0]
			}
			var sent api.AlertTested
			if err := p.Post(c.Context(), "/api/v1/alerts/test", in, &sent); err != nil {
				return err
			}
			if len(sent.Channels) == 0 {
				return errors.New("none of its channels is set up: put NTFY_URL, or TELEGRAM_BOT_TOKEN and TELEGRAM_CHAT_ID, or WEBHOOK_URL into the .env file; the page and the stream have the test")
			}
			results, err := awaitDeliveries(c.Context(), p, sent, wait)
			if err != nil {
				return err
			}
			if asJSON {
				if err := p.PrintJSON(results); err != nil {
					return err
				}
			}
			failed := len(results) < len(sent.Channels)
			for _, d := range results {
				failed = failed || !d.Arrived
				if !asJSON {
					fmt.Fprintln(p.Stdout, delivered(d))
				}
			}
			switch {
			case len(results) < len(sent.Channels):
				return fmt.Errorf("%d of %d channels have not answered within %s; the server goes on trying, and \"kitestring alerts\" says what comes of it", len(sent.Channels)-len(results), len(sent.Channels), wait)
			case failed:
				return cli.Exit(cli.ExitError, nil)
			}
			return nil
		},
	})
	c.Flags().DurationVar(&wait, "wait", wait, "how long to wait for the channels")
	return c
}

// awaitDeliveries waits until each channel's message has arrived or was given up.
func awaitDeliveries(ctx context.Context, p *cli.Program, sent api.AlertTested, most time.Duration) ([]api.AlertDelivery, error) {
	for end := time.Now().Add(most); ; {
		var all api.Alerts
		if err := p.Get(ctx, "/api/v1/alerts", &all); err != nil {
			return nil, err
		}
		results := []api.AlertDelivery{}
		for _, d := range all.Deliveries {
			if d.ID == sent.ID {
				results = append(results, d)
			}
		}
		if len(results) == len(sent.Channels) || time.Now().After(end) {
			return results, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}
