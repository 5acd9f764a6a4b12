package supervisor

import (
	"errors"
	"sync"

	"github.com/anthdm/hollywood/actor"
)

var (
	errControlFull  = errors.New("too many control messages wait")
	errDisconnected = errors.New("too slow for its batches: disconnected")
)

// keyed messages replace an older one of the same key that still waits, in its
// place.
type keyed interface{ Key() string }

type itemKind uint8

const (
	control   itemKind = iota
	batch              // one batch
	conflated          // backlog, then table
	gapMarker          // ticks were dropped
	strike             // a fault
	finish             // the incarnation is asked to end, or has failed
	fenced             // the incarnation is no longer the owner
)

// item is what an incarnation takes from its mailbox.
type item struct {
	kind    itemKind
	msg     any
	batch   Batch
	table   Conflator
	backlog []queued
	ticks   int
	fault   Fault
	at      int64 // when it came, on the house's clock; 0: not stamped
}

// box is the mailbox of one child. It outlives the incarnations; only its
// owner may take from it, and everything that hands it over happens under mu:
// an incarnation that has been fenced can never take again.
type box struct {
	house *Supervisor
	mu    sync.Mutex

	owner   *incarnation // nil while the child is down
	waiting bool         // the owner sleeps on its wake channel

	slots      []slot // a power of two
	head, tail uint64
	keys       map[string]uint64 // key -> position of the message that waits

	lane   lane
	faults []Fault

	controlFull    uint64 // control messages dropped at the bound
	controlStopped uint64 // control messages dropped because the child has ended for good
	late           uint64 // messages of fenced senders
	ended          bool   // for good: what comes is dropped
	limit          int
}

type slot struct {
	msg   any
	key   string
	self  *incarnation // told by this incarnation to itself; goes with it
	again *repeat      // of Every: told once at a time
	at    int64
}

// put takes a control message. sender is nil or the address that the sender's
// incarnation sends with.
func (b *box) put(msg any, sender *actor.PID) {
	var key string
	if k, ok := msg.(keyed); ok {
		key = k.Key()
	}
	b.mu.Lock()
	s := slot{msg: msg, key: key}
	if sender != nil {
		if b.owner != nil && b.owner.pid == sender {
			s.self = b.owner
		} else if b.house.late(sender) {
			b.late++
			b.mu.Unlock()
			return
		}
	}
	b.enqueue(s)
	b.wakeAndUnlock()
}

// tell takes a message of an incarnation to itself.
func (b *box) tell(in *incarnation, msg any, again *repeat) {
	var key string
	if k, ok := msg.(keyed); ok {
		key = k.Key()
	}
	b.mu.Lock()
	if b.owner != in || (again != nil && again.waits) {
		b.mu.Unlock()
		return
	}
	if again != nil {
		again.waits = true
	}
	b.enqueue(slot{msg: msg, key: key, self: in, again: again})
	b.wakeAndUnlock()
}

func (b *box) enqueue(s slot) {
	if b.ended {
		b.controlStopped++
		return
	}
	n := b.tail - b.head
	// Every message of a quiet mailbox is stamped, one in 16 of a crowded one:
	// a clock read costs as much as the rest of this.
	if n < 4 || b.tail&15 == 0 {
		s.at = b.house.nanos()
	}
	if s.key != "" {
		if at, ok := b.keys[s.key]; ok {
			old := &b.slots[at&uint64(len(b.slots)-1)]
			s.at = old.at
			*old = s
			return
		}
	}
	if int(n) >= b.limit {
		b.overflow()
	}
	if int(b.tail-b.head) == len(b.slots) {
		b.grow()
	}
	if s.key != "" {
		if b.keys == nil {
			b.keys = make(map[string]uint64)
		}
		b.keys[s.key] = b.tail
	}
	b.slots[b.tail&uint64(len(b.slots)-1)] = s
	b.tail++
}

// overflow fails the child, which is seeded anew, and makes room: what has a
// key stays (the newest of each), the rest is forgotten.
func (b *box) overflow() {
	if b.owner != nil {
		b.owner.failLocked(failure{reason: byError, err: errControlFull})
	}
	before := b.tail - b.head
	b.keep(func(s *slot) bool { return s.key != "" })
	if int(b.tail-b.head) >= b.limit {
		b.keep(func(*slot) bool { return false })
	}
	b.controlFull += before - (b.tail - b.head)
}

func (b *box) keep(pick func(*slot) bool) {
	old, head, tail := b.slots, b.head, b.tail
	b.slots, b.head, b.tail = make([]slot, max(16, len(old)/4)), 0, 0
	clear(b.keys)
	for i := head; i != tail; i++ {
		s := &old[i&uint64(len(old)-1)]
		if !pick(s) {
			if s.again != nil {
				s.again.waits = false
			}
			continue
		}
		if int(b.tail) == len(b.slots) {
			b.grow()
		}
		if s.key != "" {
			b.keys[s.key] = b.tail
		}
		b.slots[b.tail] = *s
		b.tail++
	}
}

