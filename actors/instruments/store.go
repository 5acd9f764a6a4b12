package instruments

import (
	"sync"

	"kitestring/messages"
)

// Store keeps what outlives an incarnation: the day's table, where each chain
// stands, and what was told last. Safe for concurrent use.
type Store struct {
	mu     sync.Mutex
	memory memory
	told   messages.InstrumentsResolved
	filled bool
}

// NewStore makes an empty one.
func NewStore() *Store { return &Store{} }

// Resolved is what was told last, for an actor that has just started; false
// before the first time. Nobody may change it.
func (s *Store) Resolved() (messages.InstrumentsResolved, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told, s.filled
}

func (s *Store) load() memory {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.memory
}

func (s *Store) save(m memory, told messages.InstrumentsResolved) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory, s.told, s.filled = m, told, true
}
