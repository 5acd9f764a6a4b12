package supervisor

import "kitestring/supervisor/queue"

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
	if m.control.Len() < 4 || m.control.Tail&15 == 0 {
		s.at = m.supervisor.nanos()
	}
	if s.key != "" {
		if at, ok := m.keys[s.key]; ok {
			old := m.control.At(at)
			s.at = old.at
			*old = s
			return
		}
	}
	if m.control.Len() >= m.limit {
		m.overflow()
	}
	if s.key != "" {
		m.keys[s.key] = m.control.Tail
	}
	m.control.Push(s)
}

// overflow fails the child, which is seeded again, and makes room: what has a
// key stays (the newest of each), the rest is dropped.
func (m *mailbox) overflow() {
	if m.owner != nil {
		m.owner.failLocked(failure{reason: byError, err: errControlFull})
	}
	before := m.control.Len()
	m.keep(func(s *slot) bool { return s.key != "" })
	if m.control.Len() >= m.limit {
		m.keep(func(*slot) bool { return false })
	}
	m.controlFull += uint64(before - m.control.Len())
}

func (m *mailbox) keep(pick func(*slot) bool) {
	old := m.control
	m.control = queue.Ring[slot]{}
	clear(m.keys)
	for i := old.Head; i != old.Tail; i++ {
		s := old.At(i)
		if !pick(s) {
			if s.again != nil {
				s.again.waits = false
			}
			continue
		}
		if s.key != "" {
			m.keys[s.key] = m.control.Tail
		}
		m.control.Push(*s)
	}
}

// dequeue takes the oldest message; there is one.
func (m *mailbox) dequeue(it *item) {
	s := m.control.At(m.control.Head)
	m.control.Head++
	it.msg, it.At = s.msg, s.at
	if s.key != "" {
		delete(m.keys, s.key)
	}
	if s.again != nil {
		s.again.waits = false
	}
	*s = slot{}
}
