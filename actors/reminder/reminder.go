package reminder

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"kitestring/actors"
	"kitestring/actors/channels"
	"kitestring/messages"
	"kitestring/messages/ist"
)

// pollEvery is how often the clock is read: it may run fast or be moved.
const pollEvery = 250 * time.Millisecond

// Login says whether a login is due: a trading day has begun and no token of
// it is valid. Safe for concurrent use.
type Login interface{ LoginDue() bool }

// Timeline takes events for people.
type Timeline interface {
	Note(kind, format string, args ...any)
}

// Config is what the actor needs; everything is required.
type Config struct {
	Keys  channels.Keys
	Login Login
	// Missing is what the trading day needs and does not have; none: nothing, or
	// no session is to come today. Safe for concurrent use.
	Missing func() []messages.ReadyCheck
	// Link is where a message over a channel leads for the login.
	Link      func(c channels.Channel) Link
	Clock     actors.Clock
	Store     *Store
	Timeline  Timeline
	Dashboard string // its address as we know it, e.g. http://127.0.0.1:8420/
}

// New makes the actor "reminder". It is sent no messages and sends none.
func New(cfg Config) actors.Producer {
	return func(self actors.Self) actors.Actor { return &reminder{Config: cfg, self: self} }
}

type reminder struct {
	Config
	self     actors.Self
	state    state
	setting  channels.Setting
	missing  []messages.ReadyCheck // at the last poll
	client   *http.Client
	round    context.Context // of the attempts under way
	breakOff context.CancelFunc
}

// poll is the timer's message.
type poll struct{}

// Receive implements actors.Actor.
func (r *reminder) Receive(msg any) {
	switch m := msg.(type) {
	case actors.Started:
		r.state, r.client = r.Store.load(), channels.NewClient()
		r.round, r.breakOff = context.WithCancel(context.Background())
		r.step(restarted{})
		r.self.Every(pollEvery, poll{})
		r.look(true)
	case poll:
		r.look(false)
	case answered:
		m.machine, m.jitter = time.Now(), rand.Float64()
		r.step(m)
	case actors.Stopped:
		if r.breakOff != nil {
			r.breakOff()
		}
	default:
		r.self.Log().Warn("unexpected message", "type", fmt.Sprintf("%T", msg))
	}
}

func (r *reminder) look(first bool) {
	r.setting = channels.Read(r.Keys, r.Dashboard)
	changed := r.Store.setUp(r.setting)
	if changed {
		for _, w := range r.setting.Warnings {
			r.Timeline.Note("login", "reminders: %s", w)
		}
	}
	if changed || first {
		r.introduce()
	}
	r.missing = r.Missing()
	r.step(polled{r.Clock.Now(), time.Now(), r.Login.LoginDue(), len(r.missing) > 0, r.setting.Names()})
}

// introduce says in the log how reminders are set up.
func (r *reminder) introduce() {
	for _, w := range r.setting.Warnings {
		r.self.Log().Warn("reminders not as set up", "reason", w)
	}
	if len(r.setting.Channels) == 0 {
		r.self.Log().Info("reminders idle", "reason", "none of "+channels.KeyNtfyURL+", "+channels.KeyTelegramToken+", "+channels.KeyWebhookURL+" is set up in the .env file")
		return
	}
	r.self.Log().Info("reminders set up", "channels", r.setting.Names(), "link", r.setting.Login)
}

func (r *reminder) step(ev event) {
	var effects []effect
	r.state, effects = next(r.state, ev)
	r.Store.save(r.state)
	for _, e := range effects {
		switch e := e.(type) {
		case attempt:
			r.attempt(e)
		case breakOff:
			r.breakOff()
			r.round, r.breakOff = context.WithCancel(context.Background())
		case ended:
			r.ended(e)
		}
	}
}

// attempt sends in a task; its end is an answer, whatever happens.
func (r *reminder) attempt(e attempt) {
	c, there := r.setting.Channel(e.channel)
	if !there { // taken out of the file since the slot began
		r.self.Tell(answered{slot: e.slot, channel: e.channel, outcome: channels.Outcome{Final: true, Reason: "it is not set up any more"}})
		return
	}
	client, round, m := r.client, r.round, message(e.slot, e.about, r.Link(c), r.missing)
	r.self.Go("remind over "+e.channel, func(incarnation context.Context) error {
		ctx, cancel := context.WithCancel(incarnation)
		defer cancel()
		defer context.AfterFunc(round, cancel)()
		r.self.Tell(answered{slot: e.slot, channel: e.channel, outcome: channels.Send(ctx, client, c, m)})
		return nil
	})
}

func (r *reminder) ended(e ended) {
	r.Store.note(Result{e.slot, e.channel, e.arrived, e.reason})
	slot := e.slot.In(ist.Zone).Format("15:04")
	if e.about == notReady {
		if e.arrived {
			r.self.Log().Info("message of what is missing sent", "channel", e.channel, "slot", slot)
			r.Timeline.Note("ready", "not ready for the open: message of %s sent over %s", slot, e.channel)
			return
		}
		r.self.Log().Warn("message of what is missing given up", "channel", e.channel, "slot", slot, "reason", e.reason)
		r.Timeline.Note("ready", "not ready for the open: the message of %s over %s was given up: %s", slot, e.channel, e.reason)
		return
	}
	if e.arrived {
		r.self.Log().Info("reminder sent", "channel", e.channel, "slot", slot)
		r.Timeline.Note("login", "login due: reminder of %s sent over %s", slot, e.channel)
		return
	}
	r.self.Log().Warn("reminder given up", "channel", e.channel, "slot", slot, "reason", e.reason)
	r.Timeline.Note("login", "login due: the reminder of %s over %s was given up: %s", slot, e.channel, e.reason)
}
