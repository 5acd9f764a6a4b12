package token

import (
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kitestring/messages"
)

// Holder is an actor and the generation that it last worked with.
type Holder = messages.Holder

// usage is which generation each actor used last. note costs a map lookup and an
// atomic load while an actor stays on its generation.
type usage struct {
	byName atomic.Pointer[map[string]*use] // copied to add an actor
	mu     sync.Mutex
}

type use struct {
	last   atomic.Uint64
	newest messages.Generation // under mu
	since  time.Time           // under mu
}

// note records a use; first says that the actor never used a generation as new
// as this one before.
func (u *usage) note(name string, g messages.Generation, now func() time.Time) (first bool) {
	if one := u.all()[name]; one != nil && one.last.Load() == uint64(g) {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	one := u.all()[name]
	if one == nil {
		next := map[string]*use{}
		maps.Copy(next, u.all())
		one = &use{}
		next[strings.Clone(name)] = one
		u.byName.Store(&next)
	}
	one.last.Store(uint64(g))
	if g <= one.newest {
		return false
	}
	one.newest, one.since = g, now()
	return true
}

func (u *usage) all() map[string]*use {
	if all := u.byName.Load(); all != nil {
		return *all
	}
	return nil
}

func (u *usage) list() []Holder {
	u.mu.Lock()
	defer u.mu.Unlock()
	list := []Holder{}
	for name, one := range u.all() {
		list = append(list, Holder{Actor: name, Generation: messages.Generation(one.last.Load()), At: one.since})
	}
	slices.SortFunc(list, func(a, b Holder) int { return strings.Compare(a.Actor, b.Actor) })
	return list
}

// Used implements actors.TokenSource. Without a change it costs a few
// nanoseconds and allocates nothing.
func (s *Store) Used(holder string, g messages.Generation) {
	if g == 0 || !s.usage.note(holder, g, s.now) {
		return
	}
	s.log.Info("token taken up", slog.String("actor", holder),
		slog.Uint64("generation", uint64(g)), slog.String("fingerprint", s.fingerprint(g)))
}

// Place says how the file lies: mounted by itself, and not writable for this
// process. It asks the disk.
func (s *Store) Place() (mounted, readOnly bool) {
	return isMountPoint(s.path), !mayWrite(s.path)
}

// Holders lists every actor that ever used a token, by name, with the
// generation of its last use.
func (s *Store) Holders() []Holder { return s.usage.list() }

// Coherent reports whether everybody works with one token: nobody is behind.
func (s *Store) Coherent() bool { return len(s.Lagging()) == 0 }

// Lagging names the holders whose last use was of a generation older than the
// adopted one. A holder that never used a token does not count, and neither
// does one that already tries a newer generation, because that is how a
// candidate is proven.
func (s *Store) Lagging() (names []string) {
	adopted := s.Adopted()
	for _, h := range s.usage.list() {
		if h.Generation < adopted {
			names = append(names, h.Actor)
		}
	}
	return names
}

// Idle counts the names that have not used generation g, or a newer one.
func (s *Store) Idle(g messages.Generation, names []string) int {
	last := map[string]messages.Generation{}
	for _, h := range s.usage.list() {
		last[h.Actor] = h.Generation
	}
	idle := 0
	for _, name := range names {
		if last[name] < g {
			idle++
		}
	}
	return idle
}
