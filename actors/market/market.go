package market

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
	"kitestring/actors/hours"
	"kitestring/messages"
)

// poll is how often the clock is looked at: it may run fast or be moved, so a
// timer for the next change would be wrong.
const poll = 200 * time.Millisecond

// PhaseStore shows the phase to an actor that has just been restarted and
// cannot wait for the next change. It outlives the actor. The zero value is
// ready.
type PhaseStore struct {
	last atomic.Pointer[messages.PhaseChanged]
}

// Phase is what was announced last, false before the first time.
func (s *PhaseStore) Phase() (messages.PhaseChanged, bool) {
	if p := s.last.Load(); p != nil {
		return *p, true
	}
	return messages.PhaseChanged{}, false
}

// Config is what the market clock needs. Clock, Phases and LastTick are required.
type Config struct {
	Clock     actors.Clock
	Phases    *PhaseStore
	Hours     *hours.Store // where the table in use is put; nil: nowhere
	Listeners []*actor.PID // of PhaseChanged
	// HolidayFile replaces the built-in table, "": none. It is read at the
	// start and once a day; while it cannot be used the last good table stays,
	// with a warning.
	HolidayFile string
	// LastTick is the exchange time of the newest tick of NSE and BSE (indices
	// and derivatives included, commodities not), zero: none.
	LastTick func() time.Time
}

// New makes the market clock.
func New(cfg Config) actors.Producer {
	return func(self actors.Self) actors.Actor { return &clock{cfg: cfg, self: self} }
}

type clock struct {
	cfg   Config
	self  actors.Self
	state state
}

// look is the message of each poll.
type look struct{}

// Receive implements actors.Actor.
func (c *clock) Receive(msg any) {
	switch m := msg.(type) {
	case actors.Started:
		c.state.table = c.cfg.Hours.Table()
		if c.cfg.HolidayFile == "" {
			c.use(hours.BuiltIn())
		}
		c.self.Every(poll, look{})
		c.observe()
	case look:
		c.observe()
	case tableRead:
		if m.err != nil {
			c.self.Log().Warn("holiday file not usable", "error", m.err)
		} else {
			c.use(m.table)
		}
		c.step(m)
		c.observe()
	case actors.Stopped:
	default:
		c.self.Log().Debug("message not for the market clock")
	}
}

func (c *clock) use(table *hours.Table) {
	c.state.table = table
	if c.cfg.Hours != nil {
		c.cfg.Hours.Set(table)
	}
}

func (c *clock) observe() {
	c.step(observed{now: c.cfg.Clock.Now(), lastTick: c.cfg.LastTick()})
}

func (c *clock) step(e event) {
	var effects []effect
	c.state, effects = next(c.state, e)
	for _, effect := range effects {
		switch e := effect.(type) {
		case readTable:
			c.read()
		case announce:
			c.announce(e.PhaseChanged)
		}
	}
}

func (c *clock) read() {
	path := c.cfg.HolidayFile
	if path == "" {
		return
	}
	c.self.Go("read holidays", func(context.Context) error {
		table, err := hours.Load(path)
		c.self.Tell(tableRead{table, err})
		return nil
	})
}

func (c *clock) announce(p messages.PhaseChanged) {
	c.cfg.Phases.last.Store(&p)
	c.self.Log().Info("phase changed", "phase", p.Phase, "exchange_time", p.At, "next", p.Next,
		"trading_day", p.TradingDay, "login_due", p.LoginDue, "warning", p.Warning)
	for _, to := range c.cfg.Listeners {
		c.self.Send(to, p)
	}
}
