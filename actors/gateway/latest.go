package gateway

import (
	"kitestring/messages"
)

// Latest conflates batches that the gateway was too slow to take: the newest
// packet of each instrument, whole. It gives them back as a batch, so that the
// relay sees no difference but what is missing. Used by one goroutine at a time.
type Latest struct {
	index map[uint32]int
	out   messages.Ticks
}

// Merge takes a batch in, without keeping it.
func (l *Latest) Merge(batch messages.Batch) {
	b := batch.(*messages.Ticks)
	if l.index == nil {
		l.index = map[uint32]int{}
	}
	l.out.Generation, l.out.Received = max(l.out.Generation, b.Generation), b.Received
	for i := range b.Ticks {
		t := b.Ticks[i]
		packet := b.Raw[t.Offset : t.Offset+uint32(t.Length)]
		at, has := l.index[t.InstrumentToken]
		if !has {
			at = len(l.out.Ticks)
			l.index[t.InstrumentToken] = at
			t.Offset = uint32(len(l.out.Raw))
			l.out.Ticks = append(l.out.Ticks, t)
			l.out.Raw = append(l.out.Raw, make([]byte, packetMax)...)
		} else {
			t.Offset = l.out.Ticks[at].Offset
			l.out.Ticks[at] = t
		}
		copy(l.out.Raw[t.Offset:], packet)
	}
}

// packetMax is the longest packet that Kite sends.
const packetMax = 184

// Take empties the table; nil when nothing waits. The batch is valid until the
// next Merge.
func (l *Latest) Take() any {
	if len(l.out.Ticks) == 0 {
		return nil
	}
	out := &messages.Ticks{Generation: l.out.Generation, Received: l.out.Received, Ticks: l.out.Ticks, Raw: l.out.Raw}
	l.out.Ticks, l.out.Raw = nil, nil
	clear(l.index)
	return out
}

// Len is the number of packets that wait.
func (l *Latest) Len() int { return len(l.out.Ticks) }
