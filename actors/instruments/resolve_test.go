package instruments

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kitestring/actors/hours"
	"kitestring/messages"
)

const day = "2006-01-02"

func TestResolve(t *testing.T) {
	for _, c := range []struct {
		name            string
		file            *sample
		now             string
		future, nextOne string // expiry of the near and the subscribed next future
		expiry          string // of the chain
		reason          string // part of it; "": none
	}{
		{"an ordinary morning", march(), "2026-03-04 10:00:00", "2026-03-30", "", "2026-03-10", ""},
		{"holiday Tuesday: the expiry is Monday's", march(), "2026-03-02 15:29:59", "2026-03-30", "", "2026-03-02", ""},
		{"from 15:30 of the expiry the next chain", march(), "2026-03-02 15:30:00", "2026-03-30", "", "2026-03-10", ""},
		{"the holiday itself", march(), "2026-03-03 12:00:00", "2026-03-30", "", "2026-03-10", ""},
		{"just before three days ahead", march(), "2026-03-27 15:29:59", "2026-03-30", "", "", "no option"},
		{"three days ahead", march(), "2026-03-27 15:30:00", "2026-03-30", "2026-04-28", "", "no option"},
		{"the last second", march(), "2026-03-30 15:29:59", "2026-03-30", "2026-04-28", "", "no option"},
		{"the roll", march(), "2026-03-30 15:30:00", "2026-04-28", "", "", "no option"},
		{"the evening of the roll", march(), "2026-03-30 23:00:00", "2026-04-28", "", "", "no option"},
		{"the last future", march(), "2026-05-25 10:00:00", "2026-05-26", "", "", "no option"},
		{"all expired", march(), "2026-05-26 15:30:00", "", "", "", "no future of NIFTY on NFO"},
		{
			"the near contract is missing", newSample().indices().futures("NFO", "NIFTY", "2026-04-28").chain("NFO", "NIFTY", "2026-03-10", 25000, 50, 30),
			"2026-03-04 10:00:00", "2026-04-28", "", "2026-03-10", "",
		},
		{
			"no future at all", newSample().indices().chain("NFO", "NIFTY", "2026-03-10", 25000, 50, 30),
			"2026-03-04 10:00:00", "", "", "2026-03-10", "no future of NIFTY on NFO",
		},
		{"no index", newSample().futures("NFO", "NIFTY", "2026-03-30"), "2026-03-04 10:00:00", "2026-03-30", "", "", "no index or share NSE:NIFTY 50"},
		{
			"another exchange's contract of the same name", newSample().indices().futures("BFO", "NIFTY", "2026-03-30").futures("NFO", "NIFTY", "2026-04-28"),
			"2026-03-04 10:00:00", "2026-04-28", "", "", "no option",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			specs := Defaults()
			now := at(t, c.now)
			for _, zone := range []*time.Location{time.UTC, time.FixedZone("New York", -5*3600)} {
				r := resolve(&specs[0], &c.file.read(t, specs).contracts[0], now.In(zone), hours.BuiltIn(), 25010, 0)
				next := ""
				if r.Next != nil {
					next = dayOf(r.Next.Expiry)
				}
				if dayOf(r.Future.Expiry) != c.future || next != c.nextOne || dayOf(r.Expiry) != c.expiry {
					t.Errorf("future %s, next %s, chain %s", dayOf(r.Future.Expiry), next, dayOf(r.Expiry))
				}
				if !strings.Contains(r.Reason, c.reason) || (r.Reason == "") != (c.reason == "") {
					t.Errorf("reason %q, want %q", r.Reason, c.reason)
				}
				checkChain(t, r, now)
			}
		})
	}
}

func dayOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(day)
}

// checkChain asserts what holds of every resolution.
func checkChain(t interface {
	Helper()
	Fatalf(string, ...any)
}, r resolved, now time.Time,
) {
	t.Helper()
	if r.Future.Token != 0 && !now.Before(rollsAt(r.Future, hours.BuiltIn())) {
		t.Fatalf("the future has expired: %+v", r.Future)
	}
	if !r.until.IsZero() && !r.until.After(now) {
		t.Fatalf("at %v the resolution ends at %v", now, r.until)
	}
	strikes := map[float64]bool{}
	for i, in := range r.Chain {
		strikes[in.Strike] = true
		if !in.Expiry.Equal(r.Expiry) || !now.Before(rollsAt(in, hours.BuiltIn())) {
			t.Fatalf("an option of another expiry: %+v", in)
		}
		if i > 0 && (in.Strike < r.Chain[i-1].Strike || in.Strike == r.Chain[i-1].Strike && in.Type < r.Chain[i-1].Type) {
			t.Fatalf("the chain is not in order at %+v", in)
		}
	}
	if len(strikes) > 2*wing+1 {
		t.Fatalf("%d strikes", len(strikes))
	}
	if len(strikes) > 0 && !strikes[r.middle] {
		t.Fatalf("the middle %v is no strike of the chain", r.middle)
	}
}

