package classic

import (
	"testing"
	"time"
)

// bar makes a candle of open, high, low, close and volume.
func bar(o, h, l, c, v float64) Candle { return Candle{Open: o, High: h, Low: l, Close: c, Volume: v} }

// at gives candles consecutive five-minute starts from 09:15 IST.
func at(bars ...Candle) []Candle {
	start := time.Date(2026, 3, 2, 3, 45, 0, 0, time.UTC)
	for i := range bars {
		bars[i].Time = start.Add(time.Duration(i) * 5 * time.Minute)
		bars[i].Newest = bars[i].Time.Add(299 * time.Second)
	}
	return bars
}

// seesaw is n candles, alternately rising and falling by one point about 1000,
// each with the volume.
func seesaw(n int, volume float64) []Candle {
	bars := make([]Candle, n)
	for i := range bars {
		bars[i] = bar(1000, 1002, 999, 1001, volume)
		if i%2 == 1 {
			bars[i] = bar(1001, 1002, 999, 1000, volume)
		}
	}
	return at(bars...)
}

func part(t *testing.T, out Object, path ...string) any {
	t.Helper()
	var v any = out
	for _, name := range path {
		o, ok := v.(Object)
		if !ok {
			t.Fatalf("no object at %v in %v", path, out)
		}
		v = o[name]
	}
	return v
}

// The golden bars never reach EXHAUSTION, SELLER_EXHAUSTION and HEALTHY.
func TestClassicVolumeQualityByHand(t *testing.T) {
	for _, c := range []struct {
		name                                  string
		last                                  Candle
		closes                                [6]float64 // of the six bars before the last
		participation, aggression, exhaustion int
		quality                               string
	}{
		{
			// Volume 300 against 100: spike 3 -> 40. Move 2 points after 10: ratio
			// 0.2 -> 40. Range 10 > 1.5 * 3 -> 20. Not absorption: range is 1 %.
			"exhaustion",
			bar(1010, 1016, 1006, 1012, 300),
			[6]float64{1000, 1000, 1010, 1010, 1010, 1010},
			100, 20, 100, "EXHAUSTION",
		},
		{
			// Volume 160 against 100: spike 1.6 -> 20, ratio 0.2 -> 40; participation
			// 160/103 = 1.55 -> 80.
			"seller exhaustion",
			bar(1012, 1017, 1007, 1008, 160),
			[6]float64{1000, 1000, 1010, 1010, 1010, 1010},
			80, 40, 60, "SELLER_EXHAUSTION",
		},
		{
			// Body 1.2 % on the usual volume -> 80; the move goes on: ratio 1.2.
			"healthy",
			bar(1010, 1024, 1008, 1022, 100),
			[6]float64{1000, 1000, 1010, 1010, 1010, 1010},
			60, 80, 0, "HEALTHY",
		},
		{
			// Body 1.2 % on half the volume: 1.19/0.51 -> 100, participation 20.
			"fake breakout",
			bar(1010, 1024, 1008, 1022, 50),
			[6]float64{1000, 1000, 1010, 1010, 1010, 1010},
			20, 100, 0, "FAKE_BREAKOUT",
		},
	} {
		bars := seesaw(13, 100)
		for _, closed := range c.closes {
			bars = append(bars, bar(closed-1, closed+1, closed-2, closed, 100))
		}
		bars = append(bars, c.last)
		out := VolumePulse("NIFTY", bars)
		for name, want := range map[string]any{
			"participation": c.participation, "aggression": c.aggression, "exhaustion": c.exhaustion, "volume_quality": c.quality,
		} {
			if got := part(t, out, "pro_metrics", name); got != want {
				t.Errorf("%s: %s is %v, want %v", c.name, name, got, want)
			}
		}
	}
}

func TestClassicVolumePulseWithoutRed(t *testing.T) {
	bars := make([]Candle, 20)
	for i := range bars {
		bars[i] = bar(1000, 1002, 999, 1001, 100)
	}
	out := VolumePulse("NIFTY", bars)
	if ratio := part(t, out, "volume_data", "ratio"); ratio != 999.0 {
		t.Errorf("ratio without red volume: %v, want 999", ratio)
	}
	// 0.7 * 100 and no momentum: the last five are as green as all.
	if out["pulse_score"] != 70 || out["signal"] != "BUY" || out["confidence"] != 70 || out["status"] != "ACTIVE" {
		t.Errorf("all green: %v", out)
	}
}

