package analysis

import (
	"slices"
	"testing"
	"time"

	"kitestring/actors/analysis/classic"
	"kitestring/messages"
	"kitestring/messages/ist"
)

// noon is when the ticks of these tests came.
var noon = time.Date(2026, 3, 3, 12, 0, 0, 0, ist.Zone)

// quoted has sixty bars of the index (EMA, RSI and ATR; the last close brings
// the averages out of order) and a tick at price, with the previous close 1000
// and the day's range 990 to 1030.
func quoted(price float64) *Input {
	bars := append(seesaw(60, 0), bar(1000, 1002, 999, 1000.7, 0))[1:]
	for i := range bars {
		bars[i].Time = noon.Add(time.Duration(i-60) * fiveMinutes)
	}
	in := indexOf(bars)
	in.Now = noon
	in.IndexTick = Quote{Last: price, Open: 1000, High: 1030, Low: 990, Close: 1000, At: noon, Generation: 7}
	return in
}

func withPCR(in *Input, pcr float64) *Input {
	in.Readings = map[string]messages.Reading{"pcr": {
		Kind: "pcr", Status: messages.Watching, Values: map[string]any{"pcr": pcr}, AsOf: noon.Add(-time.Minute), OldestInput: noon.Add(-2 * time.Minute),
	}}
	return in
}

func TestInstantLargerSideWins(t *testing.T) {
	// Up: change +0.8 % 20. Down: put/call ratio 0.5 25, near nothing.
	j := judgeInstant(withPCR(quoted(1008), 0.5))
	wantValues(t, j, classic.Object{"points_up": 20, "points_down": 25})
	if j.Signal != "sell_signal" || j.Confidence != 25 || j.Status != messages.Active {
		t.Errorf("%s %v", j.Signal, j.Confidence)
	}
	for _, c := range []struct {
		bull, bear int
		signal     string
		confidence float64
	}{
		{45, 60, "sell_signal", 60}, // the predecessor buys here
		{45, 45, "wait", 0},
		{24, 0, "wait", 0},
		{25, 0, "buy_signal", 25},
		{0, 70, "strong_sell", 70},
		{100, 0, "strong_buy", 95},
		{0, 0, "wait", 0},
	} {
		s := classic.Sides{Bull: c.bull, Bear: c.bear}
		if signal, confidence, _ := larger(&s, nil); signal != c.signal || confidence != c.confidence {
			t.Errorf("%d against %d: %s %v, want %s %v", c.bull, c.bear, signal, confidence, c.signal, c.confidence)
		}
	}
	if signal, _ := (&classic.Sides{Bull: 45, Bear: 60}).Signal(); signal != "BUY_SIGNAL" {
		t.Errorf("classic: %s", signal)
	}
}

func TestInstantStopsInATR(t *testing.T) {
	in := withPCR(quoted(1012), 1.6)
	j := judgeInstant(in)
	// The seesaw's true range is 3 throughout: stop 1, target 2.
	wantValues(t, j, classic.Object{"atr": 3.0, "entry": 1012.0, "stop": 1009.0, "target": 1018.0})
	if j.Signal != "buy_signal" || j.Confidence != 55 {
		t.Errorf("%s %v: change 30, ratio 25", j.Signal, j.Confidence)
	}
	in = withPCR(quoted(988), 0.5)
	in.IndexTick.Low = 980
	wantValues(t, judgeInstant(in), classic.Object{"entry": 988.0, "stop": 991.0, "target": 982.0})
	// Without enough bars for an ATR there is a signal, but no invented stop.
	in = withPCR(quoted(1012), 1.6)
	in.Index.Closed = in.Index.Closed[:10]
	j = judgeInstant(in)
	wantValues(t, j, classic.Object{"atr": nil, "entry": nil, "stop": nil, "target": nil, "rsi": nil, "ema_9": j.Values["ema_9"], "ema_21": nil, "trend": nil})
	if j.Signal != "buy_signal" || j.Values["ema_9"] == nil {
		t.Errorf("%+v", j)
	}
	// A wait has none either.
	wantValues(t, judgeInstant(quoted(1000.1)), classic.Object{"entry": nil, "stop": nil, "target": nil})
}

func TestInstantTrendIsTheAverages(t *testing.T) {
	// The day is up by 0.8 %, the averages fall: two facts.
	in := quoted(1008)
	for i := range in.Index.Closed {
		c := &in.Index.Closed[i]
		down := float64(i)
		c.Open, c.High, c.Low, c.Close = c.Open-down, c.High-down, c.Low-down, c.Close-down
	}
	j := judgeInstant(in)
	wantValues(t, j, classic.Object{"trend": "down", "points_up": 20, "points_down": 15})
	// Level averages add nothing to the change.
	wantValues(t, judgeInstant(quoted(1008)), classic.Object{"points_up": 20, "points_down": 0})
}

