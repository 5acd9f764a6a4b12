package feed

import (
	"bytes"
	"errors"
	"hash/maphash"
	"sync"
	"time"

	"kitestring/actors/merger"
	"kitestring/messages"
	"kitestring/messages/wire"
)

// packetMax is the longest packet of Kite's table.
const packetMax = 184

// distrustAfter is how many packets in too low a mode are ignored in a row
// before we believe that Kite sends no better.
const distrustAfter = 64

// mergeFor is how long a finished swap's twins are waited for at most.
const mergeFor = 3 * time.Second

var seed = maphash.MakeSeed()

// slot is an instrument's place in a table: its last packet, and what the
// next one is compared with.
type slot struct {
	raw      [packetMax]byte
	length   uint8 // of raw; 0: none yet
	mode     messages.Mode
	want     messages.Mode
	accept   messages.Mode // packets of a lower mode are not what was asked for
	distrust uint8         // of them, in a row
	used     bool
	token    uint32 // the instrument token
	exchange uint32
	volume   uint32
	trade    uint32 // time
	quantity uint32
	epoch    uint32 // the unbroken stretch in which the packet came
	packets  uint64 // accepted since the instrument is subscribed
	arrived  uint32 // the stretch in which any packet came, a repeated one too
	judged   uint32 // the exchange time that Newest looked at last
	possible bool   // that time
}

func (s *slot) packet() []byte { return s.raw[:s.length] }

// attached is a subscriber.
type attached struct {
	name string
	sink interface {
		Push(batch *messages.Ticks) (yield bool)
	}
}

// table is the data's side of one shard: the last packet of each instrument,
// which socket leads, and where ticks go. Its lock is held by the reader
// while it updates the table and pushes, so that everything that takes it by lock sees
// both or neither.
type table struct {
	mu    sync.Mutex
	shard int

	index index
	slots []slot
	free  []int
	guess int // the slot after the last tick's

	lead, standby uint64 // socket ids; 0: none
	generation    messages.Generation
	standbyGen    messages.Generation
	merger        *merger.Merger // from the join of the standby until both streams agree
	joins         merger.Joins   // that the last one has shown
	mergeUntil    time.Time
	lenient       bool
	framed        uint64              // newest socket that has brought a valid frame
	ticked        messages.Generation // newest generation that has brought a tick

	epoch     uint32
	reason    messages.GapReason // of the last break
	gaps      []messages.Gap
	sequenced bool

	decoder wire.Decoder
	pool    pool
	burst   burst
	behind  bool // a subscriber, since the last pause
	sinks   []attached
	observe func(newest uint32, received time.Time) // of each burst; nil: nobody
	// panicked takes a sink's panic, under the lock; nil: it goes up to the reader.
	panicked func(sink string, panic any)
	counts   counts
	rate     rate
}

// taken is what a frame did.
type taken struct {
	first     bool // the first valid frame of its socket
	firstTick bool // the first tick of its generation
	moved     bool // the newer socket leads every instrument now
	ticks     int
}

// errFenced: the socket is neither leader nor standby any more.
var errFenced = errors.New("socket is fenced off")

// take handles one binary frame of a socket: the bytes of f's memory from begin
// to end, behind what f has. They are f's if they bring a tick.
// Errors: errFenced, *wire.FrameError.
func (t *table) take(from uint64, f *frame, begin, end int, now time.Time) (r taken, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if from != t.lead && from != t.standby {
		return r, errFenced
	}
	raw, before := f.raw[begin:end], len(f.ticks)
	if f.ticks, err = t.decode(f.ticks, raw); err != nil {
		return r, err
	}
	t.counts.frame(raw, now)
	if from > t.framed {
		t.framed, r.first = from, true
		if from == t.lead {
			t.announce(now)
		}
	}
	generation := t.generation
	if from == t.standby {
		generation = t.standbyGen
	}
	var later *frame
	if t.merger == nil {
		t.filter(f, before, raw, uint32(begin))
	} else {
		t.merger.Now = now
		later = t.merge(f, before, raw, uint32(begin), from)
	}
	if r.ticks = len(f.ticks) - before; r.ticks > 0 {
		f.raw = f.raw[:end]
		t.extend(f, before, generation, now)
	}
	if later != nil {
		t.flush()
		r.ticks += len(later.ticks)
		t.publishNow(later, max(t.standbyGen, t.generation), now)
	}
	if r.ticks > 0 && generation > t.ticked {
		t.ticked, r.firstTick = generation, true
	}
	if t.merger != nil || r.firstTick || len(f.ticks)-f.sent >= chunkTicks {
		t.flush()
	}
	if t.merger != nil {
		r.moved = t.progress(now)
	}
	return r, nil
}

