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

// holders is the book of uses. Note costs a map lookup and an atomic load
// while a holder stays on its generation.
type holders struct {
	book atomic.Pointer[map[string]*holding] // copied to add a holder
	mu   sync.Mutex
}

type holding struct {
	last   atomic.Uint64
	newest messages.Generation // under mu
	since  time.Time           // under mu
}

// note records a use; first tells that the holder never used a generation as
// new as this one before.
func (h *holders) note(name string, g messages.Generation, now func() time.Time) (first bool) {
	if book := h.book.Load(); book != nil {
		if one := (*book)[name]; one != nil && one.last.Load() == uint64(g) {
			return false
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	one := h.find(name)
	one.last.Store(uint64(g))
	if g <= one.newest {
		return false
	}
	one.newest, one.since = g, now()
	return true
}

func (h *holders) find(name string) *holding {
	var next map[string]*holding
	if book := h.book.Load(); book != nil {
		if one := (*book)[name]; one != nil {
			return one
		}
		next = maps.Clone(*book)
	} else {
		next = make(map[string]*holding)
	}
	one := &holding{}
	next[strings.Clone(name)] = one
	h.book.Store(&next)
	return one
}

func (h *holders) list() []Holder {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := []Holder{}
	if book := h.book.Load(); book != nil {
		for name, one := range *book {
			list = append(list, Holder{Actor: name, Generation: messages.Generation(one.last.Load()), At: one.since})
		}
	}
	slices.SortFunc(list, func(a, b Holder) int { return strings.Compare(a.Actor, b.Actor) })
	return list
}

// Used implements actors.TokenSource: holder has just worked with a token of
// generation g. Without a change it costs a few nanoseconds and allocates
// nothing; the first use of a generation by a holder is logged.
func (s *Store) Used(holder string, g messages.Generation) {
	if g == 0 || !s.holders.note(holder, g, s.now) {
		return
	}
	s.log.Info("token taken up", slog.String("actor", holder),
		slog.Uint64("generation", uint64(g)), slog.String("fingerprint", s.fingerprint(g)))
}

// Holders lists every actor that ever used a token, by name, with the
// generation of its last use.
func (s *Store) Holders() []Holder { return s.holders.list() }

// Coherent reports whether everybody works with one token: nobody is behind.
func (s *Store) Coherent() bool { return len(s.Lagging()) == 0 }

// Lagging names the holders whose last use was of a generation older than the
// adopted one. A holder that never used a token does not count, and neither
// does one that already tries a newer generation, because that is how a
// candidate is proven.
func (s *Store) Lagging() (names []string) {
	adopted := s.Adopted()
	for _, h := range s.holders.list() {
		if h.Generation < adopted {
			names = append(names, h.Actor)
		}
	}
	return names
}

// Idle counts the names that have not used generation g, or a newer one.
func (s *Store) Idle(g messages.Generation, names []string) int {
	last := map[string]messages.Generation{}
	for _, h := range s.holders.list() {
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
