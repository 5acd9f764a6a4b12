package web

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"kitestring/actors"
	"kitestring/actors/web/api"
	"kitestring/actors/web/guard"
	"kitestring/actors/web/history"
	"kitestring/actors/web/hub"
	"kitestring/actors/web/live"
	"kitestring/actors/web/ticks"
	"kitestring/messages"
	"kitestring/messages/scrub"
)

// keptEvents is how many events the timeline holds.
const keptEvents = 500

// Store is what the API shows: the last message of each kind, and the newest
// events. It outlives the web actor. Safe for concurrent use.
type Store struct {
	mu          sync.RWMutex
	auth        messages.AuthChanged
	env         messages.EnvAccepted
	watch       messages.WatchChanged
	feed        messages.FeedChanged
	phase       messages.PhaseChanged
	ready       messages.Readiness
	login       *messages.LoginEnded // nil: none since the start
	gap         *api.StatusGap       // nil: none since the start
	notices     []string             // what is wrong with the instruments
	underlyings []messages.Underlying
	names       ticks.Names
	readings    map[[2]string]messages.Reading // underlying, kind
	history     history.Store
	chains      map[chainKey]messages.Chain
	nearest     map[string]string // expiry of the chain shown first, by underlying
	running     map[series]messages.Bar
	missing     map[string]api.StatusMissing // data asked for over REST, by what it is
	rotated     rotated                      // the last one on the timeline
	events      []api.Event                  // oldest first
	lastEvent   uint64
	budgets     map[string]*guard.Events // by kind of event
	clock       actors.Clock             // nil until a web actor ran
	sessions    guard.Sessions
	guesses     guard.Guesses
	connections guard.Connections
	hub         hub.Hub
}

// series names one line of bars.
type series struct {
	underlying string
	source     messages.BarSource
	interval   time.Duration
}

// rotated is how a rotation ended.
type rotated struct {
	generation messages.Generation
	result     string
}

// NewStore makes an empty store.
func NewStore() *Store {
	return &Store{
		chains: map[chainKey]messages.Chain{}, nearest: map[string]string{}, readings: map[[2]string]messages.Reading{}, running: map[series]messages.Bar{}, missing: map[string]api.StatusMissing{}, ready: messages.Readiness{Checks: []messages.ReadyCheck{}}, budgets: map[string]*guard.Events{},
	}
}

