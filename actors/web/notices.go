package web

import (
	"fmt"
	"maps"
	"slices"

	"kitestring/messages"
)

// notices is what a person must know although data may be live. Guarded by
// Store.mu.
type notices struct {
	instruments []string
	refusals    map[string]string // by class of requests: Kite's own words
}

// NoteRefusal shows that Kite refuses requests of a class for another reason
// than the token, with its own words, until NoteServed.
func (s *Store) NoteRefusal(class, words string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.notices.refusals[class] == words {
		return
	}
	if s.notices.refusals == nil {
		s.notices.refusals = map[string]string{}
	}
	s.notices.refusals[class] = words
	s.event("rest", 0, "%s", refusal(class, words))
}

// NoteServed ends what NoteRefusal began.
func (s *Store) NoteServed(class string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.notices.refusals[class] != "" {
		delete(s.notices.refusals, class)
		s.event("rest", 0, "kite answers %s requests again", class)
	}
}

func refusal(class, words string) string {
	return fmt.Sprintf("Kite refuses %s requests: %s. What the app's plan includes is shown in the Kite Connect developer console.", class, words)
}

// noteInstruments keeps what is wrong with the instruments. Called with mu held.
func (s *Store) noteInstruments(m messages.InstrumentsResolved) {
	for _, notice := range m.Notices {
		if !slices.Contains(s.notices.instruments, notice) {
			s.event("instruments", m.Generation, "%s", notice)
		}
	}
	s.notices.instruments = m.Notices
}

// notes are the notices as sentences.
func (s *Store) notes() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list []string
	for _, class := range slices.Sorted(maps.Keys(s.notices.refusals)) {
		list = append(list, refusal(class, s.notices.refusals[class]))
	}
	for _, notice := range s.notices.instruments {
		list = append(list, "Instruments: "+notice+".")
	}
	return list
}
