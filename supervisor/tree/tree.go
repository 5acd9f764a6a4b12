package tree

import (
	"context"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
	"kitestring/actors/analysis"
	"kitestring/actors/auth"
	"kitestring/actors/feed"
	"kitestring/actors/gateway"
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

// THE TREE: what is supervised, and in which order it starts. Who sends what to
// whom stands in wires.go; what the web actor may do and see, in web.go.
//
//	root (one_for_one, never escalates)
//	├─ web                starts first and stops last, so that a person sees the rest
//	├─ market             the exchange's day
//	├─ reminder           reminds a person that today's login is due
//	├─ instruments        what is traded today
//	├─ core (one_for_one) in order; a restarting watcher must not drop a live socket
//	│  ├─ simulator       in the sim profile
//	│  ├─ token           the .env file
//	│  ├─ auth            what Kite says of the token
//	│  ├─ feed            the WebSocket
//	│  └─ gateway         Kite's protocol for any program, unless it is off
//	└─ analysis (one_for_one)
//	   ├─ bars
//	   └─ pcr, volume_pulse, ... outlook
//
// Everything an actor needs to be right after a restart it asks of the Server:
// no producer captures a value that may change, above all no token.

// Addresses, valid before the start.
var (
	pidWeb  = supervisor.PIDOf("web")
	pidAuth = supervisor.PIDOf("auth")
	pidFeed = supervisor.PIDOf("feed")
)

// startTree describes the tree and starts it.
func (s *Server) startTree(ctx context.Context) error {
	s.tree = supervisor.New(supervisor.Options{
		Logger: s.log, Registerer: s.registry, IsTokenMessage: isTokenMessage,
		Generation: func(name string) uint64 { return uint64(s.lastUsed(name)) },
		Observe:    s.observe, Pulse: s.cfg.Pulse,
	})
	core := []supervisor.Spec{
		{Name: "token", Produce: token.New(token.Config{Store: s.store, Auth: pidAuth, Feed: pidFeed, Web: pidWeb})},
		{Name: "auth", Produce: auth.New(auth.Config{
			Exchange: s.kite, Tokens: s.store, Coherence: s.store, Clock: s.clock,
			Feed: pidFeed, Holders: s.holders(), Users: s.users(), Web: pidWeb, Store: s.authStore, Metrics: s.metrics.auth,
		})},
		{Name: "feed", Produce: feed.New(feed.Config{
			Exchange: s.kite, Tokens: s.store, Clock: s.clock, State: s.feed, Market: s.phases, Sequenced: s.sequenced(),
			Auth: pidAuth, Web: pidWeb, Gateway: s.gatewayPID(), Gaps: receivers[messages.GapDetected](), Metrics: s.metrics.feed,
		})},
	}
	if s.gateway != nil {
		core = append(core, s.gatewaySpec())
	}
	if s.exchange != nil {
		core = append([]supervisor.Spec{{Name: "simulator", Produce: simulator.NewActor(simulator.ActorConfig{
			Exchange: s.exchange, SelfLogin: s.selfLogin(),
		})}}, core...)
	}
	return s.tree.Start(ctx, supervisor.Spec{Name: "root", Children: []supervisor.Spec{
		{Name: "web", Produce: web.New(s.webConfig())},
		{Name: "market", Produce: s.reloaded(func(c Reloadable) actors.Producer {
			return market.New(market.Config{
				Clock: s.clock, Phases: s.phases, Hours: s.hours, LastTick: s.feed.Newest, Listeners: receivers[messages.PhaseChanged](), HolidayFile: c.HolidayFile,
			})
		})},
		{Name: "reminder", Produce: reminder.New(reminder.Config{
			Keys: s.store, Login: s.authStore, Clock: s.clock, Store: s.reminders, Timeline: s.webStore, Dashboard: s.URL(),
		})},
		{Name: "instruments", Produce: s.reloaded(func(c Reloadable) actors.Producer {
			return instruments.New(instruments.Config{
				Exchange: s.kite, Tokens: s.store, Clock: s.clock, Ticks: s.feed, State: s.instruments,
				Underlyings: c.Underlyings, Feed: pidFeed, Auth: pidAuth, Listeners: receivers[messages.InstrumentsResolved](),
			})
		})},
		{Name: "core", Children: core},
		{Name: "analysis", Children: s.analyses()},
	}})
}

// analyses are bars and one actor for each analysis there is.
func (s *Server) analyses() []supervisor.Spec {
	specs := []supervisor.Spec{s.subscriber(supervisor.Spec{Name: "bars", Produce: analysis.NewBars(analysis.BarsConfig{
		Clock: s.clock, Tokens: s.store, Series: s.series, Instruments: s.instruments,
		Historian: analysis.NewREST(s.kite, s.store, "bars"), Listeners: receivers[messages.BarClosed](), Auth: pidAuth,
	})})}
	for _, a := range analysis.All() {
		cfg := analysis.Config{
			Clock: s.clock, Tokens: s.store, History: s.series, Instruments: s.instruments,
			Market: s.phases, Opening: s.opening, Auth: pidAuth, Listeners: readers(a.Kind),
		}
		if a.Needs.REST {
			cfg.Quoter = analysis.NewREST(s.kite, s.store, a.Kind)
		}
		spec := supervisor.Spec{Name: a.Kind, Produce: s.reloaded(func(c Reloadable) actors.Producer {
			cfg := cfg
			cfg.Analysis, cfg.Profile, cfg.Interval = a.With(c.Thresholds[a.Kind]), c.AnalysisProfile, c.BarInterval
			return analysis.New(cfg)
		})}
		if a.Needs.Ticks() {
			spec = s.subscriber(spec)
		}
		specs = append(specs, spec)
	}
	return specs
}

// subscriber gives a child ticks: one by one while it keeps up, conflated per
// instrument and minute when it does not. Its seed is the last tick of every
// instrument, so that a quiet one is not forgotten by a restart.
func (s *Server) subscriber(spec supervisor.Spec) supervisor.Spec {
	spec.Mailbox.Ticks = s.cfg.Reloadable.MailboxTicks
	if spec.Mailbox.Table == nil {
		spec.Mailbox.Table = func() supervisor.Conflator { return &minute.Table{} }
	}
	spec.Seed = func(open func()) messages.Batch {
		if b := s.feed.Seed(spec.Name, open); b != nil {
			return b
		}
		return nil // not a nil *Ticks in an interface
	}
	s.feed.Attach(spec.Name, tickSink{s.tree.Inlet(spec.Name)})
	return spec
}

// readers are the addresses that a kind of reading goes to: web, and every
// analysis that builds on it.
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

// holders get each adopted token.
func (s *Server) holders() []auth.Holder {
	holders := []auth.Holder{{Name: "web", PID: pidWeb}}
	for _, name := range s.users() {
		holders = append(holders, auth.Holder{Name: name, PID: supervisor.PIDOf(name)})
	}
	return holders
}

// users are the holders that note each use of a token; web uses none.
func (s *Server) users() []string {
	names := []string{feed.Name, "instruments", "bars"}
	for _, a := range analysis.All() {
		names = append(names, a.Kind)
	}
	if s.gateway != nil {
		names = append(names, gateway.Name)
	}
	return names
}

// isTokenMessage picks what the fault drop_token_messages drops.
func isTokenMessage(msg any) bool {
	switch msg.(type) {
	case messages.TokenChanged, messages.TokenAdopted, messages.TokenVerdict:
		return true
	}
	return false
}

// tickSink hands the feed's batches to a mailbox.
type tickSink struct{ inlet *supervisor.Inlet }

// Push implements actors.Sink.
func (s tickSink) Push(b *messages.Ticks) bool { return s.inlet.Push(b) }

// selfLogin is how the embedded exchange logs in to itself: it visits our own
// /login, as a person's browser would. nil: a person does it.
func (s *Server) selfLogin() *simulator.SelfLogin {
	if s.cfg.Sim.ManualLogin {
		return nil
	}
	return &simulator.SelfLogin{URL: s.URL() + "login", Token: func() messages.AccessToken {
		return messages.AccessToken{Secret: s.store.Secret(token.KeyAccessToken)}
	}}
}
