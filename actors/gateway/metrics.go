package gateway

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kitestring/actors/kite"
)

// Metrics count what the gateway does, by client: a closed set of at most 64
// names. They outlive the actor.
type Metrics struct {
	sockets     *prometheus.GaugeVec
	instruments *prometheus.GaugeVec
	lag         *prometheus.GaugeVec
	capacity    *prometheus.GaugeVec
	packets     *prometheus.CounterVec
	conflated   *prometheus.CounterVec
	disconnects *prometheus.CounterVec
	upgrades    *prometheus.CounterVec
	requests    *prometheus.CounterVec
	wait        *prometheus.HistogramVec
	over        *prometheus.CounterVec
	cached      *prometheus.CounterVec

	mu    sync.Mutex
	kept  map[string]*totals    // of sockets that have gone, and of REST
	shown map[*client][2]uint64 // packets and conflated of an open socket that the counters hold already
}

type totals struct{ sent, conflated, requests, refusals uint64 }

// NewMetrics registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	count := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		sockets:     gauge("kitestring_gateway_sockets", "Open WebSockets of a client.", "client"),
		instruments: gauge("kitestring_gateway_instruments", "Instruments that a client is subscribed to, over all its sockets.", "client"),
		lag:         gauge("kitestring_gateway_lag_seconds", "How long the last write to a client took, of its slowest socket.", "client"),
		capacity:    gauge("kitestring_gateway_capacity", "Instruments of all clients together, and how many there may be.", "kind"),
		packets:     count("kitestring_gateway_packets_total", "Packets put into a client's frames.", "client"),
		conflated:   count("kitestring_gateway_conflated_total", "Packets that a client was too slow for.", "client"),
		disconnects: count("kitestring_gateway_disconnects_total", "Sockets that ended, by who ended them.", "client", "reason"),
		upgrades:    count("kitestring_gateway_upgrades_total", "WebSocket upgrades by result.", "client", "result"),
		requests:    count("kitestring_gateway_rest_requests_total", "REST requests of a client by class and status.", "client", "class", "code"),
		wait: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kitestring_gateway_rest_wait_seconds", Help: "From a request to its turn in Kite's budget.",
			Buckets:                     []float64{0.001, 0.01, 0.1, 0.5, 1, 3, 5},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
		}, []string{"class"}),
		over:   count("kitestring_gateway_budget_exhausted_total", "REST requests that were answered 429 because Kite's limit is shared.", "class"),
		cached: count("kitestring_gateway_cache_total", "REST answers by where they came from.", "source"),
		kept:   map[string]*totals{}, shown: map[*client][2]uint64{},
	}
	// From zero, so that an alert sees the first one.
	for _, class := range kite.Classes {
		m.over.WithLabelValues(string(class))
	}
	reg.MustRegister(m.sockets, m.instruments, m.lag, m.capacity, m.packets, m.conflated, m.disconnects, m.upgrades, m.requests, m.wait, m.over, m.cached)
	return m
}

func (m *Metrics) of(name string) *totals {
	t := m.kept[name]
	if t == nil {
		t = &totals{}
		m.kept[name] = t
	}
	return t
}

func (m *Metrics) request(name string, class kite.Class, code int, _ time.Duration) {
	label := "other"
	if http.StatusText(code) != "" {
		label = strconv.Itoa(code)
	}
	if name == "" {
		name = "none" // a session route, which needs no key
	}
	m.requests.WithLabelValues(name, string(class), label).Inc()
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.of(name)
	t.requests++
	if code >= 400 {
		t.refusals++
	}
}

func (m *Metrics) source(from string)         { m.cached.WithLabelValues(from).Inc() }
func (m *Metrics) exhausted(class kite.Class) { m.over.WithLabelValues(string(class)).Inc() }
func (m *Metrics) waited(class kite.Class, d time.Duration) {
	m.wait.WithLabelValues(string(class)).Observe(d.Seconds())
}
func (m *Metrics) upgrade(name, result string) { m.upgrades.WithLabelValues(name, result).Inc() }
func (m *Metrics) dropped(name, reason string) { m.disconnects.WithLabelValues(name, reason).Inc() }

// totals are a client's counts without its open sockets.
func (m *Metrics) totals(name string) totals {
	m.mu.Lock()
	defer m.mu.Unlock()
	return *m.of(name)
}

// show brings the counters up to what a socket has counted.
func (m *Metrics) show(c *client) {
	sent, conflated, _ := c.out.counts()
	was := m.shown[c]
	m.packets.WithLabelValues(c.name).Add(float64(sent - was[0]))
	m.conflated.WithLabelValues(c.name).Add(float64(conflated - was[1]))
	m.shown[c] = [2]uint64{sent, conflated}
}

// gone takes a socket that has ended into the totals.
func (m *Metrics) gone(c *client) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.show(c)
	t, was := m.of(c.name), m.shown[c]
	t.sent += was[0]
	t.conflated += was[1]
	delete(m.shown, c)
}

// showAll shows every open socket, and answers them: none that has gone, whose
// counts would be added again.
func (m *Metrics) showAll(g *Gateway) []*client {
	g.mu.Lock()
	defer g.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range g.clients {
		m.show(c)
	}
	return slices.Collect(maps.Keys(g.clients))
}

// observe brings every series up to date, once a second.
func (m *Metrics) observe(g *Gateway) {
	type sum struct {
		sockets, instruments int
		lag                  time.Duration
	}
	sums := map[string]*sum{}
	for _, r := range g.cfg.Clients.List() {
		sums[r.Name] = &sum{}
	}
	for _, c := range m.showAll(g) {
		s := sums[c.name]
		if s == nil {
			continue // revoked this moment
		}
		s.sockets++
		for _, n := range g.relay.byMode(c) {
			s.instruments += n
		}
		s.lag = max(s.lag, time.Duration(c.lag.Load()))
	}
	for name, s := range sums {
		m.sockets.WithLabelValues(name).Set(float64(s.sockets))
		m.instruments.WithLabelValues(name).Set(float64(s.instruments))
		m.lag.WithLabelValues(name).Set(s.lag.Seconds())
	}
	m.capacity.WithLabelValues("used").Set(float64(g.relay.capacity()))
	m.capacity.WithLabelValues("limit").Set(float64(g.cfg.Capacity))
}

// forget takes a revoked client's series away: its name may never come again.
func (m *Metrics) forget(name string) {
	for _, v := range []interface{ DeletePartialMatch(prometheus.Labels) int }{
		m.sockets, m.instruments, m.lag, m.packets, m.conflated, m.disconnects, m.upgrades, m.requests,
	} {
		v.DeletePartialMatch(prometheus.Labels{"client": name})
	}
}
