package supervisor

import "fmt"

// lane is the part of a mailbox that holds batches. The box's mutex guards it.
//
// Order is kept across an overflow: as long as a table waits (tabled), pushes
// merge into it, so everything in the ring is older than the table.
type lane struct {
	spec *Mailbox
	open bool
	halt error // set by a push that the child does not survive

	ring       []queued // a power of two
	head, tail uint64
	ticks      int // in the ring

	filling, spare Conflator
	tabled         bool
	tabledTicks    int
	tabledAt       int64 // when the oldest entry of filling came

	gap       int // ticks dropped since the last marker
	conflated uint64
	full      uint64 // ticks dropped because the lane was full
	down      uint64 // ticks dropped because nobody was there to take them
}

type queued struct {
	batch Batch
	at    int64
}

func (l *lane) queued() int { return int(l.tail - l.head) }

// depth is the number of ticks, or of what is left of them, that wait.
func (l *lane) depth() int {
	if l.tabled {
		return l.ticks + l.filling.Len()
	}
	return l.ticks
}

// push takes a batch. Of a crowded lane one in 16 is stamped: a clock read
// costs as much as the rest.
func (l *lane) push(b Batch, clock func() int64) (yield bool) {
	n := b.Len()
	if !l.open {
		l.down += uint64(n)
		return false
	}
	fits := !l.tabled && l.ticks+n <= l.spec.Ticks && l.queued() < l.spec.Batches
	switch l.spec.Contract {
	case Conflate:
		fits = false
		l.merge(b, clock)
	case Lossless:
		if !fits {
			l.merge(b, clock)
		}
	case DropOldest:
		for l.queued() > 0 && (l.ticks+n > l.spec.Ticks || l.queued() >= l.spec.Batches) {
			old := l.pop()
			l.lose(old.batch.Len())
			old.batch.Release()
		}
		if fits = n <= l.spec.Ticks; !fits {
			l.lose(n)
		}
	case Disconnect:
		if !fits {
			l.full += uint64(n)
			l.halt = errDisconnected
		}
	case NoBatches:
		l.down += uint64(n)
		return false
	}
	if !fits {
		return false
	}
	b.Retain(1)
	q := queued{batch: b}
	if l.queued() < 4 || l.tail&15 == 0 {
		q.at = clock()
	}
	l.enqueue(q)
	// Early: what is taken soon is still in the cache.
	return l.ticks >= l.spec.Ticks/16 || l.queued() >= l.spec.Batches/2
}

func (l *lane) lose(n int) {
	l.full += uint64(n)
	l.gap += n
}

// merge runs the child's table on the pusher's goroutine: its panic must not
// become the pusher's.
func (l *lane) merge(b Batch, clock func() int64) {
	defer func() {
		if p := recover(); p != nil {
			l.halt = fmt.Errorf("conflate: panic: %v", p)
		}
	}()
	if !l.tabled {
		l.tabled, l.tabledAt = true, clock()
	}
	l.tabledTicks += b.Len()
	l.conflated += uint64(b.Len())
	l.filling.Merge(b)
}

func (l *lane) enqueue(q queued) {
	if l.queued() == len(l.ring) {
		grown := make([]queued, max(16, 2*len(l.ring)))
		for i := l.head; i != l.tail; i++ {
			grown[i&uint64(len(grown)-1)] = l.ring[i&uint64(len(l.ring)-1)]
		}
		l.ring = grown
	}
	l.ring[l.tail&uint64(len(l.ring)-1)] = q
	l.tail++
	l.ticks += q.batch.Len()
}

func (l *lane) pop() queued {
	i := l.head & uint64(len(l.ring)-1)
	q := l.ring[i]
	l.ring[i] = queued{}
	l.head++
	l.ticks -= q.batch.Len()
	return q
}

// take hands out what is next.
func (l *lane) take(it *item) itemKind {
	switch {
	case !l.open:
		return nothing
	case l.gap > 0:
		it.ticks, it.at, l.gap = l.gap, 0, 0
		return gapMarker
	case l.tabled && l.queued() > 0:
		// The child is behind: its backlog is conflated too, which halves the
		// age of what it sees.
		l.conflated += uint64(l.ticks)
		it.table, it.at = l.spare, l.ring[l.head&uint64(len(l.ring)-1)].at
		it.backlog = it.backlog[:0]
		for l.queued() > 0 {
			it.backlog = append(it.backlog, l.pop())
		}
		return conflated
	case l.tabled:
		it.table, it.at, it.backlog = l.filling, l.tabledAt, it.backlog[:0]
		l.filling, l.spare = l.spare, l.filling
		l.tabled, l.tabledTicks = false, 0
		return conflated
	case l.queued() > 0:
		q := l.pop()
		it.batch, it.at = q.batch, q.at
		return batch
	}
	return nothing
}

// reset gives the lane new tables: those of an incarnation that failed may be
// half merged, or still in the hands of one that hangs.
func (l *lane) reset(filling, spare Conflator) {
	l.filling, l.spare = filling, spare
	l.halt, l.gap = nil, 0
}

// shut closes the lane and drops what waits.
func (l *lane) shut() {
	l.open = false
	l.down += uint64(l.ticks)
	for l.queued() > 0 {
		l.pop().batch.Release()
	}
	if l.tabled {
		l.down += uint64(l.tabledTicks)
		l.tabled, l.tabledTicks = false, 0
	}
	l.filling, l.spare, l.gap = nil, nil, 0
}
