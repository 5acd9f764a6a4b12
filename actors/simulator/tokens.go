package simulator

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/renameio/v2"

	"kitestring/messages"
	"kitestring/messages/ist"
)

// sessions issues and checks tokens.
type sessions struct {
	key     []byte // HMAC key: the API secret, hashed for this use
	apiKey  string
	secret  messages.Secret
	relogin Relogin
	now     func() time.Time // the exchange's
	file    string           // "": memory only
	// unflushed: tokens of the day before stay good (FaultNoFlush).
	unflushed atomic.Bool

	mu       sync.Mutex
	requests map[string]requestToken // by value; they live minutes, in memory
	current  messages.AccessToken    // the newest issued by this process
	last     uint64                  // its serial, or higher
	kept     withdrawn
}

type requestToken struct {
	issued time.Time
	used   bool
}

// withdrawn is what the state directory holds. Tokens themselves never are.
type withdrawn struct {
	Since  uint64           `json:"dead_before_serial"` // every token with a smaller serial is invalid
	Hashes map[string]int64 `json:"revoked"`            // hex SHA-256 of a token -> its day
}

// requestTokenLife is how long a request token waits for its exchange (javakiteconnect#2).
const requestTokenLife = 5 * time.Minute

// Why a login did not come to a session.
var (
	errChecksum     = errors.New("invalid checksum")
	errRequestToken = errors.New("token is invalid or has expired")
)

func newSessions(cfg Config, now func() time.Time) (*sessions, error) {
	key := sha256.Sum256([]byte("kitestring simulator access token\x00" + cfg.APIKey + "\x00" + cfg.APISecret.Reveal()))
	s := &sessions{
		key: key[:], apiKey: cfg.APIKey, secret: cfg.APISecret, relogin: cfg.Relogin, now: now,
		requests: map[string]requestToken{}, kept: withdrawn{Hashes: map[string]int64{}},
	}
	if cfg.StateDir == "" {
		return s, nil
	}
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("withdrawn tokens: %w", err)
	}
	s.file = filepath.Join(cfg.StateDir, "simulator-sessions.json")
	text, err := os.ReadFile(s.file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, nil
	case err != nil:
		return nil, fmt.Errorf("withdrawn tokens: %w", err)
	}
	if err := json.Unmarshal(text, &s.kept); err != nil {
		return nil, fmt.Errorf("withdrawn tokens: %s is not what the simulator wrote; delete it: %w", s.file, err)
	}
	if s.kept.Hashes == nil {
		s.kept.Hashes = map[string]int64{}
	}
	s.last = s.kept.Since
	return s, nil
}

// tokenDay numbers the days of tokens, which begin at 06:00 IST.
func tokenDay(t time.Time) int64 { return dayNumber(t.In(ist.Zone).Add(-6 * time.Hour)) }

// A token is 23 bytes in base 62: 13 of MAC, then 10 of payload under a mask
// that the MAC makes: 2 day, 6 serial, 2 random.
const (
	macBytes     = 13
	payloadBytes = 10
	tokenLength  = 32
)

func (s *sessions) mac(purpose byte, data []byte) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte{purpose})
	h.Write(data)
	return h.Sum(nil)
}

func (s *sessions) mint(day int64, serial uint64) messages.AccessToken {
	payload := make([]byte, payloadBytes)
	binary.BigEndian.PutUint64(payload, serial)
	binary.BigEndian.PutUint16(payload, uint16(day)) // a serial has 48 bits
	_, _ = rand.Read(payload[8:])                    // never fails
	mac := s.mac(1, payload)[:macBytes]
	mask := s.mac(2, mac)
	for i := range payload {
		payload[i] ^= mask[i]
	}
	return messages.NewAccessToken(encodeToken(append(mac, payload...)))
}

// certify reads a token that this key issued.
func (s *sessions) certify(token string) (day int64, serial uint64, ok bool) {
	raw, ok := decodeToken(token)
	if !ok {
		return 0, 0, false
	}
	mac, payload := raw[:macBytes], raw[macBytes:]
	mask := s.mac(2, mac)
	for i := range payload {
		payload[i] ^= mask[i]
	}
	if subtle.ConstantTimeCompare(s.mac(1, payload)[:macBytes], mac) != 1 {
		return 0, 0, false
	}
	day = int64(binary.BigEndian.Uint16(payload))
	return day, binary.BigEndian.Uint64(payload) & (1<<48 - 1), true
}

func encodeToken(raw []byte) string {
	text := new(big.Int).SetBytes(raw).Text(62)
	return strings.Repeat("0", tokenLength-len(text)) + text
}

func decodeToken(text string) ([]byte, bool) {
	if len(text) != tokenLength || text[0] == '-' || text[0] == '+' {
		return nil, false
	}
	n, ok := new(big.Int).SetString(text, 62)
	if !ok || n.BitLen() > 8*(macBytes+payloadBytes) {
		return nil, false
	}
	return n.FillBytes(make([]byte, macBytes+payloadBytes)), true
}

