package kite

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// Class is a class of REST requests with a rate limit of its own.
type Class string

// The classes: the label values of kitestring_rest_requests_total.
const (
	ClassQuote       Class = "quote"
	ClassHistorical  Class = "historical"
	ClassInstruments Class = "instruments"
	ClassSession     Class = "session"
	ClassProfile     Class = "profile"
	ClassOrder       Class = "order" // what the gateway's programs write
	ClassOther       Class = "other"
)

// Classes are all of them.
var Classes = []Class{ClassQuote, ClassHistorical, ClassInstruments, ClassSession, ClassProfile, ClassOrder, ClassOther}

// Budget holds every REST user of the process to Kite's limits for one API
// key: quote 1 request/s, historical 3/s, everything else together 10/s, orders 10/s and 400 a minute. One
// Budget is shared by all.
//
// Kite counts what arrives within a second, and a network delays one request
// more than the next: the spacing is a little wider than the limit, and a
// burst has a lower rate after it, so that no second holds more than is allowed.
type Budget struct {
	quote, historical, order, other queue
}

// queue lets one request at a time wait for the limiter. A limiter gives back
// the slot of a request that stops waiting only if none came after it: with a
// queue inside the limiter, requests would wait for those that were given up.
type queue struct {
	turn    chan struct{}
	limiter *rate.Limiter
	used    *usage
}

func newQueue(every time.Duration, burst int) queue {
	return queue{make(chan struct{}, 1), rate.NewLimiter(rate.Every(every), burst), &usage{limit: int(time.Minute / every), began: time.Now()}}
}

// usage counts the requests of the last minute, by second.
type usage struct {
	limit int // a minute
	began time.Time

	mu      sync.Mutex
	seconds [60]int
	newest  int64 // second since it began
}

// count adds n requests, and answers how many there were within a minute.
func (u *usage) count(n int, now time.Duration) (sum int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	second := max(0, int64(now/time.Second)) // a bubble of testing/synctest begins before the process
	for s := max(u.newest+1, second-59); s <= second; s++ {
		u.seconds[s%60] = 0
	}
	u.newest = max(u.newest, second)
	u.seconds[second%60] += n
	for _, of := range u.seconds {
		sum += of
	}
	return sum
}

// Use is how much of one of Kite's limits was used.
type Use struct {
	Kind  string // quotes, history, orders, other
	Used  int    // requests of the last minute
	Limit int    // a minute
}

// Used answers what was used of each limit.
func (b *Budget) Used() []Use {
	var all []Use
	for _, q := range []struct {
		kind string
		queue
	}{{"quotes", b.quote}, {"history", b.historical}, {"orders", b.order}, {"other", b.other}} {
		all = append(all, Use{q.kind, q.used.count(0, time.Since(q.used.began)), q.used.limit})
	}
	return all
}

func (q queue) wait(ctx context.Context) error {
	select {
	case q.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-q.turn }()
	if err := q.limiter.Wait(ctx); err != nil {
		return err
	}
	q.used.count(1, time.Since(q.used.began))
	return nil
}

// NewBudget makes a full budget.
func NewBudget() *Budget {
	return &Budget{
		quote:      newQueue(1050*time.Millisecond, 1),
		historical: newQueue(350*time.Millisecond, 1),
		order:      newQueue(150*time.Millisecond, 1), // 400 a minute, which is less than 10 a second
		other:      newQueue(150*time.Millisecond, 3),
	}
}

// Wait blocks until a request of the class may be sent, or ctx ends; a request
// that is given up costs the others nothing. First come, first served.
func (b *Budget) Wait(ctx context.Context, class Class) error {
	switch class {
	case ClassQuote:
		return b.quote.wait(ctx)
	case ClassHistorical:
		return b.historical.wait(ctx)
	case ClassOrder:
		return b.order.wait(ctx)
	default:
		return b.other.wait(ctx)
	}
}

// Metrics counts the requests of every REST user of the process. Observe and
// Skip are for [Exchange].
type Metrics struct {
	requests  *prometheus.CounterVec
	seconds   map[Class]prometheus.Observer
	throttled map[Class]prometheus.Counter
	skipped   map[Class]prometheus.Counter
}

// NewMetrics registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kitestring_rest_requests_total", Help: "Requests to Kite; code 0: no answer.",
		}, []string{"class", "code"}),
		seconds:   map[Class]prometheus.Observer{},
		throttled: map[Class]prometheus.Counter{},
		skipped:   map[Class]prometheus.Counter{},
	}
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "kitestring_rest_request_seconds", Help: "From a request to the head of its answer.",
		Buckets:                     []float64{0.01, 0.03, 0.1, 0.3, 1, 3, 7},
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
	}, []string{"class"})
	throttled := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kitestring_rest_throttled_total", Help: "Requests that Kite answered with 429.",
	}, []string{"class"})
	skipped := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kitestring_rest_skipped_items_total", Help: "Items of Kite's answers that could not be read and were left out.",
	}, []string{"class"})
	reg.MustRegister(m.requests, seconds, throttled, skipped)
	for _, c := range Classes {
		m.seconds[c], m.throttled[c] = seconds.WithLabelValues(string(c)), throttled.WithLabelValues(string(c))
		m.skipped[c] = skipped.WithLabelValues(string(c))
	}
	return m
}

// Observe counts a request. Requests of a class that is not the
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

// Skip counts items of an answer that could not be read.
func (m *Metrics) Skip(class Class, items int) { m.skipped[class].Add(float64(items)) }
