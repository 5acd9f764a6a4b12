package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"

	"kitestring/messages"
	"kitestring/messages/scrub"
)

// mostExpiries is how many observations are kept: a month of mornings.
const mostExpiries = 30

// Store is what auth knows beyond one incarnation: verdicts, reasons and the
// market's phase for as long as the process lives, the observed expiry times
// for good, in a small file. Made once by the tree. Safe for concurrent use.
type Store struct {
	path        string
	accountPath string

	mu       sync.Mutex
	state    state
	settled  messages.Generation // the newest that all have taken up
	expiries []Expiry
	account  string // of the last login or profile; "": none yet
	fault    error  // why the file could not be read; reported once
	writing  sync.Mutex
}

// NewStore reads the observations in path, a file in the state directory; a
// file that is missing or damaged means that there are none yet.
func NewStore(path string) *Store {
	name := strings.TrimPrefix(strings.TrimSuffix(filepath.Base(path), ".json"), "expiry-")
	m := &Store{path: path, accountPath: filepath.Join(filepath.Dir(path), "account-"+name)}
	if account, err := os.ReadFile(m.accountPath); err == nil {
		m.account = scrub.Text(string(account))
	}
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &m.expiries)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.expiries, m.fault = nil, fmt.Errorf("read learned expiry times: %w", err)
	}
	m.state.expiryTime = learnedTime(m.expiries)
	return m
}

// Expiries are the observed ends of tokens, oldest first.
func (m *Store) Expiries() []Expiry {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Expiry(nil), m.expiries...)
}

func (m *Store) load() (state, messages.Generation, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fault := m.fault
	m.fault = nil
	return m.state, m.settled, fault
}

func (m *Store) save(s state) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = s
}

func (m *Store) settle(g messages.Generation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settled = g
}

// add keeps an observation; write puts all of them into the file.
func (m *Store) add(e Expiry) (all []Expiry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expiries = append(m.expiries, e)
	if n := len(m.expiries) - mostExpiries; n > 0 {
		m.expiries = append([]Expiry(nil), m.expiries[n:]...)
	}
	return append([]Expiry(nil), m.expiries...)
}

func (m *Store) write() error {
	m.writing.Lock()
	defer m.writing.Unlock()
	data, err := json.MarshalIndent(m.Expiries(), "", "  ")
	if err != nil {
		return fmt.Errorf("encode learned expiry times: %w", err)
	}
	if err := renameio.WriteFile(m.path, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("write learned expiry times: %w", err)
	}
	return nil
}

// Account is the user ID of the account that this server works with; "": not
// known yet.
func (m *Store) Account() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.account
}

// SetAccount remembers the account, over restarts of the process.
func (m *Store) SetAccount(userID string) error {
	userID = scrub.Text(userID)
	m.mu.Lock()
	same := userID == "" || userID == m.account
	if !same {
		m.account = userID
	}
	m.mu.Unlock()
	if same {
		return nil
	}
	m.writing.Lock()
	defer m.writing.Unlock()
	if err := renameio.WriteFile(m.accountPath, []byte(userID+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the account: %w", err)
	}
	return nil
}

// Adopted is what is known of the adopted token, and the exchange time of its
// last proof, zero for none.
func (m *Store) Adopted() (status messages.TokenStatus, proven time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.report(instant{}).Adopted, m.state.adopted.validAt
}

// LoginDue reports whether a trading day waits for its login, as auth saw it
// last.
func (m *Store) LoginDue() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.loginDue()
}
