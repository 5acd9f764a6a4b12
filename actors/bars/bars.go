// Package bars turns ticks into bars of 1, 3, 5 and 15 minutes, once, for the
// index and the near future of each underlying, and heals them from the
// exchange's history.
//
// Promise: exchange time decides. Each closed bar is sent once, in order, and
// what was missed is marked: partial when its start was not seen, gapped when
// it contains a blind span. A tick whose time cannot be (years old, or far
// ahead of the clock and of all other ticks) changes nothing. The sessions are
// those of [hours.Table]; a fresh tick at a time for which the table has
// neither a session nor the prints around one makes a bar all the same.
//
// Limits: ticks without an exchange time (modes ltp and quote) or a price make
// no bar; the minutes of those without a time are asked of history. Prints before an
// opening and after a close make none. A minute that
// the exchange's history does not have stays as it was seen.
package bars

import (
	"fmt"
	"slices"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
	"kitestring/actors/hours"
	"kitestring/messages"
	"kitestring/messages/minute"
)

// Instruments gives the index, future and chain of each underlying to an actor
// that has just started; later changes come as messages.
type Instruments interface {
	// Resolved is the newest resolution, false before the first.
	Resolved() (messages.InstrumentsResolved, bool)
}

// pace is how often running bars go out at most.
const pace = 250 * time.Millisecond

// patience is how many paces of silence make the grace in our own time. Paces
// and not a clock are counted, because an actor that was held up finds its next
// pace and the ticks of meanwhile waiting side by side.
const patience = int(grace * time.Second / pace)

type paced struct{}

// Config is what the bars actor needs.
type Config struct {
	Clock       actors.Clock
	Tokens      actors.TokenSource
	Series      *Store
	Hours       *hours.Store // nil: the built-in table
	Instruments Instruments
	Historian   Historian    // nil: no back-fill
	Listeners   []*actor.PID // the analyses and web
	Auth        *actor.PID   // gets TokenDoubted; nil: nobody
	Recorders   []*actor.PID // get HistoryAnswered
	// Assume counts what speaks for and against an assumption about Kite; nil: not
	// wanted.
	Assume func(a messages.Assumption, held bool, n uint64)
}

// New makes the actor "bars".
//
// It answers *Ticks, *Minutes, InstrumentsResolved, FuturesRolled, GapDetected,
// TokenAdopted, PhaseChanged and HistoryAnswered; it sends BarClosed (each bar once, in order),
// BarUpdated (at most four times a second and series), BarsLoaded after every
// repair, HistoryAnswered with what history brought, DataState when history is refused or empty and when it comes again,
// GenerationReached, and TokenDoubted when Kite refuses its token. Closed bars
// live in [Store].
func New(cfg Config) actors.Producer {
	return func(self actors.Self) actors.Actor {
		return &bars{
			cfg: cfg, self: self,
			series:  map[seriesKey]*series{},
			byToken: map[uint32]*series{},
			dirty:   map[*series]bool{},
		}
	}
}

type bars struct {
	cfg  Config
	self actors.Self

	series  map[seriesKey]*series
	byToken map[uint32]*series
	dirty   map[*series]bool

	generation messages.Generation // of the newest ticks
	times      hours.Judge
	idle       int // paces since the last batch
	fetching   bool
	fetchAfter time.Time // monotonic; for what concerns all series
	failures   int       // of all series in a row
	unknown    int
}

