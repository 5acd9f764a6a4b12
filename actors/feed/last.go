package feed

import (
	"time"

	"kitestring/messages"
)

// LastTick is the newest packet of an instrument, false when there is none.
func (s *Store) LastTick(instrumentToken uint32) (tick messages.Tick, ok bool) {
	for _, t := range s.tables {
		t.lock()
		if at := t.index.find(instrumentToken); at >= 0 {
			if slot := &t.slots[at]; slot.used && slot.length > 0 {
				ok = decodeOne(slot.packet(), &tick)
			}
		}
		t.mu.Unlock()
		if ok {
			return tick, true
		}
	}
	return tick, false
}

// Newest is the exchange time of the newest tick of NSE and BSE, their indices
// and derivatives included; commodities trade on days when these do not. The
// zero time: none yet.
func (s *Store) Newest() time.Time {
	var newest uint32
	for _, t := range s.tables {
		t.lock()
		for i := range t.slots {
			slot := &t.slots[i]
			switch messages.SegmentOf(slot.token) {
			case messages.NSE, messages.NFO, messages.BSE, messages.BFO, messages.Indices:
				if slot.used && slot.length > 0 {
					newest = max(newest, slot.exchange)
				}
			}
		}
		t.mu.Unlock()
	}
	if newest == 0 {
		return time.Time{}
	}
	return time.Unix(int64(newest), 0)
}
