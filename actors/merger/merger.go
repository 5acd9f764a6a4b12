// Package merger makes one stream of two sockets that carry the same
// instruments: of a running feed while the token changes, and of a recording of
// it. Its promise and its limits stand at [Merger].
package merger

import (
	"slices"
	"time"

	"kitestring/messages"
)

// Side is one of the two sockets of a swap.
type Side uint8

// The two sides.
const (
	Older Side = iota
	Newer
)

func (s Side) other() Side { return 1 - s }

// Arrival is a packet as the merger sees it.
type Arrival struct {
	Hash   uint64 // of the packet's bytes: byte-equal packets and no others share it
	Moment Moment
	Packet []byte // copied when it has to wait
}

// Moment orders packets of one instrument as far as they can be ordered: no
// part of it falls within a day. (The open interest would order no further: it
// rises and falls.)
type Moment struct{ Exchange, Volume, Trade uint32 }

// MomentOf is a packet's place in time.
func MomentOf(t *messages.Tick) Moment { return Moment{t.ExchangeTime, t.Volume, t.LastTradeTime} }

// Before reports whether m is certainly older than o.
func (m Moment) Before(o Moment) bool {
	switch {
	case m.Exchange != o.Exchange && m.Exchange != 0 && o.Exchange != 0:
		return m.Exchange < o.Exchange
	case m.Volume != o.Volume:
		return m.Volume < o.Volume
	default:
		return m.Trade < o.Trade
	}
}

// Held is a packet of the newer socket that waits for the older one.
type Held struct {
	hash   uint64
	moment Moment
	Packet []byte
	older  int // packets that the older socket had brought by then
}

// Merger makes one stream of two sockets that carry the same instruments:
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
// makes the newer socket lead its instrument after a while: what the older one
// had on its way has come by then. From there on a packet goes out when it is
// newer than the last one; of equal age only the leader's does. The while is
// TwinAfter, since the twin may be late, and LeadAfter where the swap before this
// one has shown that the sockets carry different packets.
//
// A packet of an earlier day waits for nothing: the older socket has had all
// night to bring it. Before the open, when the exchange has made up its cached
// packets again and they fit nothing that was sent, this is what joins them.
//
// Exact when both sockets carry the same packets of an instrument, none of them
// TwinAfter late, and no packet recurs, byte for byte, between the two positions
// (time, volume, quantities and five levels of depth each way all equal again).
// Else nothing goes out after something newer, and the volume, which Kite counts
// up over the day, misses no step.
//
// Pure: no clock, no I/O. Not safe for concurrent use.
type Merger struct {
	Now     time.Time // of the frame whose packets are offered
	today   uint32    // when the exchange's day began: packets of before have come on the older side, or never will
	last    Joins     // that New was given
	tracks  []track   // by slot
	waiting int       // not joined, with a packet on one side at least
	silent  int       // not joined, without any
	due     int       // joined, with packets that one side has yet to repeat
	Alone   bool      // one socket is gone
	Left    Side      // which one is left, when alone
	Differ  bool      // the sockets carry different packets: nothing to be exact about

	room []uint64 // of tracks with few packets

	Overlapped uint64 // packets that came on both
	Repeated   uint64 // packets that one socket repeated at once
	Joins      Joins
}

// Joins counts how the newer socket took instruments over.
type Joins struct {
	Matched   uint64 // by a packet that both sockets brought
	Ordered   uint64 // by one that was newer than all before
	Unmatched uint64 // by one of which neither could be said
}

// Add counts those of o too.
func (j *Joins) Add(o Joins) {
	j.Matched += o.Matched
	j.Ordered += o.Ordered
	j.Unmatched += o.Unmatched
}

// differ reports whether the two sockets carried different packets.
func (j Joins) differ() bool { return 10*(j.Ordered+j.Unmatched) > j.Matched }

// How long the older socket may take to bring what the newer one has brought.
const (
	LeadAfter = 50 * time.Millisecond
	// TwinAfter is for sockets that carry the same packets, as far as is known. TCP
	// sends a lost segment again after 200 ms, then after 400, and a busy machine
	// stands still for as long.
	TwinAfter = 700 * time.Millisecond
)

type track struct {
	used   bool
	joined bool
	differ bool      // joined, and the sockets carry different packets
	last   [2]uint64 // hash of the last packet of each side
	has    [2]bool
	seen   [2][]uint64 // while not joined: what each side has brought
	held   []Held      // while not joined: the newer side's
	behind Side        // when joined: the side that has yet to repeat due
	due    []uint64

	late    bool      // the older side has not brought, in the swap before this one, what is out
	current time.Time // when the newer side first brought what was not older than out
	ordered bool      // that was newer, not only of the same age
	out     Moment    // of the last packet that went out
}

