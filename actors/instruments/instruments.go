// Package instruments knows what is traded on each underlying today: its
// index, its near and next future, and the option chain round the money.
//
// Promise: contracts come from the columns of the day's instruments file,
// never from a symbol's spelling or a rule about weekdays. The near contract
// is the one with the earliest expiry whose last session has not ended (package
// hours); there it rolls, without a restart and without a fetch. The next future
// is subscribed three days before. The chain is the nearest expiry's, the strike nearest to
// the spot and 20 strikes on either side; it follows the spot when that has
// moved two strikes away from its middle. The feed always gets the whole set
// ([messages.WantInstruments]) and works out the difference.
//
// The file is streamed, once a day after 08:30 IST and at the first start; a
// restart finds the day's table in the [Store]. A fetch that fails is retried
// with backoff, and each underlying's Reason says so, with the date of the
// file that is in use meanwhile. A file that lacks an underlying or most of an
// exchange, or ends within a row, is used and fetched again until it is whole;
// what it lacks is taken from the file before. A row that cannot be read costs
// that row. An instrument token that meant another
// tradingsymbol the day before is reported; one that two rows of a file claim
// is not subscribed for the second. Instruments of the configuration are
// subscribed when the file has them under the symbol that was given, else
// refused in words.
//
// Limits: the spot comes from the feed's last tick of the index; before the
// first one there is no chain. An underlying is an index or a share of NSE or BSE
// with derivatives on NFO or BFO. The .env file is neither read nor written.
package instruments

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
	"kitestring/actors/hours"
	"kitestring/actors/kite"
	"kitestring/messages"
	"kitestring/messages/ist"
)

const (
	// owner names the set of wants and the user of the token.
	owner = "instruments"
	// configuration names the set of wants of the configuration.
	configuration = "configuration"
	// poll is how often the clock and the spots are looked at.
	poll = 250 * time.Millisecond
	// mostFetch ends a file that comes in drops; it usually takes a second.
	mostFetch = time.Minute
)

// UnderlyingSpec names an underlying as the instruments file does.
type UnderlyingSpec struct {
	Name                string `json:"name"`                 // of the contracts: NIFTY
	IndexExchange       string `json:"index_exchange"`       // of the index, or of the share: NSE
	IndexSymbol         string `json:"index_symbol"`         // its tradingsymbol: NIFTY 50, RELIANCE
	DerivativesExchange string `json:"derivatives_exchange"` // NFO
}

// Defaults are the underlyings where none are configured.
func Defaults() []UnderlyingSpec {
	return []UnderlyingSpec{
		{"NIFTY", "NSE", "NIFTY 50", "NFO"},
		{"BANKNIFTY", "NSE", "NIFTY BANK", "NFO"},
		{"SENSEX", "BSE", "SENSEX", "BFO"},
	}
}

// LastTicks is where the spots are read: the feed's newest tick of an
// instrument, false when there is none. Safe for concurrent use.
type LastTicks interface {
	LastTick(instrumentToken uint32) (messages.Tick, bool)
}

// Config is what the actor needs; everything is required but Hours, Underlyings
// and Configured.
type Config struct {
	Exchange    kite.Exchange
	Tokens      actors.TokenSource
	Clock       actors.Clock
	Hours       *hours.Store // nil: the built-in table
	Ticks       LastTicks
	State       *Store
	Underlyings []UnderlyingSpec // none: Defaults; the State belongs to them
	Configured  []messages.Want  // further instruments, checked against the file
	Archive     Archive          // nil: the file is not kept
	Feed        *actor.PID       // gets WantInstruments
	Auth        *actor.PID       // gets TokenDoubted
	Listeners   []*actor.PID     // get InstrumentsResolved and FuturesRolled
	// Assume counts what speaks for and against an assumption about Kite; nil: not
	// wanted.
	Assume func(a messages.Assumption, held bool, n uint64)
}

// Archive keeps the day's file as it came, for those who read what was recorded
// on the day.
type Archive interface {
	// Instruments takes the file of a day while it is read; keep says in the end
	// whether it is one.
	Instruments(day time.Time) (into io.Writer, keep func(ok bool))
}

