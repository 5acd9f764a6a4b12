package analysis

import (
	"context"
	"math/rand/v2"
	"time"

	"kitestring/actors/kite"
	"kitestring/messages"
)

// Historian asks the exchange for the past. Errors are [kite.Error]s, or the
// context's. It blocks: it is called in tasks only.
type Historian interface {
	// Historical gives the minutes of an instrument from from to to, oldest
	// first, asked for with the session's token.
	Historical(ctx context.Context, s messages.Session, instrumentToken uint32, from, to time.Time) ([]HistoricalCandle, error)
}

// fetched is the answer of a task.
type fetched struct {
	key        seriesKey
	instrument uint32
	from       int64
	asked      int64
	generation messages.Generation
	candles    []HistoricalCandle
	err        error
}

// fetch asks for the history that helps most, one request at a time: series
// that have none come first. The token is the one adopted now, never the one
// of an earlier attempt.
func (b *bars) fetch() {
	if b.fetching || b.cfg.Historian == nil || time.Now().Before(b.fetchAfter) {
		return
	}
	now := b.now()
	var neediest *track
	var from int64
	for _, t := range b.tracks {
		f, ok := t.wants(now)
		if ok && (neediest == nil || before(t, neediest)) {
			neediest, from = t, f
		}
	}
	if neediest == nil {
		return
	}
	session := b.cfg.Tokens.Current().Adopted
	if session.IsZero() {
		return // TokenAdopted comes here when there is one
	}
	b.fetching = true
	answer := fetched{key: neediest.key, instrument: neediest.instrument, from: from, asked: now, generation: session.Generation}
	b.self.Go("backfill", func(ctx context.Context) error {
		answer.candles, answer.err = b.cfg.Historian.Historical(ctx, session, answer.instrument, time.Unix(from, 0), time.Unix(now, 0))
		b.self.Tell(answer)
		return nil
	})
}

// before orders the series that need history: empty ones first, then by name,
// futures before indices.
func before(a, b *track) bool {
	if a.covered.loaded != b.covered.loaded {
		return !a.covered.loaded
	}
	if a.key.underlying != b.key.underlying {
		return a.key.underlying < b.key.underlying
	}
	return a.key.source > b.key.source
}

func (b *bars) merge(m fetched) {
	b.fetching = false
	overtaken := m.generation != b.cfg.Tokens.Current().Adopted.Generation
	if kind := kite.KindOf(m.err); overtaken && (kind == kite.TokenRefused || kind == kite.Retired) {
		// An old token that is refused is no news: the question is put anew.
		b.self.Log().Debug("back-fill overtaken by a newer token", "generation", m.generation, "error", m.err)
		b.fetch()
		return
	}
	if m.err != nil {
		b.failures++
		if !overtaken {
			b.fetchAfter = time.Now().Add(backoff(b.failures))
		}
		if b.failures == 1 {
			b.self.Log().Warn("back-fill failed, live bars go on", "underlying", m.key.underlying, "source", m.key.source.String(),
				"generation", m.generation, "error", m.err)
		}
		if kite.KindOf(m.err) == kite.TokenRefused && b.cfg.Auth != nil {
			b.self.Send(b.cfg.Auth, messages.TokenDoubted{Generation: m.generation})
		}
		return
	}
	b.failures = 0
	t := b.tracks[m.key]
	if t == nil || t.instrument != m.instrument {
		return // the contract has rolled meanwhile
	}
	if t.merge(m.candles, m.from, m.asked, m.generation) {
		b.self.Log().Info("bars back-filled", "underlying", m.key.underlying, "source", m.key.source.String(),
			"minutes", len(m.candles), "generation", m.generation)
		b.reload(t)
	} else {
		b.cfg.Series.change(b.self.Epoch(), t.key, func(s *seriesSet) { s.covered = t.covered })
	}
	b.fetch()
}

// backoff is 1, 2, 4, ... 60 s, half of it by chance.
func backoff(failures int) time.Duration {
	d := min(time.Minute, time.Second<<min(failures-1, 6))
	return d/2 + rand.N(d/2+1)
}
