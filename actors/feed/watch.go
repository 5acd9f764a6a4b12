package feed

import (
	"slices"
	"time"

	"kitestring/messages"
)

// lookEvery is how often the feed looks at its shards.
const lookEvery = time.Second

// second does what is due every second.
func (f *Feed) second() {
	now := time.Now()
	f.publishGaps(now)
	f.watch(now)
	f.noteSecond(now)
	frames := uint64(0)
	for _, t := range f.cfg.State.tables {
		frames += t.vitals().frames
	}
	if frames != f.frames || f.decided {
		// Without a socket what the shards decide is the progress.
		f.frames, f.decided = frames, false
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
		f.stale[i], r = f.stale[i].next(now, v.lastTick, due, s.main.phase == live, f.cfg.timeouts.stale)
		switch r {
		case nothing:
		case subscribeAgain:
			f.self.Log().Warn("no ticks in an open market, subscribing again", "shard", i, "generation", s.main.generation)
			if st := f.streams[s.main.id]; st != nil {
				st.resubscribe(true)
			}
		case connectAgain:
			f.self.Log().Warn("no ticks in an open market, connecting again", "shard", i, "generation", s.main.generation)
			f.step(i, replace{mute, "frames came but no ticks, in an open market; connecting again"})
		}
	}
	f.show()
}

// badness orders states: the feed is as well as its worst shard.
var badness = map[messages.FeedState]int{
	messages.Streaming: 1, messages.Connecting: 2, messages.Backoff: 3,
	messages.AwaitingToken: 4, messages.Unauthorised: 5,
}

// show publishes how the shards are, when that has changed.
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
	if f.shown.Shards != nil && slices.Equal(shards, f.shown.Shards) && changed.Stale == f.shown.Stale && changed.Reason == f.shown.Reason {
		return
	}
	if changed.State != f.shown.State || f.shown.Shards == nil {
		f.self.Log().Info("feed state", "state", changed.State.String(), "generation", shards[0].Generation, "reason", changed.Reason)
	}
	changed.Shards, changed.At = shards, time.Now()
	f.shown = changed
	f.cfg.State.show(changed.State, shards)
	if f.cfg.Web != nil {
		f.self.Send(f.cfg.Web, changed)
	}
}

// stalePatience is how far the patience with a shard that brings frames but no
// ticks grows, when even a new connection brings none: it may be a set of
// quiet instruments.
const stalePatience = 5 * time.Minute

// remedy is what helps a stale shard next.
type remedy uint8

const (
	nothing remedy = iota
	subscribeAgain
	connectAgain
)

// staleness watches one shard for ticks. Frames without ticks are normal in a
// closed market and wrong in an open one: two different clocks.
type staleness struct {
	stale    bool
	since    time.Time // of the last tick, remedy or beginning
	lookedAt time.Time
	patience time.Duration
	tried    bool // subscribing again has been tried
}

// next looks at a shard once a second. due: the market is open and the shard
// wants instruments. streams: it has a socket that brings frames. lastTick is
// when it last handed a tick on; after is the first patience. Time in which nobody
// could look does not count: the ticks of it may still wait to be read.
func (s staleness) next(now, lastTick time.Time, due, streams bool, after time.Duration) (staleness, remedy) {
	switch {
	case !due:
		return staleness{}, nothing
	case !streams: // what was learned outlives the reconnect that it asked for
		return staleness{stale: s.stale, patience: s.patience}, nothing
	}
	if s.since.IsZero() {
		s.since = now
		s.patience = max(s.patience, after)
	} else if away := now.Sub(s.lookedAt) - lookEvery; away > stoodStill {
		s.since = s.since.Add(away)
	}
	s.lookedAt = now
	if lastTick.After(s.since) {
		return staleness{since: lastTick, lookedAt: now, patience: after}, nothing
	}
	if now.Sub(s.since) < s.patience {
		return s, nothing
	}
	s.stale, s.since = true, now
	if !s.tried {
		s.tried = true
		return s, subscribeAgain
	}
	s.tried = false
	s.patience = min(2*s.patience, stalePatience)
	return s, connectAgain
}
