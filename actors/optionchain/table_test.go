package optionchain

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kitestring/actors/hours"
	"kitestring/messages"
	"kitestring/messages/ist"
)

func TestOpenInterestOfTheOpen(t *testing.T) {
	var o OpenInterest
	at := func(s string) int64 { return clock(t, s).Unix() }
	expiry := clock(t, "2026-03-03 00:00:00")
	note := func(instrument uint32, when string, oi int64) (int64, bool) {
		return o.Note(hours.BuiltIn(), instrument<<8+2, expiry, at(when), oi)
	}
	if oi, ok := note(7, "2026-03-02 09:15:03", 500); oi != 500 || !ok {
		t.Error(oi, ok)
	}
	if oi, ok := note(7, "2026-03-02 12:00:00", 900); oi != 500 || !ok {
		t.Error("the day's first is kept", oi, ok)
	}
	if oi, ok := note(8, "2026-03-02 12:00:00", 900); oi != 900 || ok {
		t.Error("noon is not the open", oi, ok)
	}
	if oi, ok := note(7, "2026-03-04 09:10:00", 700); oi != 700 || !ok {
		t.Error("a new day", oi, ok)
	}
	expiry = expiry.AddDate(0, 0, 7)
	if oi, _ := note(7, "2026-03-04 09:15:01", 1); oi != 1 {
		t.Error("a recycled instrument token has a past", oi)
	}
}

// Ratios, walls and max pain against sums over everything.
func TestTotalsAgainstBruteForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var positions []Position
		for i := range rapid.IntRange(1, 12).Draw(t, "strikes") {
			for _, put := range []bool{false, true} {
				if rapid.Bool().Draw(t, "there") {
					positions = append(positions, Position{
						Strike: 1000 + 50*float64(i), Put: put, OI: rapid.Int64Range(0, 100).Draw(t, "oi"), Volume: rapid.Int64Range(0, 9).Draw(t, "volume"),
						OpenOI: rapid.Int64Range(0, 100).Draw(t, "open"), HasOpen: rapid.Bool().Draw(t, "seen"),
					})
				}
			}
		}
		calls, puts := Sum(positions)
		var pain *float64
		least := math.Inf(1)
		for _, at := range positions {
			paid := 0.0
			for _, p := range positions {
				in := at.Strike - p.Strike
				if p.Put {
					in = -in
				}
				paid += max(0, in) * float64(p.OI)
			}
			if paid < least {
				pain, least = ptr(at.Strike), paid
			}
		}
		if got := MaxPain(positions); !reflect.DeepEqual(got, pain) {
			t.Fatalf("max pain %v, want %v", got, pain)
		}
		for put, got := range map[bool]Side{false: calls, true: puts} {
			side := slices.DeleteFunc(slices.Clone(positions), func(p Position) bool { return p.Put != put })
			want := Side{Known: len(side)}
			for i, p := range side {
				want.OI, want.Volume = want.OI+float64(p.OI), want.Volume+float64(p.Volume)
				if p.HasOpen {
					want.With, want.Change = want.With+1, want.Change+float64(p.OI-p.OpenOI)
				}
				first := slices.IndexFunc(side, func(o Position) bool { return o.OI >= p.OI })
				if p.OI > 0 && first == i && !slices.ContainsFunc(side, func(o Position) bool { return o.OI > p.OI }) {
					want.Largest, want.LargestOI = p.Strike, p.OI
				}
			}
			if got != want {
				t.Fatalf("puts %t: %+v, want %+v", put, got, want)
			}
		}
		ratio := Ratio(puts.OI, calls.OI)
		if (ratio == nil) != (calls.OI == 0) || ratio != nil && math.Abs(*ratio-puts.OI/calls.OI) > 0.005+1e-9 {
			t.Fatalf("%v of %v and %v", ratio, puts.OI, calls.OI)
		}
	})
}

