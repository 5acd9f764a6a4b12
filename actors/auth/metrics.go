package auth

import (
	"github.com/prometheus/client_golang/prometheus"

	"kitestring/messages"
)

// Metrics are auth's, made once by the tree so that counters survive restarts.
type Metrics struct {
	valid, rejected, coherent, expiry, due prometheus.Gauge
	logins                                 map[messages.LoginResult]prometheus.Counter
}

// NewMetrics registers auth's metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		reg.MustRegister(g)
		return g
	}
	m := &Metrics{
		valid:    gauge("kitestring_token_valid", "1 while the adopted token is good as far as Kite has said."),
		rejected: gauge("kitestring_token_rejected", "1 while Kite refuses the newest token in the file."),
		coherent: gauge("kitestring_token_coherent", "0 while, for more than a second, an actor works with another generation than the adopted one."),
		expiry:   gauge("kitestring_token_expiry_hint_timestamp_seconds", "When the adopted token is expected to end; 0 without one."),
		due:      gauge("kitestring_login_due", "1 while a trading day waits for its login."),
		logins:   map[messages.LoginResult]prometheus.Counter{},
	}
	m.coherent.Set(1)
	logins := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kitestring_logins_total", Help: "Logins that came to an end."}, []string{"result"})
	reg.MustRegister(logins)
	for _, r := range []messages.LoginResult{
		messages.LoginOK, messages.LoginCancelled, messages.LoginBadState, messages.LoginExchangeFailed, messages.LoginTimeout,
	} {
		m.logins[r] = logins.WithLabelValues(string(r))
	}
	return m
}

func (m *Metrics) show(r messages.AuthChanged) {
	m.valid.Set(bit(r.Adopted.State == messages.Valid || r.Adopted.State == messages.Suspect))
	newest := r.Adopted
	if r.Candidate != nil {
		newest = *r.Candidate
	}
	m.rejected.Set(bit(newest.State == messages.Rejected))
	m.due.Set(bit(r.LoginDue))
	m.expiry.Set(0)
	if !r.ExpiryHint.IsZero() {
		m.expiry.Set(float64(r.ExpiryHint.Unix()))
	}
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
