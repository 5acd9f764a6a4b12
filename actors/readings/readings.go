// Package readings feeds the analyses: one actor for each turns messages into
// [messages.Reading]s, for all underlyings.
//
// Promise: a reading goes out at most every 250 ms while it changes, and every
// 5 s otherwise; one whose inputs are missing or old says so. What Kite refused
// over REST is in the reading, in Kite's own words.
//
// Limits: the actor keeps no history of its own: after a restart bars come from
// the store, quotes with the next tick.
package readings

import (
	"fmt"
	"slices"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
	"kitestring/actors/analysis"
	"kitestring/actors/hours"
	"kitestring/actors/optionchain"
	"kitestring/messages"
)

const (
	// repeat is how often an unchanged reading goes out, and how often one is
	// judged again although nothing came: its inputs grow old.
	repeat = 5 * time.Second
	// pace is how often readings go out at most.
	pace = 250 * time.Millisecond
)

type paced struct{}

// Instruments gives the index, future and chain of each underlying to an actor
// that has just started; later changes come as messages.
type Instruments interface {
	// Resolved is the newest resolution, false before the first.
	Resolved() (messages.InstrumentsResolved, bool)
}

// History gives closed bars, oldest first.
type History interface {
	History(underlying string, source messages.BarSource, interval time.Duration) []messages.Bar
}

// Market gives the phase of the exchange's day to an actor that has just
// started; later changes come as messages.
type Market interface {
	// Phase is the newest phase, false before the first.
	Phase() (messages.PhaseChanged, bool)
}

// Config is what an analysis needs. Everything but Analysis, Clock and Tokens
// may be left out: then it starts empty and waits for messages.
type Config struct {
	Analysis    analysis.Analysis
	Profile     analysis.Profile // "": calibrated
	Interval    time.Duration    // of the bars judged; 0: analysis.DefaultInterval
	Clock       actors.Clock
	Tokens      actors.TokenSource
	History     History
	Instruments Instruments
	Market      Market
	Hours       *hours.Store // nil: the built-in table
	Opening     *optionchain.OpenInterest
	Quoter      Quoter       // for an analysis that needs REST
	Auth        *actor.PID   // gets TokenDoubted; nil: nobody
	Listeners   []*actor.PID // of readings: web, outlook, each analysis that needs this kind
}

// New makes the actor of one analysis over all underlyings. It answers *Ticks,
// *Minutes, BarClosed, BarUpdated, BarsLoaded, DataState, GenerationReached, Reading,
// InstrumentsResolved, FuturesRolled, PhaseChanged, TokenAdopted and AskDirect;
// it sends Reading, and DataState when quotes asked for over REST are refused and
// when they come again.
func New(cfg Config) actors.Producer {
	if cfg.Interval == 0 {
		cfg.Interval = analysis.DefaultInterval
	}
	if cfg.Profile == "" {
		cfg.Profile = analysis.Calibrated
	}
	if cfg.Opening == nil {
		cfg.Opening = &optionchain.OpenInterest{}
	}
	return func(self actors.Self) actors.Actor {
		return &analysisActor{cfg: cfg, self: self, underlyings: map[string]*perUnderlying{}, byToken: map[uint32]*perUnderlying{}}
	}
}

// analysisActor is the actor of one analysis.
type analysisActor struct {
	cfg         Config
	self        actors.Self
	underlyings map[string]*perUnderlying
	byToken     map[uint32]*perUnderlying
	phase       messages.PhaseChanged
	generation  messages.Generation
	times       hours.Judge
	rest        restState
	unknown     int
}

// perUnderlying is what it keeps of one underlying.
type perUnderlying struct {
	core      *analysis.Core
	dirty     bool
	judged    time.Time // monotonic
	published time.Time // monotonic
	last      messages.Reading
	index     messages.Instrument
}

// Receive implements actors.Actor.
func (a *analysisActor) Receive(msg any) {
	switch m := msg.(type) {
	case actors.Started:
		a.start()
	case *messages.Ticks:
		a.reach(m.Generation)
		now := a.cfg.Clock.Now().Unix()
		for i := range m.Ticks {
			a.tick(&m.Ticks[i], now, m.Generation)
		}
	case *messages.Minutes:
		a.reach(m.Generation)
		now := a.cfg.Clock.Now().Unix()
		for i := range m.Minutes {
			a.tick(&m.Minutes[i].Newest, now, m.Generation)
		}
	case messages.BarClosed:
		a.update(m.Bar.Underlying, m)
	case messages.BarUpdated:
		a.update(m.Bar.Underlying, m)
	case messages.BarsLoaded:
		a.update(m.Underlying, m)
	case messages.DataState:
		a.update(m.Underlying, m)
	case messages.GenerationReached:
		a.reach(m.Generation)
	case messages.Reading:
		a.reach(m.Generation)
		a.update(m.Underlying, m)
	case messages.InstrumentsResolved:
		a.resolve(m)
	case messages.FuturesRolled:
		// The bars of the new contract come by BarsLoaded, its ticks after the
		// InstrumentsResolved that goes with this.
	case messages.PhaseChanged:
		a.enter(m)
	case messages.TokenAdopted:
		a.adopt(m)
	case messages.AskDirect:
		a.ask(m.Underlying)
	case answered:
		a.answered(m)
	case paced:
		a.publish()
		a.watch()
	case actors.Stopped:
	default:
		a.unknown++
		a.self.Log().Warn("unexpected message", "type", fmt.Sprintf("%T", msg), "count", a.unknown)
	}
}

