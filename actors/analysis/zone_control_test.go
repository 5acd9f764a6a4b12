package analysis

import (
	"math"
	"slices"
	"testing"
	"time"

	"kitestring/actors/analysis/classic"
	"kitestring/messages"
)

// withFuture lets the future trade the volumes of the bars.
func withFuture(bars []Candle) *Input {
	in := indexOf(slices.Clone(bars))
	for i := range in.Index.Closed {
		in.Index.Closed[i].Volume = 0
	}
	in.Future = Window{Interval: fiveMinutes, Closed: bars}
	return in
}

func TestZonesLinkCompletely(t *testing.T) {
	touch := func(levels ...float64) (list []classic.ZoneTouch) {
		for i, l := range levels {
			list = append(list, classic.ZoneTouch{At: i, Level: l})
		}
		return list
	}
	for _, c := range []struct {
		name   string
		levels []float64
		want   []int // touches per group, from the lowest
	}{
		{"a chain is cut", []float64{100, 100.3, 100.7, 101}, []int{2, 2}},
		{"the closest join first", []float64{100, 100.4, 100.5}, []int{3}},
		{"the closest join first, the rest stays out", []float64{100, 100.4, 100.6}, []int{1, 2}},
		{"just wide enough", []float64{100, 100.5}, []int{2}},
		{"out of order", []float64{105, 100, 105.1, 100.1}, []int{2, 2}},
		{"none", nil, nil},
	} {
		var got []int
		for _, g := range linkCompletely(touch(c.levels...), 0.5) {
			got = append(got, len(g))
			if g[len(g)-1].Level-g[0].Level > 0.5 {
				t.Errorf("%s: a zone of width %v", c.name, g[len(g)-1].Level-g[0].Level)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestZoneSwingsArePlateausOnceAndNeverTheLastFive(t *testing.T) {
	// The top at bar 4 lacks a fifth bar before it; that at 12 is one from bar 17 on.
	bars := walk(1000, 1020, 1000, 1020, 1000, 990)
	for n, want := range map[int]int{10: 0, 17: 0, 18: 1, 21: 1} {
		if _, highs := confirmedZoneSwings(bars[:n]); len(highs) != want {
			t.Errorf("%d bars: %d highs, want %d", n, len(highs), want)
		}
	}
	values := []float64{1, 2, 3, 4, 5, 9, 9, 5, 4, 3, 2, 1}
	flat := make([]Candle, len(values))
	for i, v := range values {
		flat[i] = bar(v, v, 0.5, v, 0)
	}
	_, once := confirmedZoneSwings(flat)
	_, each := classic.ZoneSwings(flat)
	if len(once) != 1 || len(each) != 2 {
		t.Errorf("plateau of two: %d calibrated, %d classic; want 1 and 2", len(once), len(each))
	}
}

// zigzag turns six times at 1000 and 1020, eight bars a leg.
func zigzag(last float64) []Candle {
	var bars []Candle
	for range 6 {
		for step := range 16 {
			mid := 1000 + 2.5*float64(min(step, 16-step))
			bars = append(bars, bar(mid, mid+1, mid-1, mid, 100))
		}
	}
	return at(append(bars, bar(last, last+1, last-1, last, 100))...)
}

func TestZoneControlJudgesBothSides(t *testing.T) {
	at999 := judgeZoneControl(withFuture(zigzag(1001)))
	if at999.Signal != "buy_zone" || at999.Status != messages.Active {
		t.Errorf("above the support: %s %v %s", at999.Signal, at999.Confidence, at999.Reason)
	}
	at1020 := judgeZoneControl(withFuture(zigzag(1019)))
	if at1020.Signal != "sell_zone" {
		t.Errorf("below the resistance, though the support is near too: %s %v %s", at1020.Signal, at1020.Confidence, at1020.Reason)
	}
	support, ok := at999.Values["nearest_support"].(classic.Object)
	if !ok || support["level"] != 999.0 || support["hold_probability"] != int(at999.Confidence) {
		t.Errorf("nearest support: %v", at999.Values["nearest_support"])
	}
	if width := at999.Values["zone_width"].(float64); width <= 0 || width > 3 {
		t.Errorf("zone width %v, want half an ATR", width)
	}
}

func TestCalibratedZoneSignals(t *testing.T) {
	z := func(distance float64) *classic.Zone { return &classic.Zone{Level: 1000, Distance: distance} }
	for _, c := range []struct {
		name                string
		support, resistance zoneSide
		signal              string
		confidence          int
	}{
		{"support holds", zoneSide{z(-0.2), 40, 75}, zoneSide{z(3), 10, 80}, "buy_zone", 75},
		{"resistance holds though a support is near", zoneSide{z(-0.2), 70, 45}, zoneSide{z(0.2), 40, 75}, "sell_zone", 75},
		{"both hold, support better", zoneSide{z(-0.2), 40, 75}, zoneSide{z(0.4), 40, 65}, "buy_zone", 75},
		{"both hold, resistance better", zoneSide{z(-0.2), 50, 75}, zoneSide{z(0.4), 30, 65}, "sell_zone", 65},
		{"both hold alike", zoneSide{z(-0.2), 40, 75}, zoneSide{z(0.2), 40, 75}, "neutral", 0},
		{"support gives way", zoneSide{z(-0.2), 95, 35}, zoneSide{z(2), 20, 60}, "sell_zone", 95},
		{"resistance gives way", zoneSide{nil, 50, 50}, zoneSide{z(0.1), 90, 55}, "buy_zone", 90},
		{"far from both", zoneSide{z(-2), 20, 60}, zoneSide{z(2), 20, 60}, "neutral", 0},
		{"no zones", zoneSide{nil, 50, 50}, zoneSide{nil, 50, 50}, "neutral", 0},
	} {
		signal, confidence, reason := calibratedZoneSignal(c.support, c.resistance, nil)
		if signal != c.signal || confidence != c.confidence || reason == "" {
			t.Errorf("%s: %s %d (%s), want %s %d", c.name, signal, confidence, reason, c.signal, c.confidence)
		}
	}
}

func TestZonesDecayWithAge(t *testing.T) {
	bars := zigzag(1001)
	touches := []classic.ZoneTouch{{At: 10, Level: 1000, Volume: 100}, {At: 46, Level: 1000, Volume: 100}}
	fresh := calibratedZones(bars[:47], touches, 1001, 1, true, nil)
	old := calibratedZones(bars, touches, 1001, 1, true, nil)
	// 20 for two touches, 30 for being near, 25 to 15 for two mean volumes.
	if len(fresh) != 1 || len(old) != 1 || fresh[0].Age != 0 || old[0].Age != 50 {
		t.Fatalf("%+v %+v", fresh, old)
	}
	if fresh[0].Strength != 75 || old[0].Strength != 38 {
		t.Errorf("strength %d fresh and %d after 50 bars, want 75 and half of it", fresh[0].Strength, old[0].Strength)
	}
}

func TestZoneControlTakesTheFuturesVolume(t *testing.T) {
	in := withFuture(zigzag(1001))
	bars, share := indexWithVolume(in, 100)
	if share != 1 || bars[10].Volume != 100 {
		t.Errorf("share %v, volume %v", share, bars[10].Volume)
	}
	if in.Index.Closed[10].Volume != 0 {
		t.Error("the input was changed")
	}
	jumbled := []Candle{{Time: noon.Add(time.Hour), Volume: 1}, {Time: noon, Volume: 2}, {Time: noon, Volume: 3}}
	paired, _ := indexWithVolume(withFuture(jumbled), 3)
	for i, c := range paired {
		if c.Volume != jumbled[i].Volume {
			t.Errorf("bar %d of a file out of order: volume %v, want %v", i, c.Volume, jumbled[i].Volume)
		}
	}
	with := judgeZoneControl(in)
	in.Future.Closed = in.Future.Closed[:50]
	half := judgeZoneControl(in)
	in.Future.Closed = nil
	without := judgeZoneControl(in)
	if with.Coverage <= half.Coverage || half.Coverage <= without.Coverage || without.Coverage <= 0 {
		t.Errorf("coverage %v with, %v with half of, %v without the future", with.Coverage, half.Coverage, without.Coverage)
	}
	zones, ok := without.Values["support"].([]any)
	if !ok || len(zones) == 0 {
		t.Fatalf("no zones without volume: %v", without.Values)
	}
	wantValues(t, Judgement{Values: zones[0].(classic.Object)}, classic.Object{"volume_strength": nil, "liquidity": nil})
}

func TestZoneControlWithoutInput(t *testing.T) {
	for name, in := range map[string]*Input{
		"no bars":     {},
		"19 bars":     withFuture(zigzag(1001)[:19]),
		"future only": futureOf(zigzag(1001)),
	} {
		if j := judgeZoneControl(in); j.Status != messages.Unavailable || j.Values != nil || j.Reason == "" {
			t.Errorf("%s: %+v", name, j)
		}
	}
	flat := make([]Candle, 60)
	for i := range flat {
		flat[i] = bar(1000, 1000, 1000, 1000, 0)
	}
	j := judgeZoneControl(withFuture(at(flat...)))
	if j.Signal != "neutral" || j.Confidence != 0 || math.IsNaN(j.Coverage) {
		t.Errorf("flat bars: %+v", j)
	}
}

// What is odd in the future's bar is odd in the zones that take its volume.
func TestZonesShowTheFuturesGaps(t *testing.T) {
	for name, mark := range map[string]func(*Candle){
		"gapped":  func(c *Candle) { c.Gapped = true },
		"partial": func(c *Candle) { c.Partial = true },
	} {
		in := withFuture(seesaw(60, 10))
		mark(&in.Future.Closed[50])
		bars, share := indexWithVolume(in, 60)
		if share != 1 || bars[50].Gapped != (name == "gapped") || bars[50].Partial != (name == "partial") || bars[49].Gapped || bars[49].Partial {
			t.Errorf("%s: %+v, share %v", name, bars[50], share)
		}
	}
}
