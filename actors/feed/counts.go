package feed

import (
	"time"

	"kitestring/messages"
	"kitestring/messages/wire"
)

// The reasons of feed_malformed_total, as indices.
const (
	malformedText = iota
	unknownLength
	unknownSegment
	malformedFrames // from here on wire.FrameReasons
)

// malformedReasons are the label values, in the order of the indices.
var malformedReasons = func() []string {
	names := []string{"text", "unknown_length", "unknown_segment"}
	for _, r := range wire.FrameReasons {
		names = append(names, string(r))
	}
	return names
}()

func malformedIndex(r wire.FrameReason) int {
	for i, name := range wire.FrameReasons {
		if name == r {
			return malformedFrames + i
		}
	}
	return malformedText
}

// counts are a shard's counters, kept under its table's lock.
type counts struct {
	frames, heartbeats uint64
	texts              map[wire.TextType]uint64
	bytes              uint64
	ticks              [4]uint64 // by mode
	malformed          [malformedFrames + len(wire.FrameReasons)]uint64
	duplicates         uint64 // byte-equal repeats on one socket
	overlapped         uint64 // came on both sockets of a swap
	unwanted           uint64 // of instruments that nobody asked for
	ignored            uint64 // in a lower mode than asked for
	lost, twice        uint64 // by the sequence
	lastFrame          time.Time
	lastTick           time.Time
}

func (c *counts) frame(raw []byte, now time.Time) {
	if wire.Heartbeat(raw) {
		c.heartbeats++
	} else {
		c.frames++
	}
	c.bytes += uint64(len(raw))
	c.lastFrame = now
}

// pushed counts ticks that go out and answers their newest exchange time.
func (c *counts) pushed(ticks []messages.Tick, now time.Time) (newest uint32) {
	for i := range ticks {
		newest = max(newest, ticks[i].ExchangeTime)
		c.ticks[ticks[i].Mode&3]++
	}
	c.lastTick = now
	return newest
}

// count follows the per-instrument sequence and answers how many ticks are
// missing before this one; -1 when that cannot be known.
func (t *table) count(s *slot, tick *messages.Tick) (missed int64) {
	if !t.sequenced || tick.Length < 44 || s.length < 44 {
		return -1
	}
	switch step := int64(tick.LastQuantity) - int64(s.quantity); {
	case step > 1:
		t.counts.lost += uint64(step - 1)
		return step - 1
	case step == 0 && s.mode != tick.Mode: // the same tick in another mode
	case step <= 0:
		t.counts.twice++
	}
	return 0
}

// rate counts ticks per second over the last whole seconds.
type rate struct {
	buckets [8]struct {
		second int64
		n      int
	}
}

const rateOver = 3 // seconds

func (r *rate) add(now time.Time, n int) {
	second := now.Unix()
	b := &r.buckets[second&7]
	if b.second != second {
		b.second, b.n = second, 0
	}
	b.n += n
}

func (r *rate) perSecond(now time.Time) float64 {
	sum := 0
	for s := now.Unix() - rateOver; s < now.Unix(); s++ {
		if b := r.buckets[s&7]; b.second == s {
			sum += b.n
		}
	}
	return float64(sum) / rateOver
}
