package auth

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kitestring/actors"
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
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "kitestring_" + name, Help: help})
		reg.MustRegister(g)
		return g
	}
	m := &Metrics{
		valid:    gauge("token_valid", "1 while the adopted token is good as far as Kite has said."),
		rejected: gauge("token_rejected", "1 while Kite refuses the newest token in the file."),
		coherent: gauge("token_coherent", "0 while, for more than a second, somebody works with another generation than the adopted one."),
		expiry:   gauge("token_expiry_hint_timestamp_seconds", "When the adopted token is expected to end; 0 without one."),
		due:      gauge("login_due", "1 while a trading day waits for its login."),
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

// RESTMetrics counts the requests of every REST user of the process. Its
// Observe is for actors.Exchange.
type RESTMetrics struct {
	requests  *prometheus.CounterVec
	seconds   map[actors.Class]prometheus.Observer
	throttled map[actors.Class]prometheus.Counter
}

// NewRESTMetrics registers the REST metrics.
func NewRESTMetrics(reg prometheus.Registerer) *RESTMetrics {
	m := &RESTMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kitestring_rest_requests_total", Help: "Requests to Kite; code 0: no answer.",
		}, []string{"class", "code"}),
		seconds:   map[actors.Class]prometheus.Observer{},
		throttled: map[actors.Class]prometheus.Counter{},
	}
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "kitestring_rest_request_seconds", Help: "From a request to the head of its answer.",
		Buckets:                     []float64{0.01, 0.03, 0.1, 0.3, 1, 3, 7},
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
	}, []string{"class"})
	throttled := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kitestring_rest_throttled_total", Help: "Requests that Kite answered with 429.",
	}, []string{"class"})
	reg.MustRegister(m.requests, seconds, throttled)
	for _, c := range []actors.Class{
		actors.ClassQuote, actors.ClassHistorical, actors.ClassInstruments, actors.ClassSession, actors.ClassProfile, actors.ClassOther,
	} {
		m.seconds[c], m.throttled[c] = seconds.WithLabelValues(string(c)), throttled.WithLabelValues(string(c))
	}
	return m
}

// Observe is told of every request. Requests of a class that is not the
// budget's are not counted: labels come from a closed set.
func (m *RESTMetrics) Observe(class actors.Class, code int, took time.Duration) {
	seconds, known := m.seconds[class]
	if !known {
		return
	}
	seconds.Observe(took.Seconds())
	if code == http.StatusTooManyRequests {
		m.throttled[class].Inc()
	}
	label := "other" // a proxy may say anything
	if code == 0 || http.StatusText(code) != "" {
		label = strconv.Itoa(code)
	}
	m.requests.WithLabelValues(string(class), label).Inc()
}
