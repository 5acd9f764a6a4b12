package auth

import (
	"time"

	"kitestring/actors/kite"
)

// How long an unanswered question about a candidate waits before it is asked
// again: doubling from firstRetry to lastRetry, times a jitter of 0.5 to 1.
const (
	firstRetry = 500 * time.Millisecond
	slowRetry  = 4 * time.Second // Kite said 429
	lastRetry  = 30 * time.Second
)

func retryAfter(kind kite.Kind, failures int, jitter float64) time.Duration {
	d := firstRetry
	if kind == kite.RateLimited {
		d = slowRetry
	}
	for range min(failures-1, 10) {
		d *= 2
	}
	return time.Duration(float64(min(d, lastRetry)) * jitter)
}
