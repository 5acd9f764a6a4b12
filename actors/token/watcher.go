package token

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
	"kitestring/messages"
)

// Config is what the watcher needs.
type Config struct {
	Store *Store
	Auth  *actor.PID // gets TokenChanged, EnvRejected, EnvAccepted
	Feed  *actor.PID // gets TokenChanged
	Web   *actor.PID // gets EnvRejected, EnvAccepted, WatchChanged

	notify func() (notifier, error) // tests stand in for the kernel
	lease  leaser
}

// New makes the actor "token". At each start it announces the pending
// candidate again, if there is one, and reads the file at once: what changed
// while it was down is found by comparing with the store.
func New(cfg Config) actors.Producer {
	if cfg.notify == nil {
		cfg.notify = newNotifier
	}
	if cfg.lease == nil {
		cfg.lease = lease
	}
	return func(self actors.Self) actors.Actor { return &watcher{self: self, cfg: cfg} }
}

// watcher is the actor: it decides and publishes; the poller reads the file.
type watcher struct {
	self  actors.Self
	cfg   Config
	state state
}

// Receive implements actors.Actor.
func (w *watcher) Receive(msg any) {
	switch m := msg.(type) {
	case actors.Started:
		if view := w.cfg.Store.Current(); !view.Candidate.IsZero() {
			w.announce(view.Changed)
		}
		p := &poller{self: w.self, store: w.cfg.Store, notify: w.cfg.notify, lease: w.cfg.lease}
		w.self.Go("look", p.run)
	case observation:
		w.cfg.Store.observe(&m)
		w.step(m)
	case health:
		w.step(m)
	case actors.Stopped:
	default:
		w.self.Log().Warn("message not understood", slog.String("type", fmt.Sprintf("%T", msg)))
	}
}

func (w *watcher) step(ev event) {
	now, store, log := w.cfg.Store.now(), w.cfg.Store, w.self.Log()
	var effects []effect
	w.state, effects = next(w.state, ev)
	for _, e := range effects {
		switch e := e.(type) {
		case accept:
			store.setFault("")
			log.Info("env file accepted", "warnings", e.warnings)
			w.publish(messages.EnvAccepted{Path: store.path, Warnings: e.warnings, At: now}, w.cfg.Auth, w.cfg.Web)
		case refuse:
			store.setFault(e.refusal.reason)
			if e.refusal.process {
				log.Warn("env file not read", "reason", e.refusal.reason)
			} else {
				log.Warn("env file rejected", "line", e.refusal.line, "reason", e.refusal.reason)
				store.metrics.change(e.via, resultMalformed)
			}
			w.publish(messages.EnvRejected{Path: store.path, Line: e.refusal.line, Reason: e.refusal.reason, At: now}, w.cfg.Auth, w.cfg.Web)
		case announce:
			store.metrics.announced(e.change)
			log.Info("token changed",
				slog.Uint64("generation", uint64(e.change.Session.Generation)),
				slog.String("fingerprint", e.change.Session.Token.Fingerprint()),
				slog.String("source", string(e.change.Source)),
				slog.Duration("after", e.change.DetectedAt.Sub(e.change.ChangedAt).Round(time.Microsecond)))
			w.announce(e.change)
		case countUnchanged:
			store.metrics.change(e.via, resultUnchanged)
		case showHealth:
			store.metrics.watching(e.health.degraded)
			if e.health.degraded {
				log.Warn("env file is only polled", "reason", e.health.reason)
			}
			w.publish(messages.WatchChanged{Degraded: e.health.degraded, Reason: e.health.reason, At: now}, w.cfg.Web)
		}
	}
}

// announce tells the feed first: it counts what a change costs from there on, and auth
// may prove the token within a millisecond.
func (w *watcher) announce(change messages.TokenChanged) { w.publish(change, w.cfg.Feed, w.cfg.Auth) }

func (w *watcher) publish(msg any, to ...*actor.PID) {
	for _, pid := range to {
		w.self.Send(pid, msg)
	}
}