// Receive implements actors.Actor.
func (b *bars) Receive(msg any) {
	switch m := msg.(type) {
	case actors.Started:
		if b.cfg.Instruments != nil {
			if r, ok := b.cfg.Instruments.Resolved(); ok {
				b.resolve(r)
			}
		}
		b.self.Every(pace, paced{})
	case *messages.Ticks:
		b.reach(m.Generation)
		now := b.now()
		for i := range m.Ticks {
			t := &m.Ticks[i]
			ok := b.times.Accept(t.InstrumentToken, int64(t.ExchangeTime), now)
			if s := b.byToken[t.InstrumentToken]; s != nil {
				one := minute.Of(t, minute.Start(t.ExchangeTime))
				b.take(s, &one, ok, m.Snapshot, m.Generation)
			}
		}
	case *messages.Minutes:
		b.reach(m.Generation)
		now := b.now()
		for i := range m.Minutes {
			x := &m.Minutes[i]
			ok := b.times.Accept(x.InstrumentToken, arrivedAt(x), now)
			if s := b.byToken[x.InstrumentToken]; s != nil {
				b.take(s, x, ok, false, m.Generation)
			}
		}
	case paced:
		b.tick()
	case messages.InstrumentsResolved:
		b.resolve(m)
	case messages.FuturesRolled:
		b.follow(seriesKey{m.Underlying, messages.FromFuture}, m.To.Token)
	case messages.GapDetected:
		b.gaps(m)
	case messages.TokenAdopted:
		b.fetchAfter, b.failures = time.Time{}, 0 // whatever failed, failed with another token
		for _, s := range b.series {
			s.history.after = time.Time{}
		}
		b.fetch()
	case fetched:
		b.merge(m)
	case messages.HistoryAnswered:
		b.replayed(m)
	case messages.PhaseChanged:
		// Bars follow the ticks' own times, not the phase.
	case actors.Stopped:
		for _, s := range b.series {
			if s.ignored != (ignored{}) {
				b.self.Log().Info("ticks made no bar", "underlying", s.key.underlying, "source", s.key.source.String(),
					"untimed", s.ignored.untimed, "priceless", s.ignored.priceless, "outside_session", s.ignored.outside,
					"late", s.ignored.late, "impossible_time", s.ignored.impossible)
			}
		}
	default:
		b.unknown++
		b.self.Log().Warn("unexpected message", "type", fmt.Sprintf("%T", msg), "count", b.unknown)
	}
}

// now is the exchange's time in Unix seconds: the clock's, corrected where all
// ticks say that it is behind.
func (b *bars) now() int64 { return b.times.Now(b.cfg.Clock.Now().Unix()) }

// reach notes that ticks of a generation have come. During a swap both sockets
// stream: the older one's batches are taken, its generation is not.
func (b *bars) reach(g messages.Generation) {
	b.idle = 0
	if g <= b.generation {
		return
	}
	b.generation = g
	b.cfg.Tokens.Used(b.self.Name(), g)
	b.broadcast(messages.GenerationReached{Generation: g, At: b.cfg.Clock.Now()})
}

func (b *bars) take(s *series, m *messages.Minute, possible, snapshot bool, g messages.Generation) {
	if !possible {
		if s.ignored.impossible++; s.ignored.impossible == 1 {
			b.self.Log().Warn("a tick's exchange time cannot be: it makes no bar", "underlying", s.key.underlying, "source", s.key.source.String(),
				"exchange_time", time.Unix(arrivedAt(m), 0).UTC(), "clock", b.cfg.Clock.Now().UTC())
		}
		return
	}
	s.take(m, snapshot, g, b.now())
	b.dirty[s] = true
	if s.changed {
		b.reload(s)
	}
}

// tick is what happens by the clock: bars whose successor does not come close
// 2 s after their end, running bars go out, holes are filled.
func (b *bars) tick() {
	to := b.now() - grace
	if b.idle < patience {
		// While ticks wait to be taken, the exchange's clock is ahead of them: a bar
		// closed by it would miss its last ticks.
		to = min(to, b.times.Newest)
	}
	b.idle++
	for _, s := range b.series {
		// The other series' ticks prove nothing about this one's while two sockets
		// hand over, each in its own time; nor does a clock that runs faster than
		// this machine's. So 2 s of its own without a tick of its own must have passed as well.
		if due := s.due(); due != 0 && s.idle >= patience && to >= due-grace {
			s.advance(to)
			if s.changed {
				b.reload(s)
			}
		}
		s.idle++
	}
	for s := range b.dirty {
		b.update(s)
	}
	clear(b.dirty)
	b.fetch()
}

