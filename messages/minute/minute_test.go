package minute

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"kitestring/messages"
)

// However ticks are cut into batches and takes, the minutes put together again
// give the bars of the ticks.
func TestMinutesEqualTicks(t *testing.T) {
	type bar struct {
		first, high, low, last int32
		volumes                [2]uint32
		count                  uint32
	}
	add := func(bars map[[2]uint32]bar, token, start uint32, b bar) {
		old, ok := bars[[2]uint32{token, start}]
		if ok {
			b.first, b.volumes[0] = old.first, old.volumes[0]
			b.high, b.low, b.count = max(b.high, old.high), min(b.low, old.low), b.count+old.count
		}
		bars[[2]uint32{token, start}] = b
	}
	rapid.Check(t, func(t *rapid.T) {
		var m Table
		want, got := map[[2]uint32]bar{}, map[[2]uint32]bar{}
		gapped := false
		take := func() {
			n := m.Len()
			out, _ := m.Take().(*messages.Minutes)
			if (out == nil) != (n == 0) || out != nil && len(out.Minutes) != n {
				t.Fatalf("Len %d, took %v", n, out)
			}
			if out == nil {
				return
			}
			for _, x := range out.Minutes {
				gapped = gapped || x.Gapped
				if x.Newest.LastPrice != x.Last || x.Newest.Volume != x.VolumeLast {
					t.Fatalf("%+v", x)
				}
				add(got, x.InstrumentToken, x.Start, bar{x.First, x.High, x.Low, x.Last, [2]uint32{x.VolumeFirst, x.VolumeLast}, x.Count})
			}
		}
		now, volume := uint32(1_700_000_000), uint32(0)
		given := map[uint32]map[uint32]bool{}
		lostAny := false
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			if rapid.IntRange(0, 5).Draw(t, "take") == 0 {
				take()
				clear(given)
			}
			now += rapid.Uint32Range(0, 30).Draw(t, "seconds")
			volume += rapid.Uint32Range(0, 9).Draw(t, "volume")
			tick := messages.Tick{
				InstrumentToken: rapid.Uint32Range(1, 3).Draw(t, "instrument"), ExchangeTime: now,
				LastPrice: rapid.Int32Range(-5, 5).Draw(t, "price"), Volume: volume, Mode: messages.ModeFull,
			}
			b := messages.NewTicks(nil)
			b.Ticks = []messages.Tick{tick}
			m.Merge(b)
			start := now - now%60
			add(want, tick.InstrumentToken, start, bar{tick.LastPrice, tick.LastPrice, tick.LastPrice, tick.LastPrice, [2]uint32{volume, volume}, 1})
			if given[tick.InstrumentToken] == nil {
				given[tick.InstrumentToken] = map[uint32]bool{}
			}
			given[tick.InstrumentToken][start] = true
			lostAny = lostAny || len(given[tick.InstrumentToken]) > kept
		}
		take()
		if gapped != lostAny {
			t.Fatalf("gapped %v, minutes given up %v", gapped, lostAny)
		}
		if lostAny {
			return
		}
		if len(got) != len(want) {
			t.Fatalf("%d minutes, want %d", len(got), len(want))
		}
		for k, w := range want {
			if got[k] != w {
				t.Fatalf("%v: %+v, want %+v", k, got[k], w)
			}
		}
	})
}

// A snapshot may hold an older minute than what has come since.
func TestMinutesLate(t *testing.T) {
	var m Table
	push := func(at uint32, price int32) {
		b := messages.NewTicks(nil)
		b.Generation = 3
		b.Ticks = []messages.Tick{{InstrumentToken: 7, ExchangeTime: at, LastPrice: price}}
		m.Merge(b)
	}
	push(120, 2)
	push(60, 1) // before it
	push(61, 5) // into it
	push(0, 3)  // without a time: the newest minute
	push(1, 9)  // no room any more
	out := m.Take().(*messages.Minutes)
	if out.Generation != 3 || len(out.Minutes) != 2 {
		t.Fatalf("%+v", out)
	}
	starts := []uint32{out.Minutes[0].Start, out.Minutes[1].Start}
	if !slices.Equal(starts, []uint32{60, 120}) || out.Minutes[0].Last != 5 || out.Minutes[1].Last != 3 || !out.Minutes[0].Gapped {
		t.Errorf("%+v", out.Minutes)
	}
	if m.Take() != nil || m.Len() != 0 {
		t.Error("not empty after Take")
	}
}

func BenchmarkMerge(b *testing.B) {
	const size = 512 // ticks in a batch
	ticks := make([]messages.Tick, 3000)
	for i := range ticks {
		ticks[i] = messages.Tick{InstrumentToken: uint32(i+1)<<8 | 2, ExchangeTime: 1_700_000_000, LastPrice: 100, Mode: messages.ModeFull}
	}
	batch := messages.NewTicks(nil)
	var t Table
	i := 0
	for b.Loop() {
		from := i * size % len(ticks)
		batch.Ticks = ticks[from:min(from+size, len(ticks))]
		t.Merge(batch)
		if i++; i%100 == 0 {
			t.Take()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/size, "ns/tick")
}
