package analysis

import (
	"fmt"
	"slices"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
	"kitestring/messages"
)

// Instruments tells what index, future and chain stand behind each underlying,
// to an actor that has just started; later changes come as messages.
type Instruments interface {
	// Resolved is the newest resolution, false before the first.
	Resolved() (messages.InstrumentsResolved, bool)
}

// pace is how often running bars and readings go out at most.
const pace = 250 * time.Millisecond

// patience is how many paces of silence make the grace in our own time. Paces
// and not a clock are counted, because an actor that was held up finds its next
// pace and the ticks of meanwhile waiting side by side.
const patience = int(grace * time.Second / pace)

type paced struct{}

// BarsConfig is what the bars actor needs.
type BarsConfig struct {
	Clock       actors.Clock
	Tokens      actors.TokenSource
	Series      *Store
	Instruments Instruments
	Historian   Historian    // nil: no back-fill
	Listeners   []*actor.PID // the analyses and web
	Auth        *actor.PID   // told of a refused token; nil: nobody
}

// NewBars makes the actor "bars": the one place where ticks become bars of 1,
// 3, 5 and 15 minutes, for index and near future of each underlying.
//
// It answers *Ticks, *Minutes, InstrumentsResolved, FuturesRolled, GapDetected,
// TokenAdopted and PhaseChanged; it sends BarClosed (each bar once, in order),
// BarUpdated (at most four times a second and series), BarsLoaded after every
// repair, GenerationReached, and TokenDoubted when Kite refuses its token.
//
// Exchange time decides. Ticks without one (modes ltp and quote) and without a
// price make no bar. Closed bars live in [Store].
func NewBars(cfg BarsConfig) actors.Producer {
	return func(self actors.Self) actors.Actor {
		return &bars{
			cfg: cfg, self: self,
			tracks:  map[seriesKey]*track{},
			byToken: map[uint32]*track{},
			dirty:   map[*track]bool{},
		}
	}
}

type bars struct {
	cfg  BarsConfig
	self actors.Self

	tracks  map[seriesKey]*track
	byToken map[uint32]*track
	dirty   map[*track]bool

	generation messages.Generation // of the newest ticks
	newestTick int64               // exchange time over all series
	idle       int                 // paces since the last batch
	fetching   bool
	fetchAfter time.Time // monotonic
	failures   int
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
		b.ticks(m)
	case *messages.Minutes:
		b.minutes(m)
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
		b.fetch()
	case fetched:
		b.merge(m)
	case messages.PhaseChanged:
		// Bars follow the ticks' own times, not the phase.
	case actors.Stopped:
		for _, t := range b.tracks {
			if t.ignored != (ignored{}) {
				b.self.Log().Info("ticks made no bar", "underlying", t.key.underlying, "source", t.key.source.String(),
					"untimed", t.ignored.untimed, "priceless", t.ignored.priceless, "outside_session", t.ignored.outside, "late", t.ignored.late)
			}
		}
	default:
		b.unknown++
		b.self.Log().Warn("unexpected message", "type", fmt.Sprintf("%T", msg), "count", b.unknown)
	}
}

func (b *bars) now() int64 { return b.cfg.Clock.Now().Unix() }

// reach notes that ticks of a generation have come. During a swap both sockets
// stream: the older one's batches are taken, its generation is not.
func (b *bars) reach(g messages.Generation) {
	b.idle = 0
	if g <= b.generation {
		return
	}
	b.generation = g
	b.cfg.Tokens.Used(b.self.Name(), g)
	b.tell(messages.GenerationReached{Generation: g, At: b.cfg.Clock.Now()})
}

func (b *bars) ticks(m *messages.Ticks) {
	b.reach(m.Generation)
	now := b.now()
	for i := range m.Ticks {
		tick := &m.Ticks[i]
		b.newestTick = max(b.newestTick, int64(tick.ExchangeTime))
		if t := b.byToken[tick.InstrumentToken]; t != nil {
			p := tickArrival(tick, m.Snapshot, m.Generation)
			b.take(t, &p, now)
		}
	}
	if len(m.Ticks) > 0 {
		b.self.Beat()
	}
}

func (b *bars) minutes(m *messages.Minutes) {
	b.reach(m.Generation)
	now := b.now()
	for i := range m.Minutes {
		minute := &m.Minutes[i]
		b.newestTick = max(b.newestTick, int64(minute.Newest.ExchangeTime))
		if t := b.byToken[minute.InstrumentToken]; t != nil {
			p := minuteArrival(minute, m.Generation)
			b.take(t, &p, now)
		}
	}
	b.self.Beat()
}

