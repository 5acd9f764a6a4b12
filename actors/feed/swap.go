package feed

import (
	"slices"
	"time"

	"kitestring/messages"
)

// side is one of the two sockets of a swap.
type side uint8

const (
	older side = iota
	newer
)

func (s side) other() side { return 1 - s }

// arrival is a packet as the merger sees it.
type arrival struct {
	hash   uint64 // of the packet's bytes: byte-equal packets and no others share it
	moment moment
	packet []byte // copied when it has to wait
}

// moment orders packets of one instrument as far as they can be ordered: no
// part of it falls within a day. (The open interest would order no further: it
// rises and falls.)
type moment struct{ exchange, volume, trade uint32 }

func momentOf(t *messages.Tick) moment { return moment{t.ExchangeTime, t.Volume, t.LastTradeTime} }

// before reports whether m is certainly older than o.
func (m moment) before(o moment) bool {
	switch {
	case m.exchange != o.exchange && m.exchange != 0 && o.exchange != 0:
		return m.exchange < o.exchange
	case m.volume != o.volume:
		return m.volume < o.volume
	default:
		return m.trade < o.trade
	}
}

// held is a packet of the newer socket that waits for the older one.
type held struct {
	hash   uint64
	moment moment
	packet []byte
	older  int // packets that the older socket had brought by then
}

// merger makes one stream of two sockets that carry the same instruments:
// nothing lost, nothing repeated, whichever runs ahead, whichever dies first.
//
// Per instrument it begins with the older socket leading: its packets go out
// and are remembered, those of the newer one are held. As soon as the two
// sequences fit together in exactly one way (a byte-equal packet on both; the
// cached tick after the subscription usually is it) they are joined: from
// then on a packet goes out when it comes first, from either, and its twin is
// skipped. So nothing depends on which socket lives on.
//
// Kite may sample the two sockets at different moments: then a byte-equal packet
// is rare. So a held packet that is not older than the last one that went out
// makes the newer socket lead its instrument after leadAfter: what the older one
// had on its way has come by then. From there on a packet goes out when it is
// newer than the last one; of equal age only the leader's does.
//
// A packet of an earlier day waits for nothing: the older socket has had all
// night to bring it. Before the open, when the exchange has made up its cached
// packets again and they fit nothing that was sent, this is what joins them.
//
// Exact when both sockets carry the same packets of an instrument, none of them
// leadAfter late, and no packet recurs, byte for byte, between the two positions
// (time, volume, quantities and five levels of depth each way all equal again).
// Else nothing goes out after something newer, and the volume, which Kite counts
// up over the day, misses no step.
//
// Pure: no clock, no I/O. Not safe for concurrent use.
type merger struct {
	now     time.Time // of the frame whose packets are offered
	today   uint32    // when the exchange's day began: packets of before have come on the older side, or never will
	tracks  []track   // by slot
	waiting int       // not joined, with a packet on one side at least
	silent  int       // not joined, without any
	due     int       // joined, with packets that one side has yet to repeat
	alone   bool      // one socket is gone
	left    side      // which one is left, when alone
	differ  bool      // the sockets carry different packets: nothing to be exact about

	room []uint64 // of tracks with few packets

	overlapped uint64 // packets that came on both
	repeated   uint64 // packets that one socket repeated at once
	joins      joins
}

// joins counts how the newer socket took instruments over.
type joins struct {
	matched   uint64 // by a packet that both sockets brought
	ordered   uint64 // by one that was newer than all before
	unmatched uint64 // by one of which neither could be said
}

func (j *joins) add(o joins) {
	j.matched += o.matched
	j.ordered += o.ordered
	j.unmatched += o.unmatched
}

// leadAfter is how long the older socket may take to bring what the newer one
// has brought.
const leadAfter = 50 * time.Millisecond

type track struct {
	used   bool
	joined bool
	differ bool      // joined, and the sockets carry different packets
	last   [2]uint64 // hash of the last packet of each side
	has    [2]bool
	seen   [2][]uint64 // while not joined: what each side has brought
	held   []held      // while not joined: the newer side's
	behind side        // when joined: the side that has yet to repeat due
	due    []uint64

	late    bool      // the older side has not brought, in the swap before this one, what is out
	current time.Time // when the newer side first brought what was not older than out
	ordered bool      // that was newer, not only of the same age
	out     moment    // of the last packet that went out
}

