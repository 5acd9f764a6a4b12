package peers

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the numbers of two servers with one login. Made once, with the
// store.
type Metrics struct {
	reg       prometheus.Registerer
	exchanges *prometheus.CounterVec
	tokens    *prometheus.CounterVec
}

// NewMetrics makes and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		reg: reg,
		exchanges: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kitestring_peer_exchanges_total", Help: "Comparisons with the peer, by what came of them.",
		}, []string{"result"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kitestring_peer_tokens_total", Help: "Tokens that were sent to the peer or came from it, by what came of them.",
		}, []string{"direction", "result"}),
	}
	for _, result := range []string{"ok", "failed"} {
		m.exchanges.WithLabelValues(result)
	}
	for _, direction := range []string{"sent", "received"} {
		for _, result := range []string{"ok", "refused", "failed"} {
			m.tokens.WithLabelValues(direction, result)
		}
	}
	reg.MustRegister(m.exchanges, m.tokens)
	return m
}

// watch exports what a store knows.
func (m *Metrics) watch(s *Store) {
	gauge := func(name, help string, value func(Status) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(s.Status()) })
	}
	truth := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	m.reg.MustRegister(
		gauge("kitestring_peer_enrolled", "1 with a peer that shares this server's login.", func(st Status) float64 { return truth(st.Peer != nil) }),
		gauge("kitestring_peer_coherent", "1 while this server and its peer work with one token; 0 also without a peer.", func(st Status) float64 { return truth(st.Coherent) }),
		gauge("kitestring_peer_compared_timestamp_seconds", "When the tokens were last compared with the peer's; 0: never.", func(st Status) float64 {
			if st.Met.IsZero() {
				return 0
			}
			return float64(st.Met.UnixMilli()) / 1000
		}),
		gauge("kitestring_peer_clock_offset_seconds", "How far the peer's clock is ahead of this server's.", func(st Status) float64 { return st.ClockOff.Seconds() }),
	)
}

func (m *Metrics) met(o outcome) {
	m.exchanges.WithLabelValues("ok").Inc()
	direction := map[verdict]string{send: "sent", receive: "received"}[o.moved]
	result := "failed"
	switch {
	case direction == "":
		return
	case o.ok:
		result = "ok"
	case o.refused:
		result = "refused"
	}
	m.tokens.WithLabelValues(direction, result).Inc()
}

func (m *Metrics) failed() { m.exchanges.WithLabelValues("failed").Inc() }
