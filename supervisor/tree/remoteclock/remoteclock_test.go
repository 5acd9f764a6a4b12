package remoteclock

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"kitestring/actors/actorstest"
	"kitestring/actors/simulator"
)

// TestRemoteClockFollowsASimulatorElsewhere reads another process's clock, and
// sees when a hand moves it.
func TestRemoteClockFollowsASimulatorElsewhere(t *testing.T) {
	start := time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC)
	for _, sequence := range []bool{true, false} {
		exchange, err := simulator.New(simulator.Config{Start: start, Speed: 60, Sequence: sequence})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(exchange.Handler())
		remote, err := Open(t.Context(), server.URL)
		if err != nil {
			t.Fatal(err)
		}
		if remote.Counts() != sequence {
			t.Errorf("the sequence is %t, read as %t", sequence, remote.Counts())
		}
		near := func(slack time.Duration) func() bool {
			return func() bool { return exchange.Clock().Now().Sub(remote.Now()).Abs() < slack }
		}
		actorstest.Until(t, "the clock is read", near(30*time.Second)) // half a second of real time
		resp, err := http.Post(server.URL+"/sim/v1/clock", "application/json", strings.NewReader(`{"now":"2026-11-24T06:30:00Z","speed":1}`))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		actorstest.Until(t, "the hand is seen", near(time.Second))
		server.Close() // the exchange is away: time goes on
		before := remote.Now()
		actorstest.Until(t, "time goes on", func() bool { return remote.Now().After(before) })
		remote.Close()
	}
}

func TestRemoteClockSaysThatThereIsNoAnswer(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, address := range []string{gone.URL, "http://127.0.0.1:1", "::"} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		remote, err := Open(ctx, address)
		cancel()
		if err == nil || remote != nil || !strings.Contains(err.Error(), "kitestring sim") {
			t.Errorf("%s: %v", address, err)
		}
	}
}