// The golden bars never reach MIXED.
func TestClassicTrendBaseMixed(t *testing.T) {
	flat := make([]Candle, 20)
	for i := range flat {
		flat[i] = bar(1000, 1000, 1000, 1000, 0)
	}
	out := TrendBase("NIFTY", flat)
	if got := part(t, out, "structure", "type"); got != "MIXED" {
		t.Errorf("flat bars: %v, want MIXED", got)
	}
	if out["signal"] != "NEUTRAL" || out["confidence"] != 50 || out["trend"] != "SIDEWAYS" || out["status"] != "ACTIVE" {
		t.Errorf("flat bars: %v", out)
	}
	for _, levels := range [][4]float64{{100, 100, 90, 80}, {110, 100, 90, 90}} {
		if structure, score := TrendStructure(levels[0], levels[1], levels[2], levels[3]); structure != "MIXED" || score != 50 {
			t.Errorf("%v: %s %d, want MIXED 50", levels, structure, score)
		}
	}
}

func TestClassicTrendSignals(t *testing.T) {
	for _, c := range []struct {
		structure      string
		score          int
		price, lastLow float64
		signal         string
		confidence     int
	}{
		{HigherHighHigherLow, 90, 101, 100, "BUY", 95},
		{HigherHighHigherLow, 70, 101, 100, "BUY", 80},
		{HigherHighHigherLow, 70, 103, 100, "BUY", 70},
		{HigherHighHigherLow, 70, 106, 100, "BUY", 60},
		{HigherHighHigherLow, 65, 106, 100, "BUY", 55},
		{HigherHighHigherLow, 60, 101, 100, "BUY", 60},
		{LowerHighLowerLow, 0, 101, 100, "SELL", 95},
		{LowerHighLowerLow, 25, 101, 100, "SELL", 75},
		{LowerHighLowerLow, 40, 101, 100, "SELL", 60},
		{HigherHighLowerLow, 45, 101, 100, "NEUTRAL", 45},
		{LowerHighHigherLow, 55, 101, 100, "NEUTRAL", 45},
		{MixedStructure, 50, 101, 100, "NEUTRAL", 50},
	} {
		signal, confidence := TrendSignal(c.structure, c.score, c.price, c.lastLow)
		if signal != c.signal || confidence != c.confidence {
			t.Errorf("%s %d at %v: %s %d, want %s %d", c.structure, c.score, c.price, signal, confidence, c.signal, c.confidence)
		}
	}
}

