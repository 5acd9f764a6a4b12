package bars

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kitestring/actors/hours"
	"kitestring/actors/kite"
	"kitestring/messages"
)

// exchange plays the history of what it has seen: like the real one it shows
// the running minute too, as far as it has come.
type exchange struct{ *recorded }

func (e exchange) history(from, to int64) []kite.Candle {
	var out []kite.Candle
	bars := slices.Clone(e.closed[0])
	if b, ok := e.bar(0); ok {
		bars = append(bars, b)
	}
	for _, b := range bars {
		if s := b.Start.Unix(); s >= from && s <= to {
			out = append(out, kite.Candle{
				Start: b.Start, Open: b.Price(b.Open), High: b.Price(b.High), Low: b.Price(b.Low), Close: b.Price(b.Close), Volume: b.Volume, OI: b.OI,
			})
		}
	}
	return out
}

func (r *recorded) healFrom(e exchange, now int64) {
	if from, ok := r.wants(now); ok {
		r.merge(e.history(from, now), from, now, 1)
	}
}

func TestKilledRunEqualsUnkilledOne(t *testing.T) {
	start := clockTime(t, "2026-03-02 09:14:00")
	rapid.Check(t, func(t *rapid.T) {
		whole, live := exchange{record(niftyFuture)}, record(niftyFuture)
		end := start + int64(rapid.IntRange(1200, 4000).Draw(t, "length"))
		killed := start + int64(rapid.IntRange(0, int(end-start)-300).Draw(t, "killed"))
		back := killed + int64(rapid.IntRange(1, 1500).Draw(t, "down for"))
		lateHistory := int64(rapid.IntRange(0, 90).Draw(t, "history after"))
		process := rapid.Bool().Draw(t, "the whole process")
		restarted := false
		market := rand.New(rand.NewPCG(1, rapid.Uint64().Draw(t, "market"))) // drawn tick by tick it shrinks for minutes
		volume := uint32(100)
		check := func(now int64) {
			if !restarted || now < back+lateHistory {
				return
			}
			live.healFrom(whole, now)
		}
		for at := start; at < end; at += 1 + market.Int64N(20) {
			volume += market.Uint32N(90)
			price := 2400000 + market.Int32N(6000)
			whole.tick(at, price, volume)
			switch {
			case at < killed:
				live.tick(at, price, volume)
			case at >= back:
				if !restarted {
					restarted = true
					minutes, covered := live.minutes, live.covered
					if process {
						minutes, covered = nil, coverage{}
					}
					live = record(niftyFuture)
					emit := live.emit
					live.series = newSeries(live.key, niftyFuture, nil, minutes, covered, emit)
				}
				live.tick(at, price, volume)
			}
			check(at)
		}
		if !restarted {
			return // died at the end of the run
		}
		now := floor(end, 900) + 910
		whole.advance(now - grace)
		live.advance(now - grace)
		for range 5 {
			live.healFrom(whole, now)
		}
		if _, ok := live.wants(now); ok {
			t.Fatal("there is still something to heal")
		}
		for i := range Intervals {
			got, want := live.whole(i, now), whole.closed[i]
			if !slices.Equal(briefs(got), briefs(want)) {
				t.Fatalf("bars of %v differ\n got %+v\nwant %+v", Intervals[i], briefs(got), briefs(want))
			}
		}
	})
}

func TestMergeLetsLiveWin(t *testing.T) {
	r := record(niftyFuture)
	ten := clockTime(t, "2026-03-02 10:00:00")
	for s := int64(0); s <= 300; s += 20 {
		r.tick(ten+s, 100_00+int32(s), uint32(1000+s))
	}
	// History of 09:59 to 10:05, in other numbers; 10:05 runs.
	var candles []kite.Candle
	for k := int64(-1); k <= 5; k++ {
		candles = append(candles, kite.Candle{Start: time.Unix(ten+60*k, 0), Open: 7, High: 9, Low: 6, Close: 8, Volume: 5})
	}
	candles = append(candles, kite.Candle{Start: time.Unix(ten-120, 0), Open: 9, High: 7, Low: 6, Close: 8})                             // upside down
	candles = append(candles, kite.Candle{Start: time.Unix(clockTime(t, "2026-03-02 09:00:00"), 0), Open: 7, High: 9, Low: 6, Close: 8}) // pre-open
	r.gap(messages.Gap{From: time.Unix(ten+130, 0), To: time.Unix(ten+150, 0)}, 0)
	from, ok := r.wants(ten + 303)
	if !ok || from >= ten-8*day {
		t.Fatalf("wants %d %v", from, ok)
	}
	if _, changed := r.merge(candles, from, ten+303, 2); !changed {
		t.Fatal("nothing changed")
	}
	var fromHistory []int64
	for _, m := range r.minutes {
		if m.Partial || m.Gapped {
			t.Errorf("%v is still marked", m.Start)
		}
		if m.Backfilled {
			fromHistory = append(fromHistory, (m.Start.Unix()-ten)/60)
			if m.High != 900 || m.Generation != 2 {
				t.Errorf("%+v", m)
			}
		}
	}
	// 10:00 was partial, 10:02 gapped, 09:59 not seen; the rest was live.
	if !slices.Equal(fromHistory, []int64{-1, 0, 2}) {
		t.Errorf("minutes from history: %v", fromHistory)
	}
	if _, ok := r.wants(ten + 400); ok {
		t.Error("wants the same again")
	}
	if b, _ := r.bar(0); b.Backfilled {
		t.Error("the running minute was replaced")
	}
}

