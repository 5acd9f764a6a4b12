package hours

const (
	// ahead is how many seconds a tick's exchange time may be ahead of the clock.
	ahead = 120
	// oldest is how many seconds a tick may be old: the cached tick of the last
	// trading day, over the longest run of holidays.
	oldest = 10 * 24 * 3600
	// witnesses is how many instruments must agree, without one that agrees with
	// the clock, until the clock counts as wrong.
	witnesses = 3
	// steps is how many times a single instrument must have moved on instead.
	steps = 10
)

// Judge tells possible exchange times from impossible ones, by the clock
// and by the ticks of all instruments. The zero value trusts the clock.
type Judge struct {
	Newest int64 // possible exchange time so far; 0: none
	off    int64 // seconds that the clock is behind, as all ticks say

	// Ticks that agree with each other and not with the clock.
	claim   int64 // how far ahead of the clock the first was
	last    int64 // time of the newest
	moved   int   // how often a newer one came
	claimed map[uint32]bool
}

// Now is the exchange's time for the clock's.
func (j *Judge) Now(clock int64) int64 { return clock + j.off }

// Accept judges the time at of a tick of an instrument; now is what the method
// Now gives. A tick without a time (0) is nobody's witness.
func (j *Judge) Accept(instrument uint32, at, now int64) bool {
	switch off := at - now; {
	case at == 0:
		return true
	case off < -oldest:
		return false
	case off > ahead:
		return j.witness(instrument, at, off, now)
	case off > -ahead:
		j.claimed = nil // the clock is right
	}
	j.Newest = max(j.Newest, at)
	return true
}

// witness counts ticks ahead of the clock until they prove it wrong.
func (j *Judge) witness(instrument uint32, at, off, now int64) bool {
	if j.claimed == nil || off-j.claim > ahead || j.claim-off > ahead {
		j.claim, j.last, j.moved, j.claimed = off, at, 0, map[uint32]bool{}
	}
	if j.claimed[instrument] = true; at > j.last {
		j.last = at
		j.moved++
	}
	if len(j.claimed) < witnesses && j.moved < steps {
		return false
	}
	j.off += off
	j.Newest = max(j.Newest, at)
	j.claimed = nil
	return true
}
