package peers

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"filippo.io/age"
	"github.com/google/renameio/v2"

	"kitestring/messages"
)

// The files beside the keys.
const (
	filePeer   = "peer.json"
	fileTokens = "tokens.json"
)

const (
	// invitationLasts is for how long a code is good.
	invitationLasts = 10 * time.Minute
	// mostGuesses is how many wrong proofs end all invitations.
	mostGuesses = 5
	// keptTokens and keptInvitations bound what is remembered.
	keptTokens      = 8
	keptInvitations = 4
)

// Peer is the other server, as it was enrolled.
type Peer struct {
	Name        string    `json:"name"`
	Addr        string    `json:"addr,omitempty"` // where it listens; "": it connects to this server
	Certificate string    `json:"certificate"`    // SHA-256 in hex
	Age         string    `json:"age"`            // the key that tokens are sealed to
	EnrolledAt  time.Time `json:"enrolled_at"`

	pin       fingerprint
	recipient *age.X25519Recipient
}

func (p *Peer) check() error {
	raw, err := hex.DecodeString(p.Certificate)
	if err != nil || len(raw) != len(p.pin) {
		return errors.New("its certificate's fingerprint is damaged")
	}
	copy(p.pin[:], raw)
	if p.recipient, err = age.ParseX25519Recipient(p.Age); err != nil {
		return errors.New("its key is damaged")
	}
	if p.Addr != "" {
		return checkAddr(p.Addr)
	}
	return nil
}

// seen is when Kite first accepted a token, over restarts of the process: a
// restart must not make an old token the newer one.
type seen struct {
	Fingerprint string    `json:"fingerprint"`
	At          time.Time `json:"accepted_at"`
}

type invitation struct {
	secret  [secretSize]byte
	expires time.Time
	by      fingerprint // the certificate that used it; zero: none has
	ended   bool        // by too many guesses, or by a removal
}

// Store is the enrolment and what is known of both tokens. It outlives every
// actor: made once by the tree. Safe for concurrent use.
type Store struct {
	dir string
	now func() time.Time

	mu          sync.Mutex
	id          *identity // nil: not needed yet
	peer        *Peer     // nil: none
	tokens      []seen    // oldest first
	unsaved     bool      // the file does not have all of them
	refused     []string  // fingerprints of the peer's tokens that Kite refuses here
	last        attempt   // of taking a token of the peer's
	invitations []*invitation
	guesses     int
	state       state
	taking      sync.Mutex // one token of the peer's is taken at a time
	metrics     *Metrics
}

// OpenStore reads the enrolment in a folder; none is no error.
func OpenStore(dir string, metrics *Metrics) (*Store, error) {
	s := &Store{dir: dir, now: time.Now, metrics: metrics}
	metrics.watch(s)
	again := func(name string, err error) error {
		return fmt.Errorf("%s: %w. Remove the file, then enrol again: kitestring peer invite", filepath.Join(dir, name), err)
	}
	text, err := readPrivate(dir, filePeer)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, nil
	case err != nil:
		return nil, err
	}
	p := &Peer{}
	if json.Unmarshal(text, p) != nil {
		return nil, again(filePeer, errors.New("it is no JSON"))
	}
	if err := p.check(); err != nil {
		return nil, again(filePeer, err)
	}
	s.peer = p
	if text, err = readPrivate(dir, fileTokens); err == nil {
		_ = json.Unmarshal(text, &s.tokens) // without it, the tokens count from now on
		s.tokens = s.tokens[max(0, len(s.tokens)-keptTokens):]
	}
	return s, nil
}

// Enrolled is the other server, nil for none.
func (s *Store) Enrolled() *Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peer == nil {
		return nil
	}
	p := *s.peer
	return &p
}

// identity gives the keys, which are made when they are first needed.
func (s *Store) identity() (identity, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.id == nil {
		id, err := openIdentity(s.dir)
		if err != nil {
			return id, err
		}
		s.id = &id
	}
	return *s.id, nil
}

// errEnrolled refuses a second peer.
func (s *Store) errEnrolled() error {
	return fmt.Errorf("%s is enrolled as the peer already, and two servers share one login: \"kitestring peer remove\" first", s.peer.Name)
}

