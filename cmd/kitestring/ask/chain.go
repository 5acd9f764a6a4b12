package ask

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kitestring/cmd/kitestring/cli"
	"kitestring/messages"
	"kitestring/messages/ist"
)

func chainCommand(p *cli.Program) *cobra.Command {
	var expiry string
	var csv bool
	strikes := 10
	c := &cobra.Command{
		Use: "chain [UNDERLYING]", Short: "The option chain: strikes round the money, with volatilities and open interest",
		Long: `The option chain of an underlying (NIFTY unless you name another): for each strike
open interest with its change since the open, volume, volatility, delta, bid, ask
and last price, calls on the left and puts on the right. "-" where there is no such
number; --json says why.

Volatility and delta are by Black's formula of 1976 on the forward that the first
lines name. Another expiry than the nearest is subscribed to when it is asked for.`,
		Args: cli.Args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if strikes < 0 {
				return cli.Misuse("--strikes %d: it is 0 or more on either side of the money", strikes)
			}
			query := url.Values{}
			if expiry != "" {
				query.Set("expiry", expiry)
			}
			path := "/api/v1/chain/" + url.PathEscape(strings.ToUpper(strings.Join(append(args, "NIFTY")[:1], "")))
			if csv {
				if p.JSON {
					return cli.Misuse("--csv and --json exclude each other")
				}
				query.Set("format", "csv")
				return p.Get(c.Context(), path+"?"+query.Encode(), cli.CSVText{})
			}
			var chain messages.Chain
			if err := p.Get(c.Context(), path+"?"+query.Encode(), &chain); err != nil || p.JSON {
				return err
			}
			return printChain(p, chain, strikes)
		},
	}
	c.Flags().StringVar(&expiry, "expiry", "", "day of the expiry, as 2026-12-08; the nearest by default")
	c.Flags().BoolVar(&csv, "csv", false, "print a line an option, as CSV")
	c.Flags().IntVar(&strikes, "strikes", strikes, "strikes on either side of the money that are shown")
	return p.Reading(c)
}

func printChain(p *cli.Program, c messages.Chain, strikes int) error {
	s := c.Summary
	if c.Expiry == "" {
		fmt.Fprintf(p.Stdout, "%s has no option chain: %s\n", c.Underlying, c.Reason)
		return nil
	}
	text := ""
	text += fmt.Sprintf("%s %s, expires %s IST; other expiries: %s\n", c.Underlying, c.Expiry, c.Pricing.ExpiresAt.In(ist.Zone).Format("Mon 2 Jan 15:04"),
		cmp.Or(strings.Join(slices.DeleteFunc(slices.Clone(c.Expiries), func(e string) bool { return e == c.Expiry }), ", "), "none"))
	text += fmt.Sprintf("spot %s, forward %s (%s), at the money %s: volatility %s %%, straddle %s\n", amount(c.Spot.LastPrice, 2), amount(c.Pricing.Forward, 2),
		cmp.Or(c.Pricing.ForwardFrom, c.Pricing.Reason), amount(s.ATM, -1), percentage(s.ATMVol), amount(s.Straddle, 2))
	text += fmt.Sprintf("put/call ratio %s, max pain %s, call wall %s, put wall %s; newest packet %s\n", amount(s.PCR, 2), amount(s.MaxPain, -1), amount(s.CallWall, -1), amount(s.PutWall, -1), ago(c.AgeSeconds))
	for _, reason := range []string{c.Reason, s.Reason} {
		if reason != "" {
			text += reason + "\n"
		}
	}
	fmt.Fprint(p.Stdout, p.Fold(text, 2))
	t := &cli.Table{
		Head:  []string{"OI", "CHANGE", "VOLUME", "IV %", "DELTA", "BID", "ASK", "CALL", "STRIKE", "PUT", "BID", "ASK", "DELTA", "IV %", "VOLUME", "CHANGE", "OI"},
		Ranks: []int{0, 3, 5, 1, 2, 4, 4, 0, 0, 0, 4, 4, 2, 1, 5, 3, 0},
	}
	middle := slices.IndexFunc(c.Rows, func(r messages.ChainRow) bool { return r.ATM })
	for i, r := range c.Rows {
		if middle >= 0 && (i < middle-strikes || i > middle+strikes) {
			continue
		}
		strike := amount(&r.Strike, -1)
		if r.ATM {
			strike += " *"
		}
		left, right := optionCells(r.Call), optionCells(r.Put)
		slices.Reverse(right[1:3])
		right = []string{right[7], right[5], right[6], right[4], right[3], right[1], right[2], right[0]}
		t.Add(append(append(left, strike), right...)...)
	}
	return p.Print(t)
}

// optionCells are OI, change, volume, volatility, delta, bid, ask and last price.
func optionCells(o *messages.ChainOption) []string {
	if o == nil {
		return slices.Repeat([]string{"-"}, 8)
	}
	return []string{count(o.OI), count(o.OIChange), count(o.Volume), percentage(o.IV), amount(o.Delta, 2), amount(o.Bid, 2), amount(o.Ask, 2), amount(o.LastPrice, 2)}
}

// amount is a number with its digits, -1: as few as it takes; "-": there is none.
func amount(v *float64, digits int) string {
	if v == nil {
		return "-"
	}
	if digits < 0 {
		return fmt.Sprint(*v)
	}
	return fmt.Sprintf("%.*f", digits, *v)
}

func percentage(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f", 100**v)
}

func count(v *int64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprint(*v)
}
