package instruments

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kitestring/actors/actorstest"
	"kitestring/actors/hours"
	"kitestring/messages"
)

// A file without one exchange is used, said, and fetched again until it is
// whole; then there is peace.
func TestFileWithoutAnExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "2026-03-27 09:00:00")
		w.adopted = session(1)
		w.price(25010, 60020, 82010)
		w.answer = file(without(whole().String(), ",BFO"))
		h := w.start()
		settle()
		got := last[messages.InstrumentsResolved](h)
		if len(got.Notices) != 1 || !strings.Contains(got.Notices[0], "SENSEX has no future, no option") || !strings.Contains(got.Notices[0], "fetched again") {
			t.Fatalf("notices %q", got.Notices)
		}
		if got.Underlyings[0].Future.Token == 0 || got.Underlyings[2].Future.Token != 0 {
			t.Errorf("futures of %+v", got.Underlyings)
		}
		time.Sleep(2 * time.Hour)
		if n := w.asked(); n != mostLooks {
			t.Errorf("fetched %d times in two hours, want %d", n, mostLooks)
		}
		if got := last[messages.InstrumentsResolved](h); !strings.Contains(got.Notices[0], "restart the actor") {
			t.Errorf("in the end the notices are %q", got.Notices)
		}
		// The next day begins again, and its file becomes whole.
		w.set(func() { w.now = at(t, "2026-03-30 09:00:00") })
		settle()
		w.set(func() { w.answer = file(whole().String()) })
		n := w.asked()
		time.Sleep(time.Minute)
		if got := last[messages.InstrumentsResolved](h); w.asked() != n+1 || len(got.Notices) != 0 || got.Underlyings[2].Future.Token == 0 {
			t.Errorf("%d fetches, notices %q, future %+v", w.asked()-n, got.Notices, got.Underlyings[2].Future)
		}
		time.Sleep(2 * time.Minute)
		if w.asked() != n+1 {
			t.Error("a whole file is fetched again")
		}
		if wants := w.state.Wants(); len(wants) != 2 || len(wants[0].Wants) != len(last[messages.WantInstruments](h).Wants) {
			t.Errorf("the store has %d sets of wants", len(wants))
		}
	})
}

// What a file lacks is taken from the one before, except an instrument token
// that means something else now.
func TestYesterdaysContractsServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "2026-03-27 09:00:00")
		w.adopted = session(1)
		w.price(25010, 60020, 82010)
		w.answer = file(whole().String())
		h := w.start()
		settle()
		before := last[messages.InstrumentsResolved](h).Underlyings[2]
		if before.Future.Token == 0 || len(before.Chain) < 41 {
			t.Fatalf("SENSEX at first: %+v", before)
		}
		today := newSample()
		today.WriteString(without(whole().String(), ",BFO"))
		today.row(before.Chain[0].Token, "ABC", "ABC LTD", "", 0, 1, "EQ", "BSE", "BSE")
		w.set(func() {
			w.now = at(t, "2026-03-30 09:00:00")
			w.answer = file(strings.TrimPrefix(today.String(), head))
		})
		settle()
		got := last[messages.InstrumentsResolved](h)
		after := got.Underlyings[2]
		if after.Future != before.Future || len(after.Chain) < 40 || len(got.Notices) != 1 || !strings.Contains(got.Notices[0], "rows of BFO, the one before had") {
			t.Errorf("the next morning: future %s, %d options, notices %q", after.Future.Tradingsymbol, len(after.Chain), got.Notices)
		}
		if slices.ContainsFunc(after.Chain, func(in messages.Instrument) bool { return in.Token == before.Chain[0].Token }) {
			t.Error("the instrument token of a share is in the chain")
		}
	})
}

// A file that ends within a row is not whole, even when all that is needed is
// there.
func TestCutFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "2026-03-27 09:00:00")
		w.adopted = session(1)
		w.answer = file(whole().String() + "738561,1,REL")
		h := w.start()
		settle()
		if got := last[messages.InstrumentsResolved](h); len(got.Notices) != 1 || !strings.Contains(got.Notices[0], "its last row has no end") {
			t.Errorf("notices %q", got.Notices)
		}
	})
}

