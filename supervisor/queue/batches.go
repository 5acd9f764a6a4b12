package queue

import (
	"fmt"

	"kitestring/messages"
)

// Conflator merges batches that come too fast. It is used by one goroutine at
// a time. Its memory must be bounded.
type Conflator interface {
	Merge(messages.Batch) // without keeping the batch
	// Take empties the table into a message, nil when it is empty. The message
	// is valid until the next Merge.
	Take() any
	Len() int // entries that wait
}

// Kind is what Take has given.
type Kind uint8

// What Take gives.
const (
	Nothing   Kind = iota
	One            // one batch
	Conflated      // backlog, then table
)

// Item is what Take fills. The caller keeps it and has it filled again each
// time: to copy it would cost more than the rest of a batch's way.
type Item struct {
	At      int64 // when it came, on the supervisor's clock; 0: not stamped
	Batch   messages.Batch
	Table   Conflator
	Backlog []messages.Batch
}

// Batches is the part of a mailbox that holds batches. The mailbox's mutex
// guards it. Batches wait one by one up to the bounds; from there they are
// conflated until the child has caught up.
//
// Order is kept across an overflow: as long as a table waits (tabled), pushes
// merge into it, so everything in the ring is older than the table.
type Batches struct {
	MostTicks, MostBatches int

	Halt error // set by a push that the child does not survive
	open bool

	ring  Ring[queued]
	ticks int // in the ring

	filling, spare Conflator
	tabled         bool
	tabledTicks    int
	tabledAt       int64 // when the oldest entry of filling came

	Conflated uint64 // ticks
	Down      uint64 // ticks dropped because the child was not there to take them
}

type queued struct {
	batch messages.Batch
	at    int64
}

// Depth is the number of ticks, or of what is left of them, that wait.
func (q *Batches) Depth() int {
	if q.tabled {
		return q.ticks + q.filling.Len()
	}
	return q.ticks
}

// Push takes a batch. It runs on the pusher's goroutine: a panic of the batch
// or of the child's table fails the child and must not become the pusher's.
func (q *Batches) Push(b messages.Batch, clock func() int64) (yield bool) {
	defer func() {
		if p := recover(); p != nil {
			q.Halt = fmt.Errorf("take a batch: panic: %v", p)
		}
	}()
	n := b.Len()
	if !q.open || q.filling == nil {
		q.Down += uint64(n)
		return false
	}
	if q.tabled || q.ticks+n > q.MostTicks || q.ring.Len() >= q.MostBatches {
		q.merge(b, n, clock)
		return false
	}
	b.Retain(1)
	e := queued{batch: b}
	// Of a crowded queue one in 16 is stamped: a clock read costs as much as the
	// rest.
	if q.ring.Len() < 4 || q.ring.Tail&15 == 0 {
		e.at = clock()
	}
	q.ring.Push(e)
	q.ticks += n
	// Early: what is taken soon is still in the cache.
	return q.ticks >= q.MostTicks/16 || q.ring.Len() >= q.MostBatches/2
}

func (q *Batches) merge(b messages.Batch, n int, clock func() int64) {
	if !q.tabled {
		q.tabled, q.tabledAt = true, clock()
	}
	q.tabledTicks += n
	q.Conflated += uint64(n)
	q.filling.Merge(b)
}

func (q *Batches) pop() queued {
	e := q.ring.Pop()
	q.ticks -= e.batch.Len()
	return e
}

// Take hands out what is next.
func (q *Batches) Take(it *Item) Kind {
	switch {
	case !q.open:
		return Nothing
	case q.tabled && q.ring.Len() > 0:
		// The child is behind: its backlog is conflated too, which halves the
		// age of what it sees.
		q.Conflated += uint64(q.ticks)
		it.Table, it.At = q.spare, q.ring.At(q.ring.Head).at
		it.Backlog = it.Backlog[:0]
		for q.ring.Len() > 0 {
			it.Backlog = append(it.Backlog, q.pop().batch)
		}
		return Conflated
	case q.tabled:
		it.Table, it.At, it.Backlog = q.filling, q.tabledAt, it.Backlog[:0]
		q.filling, q.spare = q.spare, q.filling
		q.tabled, q.tabledTicks = false, 0
		return Conflated
	case q.ring.Len() > 0:
		e := q.pop()
		it.Batch, it.At = e.batch, e.at
		return One
	}
	return Nothing
}

// Open lets batches in, with new tables: those of an incarnation that failed may
// be half merged, or still in the hands of one that hangs. Without tables the
// queue takes no batches.
func (q *Batches) Open(filling, spare Conflator) {
	if !q.open {
		q.open, q.filling, q.spare, q.Halt = true, filling, spare, nil
	}
}

// Shut closes the queue and drops what waits.
func (q *Batches) Shut() {
	q.open = false
	q.Down += uint64(q.ticks)
	for q.ring.Len() > 0 {
		q.pop().batch.Release()
	}
	if q.tabled {
		q.Down += uint64(q.tabledTicks)
		q.tabled, q.tabledTicks = false, 0
	}
	q.filling, q.spare = nil, nil
}
