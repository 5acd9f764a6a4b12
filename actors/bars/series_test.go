package bars

import (
	"bytes"
	"encoding/csv"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kitestring/actors/actorstest"
	"kitestring/messages"
	"kitestring/messages/ist"
	"kitestring/messages/minute"
)

const (
	niftyIndex  = 256265
	niftyFuture = 13568514 // ends in 2: NFO
)

func clockTime(t testing.TB, s string) int64 {
	t.Helper()
	at, err := time.ParseInLocation(ist.Layout, s, ist.Zone)
	if err != nil {
		t.Fatal(err)
	}
	return at.Unix()
}

// recorded is a series with all that it closed.
type recorded struct {
	*series
	closed [len(Intervals)][]messages.Bar
}

func record(instrument uint32) *recorded {
	r := &recorded{}
	source := messages.FromFuture
	if messages.SegmentOf(instrument) == messages.Indices {
		source = messages.FromIndex
	}
	r.series = newSeries(seriesKey{"NIFTY", source}, instrument, nil, nil, coverage{}, func(i int, b messages.Bar) {
		r.closed[i] = append(r.closed[i], b)
	})
	return r
}

func (r *recorded) tick(at int64, price int32, volume uint32) {
	r.takeTick(&messages.Tick{
		InstrumentToken: r.instrument, LastPrice: price, Volume: volume, OI: 7, ExchangeTime: uint32(at), Mode: messages.ModeFull,
	}, false, at)
}

func (r *recorded) takeTick(tick *messages.Tick, snapshot bool, now int64) {
	m := minute.Of(tick, minute.Start(tick.ExchangeTime))
	r.take(&m, snapshot, 1, now)
}

type ohlcv struct {
	start                  int64
	open, high, low, close int32
	volume                 int64
	partial, gapped        bool
}

func brief(b messages.Bar) ohlcv {
	return ohlcv{b.Start.Unix(), b.Open, b.High, b.Low, b.Close, b.Volume, b.Partial, b.Gapped}
}

func briefs(bars []messages.Bar) []ohlcv {
	out := make([]ohlcv, len(bars))
	for i, b := range bars {
		out[i] = brief(b)
	}
	return out
}

func TestBarsOfAMorning(t *testing.T) {
	r := record(niftyFuture)
	nine := clockTime(t, "2026-03-02 09:00:00")
	open := clockTime(t, "2026-03-02 09:15:00")
	r.tick(nine+8*60, 2400000, 1000) // pre-open: kept out, but it is a baseline
	r.tick(open, 2410000, 1100)
	r.tick(open+59, 2400500, 1200)
	r.tick(open+60, 2420000, 1250)
	r.tick(open+299, 2415000, 1300)
	r.tick(open+300, 2416000, 1360) // closes the first 1, 3 (long due) and 5 minutes
	want := []ohlcv{
		{start: open, open: 2410000, high: 2410000, low: 2400500, close: 2400500, volume: 200},
		{start: open + 60, open: 2420000, high: 2420000, low: 2420000, close: 2420000, volume: 50},
		{start: open + 240, open: 2415000, high: 2415000, low: 2415000, close: 2415000, volume: 50},
	}
	if got := briefs(r.closed[0]); !slices.Equal(got, want) {
		t.Errorf("minutes\n got %+v\nwant %+v", got, want)
	}
	if got := brief(r.closed[1][0]); got != (ohlcv{start: open, open: 2410000, high: 2420000, low: 2400500, close: 2420000, volume: 250}) {
		t.Errorf("3 minutes: %+v", got)
	}
	if got := brief(r.closed[2][0]); got != (ohlcv{start: open, open: 2410000, high: 2420000, low: 2400500, close: 2415000, volume: 300}) {
		t.Errorf("5 minutes: %+v", got)
	}
	if b, ok := r.bar(3); !ok || brief(b) != (ohlcv{start: open, open: 2410000, high: 2420000, low: 2400500, close: 2416000, volume: 360}) {
		t.Errorf("running 15 minutes: %+v %v", brief(b), ok)
	}
}

func TestBarsCloseByTheClock(t *testing.T) {
	r := record(niftyFuture)
	open := clockTime(t, "2026-03-02 15:28:10")
	r.tick(open, 100, 1)
	r.tick(open+90, 101, 2) // 15:29:40
	end := clockTime(t, "2026-03-02 15:30:00")
	if due := r.due(); due != end+grace {
		t.Errorf("due %d, want %d", due, end+grace)
	}
	r.advance(end)
	if n := [4]int{len(r.closed[0]), len(r.closed[1]), len(r.closed[2]), len(r.closed[3])}; n != [4]int{2, 1, 1, 1} {
		t.Errorf("closed %v", n)
	}
	if r.due() != 0 {
		t.Error("something still runs after the session")
	}
	r.tick(end, 102, 3) // a closing print
	r.tick(end-1, 103, 4)
	if r.ignored.outside != 1 || r.ignored.late != 1 {
		t.Errorf("ignored %+v", r.ignored)
	}
}