// New makes a merger for about so many slots. today is when the exchange's day
// began, in Unix seconds; last is what the merger before this one has shown.
func New(today uint32, slots int, last Joins) *Merger {
	return &Merger{today: today, last: last, tracks: make([]track, 0, slots)}
}

// Shown is what the merger after this one is to be given: how this one's instruments
// were joined, or those of the one before it, if none was.
func (m *Merger) Shown() Joins {
	if m.Joins == (Joins{}) {
		return m.last
	}
	return m.Joins
}

// wait is how long the older socket may take.
func (m *Merger) wait() time.Duration {
	if m.last.differ() {
		return LeadAfter
	}
	return TwinAfter
}

// Expect makes room for a slot of which nothing has come yet.
func (m *Merger) Expect(slot int) { m.track(slot) }

// track is the track of a slot, made at need.
func (m *Merger) track(slot int) *track {
	for slot >= len(m.tracks) {
		m.tracks = append(m.tracks, track{})
	}
	t := &m.tracks[slot]
	if !t.used {
		t.used = true
		if t.joined = m.Alone; !m.Alone {
			m.silent++
		}
	}
	return t
}

// Known notes the last packet that went out before the swap began. before is
// the last swap's merger, if that has not come to its end.
func (m *Merger) Known(slot int, hash uint64, at Moment, before *Merger) {
	t := m.track(slot)
	if before != nil && slot < len(before.tracks) {
		b := &before.tracks[slot]
		t.late = before.Differ && len(b.due) > 0 && b.behind == before.Left
	}
	m.wake(t)
	t.last[Older], t.has[Older] = hash, true
	t.seen[Older] = append(m.short(t.seen[Older]), hash)
	t.out = at
}