// The classic pattern rules, first match first; NEUTRAL and a doji included.
func TestClassicCandlePatterns(t *testing.T) {
	for _, c := range []struct {
		name  string
		shape CandleShape
		want  CandlePattern
	}{
		{"upper wick near a zone", CandleShape{Body: 0.2, Upper: 0.6, Lower: 0.2, Near: true}, CandlePattern{"REJECTION", "BEARISH", 90, 85}},
		{"upper wick elsewhere", CandleShape{Body: 0.2, Upper: 0.6, Lower: 0.2}, CandlePattern{"REJECTION", "BEARISH", 90, 70}},
		{"lower wick near a zone", CandleShape{Body: 0.2, Upper: 0.2, Lower: 0.6, Near: true}, CandlePattern{"ABSORPTION", "BULLISH", 90, 85}},
		{"both wicks on volume", CandleShape{Body: 0.2, Upper: 0.4, Lower: 0.4, VolumeRatio: 3}, CandlePattern{"ABSORPTION", "BULLISH", 150, 80}},
		{"big body on no volume", CandleShape{Body: 0.9, VolumeRatio: 0.5, Green: true}, CandlePattern{"EMOTIONAL", "BEARISH", 90, 75}},
		{"small body near a zone", CandleShape{Body: 0.375, Upper: 0.3, Lower: 0.325, VolumeRatio: 1, Near: true}, CandlePattern{"BREAKOUT_SETUP", "NEUTRAL", 60, 70}},
		{"green on volume", CandleShape{Body: 0.75, VolumeRatio: 1.5, Green: true}, CandlePattern{"HEALTHY_MOVE", "BULLISH", 125, 85}},
		{"red on volume", CandleShape{Body: 0.75, VolumeRatio: 1.5}, CandlePattern{"HEALTHY_MOVE", "BEARISH", 125, 85}},
		{"nothing", CandleShape{Body: 0.5, Upper: 0.25, Lower: 0.25, VolumeRatio: 1}, CandlePattern{"NEUTRAL", "NEUTRAL", 50, 50}},
	} {
		if got := c.shape.Pattern("BEARISH", c.shape.Near && c.shape.Body < 0.4); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// The golden bars never reach the Defensive Zone.
func TestClassicDefensiveZone(t *testing.T) {
	// Two bars straddle 1000 and the next ones close 4 % away: 20 * 4 = 80.
	bars := at(
		bar(1000, 1005, 995, 1001, 0), bar(1010, 1041, 1009, 1040, 0),
		bar(1000, 1005, 995, 1001, 0), bar(1010, 1041, 1009, 1040, 0),
	)
	z := Zone{Level: 1000, Touches: 2}
	z.JudgeQuality(bars, true)
	if z.Label != "Defensive Zone" || z.rejection < 79.99 || z.rejection > 80.01 || z.absorption != 50 || z.wick != 50 {
		t.Errorf("%+v, want a Defensive Zone with rejection 80", z)
	}
	// 24 + 12.5 + 10 + 2.4 + 1 (no volume counts as one) = 49.9
	if z.Liquidity != 49 {
		t.Errorf("liquidity %d, want 49", z.Liquidity)
	}
}

// A volume of many means alone would take the liquidity over its scale.
func TestClassicLiquidityEndsAt100(t *testing.T) {
	z := Zone{Level: 1000, Touches: 2, Traded: true, Volume: 90}
	z.JudgeQuality(at(bar(1000, 1005, 995, 1001, 1), bar(1010, 1041, 1009, 1040, 1)), true)
	if z.Liquidity != 100 {
		t.Errorf("liquidity %d, want 100", z.Liquidity)
	}
}

func TestClassicZoneLabels(t *testing.T) {
	for _, c := range []struct {
		zone Zone
		want string
	}{
		{Zone{wick: 71, rejection: 80, absorption: 80}, "Trap Zone"},
		{Zone{wick: 70, rejection: 71, absorption: 59}, "Defensive Zone"},
		{Zone{wick: 50, rejection: 71, absorption: 60, Touches: 3}, "Standard Zone"},
		{Zone{wick: 50, rejection: 71, absorption: 71}, "Supply Exhaustion Zone"},
		{Zone{wick: 50, rejection: 50, absorption: 50, Touches: 3}, "Liquidity Pool"},
		{Zone{wick: 50, rejection: 50, absorption: 50, Touches: 2}, "Standard Zone"},
	} {
		if got := c.zone.name(); got != c.want {
			t.Errorf("%+v: %s, want %s", c.zone, got, c.want)
		}
	}
}

func TestClassicZoneSignals(t *testing.T) {
	near := &Zone{Level: 1000, Distance: -0.2, Strength: 80}
	above := &Zone{Level: 1005, Distance: 0.5, Strength: 80}
	weak := &Zone{Level: 1005, Distance: 0.5, Strength: 55}
	far := &Zone{Level: 950, Distance: -5, Strength: 80}
	for _, c := range []struct {
		name                string
		support, resistance *Zone
		risk, bounce        int
		strength            string
		signal              string
		confidence          int
	}{
		{"support holds", near, above, 40, 75, "STRONG", "BUY_ZONE", 65},
		{"support of middling zones", near, above, 40, 75, "MODERATE", "NEUTRAL", 55},
		{"support hardly holds", near, above, 40, 45, "STRONG", "NEUTRAL", 30},
		{"strong resistance", far, above, 40, 40, "STRONG", "SELL_ZONE", 80},
		{"weak resistance", nil, weak, 50, 50, "MODERATE", "NEUTRAL", 45},
		{"between, strong", far, &Zone{Distance: 3}, 0, 65, "STRONG", "NEUTRAL", 60},
		{"between, strong, capped", far, &Zone{Distance: 3}, 0, 50, "STRONG", "NEUTRAL", 75},
		{"between, moderate, capped", far, &Zone{Distance: 3}, 0, 50, "MODERATE", "NEUTRAL", 60},
		{"one side only", far, nil, 0, 40, "STRONG", "NEUTRAL", 40},
	} {
		signal, confidence, _ := classicZoneSignal(c.support, c.resistance, c.risk, c.bounce, c.strength)
		if signal != c.signal || confidence != c.confidence {
			t.Errorf("%s: %s %d, want %s %d", c.name, signal, confidence, c.signal, c.confidence)
		}
	}
}

// Risk and bounce are capped at 95.
func TestClassicZoneChances(t *testing.T) {
	// 40 (at the zone) + 30 (weak) + 30 (falling by more than 2 %).
	if got := BreakdownRisk(&Zone{Distance: -0.1, Strength: 20}, -2.5); got != 95 {
		t.Errorf("risk %d, want 95", got)
	}
	// 40 (strong) + 35 (at the zone) + 25 (room).
	if got := BounceProbability(&Zone{Distance: -0.1, Strength: 80}, &Zone{Distance: 6}); got != 95 {
		t.Errorf("bounce %d, want 95", got)
	}
	if risk, bounce := BreakdownRisk(nil, -3), BounceProbability(nil, nil); risk != 50 || bounce != 50 {
		t.Errorf("without a support: %d %d, want 50 50", risk, bounce)
	}
}

func TestClassicRounding(t *testing.T) {
	if a, b := roundScaled(24035.135, 2), RoundDecimal(24035.135, 2); a != 24035.14 || b != 24035.13 {
		t.Errorf("24035.135: %v and %v, want 24035.14 and 24035.13", a, b)
	}
}
