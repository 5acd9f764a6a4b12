package barfile

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"kitestring/actors/analysis"
	"kitestring/messages"
)

func TestAnalyseChoosesKinds(t *testing.T) {
	l, err := Load(strings.NewReader("time_ist,open,high,low,close,volume\n"+goodRows), "x.csv", analysis.Calibrated)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	if err := Analyse(l, analysis.Calibrated, nil, []string{"trend_base"}, func(l Line) error {
		kinds = append(kinds, l.Kind)
		return nil
	}); err != nil || !slices.Equal(kinds, []string{"trend_base", "trend_base", "trend_base"}) {
		t.Error(kinds, err)
	}
	if err := Analyse(l, analysis.Calibrated, nil, []string{"pcr"}, nil); err == nil || !strings.Contains(err.Error(), `kind "pcr" does not judge bars of a file: use volume_pulse, trend_base`) {
		t.Error(err)
	}
	full := errors.New("full")
	if err := Analyse(l, analysis.Calibrated, nil, nil, func(Line) error { return full }); !errors.Is(err, full) {
		t.Error(err)
	}
	text, err := json.Marshal(Line{TimeIST: "2026-03-02 10:00:00", Kind: "pcr", Reading: &messages.Reading{Kind: "pcr", Signal: "neutral"}})
	if err != nil || !strings.HasPrefix(string(text), `{"time_ist":"2026-03-02 10:00:00","kind":"pcr","underlying":"","profile":"","signal":"neutral"`) {
		t.Errorf("%s %v", text, err)
	}
}
