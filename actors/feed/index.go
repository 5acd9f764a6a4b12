package feed

// index finds an instrument's slot: open addressing at a load of at most a
// quarter, because every packet asks. Not safe for concurrent use.
type index struct {
	keys  []uint32 // by place; slots says whether a place is empty
	slots []uint32 // slot + 1; 0: empty
	shift uint8
	n     int
}

const indexStart = 6 // 64 places

func (x *index) place(token uint32) uint32 { return token * 2654435769 >> x.shift }

// find is the slot of an instrument, -1 when it has none.
func (x *index) find(token uint32) int {
	if len(x.keys) == 0 {
		return -1
	}
	mask := uint32(len(x.keys) - 1)
	for at := x.place(token); ; at = (at + 1) & mask {
		s := x.slots[at]
		if s == 0 {
			return -1
		}
		if x.keys[at] == token {
			return int(s - 1)
		}
	}
}

// set gives an instrument a slot.
func (x *index) set(token uint32, slot int) {
	if 4*(x.n+1) > len(x.keys) {
		x.grow()
	}
	mask := uint32(len(x.keys) - 1)
	at := x.place(token)
	for x.slots[at] != 0 && x.keys[at] != token {
		at = (at + 1) & mask
	}
	if x.slots[at] == 0 {
		x.n++
	}
	x.keys[at], x.slots[at] = token, uint32(slot+1)
}

// remove forgets an instrument. Those behind it move up, so that a chain of
// collisions has no hole.
func (x *index) remove(token uint32) {
	if x.find(token) < 0 {
		return
	}
	mask := uint32(len(x.keys) - 1)
	at := x.place(token)
	for x.keys[at] != token || x.slots[at] == 0 {
		at = (at + 1) & mask
	}
	x.slots[at] = 0
	x.n--
	for next := (at + 1) & mask; x.slots[next] != 0; next = (next + 1) & mask {
		key, slot := x.keys[next], x.slots[next]
		x.slots[next] = 0
		x.n--
		x.set(key, int(slot-1))
	}
}

func (x *index) grow() {
	old := *x
	bits := uint8(indexStart)
	if len(old.keys) > 0 {
		bits = 32 - old.shift + 1
	}
	*x = index{keys: make([]uint32, 1<<bits), slots: make([]uint32, 1<<bits), shift: 32 - bits}
	for i, s := range old.slots {
		if s != 0 {
			x.set(old.keys[i], int(s-1))
		}
	}
}