func (b *box) grow() {
	grown := make([]slot, max(16, 2*len(b.slots)))
	for i := b.head; i != b.tail; i++ {
		grown[i&uint64(len(grown)-1)] = b.slots[i&uint64(len(b.slots)-1)]
	}
	b.slots = grown
}

// wakeAndUnlock wakes a sleeping owner. The channel holds one wake, and one is
// sent per sleep, so this never blocks.
func (b *box) wakeAndUnlock() {
	var wake chan struct{}
	if b.waiting {
		b.waiting = false
		wake = b.owner.wake
	}
	b.mu.Unlock()
	if wake != nil {
		wake <- struct{}{}
	}
}

// push takes a batch.
func (b *box) push(t Batch) (yield bool) {
	now := b.house.nanos()
	b.mu.Lock()
	yield = b.lane.push(t, now)
	if b.lane.halt != nil && b.owner != nil {
		b.owner.failLocked(failure{reason: byError, err: b.lane.halt})
		b.lane.shut()
	}
	b.wakeAndUnlock()
	return yield
}

// next takes what in has to do next, and sleeps until there is something.
// Control messages come first, always.
func (b *box) next(in *incarnation) item {
	b.mu.Lock()
	for {
		it, ok := b.takeLocked(in)
		if ok {
			if it.kind < finish {
				in.taken.Store(in.taken.Load() + 1)
			}
			b.mu.Unlock()
			return it
		}
		b.waiting = true
		b.mu.Unlock()
		in.run = 0
		<-in.wake
		b.mu.Lock()
	}
}

func (b *box) takeLocked(in *incarnation) (item, bool) {
	switch {
	case b.owner != in:
		return item{kind: fenced}, true
	case in.ending:
		return item{kind: finish}, true
	case len(b.faults) > 0:
		it := item{kind: strike, fault: b.faults[0]}
		b.faults = b.faults[1:]
		return it, true
	case b.head != b.tail:
		at := &b.slots[b.head&uint64(len(b.slots)-1)]
		s := *at
		*at = slot{}
		b.head++
		if s.key != "" {
			delete(b.keys, s.key)
		}
		if s.again != nil {
			s.again.waits = false
		}
		return item{kind: control, msg: s.msg, at: s.at}, true
	}
	return b.lane.take(in.backlog)
}

// own hands the box to a new incarnation.
func (b *box) own(in *incarnation) {
	b.mu.Lock()
	b.owner, b.waiting, b.ended = in, false, false
	b.mu.Unlock()
}

// release takes the box from in. taken, if not nil, is what in must still be
// busy with: a handler that came back in the meantime is not hung after all.
func (b *box) release(in *incarnation, taken *uint64) bool {
	b.mu.Lock()
	if b.owner != in || (taken != nil && in.taken.Load() != *taken) {
		b.mu.Unlock()
		return false
	}
	in.cell.current.Store(nil)
	b.lane.shut()
	if b.head != b.tail {
		b.keep(func(s *slot) bool { return s.self == nil })
	}
	asleep := b.waiting
	b.owner, b.waiting = nil, false
	b.mu.Unlock()
	if asleep {
		in.wake <- struct{}{} // it finds that it is fenced
	}
	return true
}

// retire drops what waits and what comes: the child has ended for good.
func (b *box) retire() {
	b.mu.Lock()
	b.ended = true
	b.controlStopped += b.tail - b.head
	b.keep(func(*slot) bool { return false })
	b.faults = nil
	b.mu.Unlock()
}

// open lets batches in. False: in has been fenced in the meantime.
func (b *box) open(in *incarnation, filling, spare Conflator) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.owner != in {
		return false
	}
	if !b.lane.open {
		b.lane.reset(filling, spare)
		b.lane.open = true
	}
	return true
}

// shut lets no more batches in; in has come to its end.
func (b *box) shut(in *incarnation) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.owner == in {
		b.lane.shut()
	}
}

// cause is how in came to its end.
func (b *box) cause(in *incarnation) failure {
	b.mu.Lock()
	defer b.mu.Unlock()
	return in.end
}

func (b *box) isEnding(in *incarnation) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.owner != in || in.ending
}

// depths is what waits and what was lost.
func (b *box) depths() Depths {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := Depths{
		Depth: int(b.tail-b.head) + b.lane.depth(), Capacity: b.limit,
		Conflated: b.lane.conflated, Full: b.controlFull + b.lane.full, Down: b.lane.down, Stopped: b.controlStopped, late: b.late,
	}
	if b.lane.spec.Contract != NoBatches {
		d.Capacity += b.lane.spec.Ticks
	}
	d.Dropped = d.Full + d.Down + d.Stopped
	return d
}
