package drills

import (
	"testing"
)

// TestShortDrills runs the drills that are quick enough for every test run;
// "make drills" runs them all.
func TestShortDrills(t *testing.T) {
	for _, d := range All() {
		if !d.Short {
			continue
		}
		t.Run(d.Name, func(t *testing.T) {
			result := Run(t.Context(), d, t.TempDir())
			switch {
			case result.Skipped:
				t.Skip(result.Detail)
			case !result.OK:
				t.Error(result.Detail)
			default:
				t.Log(result.Detail)
			}
		})
	}
}
