package analysis

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

func part(t *testing.T, out object, path ...string) any {
	t.Helper()
	var v any = out
	for _, name := range path {
		o, ok := v.(object)
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
		out := classicVolumePulse("NIFTY", bars)
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
	out := classicVolumePulse("NIFTY", bars)
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
	out := classicTrendBase("NIFTY", flat)
	if got := part(t, out, "structure", "type"); got != "MIXED" {
		t.Errorf("flat bars: %v, want MIXED", got)
	}
	if out["signal"] != "NEUTRAL" || out["confidence"] != 50 || out["trend"] != "SIDEWAYS" || out["status"] != "ACTIVE" {
		t.Errorf("flat bars: %v", out)
	}
	for _, levels := range [][4]float64{{100, 100, 90, 80}, {110, 100, 90, 90}} {
		if structure, score := trendStructure(levels[0], levels[1], levels[2], levels[3]); structure != "MIXED" || score != 50 {
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
		{higherHighHigherLow, 90, 101, 100, "BUY", 95},
		{higherHighHigherLow, 70, 101, 100, "BUY", 80},
		{higherHighHigherLow, 70, 103, 100, "BUY", 70},
		{higherHighHigherLow, 70, 106, 100, "BUY", 60},
		{higherHighHigherLow, 65, 106, 100, "BUY", 55},
		{higherHighHigherLow, 60, 101, 100, "BUY", 60},
		{lowerHighLowerLow, 0, 101, 100, "SELL", 95},
		{lowerHighLowerLow, 25, 101, 100, "SELL", 75},
		{lowerHighLowerLow, 40, 101, 100, "SELL", 60},
		{higherHighLowerLow, 45, 101, 100, "NEUTRAL", 45},
		{lowerHighHigherLow, 55, 101, 100, "NEUTRAL", 45},
		{mixedStructure, 50, 101, 100, "NEUTRAL", 50},
	} {
		signal, confidence := classicTrendSignal(c.structure, c.score, c.price, c.lastLow)
		if signal != c.signal || confidence != c.confidence {
			t.Errorf("%s %d at %v: %s %d, want %s %d", c.structure, c.score, c.price, signal, confidence, c.signal, c.confidence)
		}
	}
}

// The classic pattern rules, first match first; NEUTRAL and a doji included.
func TestClassicCandlePatterns(t *testing.T) {
	for _, c := range []struct {
		name  string
		shape candleShape
		want  candlePattern
	}{
		{"upper wick near a zone", candleShape{body: 0.2, upper: 0.6, lower: 0.2, near: true}, candlePattern{"REJECTION", "BEARISH", 90, 85}},
		{"upper wick elsewhere", candleShape{body: 0.2, upper: 0.6, lower: 0.2}, candlePattern{"REJECTION", "BEARISH", 90, 70}},
		{"lower wick near a zone", candleShape{body: 0.2, upper: 0.2, lower: 0.6, near: true}, candlePattern{"ABSORPTION", "BULLISH", 90, 85}},
		{"both wicks on volume", candleShape{body: 0.2, upper: 0.4, lower: 0.4, volumeRatio: 3}, candlePattern{"ABSORPTION", "BULLISH", 150, 80}},
		{"big body on no volume", candleShape{body: 0.9, volumeRatio: 0.5, green: true}, candlePattern{"EMOTIONAL", "BEARISH", 90, 75}},
		{"small body near a zone", candleShape{body: 0.375, upper: 0.3, lower: 0.325, volumeRatio: 1, near: true}, candlePattern{"BREAKOUT_SETUP", "NEUTRAL", 60, 70}},
		{"green on volume", candleShape{body: 0.75, volumeRatio: 1.5, green: true}, candlePattern{"HEALTHY_MOVE", "BULLISH", 125, 85}},
		{"red on volume", candleShape{body: 0.75, volumeRatio: 1.5}, candlePattern{"HEALTHY_MOVE", "BEARISH", 125, 85}},
		{"nothing", candleShape{body: 0.5, upper: 0.25, lower: 0.25, volumeRatio: 1}, candlePattern{"NEUTRAL", "NEUTRAL", 50, 50}},
	} {
		if got := c.shape.pattern("BEARISH", c.shape.near && c.shape.body < 0.4); got != c.want {
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
	z := zone{level: 1000, touches: 2}
	z.judgeQuality(bars, true)
	if z.label != "Defensive Zone" || z.rejection < 79.99 || z.rejection > 80.01 || z.absorption != 50 || z.wick != 50 {
		t.Errorf("%+v, want a Defensive Zone with rejection 80", z)
	}
	// 24 + 12.5 + 10 + 2.4 + 1 (no volume counts as one) = 49.9
	if z.liquidity != 49 {
		t.Errorf("liquidity %d, want 49", z.liquidity)
	}
}

func TestClassicZoneLabels(t *testing.T) {
	for _, c := range []struct {
		zone zone
		want string
	}{
		{zone{wick: 71, rejection: 80, absorption: 80}, "Trap Zone"},
		{zone{wick: 70, rejection: 71, absorption: 59}, "Defensive Zone"},
		{zone{wick: 50, rejection: 71, absorption: 60, touches: 3}, "Standard Zone"},
		{zone{wick: 50, rejection: 71, absorption: 71}, "Supply Exhaustion Zone"},
		{zone{wick: 50, rejection: 50, absorption: 50, touches: 3}, "Liquidity Pool"},
		{zone{wick: 50, rejection: 50, absorption: 50, touches: 2}, "Standard Zone"},
	} {
		if got := c.zone.name(); got != c.want {
			t.Errorf("%+v: %s, want %s", c.zone, got, c.want)
		}
	}
}

func TestClassicZoneSignals(t *testing.T) {
	near := &zone{level: 1000, distance: -0.2, strength: 80}
	above := &zone{level: 1005, distance: 0.5, strength: 80}
	weak := &zone{level: 1005, distance: 0.5, strength: 55}
	far := &zone{level: 950, distance: -5, strength: 80}
	for _, c := range []struct {
		name                string
		support, resistance *zone
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
		{"between, strong", far, &zone{distance: 3}, 0, 65, "STRONG", "NEUTRAL", 60},
		{"between, strong, capped", far, &zone{distance: 3}, 0, 50, "STRONG", "NEUTRAL", 75},
		{"between, moderate, capped", far, &zone{distance: 3}, 0, 50, "MODERATE", "NEUTRAL", 60},
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
	if got := breakdownRisk(&zone{distance: -0.1, strength: 20}, -2.5); got != 95 {
		t.Errorf("risk %d, want 95", got)
	}
	// 40 (strong) + 35 (at the zone) + 25 (room).
	if got := bounceProbability(&zone{distance: -0.1, strength: 80}, &zone{distance: 6}); got != 95 {
		t.Errorf("bounce %d, want 95", got)
	}
	if risk, bounce := breakdownRisk(nil, -3), bounceProbability(nil, nil); risk != 50 || bounce != 50 {
		t.Errorf("without a support: %d %d, want 50 50", risk, bounce)
	}
}

func TestClassicRounding(t *testing.T) {
	if a, b := roundScaled(24035.135, 2), roundDecimal(24035.135, 2); a != 24035.14 || b != 24035.13 {
		t.Errorf("24035.135: %v and %v, want 24035.14 and 24035.13", a, b)
	}
}

// classicInstantOf makes the tick of quotes; what is not there stays absent.
func TestClassicInstantOfQuotes(t *testing.T) {
	in := &Input{Underlying: "NIFTY"}
	if out := classicInstantOf(in); out != nil {
		t.Errorf("without a tick: %v", out)
	}
	in.IndexTick = Quote{Last: 25250, Open: 25000, High: 25300, Low: 24950, Close: 25000, At: time.Unix(1772430000, 0)}
	out := classicInstantOf(in)
	// Change +1 % 20, trend 15, upper part of the range 10, against 8 near the high.
	if out["signal"] != "BUY_SIGNAL" || out["confidence"] != 0.45 {
		t.Errorf("%v %v, want BUY_SIGNAL 0.45", out["signal"], out["confidence"])
	}
	if volume := part(t, out, "indicators", "volume"); volume != nil {
		t.Errorf("volume of an index: %v, want null", volume)
	}
	in.FutureTick.Volume = 6_000_000
	if out = classicInstantOf(in); out["confidence"] != 0.55 {
		t.Errorf("with the future's volume: %v, want 0.55", out["confidence"])
	}
}
