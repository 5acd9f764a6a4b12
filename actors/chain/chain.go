// Package chain keeps the option chains live: one actor turns packets of options
// into [messages.ChainUpdated]s.
//
// Promise: the chain of each underlying's nearest expiry goes out each second while
// it changes, and each 5 s otherwise, with ages; its totals are kept for each minute
// of the day in the [Store], which outlives the actor. The chain of another expiry
// is subscribed to when a person asks for it ([messages.AskChain]) and kept for ten
// minutes after the last question, six of them at most: some 500 instruments.
//
// Limits: a mailbox that had to merge packets has no depth; bid and ask keep
// the time of the packet that they are from. The change of the open interest needs
// the open to have been seen, which for an expiry that was asked for later it was not.
package chain

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
	"kitestring/actors/hours"
	"kitestring/actors/optionchain"
	"kitestring/messages"
	"kitestring/messages/ist"
	"kitestring/messages/wire"
)

// Name is the actor's, and that of its wanted instruments.
const Name = "chain"

const (
	// pace is how often a chain that changes goes out, repeat how often one that
	// does not.
	pace   = time.Second
	repeat = 5 * time.Second
)

// Instruments gives what is traded on each underlying.
type Instruments interface {
	// Resolved is the newest resolution, false before the first.
	Resolved() (messages.InstrumentsResolved, bool)
	// Chain is the options of an expiry round the money, by strike, then type;
	// none for an expiry that the file does not have.
	Chain(underlying string, expiry time.Time) []messages.Instrument
}

// Market gives the phase of the exchange's day.
type Market interface {
	Phase() (messages.PhaseChanged, bool)
}

// Config is what the actor needs; all of it but Hours and Limits.
type Config struct {
	Clock       actors.Clock
	Tokens      actors.TokenSource
	Instruments Instruments
	Market      Market
	Hours       *hours.Store // nil: the built-in table
	Opening     *optionchain.OpenInterest
	Store       *Store
	Limits      optionchain.Limits
	Feed        *actor.PID   // gets WantInstruments
	Listeners   []*actor.PID // get ChainUpdated
}

// New makes the actor "chain". It answers *Ticks, *Minutes, InstrumentsResolved,
// PhaseChanged, TokenAdopted and AskChain; it sends ChainUpdated and WantInstruments.
func New(cfg Config) actors.Producer {
	return func(self actors.Self) actors.Actor {
		return &chains{cfg: cfg, self: self, tables: map[key]*live{}}
	}
}

// key names a chain.
type key struct {
	underlying string
	expiry     string // YYYY-MM-DD
}

type chains struct {
	cfg        Config
	self       actors.Self
	tables     map[key]*live
	byToken    map[uint32][]place
	resolved   messages.InstrumentsResolved
	phase      messages.PhaseChanged
	generation messages.Generation
	times      hours.Judge
	unknown    int
}

// live is a chain with its packets.
type live struct {
	optionchain.Table
	nearest bool
	dirty   bool
	sent    time.Time // monotonic
}

// place is what an instrument means to a chain: the index of its option, or one
// of these.
type place struct {
	table  *live
	option int
}

const (
	spot   = -1
	future = -2
)

type paced struct{}

// Receive implements actors.Actor.
func (c *chains) Receive(msg any) {
	switch m := msg.(type) {
	case actors.Started:
		c.start()
	case *messages.Ticks:
		c.reach(m.Generation)
		now := c.cfg.Clock.Now().Unix()
		for i := range m.Ticks {
			c.tick(&m.Ticks[i], m.Raw, now, m.Generation)
		}
	case *messages.Minutes:
		c.reach(m.Generation)
		now := c.cfg.Clock.Now().Unix()
		for i := range m.Minutes {
			c.tick(&m.Minutes[i].Newest, nil, now, m.Generation)
		}
	case messages.InstrumentsResolved:
		c.resolve(m)
	case messages.PhaseChanged:
		c.phase = m
		for _, t := range c.tables {
			t.dirty = true
		}
	case messages.AskChain:
		if c.cfg.Store.ask(key{m.Underlying, m.Expiry}, time.Now()) {
			c.arrange()
		}
	case messages.TokenAdopted, messages.FuturesRolled: // ticks tell the generation, InstrumentsResolved the contract
	case paced:
		c.publish()
	case actors.Stopped:
	default:
		c.unknown++
		c.self.Log().Warn("unexpected message", "type", fmt.Sprintf("%T", msg), "count", c.unknown)
	}
}

func (c *chains) start() {
	if p, ok := c.cfg.Market.Phase(); ok {
		c.phase = p
	}
	if r, ok := c.cfg.Instruments.Resolved(); ok {
		c.resolve(r)
	}
	c.self.Every(pace, paced{})
}

func (c *chains) reach(g messages.Generation) {
	if g > c.generation {
		c.generation = g
		c.cfg.Tokens.Used(Name, g)
	}
}

func (c *chains) resolve(m messages.InstrumentsResolved) {
	c.resolved = m
	c.arrange()
}

// arrange makes the tables of the instruments, the nearest expiry's and those
// asked for; an option that stays keeps its packet.
func (c *chains) arrange() {
	old := c.tables
	c.tables, c.byToken = map[key]*live{}, map[uint32][]place{}
	var wants []messages.Want
	for _, u := range c.resolved.Underlyings {
		c.table(u, u.Expiry, u.Chain, old)
		for _, expiry := range c.cfg.Store.asked(u, time.Now()) {
			options := c.cfg.Instruments.Chain(u.Name, expiry)
			c.table(u, expiry, options, old)
			for _, in := range options {
				wants = append(wants, messages.Want{InstrumentToken: in.Token, Mode: messages.ModeFull, Tradingsymbol: in.Tradingsymbol})
			}
		}
	}
	if c.cfg.Store.want(wants) {
		c.self.Log().Info("instruments wanted", "owner", Name, "instruments", len(wants))
		c.self.Send(c.cfg.Feed, messages.WantInstruments{Owner: Name, Wants: wants})
	}
}