// invite makes a code.
func (s *Store) invite(addr string) (string, time.Time, error) {
	id, err := s.identity()
	if err != nil {
		return "", time.Time{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peer != nil {
		return "", time.Time{}, s.errEnrolled()
	}
	inv := &invitation{expires: s.now().Add(invitationLasts)}
	_, _ = rand.Read(inv.secret[:])
	s.invitations = append(s.invitations, inv)
	s.invitations = s.invitations[max(0, len(s.invitations)-keptInvitations):]
	s.guesses = 0
	return code{addr, id.pin, inv.secret}.String(), inv.expires, nil
}

// proof shows that the owner of a certificate and a key has the code, too.
func proof(secret [secretSize]byte, server, client fingerprint, age string) []byte {
	mac := hmac.New(sha256.New, secret[:])
	mac.Write([]byte("kitestring peer join\n"))
	mac.Write(server[:])
	mac.Write(client[:])
	mac.Write([]byte(age))
	return mac.Sum(nil)
}

// admit enrols what holds a code. The errors are for the one that asks.
func (s *Store) admit(j join, by, server fingerprint) error {
	p := &Peer{Name: shown(j.Name), Certificate: hex.EncodeToString(by[:]), Age: j.Age, EnrolledAt: s.now().UTC()}
	if err := p.check(); err != nil {
		return errRubbish
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.IndexFunc(s.invitations, func(inv *invitation) bool {
		return subtle.ConstantTimeCompare(proof(inv.secret, server, by, j.Age), j.Proof) == 1
	})
	if at < 0 {
		if s.guesses++; s.guesses >= mostGuesses {
			for _, inv := range s.invitations {
				inv.ended = true
			}
		}
		return errors.New("the server that made this code does not know it (any more): it has restarted since, or the code is of an earlier day. Make another there: kitestring peer invite")
	}
	inv := s.invitations[at]
	switch {
	case inv.by == by && s.peer != nil && s.peer.pin == by: // its answer was lost
		return nil
	case inv.by != fingerprint{}:
		return errors.New("the code has been used already, and each is good for one server. Make another: kitestring peer invite")
	case inv.ended:
		return errors.New("the code was withdrawn after too many wrong ones. Make another: kitestring peer invite")
	case s.now().After(inv.expires):
		return fmt.Errorf("the code has expired %s ago. Make another: kitestring peer invite", s.now().Sub(inv.expires).Round(time.Second))
	case s.peer != nil:
		return errors.New("the server that made this code has another peer already. There first: kitestring peer remove")
	}
	if err := s.keep(p); err != nil {
		return errors.New("the server that made this code cannot write its state directory; its log says why")
	}
	inv.by = by
	return nil
}

// enrol keeps a peer that this server has joined.
func (s *Store) enrol(p *Peer) error {
	if err := p.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peer != nil {
		return s.errEnrolled()
	}
	return s.keep(p)
}

// keep writes a peer down. The caller has the lock.
func (s *Store) keep(p *Peer) error {
	if err := s.write(filePeer, p); err != nil {
		return err
	}
	s.peer, s.refused, s.unsaved = p, nil, true
	return nil
}

func (s *Store) write(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(filepath.Join(s.dir, name), append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the enrolment: %w", err)
	}
	return nil
}

// Remove forgets the peer; its certificate is not admitted any more. The error
// is that there is none, or that the file cannot be removed.
func (s *Store) Remove() (name string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peer == nil {
		return "", errNoPeer
	}
	if err := os.Remove(filepath.Join(s.dir, filePeer)); err != nil {
		return "", fmt.Errorf("the enrolment cannot be removed: %w", err)
	}
	name = s.peer.Name
	s.peer, s.refused = nil, nil
	for _, inv := range s.invitations {
		inv.ended = true
	}
	return name, nil
}

var errNoPeer = errors.New("no peer is enrolled: \"kitestring peer invite\" on one server, \"kitestring peer join CODE\" on the other")

// Local is this server's token, as the tree sees it.
type Local struct {
	Session messages.Session     // the adopted one; zero: none
	Status  messages.TokenStatus // what auth says of it
	Pending bool                 // a candidate waits for its proof
	APIKey  string               // of the .env file
	Account string               // user ID; "": not known yet
}

// token is the local one as both sides compare it.
func (s *Store) token(l Local) Token {
	t := Token{
		Fingerprint: l.Session.Token.Fingerprint(), Generation: uint64(l.Session.Generation), Pending: l.Pending,
		APIKey: messages.NewSecret(l.APIKey).Fingerprint(), Account: messages.NewSecret(l.Account).Fingerprint(),
	}
	// Auth's word is of the same generation, or it is older.
	t.Valid = t.Fingerprint != "" && l.Status.Generation == l.Session.Generation && (l.Status.State == messages.Valid || l.Status.State == messages.Suspect)
	s.mu.Lock()
	defer s.mu.Unlock()
	t.Refused = slices.Clone(s.refused)
	if t.Valid {
		t.AgeMS = max(0, s.now().Sub(s.accepted(t.Fingerprint, s.now())).Milliseconds())
	}
	return t
}

// accepted is when Kite first accepted a token: at, if that is news. The caller
// has the lock.
func (s *Store) accepted(print string, at time.Time) time.Time {
	for _, known := range s.tokens {
		if known.Fingerprint == print {
			return known.At
		}
	}
	s.tokens = append(s.tokens, seen{print, at})
	s.tokens = s.tokens[max(0, len(s.tokens)-keptTokens):]
	s.unsaved = true
	return at
}

// saveTokens writes down when tokens were first accepted, if that is news: a
// restart would take one for newer than it is.
func (s *Store) saveTokens() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peer == nil || !s.unsaved {
		return nil
	}
	s.unsaved = false
	return s.write(fileTokens, s.tokens)
}

func (s *Store) toSave() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peer != nil && s.unsaved
}

// attempt is what came of a token of the peer's that was not taken.
type attempt struct {
	print    string
	failures int
	again    time.Time // Kite is not asked about it before
	result   result
	local    string // what only this server says of it
}

// mostPause is the longest pause between two attempts with one token; they begin
// with a second.
const mostPause = 30 * time.Second

// paused answers what came of the last attempt with a token, while it is too early
// for another one.
func (s *Store) paused(print string) (attempt, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, s.last.print == print && s.now().Before(s.last.again)
}

// tried notes what came of an attempt.
func (s *Store) tried(print string, r result, local string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	failures := 0
	if s.last.print == print {
		failures = s.last.failures
	}
	if r.OK {
		s.last = attempt{}
		return
	}
	pause := min(mostPause, againAfter<<min(failures, 10))
	s.last = attempt{print, failures + 1, s.now().Add(pause), r, local}
}

// took notes a token of the peer's that is about to be written.
func (s *Store) took(print string, age time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted(print, s.now().Add(-age))
}

// refuse notes that Kite refuses a token of the peer's.
func (s *Store) refuse(print string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.refused, print) {
		s.refused = append(s.refused, print)
		s.refused = s.refused[max(0, len(s.refused)-mostRefused):]
	}
}