// Forget drops a slot that is no longer wanted.
func (m *Merger) Forget(slot int) {
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

func (t *track) quiet() bool { return !t.has[Older] && !t.has[Newer] }

func (m *Merger) wake(t *track) {
	if !t.joined && t.quiet() {
		m.silent--
		m.waiting++
	}
}

// settle empties due.
func (m *Merger) settle(t *track) {
	if len(t.due) > 0 {
		m.due--
	}
	t.due = t.due[:0]
}

// expect sets what s has yet to repeat.
func (m *Merger) expect(t *track, s Side, hashes []uint64) {
	m.settle(t)
	t.behind = s
	t.due = append(t.due, hashes...)
	if len(t.due) > 0 {
		m.due++
	}
}

// Complete reports whether every instrument is joined. Instruments of which
// neither socket has brought anything do not count when lenient.
func (m *Merger) Complete(lenient bool) bool {
	return m.waiting == 0 && (lenient || m.silent == 0)
}

// Done reports whether the merger has nothing left to do: one socket is gone
// and the other has repeated all that it had to.
func (m *Merger) Done() bool { return m.Alone && m.due == 0 && m.waiting == 0 }

// Offer takes a packet of one side. keep: it goes out now. flush: these go
// out after it.
func (m *Merger) Offer(slot int, s Side, a Arrival) (keep bool, flush []Held) {
	t := m.track(slot)
	if t.has[s] && t.last[s] == a.Hash {
		m.Repeated++
		return false, nil
	}
	m.wake(t)
	t.last[s], t.has[s] = a.Hash, true
	if t.joined {
		return m.offerJoined(t, s, a), nil
	}
	t.seen[s] = append(m.short(t.seen[s]), a.Hash)
	if s == Older {
		// Older than what is out: the rest of a swap before this one.
		if keep = !a.Moment.Before(t.out) && (!t.late || t.out.Before(a.Moment)); keep {
			t.out, t.late = a.Moment, false
		}
	}
	at, ways := t.fit()
	if s == Newer && (ways != 1 || at+len(t.seen[Newer]) > len(t.seen[Older])) {
		if t.current.IsZero() && !a.Moment.Before(t.out) {
			t.current, t.ordered = m.Now, t.out.Before(a.Moment)
		}
		t.held = append(t.held, Held{a.Hash, a.Moment, slices.Clone(a.Packet), len(t.seen[Older])})
	}
	switch {
	case ways == 1:
		return keep, m.join(t, at)
	case ways == 0 && s == Newer && a.Moment.Exchange != 0 && a.Moment.Exchange < m.today:
		return keep, m.part(t)
	}
	return keep, nil
}

// short makes room for a few hashes in a memory that all tracks share: a swap
// of thousands of instruments must not wait for as many allocations.
func (m *Merger) short(hashes []uint64) []uint64 {
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

func (m *Merger) offerJoined(t *track, s Side, a Arrival) (keep bool) {
	if len(t.due) > 0 && t.behind == s {
		if at := slices.Index(t.due, a.Hash); at >= 0 {
			// What stands before it will not come on this side any more.
			m.Overlapped++
			t.due = slices.Delete(t.due, 0, at+1)
			if len(t.due) == 0 {
				m.due--
			}
			return false
		}
		// While both live, two sockets with the same packets never get here.
		Differ := t.differ || !m.Alone
		tie, dated := !t.out.Before(a.Moment), a.Moment != Moment{}
		if a.Moment.Before(t.out) || tie && (Differ && dated || t.differ && s == Older) {
			return false
		}
		t.differ, m.Differ = Differ, m.Differ || Differ
		m.settle(t)
	}
	t.out = a.Moment
	if m.Alone {
		return true
	}
	if len(t.due) > 0 {
		t.due = append(t.due, a.Hash)
	} else {
		m.expect(t, s.other(), []uint64{a.Hash})
	}
	return true
}

// fit finds where the newer side's first packet stands in what the older side
// has brought, and in how many ways all packets of both agree.
func (t *track) fit() (at, ways int) {
	o, n := t.seen[Older], t.seen[Newer]
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
func (m *Merger) join(t *track, at int) (flush []Held) {
	o, n := t.seen[Older], t.seen[Newer]
	both := min(len(n), len(o)-at)
	m.Overlapped += uint64(both)
	m.Joins.Matched++
	t.joined = true
	m.waiting--
	if len(o) > at+both {
		m.expect(t, Newer, o[at+both:])
	} else {
		flush = t.held[min(both, len(t.held)):] // one that came with its twin was not held
		m.expect(t, Older, n[both:])
	}
	m.gone(t, flush)
	return flush
}

// gone closes a track's first part.
func (m *Merger) gone(t *track, flush []Held) {
	if len(flush) > 0 {
		t.out = flush[len(flush)-1].moment
	}
	t.seen = [2][]uint64{}
	t.held = nil
	if m.Alone && t.behind != m.Left {
		m.settle(t)
	}
}

// Leave ends a side: at once when its socket died, by decision when every
// instrument is joined or the time is up. emit gets what goes out now.
func (m *Merger) Leave(s Side, emit func(slot int, flush []Held)) {
	if m.Alone {
		return
	}
	m.Alone, m.Left = true, s.other()
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
		case s == Newer:
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

// Lead lets the newer side lead where it has brought, LeadAfter or TwinAfter ago,
// what was not older than the last packet that had gone out. What the older side has
// brought since then may be newer still: the rest of what is held is late.
func (m *Merger) Lead(now time.Time, emit func(slot int, flush []Held)) {
	wait := m.wait()
	for slot := range m.tracks {
		t := &m.tracks[slot]
		if t.joined || t.current.IsZero() || now.Sub(t.current) < wait {
			continue
		}
		t.differ, m.Differ = true, true
		t.held = slices.DeleteFunc(t.held, func(h Held) bool { return h.older < len(t.seen[Older]) && !t.out.Before(h.moment) })
		if flush := m.part(t); len(flush) > 0 {
			emit(slot, flush)
		}
	}
}

// part joins a track as well as can be when the older side is gone, or will
// not bring what the newer one has begun with.
func (m *Merger) part(t *track) (flush []Held) {
	if at, ways := t.fit(); ways > 0 {
		return m.join(t, at) // of several ways the latest: rather nothing lost
	}
	o, last := t.seen[Older], t.out
	t.joined = true
	m.waiting--
	var hashes []uint64
	for _, h := range t.held {
		if !h.moment.Before(last) && !slices.Contains(o, h.hash) {
			flush = append(flush, h)
			hashes = append(hashes, h.hash)
			last = h.moment
		}
	}
	if t.ordered {
		m.Joins.Ordered++
	} else {
		m.Joins.Unmatched++
	}
	if len(flush) == 0 {
		m.expect(t, Newer, o)
	} else {
		m.expect(t, Older, hashes)
	}
	m.gone(t, flush)
	return flush
}
