package web

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"kitestring/actors"
	"kitestring/actors/web/api"
	"kitestring/messages"
)

// keptEvents is how many events the timeline holds.
const keptEvents = 500

// Store is the read model of the house: the last fact of each kind, and the
// newest events. It outlives the web actor. Safe for concurrent use.
type Store struct {
	mu          sync.RWMutex
	auth        messages.AuthChanged
	env         messages.EnvAccepted
	watch       messages.WatchChanged
	feed        messages.FeedChanged
	phase       messages.PhaseChanged
	login       *api.StatusLogin
	gap         *api.StatusGap // nil: none since the start
	underlyings []messages.Underlying
	readings    map[[2]string]messages.Reading // underlying, kind
	running     map[series]messages.Bar
	rotated     rotated     // the last one that the timeline tells
	events      []api.Event // oldest first
	lastEvent   uint64
	clock       actors.Clock // nil until a web actor ran
	sessions    sessions
	hub         hub
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

// NewStore makes an empty board.
func NewStore() *Store {
	return &Store{readings: map[[2]string]messages.Reading{}, running: map[series]messages.Bar{}}
}

// Apply takes a message of an actor in. A message that the board does not know
// changes nothing.
func (b *Store) Apply(msg any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch m := msg.(type) {
	case messages.AuthChanged:
		b.applyAuth(m)
	case messages.TokenAdopted:
		b.event("token", m.Session.Generation, "token %s adopted as generation %d, proven by the %s", m.Session.Token.Fingerprint(), m.Session.Generation, m.Proof)
	case messages.EnvRejected:
		b.event("file", 0, "the token file cannot be used: %s", m.Reason)
	case messages.EnvAccepted:
		if !slices.Equal(m.Warnings, b.env.Warnings) {
			for _, w := range m.Warnings {
				b.event("file", 0, "the token file works, with a warning: %s", w)
			}
		}
		b.env = m
	case messages.WatchChanged:
		if m.Degraded != b.watch.Degraded {
			if m.Degraded {
				b.event("file", 0, "the file watcher is degraded: %s", m.Reason)
			} else {
				b.event("file", 0, "the file watcher sees events again")
			}
		}
		b.watch = m
	case messages.LoginEnded:
		b.login = &api.StatusLogin{Result: m.Result, Reason: m.Reason, Fingerprint: m.Fingerprint, At: m.At}
		b.event("login", 0, "login: %s", m.Reason)
		b.hub.send("login", "", b.login)
	case messages.FeedChanged:
		if m.State != b.feed.State || m.Stale != b.feed.Stale || m.Reason != b.feed.Reason {
			b.event("feed", 0, "feed %s%s", m.State, because(m.Reason))
		}
		b.feed = m
	case messages.RotationRecorded:
		if end := (rotated{m.Rotation.Generation, m.Rotation.Result}); end != b.rotated && (m.Rotation.TotalMS != nil || end.result == "rejected" || end.result == "superseded") {
			b.rotated = end // a stage may follow: the first tick, in a quiet market
			b.event("rotation", m.Rotation.Generation, "rotation to generation %d: %s%s", m.Rotation.Generation, m.Rotation.Result, because(m.Rotation.Reason))
		}
		b.hub.send("rotation", rotationKey(m.Rotation), m.Rotation)
	case messages.OrderUpdated:
		b.event("order", 0, "order %s: %s", m.OrderID, m.Status)
	case messages.GapDetected:
		b.gap = &api.StatusGap{Reason: m.Reason, Instruments: len(m.Gaps), At: m.At}
		b.event("gap", m.Generation, "%d instruments were blind at a %s", len(m.Gaps), m.Reason)
	case messages.PhaseChanged:
		if m.Phase != b.phase.Phase {
			b.event("market", 0, "market %s", m.Phase)
		}
		if m.Warning != "" && m.Warning != b.phase.Warning {
			b.event("market", 0, "%s", m.Warning)
		}
		b.phase = m
	case messages.InstrumentsResolved:
		b.underlyings = m.Underlyings
		// What has been said of others is no longer kept up.
		maps.DeleteFunc(b.readings, func(of [2]string, _ messages.Reading) bool { return !b.chosen(of[0]) })
		maps.DeleteFunc(b.running, func(of series, _ messages.Bar) bool { return !b.chosen(of.underlying) })
	case messages.FuturesRolled:
		b.event("instruments", 0, "%s future rolled from %s to %s", m.Underlying, m.From.Tradingsymbol, m.To.Tradingsymbol)
	case messages.BarUpdated:
		b.running[series{m.Bar.Underlying, m.Bar.Source, m.Bar.Interval}] = m.Bar
		b.hub.send("bar", m.Key(), streamedBar(m.Bar, false))
	case messages.BarClosed:
		b.hub.send("bar", "", streamedBar(m.Bar, true))
	case messages.Reading:
		if !b.chosen(m.Underlying) {
			return // the last words of an analysis that has not heard yet
		}
		b.readings[[2]string{m.Underlying, m.Kind}] = m
		b.hub.send("reading", m.Key(), m)
	}
}

// chosen reports whether an underlying is worked on; before it is known which
// are, each may be. Called with mu held.
func (b *Store) chosen(underlying string) bool {
	return b.underlyings == nil || slices.ContainsFunc(b.underlyings, func(u messages.Underlying) bool { return u.Name == underlying })
}

func (b *Store) applyAuth(m messages.AuthChanged) {
	old := b.auth
	b.auth = m
	if m.Adopted.State != old.Adopted.State || m.Adopted.Reason != old.Adopted.Reason {
		b.event("token", m.Adopted.Generation, "token %s%s", m.Adopted.State, because(m.Adopted.Reason))
	}
	if c := m.Candidate; c != nil && (old.Candidate == nil || *c != *old.Candidate) && c.State == messages.Rejected {
		b.event("token", c.Generation, "the new token in the file was refused%s", because(c.Reason))
	}
}

// follow dates events by the exchange's clock, too.
func (b *Store) follow(c actors.Clock) {
	b.mu.Lock()
	b.clock = c
	b.mu.Unlock()
}

// Note adds an event that no message carries: the supervisor's.
func (b *Store) Note(kind, format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.event(kind, 0, format, args...)
}

func (b *Store) event(kind string, g messages.Generation, format string, args ...any) {
	b.lastEvent++
	e := api.Event{ID: b.lastEvent, At: time.Now().UTC(), Kind: kind, Text: fmt.Sprintf(format, args...), Generation: g}
	if b.clock != nil {
		e.ExchangeAt = known(b.clock.Now())
	}
	if len(b.events) == keptEvents {
		b.events = slices.Delete(b.events, 0, 1)
	}
	b.events = append(b.events, e)
	b.hub.send("event", eventKey(e), e)
}

func rotationKey(r messages.Rotation) string { return fmt.Sprint("rotation/", r.Generation) }

func eventKey(e api.Event) string { return fmt.Sprint("event/", e.ID) }

// eventsNewestFirst is a copy of the timeline.
func (b *Store) eventsNewestFirst() []api.Event {
	b.mu.RLock()
	defer b.mu.RUnlock()
	events := slices.Clone(b.events)
	slices.Reverse(events)
	return events
}

// readingsOf are the readings of an underlying ("" for all), in a stable order.
func (b *Store) readingsOf(underlying, kind string) []messages.Reading {
	b.mu.RLock()
	defer b.mu.RUnlock()
	found := []messages.Reading{}
	for key, r := range b.readings {
		if (underlying == "" || key[0] == underlying) && (kind == "" || key[1] == kind) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(x, y messages.Reading) int {
		if x.Underlying != y.Underlying {
			return compare(x.Underlying, y.Underlying)
		}
		return compare(x.Kind, y.Kind)
	})
	return found
}

func (b *Store) underlyingNames() []string {
	b.mu.RLock()
	defer b.mu.RUnlock()
	names := make([]string, len(b.underlyings))
	for i, u := range b.underlyings {
		names[i] = u.Name
	}
	return names
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}
