package feed

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kitestring/actors"
	"kitestring/messages"
	"kitestring/messages/wire"
)

// MaxShards is the number of sockets that Kite allows an API key.
const MaxShards = 3

// How many receipts and gaps are kept.
const (
	rotationsKept = 100
	gapsKept      = 100
)

// Store is what the feed remembers across its incarnations: who wants which
// instruments, the last packet of each, receipts, gaps, counters, and where
// ticks go. It is made once, by whoever builds the tree. Safe for concurrent
// use.
type Store struct {
	tables [MaxShards]*table
	ids    atomic.Uint64 // socket ids: rising over all incarnations
	orders orderBook

	mu          sync.Mutex
	owners      []owner
	wanted      map[uint32]placed
	subs        [MaxShards][]sub // by shard; replaced, never changed
	refused     []Refusal
	rejected    map[messages.Generation]bool
	rotations   []*receipt // oldest first
	gaps        []messages.GapDetected
	connects    map[string]uint64
	disconnects map[string]uint64
	shards      []messages.ShardStatus
	state       messages.FeedState
	stale       bool
	reason      string
	sinks       []attached
}

// NewStore makes an empty State.
func NewStore() *Store {
	s := &Store{
		wanted: map[uint32]placed{}, rejected: map[messages.Generation]bool{},
		connects: map[string]uint64{}, disconnects: map[string]uint64{},
	}
	for i := range s.tables {
		s.tables[i] = &table{shard: i}
		s.tables[i].counts.texts = map[wire.TextType]uint64{}
	}
	return s
}

// lockTables stops every reader: no table changes and nothing is pushed until
// the function returned is called.
func (s *Store) lockTables() (unlock func()) {
	for _, t := range s.tables {
		t.lock()
	}
	return func() {
		for _, t := range s.tables {
			t.mu.Unlock()
		}
	}
}

// Attach makes sink a receiver of every batch, in place of an earlier one of
// that name; a nil sink takes the name out. Batches of different shards are
// pushed by different goroutines, possibly at the same time; those of one
// shard one after the other. Batches of an older generation may follow one of
// a newer generation while a swap lasts: both are good.
func (s *Store) Attach(name string, sink actors.Sink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sinks := slices.DeleteFunc(slices.Clone(s.sinks), func(a attached) bool { return a.name == name })
	if sink != nil {
		sinks = append(sinks, attached{name, sink})
	}
	s.sinks = sinks
	defer s.lockTables()()
	for _, t := range s.tables {
		t.sinks = sinks
	}
}

// Seed copies the last packet of every instrument into a Snapshot batch and
// calls open, in one step for every reader: what is in the batch was pushed
// before open, what comes after it was not in the batch. The batch has one
// holder, the caller. It is nil when nothing is known yet.
func (s *Store) Seed(_ string, open func()) *messages.Ticks {
	defer s.lockTables()()
	b := s.snapshot()
	open()
	return b
}

func (s *Store) snapshot() *messages.Ticks {
	b := messages.NewTicks(nil)
	b.Snapshot, b.Received = true, time.Now()
	size := 0
	for _, t := range s.tables {
		size += t.index.n
	}
	b.Ticks = make([]messages.Tick, 0, size)
	b.Raw = make([]byte, 0, size*packetMax)
	for _, t := range s.tables {
		b.Generation = max(b.Generation, t.generation)
		for i := range t.slots {
			slot := &t.slots[i]
			var tick messages.Tick
			if !slot.used || slot.length == 0 || !decodeOne(slot.packet(), &tick) {
				continue
			}
			tick.Offset = uint32(len(b.Raw))
			b.Raw = append(b.Raw, slot.packet()...)
			b.Ticks = append(b.Ticks, tick)
		}
	}
	if len(b.Ticks) == 0 && b.Generation == 0 {
		return nil
	}
	b.Retain(1)
	return b
}

