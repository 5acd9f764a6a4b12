package feed

import (
	"slices"
	"time"

	"kitestring/actors/merger"
	"kitestring/messages"
)

// The results of a rotation.
const (
	pending    = "pending"
	adopted    = "adopted"
	rejected   = "rejected"
	superseded = "superseded"
)

// receipt is a rotation with what it takes to complete it. Stages are stamped
// with the wall clock, because the first of them, the file's ctime, is.
type receipt struct {
	rotation messages.Rotation
	before   sequence // counted up to the change
	replaces bool     // an older socket was there to retire
}

// sequence sums up what the tables count of repeats and losses.
type sequence struct {
	overlapped, repeated, lost uint64
	joins                      merger.Joins
}

// openReceipt begins a receipt, once per generation; an unfinished older one is
// superseded, and comes back too, if there is one. A start is no rotation: the
// token that the file held then has none.
func (s *Store) openReceipt(c messages.TokenChanged, replaces bool) (changed []messages.Rotation) {
	if c.Source == messages.ChangeAtStart {
		return nil
	}
	before := s.sequence()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.receipt(c.Session.Generation) != nil {
		return nil
	}
	for _, r := range s.rotations {
		if r.rotation.Result == pending {
			r.rotation.Result = superseded
			r.rotation.Reason = "a newer token came before this one was in use"
			changed = append(changed, r.rotation)
		}
	}
	r := &receipt{
		rotation: messages.Rotation{
			Generation: c.Session.Generation, Source: c.Source, ChangedAt: c.ChangedAt, Result: pending,
		},
		before: before, replaces: replaces,
	}
	r.stamp(&r.rotation.DetectedMS, c.DetectedAt)
	s.rotations = append(s.rotations, r)
	if n := len(s.rotations) - rotationsKept; n > 0 {
		s.rotations = slices.Delete(s.rotations, 0, n)
	}
	return append(changed, r.rotation)
}

// receipt finds a generation's receipt; mu is held.
func (s *Store) receipt(g messages.Generation) *receipt {
	for _, r := range slices.Backward(s.rotations) {
		if r.rotation.Generation == g {
			return r
		}
	}
	return nil
}

// stamp notes a stage, the first time that it is reached.
func (r *receipt) stamp(stage **float64, at time.Time) (changed bool) {
	if *stage != nil {
		return false
	}
	ms := max(0, at.Round(0).Sub(r.rotation.ChangedAt.Round(0)).Seconds()*1000)
	*stage = &ms
	return true
}

// change applies a change to a generation's receipt. False: there is none, or
// nothing about it has changed.
func (s *Store) change(g messages.Generation, apply func(*receipt) bool) (messages.Rotation, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.receipt(g)
	if r == nil || !apply(r) {
		return messages.Rotation{}, false
	}
	return r.rotation, true
}

// stamp reaches a stage of a generation's receipt: which picks it.
func (s *Store) stamp(g messages.Generation, at time.Time, which func(*messages.Rotation) **float64) (messages.Rotation, bool) {
	return s.change(g, func(r *receipt) bool { return r.stamp(which(&r.rotation), at) })
}

// rejectReceipt closes a receipt whose token Kite refused.
func (s *Store) rejectReceipt(g messages.Generation, why string) (messages.Rotation, bool) {
	return s.change(g, func(r *receipt) bool {
		if r.rotation.Result != pending {
			return false
		}
		r.rotation.Result, r.rotation.Reason = rejected, why
		return true
	})
}

// closeReceipt completes a receipt: every shard works with the generation and
// nothing of an older one is left.
func (s *Store) closeReceipt(g messages.Generation, at time.Time, shards int, sequenced bool, clients *int) (messages.Rotation, bool) {
	now := s.sequence()
	return s.change(g, func(r *receipt) bool {
		if r.rotation.Result != pending {
			return false
		}
		if r.replaces {
			r.stamp(&r.rotation.RetiredMS, at)
		}
		r.stamp(&r.rotation.TotalMS, at)
		r.rotation.Result, r.rotation.Shards, r.rotation.Clients = adopted, shards, clients
		r.sums(now, sequenced)
		return true
	})
}

// recount brings the counted ticks of the newest receipt up to date after it
// was closed: a loss shows only when the instrument's next tick comes.
func (s *Store) recount(g messages.Generation, sequenced bool) (messages.Rotation, bool) {
	now := s.sequence()
	return s.change(g, func(r *receipt) bool {
		return r == s.rotations[len(s.rotations)-1] && r.rotation.Result == adopted && r.sums(now, sequenced)
	})
}

// sums notes what was counted since the change. True: it differs from before.
func (r *receipt) sums(now sequence, sequenced bool) (changed bool) {
	was := r.rotation
	r.rotation.Overlapped = int64(now.overlapped - r.before.overlapped)
	r.rotation.Matched = int64(now.joins.Matched - r.before.joins.Matched)
	r.rotation.Ordered = int64(now.joins.Ordered - r.before.joins.Ordered)
	r.rotation.Unmatched = int64(now.joins.Unmatched - r.before.joins.Unmatched)
	changed = r.rotation != was
	if !sequenced {
		return changed
	}
	for _, c := range [...]struct {
		to **int64
		n  int64
	}{
		{&r.rotation.Repeated, int64(now.repeated - r.before.repeated)},
		{&r.rotation.Lost, int64(now.lost - r.before.lost)},
	} {
		if *c.to == nil || **c.to != c.n {
			*c.to, changed = &c.n, true
		}
	}
	return changed
}

// sequence sums over the shards.
func (s *Store) sequence() (sum sequence) {
	for _, t := range s.tables {
		t.locked(func() {
			sum.overlapped += t.counts.Overlapped
			sum.joins.Add(t.counts.joins)
			if t.merger != nil {
				sum.overlapped += t.merger.Overlapped
				sum.joins.Add(t.merger.Joins)
			}
			sum.repeated += t.counts.Repeated
			sum.lost += t.counts.Lost
		})
	}
	return sum
}
