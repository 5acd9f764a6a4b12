package alerts

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kitestring/actors/channels"
	"kitestring/messages"
)

// Store is what outlives an incarnation: which conditions hold, what waits to
// be sent, and what came of what was. Made once by the tree. Safe for
// concurrent use.
type Store struct {
	mu      sync.Mutex
	state   state
	last    []Delivery
	tests   uint64
	changes map[messages.AlertState]prometheus.Counter
	sent    map[string]map[bool]prometheus.Counter
	held    prometheus.Counter
}

// keptDeliveries is how many ends of messages are kept.
const keptDeliveries = 50

// firstTest is above every number that alerts give their messages.
const firstTest = 1 << 32

// Delivery is a message that has arrived, or was given up.
type Delivery struct {
	ID      uint64
	Alert   string
	Channel string
	Arrived bool
	Reason  string    // why not, in plain words
	At      time.Time // the machine's
}

// Watch is what is known of an alert at one underlying.
type Watch struct {
	Underlying string
	Holds      bool
	Fired      time.Time // exchange time; zero: not since the start
	Reason     string    // nothing can be said now; "": something can
}

// NewStore makes an empty one and registers its metrics.
func NewStore(reg prometheus.Registerer) *Store {
	s := &Store{changes: map[messages.AlertState]prometheus.Counter{}, sent: map[string]map[bool]prometheus.Counter{}}
	changes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kitestring_signal_alerts_total", Help: "Configured alerts whose condition began, was over, or that were tested.",
	}, []string{"state"})
	sent := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kitestring_signal_alert_messages_total", Help: "Messages of alerts to a person.",
	}, []string{"channel", "result"})
	s.held = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "kitestring_signal_alerts_withheld_total", Help: "Alerts that were not sent to the channels because too many came within an hour.",
	})
	reg.MustRegister(changes, sent, s.held, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "kitestring_signal_alerts_configured", Help: "Alerts of the configuration file.",
	}, func() float64 { return float64(len(s.Rules())) }))
	for _, state := range []messages.AlertState{messages.AlertFired, messages.AlertHealed, messages.AlertTested} {
		s.changes[state] = changes.WithLabelValues(string(state))
	}
	for _, kind := range channels.Kinds {
		s.sent[kind] = map[bool]prometheus.Counter{true: sent.WithLabelValues(kind, "ok"), false: sent.WithLabelValues(kind, "failed")}
	}
	return s
}

// Rules are those that are looked at.
func (s *Store) Rules() []Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.rules
}

// Watches are what is known of an alert, by underlying.
func (s *Store) Watches(name string) (list []Watch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for of, w := range s.state.watches {
		if of[0] == name {
			list = append(list, Watch{of[1], w.holds, w.fired, w.why})
		}
	}
	slices.SortFunc(list, func(a, b Watch) int { return strings.Compare(a.Underlying, b.Underlying) })
	return list
}

// Waiting is how many messages have not arrived yet.
func (s *Store) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.state.open)
}

// Deliveries are the last messages, newest first.
func (s *Store) Deliveries() []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Clone(s.last)
	slices.Reverse(list)
	return list
}

// NextTest is the number of a test's message.
func (s *Store) NextTest() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tests++
	return firstTest + s.tests
}

func (s *Store) load() state {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func (s *Store) save(to state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = to
}

func (s *Store) count(c messages.AlertChanged) { s.changes[c.State].Inc() }

func (s *Store) withhold() { s.held.Inc() }

func (s *Store) note(e ended) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = append(s.last, Delivery{e.id, e.alert, e.channel, e.arrived, e.reason, time.Now()})
	s.last = s.last[max(0, len(s.last)-keptDeliveries):]
	s.sent[e.channel][e.arrived].Inc()
}
