package tree

import (
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"kitestring/actors/auth"
	"kitestring/actors/feed"
	"kitestring/actors/web"
	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/supervisor"
)

// window wires the web actor: it looks through these small interfaces only.
func (h *Server) window() web.Config {
	h.registry.MustRegister(tokenUses{h})
	host, _, _ := net.SplitHostPort(h.Addr())
	return web.Config{
		Listen: h.door.listen, Hosts: []string{host}, Store: h.board,
		Tree: treeWindow{h.tree}, Tokens: h.store, Feed: feedView{h.feed}, Bars: h.bars,
		Login: auth.NewHandlers(auth.HandlersConfig{
			Exchange: h.kite, Logins: h.logins, Tokens: h.store, Store: h.store,
			Credentials: func() (string, messages.Secret) {
				c := h.store.Credentials()
				return c.APIKey, c.APISecret
			},
			EnvFile: h.cfg.EnvFile, Metrics: h.metrics.auth, Log: h.log,
			Notify: func(m messages.LoginEnded) { h.board.Apply(m) },
		}),
		Exchange: h.rehearsal(),
		Validate: func() { h.tree.Engine().Send(pidAuth, messages.ValidateToken{}) },
		AskDirect: func(underlying string) {
			h.tree.Engine().Send(supervisor.PIDOf("direct"), messages.AskDirect{Underlying: underlying})
		},
		Reminders: h.toldOf, Trace: h.traceNow,
		Clock: h.clock, Process: h.process(), Profile: h.profile, Log: h.log,
		// To compress costs as much as all the rest of a scrape, and the way is short.
		Metrics:    promhttp.HandlerFor(h.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, DisableCompression: true}),
		Instrument: h.metrics.web,
		AdminToken: func() messages.Secret { return h.store.Secret(keyAdminToken) },
	}
}

// toldOf shows the reminders.
func (h *Server) toldOf() api.Reminders {
	status := h.reminders.Status()
	shown := api.Reminders{
		Channels: append([]string{}, status.Channels...), Warnings: append([]string{}, status.Warnings...), Last: []api.ReminderResult{},
	}
	for _, t := range status.Last {
		shown.Last = append(shown.Last, api.ReminderResult{Channel: t.Channel, Slot: t.Slot.UTC(), Arrived: t.Arrived, Reason: t.Reason})
	}
	return shown
}

// traceNow writes the flight recorder's window for a person.
func (h *Server) traceNow() (file string, err error) {
	if h.flight == nil {
		return "", errors.New("this process has no flight recorder; its log says why")
	}
	return h.flight.write("request")
}

// treeWindow shows the tree and lets a person touch it.
type treeWindow struct{ tree *supervisor.Supervisor }

// Actors implements web.Tree.
func (t treeWindow) Actors() []api.Actor {
	snapshot := t.tree.Snapshot()
	list := make([]api.Actor, len(snapshot.Actors))
	for i, a := range snapshot.Actors {
		list[i] = api.Actor{
			Name: a.Name, Kind: a.Kind, Parent: a.Parent, Strategy: a.Strategy, State: a.State.String(), Epoch: a.Epoch,
			Generation: messages.Generation(a.Generation), UptimeSeconds: a.UptimeSeconds,
			Restarts: a.Restarts, RestartsInWindow: a.RestartsInWindow, RestartsAllowed: a.Intensity,
			ChildrenInWindow: a.GroupInWindow, ChildrenAllowed: a.GroupIntensity,
			MessagesPerSecond: a.MessagesPerSec, HandlingP99: a.HandlingP99,
			Mailbox: api.Mailbox{
				Depth: a.Mailbox.Depth, Capacity: a.Mailbox.Capacity, Conflated: a.Mailbox.Conflated, Dropped: a.Mailbox.Dropped,
			},
			LastError: a.LastError, NextRetryAt: a.NextRetryAt,
		}
	}
	return list
}

// Restart implements web.Tree.
func (t treeWindow) Restart(name string) error { return inWords(t.tree.Restart(name)) }

// Reinstate implements web.Tree.
func (t treeWindow) Reinstate(name string) error { return inWords(t.tree.Reinstate(name)) }

// Inject implements web.Tree.
func (t treeWindow) Inject(name, kind string, d time.Duration) error {
	if !slices.Contains(supervisor.Kinds(), supervisor.Kind(kind)) {
		known := make([]string, len(supervisor.Kinds()))
		for i, k := range supervisor.Kinds() {
			known[i] = string(k)
		}
		return &web.NameError{What: "kind of fault", Name: kind, Known: known}
	}
	return inWords(t.tree.Inject(supervisor.Fault{Actor: name, Kind: supervisor.Kind(kind), For: d}))
}

// inWords turns an unknown child into the window's words.
func inWords(err error) error {
	var unknown *supervisor.UnknownError
	if errors.As(err, &unknown) {
		return &web.NameError{What: "actor", Name: unknown.Name, Known: unknown.Names}
	}
	return err
}

// lastUsed is the generation that an actor last used, 0 for none.
func (h *Server) lastUsed(name string) messages.Generation {
	for _, u := range h.store.Holders() {
		if u.Actor == name {
			return u.Generation
		}
	}
	return 0
}

// feedView is the feed's store with the counters that the page shows.
type feedView struct{ *feed.Store }

// Stats implements web.Feed.
func (f feedView) Stats() web.FeedStats {
	s := f.Store.Stats()
	var refused []api.Refusal
	for _, r := range s.Refused {
		refused = append(refused, api.Refusal(r))
	}
	return web.FeedStats{
		TicksPerSecond: s.TicksPerSecond, LastTick: s.LastTick, LastFrame: s.LastFrame, NewestTick: f.Newest(),
		Instruments: s.Instruments, Sockets: s.Sockets, Refused: refused,
	}
}

// bars are the closed bars of a series; false: no such underlying.
func (h *Server) bars(underlying string, source messages.BarSource, interval time.Duration) ([]messages.Bar, bool) {
	resolved, _ := h.instruments.Resolved()
	known := slices.ContainsFunc(resolved.Underlyings, func(u messages.Underlying) bool { return u.Name == underlying })
	return h.series.History(underlying, source, interval), known
}

// observe puts what happens in the tree on the board's timeline.
func (h *Server) observe(e supervisor.Event) {
	switch e.Kind {
	case supervisor.Ready:
		if e.Epoch > 1 {
			h.board.Note("actor", "%s runs again (epoch %d)", e.Actor, e.Epoch)
		}
	case supervisor.Failed, supervisor.Abandoned, supervisor.Quarantine, supervisor.Reinstated, supervisor.Escalated, supervisor.LeftOver:
		text := e.Actor + " " + strings.ReplaceAll(string(e.Kind), "_", " ")
		if e.Reason != "" {
			text += ": " + e.Reason
		}
		h.board.Note("actor", "%s", text)
	}
	if h.flight != nil && (e.Kind == supervisor.Failed || e.Kind == supervisor.Abandoned || e.Kind == supervisor.Escalated) {
		h.flight.failed(e.Actor + "-" + string(e.Kind))
	}
}

// tokenUses exports the generation that each holder last used.
type tokenUses struct{ h *Server }

var descGeneration = prometheus.NewDesc("kitestring_token_generation", "Generation of the token that the actor last used.", []string{"actor"}, nil)

// Describe implements prometheus.Collector.
func (t tokenUses) Describe(out chan<- *prometheus.Desc) { out <- descGeneration }

// Collect implements prometheus.Collector.
func (t tokenUses) Collect(out chan<- prometheus.Metric) {
	for _, u := range t.h.store.Holders() {
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
