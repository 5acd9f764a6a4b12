package reminder

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kitestring/actors/channels"
)

// Store is what outlives an incarnation: what has been sent, and the status.
// Made once by the tree. Safe for concurrent use. It does not outlive the
// process: a new one begins with the next slot.
type Store struct {
	mu      sync.Mutex
	state   state
	status  Status
	setting []channels.Channel // that status is of
	sent    map[string]map[bool]prometheus.Counter
}

// Status is what a person may know of the reminders.
type Status struct {
	Channels []string // that are set up; empty: the reminders are idle
	Warnings []string // what is wrong with the set-up, in plain words
	Last     []Result // of the newest slot, in the order in which they ended
}

// Result is a reminder that has arrived or was given up.
type Result struct {
	Slot    time.Time // exchange time
	Channel string
	Arrived bool
	Reason  string // why not, in plain words
}

// NewStore makes an empty memory and registers its metrics.
func NewStore(reg prometheus.Registerer) *Store {
	m := &Store{sent: map[string]map[bool]prometheus.Counter{}}
	sent := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kitestring_reminders_total", Help: "Reminders of a login that is due.",
	}, []string{"channel", "result"})
	reg.MustRegister(sent, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "kitestring_reminder_channels", Help: "Channels of reminders; 0: no person is reminded.",
	}, func() float64 { return float64(len(m.Status().Channels)) }))
	for _, channel := range channels.Kinds {
		m.sent[channel] = map[bool]prometheus.Counter{
			true: sent.WithLabelValues(channel, "ok"), false: sent.WithLabelValues(channel, "failed"),
		}
	}
	return m
}

// Status is the status as it is now.
func (m *Store) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Status{slices.Clone(m.status.Channels), slices.Clone(m.status.Warnings), slices.Clone(m.status.Last)}
}

func (m *Store) load() state {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

func (m *Store) save(s state) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = s
}

// setUp notes the channels; changed: not the same as before. What other addresses
// or tokens came to is forgotten: it says nothing of these.
func (m *Store) setUp(s channels.Setting) (changed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	same := slices.EqualFunc(s.Channels, m.setting, func(a, b channels.Channel) bool {
		return a.Kind == b.Kind && a.Address.Equal(b.Address) && a.Token.Equal(b.Token) && a.Chat.Equal(b.Chat) && a.Key.Equal(b.Key)
	})
	changed = !same || !slices.Equal(s.Warnings, m.status.Warnings)
	if !same {
		m.status.Last = nil
	}
	m.setting, m.status.Channels, m.status.Warnings = s.Channels, s.Names(), s.Warnings
	return changed
}

func (m *Store) note(t Result) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.status.Last); n > 0 && !m.status.Last[n-1].Slot.Equal(t.Slot) {
		m.status.Last = nil
	}
	m.status.Last = append(m.status.Last, t)
	m.sent[t.Channel][t.Arrived].Inc()
}
