package web

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the window's own figures; made once, they outlive incarnations.
type Metrics struct {
	requests *prometheus.HistogramVec
	streams  prometheus.Gauge
	dropped  prometheus.Counter
}

// NewMetrics registers the figures.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "kitestring_http_request_seconds",
			Help:    "Time to answer an HTTP request, by route and status code; streams are left out.",
			Buckets: []float64{0.001, 0.005, 0.025, 0.1, 0.5, 2.5},
		}, []string{"route", "code"}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "kitestring_sse_clients", Help: "Open event streams.",
		}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "kitestring_sse_dropped_total", Help: "Event streams given up because the client did not read.",
		}),
	}
	r.MustRegister(m.requests, m.streams, m.dropped)
	return m
}

// timed observes a route's answers. The route is the pattern, never the path:
// labels come from a closed set.
func (m *Metrics) timed(route string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rec := &recorder{ResponseWriter: w, code: http.StatusOK}
		next(rec, r)
		m.requests.WithLabelValues(route, strconv.Itoa(rec.code/100)+"xx").Observe(time.Since(start).Seconds())
	}
}

type recorder struct {
	http.ResponseWriter
	code int
}

func (r *recorder) WriteHeader(code int) {
	r.code = code
	r.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
