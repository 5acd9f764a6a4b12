package kite

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts the requests of every REST user of the process. Its
// Observe is for [Exchange].
type Metrics struct {
	requests  *prometheus.CounterVec
	seconds   map[Class]prometheus.Observer
	throttled map[Class]prometheus.Counter
}

// NewMetrics registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kitestring_rest_requests_total", Help: "Requests to Kite; code 0: no answer.",
		}, []string{"class", "code"}),
		seconds:   map[Class]prometheus.Observer{},
		throttled: map[Class]prometheus.Counter{},
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
	for _, c := range []Class{
		ClassQuote, ClassHistorical, ClassInstruments, ClassSession, ClassProfile, ClassOrder, ClassOther,
	} {
		m.seconds[c], m.throttled[c] = seconds.WithLabelValues(string(c)), throttled.WithLabelValues(string(c))
	}
	return m
}

// Observe is told of every request. Requests of a class that is not the
// budget's are not counted: labels come from a closed set.
func (m *Metrics) Observe(class Class, code int, took time.Duration) {
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