func TestVolumeBaselines(t *testing.T) {
	at := func(s string) int64 { return clockTime(t, s) }
	for _, c := range []struct {
		name  string
		steps func(r *recorded)
		want  int64 // volume of the running minute
	}{
		{"the first tick is a baseline", func(r *recorded) {
			r.tick(at("2026-03-02 10:00:01"), 100, 5000)
			r.tick(at("2026-03-02 10:00:02"), 100, 5010)
		}, 10},
		{"a falling count is a baseline", func(r *recorded) {
			r.tick(at("2026-03-02 10:00:01"), 100, 5000)
			r.tick(at("2026-03-02 10:00:02"), 100, 400)
			r.tick(at("2026-03-02 10:00:03"), 100, 430)
		}, 30},
		{"a new day is a baseline", func(r *recorded) {
			r.tick(at("2026-03-02 15:29:59"), 100, 5000)
			r.tick(at("2026-03-03 09:15:01"), 100, 9000)
			r.tick(at("2026-03-03 09:15:02"), 100, 9007)
		}, 7},
		{"after a gap announced before the next tick", func(r *recorded) {
			r.tick(at("2026-03-02 10:00:01"), 100, 5000)
			r.gap(messages.Gap{From: time.Unix(at("2026-03-02 10:00:01"), 0), To: time.Unix(at("2026-03-02 10:00:31"), 0), VolumeWhile: 900}, 0)
			r.tick(at("2026-03-02 10:00:31"), 100, 5900)
			r.tick(at("2026-03-02 10:00:32"), 100, 5905)
		}, 5},
		{"after a gap announced after the next tick", func(r *recorded) {
			r.tick(at("2026-03-02 10:00:01"), 100, 5000)
			r.tick(at("2026-03-02 10:00:31"), 100, 5900)
			r.tick(at("2026-03-02 10:00:32"), 100, 5905)
			r.gap(messages.Gap{From: time.Unix(at("2026-03-02 10:00:01"), 0), To: time.Unix(at("2026-03-02 10:00:31"), 0), VolumeWhile: 900}, 0)
		}, 5},
		{"a snapshot of ticks taken before", func(r *recorded) {
			r.takeTick(&messages.Tick{InstrumentToken: niftyFuture, LastPrice: 90, Volume: 5000, ExchangeTime: uint32(at("2026-03-02 10:00:01")), Mode: messages.ModeFull}, true, at("2026-03-02 10:00:01"))
			r.tick(at("2026-03-02 10:00:03"), 100, 5004)
		}, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := record(niftyFuture)
			c.steps(r)
			if b, ok := r.bar(0); !ok || b.Volume != c.want {
				t.Errorf("volume %d, want %d", b.Volume, c.want)
			}
		})
	}
}

// The first bar of a day lacks what its first tick's count holds already: it
// says so, and history heals it.
func TestFirstBarOfADayIsPartial(t *testing.T) {
	r := record(niftyFuture)
	at := func(s string) int64 { return clockTime(t, s) }
	r.tick(at("2026-03-02 15:29:59"), 100, 5000)
	r.tick(at("2026-03-03 09:15:01"), 100, 30)
	r.tick(at("2026-03-03 09:15:40"), 100, 70)
	r.tick(at("2026-03-03 09:16:01"), 100, 90)
	r.tick(at("2026-03-03 09:17:01"), 100, 95)
	first, second := r.minutes[len(r.minutes)-2], r.minutes[len(r.minutes)-1]
	if !first.Partial || first.Volume != 40 {
		t.Errorf("the first bar: %+v", first)
	}
	if second.Partial || second.Volume != 20 {
		t.Errorf("the second bar: %+v", second)
	}
}