// Stats is what the feed counts. Counters begin with the process.
type Stats struct {
	State          messages.FeedState
	Stale          bool // frames arrive, ticks do not, and the market is open
	Reason         string
	Shards         []messages.ShardStatus
	Generation     messages.Generation // the oldest that a streaming socket uses; 0: none streams
	Sockets        int                 // that stream
	Instruments    int
	ByMode         map[messages.Mode]int // instruments
	Refused        []Refusal
	Frames         uint64 // binary, without heartbeats
	Heartbeats     uint64
	Texts          map[string]uint64 // by type
	Bytes          uint64
	Ticks          uint64 // pushed
	TicksByMode    map[messages.Mode]uint64
	TicksPerSecond float64
	Malformed      map[string]uint64 // by reason
	Duplicates     uint64            // byte-equal repeats on one socket, the cached tick among them
	Overlapped     uint64            // came on both sockets of a swap
	Unwanted       uint64            // of instruments that nobody asked for (any more)
	Ignored        uint64            // in another mode than asked for
	Lost, Twice    uint64            // by the sequence; 0 where the source has none
	Connects       map[string]uint64 // by result
	Disconnects    map[string]uint64 // by reason
	LastFrame      time.Time
	LastTick       time.Time
}

// Stats answers the counters as they are now.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	out := Stats{
		State: s.state, Stale: s.stale, Reason: s.reason, Shards: slices.Clone(s.shards),
		Instruments: len(s.wanted), ByMode: map[messages.Mode]int{}, Refused: slices.Clone(s.refused),
		Texts: map[string]uint64{}, TicksByMode: map[messages.Mode]uint64{}, Malformed: map[string]uint64{},
		Connects: clone(s.connects), Disconnects: clone(s.disconnects),
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
	out.Frames += c.frames
	out.Heartbeats += c.heartbeats
	out.Bytes += c.bytes
	for kind, n := range c.texts {
		out.Texts[string(kind)] += n
	}
	for mode, n := range c.ticks {
		out.Ticks += n
		out.TicksByMode[messages.Mode(mode)] += n
	}
	for i, n := range c.malformed {
		out.Malformed[malformedReasons[i]] += n
	}
	out.TicksPerSecond += t.rate.perSecond(now)
	out.Duplicates += c.duplicates
	out.Overlapped += c.overlapped
	out.Unwanted += c.unwanted
	out.Ignored += c.ignored
	out.Lost += c.lost
	out.Twice += c.twice
	if c.lastFrame.After(out.LastFrame) {
		out.LastFrame = c.lastFrame
	}
	if c.lastTick.After(out.LastTick) {
		out.LastTick = c.lastTick
	}
}

func clone(m map[string]uint64) map[string]uint64 {
	out := make(map[string]uint64, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// Rotations answers the last receipts, newest first.
func (s *Store) Rotations() []messages.Rotation {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]messages.Rotation, 0, len(s.rotations))
	for _, r := range slices.Backward(s.rotations) {
		out = append(out, r.rotation)
	}
	return out
}

// Gaps answers the last blind spans, newest first.
func (s *Store) Gaps() []messages.GapDetected {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Clone(s.gaps)
	slices.Reverse(out)
	return out
}

func (s *Store) addGap(g messages.GapDetected) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gaps = append(s.gaps, g)
	if n := len(s.gaps) - gapsKept; n > 0 {
		s.gaps = slices.Delete(s.gaps, 0, n)
	}
}

func (s *Store) connected(result string) {
	s.mu.Lock()
	s.connects[result]++
	s.mu.Unlock()
}

func (s *Store) disconnected(reason string) {
	s.mu.Lock()
	s.disconnects[reason]++
	s.mu.Unlock()
}

// reject remembers a verdict for good: no incarnation dials that generation
// again.
func (s *Store) reject(g messages.Generation) {
	s.mu.Lock()
	s.rejected[g] = true
	s.mu.Unlock()
}

func (s *Store) isRejected(g messages.Generation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rejected[g]
}

func (s *Store) show(state messages.FeedState, stale bool, reason string, shards []messages.ShardStatus) {
	s.mu.Lock()
	s.state, s.stale, s.reason, s.shards = state, stale, reason, shards
	s.mu.Unlock()
}

// sortSubs orders subscriptions by instrument token.
func sortSubs(subs []sub) {
	slices.SortFunc(subs, func(a, b sub) int { return cmp.Compare(a.token, b.token) })
}