// New makes the actor "instruments". It answers TokenAdopted; it sends
// WantInstruments, InstrumentsResolved, FuturesRolled and TokenDoubted.
func New(cfg Config) actors.Producer {
	if len(cfg.Underlyings) == 0 {
		cfg.Underlyings = Defaults()
	}
	return func(self actors.Self) actors.Actor { return &instruments{cfg: cfg, self: self} }
}

type instruments struct {
	cfg    Config
	self   actors.Self
	state  state
	client *kite.Client
	cancel context.CancelFunc // of the running fetch

	noticed []string // what was logged last
}

// look comes at each poll.
type look struct{}

// result is what a fetch brought.
type result struct {
	table *table
	err   error
}

// Receive implements actors.Actor.
func (a *instruments) Receive(msg any) {
	switch m := msg.(type) {
	case actors.Started:
		a.start()
	case messages.TokenAdopted:
		a.step(adopted{m.Session})
		a.look()
	case look, messages.PhaseChanged:
		a.look()
	case retry:
		a.step(m)
		a.look()
	case result:
		a.ended(m)
		a.look()
	case actors.Stopped:
	default:
		a.self.Log().Warn("unexpected message", "type", fmt.Sprintf("%T", msg))
	}
}

func (a *instruments) start() {
	n := len(a.cfg.Underlyings)
	a.state.memory, a.state.configured, a.state.hours = a.cfg.State.load(), a.cfg.Configured, a.cfg.Hours.Table()
	if !slices.Equal(a.state.specs, a.cfg.Underlyings) { // other ones are configured, or it is the first start
		a.state.memory = memory{
			specs: a.cfg.Underlyings, spots: make([]float64, n), middles: make([]float64, n),
			futures: make([]messages.Instrument, n), underlyings: make([]messages.Underlying, n),
		}
	}
	a.self.Every(poll, look{})
	if s := a.cfg.Tokens.Current().Adopted; !s.IsZero() {
		a.step(adopted{s})
	}
	a.look()
}

func (a *instruments) look() {
	spots := make([]float64, len(a.cfg.Underlyings))
	copy(spots, a.state.spots)
	for i, u := range a.state.underlyings {
		if u.Index.Token == 0 {
			continue
		}
		if tick, ok := a.cfg.Ticks.LastTick(u.Index.Token); ok && tick.LastPrice > 0 {
			spots[i] = tick.Price(tick.LastPrice)
		}
	}
	a.step(observed{a.cfg.Clock.Now(), a.cfg.Hours.Table(), spots})
}

func (a *instruments) step(ev event) {
	var effects []effect
	a.state, effects = next(a.cfg.Underlyings, a.state, ev)
	for _, effect := range effects {
		a.do(effect)
	}
}

func (a *instruments) do(what effect) {
	switch e := what.(type) {
	case takeUp:
		if a.client != nil {
			a.client.Retire()
		}
		a.client = kite.New(a.cfg.Exchange, e.session, func(g messages.Generation) { a.cfg.Tokens.Used(owner, g) })
	case fetch:
		a.fetch()
	case cancelFetch:
		a.cancel()
	case retryAfter:
		// Half fixed and half jitter: many servers fetch at the same minute.
		a.self.After(e.pause/2+rand.N(e.pause/2+1), retry{e.wait})
	case want:
		a.self.Log().Info("instruments wanted", "owner", e.Owner, "instruments", len(e.Wants))
		a.self.Send(a.cfg.Feed, messages.WantInstruments(e))
	case publish:
		a.cfg.State.save(e.memory, e.resolved)
		a.publish(e.resolved)
	case rolled:
		a.self.Log().Info("future rolled", "underlying", e.Underlying, "from", e.From.Tradingsymbol, "to", e.To.Tradingsymbol)
		a.broadcast(messages.FuturesRolled(e))
	}
}

func (a *instruments) publish(m messages.InstrumentsResolved) {
	for _, u := range m.Underlyings {
		a.self.Log().Info("underlying resolved", "underlying", u.Name, "future", u.Future.Tradingsymbol,
			"expiry", dateOf(u.Expiry), "options", len(u.Chain), "reason", u.Reason)
	}
	if !slices.Equal(m.Notices, a.noticed) {
		a.noticed = m.Notices
		for _, notice := range m.Notices {
			a.self.Log().Warn("instruments need attention", "notice", notice)
		}
	}
	a.broadcast(m)
}

func (a *instruments) broadcast(msg any) {
	for _, to := range a.cfg.Listeners {
		a.self.Send(to, msg)
	}
}