func (s *Store) refuses(print string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.refused, print)
}

func (s *Store) load() state {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func (s *Store) save(st state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = st
}

// Status is how the two servers stand.
type Status struct {
	Peer     *Peer // nil: none is enrolled
	Coherent bool  // both work with one token, as far as the last comparison says
	Reason   string
	Warning  string // what is no reason to be apart
	Mine     Token
	Theirs   Token
	Version  string
	Met      time.Time // the last comparison; zero: none yet
	ClockOff time.Duration
}

// Status is the status as it is now.
func (s *Store) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.state
	if s.peer == nil {
		return Status{Reason: errNoPeer.Error()}
	}
	p := *s.peer
	now := Status{Peer: &p, Reason: "the peer has not been reached yet"}
	if st.peer == p.pin {
		now.Coherent, now.Reason, now.Mine, now.Theirs = st.coherent, st.reason, st.mine, st.exchange.theirs
		now.Version, now.Met, now.ClockOff = st.exchange.version, st.met, st.exchange.clockOff
	}
	if off := now.ClockOff; off.Abs() > mostClockOff {
		side := "ahead of"
		if off < 0 {
			side = "behind"
		}
		now.Warning = fmt.Sprintf("the peer's clock is %s %s this server's: turn time synchronisation on where it is wrong (timedatectl set-ntp true)", off.Abs().Round(time.Second), side)
	}
	return now
}