func TestInstantMissingInputsLowerTheCoverage(t *testing.T) {
	bare := judgeInstant(quoted(1012))
	wantValues(t, bare, classic.Object{"pcr": nil, "vwap_future": nil, "volume_future": nil, "prev_day_high": nil})
	in := withPCR(quoted(1012), 1.6)
	ratio := judgeInstant(in)
	in.FutureTick = Quote{Last: 1020, Average: 1005, Volume: 6_000_000, At: noon.Add(time.Second), Generation: 7}
	full := judgeInstant(in)
	if bare.Coverage != 5.0/9 || ratio.Coverage != 6.0/9 || full.Coverage != 8.0/9 {
		t.Errorf("coverage %v, %v, %v; want 5, 6 and 8 of 9", bare.Coverage, ratio.Coverage, full.Coverage)
	}
	// Change 30, ratio 25, future 1.5 % above its average 20, volume 10.
	wantValues(t, full, classic.Object{"points_up": 85, "vwap_future": 1005.0, "volume_future": 6e6})
	if full.Signal != "strong_buy" || !full.AsOf.Equal(noon.Add(time.Second)) {
		t.Errorf("%s as of %v", full.Signal, full.AsOf)
	}
	if in.Readings["pcr"] = (messages.Reading{Kind: "pcr", Status: messages.Unavailable, Values: map[string]any{"pcr": 1.6}}); judgeInstant(in).Values["pcr"] != nil {
		t.Error("an unavailable ratio was used")
	}
	if j := judgeInstant(&Input{Now: noon}); j.Status != messages.Unavailable || j.Values != nil {
		t.Errorf("without a tick: %+v", j)
	}
}

func TestInstantVWAPOfBars(t *testing.T) {
	in := quoted(1000)
	in.FutureTick = Quote{Last: 1010, At: noon}
	bars := closeBars(1000, 1000)
	for i := range bars {
		bars[i].Time, bars[i].Volume = noon.Add(time.Duration(i-2)*fiveMinutes), 100
	}
	in.Future.Closed = bars
	// The tick has no average price: that of the day's bars stands in.
	wantValues(t, judgeInstant(in), classic.Object{"vwap_future": 1000.0, "off_vwap_percent": 1.0, "points_up": 12})
	for _, last := range []float64{1000.04, 999.96} { // what is written as 0.00 % is no side; 5 is the place in the day's range
		in.FutureTick.Last = last
		wantValues(t, judgeInstant(in), classic.Object{"points_up": 0, "points_down": 5})
	}
}

func TestPreviousDayMustBeWhole(t *testing.T) {
	open := time.Date(2026, 3, 2, 9, 15, 0, 0, ist.Zone)
	day := make([]Candle, 75)
	for i := range day {
		day[i] = bar(1000, 1010+float64(i), 990, 1000, 0)
		day[i].Time = open.Add(time.Duration(i) * fiveMinutes)
	}
	today := bar(1100, 1200, 1100, 1100, 0)
	today.Time = open.Add(24 * time.Hour)
	level := func(bars []Candle) (float64, float64, bool) {
		return previousDay(&Input{Index: Window{Interval: fiveMinutes, Closed: append(slices.Clone(bars), today)}}, noon)
	}
	if high, low, ok := level(day); !ok || high != 1084 || low != 990 {
		t.Errorf("whole day: %v %v %t, want 1084 990", high, low, ok)
	}
	gapped := slices.Clone(day)
	gapped[30].Gapped = true
	for name, bars := range map[string][]Candle{"no day": nil, "no morning": day[1:], "no end": day[:74], "a gap": gapped} {
		if _, _, ok := level(bars); ok {
			t.Errorf("%s: levels all the same", name)
		}
	}
}

func TestTimeQuality(t *testing.T) {
	for clock, want := range map[string]string{
		"09:15:00": "poor", "09:24:59": "poor", "09:25:00": "good", "15:19:59": "good", "15:20:00": "poor", "15:29:59": "poor",
	} {
		now, err := time.ParseInLocation(time.DateTime, "2026-03-04 "+clock, ist.Zone)
		if err != nil {
			t.Fatal(err)
		}
		if got := timeQuality(&Input{Phase: messages.Open, Now: now.UTC()}); got != want {
			t.Errorf("%s: %s, want %s", clock, got, want)
		}
	}
	if got := timeQuality(&Input{Phase: messages.Closing, Now: noon}); got != "closed" {
		t.Errorf("after the close: %s", got)
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