// Apply takes a message of an actor. One that it does not know changes nothing.
func (s *Store) Apply(msg any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch m := msg.(type) {
	case messages.AuthChanged:
		s.applyAuth(m)
	case messages.TokenAdopted:
		s.event("token", m.Session.Generation, "token %s adopted as generation %d, proven by the %s", m.Session.Token.Fingerprint(), m.Session.Generation, m.Proof)
	case messages.EnvRejected:
		s.event("file", 0, "the token file cannot be used: %s", m.Reason)
	case messages.EnvAccepted:
		if !slices.Equal(m.Warnings, s.env.Warnings) {
			for _, w := range m.Warnings {
				s.event("file", 0, "the token file works, with a warning: %s", w)
			}
		}
		s.env = m
	case messages.WatchChanged:
		if m.Degraded != s.watch.Degraded {
			if m.Degraded {
				s.event("file", 0, "the file watcher is degraded: %s", m.Reason)
			} else {
				s.event("file", 0, "the file watcher sees events again")
			}
		}
		s.watch = m
	case messages.LoginEnded:
		s.login = &m
		s.event("login", 0, "login: %s", m.Reason)
		s.hub.Send("login", "", s.login)
	case messages.FeedChanged:
		if m.State != s.feed.State || m.Stale != s.feed.Stale || m.Reason != s.feed.Reason {
			s.event("feed", 0, "feed %s%s", m.State, live.Because(m.Reason))
		}
		s.feed = m
	case messages.RotationRecorded:
		if end := (rotated{m.Rotation.Generation, m.Rotation.Result}); end != s.rotated && (m.Rotation.TotalMS != nil || end.result == "rejected" || end.result == "superseded") {
			s.rotated = end // a stage may follow: the first tick, in a quiet market
			s.event("rotation", m.Rotation.Generation, "rotation to generation %d: %s%s", m.Rotation.Generation, m.Rotation.Result, live.Because(m.Rotation.Reason))
		}
		s.hub.Send("rotation", rotationKey(m.Rotation), m.Rotation)
	case messages.OrderUpdated:
		s.event("order", 0, "order %s: %s", foreign(m.OrderID), foreign(m.Status))
	case messages.GapDetected:
		s.gap = &api.StatusGap{Reason: m.Reason, Instruments: len(m.Gaps), At: m.At}
		were := "were"
		if len(m.Gaps) == 1 {
			were = "was"
		}
		s.event("gap", m.Generation, "%s %s blind at a %s", live.Count(len(m.Gaps), "instrument"), were, m.Reason)
	case messages.PhaseChanged:
		if m.Phase != s.phase.Phase {
			s.event("market", 0, "market %s", m.Phase)
		}
		if m.Warning != "" && m.Warning != s.phase.Warning {
			s.event("market", 0, "%s", m.Warning)
		}
		s.phase = m
	case messages.Readiness:
		s.ready = m
		s.hub.Send("ready", m.Key(), m)
	case messages.InstrumentsResolved:
		s.underlyings, s.names = m.Underlyings, ticks.NamesOf(m)
		s.noteInstruments(m)
		// Readings and bars of others are no longer updated.
		maps.DeleteFunc(s.readings, func(of [2]string, _ messages.Reading) bool { return !s.shows(of[0]) })
		maps.DeleteFunc(s.chains, func(of chainKey, _ messages.Chain) bool { return !s.shows(of.underlying) })
		maps.DeleteFunc(s.running, func(of series, _ messages.Bar) bool { return !s.shows(of.underlying) })
	case messages.AlertChanged:
		s.event("alert", 0, "alert %s %s: %s", cmp.Or(m.Alert, "of no name"), m.State, m.Text)
		s.hub.Send("alert", "", m)
	case messages.FuturesRolled:
		s.event("instruments", 0, "%s future rolled from %s to %s", m.Underlying, m.From.Tradingsymbol, m.To.Tradingsymbol)
	case messages.DataState:
		s.noteData(m)
	case messages.BarUpdated:
		s.running[series{m.Bar.Underlying, m.Bar.Source, m.Bar.Interval}] = m.Bar
		s.hub.Send("bar", m.Key(), streamedBar(m.Bar, false))
	case messages.BarClosed:
		s.hub.Send("bar", "", streamedBar(m.Bar, true))
	case messages.ChainUpdated:
		s.applyChain(m)
	case messages.Reading:
		if !s.shows(m.Underlying) {
			return // an analysis does not know yet that it is no longer worked on
		}
		s.readings[[2]string{m.Underlying, m.Kind}] = m
		if s.clock != nil && s.phase.Phase == messages.Open {
			s.history.Note(m, s.clock.Now())
		}
		s.hub.Send("reading", m.Key(), m)
	}
}

// shows reports whether an underlying is worked on; before it is known which
// are, each may be. Called with mu held.
func (s *Store) shows(underlying string) bool {
	return s.underlyings == nil || slices.ContainsFunc(s.underlyings, func(u messages.Underlying) bool { return u.Name == underlying })
}

func (s *Store) applyAuth(m messages.AuthChanged) {
	old := s.auth
	s.auth = m
	if m.Adopted.State != old.Adopted.State || m.Adopted.Reason != old.Adopted.Reason {
		s.event("token", m.Adopted.Generation, "token %s%s", m.Adopted.State, live.Because(m.Adopted.Reason))
	}
	if c := m.Candidate; c != nil && (old.Candidate == nil || *c != *old.Candidate) && c.State == messages.Rejected {
		s.event("token", c.Generation, "the new token in the file was refused%s", live.Because(c.Reason))
	}
}

