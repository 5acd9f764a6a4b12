package feed

import (
	"time"

	"kitestring/messages"
)

// indexGapAfter is how many exchange seconds may lie between two ticks of an
// instrument without volume before the time between counts as blind: an index
// ticks about once a second.
const indexGapAfter = 2

// seam compares the first packet after a break with the last one before it.
// A quiet instrument, whose volume has not changed, has missed nothing;
// neither has one whose only trade is the packet itself. missed is by the
// sequence, -1 when unknown.
func (t *table) seam(s *slot, tick *messages.Tick, missed int64) {
	volume := max(int64(tick.Volume)-int64(s.volume), 0)
	seconds := max(int64(tick.ExchangeTime)-int64(s.exchange), 0)
	if tick.ExchangeTime == 0 || s.exchange == 0 {
		seconds = 0
	}
	switch {
	case missed == 0:
		return
	case missed > 0:
	case tick.Length >= 44:
		if volume == 0 || volume == int64(tick.LastQuantity) {
			return
		}
	case seconds < indexGapAfter:
		return
	}
	t.gaps = append(t.gaps, messages.Gap{
		InstrumentToken: s.token,
		From:            unix(s.exchange),
		To:              unix(tick.ExchangeTime),
		BlindSeconds:    float64(seconds),
		VolumeWhile:     volume,
	})
}

// unix is an exchange time; zero for none.
func unix(seconds uint32) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).UTC()
}

// takeGaps answers the blind spans found since the last call, and why.
func (t *table) takeGaps() ([]messages.Gap, messages.GapReason) {
	t.lock()
	defer t.mu.Unlock()
	gaps := t.gaps
	t.gaps = nil
	return gaps, t.reason
}
