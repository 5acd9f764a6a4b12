package web

import (
	"maps"
	"slices"
	"strings"
	"time"

	"kitestring/actors/web/api"
	"kitestring/actors/web/live"
	"kitestring/messages"
)

// noteInstruments keeps what is wrong with the instruments. Called with mu held.
func (s *Store) noteInstruments(m messages.InstrumentsResolved) {
	for _, notice := range m.Notices {
		if !slices.Contains(s.notices, notice) {
			s.event("instruments", m.Generation, "%s", notice)
		}
	}
	s.notices = m.Notices
	at := time.Now()
	if s.clock != nil {
		at = s.clock.Now()
	}
	for _, u := range m.Underlyings {
		state := messages.DataState{What: "prices of " + u.Name, At: at}
		if u.Index.Token == 0 && u.Reason != "" {
			why, _, _ := strings.Cut(u.Reason, ";") // the index's part is the first
			state.Reason = why + "; correct the underlyings of the configuration file"
		}
		s.noteData(state)
	}
}

// noteData keeps which data does not come. Called with mu held.
func (s *Store) noteData(m messages.DataState) {
	switch was, missing := s.missing[m.What]; {
	case m.Reason == "" && missing:
		delete(s.missing, m.What)
		s.event("data", 0, "the %s comes again", m.What)
	case m.Reason != "" && m.Reason != was.Reason:
		s.missing[m.What] = api.StatusMissing{What: m.What, Reason: m.Reason, Since: m.At}
		s.event("data", 0, "the %s does not come: %s", m.What, m.Reason)
	}
}

// missingData is the data that does not come, by name.
func (s *Store) missingData() []api.StatusMissing {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]api.StatusMissing, 0, len(s.missing)) // never null in JSON
	for _, what := range slices.Sorted(maps.Keys(s.missing)) {
		list = append(list, s.missing[what])
	}
	return list
}

// notes are what a person must know although data may be live, as sentences:
// one for all data that does not come for the same reason.
func (s *Store) notes() (list []string) {
	var reasons []string
	what := map[string][]string{}
	for _, m := range s.missingData() {
		if what[m.Reason] == nil {
			reasons = append(reasons, m.Reason)
		}
		what[m.Reason] = append(what[m.Reason], m.What)
	}
	for _, reason := range reasons {
		list = append(list, live.Sentence("What does not come: "+strings.Join(what[reason], ", ")+live.Because(reason)))
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, notice := range s.notices {
		list = append(list, "Instruments: "+notice+".")
	}
	return list
}
