package analysis

import (
	"slices"
	"testing"

	"kitestring/actors/analysis/classic"
	"kitestring/actors/analysis/indicators"
	"kitestring/messages"
)

func indexOf(bars []Candle) *Input {
	return &Input{Underlying: "NIFTY", Phase: messages.Open, Index: Window{Interval: fiveMinutes, Closed: bars}}
}

// walk makes bars of range 2 that go from one price to the next, four bars a
// leg: each turning point is a swing with four lower or higher bars on each side.
func walk(turns ...float64) []Candle {
	var bars []Candle
	for i := 1; i < len(turns); i++ {
		for step := range 4 {
			mid := turns[i-1] + (turns[i]-turns[i-1])*float64(step)/4
			bars = append(bars, bar(mid, mid+1, mid-1, mid, 100))
		}
	}
	last := turns[len(turns)-1]
	return at(append(bars, bar(last, last+1, last-1, last, 100))...)
}

func TestTrendBaseReadsConfirmedSwings(t *testing.T) {
	// Highs 1021 and 1041, lows 999+10 and 999+30, then three bars confirm.
	bars := walk(1000, 1020, 1010, 1040, 1030, 1060)
	j := judgeTrendBase(indexOf(bars))
	wantValues(t, j, classic.Object{
		"structure": "higher_high_higher_low", "last_high": 1041.0, "prev_high": 1021.0, "last_low": 1029.0, "prev_low": 1009.0,
		"high_diff": 20.0, "low_diff": 20.0, "integrity_score": 100, "trend": "uptrend", "provisional": nil,
		"last_high_at": stamp(bars[12].Time), "last_low_at": stamp(bars[16].Time),
	})
	// The price stands 3 % above the last low: the score itself.
	if j.Signal != "buy" || j.Confidence != 100 || j.Status != messages.Active {
		t.Errorf("%+v", j)
	}
}

func TestTrendBaseNeedsThreeBarsToConfirm(t *testing.T) {
	// The walk tops out at 1060 and falls: with two lower bars after it the top
	// is no swing, with three it is.
	bars := walk(1000, 1020, 1010, 1040, 1030, 1060, 1040)
	top := 20
	if bars[top].High != 1061 {
		t.Fatalf("the top is not at bar %d", top)
	}
	for after := range 4 {
		j := judgeTrendBase(indexOf(bars[:top+1+after]))
		want := 1041.0
		if after == 3 {
			want = 1061
		}
		wantValues(t, j, classic.Object{"last_high": want})
	}
}

func TestConfirmedPeak(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []float64
		peaks  []int
	}{
		{"plain", []float64{1, 2, 3, 9, 3, 2, 1}, []int{3}},
		{"unconfirmed", []float64{1, 2, 3, 9, 3, 2}, nil},
		{"no past", []float64{2, 3, 9, 3, 2, 1, 0}, nil},
		{"plateau counts once", []float64{1, 2, 3, 9, 9, 3, 2, 1}, []int{3}},
		{"equal highs near each other count once", []float64{1, 2, 3, 9, 4, 9, 3, 2, 1}, []int{3}},
		{"plateau not yet left", []float64{1, 2, 3, 9, 9, 9, 9, 3, 2}, nil},
		{"plateau left upwards", []float64{1, 2, 3, 9, 9, 9, 9, 9, 10, 3, 2, 1}, []int{8}},
		{"equal highs far apart count each", []float64{1, 2, 3, 9, 3, 2, 1, 2, 9, 3, 2, 1}, []int{3, 8}},
		{"flat", []float64{5, 5, 5, 5, 5, 5, 5, 5, 5}, nil},
	} {
		var peaks []int
		for i := range c.values {
			if indicators.ConfirmedPeak(c.values, i, 3) {
				peaks = append(peaks, i)
			}
		}
		if !slices.Equal(peaks, c.peaks) {
			t.Errorf("%s: %v, want %v", c.name, peaks, c.peaks)
		}
	}
}

func TestTrendBaseSkipsSwingsTooClose(t *testing.T) {
	// ATR is about 5: highs 1041 and 1041.5 are one, and 1041.5 is measured
	// against 1021.
	bars := walk(1000, 1020, 1010, 1040, 1030, 1040.5, 1030, 1040)
	wantValues(t, judgeTrendBase(indexOf(bars)), classic.Object{"last_high": 1041.5, "prev_high": 1021.0})
}

func TestTrendBaseProvisional(t *testing.T) {
	in := indexOf(walk(1000, 1020, 1010, 1040, 1030, 1036))
	closed := judgeTrendBase(in)
	// The running bar breaks the last low by more than half an ATR.
	in.Index.Running = &Candle{Open: 1030, High: 1031, Low: 1000, Close: 1005}
	j := judgeTrendBase(in)
	p, ok := j.Values["provisional"].(classic.Object)
	if !ok || p["structure"] != "higher_high_lower_low" || p["last_low"] != 1000.0 || p["price"] != 1005.0 {
		t.Errorf("provisional: %v", j.Values["provisional"])
	}
	j.Values["provisional"] = nil
	wantValues(t, j, closed.Values)
	if j.Signal != closed.Signal || j.Confidence != closed.Confidence {
		t.Errorf("the running bar changed %s to %s", closed.Signal, j.Signal)
	}
}

func TestTrendBaseWithoutSwings(t *testing.T) {
	flat := make([]Candle, 30)
	for i := range flat {
		flat[i] = bar(1000, 1000, 1000, 1000, 0)
	}
	j := judgeTrendBase(indexOf(at(flat...)))
	if j.Status != messages.Watching || j.Signal != "neutral" || j.Confidence != 0 || j.Values["structure"] != "undetermined" {
		t.Errorf("flat bars: %+v", j)
	}
	if j = judgeTrendBase(indexOf(walk(1000, 1020, 1010))); j.Status != messages.Unavailable || j.Values != nil {
		t.Errorf("9 bars: %+v", j)
	}
}
