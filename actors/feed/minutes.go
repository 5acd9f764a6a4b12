package feed

import "kitestring/messages"

// minutesKept is how many exchange minutes of one instrument wait at most.
const minutesKept = 2

// Minutes conflates batches that a subscriber was too slow to take: one entry
// per instrument and exchange minute, never merged across a minute, so that
// bars made of them equal bars made of the ticks. At most two minutes of an
// instrument wait; beyond that the oldest is given up and the next one says so
// (Gapped). Its memory is bounded by the instruments that it has met.
//
// A tick without an exchange time (ltp, index quote) counts to the minute of
// the instrument's last tick, or to minute 0. Depth is lost: the raw packets
// are gone. Used by one goroutine at a time.
type Minutes struct {
	index      index
	lines      []line
	touched    []uint32 // lines with something in them, in order of their first tick
	generation messages.Generation
	pending    int
	out        messages.Minutes
}

type line struct {
	minutes [minutesKept]messages.Minute
	n       uint8
	last    uint32 // the minute of the last tick
}

// Merge takes a batch in, without keeping it.
func (m *Minutes) Merge(batch *messages.Ticks) {
	m.generation = max(m.generation, batch.Generation)
	for i := range batch.Ticks {
		m.add(&batch.Ticks[i])
	}
}

func (m *Minutes) add(t *messages.Tick) {
	at := m.index.find(t.InstrumentToken)
	if at < 0 {
		at = len(m.lines)
		m.lines = append(m.lines, line{})
		m.index.set(t.InstrumentToken, at)
	}
	l := &m.lines[at]
	start := l.last
	if t.ExchangeTime != 0 {
		start = t.ExchangeTime - t.ExchangeTime%60
	}
	if l.n > 0 {
		switch last := &l.minutes[l.n-1]; {
		case last.Start == start:
			merge(last, t)
			return
		case last.Start > start:
			m.late(l, t, start)
			return
		}
	} else {
		m.touched = append(m.touched, uint32(at))
	}
	l.last = start
	if l.n == minutesKept {
		copy(l.minutes[:], l.minutes[1:])
		l.minutes[0].Gapped = true
		l.n--
		m.pending--
	}
	l.minutes[l.n] = minuteOf(t, start)
	l.n++
	m.pending++
}

// late takes a tick of an older minute than the newest one that waits, as a
// snapshot may hold it.
func (m *Minutes) late(l *line, t *messages.Tick, start uint32) {
	oldest := &l.minutes[0]
	switch {
	case oldest.Start == start:
		merge(oldest, t)
	case l.n < minutesKept && oldest.Start > start:
		copy(l.minutes[1:], l.minutes[:l.n])
		l.minutes[0] = minuteOf(t, start)
		l.n++
		m.pending++
	default:
		oldest.Gapped = true
	}
}

func minuteOf(t *messages.Tick, start uint32) messages.Minute {
	return messages.Minute{
		InstrumentToken: t.InstrumentToken, Start: start,
		First: t.LastPrice, High: t.LastPrice, Low: t.LastPrice, Last: t.LastPrice,
		VolumeFirst: t.Volume, VolumeLast: t.Volume, OI: t.OI, Count: 1, Newest: *t,
	}
}

func merge(to *messages.Minute, t *messages.Tick) {
	to.High = max(to.High, t.LastPrice)
	to.Low = min(to.Low, t.LastPrice)
	to.Last = t.LastPrice
	to.VolumeLast = t.Volume
	if t.Mode == messages.ModeFull {
		to.OI = t.OI
	}
	to.Count++
	to.Newest = *t
}

// Take empties the table: oldest first per instrument; nil when there is
// nothing. The message is valid until the next Merge.
func (m *Minutes) Take() *messages.Minutes {
	if m.pending == 0 {
		return nil
	}
	m.out.Generation = m.generation
	m.out.Minutes = m.out.Minutes[:0]
	for _, at := range m.touched {
		l := &m.lines[at]
		m.out.Minutes = append(m.out.Minutes, l.minutes[:l.n]...)
		l.n = 0
	}
	m.touched = m.touched[:0]
	m.pending = 0
	return &m.out
}

// Len is the number of minutes that wait.
func (m *Minutes) Len() int { return m.pending }
