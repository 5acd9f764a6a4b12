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

type itemKind uint8

const (
	control   itemKind = iota
	batch              // one batch
	conflated          // backlog, then table
	gapMarker          // ticks were dropped
	strike             // a fault
	finish             // the incarnation is asked to end, or has failed
	fenced             // the incarnation is no longer the owner
	nothing
)

// item is what an incarnation has taken from its mailbox; it lives in the
// incarnation and is filled anew, because copying it would cost more than the
// rest of a message's way.
type item struct {
	at      int64 // when it came, on the house's clock; 0: not stamped
	msg     any
	batch   Batch
	table   Conflator
	backlog []queued
	ticks   int
	fault   Fault
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
	b.mu.Lock()
	yield = b.lane.push(t, b.house.nanos)
	if b.lane.halt != nil && b.owner != nil {
		b.owner.failLocked(failure{reason: byError, err: b.lane.halt})
		b.lane.shut()
	}
	b.wakeAndUnlock()
	return yield
}

// next takes what in has to do next, and sleeps until there is something.
// Control messages come first, always.
func (b *box) next(in *incarnation) itemKind {
	b.mu.Lock()
	for {
		if kind := b.takeLocked(in); kind != nothing {
			if kind < finish {
				in.taken.Store(in.taken.Load() + 1)
			}
			b.mu.Unlock()
			return kind
		}
		b.waiting = true
		b.mu.Unlock()
		in.run = 0
		in.count()
		in.asleep.Store(true)
		<-in.wake
		in.asleep.Store(false)
		b.mu.Lock()
	}
}

func (b *box) takeLocked(in *incarnation) itemKind {
	switch {
	case b.owner != in:
		return fenced
	case in.ending:
		return finish
	case len(b.faults) > 0:
		in.it.fault = b.faults[0]
		b.faults = b.faults[1:]
		return strike
	case b.head != b.tail:
		b.dequeue(&in.it)
		return control
	}
	return b.lane.take(&in.it)
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
