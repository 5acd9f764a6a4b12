package supervisor

import (
	"errors"
	"sync"
	"sync/atomic"

	"kitestring/messages"
	"kitestring/supervisor/queue"

	"github.com/anthdm/hollywood/actor"
)

var errControlFull = errors.New("too many control messages wait")

type itemKind uint8

const (
	control   itemKind = iota
	batch              // one batch
	conflated          // backlog, then table
	strike             // a fault
	finish             // the incarnation is asked to end, or has failed
	fenced             // the incarnation is no longer the owner
	nothing
)

// item is what an incarnation has taken from its mailbox. It lives in the
// incarnation and is filled again each time.
type item struct {
	queue.Item
	msg   any
	fault Fault
}

// mailbox is what waits for one child. It outlives the incarnations; only its
// owner may take from it, and everything that hands it over happens under mu:
// an incarnation that has been fenced can never take again.
type mailbox struct {
	supervisor *Supervisor
	mu         sync.Mutex

	owner   *incarnation // nil while the child is down
	waiting bool         // the owner sleeps on its wake channel

	control queue.Ring[slot]
	keys    map[string]uint64 // key -> position of the message that waits

	batches queue.Batches
	ticks   bool // it takes batches
	faults  []Fault

	controlFull    uint64 // control messages dropped at the bound
	controlStopped uint64 // control messages dropped because the tree has stopped
	late           uint64 // messages of fenced senders
	ended          bool   // the tree has stopped: what comes is dropped
	limit          int
}

// put takes a control message. sender is nil or the address that the sender's
// incarnation sends with.
func (m *mailbox) put(msg any, sender *actor.PID) {
	s := slot{msg: msg, key: keyOf(msg)}
	m.mu.Lock()
	defer m.wakeAndUnlock()
	if sender != nil {
		if m.owner != nil && m.owner.pid == sender {
			s.self = m.owner
		} else if m.supervisor.late(sender) {
			m.late++
			return
		}
	}
	m.enqueue(s)
}

// putOwn takes a message of an incarnation to itself.
func (m *mailbox) putOwn(in *incarnation, msg any, key string, again *repeat) {
	m.mu.Lock()
	defer m.wakeAndUnlock()
	if m.owner != in || (again != nil && again.waits) {
		return
	}
	if again != nil {
		again.waits = true
	}
	m.enqueue(slot{msg: msg, key: key, self: in, again: again})
}

// wakeAndUnlock wakes a sleeping owner if there is something to do. The channel
// holds one wake, and one is sent per sleep, so this never blocks. It is
// deferred: whatever panics under mu, the mailbox stays usable.
func (m *mailbox) wakeAndUnlock() {
	var wake chan struct{}
	if m.waiting {
		m.waiting = false
		wake = m.owner.wake
	}
	m.mu.Unlock()
	if wake != nil {
		wake <- struct{}{}
	}
}

// push takes a batch.
func (m *mailbox) push(b messages.Batch) (yield bool) {
	m.mu.Lock()
	defer m.wakeAndUnlock()
	yield = m.batches.Push(b, m.supervisor.nanos)
	if m.batches.Halt != nil && m.owner != nil {
		m.owner.failLocked(failure{reason: byError, err: m.batches.Halt})
		m.batches.Shut()
	}
	return yield
}

// next takes what in has to do next, and sleeps until there is something.
// Control messages come first, always.
func (m *mailbox) next(in *incarnation) itemKind {
	m.mu.Lock()
	for {
		if kind := m.takeLocked(in); kind != nothing {
			if kind < finish {
				in.taken.Store(in.taken.Load() + 1)
			}
			m.mu.Unlock()
			return kind
		}
		m.waiting = true
		m.mu.Unlock()
		in.streak = 0
		in.count()
		in.asleep.Store(true)
		<-in.wake
		in.asleep.Store(false)
		m.mu.Lock()
	}
}

func (m *mailbox) takeLocked(in *incarnation) itemKind {
	switch {
	case m.owner != in:
		return fenced
	case in.ending:
		return finish
	case len(m.faults) > 0:
		in.it.fault = m.faults[0]
		m.faults = m.faults[1:]
		return strike
	case m.control.Len() > 0:
		m.dequeue(&in.it)
		return control
	}
	switch m.batches.Take(&in.it.Item) {
	case queue.One:
		return batch
	case queue.Conflated:
		return conflated
	}
	return nothing
}

// own hands the mailbox to a new incarnation.
func (m *mailbox) own(in *incarnation) {
	m.mu.Lock()
	m.owner, m.waiting, m.ended = in, false, false
	m.mu.Unlock()
}

// release takes the mailbox from in. taken, if not nil, is what in must still be
// busy with: a handler that came back in the meantime is not hung after all.
func (m *mailbox) release(in *incarnation, taken *uint64) bool {
	m.mu.Lock()
	if m.owner != in || (taken != nil && in.taken.Load() != *taken) {
		m.mu.Unlock()
		return false
	}
	in.cell.current.Store(nil)
	m.batches.Shut()
	if m.control.Len() > 0 {
		m.keep(func(s *slot) bool { return s.self == nil })
	}
	asleep := m.waiting
	m.owner, m.waiting = nil, false
	m.mu.Unlock()
	if asleep {
		in.wake <- struct{}{} // it finds that it is fenced
	}
	return true
}

// retire drops what waits and what comes: the tree has stopped.
func (m *mailbox) retire() {
	m.mu.Lock()
	m.ended = true
	m.controlStopped += uint64(m.control.Len())
	m.keep(func(*slot) bool { return false })
	m.faults = nil
	m.mu.Unlock()
}

// open lets batches in. False: in has been fenced in the meantime.
func (m *mailbox) open(in *incarnation, filling, spare Conflator) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.owner != in {
		return false
	}
	m.batches.Open(filling, spare)
	return true
}

// shut lets no more batches in; in has come to its end.
func (m *mailbox) shut(in *incarnation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.owner == in {
		m.batches.Shut()
	}
}

// cause is how in came to its end.
func (m *mailbox) cause(in *incarnation) failure {
	m.mu.Lock()
	defer m.mu.Unlock()
	return in.end
}

func (m *mailbox) isEnding(in *incarnation) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.owner != in || in.ending
}

// depths is what waits and what was lost.
func (m *mailbox) depths() Depths {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := Depths{
		Depth: m.control.Len() + m.batches.Depth(), Capacity: m.limit,
		Conflated: m.batches.Conflated, Full: m.controlFull, Down: m.batches.Down, Stopped: m.controlStopped, late: m.late,
	}
	if m.ticks {
		d.Capacity += m.batches.MostTicks
	}
	d.Dropped = d.Full + d.Down + d.Stopped
	return d
}

// Inlet is where batches for one child are pushed. It may be captured before
// the tree has started and serves every incarnation.
type Inlet struct{ mailbox atomic.Pointer[mailbox] } // nil before the start

// Push hands over a batch and never blocks; true means that the child falls
// behind and the caller may yield the processor once. The batch is retained as
// long as it is needed. Before the tree has started batches are dropped.
func (i *Inlet) Push(b messages.Batch) (yield bool) {
	if m := i.mailbox.Load(); m != nil {
		return m.push(b)
	}
	return false
}
