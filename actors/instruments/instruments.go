package instruments

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
	"kitestring/actors/kite"
	"kitestring/messages"
)

const (
	// owner is whose set of wants it is, and whose use of the token.
	owner = "instruments"
	// poll is how often the clock and the spots are looked at.
	poll = 250 * time.Millisecond
	// mostFetch ends a file that comes in drops; it usually takes a second.
	mostFetch = time.Minute
)

// UnderlyingSpec names an underlying as the instruments file does.
type UnderlyingSpec struct {
	Name                string `json:"name"`                 // of the contracts: NIFTY
	IndexExchange       string `json:"index_exchange"`       // NSE
	IndexSymbol         string `json:"index_symbol"`         // tradingsymbol: NIFTY 50
	DerivativesExchange string `json:"derivatives_exchange"` // NFO
}

// Defaults are the underlyings of a server that was not told any.
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

// Config is what the actor needs; everything but Underlyings is required.
type Config struct {
	Exchange    kite.Exchange
	Tokens      actors.TokenSource
	Clock       actors.Clock
	Ticks       LastTicks
	State       *Store
	Underlyings []UnderlyingSpec // none: Defaults; the State belongs to them
	Feed        *actor.PID       // gets WantInstruments
	Auth        *actor.PID       // gets TokenDoubted
	Listeners   []*actor.PID     // get InstrumentsResolved and FuturesRolled
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
}

// look is told each poll.
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
	a.state.memory = a.cfg.State.load()
	if !slices.Equal(a.state.specs, a.cfg.Underlyings) { // others have been chosen, or it is the first start
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
	a.step(observed{a.cfg.Clock.Now(), spots})
}

func (a *instruments) step(event any) {
	var effects []any
	a.state, effects = next(a.cfg.Underlyings, a.state, event)
	for _, effect := range effects {
		a.do(effect)
	}
}

func (a *instruments) do(effect any) {
	switch e := effect.(type) {
	case takeUp:
		if a.client != nil {
			a.client.Retire()
		}
		a.client = kite.New(a.cfg.Exchange, e.session, func(g messages.Generation) { a.cfg.Tokens.Used(owner, g) })
		a.self.Log().Info("token taken up", "generation", e.session.Generation, "fingerprint", e.session.Token.Fingerprint())
	case fetch:
		a.fetch()
	case cancelFetch:
		a.cancel()
	case retryAfter:
		// Half fixed and half jitter: many servers fetch at the same minute.
		a.self.After(e.pause/2+rand.N(e.pause/2+1), retry{})
	case remember:
		a.cfg.State.save(e.memory, e.told)
	case messages.WantInstruments:
		a.self.Log().Info("instruments wanted", "instruments", len(e.Wants))
		a.self.Send(a.cfg.Feed, e)
	case messages.InstrumentsResolved:
		a.resolved(e)
	case messages.FuturesRolled:
		a.self.Log().Info("future rolled", "underlying", e.Underlying, "from", e.From.Tradingsymbol, "to", e.To.Tradingsymbol)
		a.tell(e)
	}
}

func (a *instruments) resolved(m messages.InstrumentsResolved) {
	for _, u := range m.Underlyings {
		a.self.Log().Info("underlying resolved", "underlying", u.Name, "future", u.Future.Tradingsymbol,
			"expiry", u.Expiry, "options", len(u.Chain), "reason", u.Reason)
	}
	a.tell(m)
}

func (a *instruments) tell(msg any) {
	for _, to := range a.cfg.Listeners {
		a.self.Send(to, msg)
	}
}

// fetch reads the file in a task; its end is a result, whatever happens.
func (a *instruments) fetch() {
	client, specs, before := a.client, a.cfg.Underlyings, a.state.table
	known := map[uint32]string{}
	for _, w := range a.state.wants {
		known[w.InstrumentToken] = w.Tradingsymbol
	}
	day := fileDay(a.cfg.Clock.Now())
	ctx, cancel := context.WithTimeout(context.Background(), mostFetch)
	a.cancel = cancel
	a.self.Go("fetch instruments", func(incarnation context.Context) error {
		defer cancel()
		defer context.AfterFunc(incarnation, cancel)()
		t, err := read(ctx, client, specs, known)
		if err == nil {
			t.day, t.generation = day, client.Generation()
			err = t.checkSize(before)
		}
		a.self.Tell(result{t, err})
		return nil
	})
}

func read(ctx context.Context, client *kite.Client, specs []UnderlyingSpec, known map[uint32]string) (*table, error) {
	file, err := client.Instruments(ctx, "")
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return readFile(file, specs, known)
}

// ended takes a fetch's result and says what was odd about it.
func (a *instruments) ended(r result) {
	log := a.self.Log().With("generation", a.client.Generation())
	now := a.cfg.Clock.Now()
	e := fetched{table: r.table, err: r.err, now: now}
	switch kind := kite.KindOf(r.err); {
	case r.err == nil:
		t := r.table
		log.Info("instruments file read", "rows", t.rows, "unreadable", t.unreadable, "contested", t.contested, "day", t.day)
		for _, c := range t.recycled {
			log.Warn("instrument token recycled", "instrument_token", c.instrumentToken, "was", c.was, "is", c.is)
		}
	case kind == kite.TokenRefused:
		a.self.Send(a.cfg.Auth, messages.TokenDoubted{Generation: a.client.Generation()})
		fallthrough
	default:
		e.throttle = kind == kite.RateLimited
		if a.state.pending.IsZero() { // else we cancelled it ourselves
			log.Warn("instruments file not read", "error", r.err, "failures", a.state.failures+1)
		}
	}
	a.step(e)
}
