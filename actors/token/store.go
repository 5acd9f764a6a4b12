package token

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"kitestring/actors"
	"kitestring/actors/spare"
	"kitestring/actors/token/dotenv"
	"kitestring/messages"
)

// The keys of a session.
const (
	KeyAPIKey      = dotenv.KeyAPIKey
	KeyAPISecret   = dotenv.KeyAPISecret
	KeyAccessToken = dotenv.KeyAccessToken
	KeyRedirectURL = dotenv.KeyRedirectURL
)

// StoreConfig is what a Store needs.
type StoreConfig struct {
	Path    string                  // of the .env file; it need not exist yet
	Getenv  func(key string) string // the process environment; nil: empty
	Log     *slog.Logger            // nil: slog.Default
	Now     func() time.Time        // the machine's clock; nil: time.Now
	Metrics *Metrics                // nil: none
}

// Store is the .env file and what is known of its tokens. It outlives every
// actor: made once by supervisor/tree/tree.go. Safe for use by everybody at once.
//
// It implements actors.TokenSource.
type Store struct {
	path    string
	getenv  func(string) string
	log     *slog.Logger
	now     func() time.Time
	metrics *Metrics
	usage   usage
	spare   spare.Files

	mu        sync.Mutex
	env       *dotenv.File // the file as it was last read; empty when it was not there
	unread    error        // why the first reading failed; nil: it did not
	looked    bool         // the watcher has read the file once
	fromFile  bool         // the newest value is the file's, not the environment's
	apiKey    string       // of the newest value
	token     messages.AccessToken
	newest    messages.Generation
	records   map[messages.Generation]*record // from the adopted one on, and some before
	adopted   messages.Generation
	candidate messages.Generation // 0: none pending
	looks     int                 // that have not come back; one, unless it hangs
	lookBegan time.Time           // the newest of them; monotonic
	reopened  bool                // the newest value is to be tried again
	fault     string              // why the file cannot be used, as published; "": it can
	login     [sha256.Size]byte   // of the token that our own login wrote and the watcher has not seen yet
}

// record is what is known of one generation.
type record struct {
	change   messages.TokenChanged
	rejected bool
	reason   string
}

// keptRecords bounds the memory of generations that can still be asked for.
const keptRecords = 64

// Open makes the store of a file, reads it once for Credentials and Value
// (generations begin with the watcher), and clears away what writers that died
// have left behind. A file that is not there or cannot be read is no error:
// the watcher reports it and waits.
func Open(cfg StoreConfig) (*Store, error) {
	if cfg.Path == "" {
		return nil, fmt.Errorf("open env file: no path given")
	}
	path, err := filepath.Abs(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("open env file: %w", err)
	}
	if filepath.Dir(path) == path {
		return nil, fmt.Errorf("open env file: %s is a directory", path)
	}
	s := &Store{
		path: path, getenv: cfg.Getenv, log: cfg.Log, now: cfg.Now, metrics: cfg.Metrics,
		env: dotenv.Parse(nil), records: make(map[messages.Generation]*record),
		spare: spare.Files{N: 3}, // a write has the lock, and the new file or the directory open, while the watcher reads
	}
	if s.getenv == nil {
		s.getenv = func(string) string { return "" }
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.now == nil {
		s.now = time.Now
	}
	ctx, cancel := context.WithTimeout(context.Background(), openLasts)
	defer cancel()
	err = answering(ctx, func() error {
		sweepStale(path)
		text, _, err := readWhole(path)
		s.mu.Lock()
		defer s.mu.Unlock()
		switch {
		case err == nil:
			s.env = dotenv.Parse(text)
		case !errors.Is(err, fs.ErrNotExist):
			s.unread = err
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("open env file %s: %w", path, err)
	}
	return s, nil
}

// openLasts is how long the file may take to answer at the start.
const openLasts = 10 * time.Second

// errHung says that a call of the kernel did not return.
var errHung = errors.New("it does not answer: its disk or network mount hangs; repair the mount and try again")

// answering runs what a dead network mount can block for ever, and gives up
// waiting when ctx ends. What it runs ends when the mount lets it.
func answering(ctx context.Context, run func() error) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				done <- fmt.Errorf("panic: %v", v)
			}
		}()
		done <- run()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select { // what ends with ctx says more about it
	case err := <-done:
		return err
	case <-time.After(100 * time.Millisecond):
		return errHung
	}
}

// Path is the absolute path of the file, symbolic links not followed.
func (s *Store) Path() string { return s.path }

// Current implements actors.TokenSource. A candidate that Kite refused is never
// in it. An adopted token that died since stays in it (it is what everybody
// last worked with); Rejected says so.
func (s *Store) Current() actors.TokenView {
	s.mu.Lock()
	defer s.mu.Unlock()
	var v actors.TokenView
	if r := s.records[s.adopted]; r != nil {
		v.Adopted, v.Changed = r.change.Session, r.change
	}
	if r := s.records[s.candidate]; r != nil {
		v.Candidate, v.Changed = r.change.Session, r.change
	}
	return v
}

// Adopt makes g the generation that everybody works with. It moves forward
// only: false means that g is not newer than the adopted one, is unknown, or
// was refused.
func (s *Store) Adopt(g messages.Generation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.records[g]
	if g <= s.adopted || r == nil || r.rejected {
		return false
	}
	s.adopted = g
	if s.candidate <= g {
		s.candidate = 0
	}
	return true
}

// Reject notes that Kite refused g: a candidate is never given out again, and
// cannot be adopted any more. False means that g is unknown or was refused
// before.
func (s *Store) Reject(g messages.Generation, reason string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.records[g]
	if r == nil || r.rejected {
		return false
	}
	r.rejected, r.reason = true, reason
	if s.candidate == g {
		s.candidate = 0
	}
	s.metrics.change(r.change.Source, resultRejected)
	return true
}

