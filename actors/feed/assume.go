package feed

import (
	"time"

	"kitestring/messages"
)

// cutWithin is how long before a new token a socket may have ended to count as
// cut by the login that made it.
const cutWithin = 10 * time.Second

// cachedWithin is how long the cached packets of a connection may take.
const cachedWithin = 5 * time.Second

// witness is what is needed to say whether Kite does what is assumed of it.
type witness struct {
	lost               [MaxShards]link // live sockets that the network ended; since: when
	asked              [MaxShards]uint32
	heartbeats, frames uint64
	unknown            uint64
	matched, parted    uint64
}

// note counts a fact for or against an assumption. Readers and writers call it,
// too.
func (f *Feed) note(a messages.Assumption, held bool, n uint64) {
	if f.cfg.Assume != nil && n > 0 {
		f.cfg.Assume(a, held, n)
	}
}

// noteUpgrade is called before the shard knows of it.
func (f *Feed) noteUpgrade() {
	if f.lingering(time.Now()) {
		f.note(messages.SlotFreed, true, 1)
	}
}

// lingering reports whether this program closed a socket a moment ago.
func (f *Feed) lingering(now time.Time) bool {
	for i := range f.shards {
		if now.Before(f.shards[i].lingersUntil) {
			return true
		}
	}
	return false
}

// noteEnd is called before the shard knows of the end.
func (f *Feed) noteEnd(i int, e ended, now time.Time) {
	s := &f.shards[i]
	switch {
	case e.cause == tooMany:
		held := -1 // the one that ended counts itself
		for j := range f.shards {
			held += f.shards[j].sockets()
		}
		if held < MaxShards && !f.lingering(now) {
			f.note(messages.SlotFreed, false, 1)
		}
	case e.cause == network && e.id == s.main.id && s.main.phase == live:
		if s.next.phase != idle { // on its way with a newer token
			f.note(messages.OldSocketLives, false, 1)
			return
		}
		f.witness.lost[i] = link{generation: s.main.generation, since: now}
	}
}

// noteChange looks whether the login that made a token has cut sockets.
func (f *Feed) noteChange(g messages.Generation, now time.Time) {
	for i := range f.witness.lost {
		lost := &f.witness.lost[i]
		if lost.generation != 0 && lost.generation < g && now.Sub(lost.since) < cutWithin {
			f.note(messages.OldSocketLives, false, 1)
		}
		*lost = link{}
	}
}

// noteVerdict compares the profile's verdict with an upgrade's.
func (f *Feed) noteVerdict(m messages.TokenVerdict) {
	if m.Verdict == messages.VerdictUnknown {
		return
	}
	for i := range f.shards {
		for _, d := range f.shards[i].doubts {
			if d.generation == m.Generation {
				f.note(messages.RefusalsAgree, m.Verdict == messages.VerdictRejected, 1)
			}
		}
	}
}

// noteSecond counts what the tables have counted.
func (f *Feed) noteSecond(now time.Time) {
	var sum witness
	for i, t := range f.cfg.State.tables {
		wanted := len(f.cfg.State.subscriptions(i))
		due := i < len(f.shards) && f.shards[i].main.phase == live && now.Sub(f.shards[i].main.liveAt) >= cachedWithin
		arrived, timed, untimed, epoch := 0, 0, 0, uint32(0)
		t.locked(func() {
			c := &t.counts
			sum.heartbeats, sum.frames = sum.heartbeats+c.Heartbeats, sum.frames+c.Frames
			sum.unknown += c.malformed[unknownLength] + c.malformed[unknownSegment]
			sum.matched, sum.parted = sum.matched+c.joins.Matched, sum.parted+c.joins.Ordered+c.joins.Unmatched
			epoch = t.epoch
			for j := range t.slots {
				slot := &t.slots[j]
				if !slot.used || slot.length == 0 || slot.arrived != t.epoch {
					continue
				}
				arrived++
				if messages.SegmentOf(slot.token) == messages.Indices && slot.mode == messages.ModeFull {
					if slot.exchange != 0 {
						timed++
					} else {
						untimed++
					}
				}
			}
		})
		f.note(messages.IndexTime, true, uint64(timed))
		f.note(messages.IndexTime, false, uint64(untimed))
		if due && f.witness.asked[i] != epoch { // a new connection, not a swap
			f.witness.asked[i] = epoch
			f.note(messages.CachedPacket, true, uint64(arrived))
			f.note(messages.CachedPacket, false, uint64(max(0, wanted-arrived)))
		}
	}
	if sum.heartbeats+sum.frames > f.witness.heartbeats+f.witness.frames {
		f.note(messages.Heartbeat, true, 1)
	}
	f.note(messages.KnownPackets, true, sum.frames-f.witness.frames)
	f.note(messages.KnownPackets, false, sum.unknown-f.witness.unknown)
	f.note(messages.EqualPackets, true, sum.matched-f.witness.matched)
	f.note(messages.EqualPackets, false, sum.parted-f.witness.parted)
	sum.lost, sum.asked = f.witness.lost, f.witness.asked
	f.witness = sum
}
