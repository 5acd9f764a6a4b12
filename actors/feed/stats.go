package feed

import (
	"maps"
	"slices"
	"sync"
	"time"

	"kitestring/actors/merger"
	"kitestring/messages"
	"kitestring/messages/wire"
)

// Stats is what the feed counts. Counters begin with the process.
type Stats struct {
	State          messages.FeedState
	Shards         []messages.ShardStatus
	Generation     messages.Generation // the oldest that a streaming socket uses; 0: none streams
	Sockets        int                 // that stream
	Instruments    int
	ByMode         map[messages.Mode]int // instruments
	Refused        []Refusal
	Ticks          uint64 // pushed
	TicksByMode    map[messages.Mode]uint64
	TicksPerSecond float64
	Malformed      map[string]uint64 // by reason
	Connects       map[string]uint64 // by result
	Disconnects    map[string]uint64 // by reason
	Counters
}

// Counters are what one shard counts, or all of them together.
type Counters struct {
	Frames     uint64 // binary, without heartbeats
	Heartbeats uint64
	Texts      uint64
	Bytes      uint64
	Duplicates uint64 // byte-equal repeats on one socket, the cached tick among them
	Overlapped uint64 // came on both sockets of a swap
	Unwanted   uint64 // of instruments that nobody asked for (any more)
	Ignored    uint64 // in another mode than asked for
	Lost       uint64 // by the sequence; 0 where the source has none
	Repeated   uint64 // likewise
	LastFrame  time.Time
	LastTick   time.Time
}

// counts are a shard's, kept under its table's lock.
type counts struct {
	Counters
	ticks     [4]uint64 // by mode
	malformed [malformedFrames + len(wire.FrameReasons)]uint64
	joins     merger.Joins
}

// Stats answers the counters as they are now.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	out := Stats{
		State: s.state, Shards: slices.Clone(s.shards),
		Instruments: len(s.wanted), ByMode: map[messages.Mode]int{}, Refused: slices.Clone(s.refused),
		TicksByMode: map[messages.Mode]uint64{}, Malformed: map[string]uint64{},
		Connects: maps.Clone(s.connects), Disconnects: maps.Clone(s.disconnects),
	}
	for _, p := range s.wanted {
		out.ByMode[p.mode]++
	}
	s.mu.Unlock()
	for _, shard := range out.Shards {
		if shard.State == messages.Streaming {
			out.Sockets++
			if out.Generation == 0 || shard.Generation < out.Generation {
				out.Generation = shard.Generation
			}
		}
	}
	now := time.Now()
	for _, t := range s.tables {
		t.addTo(&out, now)
	}
	return out
}

func (t *table) addTo(out *Stats, now time.Time) {
	t.lock()
	defer t.mu.Unlock()
	c := &t.counts
	out.Frames += c.Frames
	out.Heartbeats += c.Heartbeats
	out.Texts += c.Texts
	out.Bytes += c.Bytes
	out.Duplicates += c.Duplicates
	out.Overlapped += c.Overlapped
	out.Unwanted += c.Unwanted
	out.Ignored += c.Ignored
	out.Lost += c.Lost
	out.Repeated += c.Repeated
	if c.LastFrame.After(out.LastFrame) {
		out.LastFrame = c.LastFrame
	}
	if c.LastTick.After(out.LastTick) {
		out.LastTick = c.LastTick
	}
	for mode, n := range c.ticks {
		out.Ticks += n
		out.TicksByMode[messages.Mode(mode)] += n
	}
	for i, n := range c.malformed {
		out.Malformed[malformedReasons[i]] += n
	}
	out.TicksPerSecond += t.rate.perSecond(now)
}

// Arrival is how much of a shard's instruments has come.
type Arrival struct {
	Wanted    int       // instruments
	Arrived   int       // of which a packet has come since the connection was opened
	LastFrame time.Time // heartbeats count; zero: none yet
}

// Arrivals are those of every shard.
func (s *Store) Arrivals() (all [MaxShards]Arrival) {
	for i, t := range s.tables {
		a := &all[i]
		a.Wanted = len(s.subscriptions(i))
		t.locked(func() {
			a.LastFrame = t.counts.LastFrame
			for j := range t.slots {
				if slot := &t.slots[j]; slot.used && slot.length > 0 && slot.arrived == t.epoch {
					a.Arrived++
				}
			}
		})
	}
	return all
}

// The reasons of kitestring_feed_malformed_total, as indices.
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

func malformedIndex(r wire.FrameReason) int { return slices.Index(malformedReasons, string(r)) }

func (c *counts) frame(raw []byte, now time.Time) {
	if wire.Heartbeat(raw) {
		c.Heartbeats++
	} else {
		c.Frames++
	}
	c.Bytes += uint64(len(raw))
	c.LastFrame = now
}

// pushed counts ticks that go out and answers their newest exchange time.
func (c *counts) pushed(ticks []messages.Tick, now time.Time) (newest uint32) {
	for i := range ticks {
		newest = max(newest, ticks[i].ExchangeTime)
		c.ticks[ticks[i].Mode&3]++
	}
	c.LastTick = now
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
		t.counts.Lost += uint64(step - 1)
		return step - 1
	case step == 0 && s.mode != tick.Mode: // the same tick in another mode
	case step <= 0:
		t.counts.Repeated++
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
	if sum == 0 { // nothing before this second: it is the first, and not over
		if b := r.buckets[now.Unix()&7]; b.second == now.Unix() {
			return float64(b.n)
		}
	}
	return float64(sum) / rateOver
}

// logBudget bounds the log lines about what comes from outside: so many in a
// span of time, and the count of the others. Safe for concurrent use.
type logBudget struct {
	most int
	per  time.Duration

	mu    sync.Mutex
	begun time.Time
	used  int
	held  uint64
}

// take reports whether a line may be logged, and how many before it were not.
func (b *logBudget) take(now time.Time) (ok bool, held uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.begun) >= b.per {
		b.begun, b.used = now, 0
	}
	if b.used == b.most {
		b.held++
		return false, 0
	}
	b.used++
	held, b.held = b.held, 0
	return true, held
}
