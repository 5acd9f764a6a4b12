package actors_test

import (
	"testing"
	"testing/synctest"
	"time"

	"kitestring/actors"
)

// TestNoSecondHoldsMoreThanKiteAllows asks as fast as it may for ten seconds.
func TestNoSecondHoldsMoreThanKiteAllows(t *testing.T) {
	for class, limit := range map[actors.Class]int{
		actors.ClassQuote: 1, actors.ClassHistorical: 3, actors.ClassProfile: 10, actors.ClassInstruments: 10,
	} {
		synctest.Test(t, func(t *testing.T) {
			b := actors.NewBudget()
			var sent []time.Time
			for start := time.Now(); time.Since(start) < 10*time.Second; {
				if err := b.Wait(t.Context(), class); err != nil {
					t.Fatal(err)
				}
				sent = append(sent, time.Now())
			}
			for i := range sent {
				if i >= limit && sent[i].Sub(sent[i-limit]) <= time.Second {
					t.Fatalf("%s: %d requests within %s", class, limit+1, sent[i].Sub(sent[i-limit]))
				}
			}
			// Not a budget that hardly lets anything through.
			if low := limit * 10 / 2; len(sent) < low {
				t.Errorf("%s: %d requests in 10 s, want at least %d", class, len(sent), low)
			}
		})
	}
}
