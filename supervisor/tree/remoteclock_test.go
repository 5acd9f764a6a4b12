package tree

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"kitestring/actors/simulator"
)

// TestFarClockFollowsASimulatorElsewhere reads another process's clock, and
// sees when a hand moves it.
func TestFarClockFollowsASimulatorElsewhere(t *testing.T) {
	start := time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC)
	for _, sequence := range []bool{true, false} {
		exchange, err := simulator.New(simulator.Config{Start: start, Speed: 60, Sequence: sequence})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(exchange.Handler())
		far, err := openFarClock(t.Context(), server.URL)
		if err != nil {
			t.Fatal(err)
		}
		if far.counts() != sequence {
			t.Errorf("the sequence is %t, read as %t", sequence, far.counts())
		}
		near := func(slack time.Duration) func() bool {
			return func() bool { return exchange.Clock().Now().Sub(far.Now()).Abs() < slack }
		}
		farEventually(t, "the clock is read", near(30*time.Second)) // half a second of ours
		resp, err := http.Post(server.URL+"/sim/v1/clock", "application/json", strings.NewReader(`{"now":"2026-11-24T06:30:00Z","speed":1}`))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		farEventually(t, "the hand is seen", near(time.Second))
		server.Close() // the exchange is away: time goes on
		before := far.Now()
		farEventually(t, "time goes on", func() bool { return far.Now().After(before) })
		far.close()
	}
}

func TestFarClockSaysThatNobodyAnswers(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, address := range []string{gone.URL, "http://127.0.0.1:1", "::"} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		far, err := openFarClock(ctx, address)
		cancel()
		if err == nil || far != nil || !strings.Contains(err.Error(), "kitestring sim") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func farEventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline, tick := time.After(time.Minute), time.Tick(5*time.Millisecond); !ok(); {
		select {
		case <-deadline:
			t.Fatalf("not within a minute: %s", what)
		case <-tick:
		}
	}
}
