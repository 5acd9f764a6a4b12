package main

import (
	"strings"
	"testing"
	"time"

	"kitestring/actors/web/api"
	"kitestring/cmd/kitestring/cli"
	"kitestring/messages"
)

func TestChainAndReadingsForPeople(t *testing.T) {
	v := func(x float64) *float64 { return &x }
	n := func(x int64) *int64 { return &x }
	at := time.Date(2026, 11, 27, 4, 0, 0, 0, time.UTC)
	chain := messages.Chain{
		Underlying: "NIFTY", Expiry: "2026-12-01", Expiries: []string{"2026-12-01", "2026-12-08"}, AgeSeconds: v(0.5),
		Spot: messages.ChainPrice{LastPrice: v(27445.05)}, Pricing: messages.ChainModel{Forward: v(27465.4), ForwardFrom: "parity", ExpiresAt: at},
		Summary: messages.ChainTotals{ATM: v(27450), PCR: v(1.21), Reason: "3 of 6 options have a packet newer than 3m0s"},
	}
	for i := range 5 {
		chain.Rows = append(chain.Rows, messages.ChainRow{
			Strike: 27350 + 50*float64(i), ATM: i == 2,
			Call: &messages.ChainOption{OI: n(int64(100 + i)), LastPrice: v(161.7), IV: v(0.1302), Bid: v(161.65)},
		})
	}
	status := api.Status{At: at}
	status.Market.ExchangeTime = at
	addr := fakeServer(t, map[string]any{
		"/api/v1/chain/NIFTY": chain, "/api/v1/status": status, "/api/v1/chain/PLAIN": messages.Chain{Underlying: "PLAIN", Reason: "no option of PLAIN"},
		"/api/v1/readings": []messages.Reading{
			{Kind: "trend_base", Underlying: "NIFTY", Status: messages.Watching, Signal: "buy", Confidence: 85, Coverage: 1, AsOf: at.Add(-17*time.Hour - 48*time.Minute), Reason: "from yesterday's close: higher highs"},
			{Kind: "pcr", Underlying: "NIFTY", Reason: "no option chain is known yet"},
		},
	})
	for _, c := range []struct {
		args      []string
		code      int
		want, not []string
	}{
		{[]string{"chain", "--strikes", "1"}, cli.ExitOK, []string{
			"NIFTY 2026-12-01, expires Fri 27 Nov 09:30 IST; other expiries: 2026-12-08\n", "forward 27465.40 (parity), at the money 27450",
			"3 of 6 options", "103  -       -       13.0  -      161.65  -    161.70  27500    -    ", "27450 *",
		}, []string{"27350 ", "27550"}},
		{[]string{"chain", "plain"}, cli.ExitOK, []string{"PLAIN has no option chain: no option of PLAIN"}, nil},
		{[]string{"chain", "--csv", "--json"}, cli.ExitUsage, []string{"exclude each other"}, nil},
		{[]string{"chain", "--strikes", "-1"}, cli.ExitUsage, []string{"--strikes -1"}, nil},
		{[]string{"chain", "NIFTY", "SENSEX"}, cli.ExitUsage, nil, nil},
		{[]string{"readings"}, cli.ExitOK, []string{"trend_base  watching     buy     85          100 %     17 h 48 min  from yesterday's close: higher highs\n", "unavailable  -       0           0 %       -            no option chain is known yet"}, nil},
		{[]string{"readings", "--csv", "--watch"}, cli.ExitUsage, []string{"--csv goes with neither"}, nil},
	} {
		code, stdout, stderr := kitestring(t, t.Context(), nil, "", append(c.args, "--addr", addr)...)
		for _, want := range c.want {
			if !strings.Contains(stdout+stderr, want) {
				t.Errorf("%v: no %q in\n%s%s", c.args, want, stdout, stderr)
			}
		}
		for _, not := range c.not {
			if strings.Contains(stdout, not) {
				t.Errorf("%v: %q in\n%s", c.args, not, stdout)
			}
		}
		if code != c.code {
			t.Errorf("%v: exit %d, want %d: %s", c.args, code, c.code, stderr)
		}
	}
}
