package ready

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
	"kitestring/messages"
)

const (
	// lookEvery is how often everything is looked at: the exchange's clock may
	// run fast, and a message of 08:45 is of what is so then.
	lookEvery = 250 * time.Millisecond
	// stuck is how long a look may take; a mount that hangs answers never.
	stuck = 5 * time.Second
)

// Config is what the actor needs; everything is required.
type Config struct {
	Clock actors.Clock
	// Look takes a snapshot. It may do I/O, and so it may hang.
	Look  func() Snapshot
	Store *Store
	Web   *actor.PID // gets Readiness
}

// New makes the actor "ready". It is sent no messages.
func New(cfg Config) actors.Producer {
	return func(self actors.Self) actors.Actor { return &watch{Config: cfg, self: self} }
}

type watch struct {
	Config
	self    actors.Self
	looking time.Time // since when a look is under way; zero: none is
}

type (
	tick struct{}
	seen struct{ snapshot Snapshot }
)

// Receive implements actors.Actor.
func (w *watch) Receive(msg any) {
	switch m := msg.(type) {
	case actors.Started:
		w.self.Send(w.Web, w.Store.Readiness())
		w.self.Every(lookEvery, tick{})
		w.look()
	case tick:
		w.look()
	case seen:
		w.looking = time.Time{}
		w.judged(Judge(m.snapshot), w.Store.shows(m.snapshot), m.snapshot.Now)
	case actors.Stopped:
	default:
		w.self.Log().Warn("unexpected message", "type", fmt.Sprintf("%T", msg))
	}
}

func (w *watch) look() {
	switch {
	case w.looking.IsZero():
		w.looking = time.Now()
		w.self.Go("look", func(context.Context) error {
			w.self.Tell(seen{w.Look()})
			return nil
		})
	case time.Since(w.looking) > stuck:
		w.stuck()
	}
}

// stuck marks the disk: nothing else that a look asks can hang.
func (w *watch) stuck() {
	now := w.Store.Readiness()
	checks := now.Checks
	if i := slices.IndexFunc(checks, func(c messages.ReadyCheck) bool { return c.Name == Disk }); i >= 0 {
		checks[i].State, checks[i].Detail = messages.ReadyMissing, "a disk does not answer, that of the .env file or of the state directory"
		checks[i].Fix = "look for a mount that hangs (df, mount), and mount it again"
		w.judged(checks, now.Shown, w.Clock.Now())
	}
}

// judged keeps what was found and says it where it has changed.
func (w *watch) judged(found []messages.ReadyCheck, shown bool, at time.Time) {
	before := w.Store.Readiness()
	r, changed := w.Store.take(found, shown, at)
	if !changed {
		return
	}
	w.self.Send(w.Web, r)
	for _, c := range r.Checks {
		i := slices.IndexFunc(before.Checks, func(b messages.ReadyCheck) bool { return b.Name == c.Name })
		if was := i >= 0 && before.Checks[i].State == messages.ReadyMissing; was != (c.State == messages.ReadyMissing) {
			w.self.Log().Info("readiness changed", "check", c.Name, "state", c.State.String(), "detail", c.Detail, "fix", c.Fix)
		}
	}
}
