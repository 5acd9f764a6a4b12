package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the server's own metrics; made once, they outlive incarnations.
type Metrics struct {
	seconds  *prometheus.HistogramVec
	requests map[int]prometheus.Counter // by the first digit of the status code
	streams  prometheus.Gauge
	dropped  prometheus.Counter

	conflated prometheus.Counter
}

// NewMetrics registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		// Few buckets and no code: a series for each of both would be most of
		// what a scrape may hold.
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "kitestring_http_request_seconds",
			Help:    "Time to answer an HTTP request, by what the route is about; streams are left out.",
			Buckets: []float64{0.01, 0.1, 1},

			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
		}, []string{"route"}),
		requests: map[int]prometheus.Counter{},
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "kitestring_sse_clients", Help: "Open event streams.",
		}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "kitestring_sse_dropped_total", Help: "Event streams given up because the client did not read.",
		}),
		conflated: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "kitestring_sse_ticks_conflated_total", Help: "Packets that a stream of ticks left out because a newer one of the instrument came before it could send.",
		}),
	}
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kitestring_http_requests_total", Help: "HTTP requests answered; streams are left out.",
	}, []string{"code"})
	for class := 1; class <= 5; class++ {
		m.requests[class] = requests.WithLabelValues(strconv.Itoa(class) + "xx")
	}
	r.MustRegister(m.seconds, requests, m.streams, m.dropped, m.conflated)
	return m
}

// timed observes a route's answers. The label is what the pattern is about,
// /api/v1/actors for all of its actors' routes, and never the path: labels come
// from a closed set, and each has a histogram.
func (m *Metrics) timed(route string, next http.HandlerFunc) http.HandlerFunc {
	parts := strings.SplitN(route, "/", 5)
	seconds := m.seconds.WithLabelValues(strings.Join(parts[:min(len(parts), 4)], "/"))
	return func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rec := &recorder{ResponseWriter: w, code: http.StatusOK}
		next(rec, r)
		seconds.Observe(time.Since(start).Seconds())
		if c := m.requests[rec.code/100]; c != nil {
			c.Inc()
		}
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
