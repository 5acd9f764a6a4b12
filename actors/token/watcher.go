package token

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
	"kitestring/messages"
)

// Config is what the watcher needs of its house.
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

// watcher is the actor: it decides and tells; looker does the looking.
type watcher struct {
	self   actors.Self
	cfg    Config
	state  state
	health *health // the one published; nil: none yet
}

// health tells whether the kernel reports changes.
type health struct {
	degraded bool
	reason   string
}

// Receive implements actors.Actor.
func (w *watcher) Receive(msg any) {
	switch m := msg.(type) {
	case actors.Started:
		if view := w.cfg.Store.Current(); !view.Candidate.IsZero() {
			w.announce(view.Changed)
		}
		l := &looker{self: w.self, store: w.cfg.Store, notify: w.cfg.notify, lease: w.cfg.lease}
		w.self.Go("look", l.run)
	case sighting:
		w.see(m)
	case health:
		w.tellHealth(m)
	case actors.Stopped:
	default:
		w.self.Log().Warn("message not understood", slog.String("type", fmt.Sprintf("%T", msg)))
	}
}

func (w *watcher) see(seen sighting) {
	now := w.cfg.Store.now()
	change, fresh := w.cfg.Store.observed(seen.env, seen.read.mode, seen.finding, seen.via, seen.changed, now)
	path := w.cfg.Store.path
	var effects []effect
	w.state, effects = next(w.state, seen, fresh)
	for _, e := range effects {
		switch e {
		case accept:
			m := messages.EnvAccepted{Path: path, Warnings: seen.finding.warnings, At: now}
			w.self.Log().Info("env file accepted", "warnings", m.Warnings)
			w.self.Send(w.cfg.Auth, m)
			w.self.Send(w.cfg.Web, m)
		case refuse:
			m := messages.EnvRejected{Path: path, Line: seen.finding.refusal.line, Reason: seen.finding.refusal.reason, At: now}
			w.self.Log().Warn("env file rejected", "line", m.Line, "reason", m.Reason)
			w.cfg.Store.metrics.change(seen.via, resultMalformed)
			w.self.Send(w.cfg.Auth, m)
			w.self.Send(w.cfg.Web, m)
		case announce:
			w.cfg.Store.metrics.announced(change)
			w.self.Log().Info("token changed",
				slog.Uint64("generation", uint64(change.Session.Generation)),
				slog.String("fingerprint", change.Session.Token.Fingerprint()),
				slog.String("source", string(change.Source)),
				slog.Duration("after", change.DetectedAt.Sub(change.ChangedAt).Round(time.Microsecond)))
			w.announce(change)
		case unchanged:
			w.cfg.Store.metrics.change(seen.via, resultUnchanged)
		}
	}
}

func (w *watcher) announce(change messages.TokenChanged) {
	w.self.Send(w.cfg.Auth, change)
	w.self.Send(w.cfg.Feed, change)
}

func (w *watcher) tellHealth(h health) {
	if w.health != nil && *w.health == h {
		return
	}
	w.health = &h
	w.cfg.Store.metrics.watching(h.degraded)
	if h.degraded {
		w.self.Log().Warn("env file is only polled", "reason", h.reason)
	}
	w.self.Send(w.cfg.Web, messages.WatchChanged{Degraded: h.degraded, Reason: h.reason, At: w.cfg.Store.now()})
}
