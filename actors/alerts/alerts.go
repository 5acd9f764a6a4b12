package alerts

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
	"kitestring/actors/channels"
	"kitestring/messages"
)

// lookEvery is how often conditions are looked at.
const lookEvery = 250 * time.Millisecond

// Instruments says what is worked on. Safe for concurrent use.
type Instruments interface {
	Resolved() (messages.InstrumentsResolved, bool)
}

// LastTicks is where prices are read: the feed's newest tick of an instrument,
// false when there is none. Safe for concurrent use.
type LastTicks interface {
	LastTick(instrumentToken uint32) (messages.Tick, bool)
}

// Market says which phase the exchange's day is in, false while that is not
// known. Safe for concurrent use.
type Market interface {
	Phase() (messages.PhaseChanged, bool)
}

// Config is what the actor needs; everything but Rules is required.
type Config struct {
	Rules       []Rule
	Keys        channels.Keys
	Dashboard   string // its address as we know it, for the link in messages
	Clock       actors.Clock
	Market      Market
	Instruments Instruments
	Ticks       LastTicks
	Store       *Store
	Web         *actor.PID // gets AlertChanged
}

// New makes the actor "alerts". It answers Reading and TestAlert; it sends
// AlertChanged.
func New(cfg Config) actors.Producer {
	return func(self actors.Self) actors.Actor { return &alerts{Config: cfg, self: self} }
}

type alerts struct {
	Config
	self    actors.Self
	state   state
	setting channels.Setting
	client  *http.Client
}

// look is the timer's message.
type look struct{}

// Receive implements actors.Actor.
func (a *alerts) Receive(msg any) {
	switch m := msg.(type) {
	case actors.Started:
		a.state, a.client = a.Store.load(), channels.NewClient()
		a.step(started{a.Rules})
		a.self.Every(lookEvery, look{})
		a.self.Log().Info("alerts configured", "alerts", len(a.Rules))
	case messages.Reading:
		a.step(read{m})
	case look:
		a.look()
	case messages.TestAlert:
		a.setting = channels.Read(a.Keys, a.Dashboard)
		a.step(tested{m.ID, m.Name, a.Clock.Now(), time.Now(), a.setting.Names()})
	case messages.DataState: // comes to all that get readings
	case answered:
		m.machine, m.jitter = time.Now(), rand.Float64()
		a.step(m)
	case actors.Stopped:
	default:
		a.self.Log().Warn("unexpected message", "type", fmt.Sprintf("%T", msg))
	}
}

func (a *alerts) look() {
	a.setting = channels.Read(a.Keys, a.Dashboard)
	phase, _ := a.Market.Phase()
	resolved, _ := a.Instruments.Resolved()
	prices := map[string]price{}
	for _, u := range resolved.Underlyings {
		if t, ok := a.Ticks.LastTick(u.Index.Token); ok && u.Index.Token != 0 {
			prices[u.Name] = price{t.Price(t.LastPrice), time.Unix(int64(t.ExchangeTime), 0)}
		}
	}
	a.step(looked{a.Clock.Now(), time.Now(), phase.Phase == messages.Open, prices, a.setting.Names()})
}

func (a *alerts) step(ev event) {
	var effects []effect
	a.state, effects = next(a.state, ev)
	a.Store.save(a.state)
	for _, e := range effects {
		switch e := e.(type) {
		case tell:
			a.tell(e.change)
		case attempt:
			a.attempt(e)
		case ended:
			a.Store.note(e)
			if e.arrived {
				a.self.Log().Info("alert sent", "alert", e.alert, "channel", e.channel)
			} else {
				a.self.Log().Warn("alert given up", "alert", e.alert, "channel", e.channel, "reason", e.reason)
			}
		case withheld:
			a.Store.withhold()
			a.self.Log().Warn("alert not sent to the channels", "alert", e.alert, "reason", fmt.Sprintf("more than %d alerts within an hour", mostPerHour))
		}
	}
}

func (a *alerts) tell(c messages.AlertChanged) {
	a.Store.count(c)
	a.self.Log().Info("alert "+string(c.State), "alert", c.Alert, "underlying", c.Underlying, "text", c.Text)
	a.self.Send(a.Web, c)
}

// attempt sends in a task; its end is an answer, whatever happens.
func (a *alerts) attempt(e attempt) {
	c, there := a.setting.Channel(e.channel)
	if !there { // taken out of the file since the alert fired
		a.self.Tell(answered{id: e.id, channel: e.channel, outcome: channels.Outcome{Final: true, Reason: "it is not set up any more"}})
		return
	}
	client, m := a.client, e.message
	m.Link = a.setting.Dashboard
	a.self.Go("alert over "+e.channel, func(ctx context.Context) error {
		a.self.Tell(answered{id: e.id, channel: e.channel, outcome: channels.Send(ctx, client, c, m)})
		return nil
	})
}
