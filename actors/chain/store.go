package chain

import (
	"maps"
	"slices"
	"sync"
	"time"

	"kitestring/messages"
	"kitestring/messages/ist"
)

const (
	// mostAsked is how many other expiries are subscribed to at most, keepAsked
	// how long after the last question.
	mostAsked = 6
	keepAsked = 10 * time.Minute
	// mostPoints bounds a day's line: one point a minute.
	mostPoints = 24 * 60
)

// Store is what outlives an incarnation: the day's lines, and which other expiries
// were asked for. The zero value is ready. Safe for concurrent use.
type Store struct {
	mu        sync.Mutex
	days      map[string][]messages.ChainPoint // by underlying
	questions map[key]time.Time                // monotonic time of the last one
	wants     []messages.Want
}

// Day is the line of an underlying's newest session, oldest first.
func (s *Store) Day(underlying string) []messages.ChainPoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.days[underlying])
}

// Wants is the set of wanted instruments that the feed should have now; false
// when it has never had one.
func (s *Store) Wants() (messages.WantInstruments, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return messages.WantInstruments{Owner: Name, Wants: s.wants}, s.wants != nil
}

// want keeps a set of wants; false: it is the one that was.
func (s *Store) want(wants []messages.Want) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Equal(s.wants, wants) {
		return false
	}
	s.wants = wants
	return true
}

// ask notes a question; true: it is for another chain than those asked for.
func (s *Store) ask(k key, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.questions[k]
	if s.questions == nil {
		s.questions = map[key]time.Time{}
	}
	s.questions[k] = now
	for len(s.questions) > mostAsked {
		oldest := k
		for other, at := range s.questions {
			if at.Before(s.questions[oldest]) {
				oldest = other
			}
		}
		delete(s.questions, oldest)
	}
	return !known
}

// expired forgets what nobody asks for any more; true: there was such a one.
func (s *Store) expired(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.questions)
	maps.DeleteFunc(s.questions, func(_ key, at time.Time) bool { return now.Sub(at) > keepAsked })
	return len(s.questions) < before
}

// asked are the expiries of an underlying that were asked for, but the nearest.
func (s *Store) asked(u messages.Underlying, now time.Time) (expiries []time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range u.Expiries {
		at, ok := s.questions[key{u.Name, e.In(ist.Zone).Format(time.DateOnly)}]
		if ok && now.Sub(at) <= keepAsked && !e.Equal(u.Expiry) {
			expiries = append(expiries, e)
		}
	}
	return expiries
}

// note keeps a chain's totals as its minute, the newest of the minute.
func (s *Store) note(c *messages.Chain) {
	t := &c.Summary
	p := messages.ChainPoint{
		At: c.At.Truncate(time.Minute), Expiry: c.Expiry, Spot: c.Spot.LastPrice, ATM: t.ATM, Straddle: t.Straddle, ATMVol: t.ATMVol,
		PCR: t.PCR, MaxPain: t.MaxPain, CallOI: t.CallOI, PutOI: t.PutOI, Coverage: t.Coverage,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	line := s.days[c.Underlying]
	if n := len(line); n > 0 {
		last := line[n-1].At
		switch {
		case !ist.Day(last).Equal(ist.Day(p.At)):
			line = nil
		case last.Equal(p.At):
			line = line[:n-1]
		case p.At.Before(last):
			return
		}
	}
	if s.days == nil {
		s.days = map[string][]messages.ChainPoint{}
	}
	line = append(line, p)
	s.days[c.Underlying] = line[max(0, len(line)-mostPoints):]
}
