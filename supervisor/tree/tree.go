package tree

import (
	"context"
	"slices"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
	"kitestring/actors/alerts"
	"kitestring/actors/analysis"
	"kitestring/actors/auth"
	"kitestring/actors/bars"
	"kitestring/actors/bus"
	"kitestring/actors/chain"
	"kitestring/actors/channels"
	"kitestring/actors/feed"
	"kitestring/actors/gateway"
	"kitestring/actors/instruments"
	"kitestring/actors/kite"
	"kitestring/actors/market"
	"kitestring/actors/readings"
	"kitestring/actors/ready"
	"kitestring/actors/record"
	"kitestring/actors/reminder"
	"kitestring/actors/replies"
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
//	├─ alerts             tells a person what analyses say, as configured
//	├─ record             what Kite sends, on disk; before and after all that brings it
//	├─ bus                the same and more for other machines, where one is configured
//	├─ replies            what a person answers: the address on which a login ended
//	├─ peers              one login for this server and a second one
//	├─ ready              whether the trading day can begin
//	├─ instruments        what is traded today
//	├─ core (one_for_one) in order; a restarting watcher must not drop a live socket
//	│  ├─ simulator       in the sim profile
//	│  ├─ token           the .env file
//	│  ├─ auth            what Kite says of the token
//	│  ├─ feed            the WebSocket
//	│  └─ gateway         Kite's protocol for any program, unless it is off
//	└─ analysis (one_for_one)
//	   ├─ bars
//	   ├─ chain           the option chains
//	   └─ pcr, volume_pulse, ... outlook
//
// Everything an actor needs to be right after a restart it asks of the Server:
// no producer captures a value that may change, above all no token.

// Addresses, valid before the start.
var (
	pidWeb  = supervisor.PIDOf("web")
	pidAuth = supervisor.PIDOf("auth")
	pidFeed = supervisor.PIDOf("feed")

	pidAlerts = supervisor.PIDOf("alerts")

	pidRecord = supervisor.PIDOf(record.Name)
	pidBus    = supervisor.PIDOf(bus.Name)
)

// startTree starts the tree.
func (s *Server) startTree(ctx context.Context) error {
	s.tree = supervisor.New(supervisor.Options{
		Logger: s.log, Registerer: s.registry, IsTokenMessage: isTokenMessage,
		Generation: func(name string) uint64 { return uint64(s.lastUsed(name)) },
		Observe:    s.observe, Pulse: s.cfg.Pulse,
	})
	return s.tree.Start(ctx, s.root())
}

// Heartbeats are the last net, for when an actor runs but does not do what it is
// there for, and its own states do not find it. Each actor calls Beat when it
// has made progress.
const (
	tokenHeartbeat = 10 * time.Second // the file has been read
	feedHeartbeat  = time.Minute      // a frame has come, or something was decided
	barsHeartbeat  = 30 * time.Second // a bar has been sent
	barsRecent     = 10 * time.Second // exchange time; ticks this new make bars
)

// root describes the tree.
func (s *Server) root() supervisor.Spec {
	children := []supervisor.Spec{
		{Name: "web", Produce: web.New(s.webConfig())},
		{Name: "market", Produce: s.reloaded(func(c Reloadable) actors.Producer {
			return market.New(market.Config{
				Clock: s.clock, Phases: s.phases, Hours: s.hours, LastTick: func() time.Time { return s.feed.Newest(s.clock.Now()) }, Listeners: s.present(receivers[messages.PhaseChanged]()), HolidayFile: c.HolidayFile,
			})
		})},
		{Name: "reminder", Produce: reminder.New(reminder.Config{
			Keys: s.store, Login: s.authStore, Missing: s.missingToday, Link: s.loginLink, Clock: s.clock, Store: s.reminders, Timeline: s.webStore, Dashboard: s.URL(),
		})},
		s.recordSpec(),
		{Name: "replies", Produce: replies.New(replies.Config{
			Keys: s.store, Complete: s.login.Complete, Live: s.liveLogin, Link: func(c channels.Channel) string { return s.loginLink(c).URL },
			Clock: s.clock, Store: s.replies, Timeline: s.webStore, Dashboard: s.URL(),
		})},
		s.peersSpec(),
		{Name: "ready", Produce: ready.New(ready.Config{Clock: s.clock, Look: s.morning, Store: s.ready, Web: pidWeb})},
		{Name: "alerts", Produce: s.reloaded(func(c Reloadable) actors.Producer {
			return alerts.New(alerts.Config{
				Rules: c.Alerts, Keys: s.store, Dashboard: s.URL(), Clock: s.clock, Market: s.phases, Instruments: s.instruments, Ticks: s.feed, Store: s.alerts, Web: pidWeb,
			})
		})},
		{Name: "instruments", Produce: s.reloaded(func(c Reloadable) actors.Producer {
			return instruments.New(instruments.Config{
				Exchange: s.kite, Tokens: s.store, Clock: s.clock, Hours: s.hours, Ticks: s.feed, State: s.instruments,
				Underlyings: c.Underlyings, Configured: c.Instruments, Archive: s.recorder, Feed: pidFeed, Auth: pidAuth, Listeners: receivers[messages.InstrumentsResolved](), Assume: s.assumed.Note,
			})
		})},
		{Name: "core", Children: s.core()},
		{Name: "analysis", Children: s.analyses()},
	}
	if s.bus != nil {
		after := slices.IndexFunc(children, func(c supervisor.Spec) bool { return c.Name == record.Name }) + 1
		children = slices.Insert(children, after, s.busSpec())
	}
	return supervisor.Spec{Name: "root", Children: children}
}

// feedDue reports whether frames are due: the adopted token has not been
// rejected, and the market is open.
func feedDue(tokens interface {
	actors.TokenSource
	Rejected(g messages.Generation) (reason string, rejected bool)
}, phases interface {
	Phase() (messages.PhaseChanged, bool)
},
) func() bool {
	return func() bool {
		g := tokens.Current().Adopted.Generation
		_, rejected := tokens.Rejected(g)
		phase, _ := phases.Phase()
		return g != 0 && !rejected && phase.Phase == messages.Open
	}
}

// barsDue reports whether bars are due: an index or a future has just ticked.
func barsDue(instruments interface {
	Resolved() (messages.InstrumentsResolved, bool)
}, ticks interface {
	LastTick(instrumentToken uint32) (messages.Tick, bool)
}, clock actors.Clock,
) func() bool {
	return func() bool {
		resolved, _ := instruments.Resolved()
		after := clock.Now().Add(-barsRecent).Unix()
		return slices.ContainsFunc(resolved.Underlyings, func(u messages.Underlying) bool {
			index, _ := ticks.LastTick(u.Index.Token)
			future, _ := ticks.LastTick(u.Future.Token)
			return int64(max(index.ExchangeTime, future.ExchangeTime)) > after
		})
	}
}

// wanted is what the feed should be subscribed to, by owner.
func (s *Server) wanted() []messages.WantInstruments {
	all := s.instruments.Wants()
	if wants, some := s.chains.Wants(); some {
		all = append(all, wants)
	}
	if s.gateway != nil {
		if wants, some := s.gateway.board.Wants(); some {
			all = append(all, wants)
		}
	}
	return all
}

// core is what the token and the ticks go through.
func (s *Server) core() []supervisor.Spec {
	specs := []supervisor.Spec{
		{Name: "token", Heartbeat: tokenHeartbeat, Produce: token.New(token.Config{Store: s.store, Auth: pidAuth, Feed: pidFeed, Web: pidWeb})},
		{Name: "auth", Produce: auth.New(auth.Config{
			Exchange: s.kite, Tokens: s.store, Coherence: s.store, Frames: s.feed, Market: s.phases, Clock: s.clock,
			Feed: pidFeed, Holders: s.holders(), Users: s.users(), Web: pidWeb, Store: s.authStore, Metrics: s.metrics.auth, Assume: s.assumed.Note,
		})},
		{Name: "feed", Heartbeat: feedHeartbeat, HeartbeatWhile: feedDue(s.store, s.phases), Produce: feed.New(feed.Config{
			Exchange: s.kite, Tokens: s.store, Clock: s.clock, State: s.feed, Market: s.phases, Wanted: s.wanted, Sequenced: s.sequenced(),
			Auth: pidAuth, Web: pidWeb, Gateway: s.gatewayPID(), Clients: s.gatewaySockets(), Sockets: s.cfg.Reloadable.FeedSockets, Receipts: s.present([]*actor.PID{pidRecord, pidBus}), Recorder: s.recorder, Gaps: s.present(receivers[messages.GapDetected]()), Metrics: s.metrics.feed, Assume: s.assumed.Note,
		})},
	}
	if s.gateway != nil {
		specs = append(specs, s.gatewaySpec())
	}
	if s.exchange != nil {
		specs = append([]supervisor.Spec{{Name: "simulator", Produce: simulator.NewActor(simulator.ActorConfig{
			Exchange: s.exchange, SelfLogin: s.selfLogin(),
		})}}, specs...)
	}
	return specs
}

// analyses are bars, the option chains and one actor for each analysis there is.
func (s *Server) analyses() []supervisor.Spec {
	specs := []supervisor.Spec{s.subscriber(supervisor.Spec{Name: "bars", Heartbeat: barsHeartbeat, HeartbeatWhile: barsDue(s.instruments, s.feed, s.clock), Produce: bars.New(bars.Config{
		Clock: s.clock, Tokens: s.store, Series: s.series, Instruments: s.instruments,
		Hours:     s.hours,
		Historian: bars.NewHistorian(kite.NewSessions(s.kite, s.store, "bars")), Listeners: s.present(receivers[messages.BarClosed]()), Recorders: receivers[messages.HistoryAnswered](), Auth: pidAuth, Assume: s.assumed.Note,
	})})}
	specs = append(specs, s.subscriber(supervisor.Spec{Name: chain.Name, Produce: s.reloaded(func(c Reloadable) actors.Producer {
		return chain.New(chain.Config{
			Clock: s.clock, Tokens: s.store, Instruments: s.instruments, Market: s.phases, Hours: s.hours, Opening: s.opening,
			Store: s.chains, Limits: analysis.ChainLimits(c.Thresholds), Feed: pidFeed, Listeners: receivers[messages.ChainUpdated](),
		})
	})}))
	for _, a := range analysis.All() {
		cfg := readings.Config{
			Clock: s.clock, Tokens: s.store, History: s.series, Instruments: s.instruments,
			Market: s.phases, Hours: s.hours, Opening: s.opening, Auth: pidAuth, Listeners: s.present(readers(a.Kind)),
		}
		if a.Needs.REST {
			cfg.Quoter = readings.NewQuoter(kite.NewSessions(s.kite, s.store, a.Kind))
		}
		spec := supervisor.Spec{Name: a.Kind, Produce: s.reloaded(func(c Reloadable) actors.Producer {
			cfg := cfg
			cfg.Analysis, cfg.Profile, cfg.Interval = a.With(c.Thresholds[a.Kind]), c.AnalysisProfile, c.BarInterval
			return readings.New(cfg)
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

// readers are the addresses that a kind of reading goes to: web, alerts, bus, and
// every analysis that builds on it.
func readers(kind string) []*actor.PID {
	pids := []*actor.PID{pidWeb, pidAlerts, pidBus}
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
	names := []string{feed.Name, "instruments", "bars", chain.Name}
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
		return messages.AccessToken{Secret: s.store.Held(token.KeyAccessToken)}
	}}
}
