package analysis

import (
	"sync"
	"time"
)

// OpenInterest remembers the open interest with which each option opened the
// day: an analysis that is born anew at noon could not learn it from ticks.
// One is shared by all incarnations; the zero value is ready.
type OpenInterest struct {
	mu   sync.Mutex
	seen map[openKey]opening
}

type openKey struct {
	instrument uint32
	expiry     int64 // instrument tokens are recycled after expiry
}

type opening struct {
	day   int64
	oi    int64
	known bool // seen early enough to be the open's
}

// note takes the open interest at a time, and gives the day's first; false
// when that came too late to be the open's.
func (o *OpenInterest) note(instrument uint32, expiry time.Time, at, oi int64) (int64, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	key, today := openKey{instrument, expiry.Unix()}, istDay(at)
	first, ok := o.seen[key]
	if !ok || today > first.day {
		if o.seen == nil || len(o.seen) > 10_000 { // months of expired chains
			o.seen = map[openKey]opening{}
		}
		first = opening{day: today, oi: oi, known: at < sessionStart(at)+openingSpan}
		o.seen[key] = first
	}
	return first.oi, first.known
}