func TestConfiguredInstruments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "2026-03-27 09:00:00")
		w.adopted = session(1)
		w.answer = file(whole().String())
		w.configured = []messages.Want{
			{InstrumentToken: 738561, Mode: messages.ModeFull, Tradingsymbol: "RELIANCE"},
			{InstrumentToken: 256265, Mode: messages.ModeLTP},
			{InstrumentToken: 260105, Mode: messages.ModeFull, Tradingsymbol: "NOTINFY"},
			{InstrumentToken: 99999745, Mode: messages.ModeFull, Tradingsymbol: "GONE"},
		}
		h := w.start()
		settle()
		check := func(h *actorstest.Harness, want ...uint32) {
			t.Helper()
			var got []uint32
			for _, s := range h.Sent() {
				if m, ok := s.Msg.(messages.WantInstruments); ok && m.Owner == "configuration" {
					got = nil
					for _, w := range m.Wants {
						got = append(got, w.InstrumentToken)
					}
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("configured and wanted: %v, want %v", got, want)
			}
		}
		check(h, 738561, 256265)
		notices := strings.Join(last[messages.InstrumentsResolved](h).Notices, "\n")
		for _, want := range []string{
			"260105 of the configuration is NIFTY BANK in the instruments file of 2026-03-27, not NOTINFY: it is not subscribed",
			"99999745 (GONE) of the configuration is not in the instruments file of 2026-03-27",
		} {
			if !strings.Contains(notices, want) {
				t.Errorf("notices lack %q:\n%s", want, notices)
			}
		}
		h.Stop()
		// Another configuration: the file is read for it, and nothing of the old one stays.
		w.configured = w.configured[3:]
		again := w.start()
		settle()
		if w.asked() != 2 {
			t.Errorf("%d fetches", w.asked())
		}
		check(again)
		if count[messages.WantInstruments](again) == 0 {
			t.Error("the feed keeps the old configuration's instruments")
		}
	})
}

// The underlying of options on a share is the share.
func TestShareAsUnderlying(t *testing.T) {
	specs := []UnderlyingSpec{{"M&M", "NSE", "M&M", "NFO"}}
	got := newSample().row(519937, "M&M", "MAHINDRA & MAHINDRA", "", 0, 1, "EQ", "NSE", "NSE").
		row(130305796, "M&M", "MAHINDRA & MAHINDRA", "", 0, 1, "EQ", "BSE", "BSE").
		futures("NFO", "M&M", "2026-03-30").chain("NFO", "M&M", "2026-03-30", 3500, 20, 30).read(t, specs)
	r := resolve(&specs[0], &got.contracts[0], at(t, "2026-03-04 10:00:00"), hours.BuiltIn(), 3512, 0)
	if r.Index.Token != 519937 || len(r.Chain) != 82 || r.Reason != "" {
		t.Errorf("%s with %d options: %s", r.Index.Tradingsymbol, len(r.Chain), r.Reason)
	}
}

// Contracts end when their exchange's session of that day does.
func TestRollsByTheTableOfHours(t *testing.T) {
	for expiry, want := range map[string]string{
		"2026-03-30": "2026-03-30 15:30:00", "2026-12-29": "2026-12-29 15:40:00",
		"2026-12-25": "2026-12-25 15:40:00", // a holiday: the file decides the day
	} {
		in := messages.Instrument{Token: 1<<8 | uint32(messages.NFO), Expiry: at(t, expiry+" 00:00:00")}
		if got := rollsAt(in, hours.BuiltIn()); !got.Equal(at(t, want)) {
			t.Errorf("%s rolls at %v", expiry, got)
		}
	}
}

// without drops the lines with a text.
func without(text, gone string) string {
	return strings.Join(slices.DeleteFunc(strings.SplitAfter(text, "\n"), func(line string) bool { return strings.Contains(line, gone) }), "")
}
