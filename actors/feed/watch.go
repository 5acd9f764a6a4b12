package feed

import (
	"slices"
	"time"

	"kitestring/messages"
)

// second does what is due every second.
func (f *Feed) second() {
	now := time.Now()
	f.publishGaps(now)
	f.watch(now)
	stats := uint64(0)
	for _, t := range f.cfg.State.tables {
		stats += t.vitals().frames
	}
	streaming := slices.ContainsFunc(f.shards, func(s shard) bool { return s.main.phase == live })
	if stats != f.frames || !streaming {
		// Without a socket the state machine itself is the progress.
		f.frames = stats
		f.self.Beat()
	}
}

func (f *Feed) publishGaps(now time.Time) {
	for i, t := range f.cfg.State.tables {
		gaps, why := t.takeGaps()
		if len(gaps) == 0 {
			continue
		}
		g := messages.GapDetected{Reason: why, Shard: i, Gaps: gaps, At: now}
		if i < len(f.shards) {
			g.Generation = f.shards[i].leads()
		}
		f.cfg.State.addGap(g)
		f.cfg.Metrics.gaps(gaps)
		for _, to := range f.cfg.Gaps {
			f.self.Send(to, g)
		}
	}
}

// watch looks for shards that bring frames but no ticks.
func (f *Feed) watch(now time.Time) {
	for i := range f.shards {
		s := &f.shards[i]
		v := f.cfg.State.tables[i].vitals()
		due := v.instruments > 0 && f.phase.Phase == messages.Open
		var r remedy
		f.stale[i], r = f.stale[i].next(now, v.lastTick, due, s.main.phase == live, f.cfg.limits.stale)
		switch r {
		case nothing:
		case subscribeAgain:
			f.self.Log().Warn("no ticks in an open market, subscribing again", "shard", i, "generation", s.main.generation)
			if st := f.streams[s.main.id]; st != nil {
				st.resubscribe(true)
			}
		case connectAgain:
			f.self.Log().Warn("no ticks in an open market, connecting anew", "shard", i, "generation", s.main.generation)
			f.step(i, replace{mute, "frames came but no ticks, in an open market; connecting anew"})
		}
	}
	f.show()
}

// badness orders states: the feed is as well as its worst shard.
var badness = map[messages.FeedState]int{
	messages.Streaming: 1, messages.Connecting: 2, messages.Backoff: 3,
	messages.AwaitingToken: 4, messages.Unauthorised: 5,
}

// show tells the world how the shards are, when that has changed.
func (f *Feed) show() {
	shards := make([]messages.ShardStatus, 0, len(f.shards))
	changed := messages.FeedChanged{State: messages.Stopped}
	for i := range f.shards {
		s := &f.shards[i]
		status := messages.ShardStatus{
			Shard: i, State: s.state, Generation: s.leads(), Instruments: len(f.cfg.State.subscriptions(i)),
			Reason: s.reason, Since: s.since,
		}
		if s.main.phase == idle && !s.stopped {
			status.NextDialAt = s.wakeAt
		}
		shards = append(shards, status)
		if badness[s.state] > badness[changed.State] {
			changed.State, changed.Reason = s.state, s.reason
		}
		if f.stale[i].stale {
			changed.Stale = true
		}
	}
	if changed.Stale && changed.State == messages.Streaming {
		changed.Reason = "the market is open and Kite sends no ticks"
	}
	if f.told.Shards != nil && slices.Equal(shards, f.told.Shards) && changed.Stale == f.told.Stale && changed.Reason == f.told.Reason {
		return
	}
	if changed.State != f.told.State || f.told.Shards == nil {
		f.self.Log().Info("feed state", "state", changed.State.String(), "generation", shards[0].Generation, "reason", changed.Reason)
	}
	changed.Shards, changed.At = shards, time.Now()
	f.told = changed
	f.cfg.State.show(changed.State, changed.Stale, changed.Reason, shards)
	if f.cfg.Web != nil {
		f.self.Send(f.cfg.Web, changed)
	}
}
