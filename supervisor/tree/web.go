package tree

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"kitestring/actors"
	"kitestring/actors/auth"
	"kitestring/actors/chain"
	"kitestring/actors/channels"
	"kitestring/actors/feed"
	"kitestring/actors/reminder"
	"kitestring/actors/token"
	"kitestring/actors/web"
	"kitestring/actors/web/api"
	"kitestring/actors/web/live"
	"kitestring/messages"
	"kitestring/supervisor"
	"kitestring/supervisor/tree/profile"
)

// webConfig wires the web actor: it looks through these small interfaces only.
func (s *Server) webConfig() web.Config {
	s.registry.MustRegister(tokenUses{s.store})
	s.login = auth.NewHandlers(auth.HandlersConfig{
		Exchange: s.kite, Logins: s.logins, Tokens: s.store, Store: s.store,
		Credentials: func() (string, messages.Secret) {
			c := s.store.Credentials()
			return c.APIKey, c.APISecret
		},
		Account: func() string { return profile.Value(s.store, profile.KeyAccount) }, Accounts: s.authStore,
		EnvFile: s.cfg.EnvFile, Metrics: s.metrics.auth, Log: s.log,
		Notify: func(m messages.LoginEnded) {
			if m.Fingerprint != "" {
				s.lastLogin.Store(&m)
			}
			s.webStore.Apply(m)
		}, Assume: s.assumed.Note,
	})
	return web.Config{
		Gateway: s.webGateway(), Record: s.recorderStatus, Bus: s.webBus(), Peers: peerView{s}, Recorded: s.recorded, Replay: s.webReplay(),
		Listen: s.listener.listen, Store: s.webStore,
		Tree: treeView{s.tree}, Tokens: s.store, Feed: feedView{s.feed, s.clock}, Bars: s.bars,
		Login:    s.login,
		Exchange: s.simulatorControl(),
		Validate: func() { s.tree.Engine().Send(pidAuth, messages.ValidateToken{}) },
		AskDirect: func(underlying string) {
			s.tree.Engine().Send(supervisor.PIDOf("direct"), messages.AskDirect{Underlying: underlying})
		},
		AskChain: func(underlying, expiry string) {
			s.tree.Engine().Send(supervisor.PIDOf(chain.Name), messages.AskChain{Underlying: underlying, Expiry: expiry})
		},
		ChainDay:  s.chains.Day,
		Reminders: s.reminderStatus, Alerts: alertsView{s}, Runbook: s.cfg.Runbook, Trace: s.traceNow,
		Assumptions: s.assumed.Status,
		Clock:       s.clock, Process: s.process(), Profile: s.profile, Log: s.log,
		// To compress costs as much as all the rest of a scrape, and the way is short.
		Metrics:      promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, DisableCompression: true}),
		Instrument:   s.metrics.web,
		AdminToken:   func() messages.Secret { return s.store.Secret(profile.KeyAdminToken) },
		DashboardURL: func() string { return profile.Value(s.store, channels.KeyDashboardURL) },
		Secrets:      s.secrets,
	}
}

// reminderStatus is what the reminders did.
func (s *Server) reminderStatus() api.Reminders {
	status := s.reminders.Status()
	shown := api.Reminders{
		Channels: append([]string{}, status.Channels...), Warnings: append([]string{}, status.Warnings...), Last: []api.ReminderResult{},
	}
	for _, t := range status.Last {
		shown.Last = append(shown.Last, api.ReminderResult{Channel: t.Channel, Slot: t.Slot.UTC(), Arrived: t.Arrived, Reason: t.Reason})
	}
	return shown
}

// traceNow writes what the flight recorder holds, for a person.
func (s *Server) traceNow() (t api.Trace, err error) {
	if s.flight == nil {
		return t, errors.New("this process has no flight recorder; its log says why")
	}
	t.Recorded = s.flight.Segments()
	t.File, err = s.flight.Write("request")
	return t, err
}

// loginLink is where a message over a channel leads for the login: to the
// dashboard where a phone can reach it, else to Kite's own page, from which a
// person comes back by an answer.
func (s *Server) loginLink(c channels.Channel) reminder.Link {
	setting := channels.Read(s.store, s.URL())
	link := reminder.Link{URL: setting.Login, Reply: c.Answers()}
	if kite := s.login.Link(); setting.Local && link.Reply && kite != "" {
		link.URL = kite
	}
	return link
}

// liveLogin is the adopted generation, and whether it is that of the last login
// and a frame has come on a socket of it.
func (s *Server) liveLogin() (messages.Generation, bool) {
	adopted := s.store.Current().Adopted
	last := s.lastLogin.Load()
	return adopted.Generation, last != nil && last.Fingerprint == adopted.Token.Fingerprint() && s.feed.Live() >= adopted.Generation
}

// treeView shows the tree and lets a person touch it.
type treeView struct{ tree *supervisor.Supervisor }

