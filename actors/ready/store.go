package ready

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kitestring/messages"
)

// Store remembers since when each check is as it is. Made once by the tree; it
// outlives the actor. Safe for concurrent use.
type Store struct {
	mu      sync.Mutex
	now     messages.Readiness
	live    time.Time // exchange time since when data has been live in the session that runs; zero: it has not
	ready   prometheus.Gauge
	missing map[string]prometheus.Gauge
}

// NewStore makes an empty store and registers its metrics.
func NewStore(reg prometheus.Registerer) *Store {
	s := &Store{
		now:     messages.Readiness{Checks: []messages.ReadyCheck{}},
		ready:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "kitestring_ready", Help: "1 while nothing is missing for the trading day."}),
		missing: map[string]prometheus.Gauge{},
	}
	missing := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "kitestring_ready_missing", Help: "1 while a person has to do something about this check.",
	}, []string{"check"})
	reg.MustRegister(s.ready, missing)
	for _, name := range Names {
		s.missing[name] = missing.WithLabelValues(name)
	}
	return s
}

// Readiness is what was found last; no checks: nobody has looked yet.
func (s *Store) Readiness() messages.Readiness {
	s.mu.Lock()
	defer s.mu.Unlock()
	return messages.Readiness{Ready: s.now.Ready, Shown: s.now.Shown, Checks: slices.Clone(s.now.Checks)}
}

// shows reports whether a person is to see the morning now.
func (s *Store) shows(snap Snapshot) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case snap.Phase != messages.Open:
		s.live = time.Time{}
	case s.live.IsZero() && snap.Live:
		s.live = snap.Now
	}
	return shown(snap, s.live)
}

// take dates what was found; changed: something is another than before.
func (s *Store) take(found []messages.ReadyCheck, shown bool, at time.Time) (r messages.Readiness, changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Ready, r.Shown = true, shown
	for i := range found {
		c := &found[i]
		c.Since = at.UTC()
		if before := slices.IndexFunc(s.now.Checks, func(b messages.ReadyCheck) bool { return b.Name == c.Name }); before >= 0 && s.now.Checks[before].State == c.State {
			if since := s.now.Checks[before].Since; since.Before(c.Since) { // a clock may be moved back
				c.Since = since
			}
		}
		r.Ready = r.Ready && c.State != messages.ReadyMissing && c.State != messages.ReadyWaiting
		s.missing[c.Name].Set(one(c.State == messages.ReadyMissing))
	}
	s.ready.Set(one(r.Ready))
	r.Checks = found
	changed = r.Ready != s.now.Ready || r.Shown != s.now.Shown || !slices.Equal(r.Checks, s.now.Checks)
	s.now = r
	return messages.Readiness{Ready: r.Ready, Shown: r.Shown, Checks: slices.Clone(found)}, changed
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
