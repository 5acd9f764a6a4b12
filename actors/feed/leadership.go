package feed

import (
	"context"
	"hash/maphash"
	"time"

	"kitestring/actors/merger"
	"kitestring/messages"
)

// join makes a socket the leader when nothing leads, else the standby. One whose
// context has ended stays out. today is when the
// exchange's day began.
func (t *table) join(ctx context.Context, id uint64, g messages.Generation, today time.Time) {
	t.lock()
	defer t.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	if t.lead == 0 {
		t.lead, t.generation = id, g
		t.endMerge()
		t.epoch++
		return
	}
	t.standby, t.standbyGen = id, g
	t.lenient = false
	t.mergeUntil = time.Time{}
	before := t.merger
	t.endMerge()
	t.merger = merger.New(uint32(today.Unix()), len(t.slots), t.joins)
	for i := range t.slots {
		s := &t.slots[i]
		switch {
		case !s.used:
		case s.length == 0:
			t.merger.Expect(i)
		default:
			t.merger.Known(i, maphash.Bytes(seed, s.packet()), merger.Moment{Exchange: s.exchange, Volume: s.volume, Trade: s.trade}, before)
		}
	}
}

// withdraw takes the standby out and ends it; false, and
// nothing is done, when it leads already.
func (t *table) withdraw(id uint64, end func()) bool {
	t.lock()
	defer t.mu.Unlock()
	if id == t.lead {
		return false
	}
	end()
	if id == t.standby {
		t.without(time.Now())
	}
	return true
}

// without ends a swap without the newer socket.
func (t *table) without(now time.Time) {
	t.standby = 0
	t.merger.Leave(merger.Newer, nil)
	t.mergeUntil = now.Add(mergeFor)
}

// leave takes a socket out. When the leader goes, the standby takes over at
// once. why is the reason of the gap, if there is none.
func (t *table) leave(id uint64, why messages.GapReason, now time.Time) {
	t.lock()
	defer t.mu.Unlock()
	switch id {
	case 0:
	case t.lead:
		if t.standby != 0 {
			t.promote(now)
			return
		}
		t.endMerge()
		t.lead, t.reason = 0, why
	case t.standby:
		t.without(now)
	}
}

// progress looks whether a swap or its aftermath has come to an end.
func (t *table) progress(now time.Time) (moved bool) {
	if t.standby != 0 {
		if t.framed < t.standby || !t.merger.Complete(t.lenient) {
			return false
		}
		t.promote(now)
		moved = true
	}
	if t.merger.Done() || t.merger.Alone && now.After(t.mergeUntil) {
		t.endMerge()
	}
	return moved
}

func (t *table) endMerge() {
	if t.merger != nil {
		t.counts.Overlapped += t.merger.Overlapped
		t.joins = t.merger.Shown()
		t.counts.joins.Add(t.merger.Joins)
		t.merger = nil
	}
}

// settle lets the standby lead what it may lead by now. lenient ends the wait
// for instruments that neither socket has ever brought, force ends it for all.
// True: the standby has become the leader.
func (t *table) settle(id uint64, lenient, force bool, now time.Time) (moved bool) {
	t.lock()
	defer t.mu.Unlock()
	if id != t.standby {
		return false
	}
	if t.lenient = lenient; force {
		t.promote(now)
	} else {
		t.release(now, func(emit func(int, []merger.Held)) { t.merger.Lead(now, emit) })
	}
	return t.progress(now) || force
}

// release hands out what the merger has held back of the standby's packets.
func (t *table) release(now time.Time, from func(emit func(slot int, flush []merger.Held))) {
	generation := max(t.standbyGen, t.generation)
	var later *frame
	from(func(at int, flush []merger.Held) {
		for _, h := range flush {
			later = t.append(later, &t.slots[at], h.Packet)
		}
	})
	if later != nil {
		t.publishNow(later, generation, now)
	}
}

// promote makes the standby the leader.
func (t *table) promote(now time.Time) {
	t.lead, t.standby, t.generation = t.standby, 0, t.standbyGen
	t.mergeUntil = now.Add(mergeFor)
	t.reason = messages.GapSwap
	t.release(now, func(emit func(int, []merger.Held)) {
		t.merger.Leave(merger.Older, func(at int, flush []merger.Held) {
			t.slots[at].epoch-- // the two streams did not meet: look for a gap
			emit(at, flush)
		})
	})
	t.announce(now)
}

// announce pushes an empty batch: subscribers learn of the generation in
// order with their ticks, also when no tick comes.
func (t *table) announce(now time.Time) {
	t.flush()
	f := t.pool.get(0)
	b := f.chunk()
	b.Generation, b.Shard, b.Received, b.Ticks, b.Raw = t.generation, t.shard, now, nil, nil
	t.push(b)
	f.release()
}

// reset fences every socket off: a new incarnation begins.
func (t *table) reset(sequenced bool, observe func(newest uint32, received time.Time), panicked func(string, any)) {
	t.lock()
	defer t.mu.Unlock()
	t.endMerge()
	t.lead, t.standby = 0, 0
	t.reason = messages.GapReconnect
	t.sequenced, t.observe, t.panicked = sequenced, observe, panicked
}

// swapping reports whether two streams are being made one.
func (t *table) swapping() bool {
	t.lock()
	defer t.mu.Unlock()
	return t.merger != nil && !(t.merger.Alone && (t.merger.Differ || time.Now().After(t.mergeUntil)))
}

// vitals is what the actor looks at every second.
type vitals struct {
	frames      uint64
	lastTick    time.Time
	instruments int
}

func (t *table) vitals() vitals {
	t.lock()
	defer t.mu.Unlock()
	return vitals{t.counts.Frames + t.counts.Heartbeats, t.counts.LastTick, t.index.n}
}

// indexGapAfter is how many exchange seconds may lie between two ticks of an
// instrument without volume before the time between counts as blind: an index
// ticks about once a second.
const indexGapAfter = 2

// recordGap compares the first packet after a break with the last one before it.
// A quiet instrument, whose volume has not changed, has missed nothing;
// neither has one whose only trade is the packet itself. missed is by the
// sequence, -1 when unknown.
func (t *table) recordGap(s *slot, tick *messages.Tick, missed int64) {
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
