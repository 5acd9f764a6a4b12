// Package clients keeps who may use the gateway: names, hashes of keys, scopes.
package clients

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/google/renameio/v2"

	"kitestring/messages"
)

// mostClients is how many names may have a key: their metrics have a label each.
const mostClients = 64

// Scope is what a client may do.
type Scope string

// The scopes. Each names what it allows and nothing of the others.
const (
	ScopeData    Scope = "data"    // ticks, quotes, instruments, history, the profile without name and e-mail
	ScopeAccount Scope = "account" // order updates; reading orders, trades, positions, holdings, margins, GTT, funds
	ScopeOrders  Scope = "orders"  // everything that writes; only where the configuration says so as well
)

// Scopes is a set of scopes.
type Scopes []Scope

// Has reports whether s is in the set.
func (s Scopes) Has(scope Scope) bool {
	for _, have := range s {
		if have == scope {
			return true
		}
	}
	return false
}

// Record is a client as it is kept: its key as a hash only.
type Record struct {
	Name    string    `json:"name"`
	Hash    string    `json:"sha256"` // of the key, hex
	Scopes  Scopes    `json:"scopes"`
	Created time.Time `json:"created"`
}

// Store keeps who may use the gateway, in one file (mode 0600) that is written
// whole or not at all. It outlives the actor. Safe for concurrent use.
type Store struct {
	path string

	mu      sync.Mutex
	records []Record
	watch   func(name string) // called with each revoked name
}

// UnknownError says that there is no client of that name, and which there are.
type UnknownError struct {
	Name  string
	Known []string
}

// Error implements error.
func (e *UnknownError) Error() string { return fmt.Sprintf("there is no client %q", e.Name) }

// NameError says why a client cannot be added.
type NameError struct{ Reason string }

// Error implements error.
func (e *NameError) Error() string { return e.Reason }

// Open reads the file; one that is not there holds nobody. A file that
// cannot be read is an error: to start without it would lock every client out,
// and the next "clients add" would overwrite it.
func Open(path string) (*Store, error) {
	s := &Store{path: path}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return s, nil
	case err != nil:
		return nil, fmt.Errorf("the gateway's clients cannot be read: %w", err)
	}
	if err := json.Unmarshal(text, &s.records); err != nil {
		return nil, fmt.Errorf("%s does not hold the gateway's clients (%w). Move it away and add them again with: kitestring clients add NAME", path, err)
	}
	return s, nil
}

var names = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

// Add makes a client and its key, which is not kept and cannot be shown again.
func (s *Store) Add(name string, scopes Scopes, now time.Time) (messages.Secret, error) {
	return s.add(name, scopes, newKey(), now)
}

// Demo makes sure that a client of the simulator's has a key that is known to
// everybody.
func (s *Store) Demo(name, key string, scopes Scopes, now time.Time) error {
	if _, known := s.Find(messages.NewSecret(key)); known {
		return nil
	}
	_, err := s.add(name, scopes, key, now)
	return err
}

func (s *Store) add(name string, scopes Scopes, key string, now time.Time) (messages.Secret, error) {
	switch {
	case !names.MatchString(name):
		return messages.Secret{}, &NameError{fmt.Sprintf("%q is no name for a client: lower-case letters, digits, - and _, at most 32", name)}
	case len(scopes) == 0:
		return messages.Secret{}, &NameError{"a client needs a scope: data, account or orders"}
	}
	for i, scope := range scopes {
		switch {
		case !slices.Contains([]Scope{ScopeData, ScopeAccount, ScopeOrders}, scope):
			return messages.Secret{}, &NameError{fmt.Sprintf("%q is no scope: data, account and orders are", scope)}
		case slices.Contains(scopes[:i], scope):
			return messages.Secret{}, &NameError{fmt.Sprintf("scope %s is given more than once", scope)}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.records, func(r Record) bool { return r.Name == name }) {
		return messages.Secret{}, &NameError{fmt.Sprintf("there is a client %s already: revoke it first, or choose another name", name)}
	}
	if len(s.records) >= mostClients {
		return messages.Secret{}, &NameError{fmt.Sprintf("there are %d clients: revoke one that is not used", mostClients)}
	}
	records := append(slices.Clone(s.records), Record{Name: name, Hash: hashOf(key), Scopes: slices.Clone(scopes), Created: now.UTC()})
	if err := s.write(records); err != nil {
		return messages.Secret{}, err
	}
	s.records = records
	return messages.NewSecret(key), nil
}

// Revoke takes a client's key away; its sockets close.
func (s *Store) Revoke(name string) error {
	s.mu.Lock()
	at := slices.IndexFunc(s.records, func(r Record) bool { return r.Name == name })
	if at < 0 {
		unknown := &UnknownError{Name: name}
		for _, r := range s.records {
			unknown.Known = append(unknown.Known, r.Name)
		}
		s.mu.Unlock()
		return unknown
	}
	records := slices.Delete(slices.Clone(s.records), at, at+1)
	if err := s.write(records); err != nil {
		s.mu.Unlock()
		return err
	}
	s.records = records
	watch := s.watch
	s.mu.Unlock()
	if watch != nil {
		watch(name)
	}
	return nil
}

// List answers every client, in the order of their making.
func (s *Store) List() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.records)
}

// Find is the client whose key it is. Hashes are compared, which tells nothing
// of how much of a key was right.
func (s *Store) Find(key messages.Secret) (Record, bool) {
	hash := hashOf(key.Reveal())
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		if r.Hash == hash {
			return r, true
		}
	}
	return Record{}, false
}

// Named is the client of that name, while its key is still the one of hash.
func (s *Store) Named(name, hash string) (Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		if r.Name == name && r.Hash == hash {
			return r, true
		}
	}
	return Record{}, false
}

// OnRevoke has f called with each revoked name; one listener, the newest.
func (s *Store) OnRevoke(f func(name string)) {
	s.mu.Lock()
	s.watch = f
	s.mu.Unlock()
}

func (s *Store) write(records []Record) error {
	text, err := json.MarshalIndent(records, "", "  ")
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(s.path, append(text, '\n'), 0o600, renameio.IgnoreUmask()); err != nil {
		return fmt.Errorf("the gateway's clients cannot be written: %w", err)
	}
	return nil
}

func hashOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// newKey is 32 letters and digits: some clients do not escape what they put
// into a URL.
func newKey() string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	key := make([]byte, 0, 32)
	var b [64]byte
	for len(key) < 32 {
		_, _ = rand.Read(b[:]) // never fails
		for _, v := range b {
			if v < 248 && len(key) < 32 { // 4 x 62: each letter as likely as the next
				key = append(key, letters[v%62])
			}
		}
	}
	return string(key)
}
