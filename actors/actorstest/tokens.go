package actorstest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"kitestring/actors"
	"kitestring/messages"
)

// Tokens is a token source without a file. It keeps the rules of token.Store,
// and a test of this package compares the two: generations only grow, the
// adopted one moves forward only, a rejected generation is never given out as
// a candidate or adopted again, and an adopted token that is rejected later
// stays adopted.
type Tokens struct {
	mu        sync.Mutex
	changes   map[messages.Generation]messages.TokenChanged
	rejected  map[messages.Generation]string
	newest    messages.Generation
	adopted   messages.Generation
	candidate messages.Generation
	refusals  int
	uses      []Use
	fault     string
}

// Use is one call of Used.
type Use struct {
	Holder     string
	Generation messages.Generation
}

// NewTokens makes a source that holds no token.
func NewTokens() *Tokens {
	return &Tokens{changes: make(map[messages.Generation]messages.TokenChanged), rejected: make(map[messages.Generation]string)}
}

// Session is a session of generation g with a token of its own.
func Session(g messages.Generation) messages.Session {
	return messages.Session{Generation: g, APIKey: "key", Token: messages.NewAccessToken(fmt.Sprintf("token-of-generation-%d", g))}
}

// Write makes a session the newest one and the candidate, as a change of the
// file does, now, and returns the message that the token actor sends. The generation
// must be newer than every one before it.
func (s *Tokens) Write(session messages.Session, source messages.ChangeSource) messages.TokenChanged {
	s.mu.Lock()
	defer s.mu.Unlock()
	if session.Generation <= s.newest {
		panic(fmt.Sprintf("generation %d is not newer than %d", session.Generation, s.newest))
	}
	now := time.Now()
	change := messages.TokenChanged{Session: session, Source: source, ChangedAt: now, DetectedAt: now}
	s.changes[session.Generation] = change
	s.newest, s.candidate = session.Generation, session.Generation
	return change
}

// WriteAdopted is Write and Adopt in one. It returns the message that auth sends.
func (s *Tokens) WriteAdopted(session messages.Session) messages.TokenAdopted {
	s.Write(session, messages.ChangeByEvent)
	s.Adopt(session.Generation)
	return messages.TokenAdopted{Session: session}
}

// Current implements actors.TokenSource.
func (s *Tokens) Current() actors.TokenView {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := actors.TokenView{Adopted: s.changes[s.adopted].Session, Candidate: s.changes[s.candidate].Session, Changed: s.changes[s.candidate]}
	if v.Candidate.IsZero() {
		v.Changed = s.changes[s.adopted]
	}
	return v
}

// Used implements actors.TokenSource.
func (s *Tokens) Used(holder string, g messages.Generation) {
	if g == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uses = append(s.uses, Use{holder, g})
}

// Uses is every call of Used, in order.
func (s *Tokens) Uses() []Use {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.uses)
}

// LastUsed is the generation that a holder used last, 0 for none.
func (s *Tokens) LastUsed(holder string) messages.Generation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastUses()[holder]
}

func (s *Tokens) lastUses() map[string]messages.Generation {
	last := make(map[string]messages.Generation)
	for _, u := range s.uses {
		last[u.Holder] = u.Generation
	}
	return last
}

// RefuseAdoptions makes the next n calls of Adopt fail.
func (s *Tokens) RefuseAdoptions(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals = n
}

// Adopt is token.Store's.
func (s *Tokens) Adopt(g messages.Generation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusals > 0 {
		s.refusals--
		return false
	}
	_, known := s.changes[g]
	if _, rejected := s.rejected[g]; !known || rejected || g <= s.adopted {
		return false
	}
	s.adopted = g
	if s.candidate <= g {
		s.candidate = 0
	}
	return true
}

// Reject is token.Store's.
func (s *Tokens) Reject(g messages.Generation, reason string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.changes[g]
	if _, rejected := s.rejected[g]; !known || rejected {
		return false
	}
	s.rejected[g] = reason
	if s.candidate == g {
		s.candidate = 0
	}
	return true
}

// SetFault makes the file one that cannot be used, "" one that can.
func (s *Tokens) SetFault(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = reason
}

// Fault is token.Store's.
func (s *Tokens) Fault() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// Reopen is token.Store's, and Write of the next generation at once.
func (s *Tokens) Reopen(g messages.Generation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, rejected := s.rejected[g]; !rejected || g != s.newest {
		return false
	}
	change := s.changes[g]
	s.newest++
	change.Session.Generation = s.newest
	s.changes[s.newest], s.candidate = change, s.newest
	return true
}

// Rejected is token.Store's.
func (s *Tokens) Rejected(g messages.Generation) (reason string, rejected bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reason, rejected = s.rejected[g]
	return reason, rejected
}

// Adopted is token.Store's.
func (s *Tokens) Adopted() messages.Generation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.adopted
}

// Lagging is token.Store's: the holders, sorted, whose last use was older than
// the adopted generation.
func (s *Tokens) Lagging() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for holder, g := range s.lastUses() {
		if g < s.adopted {
			names = append(names, holder)
		}
	}
	slices.Sort(names)
	return names
}

// Idle is token.Store's: how many of the names have not used g or a newer one.
func (s *Tokens) Idle(g messages.Generation, names []string) (idle int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.lastUses()
	for _, name := range names {
		if last[name] < g {
			idle++
		}
	}
	return idle
}