// follow dates events by the exchange's clock, too.
func (s *Store) follow(c actors.Clock) {
	s.mu.Lock()
	s.clock = c
	s.mu.Unlock()
}

// WatchFault is why file events do not arrive, "" while they do.
func (s *Store) WatchFault() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.watch.Degraded {
		return s.watch.Reason
	}
	return ""
}

// Live reports whether data is live at an exchange time, as the status says.
func (s *Store) Live(stats live.Stats, exchange time.Time) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	on, _ := live.Judge(live.View{Auth: s.auth, Warnings: s.env.Warnings, Feed: s.feed, Phase: s.phase, Stats: stats, Exchange: exchange, Now: time.Now()})
	return on
}

// readiness is what is known of the morning.
func (s *Store) readiness() messages.Readiness {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.ready
}

// Note adds an event that no message carries: the supervisor's.
func (s *Store) Note(kind, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.event(kind, 0, format, args...)
}

// scrubber hides what looks like a secret in texts from outside; the values
// that are known are hidden where the API sends them.
var scrubber = scrub.New()

// foreign is a word from outside, scrubbed and short where it is printed: an
// event that is left out costs nothing.
type foreign string

// String implements fmt.Stringer.
func (f foreign) String() string { return scrubber.Line(string(f[:min(len(f), 200)]), 60) }

// eventLength bounds the text of an event, in bytes.
const eventLength = 400

func (s *Store) event(kind string, g messages.Generation, format string, args ...any) {
	now := time.Now()
	budget := s.budgets[kind]
	if budget == nil {
		budget = &guard.Events{}
		s.budgets[kind] = budget // kinds are few: constants of the program
	}
	omitted, ok := budget.Allow(now)
	if !ok {
		return
	}
	text := printable(scrubber.Hide(fmt.Sprintf(format, args...)), eventLength)
	if omitted > 0 {
		text += fmt.Sprintf(" (%d more of this kind came before and are left out)", omitted)
	}
	s.lastEvent++
	e := api.Event{ID: s.lastEvent, At: now.UTC(), Kind: kind, Text: text, Generation: g}
	if s.clock != nil {
		e.ExchangeAt = known(s.clock.Now())
	}
	if len(s.events) == keptEvents {
		s.events = slices.Delete(s.events, 0, 1)
	}
	s.events = append(s.events, e)
	s.hub.Send("event", eventKey(e), e)
}

func rotationKey(r messages.Rotation) string { return fmt.Sprint("rotation/", r.Generation) }

func eventKey(e api.Event) string { return fmt.Sprint("event/", e.ID) }

// eventsNewestFirst is a copy of the timeline.
func (s *Store) eventsNewestFirst() []api.Event {
	s.mu.RLock()
	defer s.mu.RUnlock()
	events := slices.Clone(s.events)
	slices.Reverse(events)
	return events
}

// readingsOf are the readings of an underlying ("" for all), in a stable order.
func (s *Store) readingsOf(underlying, kind string) []messages.Reading {
	s.mu.RLock()
	defer s.mu.RUnlock()
	found := []messages.Reading{}
	for key, r := range s.readings {
		if (underlying == "" || key[0] == underlying) && (kind == "" || key[1] == kind) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(x, y messages.Reading) int {
		return cmp.Or(strings.Compare(x.Underlying, y.Underlying), strings.Compare(x.Kind, y.Kind))
	})
	return found
}

// runningBar is the bar of a series that is not closed yet.
func (s *Store) runningBar(of series) (messages.Bar, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, ok := s.running[of]
	return b, ok
}

func (s *Store) allUnderlyings() []messages.Underlying {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.underlyings
}

func (s *Store) instrumentNames() ticks.Names {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.names
}

func (s *Store) underlyingNames() []string {
	names := []string{}
	for _, u := range s.allUnderlyings() {
		names = append(names, u.Name)
	}
	return names
}

// RefusedConnections is how many connections were closed at once because too many
// were open, in all or from one address.
func (s *Store) RefusedConnections() uint64 { return s.connections.Refused() }