func TestChainRoundTheMoney(t *testing.T) {
	specs := Defaults()
	c := &march().read(t, specs).contracts[0]
	now := at(t, "2026-03-04 10:00:00")
	for _, k := range []struct {
		name         string
		spot, middle float64
		want         float64 // middle
		low, high    float64
		options      int
	}{
		{"the first spot", 25010, 0, 25000, 24000, 26000, 82},
		{"half way: the lower strike", 25025, 0, 25000, 24000, 26000, 82},
		{"the upper strike is nearer", 25026, 0, 25050, 24050, 26050, 82},
		{"one strike away: it stays", 25050, 25000, 25000, 24000, 26000, 82},
		{"not quite two", 25099.95, 25000, 25000, 24000, 26000, 82},
		{"two strikes away", 25100, 25000, 25100, 24100, 26100, 82},
		{"and back by one: it stays", 25050, 25100, 25100, 24100, 26100, 82},
		{"two strikes down", 24900, 25000, 24900, 23900, 25900, 82},
		{"a jump", 26012, 25000, 26000, 25000, 27000, 82},
		{"near the end of the list", 27990, 25000, 28000, 27000, 28000, 42},
		{"beyond the list", 40000, 25000, 28000, 27000, 28000, 42},
		{"no spot, but a middle of before", 0, 25500, 25500, 24500, 26500, 82},
		{"a middle of another chain", 0, 25510, 25500, 24500, 26500, 82},
	} {
		r := resolve(&specs[0], c, now, hours.BuiltIn(), k.spot, k.middle)
		if r.middle != k.want || len(r.Chain) != k.options || r.Step != 50 {
			t.Errorf("%s: middle %v, %d options, step %v", k.name, r.middle, len(r.Chain), r.Step)
			continue
		}
		if low, high := r.Chain[0].Strike, r.Chain[len(r.Chain)-1].Strike; low != k.low || high != k.high {
			t.Errorf("%s: strikes %v to %v", k.name, low, high)
		}
	}
	if r := resolve(&specs[0], c, now, hours.BuiltIn(), 0, 0); len(r.Chain) != 0 || !strings.Contains(r.Reason, "waits for its first tick") || r.Expiry.IsZero() {
		t.Errorf("without a spot: %d options, %q", len(r.Chain), r.Reason)
	}
}

// Whatever the spot does, the chain surrounds it: the middle is never two
// strikes away, and does not move while the spot stays within one.
func TestChainFollowsTheSpot(t *testing.T) {
	specs := Defaults()
	c := &march().read(t, specs).contracts[0]
	now := at(t, "2026-03-04 10:00:00")
	rapid.Check(t, func(t *rapid.T) {
		middle := 0.0
		for _, spot := range rapid.SliceOfN(rapid.Float64Range(22100, 27900), 1, 40).Draw(t, "spots") {
			r := resolve(&specs[0], c, now, hours.BuiltIn(), spot, middle)
			checkChain(t, r, now)
			if math.Abs(spot-r.middle) >= recentreAfter*50 {
				t.Fatalf("spot %v, middle %v", spot, r.middle)
			}
			if middle != 0 && math.Abs(spot-middle) <= 50 && r.middle != middle {
				t.Fatalf("spot %v moved the middle from %v to %v", spot, middle, r.middle)
			}
			middle = r.middle
		}
	})
}

func TestWants(t *testing.T) {
	specs := Defaults()
	tab := march().read(t, specs)
	now := at(t, "2026-03-27 15:30:00") // BANKNIFTY's next future, too
	var us []messages.Underlying
	for i := range specs {
		us = append(us, resolve(&specs[i], &tab.contracts[i], now, hours.BuiltIn(), []float64{25000, 60000, 82000}[i], 0).Underlying)
	}
	wants := wantsOf(slices.Concat(us, us)) // no repetition
	symbols := map[string]int{}
	for _, w := range wants {
		symbols[w.Tradingsymbol]++
		if w.Mode != messages.ModeFull || w.InstrumentToken == 0 {
			t.Errorf("%+v", w)
		}
	}
	if len(wants) != 3+3+2+82 || len(symbols) != len(wants) {
		t.Errorf("%d wants", len(wants))
	}
	for _, symbol := range []string{"NIFTY 50", "SENSEX", "NIFTY20260428FUT", "BANKNIFTY20260428FUT", "SENSEX20260430FUT", "BANKNIFTY2026033060000CE"} {
		if symbols[symbol] != 1 {
			t.Errorf("%s is wanted %d times", symbol, symbols[symbol])
		}
	}
}