// update publishes the running bars of a series.
func (b *bars) update(s *series) {
	var running [len(Intervals)]messages.Bar
	for i := range Intervals {
		if bar, ok := s.bar(i); ok {
			running[i] = bar
			b.broadcast(messages.BarUpdated{Bar: bar})
			b.self.Beat() // only what goes out proves that ticks become bars
		}
	}
	b.cfg.Series.change(b.self.Epoch(), s.key, func(set *seriesSet) { set.running = running })
}

// closed publishes a closed bar.
func (b *bars) closed(s *series, i int, bar messages.Bar) {
	b.cfg.Series.change(b.self.Epoch(), s.key, func(set *seriesSet) {
		set.covered = s.covered
		set.closed[i] = newest(append(set.closed[i], bar), keep(i))
		set.running[i] = messages.Bar{}
	})
	b.broadcast(messages.BarClosed{Bar: bar})
	b.self.Beat()
}

// reload publishes a whole series after a repair.
func (b *bars) reload(s *series) {
	now := b.now()
	s.changed = false
	var loaded [len(Intervals)][]messages.Bar
	for i := range Intervals {
		loaded[i] = s.whole(i, now)
		s.published(i, loaded[i])
	}
	b.cfg.Series.change(b.self.Epoch(), s.key, func(set *seriesSet) {
		set.covered = s.covered
		for i := range loaded {
			set.closed[i] = slices.Clone(loaded[i]) // the messages keep the other
		}
	})
	for i, d := range Intervals {
		b.broadcast(messages.BarsLoaded{Underlying: s.key.underlying, Source: s.key.source, Interval: d, Bars: loaded[i]})
	}
	b.dirty[s] = true
}

func (b *bars) broadcast(msg any) {
	for _, pid := range b.cfg.Listeners {
		b.self.Send(pid, msg)
	}
}

func (b *bars) resolve(m messages.InstrumentsResolved) {
	for _, u := range m.Underlyings {
		b.follow(seriesKey{u.Name, messages.FromIndex}, u.Index.Token)
		b.follow(seriesKey{u.Name, messages.FromFuture}, u.Future.Token)
	}
	for key := range b.series {
		if !slices.ContainsFunc(m.Underlyings, func(u messages.Underlying) bool { return u.Name == key.underlying }) {
			b.follow(key, 0)
		}
	}
}

// follow builds a series from the ticks of an instrument from now on; 0: of
// none. Bars of two contracts never stand in one series: prices jump between
// them. What the new one did before comes from history.
func (b *bars) follow(key seriesKey, instrument uint32) {
	if old := b.series[key]; old != nil {
		if old.instrument == instrument {
			return
		}
		delete(b.byToken, old.instrument)
		delete(b.series, key)
		delete(b.dirty, old)
	}
	if instrument == 0 {
		return
	}
	c := b.cfg.Series.coverage(key)
	var s *series
	s = newSeries(key, instrument, b.cfg.Hours, b.cfg.Series.History(key.underlying, key.source, time.Minute), c,
		func(i int, bar messages.Bar) { b.closed(s, i, bar) })
	b.series[key], b.byToken[instrument] = s, s
	if c.instrument != 0 && c.instrument != instrument {
		b.self.Log().Info("series follows another instrument", "underlying", key.underlying, "source", key.source.String(),
			"from_instrument", c.instrument, "instrument", instrument)
		b.cfg.Series.change(b.self.Epoch(), key, func(set *seriesSet) { *set = seriesSet{} })
		b.reload(s)
	}
}

func (b *bars) gaps(m messages.GapDetected) {
	now := b.now()
	for _, g := range m.Gaps {
		if s := b.byToken[g.InstrumentToken]; s != nil && s.gap(g, now) {
			b.reload(s)
		}
	}
}
