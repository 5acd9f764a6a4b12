package token

import (
	"github.com/prometheus/client_golang/prometheus"

	"kitestring/messages"
)

// Metrics are the numbers of the store and the watcher. They outlive the
// actor: made once, with the store. A nil *Metrics counts nothing.
type Metrics struct {
	changes  *prometheus.CounterVec
	detect   prometheus.Histogram
	changed  prometheus.Gauge
	degraded prometheus.Gauge
}

// The results of a change: the label values of kitestring_token_changes_total.
const (
	resultApplied   = "applied"   // a new generation was announced
	resultUnchanged = "unchanged" // the file was touched, the value is the same
	resultRejected  = "rejected"  // Kite refused a generation that had been announced
	resultMalformed = "malformed" // the file could not be used
)

// NewMetrics makes and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kitestring_token_changes_total",
			Help: "Changes of the .env file by how they were noticed and what came of them; the reading at the start is not counted.",
		}, []string{"source", "result"}),
		detect: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "kitestring_token_detect_seconds",
			Help:    "From the change of the .env file (its ctime) until the new token was announced.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .1, .3, 1.3},

			NativeHistogramBucketFactor:    1.1,
			NativeHistogramMaxBucketNumber: 100,
		}),
		changed: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "kitestring_token_changed_timestamp_seconds",
			Help: "When the .env file last brought a new token (its ctime).",
		}),
		degraded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "kitestring_token_watch_degraded",
			Help: "1 while the file is only polled because the system reports no changes of it.",
		}),
	}
	for _, source := range []messages.ChangeSource{messages.ChangeByEvent, messages.ChangeByPoll, messages.ChangeByLogin} {
		for _, result := range []string{resultApplied, resultUnchanged, resultRejected, resultMalformed} {
			m.changes.WithLabelValues(string(source), result)
		}
	}
	reg.MustRegister(m.changes, m.detect, m.changed, m.degraded)
	return m
}

func (m *Metrics) change(source messages.ChangeSource, result string) {
	if m != nil && source != messages.ChangeAtStart {
		m.changes.WithLabelValues(string(source), result).Inc()
	}
}

func (m *Metrics) announced(c messages.TokenChanged) {
	if m == nil {
		return
	}
	m.change(c.Source, resultApplied)
	m.changed.Set(float64(c.ChangedAt.UnixMilli()) / 1e3)
	if c.Source != messages.ChangeAtStart {
		m.detect.Observe(max(0, c.DetectedAt.Sub(c.ChangedAt)).Seconds())
	}
}

func (m *Metrics) watching(degraded bool) {
	switch {
	case m == nil:
	case degraded:
		m.degraded.Set(1)
	default:
		m.degraded.Set(0)
	}
}
