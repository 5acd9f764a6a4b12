package drills

import "testing"

// TestManyRotations is the drill rotate-1000, as long as a test run has time.
func TestManyRotations(t *testing.T) {
	drills, err := Find([]string{"rotate-1000"})
	if err != nil {
		t.Fatal(err)
	}
	d := drills[0]
	d.run = rotations(60, 6_000_000)
	if testing.Short() {
		d.run = rotations(30, 6_000_000)
	}
	if result := Run(t.Context(), d, t.TempDir(), Options{}); !result.OK {
		t.Error(result.Detail)
	} else {
		t.Log(result.Detail)
	}
}
