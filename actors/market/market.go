package market

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
	"kitestring/messages"
)

// poll is how often the clock is looked at: it may run fast or be moved, so a
// timer for the next change would be wrong.
const poll = 200 * time.Millisecond

// PhaseStore shows the phase to those who cannot wait for the next change: an actor
// that has just been restarted asks it in Started. It outlives the actor. The
// zero value is ready and shows the zero PhaseChanged until the actor's start.
type PhaseStore struct {
	said atomic.Pointer[messages.PhaseChanged]
}

// Phase is what was told last; At is zero before that.
func (w *PhaseStore) Phase() messages.PhaseChanged {
	if said := w.said.Load(); said != nil {
		return *said
	}
	return messages.PhaseChanged{}
}

// Config is what the market clock needs. Clock, Wall and LastTick are required.
type Config struct {
	Clock     actors.Clock
	Wall      *PhaseStore
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

// look is told each poll.
type look struct{}

// Receive implements actors.Actor.
func (c *clock) Receive(msg any) {
	switch m := msg.(type) {
	case actors.Started:
		c.state.calendar = BuiltIn()
		c.self.Every(poll, look{})
		c.observe()
	case look:
		c.observe()
	case calendarRead:
		if m.err != nil {
			c.self.Log().Warn("holiday file not usable", "error", m.err)
		}
		c.step(m)
		c.observe()
	case actors.Stopped:
	default:
		c.self.Log().Debug("message not for the market clock")
	}
}

func (c *clock) observe() {
	c.step(observed{now: c.cfg.Clock.Now(), lastTick: c.cfg.LastTick()})
}

func (c *clock) step(event any) {
	var effects []any
	c.state, effects = next(c.state, event)
	for _, effect := range effects {
		switch e := effect.(type) {
		case readCalendar:
			c.read()
		case messages.PhaseChanged:
			c.tell(e)
		}
	}
}

func (c *clock) read() {
	path := c.cfg.HolidayFile
	if path == "" {
		return
	}
	c.self.Go("read holidays", func(context.Context) error {
		calendar, err := Load(path)
		c.self.Tell(calendarRead{calendar, err})
		return nil
	})
}

func (c *clock) tell(said messages.PhaseChanged) {
	c.cfg.Wall.said.Store(&said)
	c.self.Log().Info("phase changed", "phase", said.Phase, "exchange_time", said.At, "next", said.Next,
		"trading_day", said.TradingDay, "login_due", said.LoginDue, "warning", said.Warning)
	for _, to := range c.cfg.Listeners {
		c.self.Send(to, said)
	}
}
