package tree

import (
	"context"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
	"kitestring/actors/analysis"
	"kitestring/actors/auth"
	"kitestring/actors/feed"
	"kitestring/actors/instruments"
	"kitestring/actors/market"
	"kitestring/actors/reminder"
	"kitestring/actors/simulator"
	"kitestring/actors/token"
	"kitestring/actors/web"
	"kitestring/messages"
	"kitestring/messages/minute"
	"kitestring/supervisor"
)

// THE TREE. Who is kept alive, in which order they start, and who speaks with
// whom: every address is wired here and nowhere else.
//
//	root (one_for_one, never escalates)
//	├─ web                the window opens first and closes last
//	├─ market             the exchange's day
//	├─ reminder           tells a person that today's login is due
//	├─ instruments        what is traded today
//	├─ core (one_for_one) in order; a restarting watcher must not drop a live socket
//	│  ├─ simulator       in the sim profile
//	│  ├─ token           the .env file
//	│  ├─ auth            what Kite says of the token
//	│  └─ feed            the WebSocket
//	└─ analysis (one_for_one)
//	   ├─ bars
//	   └─ pcr, volume_pulse, ... outlook
//
// Everything an actor needs to be right after a restart it asks of the Server:
// no producer captures a value that may change, above all no token.

// Addresses, valid before anybody has started.
var (
	pidWeb  = supervisor.PIDOf("web")
	pidAuth = supervisor.PIDOf("auth")
	pidFeed = supervisor.PIDOf("feed")
	pidBars = supervisor.PIDOf("bars")
)

// plant describes the tree and starts it.
func (h *Server) startTree(ctx context.Context) error {
	h.tree = supervisor.New(supervisor.Options{
		Logger: h.log, Registerer: h.registry, IsTokenMessage: isTokenMessage,
		Generation: func(name string) uint64 { return uint64(h.lastUsed(name)) },
		Observe:    h.observe, Pulse: h.cfg.Pulse,
	})
	core := []supervisor.Spec{
		{Name: "token", Produce: token.New(token.Config{Store: h.store, Auth: pidAuth, Feed: pidFeed, Web: pidWeb})},
		{Name: "auth", Produce: auth.New(auth.Config{
			Exchange: h.kite, Tokens: h.store, Coherence: h.store, Clock: h.clock,
			Feed: pidFeed, Holders: h.holders(), Users: h.users(), Web: pidWeb, Store: h.memory, Metrics: h.metrics.auth,
		})},
		{Name: "feed", Produce: feed.New(feed.Config{
			Exchange: h.kite, Tokens: h.store, Clock: h.clock, State: h.feed, Sequenced: h.sequenced(),
			Auth: pidAuth, Web: pidWeb, Gaps: []*actor.PID{pidBars, pidWeb}, Metrics: h.metrics.feed,
		})},
	}
	if h.exchange != nil {
		core = append([]supervisor.Spec{{Name: "simulator", Produce: simulator.NewActor(simulator.ActorConfig{
			Exchange: h.exchange, SelfLogin: h.selfLogin(),
		})}}, core...)
	}
	return h.tree.Start(ctx, supervisor.Spec{Name: "root", Children: []supervisor.Spec{
		{Name: "web", Produce: web.New(h.window())},
		{Name: "market", Produce: h.reloaded(func(c Reloadable) actors.Producer {
			return market.New(market.Config{
				Clock: h.clock, Phases: h.phases, Hours: h.hours, LastTick: h.feed.Newest, Listeners: h.marketListeners(), HolidayFile: c.HolidayFile,
			})
		})},
		{Name: "reminder", Produce: reminder.New(reminder.Config{
			Keys: h.store, Login: h.memory, Clock: h.clock, Store: h.reminders, Timeline: h.board, Dashboard: h.URL(),
		})},
		{Name: "instruments", Produce: h.reloaded(func(c Reloadable) actors.Producer {
			return instruments.New(instruments.Config{
				Exchange: h.kite, Tokens: h.store, Clock: h.clock, Ticks: h.feed, State: h.instruments,
				Underlyings: c.Underlyings, Feed: pidFeed, Auth: pidAuth, Listeners: append(analysts(), pidBars, pidWeb),
			})
		})},
		{Name: "core", Children: core},
		{Name: "analysis", Children: h.analyses()},
	}})
}