// fetch reads the file in a task; its end is a result, whatever happens.
func (a *instruments) fetch() {
	client, specs, before := a.client, a.cfg.Underlyings, a.state.table
	configured, now, table, archive := a.cfg.Configured, a.cfg.Clock.Now(), a.cfg.Hours.Table(), a.cfg.Archive
	known, tokens := before.symbols(), map[uint32]bool{}
	for _, w := range slices.Concat(a.state.wants, a.state.checked) {
		known[w.InstrumentToken] = w.Tradingsymbol
	}
	for _, w := range configured {
		tokens[w.InstrumentToken] = true
	}
	ctx, cancel := context.WithTimeout(context.Background(), mostFetch)
	a.cancel = cancel
	a.self.Go("fetch instruments", func(incarnation context.Context) error {
		defer cancel()
		defer context.AfterFunc(incarnation, cancel)()
		into, keep := io.Discard, func(bool) {}
		if archive != nil {
			into, keep = archive.Instruments(fileDay(now))
		}
		t, err := read(ctx, client, into, specs, known, tokens)
		defer func() { keep(err == nil) }()
		if err == nil {
			t.day, t.generation, t.asked = fileDay(now), client.Generation(), configured
			if err = t.checkSize(before); err == nil {
				t.complete(specs, before, now, table)
			}
		}
		a.self.Tell(result{t, err})
		return nil
	})
}

func read(ctx context.Context, client *kite.Client, into io.Writer, specs []UnderlyingSpec, known map[uint32]string, configured map[uint32]bool) (*table, error) {
	file, err := client.Instruments(ctx, "")
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return readFile(io.TeeReader(file, into), specs, known, configured)
}

// note counts what a file says for and against the assumptions about it.
func (a *instruments) note(t *table, now time.Time) {
	if a.cfg.Assume == nil {
		return
	}
	a.cfg.Assume(messages.WholeFile, len(t.gaps) == 0, 1)
	if a.state.table == nil {
		return // nothing to compare its instrument tokens with
	}
	expiries := map[uint32]time.Time{}
	for _, u := range a.state.underlyings {
		for _, in := range append([]messages.Instrument{u.Future}, u.Chain...) {
			expiries[in.Token] = in.Expiry
		}
	}
	early := uint64(0)
	for _, c := range t.recycled {
		if expiry, known := expiries[c.instrumentToken]; known && !expiry.Before(ist.Day(now)) {
			early++
		}
	}
	a.cfg.Assume(messages.InstrumentTokens, true, uint64(len(expiries))-early)
	a.cfg.Assume(messages.InstrumentTokens, false, early)
}

// ended takes a fetch's result and logs what is unusual about it.
func (a *instruments) ended(r result) {
	log := a.self.Log().With("generation", a.client.Generation())
	now := a.cfg.Clock.Now()
	e := fetched{table: r.table, err: r.err, now: now}
	switch kind := kite.KindOf(r.err); {
	case r.err == nil:
		t := r.table
		log.Info("instruments file read", "rows", t.rows, "unreadable", t.unreadable, "contested", t.contested, "day", t.day)
		if t.broken > 0 {
			log.Warn("rows of the instruments file cannot be read and are left out", "rows", t.broken, "first", t.firstBroken)
		}
		wanted := map[uint32]bool{}
		for _, w := range slices.Concat(a.state.wants, a.state.checked) {
			wanted[w.InstrumentToken] = true
		}
		a.note(t, now)
		for _, c := range t.recycled {
			if !wanted[c.instrumentToken] {
				continue
			}
			log.Warn("instrument token recycled", "instrument_token", c.instrumentToken, "was", c.was, "is", c.is)
		}
	case kind == kite.TokenRefused:
		a.self.Send(a.cfg.Auth, messages.TokenDoubted{Generation: a.client.Generation()})
		fallthrough
	default:
		e.throttle = kind == kite.RateLimited
		if a.state.pending.IsZero() { // else it was cancelled here
			log.Warn("instruments file not read", "error", r.err, "failures", a.state.failures+1)
		}
	}
	a.step(e)
}

// dateOf is a day for the log, "none" for no day.
func dateOf(day time.Time) string {
	if day.IsZero() {
		return "none"
	}
	return day.In(ist.Zone).Format(time.DateOnly)
}