// track is the track of a slot, made at need.
func (m *merger) track(slot int) *track {
	for slot >= len(m.tracks) {
		m.tracks = append(m.tracks, track{})
	}
	t := &m.tracks[slot]
	if !t.used {
		t.used = true
		if t.joined = m.alone; !m.alone {
			m.silent++
		}
	}
	return t
}

// known notes the last packet that went out before the swap began. before is
// the last swap's merger, if that has not come to its end.
func (m *merger) known(slot int, hash uint64, at moment, before *merger) {
	t := m.track(slot)
	if before != nil && slot < len(before.tracks) {
		b := &before.tracks[slot]
		t.late = before.differ && len(b.due) > 0 && b.behind == before.left
	}
	m.wake(t)
	t.last[older], t.has[older] = hash, true
	t.seen[older] = append(m.short(t.seen[older]), hash)
	t.out = at
}

// forget drops a slot that is no longer wanted.
func (m *merger) forget(slot int) {
	if slot >= len(m.tracks) || !m.tracks[slot].used {
		return
	}
	t := &m.tracks[slot]
	switch {
	case t.joined:
		m.settle(t)
	case t.quiet():
		m.silent--
	default:
		m.waiting--
	}
	*t = track{}
}

func (t *track) quiet() bool { return !t.has[older] && !t.has[newer] }

func (m *merger) wake(t *track) {
	if !t.joined && t.quiet() {
		m.silent--
		m.waiting++
	}
}

// settle empties due.
func (m *merger) settle(t *track) {
	if len(t.due) > 0 {
		m.due--
	}
	t.due = t.due[:0]
}

// expect sets what s has yet to repeat.
func (m *merger) expect(t *track, s side, hashes []uint64) {
	m.settle(t)
	t.behind = s
	t.due = append(t.due, hashes...)
	if len(t.due) > 0 {
		m.due++
	}
}

// complete reports whether every instrument is joined. Instruments of which
// neither socket has brought anything do not count when lenient.
func (m *merger) complete(lenient bool) bool {
	return m.waiting == 0 && (lenient || m.silent == 0)
}

// done reports whether the merger has nothing left to do: one socket is gone
// and the other has repeated all that it had to.
func (m *merger) done() bool { return m.alone && m.due == 0 && m.waiting == 0 }

// offer takes a packet of one side. keep: it goes out now. flush: these go
// out after it.
func (m *merger) offer(slot int, s side, a arrival) (keep bool, flush []held) {
	t := m.track(slot)
	if t.has[s] && t.last[s] == a.hash {
		m.repeated++
		return false, nil
	}
	m.wake(t)
	t.last[s], t.has[s] = a.hash, true
	if t.joined {
		return m.offerJoined(t, s, a), nil
	}
	t.seen[s] = append(m.short(t.seen[s]), a.hash)
	if s == older {
		// Older than what is out: the rest of a swap before this one.
		if keep = !a.moment.before(t.out) && (!t.late || t.out.before(a.moment)); keep {
			t.out, t.late = a.moment, false
		}
	}
	at, ways := t.fit()
	if s == newer && (ways != 1 || at+len(t.seen[newer]) > len(t.seen[older])) {
		if t.current.IsZero() && !a.moment.before(t.out) {
			t.current, t.ordered = m.now, t.out.before(a.moment)
		}
		t.held = append(t.held, held{a.hash, a.moment, slices.Clone(a.packet), len(t.seen[older])})
	}
	switch {
	case ways == 1:
		return keep, m.join(t, at)
	case ways == 0 && s == newer && a.moment.exchange != 0 && a.moment.exchange < m.today:
		return keep, m.part(t)
	}
	return keep, nil
}

// short makes room for a few hashes in a memory that all tracks share: a swap
// of thousands of instruments must not wait for as many allocations.
func (m *merger) short(hashes []uint64) []uint64 {
	if hashes != nil {
		return hashes
	}
	const most = 4
	if cap(m.room)-len(m.room) < most {
		m.room = make([]uint64, 0, 256*most)
	}
	from := len(m.room)
	m.room = m.room[:from+most]
	return m.room[from : from : from+most]
}

