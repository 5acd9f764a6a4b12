package kite

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestNoSecondHoldsMoreThanKiteAllows asks as fast as it may for ten seconds.
func TestNoSecondHoldsMoreThanKiteAllows(t *testing.T) {
	for class, limit := range map[Class]int{
		ClassQuote: 1, ClassHistorical: 3, ClassProfile: 10, ClassInstruments: 10,
	} {
		synctest.Test(t, func(t *testing.T) {
			b := NewBudget()
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

// TestGivingUpCostsNothing: a hundred questions, each superseded by the
// next, do not make the last one wait for the ninety-nine.
func TestGivingUpCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget()
		ended := make(chan error)
		give := func() {}
		for range 100 {
			ctx, cancel := context.WithCancel(t.Context())
			go func() { ended <- b.Wait(ctx, ClassProfile) }()
			synctest.Wait() // it waits, or has gone through
			give()          // only now: there is always one behind
			give = cancel
		}
		start := time.Now()
		through := 0
		for range 100 {
			if err := <-ended; err == nil {
				through++
			}
		}
		if took := time.Since(start); took > 300*time.Millisecond || through < 4 {
			t.Errorf("the last one waited %s; %d went through", took, through)
		}
		give()
	})
}
