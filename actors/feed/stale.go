package feed

import (
	"time"

	"kitestring/messages"
)

// How long a shard may bring frames but no tick while the market is open, and
// how far that patience grows when even a new connection brings none (it may
// be a set of quiet instruments).
const (
	staleAfter    = 5 * time.Second
	stalePatience = 5 * time.Minute
)

// remedy is what helps a stale shard next.
type remedy uint8

const (
	nothing remedy = iota
	subscribeAgain
	connectAgain
)

// staleness watches one shard for ticks. Frames without ticks are normal in a
// closed market and wrong in an open one: two different clocks.
type staleness struct {
	stale    bool
	since    time.Time // of the last tick, remedy or beginning
	patience time.Duration
	tried    bool // subscribing again has been tried
}

// next looks at a shard once a second. should: it streams, wants instruments,
// and the market is open. lastTick is when it last handed a tick on.
func (s staleness) next(now, lastTick time.Time, should bool) (staleness, remedy) {
	if !should {
		// Patience outlives the reconnect that it asked for.
		return staleness{stale: s.stale && !s.since.IsZero() && s.patience > staleAfter, patience: s.patience}, nothing
	}
	if s.since.IsZero() {
		s.since = now
		s.patience = max(s.patience, staleAfter)
	}
	if lastTick.After(s.since) {
		return staleness{since: lastTick, patience: staleAfter}, nothing
	}
	if now.Sub(s.since) < s.patience {
		return s, nothing
	}
	s.stale, s.since = true, now
	if !s.tried {
		s.tried = true
		return s, subscribeAgain
	}
	s.tried = false
	s.patience = min(2*s.patience, stalePatience)
	return s, connectAgain
}

// marketOpen reports whether ticks are due.
func marketOpen(p messages.PhaseChanged) bool { return p.Phase == messages.Open }