func TestPartialAndGapped(t *testing.T) {
	r := record(niftyFuture)
	ten := clockTime(t, "2026-03-02 10:00:00")
	r.tick(ten+70, 100, 1) // 10:01:10
	for s := int64(120); s <= 900; s += 10 {
		r.tick(ten+s, 100, 1)
	}
	if !r.closed[0][0].Partial || r.closed[0][1].Partial {
		t.Error("only the first minute is partial")
	}
	if !r.closed[2][0].Partial || r.closed[2][1].Partial || !r.closed[3][0].Partial {
		t.Error("longer bars are partial as long as their start was not seen")
	}
	marked := r.gap(messages.Gap{From: time.Unix(ten+725, 0), To: time.Unix(ten+850, 0)}, 0)
	if !marked {
		t.Error("closed minutes within the gap were not marked")
	}
	var gapped []int64
	for _, m := range r.minutes {
		if m.Gapped {
			gapped = append(gapped, (m.Start.Unix()-ten)/60)
		}
	}
	if !slices.Equal(gapped, []int64{12, 13, 14}) {
		t.Errorf("gapped minutes %v", gapped)
	}
	for _, b := range r.whole(2, ten+1000) {
		if k := (b.Start.Unix() - ten) / 60; b.Gapped != (k == 10) {
			t.Errorf("5 minutes from %d: gapped %v", k, b.Gapped)
		}
	}
}

func TestMinutesGivenUpAreMarked(t *testing.T) {
	r := record(niftyFuture)
	ten := clockTime(t, "2026-03-02 10:00:00")
	r.tick(ten, 100, 1)
	r.tick(ten+60, 100, 2)
	r.tick(ten+125, 100, 3)
	// The rest of 10:02 and all of 10:03 were given up.
	r.take(&messages.Minute{
		InstrumentToken: niftyFuture, Start: uint32(ten + 240), First: 101, High: 105, Low: 99, Last: 103, VolumeFirst: 50, VolumeLast: 60, Count: 9,
		Newest: messages.Tick{InstrumentToken: niftyFuture, ExchangeTime: uint32(ten + 290), Mode: messages.ModeFull}, Gapped: true,
	}, false, 1, ten+290)
	r.advance(ten + 300)
	want := []ohlcv{
		{start: ten, open: 100, high: 100, low: 100, close: 100, partial: true},
		{start: ten + 60, open: 100, high: 100, low: 100, close: 100, volume: 1},
		{start: ten + 120, open: 100, high: 100, low: 100, close: 100, volume: 1, gapped: true},
		{start: ten + 240, open: 101, high: 105, low: 99, close: 103, volume: 57, gapped: true},
	}
	if got := briefs(r.closed[0]); !slices.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
	if five := r.closed[2][0]; !five.Gapped || !five.Approximate || five.Volume != 59 {
		t.Errorf("5 minutes: %+v", five)
	}
	r.covered.loaded = true
	if from, ok := r.wants(ten + 400); !ok || from != ten {
		t.Errorf("wants %d %v", from, ok)
	}
}

func TestIgnoredArrivals(t *testing.T) {
	r := record(niftyFuture)
	r.tick(0, 100, 1)
	r.tick(clockTime(t, "2026-03-02 10:00:00"), 0, 1)
	r.tick(clockTime(t, "2026-03-02 10:00:00"), -5, 1)
	if r.ignored.untimed != 1 || r.ignored.priceless != 2 || r.running.Ticks != 0 {
		t.Errorf("%+v", r.ignored)
	}
}

// conflate makes of ticks what a full mailbox makes of them.
func conflate(ticks []messages.Tick) (out []messages.Minute) {
	for i := range ticks {
		var table minute.Table
		same := i
		for same < len(ticks) && minute.Start(ticks[same].ExchangeTime) == minute.Start(ticks[i].ExchangeTime) {
			same++
		}
		if i > 0 && minute.Start(ticks[i-1].ExchangeTime) == minute.Start(ticks[i].ExchangeTime) {
			continue
		}
		table.Merge(&messages.Ticks{Ticks: ticks[i:same]})
		out = append(out, table.Take().(*messages.Minutes).Minutes...)
	}
	return out
}

