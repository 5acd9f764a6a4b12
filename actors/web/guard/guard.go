// Package guard is what a client must not guess, see or use up: the admin token,
// which a browser shows once, secrets in whatever the API sends, connections, the
// timeline of events.
package guard

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"kitestring/messages"
)

// Guesses slow the guessing of the admin token down: after five wrong ones
// from an address none is compared until a minute's share is free again, not
// even the right one. Safe for concurrent use; it outlives the actor.
type Guesses struct {
	mu     sync.Mutex
	failed map[string]*rate.Limiter // by address
}

// guessers is how many addresses are counted one by one; the rest share one
// count.
const guessers = 1000

// Try compares unless too many wrong tokens came from the address.
func (g *Guesses) Try(address string, compare func() bool) (right, counted bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failed == nil {
		g.failed = map[string]*rate.Limiter{}
	}
	l := g.failed[address]
	if l == nil && len(g.failed) >= guessers {
		maps.DeleteFunc(g.failed, func(_ string, l *rate.Limiter) bool { return l.Tokens() >= 5 })
	}
	if l == nil && len(g.failed) >= guessers {
		address = ""
		l = g.failed[address]
	}
	if l == nil {
		l = rate.NewLimiter(rate.Limit(5.0/60), 5)
	}
	if l.Tokens() < 1 {
		return false, false
	}
	if compare() {
		return true, true
	}
	l.Allow()
	g.failed[address] = l
	return false, true
}

// A browser shows the admin token once and is known by a cookie from then on:
// a page's script cannot read it, and no other site's page can make use of it.
const (
	SessionLasts = 12 * time.Hour
	sessionLimit = 64 // browsers at a time
)

// Sessions are the browsers that have shown the admin token. Safe for
// concurrent use.
type Sessions struct {
	mu   sync.Mutex
	list []session
}

type session struct {
	id     string
	secret messages.Secret // the admin token that it was opened with: another one ends it
	until  time.Time
}

// Begin opens a session; beyond the limit the oldest ends.
func (s *Sessions) Begin(secret messages.Secret, now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.list) == sessionLimit {
		s.list = s.list[1:]
	}
	id := rand.Text() + rand.Text()
	s.list = append(s.list, session{id, secret, now.Add(SessionLasts)})
	return id
}

// Holds reports whether it is the id of a session that was opened with this
// admin token.
func (s *Sessions) Holds(id string, secret messages.Secret, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := false
	for _, o := range s.list {
		if subtle.ConstantTimeCompare([]byte(o.id), []byte(id)) == 1 {
			found = o.secret.Equal(secret) && now.Before(o.until)
		}
	}
	return found
}

// Gate replaces, in whatever the API sends, every secret by its
// fingerprint. Texts from outside are scrubbed where they come in; this holds
// when one was missed. Safe for concurrent use.
type Gate struct {
	mu      sync.Mutex
	secrets []messages.Secret
	forms   []secretForm
}

type secretForm struct{ value, mark []byte }

// shortestSecret keeps ordinary words: a secret that is one is no secret.
const shortestSecret = 8

// Hide gives the text without the secrets.
func (g *Gate) Hide(data []byte, secrets []messages.Secret) []byte {
	g.mu.Lock()
	if !slices.Equal(secrets, g.secrets) {
		g.secrets, g.forms = slices.Clone(secrets), nil
		for _, s := range secrets {
			v := s.Reveal()
			if len(v) < shortestSecret {
				continue
			}
			quoted, _ := json.Marshal(v) // a string
			forms := []string{v, url.QueryEscape(v), url.PathEscape(v), string(quoted[1 : len(quoted)-1])}
			slices.Sort(forms)
			for _, form := range slices.Compact(forms) {
				g.forms = append(g.forms, secretForm{[]byte(form), []byte(s.String())})
			}
		}
	}
	forms := g.forms
	g.mu.Unlock()
	for _, f := range forms {
		if bytes.Contains(data, f.value) {
			data = bytes.ReplaceAll(data, f.value, f.mark)
		}
	}
	return data
}