// Actors implements web.Tree.
func (t treeView) Actors() []api.Actor {
	snapshot := t.tree.Snapshot()
	list := make([]api.Actor, len(snapshot.Actors))
	for i, a := range snapshot.Actors {
		list[i] = api.Actor{
			Name: a.Name, Kind: a.Kind, Parent: a.Parent, State: a.State.String(), Epoch: a.Epoch,
			Generation: messages.Generation(a.Generation), UptimeSeconds: a.UptimeSeconds,
			Restarts: a.Restarts, RestartsInWindow: a.RestartsInWindow, RestartsAllowed: a.Intensity,
			ChildrenInWindow: a.GroupInWindow, ChildrenAllowed: a.GroupIntensity,
			MessagesPerSecond: a.MessagesPerSec, HandlingP99: a.HandlingP99,
			Mailbox: api.Mailbox{
				Depth: a.Mailbox.Depth, Capacity: a.Mailbox.Capacity, Conflated: a.Mailbox.Conflated, Dropped: a.Mailbox.Dropped,
			},
			LastError: a.LastError, NextRetryAt: a.NextRetryAt,
		}
		if a.Kind == "supervisor" {
			list[i].Strategy = "one_for_one"
		}
	}
	return list
}

// Restart implements web.Tree.
func (t treeView) Restart(name string) error { return toWebError(t.tree.Restart(name)) }

// Reinstate implements web.Tree.
func (t treeView) Reinstate(name string) error { return toWebError(t.tree.Reinstate(name)) }

// Inject implements web.Tree.
func (t treeView) Inject(name, kind string, d time.Duration) error {
	if err := checkKind(supervisor.Kinds(), kind); err != nil {
		return err
	}
	return toWebError(t.tree.Inject(supervisor.Fault{Actor: name, Kind: supervisor.Kind(kind), For: d}))
}

// checkKind refuses a kind of fault that is not among those that exist.
func checkKind[K ~string](kinds []K, kind string) error {
	if slices.Contains(kinds, K(kind)) {
		return nil
	}
	refusal := &web.NameError{What: "kind of fault", Name: kind}
	for _, k := range kinds {
		refusal.Known = append(refusal.Known, string(k))
	}
	return refusal
}

// toWebError turns an unknown child into web's error.
func toWebError(err error) error {
	var unknown *supervisor.UnknownError
	if errors.As(err, &unknown) {
		return &web.NameError{What: "actor", Name: unknown.Name, Known: unknown.Names}
	}
	return err
}

// lastUsed is the generation that an actor last used, 0 for none.
func (s *Server) lastUsed(name string) messages.Generation {
	for _, u := range s.store.Holders() {
		if u.Actor == name {
			return u.Generation
		}
	}
	return 0
}

// feedView is the feed's store with the counters that the page shows.
type feedView struct {
	*feed.Store
	clock actors.Clock
}

// Stats implements web.Feed.
func (f feedView) Stats() live.Stats {
	s := f.Store.Stats()
	var refused []api.Refusal
	for _, r := range s.Refused {
		refused = append(refused, api.Refusal(r))
	}
	return live.Stats{
		TicksPerSecond: s.TicksPerSecond, LastTick: s.LastTick, LastFrame: s.LastFrame, NewestTick: f.Newest(f.clock.Now()),
		Instruments: s.Instruments, Sockets: s.Sockets, Refused: refused,
	}
}

// bars are the closed bars of a series; false: no such underlying.
func (s *Server) bars(underlying string, source messages.BarSource, interval time.Duration) ([]messages.Bar, bool) {
	resolved, _ := s.instruments.Resolved()
	known := slices.ContainsFunc(resolved.Underlyings, func(u messages.Underlying) bool { return u.Name == underlying })
	return s.series.History(underlying, source, interval), known
}

// observe puts what happens in the tree on the page's timeline.
func (s *Server) observe(e supervisor.Event) {
	switch e.Kind {
	case supervisor.Ready:
		if e.Epoch > 1 {
			s.webStore.Note("actor", "%s runs again (epoch %d)", e.Actor, e.Epoch)
		}
	case supervisor.Failed, supervisor.Abandoned, supervisor.Quarantine, supervisor.Reinstated, supervisor.Escalated, supervisor.LeftOver:
		text := e.Actor + " " + strings.ReplaceAll(string(e.Kind), "_", " ")
		if e.Reason != "" {
			text += ": " + e.Reason
		}
		s.webStore.Note("actor", "%s", text)
	}
	if s.flight != nil && (e.Kind == supervisor.Failed || e.Kind == supervisor.Abandoned || e.Kind == supervisor.Escalated) {
		s.flight.Failed(e.Actor + "-" + string(e.Kind))
	}
}

// tokenUses exports the generation that each holder last used.
type tokenUses struct{ store *token.Store }

var descGeneration = prometheus.NewDesc("kitestring_token_generation", "Generation of the token that the actor last used.", []string{"actor"}, nil)

// Describe implements prometheus.Collector.
func (t tokenUses) Describe(out chan<- *prometheus.Desc) { out <- descGeneration }

// Collect implements prometheus.Collector.
func (t tokenUses) Collect(out chan<- prometheus.Metric) {
	for _, u := range t.store.Holders() {
		out <- prometheus.MustNewConstMetric(descGeneration, prometheus.GaugeValue, float64(u.Generation), u.Actor)
	}
}

// newTransport is the one HTTP transport towards Kite.
func newTransport() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = http.ProxyFromEnvironment
	t.MaxIdleConnsPerHost = 4
	return t
}