// analyses are bars and one actor for each analysis there is.
func (h *Server) analyses() []supervisor.Spec {
	specs := []supervisor.Spec{h.subscriber(supervisor.Spec{Name: "bars", Produce: analysis.NewBars(analysis.BarsConfig{
		Clock: h.clock, Tokens: h.store, Series: h.series, Instruments: h.instruments,
		Historian: analysis.NewREST(h.kite, h.store, "bars"), Listeners: append(analysts(), pidWeb), Auth: pidAuth,
	})})}
	for _, a := range analysis.All() {
		cfg := analysis.Config{
			Clock: h.clock, Tokens: h.store, History: h.series, Instruments: h.instruments,
			Market: h.phases, Opening: h.opening, Auth: pidAuth, Listeners: readers(a.Kind),
		}
		if a.Needs.REST {
			cfg.Quoter = analysis.NewREST(h.kite, h.store, a.Kind)
		}
		spec := supervisor.Spec{Name: a.Kind, Produce: h.reloaded(func(c Reloadable) actors.Producer {
			cfg := cfg
			cfg.Analysis, cfg.Profile, cfg.Interval = a.With(c.Thresholds[a.Kind]), c.AnalysisProfile, c.BarInterval
			return analysis.New(cfg)
		})}
		if a.Needs.Ticks() {
			spec = h.subscriber(spec)
		}
		specs = append(specs, spec)
	}
	return specs
}

// subscriber gives a child ticks: one by one while it keeps up, conflated per
// instrument and minute when it does not. Its seed is the last tick of every
// instrument, so that a quiet one is not forgotten by a restart.
func (h *Server) subscriber(s supervisor.Spec) supervisor.Spec {
	s.Mailbox = supervisor.Mailbox{Contract: supervisor.Lossless, Ticks: h.cfg.Reloadable.MailboxTicks, Table: func() supervisor.Conflator { return &minute.Table{} }}
	s.Seed = func(open func()) supervisor.Batch {
		if b := h.feed.Seed(s.Name, open); b != nil {
			return b
		}
		return nil // not a nil *Ticks in an interface
	}
	h.feed.Attach(s.Name, tickSink{h.tree.Inlet(s.Name)})
	return s
}

// analysts are the addresses of all analyses.
func analysts() []*actor.PID {
	var pids []*actor.PID
	for _, a := range analysis.All() {
		pids = append(pids, supervisor.PIDOf(a.Kind))
	}
	return pids
}

// readers are those who want a kind of reading: the window, and every analysis
// that builds on it.
func readers(kind string) []*actor.PID {
	pids := []*actor.PID{pidWeb}
	for _, a := range analysis.All() {
		for _, need := range a.Needs.Readings {
			if need == kind {
				pids = append(pids, supervisor.PIDOf(a.Kind))
			}
		}
	}
	return pids
}

// holders are told of each adopted token.
func (h *Server) holders() []auth.Holder {
	holders := []auth.Holder{{Name: "web", PID: pidWeb}}
	for _, name := range h.users() {
		holders = append(holders, auth.Holder{Name: name, PID: supervisor.PIDOf(name)})
	}
	return holders
}

// users are the holders who note each use of a token; the window has none.
func (h *Server) users() []string {
	names := []string{feed.Name, "instruments", "bars"}
	for _, a := range analysis.All() {
		names = append(names, a.Kind)
	}
	return names
}

// marketListeners are told of each phase of the day.
func (h *Server) marketListeners() []*actor.PID {
	return append(analysts(), pidAuth, pidFeed, pidBars, pidWeb)
}

// isTokenMessage picks what a deaf actor does not hear.
func isTokenMessage(msg any) bool {
	switch msg.(type) {
	case messages.TokenChanged, messages.TokenAdopted, messages.TokenVerdict:
		return true
	}
	return false
}

// tickSink hands the feed's batches to a front of ours.
type tickSink struct{ front *supervisor.Inlet }

// Push implements actors.Sink.
func (s tickSink) Push(b *messages.Ticks) bool { return s.front.Push(b) }

// selfLogin is how the embedded exchange logs in to itself: it visits our own
// /login, as a person's browser would. nil: a person does it.
func (h *Server) selfLogin() *simulator.SelfLogin {
	if h.cfg.Sim.ManualLogin {
		return nil
	}
	return &simulator.SelfLogin{URL: h.URL() + "login", Token: func() messages.AccessToken {
		return messages.AccessToken{Secret: h.store.Secret(token.KeyAccessToken)}
	}}
}