func (b *bars) take(t *track, p *arrival, now int64) {
	t.take(p, now)
	b.dirty[t] = true
	if t.changed {
		b.reload(t)
	}
}

// tick is what happens by the clock: bars whose successor does not come close
// 2 s after their end, running bars go out, holes are filled.
func (b *bars) tick() {
	to := b.now() - grace
	if b.idle < patience {
		// While ticks wait to be taken, the exchange's clock is ahead of them: a bar
		// closed by it would miss its last ticks.
		to = min(to, b.newestTick)
	}
	b.idle++
	for _, t := range b.tracks {
		// The other series' ticks prove nothing about this one's while two sockets
		// hand over, each in its own time; nor does a clock that runs faster than
		// ours. So 2 s of ours without a tick of its own must have passed as well.
		if due := t.due(); due != 0 && t.idle >= patience && to >= due-grace {
			t.advance(to)
			if t.changed {
				b.reload(t)
			}
		}
		t.idle++
	}
	for t := range b.dirty {
		b.update(t)
	}
	clear(b.dirty)
	b.fetch()
}

// update publishes the running bars of a series.
func (b *bars) update(t *track) {
	var running [len(Intervals)]messages.Bar
	for i := range Intervals {
		if bar, ok := t.bar(i); ok {
			running[i] = bar
			b.tell(messages.BarUpdated{Bar: bar})
		}
	}
	b.cfg.Series.change(b.self.Epoch(), t.key, func(s *seriesSet) { s.running = running })
}

// closed publishes a closed bar.
func (b *bars) closed(t *track, i int, bar messages.Bar) {
	b.cfg.Series.change(b.self.Epoch(), t.key, func(s *seriesSet) {
		s.covered = t.covered
		s.closed[i] = newest(append(s.closed[i], bar), keep(i))
		s.running[i] = messages.Bar{}
	})
	b.tell(messages.BarClosed{Bar: bar})
}

// reload publishes a series anew after a repair.
func (b *bars) reload(t *track) {
	now := b.now()
	t.changed = false
	var loaded [len(Intervals)][]messages.Bar
	for i := range Intervals {
		loaded[i] = t.whole(i, now)
		t.published(i, loaded[i])
	}
	b.cfg.Series.change(b.self.Epoch(), t.key, func(s *seriesSet) {
		s.covered = t.covered
		for i := range loaded {
			s.closed[i] = slices.Clone(loaded[i]) // the messages keep the other
		}
	})
	for i, d := range Intervals {
		b.tell(messages.BarsLoaded{Underlying: t.key.underlying, Source: t.key.source, Interval: d, Bars: loaded[i]})
	}
	b.dirty[t] = true
}

func (b *bars) tell(msg any) {
	for _, pid := range b.cfg.Listeners {
		b.self.Send(pid, msg)
	}
}

func (b *bars) resolve(m messages.InstrumentsResolved) {
	for _, u := range m.Underlyings {
		b.follow(seriesKey{u.Name, messages.FromIndex}, u.Index.Token)
		b.follow(seriesKey{u.Name, messages.FromFuture}, u.Future.Token)
	}
	for key := range b.tracks {
		if !slices.ContainsFunc(m.Underlyings, func(u messages.Underlying) bool { return u.Name == key.underlying }) {
			b.follow(key, 0)
		}
	}
}

// follow builds a series from the ticks of an instrument from now on; 0: of
// none. Bars of two contracts never stand in one series: prices jump between
// them. What the new one did before comes from history.
func (b *bars) follow(key seriesKey, instrument uint32) {
	if old := b.tracks[key]; old != nil {
		if old.instrument == instrument {
			return
		}
		delete(b.byToken, old.instrument)
		delete(b.tracks, key)
		delete(b.dirty, old)
	}
	if instrument == 0 {
		return
	}
	c := b.cfg.Series.coverage(key)
	var t *track
	t = newTrack(key, instrument, b.cfg.Series.History(key.underlying, key.source, time.Minute), c,
		func(i int, bar messages.Bar) { b.closed(t, i, bar) })
	b.tracks[key], b.byToken[instrument] = t, t
	if c.instrument != 0 && c.instrument != instrument {
		b.self.Log().Info("series follows another instrument", "underlying", key.underlying, "source", key.source.String(),
			"from_instrument", c.instrument, "instrument", instrument)
		b.cfg.Series.change(b.self.Epoch(), key, func(s *seriesSet) { *s = seriesSet{} })
		b.reload(t)
	}
}

func (b *bars) gaps(m messages.GapDetected) {
	now := b.now()
	for _, g := range m.Gaps {
		if t := b.byToken[g.InstrumentToken]; t != nil && t.gap(g, now) {
			b.reload(t)
		}
	}
}