func (t *table) decode(dst []messages.Tick, raw []byte) ([]messages.Tick, error) {
	before := t.decoder.Stats
	dst, err := t.decoder.Decode(raw, dst)
	if err != nil {
		return dst, err
	}
	t.counts.malformed[unknownLength] += uint64(t.decoder.UnknownLength - before.UnknownLength)
	t.counts.malformed[unknownSegment] += uint64(t.decoder.UnknownSegment - before.UnknownSegment)
	return dst, nil
}

// filter keeps what is wanted and new: the path of nearly every frame. The
// ticks from before on are of raw, which begins at base of f's memory.
func (t *table) filter(f *frame, before int, raw []byte, base uint32) {
	kept := before
	for i := before; i < len(f.ticks); i++ {
		tick := &f.ticks[i]
		s := t.slotFor(tick)
		if s == nil {
			continue
		}
		packet := raw[tick.Offset : tick.Offset+uint32(tick.Length)]
		// A packet of a lower mode is the beginning of one of a higher mode.
		if tick.Length <= s.length && bytes.Equal(s.raw[:tick.Length], packet) {
			t.counts.Duplicates++
			continue
		}
		t.accept(s, tick, packet)
		tick.Offset += base
		if kept != i {
			f.ticks[kept] = *tick
		}
		kept++
	}
	f.ticks = f.ticks[:kept]
}

// slotFor is the slot of a tick, nil when the tick is not what was asked for.
func (t *table) slotFor(tick *messages.Tick) *slot {
	// Frames tend to be in order: the next slot is asked before the index.
	at := t.guess
	if at >= len(t.slots) || t.slots[at].token != tick.InstrumentToken || !t.slots[at].used {
		if at = t.index.find(tick.InstrumentToken); at < 0 {
			t.counts.Unwanted++
			return nil
		}
	}
	t.guess = at + 1
	s := &t.slots[at]
	s.arrived = t.epoch
	if tick.Mode < s.accept {
		// The answer to subscribe, before the mode has acted.
		if s.distrust++; s.distrust < distrustAfter {
			t.counts.Ignored++
			return nil
		}
		s.accept = tick.Mode
	}
	s.distrust = 0
	if s.accept < s.want && tick.Mode >= s.want {
		s.accept = s.want
	}
	return s
}

// merge is filter while two sockets stream. What goes out after the frame
// itself comes back as a frame of its own.
func (t *table) merge(f *frame, before int, raw []byte, base uint32, from uint64) (later *frame) {
	s := merger.Older
	if from == t.standby || t.standby == 0 && t.merger.Alone && t.merger.Left == merger.Newer {
		s = merger.Newer
	}
	repeated := t.merger.Repeated
	kept := before
	for i := before; i < len(f.ticks); i++ {
		tick := &f.ticks[i]
		to := t.slotFor(tick)
		if to == nil {
			continue
		}
		if from == t.standby && tick.Mode > to.want {
			t.counts.Ignored++ // in quote, before the mode ltp has acted: has no twin
			continue
		}
		packet := raw[tick.Offset : tick.Offset+uint32(tick.Length)]
		at := t.index.find(tick.InstrumentToken)
		keep, flush := t.merger.Offer(at, s, merger.Arrival{Hash: maphash.Bytes(seed, packet), Moment: merger.MomentOf(tick), Packet: packet})
		if keep {
			if later != nil { // order within an instrument is kept
				later = t.append(later, to, packet)
			} else {
				t.accept(to, tick, packet)
				tick.Offset += base
				f.ticks[kept] = *tick
				kept++
			}
		}
		for _, h := range flush {
			later = t.append(later, to, h.Packet)
		}
	}
	f.ticks = f.ticks[:kept]
	t.counts.Duplicates += t.merger.Repeated - repeated
	return later
}

// append adds a packet that was held back to a frame.
func (t *table) append(f *frame, s *slot, packet []byte) *frame {
	if f == nil {
		f = t.pool.get(frameClasses[1])
	}
	var tick messages.Tick
	if !wire.DecodePacket(packet, &tick) {
		return f
	}
	t.accept(s, &tick, packet)
	tick.Offset = uint32(len(f.raw))
	f.raw = append(f.raw, packet...)
	f.ticks = append(f.ticks, tick)
	return f
}

// accept makes a packet the instrument's last one.
func (t *table) accept(s *slot, tick *messages.Tick, packet []byte) {
	if s.length != 0 {
		missed := t.count(s, tick)
		if s.epoch != t.epoch {
			t.recordGap(s, tick, missed)
		}
	}
	s.epoch = t.epoch
	s.packets++
	s.length, s.mode = tick.Length, tick.Mode
	s.exchange, s.volume, s.trade, s.quantity = tick.ExchangeTime, tick.Volume, tick.LastTradeTime, tick.LastQuantity
	if tick.Length == packetMax {
		*(*[packetMax]byte)(s.raw[:]) = *(*[packetMax]byte)(packet)
	} else {
		copy(s.raw[:], packet)
	}
}
