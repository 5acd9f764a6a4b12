package optionchain

import (
	"sync"
	"time"

	"kitestring/actors/hours"
	"kitestring/messages/ist"
)

// openingSpan is how long after the start of a session the first open
// interest seen of an option still counts as the open's.
const openingSpan = 5 * time.Minute

// OpenInterest remembers the open interest with which each option opened the
// day: an actor that starts again at noon could not learn it from ticks.
// One is shared by all incarnations; the zero value is ready.
type OpenInterest struct {
	mu   sync.Mutex
	seen map[openKey]openOI
}

type openKey struct {
	instrument uint32
	expiry     int64 // instrument tokens are recycled after expiry
}

type openOI struct {
	day   int64
	oi    int64
	known bool // seen early enough to be the open's
}

// Note takes the open interest at a time, and gives the day's first; false
// when that came too late to be the open's.
func (o *OpenInterest) Note(table *hours.Table, instrument uint32, expiry time.Time, at, oi int64) (int64, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	key, today := openKey{instrument, expiry.Unix()}, ist.Day(time.Unix(at, 0)).Unix()
	first, ok := o.seen[key]
	if !ok || today > first.day {
		if o.seen == nil || len(o.seen) > 10_000 { // months of expired chains
			o.seen = map[openKey]openOI{}
		}
		opening := table.Day(time.Unix(at, 0), hours.Of(instrument)).Open()
		first = openOI{day: today, oi: oi, known: time.Unix(at, 0).Before(opening.Add(openingSpan))}
		o.seen[key] = first
	}
	return first.oi, first.known
}
