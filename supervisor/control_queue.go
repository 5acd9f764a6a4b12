package supervisor

// keyed messages replace an older one of the same key that still waits, in its
// place.
type keyed interface{ Key() string }

func keyOf(msg any) string {
	if k, ok := msg.(keyed); ok {
		return k.Key()
	}
	return ""
}

// slot is a control message that waits.
type slot struct {
	msg   any
	key   string
	self  *incarnation // sent by this incarnation to itself; goes with it
	again *repeat      // of Every: waits once at a time
	at    int64
}

// enqueue takes a message. The mailbox's mu guards this and what follows.
func (m *mailbox) enqueue(s slot) {
	if m.ended {
		m.controlStopped++
		return
	}
	// Every message of a quiet mailbox is stamped, one in 16 of a crowded one:
	// a clock read costs as much as the rest of this.
	if m.control.len() < 4 || m.control.tail&15 == 0 {
		s.at = m.supervisor.nanos()
	}
	if s.key != "" {
		if at, ok := m.keys[s.key]; ok {
			old := m.control.at(at)
			s.at = old.at
			*old = s
			return
		}
	}
	if m.control.len() >= m.limit {
		m.overflow()
	}
	if s.key != "" {
		m.keys[s.key] = m.control.tail
	}
	m.control.push(s)
}

// overflow fails the child, which is seeded again, and makes room: what has a
// key stays (the newest of each), the rest is dropped.
func (m *mailbox) overflow() {
	if m.owner != nil {
		m.owner.failLocked(failure{reason: byError, err: errControlFull})
	}
	before := m.control.len()
	m.keep(func(s *slot) bool { return s.key != "" })
	if m.control.len() >= m.limit {
		m.keep(func(*slot) bool { return false })
	}
	m.controlFull += uint64(before - m.control.len())
}

func (m *mailbox) keep(pick func(*slot) bool) {
	old := m.control
	m.control = ring[slot]{}
	clear(m.keys)
	for i := old.head; i != old.tail; i++ {
		s := old.at(i)
		if !pick(s) {
			if s.again != nil {
				s.again.waits = false
			}
			continue
		}
		if s.key != "" {
			m.keys[s.key] = m.control.tail
		}
		m.control.push(*s)
	}
}

// dequeue takes the oldest message; there is one.
func (m *mailbox) dequeue(it *item) {
	s := m.control.at(m.control.head)
	m.control.head++
	it.msg, it.at = s.msg, s.at
	if s.key != "" {
		delete(m.keys, s.key)
	}
	if s.again != nil {
		s.again.waits = false
	}
	*s = slot{}
}