func (m *merger) offerJoined(t *track, s side, a arrival) (keep bool) {
	if len(t.due) > 0 && t.behind == s {
		if at := slices.Index(t.due, a.hash); at >= 0 {
			// What stands before it will not come on this side any more.
			m.overlapped++
			t.due = slices.Delete(t.due, 0, at+1)
			if len(t.due) == 0 {
				m.due--
			}
			return false
		}
		// While both live, two sockets with the same packets never get here.
		differ := t.differ || !m.alone
		tie, dated := !t.out.before(a.moment), a.moment != moment{}
		if a.moment.before(t.out) || tie && (differ && dated || t.differ && s == older) {
			return false
		}
		t.differ, m.differ = differ, m.differ || differ
		m.settle(t)
	}
	t.out = a.moment
	if m.alone {
		return true
	}
	if len(t.due) > 0 {
		t.due = append(t.due, a.hash)
	} else {
		m.expect(t, s.other(), []uint64{a.hash})
	}
	return true
}

// fit finds where the newer side's first packet stands in what the older side
// has brought, and in how many ways all packets of both agree.
func (t *track) fit() (at, ways int) {
	o, n := t.seen[older], t.seen[newer]
	if len(n) == 0 {
		return 0, 0
	}
	for d := range o {
		both := min(len(n), len(o)-d)
		if slices.Equal(n[:both], o[d:d+both]) {
			at = d
			ways++
		}
	}
	return at, ways
}

// join joins a track whose newer side begins at the older one's packet at.
func (m *merger) join(t *track, at int) (flush []held) {
	o, n := t.seen[older], t.seen[newer]
	both := min(len(n), len(o)-at)
	m.overlapped += uint64(both)
	m.joins.matched++
	t.joined = true
	m.waiting--
	if len(o) > at+both {
		m.expect(t, newer, o[at+both:])
	} else {
		flush = t.held[min(both, len(t.held)):] // one that came with its twin was not held
		m.expect(t, older, n[both:])
	}
	m.gone(t, flush)
	return flush
}

// gone closes a track's first part.
func (m *merger) gone(t *track, flush []held) {
	if len(flush) > 0 {
		t.out = flush[len(flush)-1].moment
	}
	t.seen = [2][]uint64{}
	t.held = nil
	if m.alone && t.behind != m.left {
		m.settle(t)
	}
}

// leave ends a side: at once when its socket died, by decision when every
// instrument is joined or the time is up. emit gets what goes out now.
func (m *merger) leave(s side, emit func(slot int, flush []held)) {
	if m.alone {
		return
	}
	m.alone, m.left = true, s.other()
	for slot := range m.tracks {
		t := &m.tracks[slot]
		switch {
		case !t.used:
		case t.joined:
			if t.behind == s {
				m.settle(t)
			}
		case t.quiet():
			m.silent--
			t.joined = true
		case s == newer:
			// What was held comes on the older side anyway.
			t.joined = true
			m.waiting--
			m.gone(t, nil)
		default:
			if flush := m.part(t); len(flush) > 0 {
				emit(slot, flush)
			}
		}
	}
}

// lead lets the newer side lead where it has brought, leadAfter ago, what was
// not older than the last packet that had gone out. What the older side has
// brought since then may be newer still: the rest of what is held is late.
func (m *merger) lead(now time.Time, emit func(slot int, flush []held)) {
	for slot := range m.tracks {
		t := &m.tracks[slot]
		if t.joined || t.current.IsZero() || now.Sub(t.current) < leadAfter {
			continue
		}
		t.differ, m.differ = true, true
		t.held = slices.DeleteFunc(t.held, func(h held) bool { return h.older < len(t.seen[older]) && !t.out.before(h.moment) })
		if flush := m.part(t); len(flush) > 0 {
			emit(slot, flush)
		}
	}
}

// part joins a track as well as can be when the older side is gone, or will
// not bring what the newer one has begun with.
func (m *merger) part(t *track) (flush []held) {
	if at, ways := t.fit(); ways > 0 {
		return m.join(t, at) // of several ways the latest: rather nothing lost
	}
	o, last := t.seen[older], t.out
	t.joined = true
	m.waiting--
	var hashes []uint64
	for _, h := range t.held {
		if !h.moment.before(last) && !slices.Contains(o, h.hash) {
			flush = append(flush, h)
			hashes = append(hashes, h.hash)
			last = h.moment
		}
	}
	if t.ordered {
		m.joins.ordered++
	} else {
		m.joins.unmatched++
	}
	if len(flush) == 0 {
		m.expect(t, newer, o)
	} else {
		m.expect(t, older, hashes)
	}
	m.gone(t, flush)
	return flush
}
