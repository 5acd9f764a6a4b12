package drills

import "testing"

// TestManyRotations is the drill rotate-1000, as long as a test run has time.
// Its bounds are as tight as a leak of one goroutine, one file or 50 kB a
// rotation wants them.
func TestManyRotations(t *testing.T) {
	drills, err := Find([]string{"rotate-1000"})
	if err != nil {
		t.Fatal(err)
	}
	d := drills[0]
	d.run = withHistory(rotations(80, 2_000_000))
	if testing.Short() {
		d.run = withHistory(rotations(40, 2_000_000))
	}
	if result := Run(t.Context(), d, t.TempDir(), Options{}); !result.OK {
		t.Error(result.Detail)
	} else {
		t.Log(result.Detail)
	}
}
