package feed

import "time"

// stalePatience is how far the patience with a shard that brings frames but no
// ticks grows, when even a new connection brings none: it may be a set of
// quiet instruments.
const stalePatience = 5 * time.Minute

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

// next looks at a shard once a second. due: the market is open and the shard
// wants instruments. streams: it has a socket that brings frames. lastTick is
// when it last handed a tick on; after is the first patience.
func (s staleness) next(now, lastTick time.Time, due, streams bool, after time.Duration) (staleness, remedy) {
	switch {
	case !due:
		return staleness{}, nothing
	case !streams: // what was learned outlives the reconnect that it asked for
		return staleness{stale: s.stale, patience: s.patience}, nothing
	}
	if s.since.IsZero() {
		s.since = now
		s.patience = max(s.patience, after)
	}
	if lastTick.After(s.since) {
		return staleness{since: lastTick, patience: after}, nothing
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