// What lies between history and the first tick is asked for, whichever comes
// first.
func TestHistoryAndFirstTickMeet(t *testing.T) {
	ten := clockTime(t, "2026-03-02 10:00:00")
	flat := func(from, to int64) (out []kite.Candle) {
		for at := from; at < to; at += 60 {
			out = append(out, kite.Candle{Start: time.Unix(at, 0), Open: 7, High: 9, Low: 6, Close: 8})
		}
		return out
	}
	for _, c := range []struct {
		name  string
		steps func(r *recorded)
		now   int64
		want  int64 // 0: nothing
	}{
		{"history first", func(r *recorded) {
			r.merge(flat(ten-3600, ten), ten-3600, ten+30, 1)
			r.tick(ten+450, 100, 1)
		}, ten + 484, ten},
		{"the answer overtaken by the first tick", func(r *recorded) {
			r.tick(ten+181, 100, 1)
			r.merge(flat(ten-3600, ten+180), ten-3600, ten+178, 1)
		}, ten + 200, ten + 120},
		{"not before its minute is ripe", func(r *recorded) {
			r.tick(ten+181, 100, 1)
			r.merge(flat(ten-3600, ten+180), ten-3600, ten+183, 1)
		}, ten + 242, 0},
		{"then at once", func(r *recorded) {
			r.tick(ten+181, 100, 1)
			r.merge(flat(ten-3600, ten+180), ten-3600, ten+183, 1)
		}, ten + 243, ten + 180},
		{"a cached tick proves nothing of the time since", func(r *recorded) {
			r.takeTick(&messages.Tick{InstrumentToken: niftyFuture, LastPrice: 100, ExchangeTime: uint32(ten + 10), Mode: messages.ModeFull}, false, ten+330)
			r.tick(ten+331, 100, 1)
			r.covered.loaded = true
		}, ten + 400, ten + 300},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := record(niftyFuture)
			c.steps(r)
			if from, ok := r.wants(c.now); from != c.want || ok != (c.want != 0) {
				t.Errorf("wants from %+d s, %v; want %+d s", from-ten, ok, c.want-ten)
			}
		})
	}
}

