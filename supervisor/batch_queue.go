package supervisor

import (
	"fmt"

	"kitestring/messages"
)

// batchQueue is the part of a mailbox that holds batches. The mailbox's mutex
// guards it. Batches wait one by one up to the bounds of the spec; from there
// they are conflated until the child has caught up.
//
// Order is kept across an overflow: as long as a table waits (tabled), pushes
// merge into it, so everything in the ring is older than the table.
type batchQueue struct {
	spec *Mailbox
	open bool
	halt error // set by a push that the child does not survive

	ring  ring[queued]
	ticks int // in the ring

	filling, spare Conflator
	tabled         bool
	tabledTicks    int
	tabledAt       int64 // when the oldest entry of filling came

	conflated uint64
	down      uint64 // ticks dropped because the child was not there to take them
}

type queued struct {
	batch messages.Batch
	at    int64
}

// depth is the number of ticks, or of what is left of them, that wait.
func (q *batchQueue) depth() int {
	if q.tabled {
		return q.ticks + q.filling.Len()
	}
	return q.ticks
}

// push takes a batch. It runs on the pusher's goroutine: a panic of the batch
// or of the child's table fails the child and must not become the pusher's.
func (q *batchQueue) push(b messages.Batch, clock func() int64) (yield bool) {
	defer func() {
		if p := recover(); p != nil {
			q.halt = fmt.Errorf("take a batch: panic: %v", p)
		}
	}()
	n := b.Len()
	if !q.open || q.spec.Table == nil {
		q.down += uint64(n)
		return false
	}
	if q.tabled || q.ticks+n > q.spec.Ticks || q.ring.len() >= q.spec.Batches {
		q.merge(b, n, clock)
		return false
	}
	b.Retain(1)
	e := queued{batch: b}
	// Of a crowded queue one in 16 is stamped: a clock read costs as much as the
	// rest.
	if q.ring.len() < 4 || q.ring.tail&15 == 0 {
		e.at = clock()
	}
	q.ring.push(e)
	q.ticks += n
	// Early: what is taken soon is still in the cache.
	return q.ticks >= q.spec.Ticks/16 || q.ring.len() >= q.spec.Batches/2
}

func (q *batchQueue) merge(b messages.Batch, n int, clock func() int64) {
	if !q.tabled {
		q.tabled, q.tabledAt = true, clock()
	}
	q.tabledTicks += n
	q.conflated += uint64(n)
	q.filling.Merge(b)
}

func (q *batchQueue) pop() queued {
	e := q.ring.pop()
	q.ticks -= e.batch.Len()
	return e
}

// take hands out what is next.
func (q *batchQueue) take(it *item) itemKind {
	switch {
	case !q.open:
		return nothing
	case q.tabled && q.ring.len() > 0:
		// The child is behind: its backlog is conflated too, which halves the
		// age of what it sees.
		q.conflated += uint64(q.ticks)
		it.table, it.at = q.spare, q.ring.at(q.ring.head).at
		it.backlog = it.backlog[:0]
		for q.ring.len() > 0 {
			it.backlog = append(it.backlog, q.pop())
		}
		return conflated
	case q.tabled:
		it.table, it.at, it.backlog = q.filling, q.tabledAt, it.backlog[:0]
		q.filling, q.spare = q.spare, q.filling
		q.tabled, q.tabledTicks = false, 0
		return conflated
	case q.ring.len() > 0:
		e := q.pop()
		it.batch, it.at = e.batch, e.at
		return batch
	}
	return nothing
}

// reset gives the queue new tables: those of an incarnation that failed may be
// half merged, or still in the hands of one that hangs.
func (q *batchQueue) reset(filling, spare Conflator) {
	q.filling, q.spare, q.halt = filling, spare, nil
}

// shut closes the queue and drops what waits.
func (q *batchQueue) shut() {
	q.open = false
	q.down += uint64(q.ticks)
	for q.ring.len() > 0 {
		q.pop().batch.Release()
	}
	if q.tabled {
		q.down += uint64(q.tabledTicks)
		q.tabled, q.tabledTicks = false, 0
	}
	q.filling, q.spare = nil, nil
}