func clock(t testing.TB, s string) time.Time {
	t.Helper()
	at, err := time.ParseInLocation(time.DateTime, s, ist.Zone)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

var limits = Limits{Fresh: 3 * time.Minute, Coverage: 0.6}

// whole is a chain of n strikes round 25000 as a quiet market quotes it a second
// ago: spot 25010, forward 25020, volatility 13 %.
func whole(t testing.TB, n int, now, expires time.Time) *Table {
	at := now.Add(-time.Second)
	table := &Table{
		Underlying: "NIFTY", Expiry: ist.Day(expires), Expiries: []time.Time{ist.Day(expires)}, ExpiresAt: expires,
		Spot: Price{Symbol: "NIFTY 50", Last: 25010, At: at}, Future: Price{Symbol: "NIFTY26DECFUT", Last: 25090, At: at, Expiry: ist.Day(expires).AddDate(0, 0, 28)},
	}
	for i := range n {
		strike := 25000 + 50*float64(i-n/2)
		for _, kind := range []string{"CE", "PE"} {
			c := Contract{Put: kind == "PE", Strike: strike, Forward: 25020, Years: expires.Sub(now).Hours() / 365 / 24, Rate: Rate}
			price := c.Price(0.13)
			table.Options = append(table.Options, Option{
				Instrument: messages.Instrument{Token: uint32(len(table.Options)), Tradingsymbol: "X" + kind, Strike: strike, Type: kind},
				Last:       price, Close: price + 1, Bid: max(0, price-0.01), Ask: price + 0.01, BidQuantity: 75, AskQuantity: 75, Volume: 10, OI: 1000,
				Full: true, At: at, TradedAt: at, BookAt: at, OpenOI: 900, HasOpen: true,
			})
		}
	}
	return table
}

func TestChainOfAQuietMarket(t *testing.T) {
	now, expires := clock(t, "2026-12-02 11:00:00"), clock(t, "2026-12-08 15:40:00")
	c := whole(t, 9, now, expires).Chain(now, true, limits)
	if c.Reason != "" || c.Summary.Reason != "" || c.Pricing.Reason != "" || !c.Current || c.Session != "2026-12-02" || *c.AgeSeconds != 1 {
		t.Errorf("%+v", c)
	}
	if p := c.Pricing; p.ForwardFrom != "parity" || math.Abs(*p.Forward-25020) > 0.011 || math.Abs(p.Years-(6*24+4+40./60)/365/24) > 1e-9 ||
		!slices.Equal(p.ParityStrikes, []float64{24900, 24950, 25000, 25050, 25100}) {
		t.Errorf("%+v", p)
	}
	for _, r := range c.Rows {
		for _, o := range []*messages.ChainOption{r.Call, r.Put} {
			if len(o.Reasons) > 0 || math.Abs(*o.IV-0.13) > 1e-4 || o.IVFrom != "mid" || *o.OIChange != 100 || *o.Change != -1 {
				t.Errorf("%v: %+v iv %v", r.Strike, o, *o.IV)
			}
		}
		if math.Abs(*r.Call.Delta-*r.Put.Delta-math.Exp(-Rate*c.Pricing.Years)) > 1e-3 || r.ATM != (r.Strike == 25000) {
			t.Errorf("%v: deltas %v %v, at the money %t", r.Strike, *r.Call.Delta, *r.Put.Delta, r.ATM)
		}
	}
	s := c.Summary
	if *s.PCR != 1 || *s.PCRVolume != 1 || *s.PCRChange != 1 || *s.CallOI != 9000 || *s.ATM != 25000 || s.Coverage != 1 || *s.MaxPain != 25000 || *s.CallWall != 24800 || math.Abs(*s.ATMVol-0.13) > 1e-4 {
		t.Errorf("%+v", s)
	}
	call, put := *c.Rows[4].Call.LastPrice, *c.Rows[4].Put.LastPrice
	if math.Abs(*s.Straddle-call-put) > 0.006 {
		t.Errorf("straddle %v of %v and %v", *s.Straddle, call, put)
	}
}

// What a chain says in sum against sums over its rows.
func TestSummaryAgainstBruteForce(t *testing.T) {
	now, expires := clock(t, "2026-12-02 11:00:00"), clock(t, "2026-12-08 15:40:00")
	rapid.Check(t, func(rt *rapid.T) {
		table := whole(t, 9, now, expires)
		for i := range table.Options {
			o := &table.Options[i]
			o.OI, o.Volume, o.OpenOI = rapid.Int64Range(0, 1000).Draw(rt, "oi"), rapid.Int64Range(0, 1000).Draw(rt, "volume"), rapid.Int64Range(0, 1000).Draw(rt, "open")
		}
		c := table.Chain(now, true, limits)
		var oi, volume, change, largest [2]float64 // of calls and puts
		var wall [2]*float64
		paid := map[float64]float64{}
		for _, r := range c.Rows {
			for i, o := range []*messages.ChainOption{r.Call, r.Put} {
				n := float64(*o.OI)
				oi[i], volume[i], change[i] = oi[i]+n, volume[i]+float64(*o.Volume), change[i]+float64(*o.OIChange)
				if n > largest[i] {
					largest[i], wall[i] = n, ptr(r.Strike)
				}
				for _, at := range c.Rows {
					in := at.Strike - r.Strike
					if i == 1 {
						in = -in
					}
					paid[at.Strike] += max(0, in) * n
				}
			}
		}
		s := c.Summary
		equal := func(name string, got *float64, above, below float64) {
			if (got == nil) != (below == 0) || got != nil && math.Abs(*got-above/below) > 0.005+1e-9 {
				rt.Fatalf("%s %v of %v and %v", name, got, above, below)
			}
		}
		equal("PCR", s.PCR, oi[1], oi[0])
		equal("PCR of the volume", s.PCRVolume, volume[1], volume[0])
		equal("PCR of the change", s.PCRChange, change[1], change[0])
		if *s.CallOI != oi[0] || *s.PutOI != oi[1] || *s.CallOIChange != change[0] || *s.PutOIChange != change[1] {
			rt.Fatalf("%+v: open interest %v, change %v", s, oi, change)
		}
		if !reflect.DeepEqual([2]*float64{s.CallWall, s.PutWall}, wall) {
			rt.Fatalf("walls %v and %v, want %v", s.CallWall, s.PutWall, wall)
		}
		for strike, sum := range paid {
			if s.MaxPain != nil && sum < paid[*s.MaxPain] {
				rt.Fatalf("max pain %v pays %v, %v pays %v", *s.MaxPain, paid[*s.MaxPain], strike, sum)
			}
		}
	})
}

// What the quotes do not give is nil, with the reason.
func TestNothingIsInvented(t *testing.T) {
	now, expires := clock(t, "2026-12-02 11:00:00"), clock(t, "2026-12-08 15:40:00")
	const at = 8 // the call at the money
	for _, c := range []struct {
		name   string
		change func(*Table, *Option)
		reason string
		kept   bool // there is a volatility all the same
	}{
		{"no packet", func(_ *Table, o *Option) { *o = Option{Instrument: o.Instrument} }, "no packet yet", false},
		{"no bid", func(_ *Table, o *Option) { o.Bid, o.TradedAt = 0, time.Time{} }, "no volatility: no bid, no trade within 1m0s", false},
		{"a bid of nothing", func(_ *Table, o *Option) { o.BidQuantity, o.TradedAt = 0, time.Time{} }, "no volatility: no bid, no trade within 1m0s", false},
		{"no ask", func(_ *Table, o *Option) { o.Ask, o.TradedAt = 0, now.Add(-2*time.Minute) }, "no volatility: no ask, no trade within 1m0s", false},
		{"no book", func(_ *Table, o *Option) { o.Bid, o.Ask, o.TradedAt = 0, 0, time.Time{} }, "no volatility: no bid and no ask, no trade within 1m0s", false},
		{"crossed", func(_ *Table, o *Option) { o.Bid, o.Ask, o.TradedAt = 170, 160, time.Time{} }, "no volatility: crossed: bid 170.00 above ask 160.00, no trade within 1m0s", false},
		{"no book, but a trade of now", func(_ *Table, o *Option) { o.Bid, o.Ask = 0, 0 }, "", true},
		{"under exercise", func(_ *Table, o *Option) { o.Bid, o.Ask = 1, 1.05 }, "no volatility: the price is not above what exercise would bring", false},
		{"stale", func(_ *Table, o *Option) { o.At = now.Add(-4 * time.Minute) }, "no volatility: the packet is 4m0s old", false},
		{"another mode", func(_ *Table, o *Option) { o.Full = false }, "no open interest and no depth in this mode", true},
		{"the open was not seen", func(_ *Table, o *Option) { o.HasOpen = false }, "the open was not seen: no change of the open interest", true},
	} {
		table := whole(t, 9, now, expires)
		c.change(table, &table.Options[at])
		chain := table.Chain(now, true, limits)
		o := chain.Rows[4].Call
		if got := strings.Join(o.Reasons, "; "); got != c.reason {
			t.Errorf("%s: %q", c.name, got)
		}
		if (o.IV != nil) != c.kept || (o.Delta != nil) != c.kept || (o.IVFrom != "") != c.kept {
			t.Errorf("%s: volatility %v, delta %v of %q", c.name, o.IV, o.Delta, o.IVFrom)
		}
		if chain.Pricing.ForwardFrom != "parity" || math.Abs(*chain.Pricing.Forward-25020) > 0.1 {
			t.Errorf("%s: forward %+v", c.name, chain.Pricing)
		}
	}
}

func TestChainsThatAreNot(t *testing.T) {
	now, expires := clock(t, "2026-12-02 11:00:00"), clock(t, "2026-12-08 15:40:00")
	t.Run("an underlying without options", func(t *testing.T) {
		c := (&Table{Underlying: "X", Reason: "no option of X on NFO that has not expired in the instruments file"}).Chain(now, true, limits)
		if c.Rows == nil || len(c.Rows) != 0 || c.Expiries == nil || c.Expiry != "" || !strings.HasPrefix(c.Reason, "no option of X") || c.Summary.PCR != nil || c.Pricing.Forward != nil {
			t.Errorf("%+v", c)
		}
	})
	t.Run("no packet of any option", func(t *testing.T) {
		table := whole(t, 3, now, expires)
		for i := range table.Options {
			table.Options[i] = Option{Instrument: table.Options[i].Instrument}
		}
		c := table.Chain(now, true, limits)
		if len(c.Rows) != 3 || c.AsOf != nil || c.Session != "" || c.Summary.Reason != "no option has had a packet yet" || c.Pricing.Reason == "" {
			t.Errorf("%+v", c)
		}
	})
	t.Run("half of it is stale", func(t *testing.T) {
		table := whole(t, 3, now, expires)
		for i := range 3 {
			table.Options[i].At = now.Add(-time.Hour)
		}
		c := table.Chain(now, true, limits)
		if c.Summary.PCR != nil || c.Summary.MaxPain != nil || c.Summary.Coverage != 0.5 || c.Summary.Reason != "3 of 6 options have a packet newer than 3m0s" {
			t.Errorf("%+v", c.Summary)
		}
	})
	t.Run("no spot", func(t *testing.T) {
		table := whole(t, 3, now, expires)
		table.Spot.At, table.Spot.Last = time.Time{}, 0
		c := table.Chain(now, true, limits)
		if c.Summary.ATM != nil || c.Summary.Straddle != nil || c.Summary.PCR == nil || c.Summary.Reason != "no fresh price of NIFTY 50" || c.Rows[1].Call.IV == nil {
			t.Errorf("%+v", c.Summary)
		}
	})
	t.Run("no whole book", func(t *testing.T) {
		table := whole(t, 3, now, expires)
		for i := range table.Options {
			table.Options[i].Ask = 0
		}
		if c := table.Chain(now, true, limits); c.Pricing.Forward != nil || c.Pricing.Reason == "" || c.Rows[1].Call.IV != nil {
			t.Errorf("%+v", c.Pricing)
		}
		table.Future.Expiry = table.Expiry // it expires with the options
		if c := table.Chain(now, true, limits); *c.Pricing.Forward != 25090 || c.Pricing.ForwardFrom != "future" || c.Rows[1].Call.IV == nil {
			t.Errorf("%+v", c.Pricing)
		}
	})
	t.Run("quotes of another world", func(t *testing.T) {
		table := whole(t, 3, now, expires)
		table.Spot.Last = 18000
		if c := table.Chain(now, true, limits); c.Pricing.Forward != nil || !strings.Contains(c.Pricing.Reason, "away from the spot") || c.Rows[1].Call.IV != nil {
			t.Errorf("%+v", c.Pricing)
		}
	})
	t.Run("15:29 of the day of expiry", func(t *testing.T) {
		last := clock(t, "2026-12-08 15:29:00")
		c := whole(t, 9, last, expires).Chain(last, true, limits)
		if o := c.Rows[4].Call; o.IV == nil || math.Abs(*o.IV-0.13) > 0.01 {
			t.Errorf("eleven minutes before the end: %+v", o)
		}
		if o := c.Rows[8].Call; o.IV != nil || len(o.Reasons) != 1 { // worth nothing: no bid
			t.Errorf("out of the money: %+v", o)
		}
		last = clock(t, "2026-12-08 15:39:59") // each strike is worth nothing on one side
		if c := whole(t, 9, last, expires).Chain(last, true, limits); c.Pricing.Forward != nil || c.Rows[4].Call.IV != nil || c.Summary.PCR == nil {
			t.Errorf("at the last second: %+v", c.Pricing)
		}
		table := whole(t, 9, last, expires)
		for i := range table.Options {
			table.Options[i].At = expires
		}
		c = table.Chain(expires, true, limits)
		if o := c.Rows[4].Call; o.IV != nil || o.Delta != nil || !slices.Contains(o.Reasons, "no volatility: no time is left to expiry") {
			t.Errorf("at the end: %+v", o)
		}
	})
	t.Run("the next morning", func(t *testing.T) {
		table := whole(t, 9, now, expires)
		for _, open := range []bool{false, true} {
			c := table.Chain(clock(t, "2026-12-03 09:15:02"), open, limits)
			if c.Current || c.Session != "2026-12-02" || c.Reason != "from the close of 2026-12-02" || (c.Summary.PCR == nil) != open || (c.Rows[4].Call.IV == nil) != open {
				t.Errorf("open %t: %+v", open, c)
			}
		}
	})
}

// A chain of 41 strikes, whole: at most 200 microseconds.
func BenchmarkChain(b *testing.B) {
	now, expires := clock(b, "2026-12-02 11:00:00"), clock(b, "2026-12-08 15:40:00")
	table := whole(b, 41, now, expires)
	b.ReportAllocs()
	for b.Loop() {
		if c := table.Chain(now, true, limits); c.Summary.PCR == nil {
			b.Fatal(c.Summary.Reason)
		}
	}
}