// start asks for what came before this incarnation.
func (a *analysisActor) start() {
	if a.cfg.Market != nil {
		if p, ok := a.cfg.Market.Phase(); ok {
			a.phase = p
		}
	}
	if a.cfg.Instruments != nil {
		if r, ok := a.cfg.Instruments.Resolved(); ok {
			a.resolve(r)
		}
	}
	if s := a.cfg.Tokens.Current().Adopted; !s.IsZero() {
		a.adopt(messages.TokenAdopted{Session: s})
	}
	a.self.Every(pace, paced{})
}

// reach notes that data of a generation has come: this is how an analysis uses
// a token. Data of an older one still counts during a swap; its number does not.
func (a *analysisActor) reach(g messages.Generation) {
	if g > a.generation {
		a.generation = g
		a.cfg.Tokens.Used(a.self.Name(), g)
	}
}

// tick takes a tick whose exchange time can be: one that is far ahead would
// keep all those after it out.
func (a *analysisActor) tick(t *messages.Tick, now int64, g messages.Generation) {
	if !a.times.Accept(t.InstrumentToken, int64(t.ExchangeTime), a.times.Now(now)) {
		return
	}
	if d := a.byToken[t.InstrumentToken]; d != nil && d.core.Tick(t, g) {
		d.dirty = true
	}
}

func (a *analysisActor) update(underlying string, msg any) {
	if d := a.underlyings[underlying]; d != nil && d.core.Update(msg) {
		d.dirty = true
	}
}

// resolve follows each underlying, and forgets those that are gone.
func (a *analysisActor) resolve(m messages.InstrumentsResolved) {
	clear(a.byToken)
	for _, u := range m.Underlyings {
		d := a.underlyings[u.Name]
		if d == nil {
			d = a.open(u.Name)
		}
		d.index = u.Index
		d.dirty = d.core.Update(u) || d.dirty
		d.core.Wants(func(instrument uint32) { a.byToken[instrument] = d })
	}
	for name := range a.underlyings {
		if !slices.ContainsFunc(m.Underlyings, func(u messages.Underlying) bool { return u.Name == name }) {
			delete(a.underlyings, name)
		}
	}
	if a.rest.asked.IsZero() {
		a.ask("") // the token came before there was anything to ask for
	}
}

func (a *analysisActor) open(underlying string) *perUnderlying {
	d := &perUnderlying{core: analysis.NewCore(a.cfg.Analysis, a.cfg.Profile, underlying, a.cfg.Interval, a.cfg.Opening, a.cfg.Hours), dirty: true}
	d.core.Update(a.phase)
	if a.cfg.History != nil && a.cfg.Analysis.Needs.Bars() {
		for _, source := range [...]messages.BarSource{messages.FromIndex, messages.FromFuture} {
			d.core.Update(messages.BarsLoaded{
				Underlying: underlying, Source: source, Interval: a.cfg.Interval,
				Bars: a.cfg.History.History(underlying, source, a.cfg.Interval),
			})
		}
	}
	a.underlyings[underlying] = d
	return d
}

func (a *analysisActor) enter(m messages.PhaseChanged) {
	a.phase = m
	for _, d := range a.underlyings {
		d.dirty = d.core.Update(m) || d.dirty
	}
}

// publish judges what has changed, and everything each 5 s.
func (a *analysisActor) publish() {
	for _, d := range a.underlyings {
		now := time.Now()
		if !d.dirty && now.Sub(d.judged) < repeat {
			continue
		}
		d.dirty, d.judged = false, now
		r := d.core.Reading(a.cfg.Clock.Now())
		r.Epoch = a.self.Epoch()
		if analysis.Same(r, d.last) && now.Sub(d.published) < repeat {
			continue
		}
		d.last, d.published = r, now
		for _, pid := range a.cfg.Listeners {
			a.self.Send(pid, r)
		}
	}
}
