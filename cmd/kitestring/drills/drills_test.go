package drills

import (
	"slices"
	"testing"
	"time"
)

// TestShortDrills runs the drills that are quick enough for every test run;
// "make drills" runs them all.
func TestShortDrills(t *testing.T) {
	for _, d := range All() {
		if !d.Short {
			continue
		}
		t.Run(d.Name, func(t *testing.T) {
			result := Run(t.Context(), d, t.TempDir(), Options{})
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

// TestShortChaos is the drill of chance, as long as a test run has time.
func TestShortChaos(t *testing.T) {
	drills, err := Find([]string{"chaos"})
	if err != nil {
		t.Fatal(err)
	}
	if result := Run(t.Context(), drills[0], t.TempDir(), Options{For: 8 * time.Second}); !result.OK {
		t.Error(result.Detail)
	} else {
		t.Log(result.Detail)
	}
}

func TestEveryDrillHasItsPlace(t *testing.T) {
	for _, d := range All() {
		if !slices.Contains(order, d.Name) {
			t.Errorf("%s has no place in a full run", d.Name)
		}
		if d.Inject == "" || d.Hold == "" {
			t.Errorf("%s does not say what it injects and what must hold", d.Name)
		}
	}
}