func TestMergeLeavesTheRunningMinute(t *testing.T) {
	r := record(niftyFuture)
	ten := clockTime(t, "2026-03-02 10:00:00")
	r.tick(ten-1, 100, 1)
	r.tick(ten+5, 100, 1)
	r.tick(ten+50, 102, 1)
	// Its minute is over, and history has it, but its successor has not come.
	r.merge([]kite.Candle{
		{Start: time.Unix(ten-60, 0), Open: 7, High: 9, Low: 6, Close: 8}, {Start: time.Unix(ten, 0), Open: 7, High: 9, Low: 6, Close: 8},
	}, ten-600, ten+64, 1)
	r.advance(ten + 60)
	want := []ohlcv{{start: ten - 60, open: 700, high: 900, low: 600, close: 800}, {start: ten, open: 100, high: 102, low: 100, close: 102}}
	if got := briefs(r.minutes); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

// Ticks without a time make no bar; the minutes that they are of come from history.
func TestMinutesWithoutATimeComeFromHistory(t *testing.T) {
	r := record(niftyFuture)
	ten := clockTime(t, "2026-03-02 10:00:00")
	r.covered.loaded, r.covered.from = true, ten-600
	for s := int64(0); s <= 70; s += 10 {
		r.tick(ten+s, 100_00, 0)
	}
	r.holes = nil // of the first minute, whose begin was not seen
	for s := int64(80); s <= 200; s += 10 {
		r.take(&messages.Minute{Newest: messages.Tick{InstrumentToken: niftyFuture, Mode: messages.ModeFull}, First: 100_00, High: 100_00, Low: 100_00, Last: 100_00, Count: 1}, false, 1, ten+s)
	}
	r.advance(ten + 200)
	if from, ok := r.wants(ten + 200); !ok || from != ten+60 {
		t.Fatalf("wants %+d %v", from-ten, ok)
	}
	var candles []kite.Candle
	for k := int64(1); k <= 3; k++ {
		candles = append(candles, kite.Candle{Start: time.Unix(ten+60*k, 0), Open: 7, High: 9, Low: 6, Close: 8})
	}
	r.merge(candles, ten+60, ten+200, 1)
	want := []ohlcv{
		{start: ten, open: 100_00, high: 100_00, low: 100_00, close: 100_00, partial: true},
		{start: ten + 60, open: 700, high: 900, low: 600, close: 800},
		{start: ten + 120, open: 700, high: 900, low: 600, close: 800},
	}
	if got := briefs(r.minutes); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	if from, ok := r.wants(ten + 243); !ok || from != ten+180 {
		t.Errorf("then wants %+d %v", from-ten, ok)
	}
}

func TestHalfHealedGap(t *testing.T) {
	r := record(niftyFuture)
	ten := clockTime(t, "2026-03-02 10:00:00")
	r.tick(ten-1, 100, 1)
	r.tick(ten, 100, 1)
	r.covered.loaded, r.covered.from = true, ten-600
	r.tick(ten+430, 100, 1)
	r.gap(messages.Gap{From: time.Unix(ten, 0), To: time.Unix(ten+430, 0)}, 0)
	var candles []kite.Candle
	for k := int64(-1); k < 7; k++ {
		candles = append(candles, kite.Candle{Start: time.Unix(ten+60*k, 0), Open: 7, High: 9, Low: 6, Close: 8})
	}
	r.merge(candles, ten-60, ten+435, 1)
	bars := r.whole(2, ten+435)
	if last := bars[len(bars)-1]; last.Start.Unix() != ten || last.Gapped || last.Partial {
		t.Errorf("the healed bar: %+v", last)
	}
	if b, _ := r.bar(2); !b.Gapped {
		t.Errorf("the running bar still has a hole: %+v", b)
	}
	if from, ok := r.wants(ten + 483); !ok || from != ten+420 {
		t.Errorf("wants %+d %v", from-ten, ok)
	}
}

func TestGapsOutsideSessionsNeedNoHistory(t *testing.T) {
	at := func(s string) int64 { return clockTime(t, s) }
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"2026-03-02 15:30:00", "2026-03-03 09:15:00", false},
		{"2026-03-02 15:29:59", "2026-03-03 09:15:00", true},
		{"2026-03-02 15:30:00", "2026-03-03 12:00:00", false}, // Holi
		{"2026-03-04 15:30:00", "2026-03-05 09:15:01", true},
		{"2026-03-06 15:30:00", "2026-03-09 09:15:00", false}, // over a weekend
		{"2026-03-06 15:30:00", "2026-03-10 09:15:00", true},
		{"2026-03-02 16:00:00", "2026-03-02 17:00:00", false},
		{"2026-08-03 15:33:00", "2026-08-03 15:34:00", true}, // derivatives to 15:40
		{"2026-11-08 18:10:00", "2026-11-08 18:11:00", true}, // Muhurat, a Sunday
		{"2026-02-01 10:00:00", "2026-02-01 10:01:00", true}, // the budget, a Sunday
		{"2026-02-08 10:00:00", "2026-02-08 10:01:00", false},
	} {
		if got := (&sessions{segment: hours.NFO}).touch(at(c.from), at(c.to)); got != c.want {
			t.Errorf("%s to %s: %v", c.from, c.to, got)
		}
	}
}

func TestPlausible(t *testing.T) {
	bar := func(open, high, low, closing float64, volume int64) kite.Candle {
		return kite.Candle{Open: open, High: high, Low: low, Close: closing, Volume: volume}
	}
	if !plausible(bar(1, 2, 1, 2, 0)) {
		t.Error("a bar is implausible")
	}
	for _, c := range []kite.Candle{
		bar(1, 2, 0, 2, 0), bar(1, 2, 1, 2, -1), bar(3, 2, 1, 2, 0), bar(math.NaN(), 2, 1, 2, 0), bar(1, math.Inf(1), 1, 2, 0),
	} {
		if plausible(c) {
			t.Errorf("%+v is plausible", c)
		}
	}
}