func TestConflationDoesNotShowInBars(t *testing.T) {
	start := clockTime(t, "2026-03-02 09:07:00")
	rapid.Check(t, func(t *rapid.T) {
		instrument := rapid.SampledFrom([]uint32{niftyIndex, niftyFuture}).Draw(t, "instrument")
		n := rapid.IntRange(1, 200).Draw(t, "ticks")
		ticks := make([]messages.Tick, n)
		at, volume := start, uint32(rapid.IntRange(0, 1000).Draw(t, "volume at start"))
		for i := range ticks {
			step := int64(rapid.SampledFrom([]int{0, 0, 1, 1, 3, 10, 45, 61, 200, 4 * 3600}).Draw(t, "step"))
			if at/60 != (at+step)/60 && rapid.IntRange(0, 20).Draw(t, "falls") == 0 {
				volume /= 2
			}
			at += step
			volume += uint32(rapid.IntRange(0, 500).Draw(t, "traded"))
			ticks[i] = messages.Tick{
				InstrumentToken: instrument, LastPrice: int32(rapid.IntRange(1, 50).Draw(t, "price")), ExchangeTime: uint32(at),
				OI: uint32(rapid.IntRange(1, 9).Draw(t, "oi")), Mode: messages.ModeFull,
			}
			if instrument == niftyFuture {
				ticks[i].Volume = volume
			}
		}
		plain, mixed := record(instrument), record(instrument)
		for i := range ticks {
			plain.takeTick(&ticks[i], false, int64(ticks[i].ExchangeTime))
		}
		for from := 0; from < n; {
			to := rapid.IntRange(from+1, n).Draw(t, "to")
			if rapid.Bool().Draw(t, "conflated") {
				for _, m := range conflate(ticks[from:to]) {
					mixed.take(&m, false, 1, arrivedAt(&m))
				}
			} else {
				for i := from; i < to; i++ {
					mixed.takeTick(&ticks[i], false, int64(ticks[i].ExchangeTime))
				}
			}
			from = to
		}
		for i := range Intervals {
			if !slices.Equal(plain.closed[i], mixed.closed[i]) {
				t.Fatalf("closed bars of %v differ\nticks   %+v\nminutes %+v", Intervals[i], plain.closed[i], mixed.closed[i])
			}
			a, okA := plain.bar(i)
			b, okB := mixed.bar(i)
			if a != b || okA != okB {
				t.Fatalf("running bars of %v differ\nticks   %+v\nminutes %+v", Intervals[i], a, b)
			}
		}
	})
}

// The bars made of the ticks of real bars are those bars: a day a symbol, and
// all the days of the shared data where it is there.
func TestReplayedRowsComeBack(t *testing.T) {
	for _, name := range []string{"nifty_5m.csv", "banknifty_5m.csv", "sensex_5m.csv"} {
		t.Run(name, func(t *testing.T) {
			day, err := os.ReadFile(filepath.Join("..", "analysis", "testdata", "bars", name))
			if err != nil {
				t.Fatal(err)
			}
			replayRows(t, day)
		})
		t.Run("shared "+name, func(t *testing.T) { replayRows(t, actorstest.ReadShared(t, "bars", name)) })
	}
}

func replayRows(t *testing.T, file []byte) {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	index, future := record(niftyIndex), record(niftyFuture)
	type row struct {
		at                     int64
		open, high, low, close int32
		volume                 int64
	}
	var want []row
	number := func(cell string) float64 {
		x, err := strconv.ParseFloat(cell, 64)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	paise := func(cell string) int32 { return int32(math.Round(number(cell) * 100)) }
	for _, cells := range rows[1:] {
		at := clockTime(t, cells[0])
		if !index.sessions.contain(at) {
			continue
		}
		w := row{at, paise(cells[1]), paise(cells[2]), paise(cells[3]), paise(cells[4]), int64(number(cells[5]))}
		if n := len(want); n == 0 || midnight(want[n-1].at) != midnight(at) {
			// The exchange's pre-open print: the day's volume starts at 0.
			index.tick(index.sessions.open(at)-60, w.open, 0)
			future.tick(index.sessions.open(at)-60, w.open, 0)
		}
		want = append(want, w)
		for i, price := range []int32{w.open, w.high, w.low, w.close} {
			index.tick(at+int64(i)*75, price, 0)
			volume := future.volume
			if i == 2 {
				volume += uint32(w.volume)
			}
			future.tick(at+int64(i)*75, price, volume)
		}
	}
	end := want[len(want)-1].at + 300
	index.advance(end)
	future.advance(end)
	if len(index.closed[2]) != len(want) || len(future.closed[2]) != len(want) {
		t.Fatalf("%d and %d bars of %d rows", len(index.closed[2]), len(future.closed[2]), len(want))
	}
	for i, w := range want {
		x, f := index.closed[2][i], future.closed[2][i]
		if got := (row{x.Start.Unix(), x.Open, x.High, x.Low, x.Close, f.Volume}); got != w || x.Volume != 0 || f.Close != w.close {
			t.Errorf("%v: got %+v, want %+v", x.Start.In(ist.Zone), got, w)
		}
		if x.Partial || x.Gapped {
			t.Errorf("%v is partial or gapped", x.Start)
		}
	}
	t.Logf("%d rows compared", len(want))
}

func BenchmarkBarUpdate(b *testing.B) {
	r := record(niftyFuture)
	start := clockTime(b, "2026-03-02 09:15:00")
	r.emit = func(int, messages.Bar) {}
	for i := range b.N {
		at := start + int64(i/40)%22000 + int64(i/880_000)*day
		r.takeTick(&messages.Tick{
			InstrumentToken: niftyFuture, LastPrice: 2400000 + int32(i%100), Volume: uint32(i), ExchangeTime: uint32(at), Mode: messages.ModeFull,
		}, false, at)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/tick")
}