// issue makes a token; every older one is invalid from now on. fresh
// is false when the valid one was given again.
func (s *sessions) issue(relogin Relogin) (token messages.AccessToken, fresh bool, err error) {
	if relogin == ReloginSame && s.valid(s.newest()) {
		return s.newest(), false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = max(s.last+1, uint64(time.Now().UnixMilli()))
	s.kept.Since = s.last
	s.current = s.mint(tokenDay(s.now()), s.last)
	return s.current, true, s.save()
}

func (s *sessions) newest() messages.AccessToken {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

// expire ends every token issued so far, as the flush of the morning does.
func (s *sessions) expire() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = max(s.last, uint64(time.Now().UnixMilli())) + 1
	s.kept.Since = s.last
	return s.save()
}

// revoke ends one token; false when it was not valid.
func (s *sessions) revoke(token messages.AccessToken) (bool, error) {
	if !s.valid(token) {
		return false, nil
	}
	day, _, _ := s.certify(token.Reveal())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept.Hashes[tokenHash(token)] = day
	return true, s.save()
}

func tokenHash(token messages.AccessToken) string {
	sum := sha256.Sum256([]byte(token.Reveal()))
	return hex.EncodeToString(sum[:])
}

// valid reports whether a token is good for anything now.
func (s *sessions) valid(token messages.AccessToken) bool {
	day, serial, ok := s.certify(token.Reveal())
	if !ok || day < tokenDay(s.now()) && !s.unflushed.Load() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, revoked := s.kept.Hashes[tokenHash(token)]
	return !revoked && serial >= s.kept.Since
}

// save writes what was withdrawn; days that are over need no memory.
func (s *sessions) save() error {
	today := tokenDay(s.now())
	for hash, day := range s.kept.Hashes {
		if day < today {
			delete(s.kept.Hashes, hash)
		}
	}
	if s.file == "" {
		return nil
	}
	text, err := json.Marshal(s.kept)
	if err != nil {
		return fmt.Errorf("withdrawn tokens: %w", err)
	}
	if err := renameio.WriteFile(s.file, text, 0o600); err != nil {
		return fmt.Errorf("withdrawn tokens: %w", err)
	}
	return nil
}

// request makes a request token: what an approved login brings.
func (s *sessions) request() string {
	raw := make([]byte, 23)
	_, _ = rand.Read(raw)
	token := encodeToken(raw)
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for old, r := range s.requests {
		if age := now.Sub(r.issued); age > time.Hour || age < -time.Hour {
			delete(s.requests, old)
		}
	}
	s.requests[token] = requestToken{issued: now}
	return token
}

// checksum is the hex SHA-256 of key, request token and secret.
func (s *sessions) checksum(request string) string {
	sum := sha256.Sum256([]byte(s.apiKey + request + s.secret.Reveal()))
	return hex.EncodeToString(sum[:])
}

// redeem takes a request token once.
func (s *sessions) redeem(request, checksum string) error {
	if subtle.ConstantTimeCompare([]byte(s.checksum(request)), []byte(checksum)) != 1 {
		return errChecksum
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.requests[request]
	if !ok || r.used || now.Sub(r.issued) > requestTokenLife || now.Before(r.issued.Add(-requestTokenLife)) {
		return errRequestToken
	}
	r.used = true
	s.requests[request] = r
	return nil
}

// IssueToken logs in without the page: a new token (or the same, as
// Config.Relogin says), the older ones invalid, open sockets as Config.OldSockets
// says.
func (e *Exchange) IssueToken() (messages.AccessToken, error) { return e.login(e.cfg.Relogin) }

// Rotate is a login that always gives a new token.
func (e *Exchange) Rotate() (messages.AccessToken, error) { return e.login(ReloginNew) }

func (e *Exchange) login(relogin Relogin) (messages.AccessToken, error) {
	token, fresh, err := e.sessions.issue(relogin)
	if err != nil {
		return messages.AccessToken{}, err
	}
	if fresh {
		e.log.Info("simulator issued a token", "fingerprint", token.Fingerprint())
		e.cutOld(token.Fingerprint())
	}
	return token, nil
}

// Expire ends every token, as the flush at 06:00 does. Sockets stay open.
func (e *Exchange) Expire() error {
	e.log.Info("simulator expired its tokens")
	return e.sessions.expire()
}

// LogoutAll ends every token, as the master logout in the web terminal does:
// open sockets go as Config.OldSockets says.
func (e *Exchange) LogoutAll() error {
	if err := e.Expire(); err != nil {
		return err
	}
	e.cutOld("")
	return nil
}

// Logout ends one token; false when it was not valid.
func (e *Exchange) Logout(token messages.AccessToken) (bool, error) {
	gone, err := e.sessions.revoke(token)
	if gone {
		e.log.Info("simulator withdrew a token", "fingerprint", token.Fingerprint())
		e.cutOld("")
	}
	return gone, err
}

// Valid reports whether a token works for REST and upgrades now.
func (e *Exchange) Valid(token messages.AccessToken) bool { return e.sessions.valid(token) }

// Issued reports whether an exchange with this API key and secret made the token,
// valid or not. What it did not make, a person or another program wrote.
func (e *Exchange) Issued(token messages.AccessToken) bool {
	_, _, ok := e.sessions.certify(token.Reveal())
	return ok
}

// cutOld closes the sockets of invalid tokens, where the policy is that.
func (e *Exchange) cutOld(valid string) {
	if e.cfg.OldSockets != OldSocketsCut {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.sockets {
		if s.token.fingerprint != valid {
			e.push(s, message(closeTCP, nil))
		}
	}
}