func (c *chains) table(u messages.Underlying, expiry time.Time, options []messages.Instrument, old map[key]*live) {
	k := key{underlying: u.Name}
	t := &live{nearest: expiry.Equal(u.Expiry), dirty: true}
	t.Underlying, t.Expiries, t.Reason = u.Name, u.Expiries, u.Reason
	t.Spot = optionchain.Price{Symbol: u.Index.Tradingsymbol}
	t.Future = optionchain.Price{Symbol: u.Future.Tradingsymbol, Expiry: u.Future.Expiry}
	if !expiry.IsZero() {
		k.expiry = expiry.In(ist.Zone).Format(time.DateOnly)
		t.Expiry = expiry
	}
	options = slices.Clone(options)
	slices.SortStableFunc(options, func(a, b messages.Instrument) int {
		return cmp.Or(cmp.Compare(a.Strike, b.Strike), cmp.Compare(a.Type, b.Type)) // CE before PE
	})
	before := old[k]
	packets := map[messages.Instrument]optionchain.Option{}
	if before != nil {
		t.sent, t.Generation = before.sent, before.Generation
		for _, o := range before.Options {
			packets[o.Instrument] = o
		}
		if before.Spot.Symbol == t.Spot.Symbol {
			t.Spot = before.Spot
		}
		if before.Future.Symbol == t.Future.Symbol {
			t.Future.Last, t.Future.At = before.Future.Last, before.Future.At
		}
	}
	for i, in := range options {
		o, ok := packets[in]
		if !ok {
			o = optionchain.Option{Instrument: in}
		}
		t.Options = append(t.Options, o)
		c.byToken[in.Token] = append(c.byToken[in.Token], place{t, i})
		t.ExpiresAt = c.expiresAt(in)
	}
	c.byToken[u.Index.Token] = append(c.byToken[u.Index.Token], place{t, spot})
	if u.Future.Token != 0 {
		c.byToken[u.Future.Token] = append(c.byToken[u.Future.Token], place{t, future})
	}
	c.tables[k] = t
}

// expiresAt is the end of the last session of an option.
func (c *chains) expiresAt(in messages.Instrument) time.Time {
	table := c.cfg.Hours.Table()
	if day := table.Day(in.Expiry, hours.Of(in.Token)); day.Trading() {
		return day.Close()
	}
	return table.Regular(in.Expiry, hours.Of(in.Token)).Close()
}

// tick takes a packet whose exchange time can be; raw is empty when it has no
// depth.
func (c *chains) tick(t *messages.Tick, raw []byte, now int64, g messages.Generation) {
	places := c.byToken[t.InstrumentToken]
	if len(places) == 0 || t.ExchangeTime == 0 || !c.times.Accept(t.InstrumentToken, int64(t.ExchangeTime), c.times.Now(now)) {
		return
	}
	at := time.Unix(int64(t.ExchangeTime), 0)
	for _, p := range places {
		p.table.dirty = true
		p.table.Generation = max(p.table.Generation, g)
		switch p.option {
		case spot:
			take(&p.table.Spot, t, at)
		case future:
			take(&p.table.Future, t, at)
		default:
			c.option(&p.table.Options[p.option], t, raw, at)
		}
	}
}

func take(p *optionchain.Price, t *messages.Tick, at time.Time) {
	if !at.Before(p.At) {
		p.Last, p.At = t.Price(t.LastPrice), at
	}
}

func (c *chains) option(o *optionchain.Option, t *messages.Tick, raw []byte, at time.Time) {
	if at.Before(o.At) {
		return
	}
	o.At, o.Last, o.Close = at, t.Price(t.LastPrice), t.Price(t.Close)
	o.Volume, o.OI, o.Full = int64(t.Volume), int64(t.OI), t.Mode == messages.ModeFull
	o.TradedAt = time.Time{}
	if t.LastTradeTime != 0 {
		o.TradedAt = time.Unix(int64(t.LastTradeTime), 0)
	}
	if !o.Full {
		return
	}
	o.OpenOI, o.HasOpen = c.cfg.Opening.Note(c.cfg.Hours.Table(), t.InstrumentToken, o.Instrument.Expiry, int64(t.ExchangeTime), o.OI)
	if book, ok := wire.DepthOf(wire.PacketOf(raw, t)); ok {
		bid, ask := book.Buy[0], book.Sell[0]
		o.Bid, o.BidQuantity = t.Price(bid.Price), int64(bid.Quantity)
		o.Ask, o.AskQuantity = t.Price(ask.Price), int64(ask.Quantity)
		o.BookAt = at
	}
}

// publish sends what has changed, and everything each 5 s, and keeps the minute.
func (c *chains) publish() {
	if c.cfg.Store.expired(time.Now()) {
		c.arrange()
	}
	now, open := c.cfg.Clock.Now(), c.phase.Phase == messages.Open
	for _, t := range c.tables {
		since := time.Since(t.sent)
		if !t.dirty && since < repeat {
			continue
		}
		t.dirty, t.sent = false, time.Now()
		chain := t.Chain(now, open, c.cfg.Limits)
		if t.nearest && open && chain.Current {
			c.cfg.Store.note(&chain)
		}
		for _, pid := range c.cfg.Listeners {
			c.self.Send(pid, messages.ChainUpdated{Chain: chain, Nearest: t.nearest})
		}
	}
}