// Reopen lets a token that Kite refused be tried again: the watcher announces it
// as a new generation within about a second. False means that g is not the
// newest generation, or was not refused.
func (s *Store) Reopen(g messages.Generation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.records[g]
	if r == nil || !r.rejected || g != s.newest {
		return false
	}
	s.token, s.reopened = messages.AccessToken{}, true
	return true
}

const (
	// lookHangs is when a look that has not come back is given up: another one may
	// find the mount mended.
	lookHangs = 8 * time.Second
	// mostLooks bounds the threads that hung looks keep.
	mostLooks = 4
)

// beginLook waits until no other look is under way; false: not before ctx ended.
func (s *Store) beginLook(ctx context.Context) bool {
	for {
		s.mu.Lock()
		free := s.looks == 0 || s.looks < mostLooks && time.Since(s.lookBegan) > lookHangs
		if free {
			s.looks, s.lookBegan = s.looks+1, time.Now()
		}
		s.mu.Unlock()
		if free {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *Store) endLook() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks--
}

func (s *Store) takeReopened() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	reopened := s.reopened
	s.reopened = false
	return reopened
}

// Fault is why the file cannot be used as it is, as it was published; "": it
// can, or it has not been read yet.
func (s *Store) Fault() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

func (s *Store) setFault(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = reason
}

// Rejected says whether Kite refused g, and why.
func (s *Store) Rejected(g messages.Generation) (reason string, rejected bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.records[g]; r != nil {
		return r.reason, r.rejected
	}
	return "", false
}

// Adopted is the adopted generation, 0 for none, even after Kite refused it.
func (s *Store) Adopted() messages.Generation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.adopted
}

func (s *Store) fingerprint(g messages.Generation) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.records[g]; r != nil {
		return r.change.Session.Token.Fingerprint()
	}
	return ""
}

// Credentials are what a login needs.
type Credentials struct {
	APIKey      string
	APISecret   messages.Secret
	RedirectURL string
}

// Credentials are read from the file as it last was, or from the process
// environment where the file lacks a key.
func (s *Store) Credentials() Credentials {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Credentials{
		APIKey:      either(s.env, s.getenv, KeyAPIKey),
		APISecret:   messages.NewSecret(either(s.env, s.getenv, KeyAPISecret)),
		RedirectURL: either(s.env, s.getenv, KeyRedirectURL),
	}
}

// Value is the value of any key: of the file, or of the process environment
// where the file lacks the key. Use Secret for what must not be printed.
func (s *Store) Value(key string) (value string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if value, ok := s.env.Lookup(key); ok {
		return value, true
	}
	value = s.getenv(key)
	return value, value != ""
}

// Contents is what the file itself holds, without any value.
type Contents struct {
	Keys       []string       // of the good lines, in their order, each once
	Faults     []dotenv.Fault // the lines that were skipped
	Unreadable error          // it is there and cannot be read; nil: it can, or it is not there
}

// Contents says what the file held when it was last read.
func (s *Store) Contents() Contents {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := Contents{Faults: s.env.Faults(), Unreadable: s.unread}
	for _, l := range s.env.Lines() {
		if l.Key != "" && l.Fault == "" && !slices.Contains(c.Keys, l.Key) {
			c.Keys = append(c.Keys, l.Key)
		}
	}
	return c
}

// Held is the file's own value of a key, whatever the process environment says.
func (s *Store) Held(key string) messages.Secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, _ := s.env.Lookup(key)
	return messages.NewSecret(value)
}

// Secret is Value for a key whose value must not be printed.
func (s *Store) Secret(key string) messages.Secret {
	value, _ := s.Value(key)
	return messages.NewSecret(value)
}

// hadToken says whether a token of the file was ever known.
func (s *Store) hadToken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fromFile
}

// observe takes what the watcher has read, and notes in the observation whether
// its value is a new generation.
func (s *Store) observe(seen *observation) {
	now, f := s.now(), seen.finding
	s.mu.Lock()
	defer s.mu.Unlock()
	s.env, s.unread = seen.env, nil
	first := !s.looked
	s.looked = true
	if f.refusal != nil || f.token.IsZero() || f.apiKey == s.apiKey && f.token.Equal(s.token) {
		return
	}
	s.apiKey, s.token, s.fromFile = f.apiKey, f.token, !f.fromEnviron
	source := seen.via
	switch {
	case s.login == tokenHash(f.token):
		source, s.login = messages.ChangeByLogin, [sha256.Size]byte{}
	case first:
		source = messages.ChangeAtStart
	}
	s.newest++
	seen.fresh, seen.change = true, messages.TokenChanged{
		Session:    messages.Session{Generation: s.newest, APIKey: f.apiKey, Token: f.token},
		Source:     source,
		ChangedAt:  seen.changed,
		DetectedAt: now,
	}
	s.records[s.newest] = &record{change: seen.change}
	s.candidate = s.newest
	for g := range s.records {
		if g+keptRecords <= s.newest && g != s.adopted {
			delete(s.records, g)
		}
	}
}

func tokenHash(t messages.AccessToken) [sha256.Size]byte { return sha256.Sum256([]byte(t.Reveal())) }

// modeWarning warns of a file that others may read.
func modeWarning(mode fs.FileMode) []string {
	if mode&0o077 == 0 {
		return nil
	}
	return []string{fmt.Sprintf("the file can be read by others (mode %04o): chmod 600 it", mode.Perm())}
}
