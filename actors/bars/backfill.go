package bars

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"kitestring/actors/kite"
	"kitestring/messages"
	"kitestring/messages/ist"
)

// Historian asks the exchange for the past. Errors are [kite.Error]s, or the
// context's. It blocks: it is called in tasks only.
type Historian interface {
	// Historical gives the minutes of an instrument from from to to, oldest
	// first, asked for with the session's token.
	Historical(ctx context.Context, s messages.Session, instrumentToken uint32, from, to time.Time) ([]kite.Candle, error)
}

// NewHistorian asks over REST.
func NewHistorian(clients *kite.Sessions) Historian { return historian{clients} }

type historian struct{ clients *kite.Sessions }

// Historical implements [Historian].
func (h historian) Historical(ctx context.Context, s messages.Session, instrumentToken uint32, from, to time.Time) ([]kite.Candle, error) {
	return h.clients.Client(s).Historical(ctx, instrumentToken, "minute", from, to, false, true)
}

// fetched is the answer of a task.
type fetched struct {
	key        seriesKey
	instrument uint32
	from       int64
	asked      int64
	generation messages.Generation
	candles    []kite.Candle
	err        error
}

// retry is when a series may ask for history again. One series that is refused
// keeps none of the others waiting.
type retry struct {
	failures int       // answers in a row that brought nothing
	after    time.Time // monotonic
	reason   string    // why there is no history, as it was announced; "": nothing wrong
	said     bool      // it was announced, by this incarnation
}

// current is how many paces after the last batch ticks still count as running.
const current = int(10 * time.Second / pace)

// fetch asks for the history that helps most, one request at a time: series
// that have none come first. The token is the one adopted now, never the one
// of an earlier attempt.
func (b *bars) fetch() {
	if b.fetching || b.cfg.Historian == nil || time.Now().Before(b.fetchAfter) {
		return
	}
	now := b.now()
	if b.idle < current && b.times.Newest != 0 {
		// A clock that is ahead would ask for minutes that are not over yet.
		now = min(now, b.times.Newest)
	}
	var neediest *series
	var from int64
	for _, s := range b.series {
		if time.Now().Before(s.history.after) {
			continue
		}
		f, ok := s.wants(now)
		if ok && (neediest == nil || before(s, neediest)) {
			neediest, from = s, f
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
func before(a, b *series) bool {
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
	kind := kite.KindOf(m.err)
	if overtaken && (kind == kite.TokenRefused || kind == kite.Retired) {
		// An old token that is refused is no news: the question is put again.
		b.self.Log().Debug("back-fill overtaken by a newer token", "generation", m.generation, "error", m.err)
		b.fetch()
		return
	}
	if b.cfg.Assume != nil && (m.err == nil || kind == kite.Input) {
		b.cfg.Assume(messages.HistoryLimits, m.err == nil, 1)
	}
	b.pause(kind, overtaken)
	if kind == kite.TokenRefused && b.cfg.Auth != nil {
		b.self.Send(b.cfg.Auth, messages.TokenDoubted{Generation: m.generation})
	}
	s := b.series[m.key]
	if s == nil || s.instrument != m.instrument {
		b.fetch() // the contract has rolled meanwhile
		return
	}
	if m.err != nil {
		b.failed(s, overtaken, m.generation, kite.Reason(m.err))
		b.fetch()
		return
	}
	b.note(m)
	used, changed := s.merge(m.candles, m.from, m.asked, m.generation)
	if !s.covered.loaded {
		b.failed(s, overtaken, m.generation, fmt.Sprintf("Kite's history has no minute since %s: %d rows came, none of a session",
			time.Unix(m.from, 0).In(ist.Zone).Format(time.DateOnly), len(m.candles)))
	} else {
		b.answered(s, m.asked, m.from)
	}
	if changed {
		b.self.Log().Info("bars back-filled", "underlying", m.key.underlying, "source", m.key.source.String(),
			"minutes", used, "generation", m.generation)
		b.reload(s)
	} else {
		b.cfg.Series.change(b.self.Epoch(), s.key, func(set *seriesSet) { set.covered = s.covered })
	}
	b.fetch()
}

// note gives a tape what history brought.
func (b *bars) note(m fetched) {
	answer := messages.HistoryAnswered{
		InstrumentToken: m.instrument, From: time.Unix(m.from, 0).UTC(), Asked: time.Unix(m.asked, 0).UTC(), Generation: m.generation,
		Minutes: make([]messages.OldMinute, len(m.candles)),
	}
	for i, c := range m.candles {
		answer.Minutes[i] = messages.OldMinute{float64(c.Start.Unix()), c.Open, c.High, c.Low, c.Close, float64(c.Volume), float64(c.OI)}
	}
	for _, pid := range b.cfg.Recorders {
		b.self.Send(pid, answer)
	}
}

// replayed takes what a tape has of history.
func (b *bars) replayed(m messages.HistoryAnswered) {
	candles := make([]kite.Candle, len(m.Minutes))
	for i, o := range m.Minutes {
		candles[i] = kite.Candle{Start: o.Start(), Open: o[1], High: o[2], Low: o[3], Close: o[4], Volume: int64(o[5]), OI: int64(o[6])}
	}
	for _, s := range b.series {
		if s.instrument != m.InstrumentToken {
			continue
		}
		if _, changed := s.merge(candles, m.From.Unix(), m.Asked.Unix(), m.Generation); changed {
			b.reload(s)
		}
	}
}

// pause holds all questions back after an answer that concerns them all.
func (b *bars) pause(kind kite.Kind, overtaken bool) {
	switch {
	case kind != kite.TokenRefused && kind != kite.RateLimited:
		b.failures = 0
	case !overtaken:
		b.failures++
		b.fetchAfter = time.Now().Add(backoff(b.failures))
	}
}

// failed lets a series wait, and says why it has no history.
func (b *bars) failed(s *series, overtaken bool, g messages.Generation, reason string) {
	s.history.failures++
	if !overtaken {
		s.history.after = time.Now().Add(backoff(s.history.failures))
	}
	if s.history.reason != reason {
		b.self.Log().Warn("back-fill failed, live bars go on", "underlying", s.key.underlying, "source", s.key.source.String(),
			"generation", g, "error", reason)
	}
	s.history.reason = reason
	b.announce(s) // each time: an analysis may have been restarted
}

// answered notes an answer to a question from from on. One after which the
// series would ask the same again lets it wait: the exchange does not have
// those minutes yet.
func (b *bars) answered(s *series, asked, from int64) {
	if s.history.reason != "" || !s.history.said {
		s.history.reason = ""
		b.announce(s)
	}
	if again, ok := s.wants(asked); ok && again <= from {
		s.history.failures++
		s.history.after = time.Now().Add(backoff(s.history.failures))
		return
	}
	s.history.failures = 0
}

func (b *bars) announce(s *series) {
	s.history.said = true
	b.broadcast(messages.DataState{
		What:       "history of " + s.key.underlying + "'s " + s.key.source.String(),
		Underlying: s.key.underlying, Source: s.key.source, Reason: s.history.reason, At: b.cfg.Clock.Now(),
	})
}

// backoff is 1, 2, 4, ... 60 s, half of it by chance.
func backoff(failures int) time.Duration {
	d := min(time.Minute, time.Second<<min(failures-1, 6))
	return d/2 + rand.N(d/2+1)
}
