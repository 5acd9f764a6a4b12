package supervisor

// keyed messages replace an older one of the same key that still waits, in its
// place.
type keyed interface{ Key() string }

// The control lane is the part of a mailbox that holds messages: a ring, with
// the positions of those that have a key. The box's mu guards it.

type slot struct {
	msg   any
	key   string
	self  *incarnation // told by this incarnation to itself; goes with it
	again *repeat      // of Every: told once at a time
	at    int64
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

// dequeue takes the oldest message; there is one.
func (b *box) dequeue(it *item) {
	s := &b.slots[b.head&uint64(len(b.slots)-1)]
	b.head++
	it.msg, it.at = s.msg, s.at
	s.msg, s.self, s.at = nil, nil, 0
	if s.key != "" {
		delete(b.keys, s.key)
		s.key = ""
	}
	if s.again != nil {
		s.again.waits = false
		s.again = nil
	}
}
