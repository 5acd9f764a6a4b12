package feed

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kitestring/actors"
	"kitestring/actors/hours"
	"kitestring/actors/spare"
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
// ticks go. It is made once, by the tree. Safe for concurrent
// use.
type Store struct {
	tables [MaxShards]*table
	ids    atomic.Uint64 // socket ids: rising over all incarnations
	orders orderBook
	spare  spare.Files // for the connection to Kite

	judging sync.Mutex // before a table's lock
	times   hours.Judge

	mu          sync.Mutex
	owners      []messages.WantInstruments // the newest of each owner
	wanted      map[uint32]placed
	subs        [MaxShards][]sub // by shard; replaced, never changed
	refused     []Refusal
	rejected    map[messages.Generation]bool
	live        messages.Generation // newest that brought a valid frame
	rotations   []*receipt          // oldest first
	gaps        []messages.GapDetected
	connects    map[string]uint64
	disconnects map[string]uint64
	shards      []messages.ShardStatus
	state       messages.FeedState
	sinks       []attached
}

// NewStore makes an empty Store.
func NewStore() *Store {
	s := &Store{
		spare:  spare.Files{N: 4}, // a name is looked up in files and over sockets of its own
		wanted: map[uint32]placed{}, rejected: map[messages.Generation]bool{},
		connects: map[string]uint64{"ok": 0}, disconnects: map[string]uint64{"local": 0},
	}
	s.orders.flood = logBudget{most: ordersAtOnce, per: time.Second}
	for i := range s.tables {
		s.tables[i] = &table{shard: i}
	}
	for _, result := range connectResults {
		s.connects[result] = 0
	}
	for _, reason := range disconnectReasons {
		s.disconnects[reason] = 0
	}
	return s
}

// lockTables stops every reader: no table changes and nothing is pushed until
// the function returned is called.
func (s *Store) lockTables() (unlock func()) {
	var locked []*table
	unlock = func() {
		for _, t := range locked {
			t.mu.Unlock()
		}
	}
	defer func() {
		if len(locked) < len(s.tables) {
			unlock() // a flush panicked
		}
	}()
	for _, t := range s.tables {
		t.lock()
		locked = append(locked, t)
	}
	return unlock
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
			if !slot.used || slot.length == 0 || !wire.DecodePacket(slot.packet(), &tick) {
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

// count counts up in connects or disconnects.
func (s *Store) count(in map[string]uint64, label string) {
	s.mu.Lock()
	in[label]++
	s.mu.Unlock()
}

// judge remembers a verdict: no incarnation dials a rejected generation again,
// unless Kite is found to accept it after all.
func (s *Store) judge(g messages.Generation, rejected bool) {
	s.mu.Lock()
	s.rejected[g] = rejected
	s.mu.Unlock()
}

func (s *Store) isRejected(g messages.Generation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rejected[g]
}

func (s *Store) noteLive(g messages.Generation) {
	s.mu.Lock()
	s.live = max(s.live, g)
	s.mu.Unlock()
}

// Live is the newest generation on a socket of which a valid frame has come, 0
// for none: Kite accepts its token.
func (s *Store) Live() messages.Generation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live
}

func (s *Store) show(state messages.FeedState, shards []messages.ShardStatus) {
	s.mu.Lock()
	s.state, s.shards = state, shards
	s.mu.Unlock()
}

// LastTick is the newest packet of an instrument, false when there is none.
func (s *Store) LastTick(instrumentToken uint32) (tick messages.Tick, ok bool) {
	for _, t := range s.tables {
		t.locked(func() {
			if at := t.index.find(instrumentToken); at >= 0 {
				if slot := &t.slots[at]; slot.used && slot.length > 0 {
					ok = wire.DecodePacket(slot.packet(), &tick)
				}
			}
		})
		if ok {
			return tick, true
		}
	}
	return tick, false
}

// EachInstrument calls see with every instrument that is subscribed: the mode
// asked for, its last packet (empty: none yet; valid during the call) and how
// many have come. It holds up the sockets: see must be quick.
func (s *Store) EachInstrument(see func(instrumentToken uint32, mode messages.Mode, packet []byte, packets uint64)) {
	for _, t := range s.tables {
		t.locked(func() {
			for i := range t.slots {
				if slot := &t.slots[i]; slot.used {
					see(slot.token, slot.want, slot.packet(), slot.packets)
				}
			}
		})
	}
}

// Newest is the exchange time of the newest tick of NSE and BSE, their indices
// and derivatives included; commodities trade on days when these do not. A time
// far ahead of the exchange's clock, now, does not count while ticks of other
// instruments do not agree with it. The zero time: none yet.
func (s *Store) Newest(now time.Time) time.Time {
	s.judging.Lock()
	defer s.judging.Unlock()
	clock := s.times.Now(now.Unix())
	var newest uint32
	for _, t := range s.tables {
		t.locked(func() {
			for i := range t.slots {
				slot := &t.slots[i]
				switch messages.SegmentOf(slot.token) {
				case messages.NSE, messages.NFO, messages.BSE, messages.BFO, messages.Indices:
					if !slot.used || slot.length == 0 {
						continue
					}
					if slot.judged != slot.exchange {
						slot.judged, slot.possible = slot.exchange, s.times.Accept(slot.token, int64(slot.exchange), clock)
					}
					if slot.possible {
						newest = max(newest, slot.exchange)
					}
				}
			}
		})
	}
	return unix(newest)
}
