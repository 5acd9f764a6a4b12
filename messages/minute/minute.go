// Package minute merges ticks into minutes of exchange time: one table for
// the mailbox that has to conflate and for the bars that are made of it.
package minute

import "kitestring/messages"

// kept is how many exchange minutes of one instrument wait at most.
const kept = 2

// Table conflates batches that a subscriber was too slow to take: one entry
// per instrument and exchange minute, never merged across a minute, so that
// bars made of them equal bars made of the ticks. At most two minutes of an
// instrument wait; beyond that the oldest is given up and the next one says so
// (Gapped). Its memory is bounded by the instruments that it has met.
//
// A tick without an exchange time (ltp, index quote) counts to the minute of
// the instrument's last tick, or to minute 0. Depth is lost: the raw packets
// are gone. The zero value is ready. Used by one goroutine at a time. It is a
// supervisor.Conflator.
type Table struct {
	index      map[uint32]int // of lines, by instrument token
	lines      []line
	guess      int      // the line after the last tick's: frames tend to keep their order
	touched    []uint32 // lines with something in them, in order of their first tick
	generation messages.Generation
	pending    int
	out        messages.Minutes
}

type line struct {
	token   uint32
	minutes [kept]messages.Minute
	n       uint8
	last    uint32 // the minute of the last tick
}

// Merge takes a batch of ticks (a *messages.Ticks) in, without keeping it.
func (t *Table) Merge(batch messages.Batch) {
	ticks := batch.(*messages.Ticks)
	t.generation = max(t.generation, ticks.Generation)
	for i := range ticks.Ticks {
		t.add(&ticks.Ticks[i])
	}
}

func (t *Table) add(tick *messages.Tick) {
	at := t.line(tick.InstrumentToken)
	l := &t.lines[at]
	start := l.last
	if tick.ExchangeTime != 0 {
		start = Start(tick.ExchangeTime)
	}
	if l.n > 0 {
		switch last := &l.minutes[l.n-1]; {
		case last.Start == start:
			merge(last, tick)
			return
		case last.Start > start:
			t.late(l, tick, start)
			return
		}
	} else {
		t.touched = append(t.touched, uint32(at))
	}
	l.last = start
	if l.n == kept {
		copy(l.minutes[:], l.minutes[1:])
		l.minutes[0].Gapped = true
		l.n--
		t.pending--
	}
	l.minutes[l.n] = Of(tick, start)
	l.n++
	t.pending++
}

// line finds an instrument's line, or makes it.
func (t *Table) line(token uint32) int {
	at := t.guess
	if at >= len(t.lines) || t.lines[at].token != token {
		var known bool
		if at, known = t.index[token]; !known {
			if t.index == nil {
				t.index = map[uint32]int{}
			}
			at = len(t.lines)
			t.lines = append(t.lines, line{token: token})
			t.index[token] = at
		}
	}
	t.guess = at + 1
	return at
}

// late takes a tick of an older minute than the newest one that waits, as a
// snapshot may hold it.
func (t *Table) late(l *line, tick *messages.Tick, start uint32) {
	oldest := &l.minutes[0]
	switch {
	case oldest.Start == start:
		merge(oldest, tick)
	case l.n < kept && oldest.Start > start:
		copy(l.minutes[1:], l.minutes[:l.n])
		l.minutes[0] = Of(tick, start)
		l.n++
		t.pending++
	default:
		oldest.Gapped = true
	}
}

// Start is the first second of an exchange time's minute.
func Start(exchangeTime uint32) uint32 { return exchangeTime - exchangeTime%60 }

// Of is the minute that starts at start and holds one tick.
func Of(t *messages.Tick, start uint32) messages.Minute {
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

// Take empties the table into a *messages.Minutes, oldest first per
// instrument; nil when there is nothing. The message is valid until the next
// Merge.
func (t *Table) Take() any {
	if t.pending == 0 {
		return nil
	}
	t.out.Generation = t.generation
	t.out.Minutes = t.out.Minutes[:0]
	for _, at := range t.touched {
		l := &t.lines[at]
		t.out.Minutes = append(t.out.Minutes, l.minutes[:l.n]...)
		l.n = 0
	}
	t.touched = t.touched[:0]
	t.pending = 0
	return &t.out
}

// Len is the number of minutes that wait.
func (t *Table) Len() int { return t.pending }
