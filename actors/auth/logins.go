package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"kitestring/messages"
)

const (
	// loginLasts is how long a login that was begun here may take.
	loginLasts = 10 * time.Minute
	// mostLogins bounds how many finished logins are remembered.
	mostLogins = 1024
)

// Logins are the logins of this server. One that has begun is not remembered:
// its state certifies itself, so that no flood of beginnings can push it out,
// and another device can finish what this one began. One that comes back is
// remembered, because it counts once. Made once by the tree: a restart of the
// web actor or of auth loses none. Safe for concurrent use.
type Logins struct {
	mu    sync.Mutex
	used  map[string]*login // by state
	tried map[string]*login // by request token
	order []*login          // oldest first
	begun time.Time         // the newest beginning; zero: none, or it was cancelled
	key   [32]byte          // of this process
	start time.Time
	now   func() time.Time // monotonic
}

// login is a login from its callback on.
type login struct {
	state        string // "": a person pasted the bare request token
	requestToken messages.Secret
	done         chan struct{} // closed when outcome is known
	outcome      outcome
}

// NewLogins makes a store without logins.
func NewLogins() *Logins {
	l := &Logins{used: map[string]*login{}, tried: map[string]*login{}, now: time.Now, start: time.Now()}
	_, _ = rand.Read(l.key[:]) // never fails (crypto/rand)
	return l
}

// A state is the time of its beginning, chance, and a certificate of both.
const (
	stateText = 8 + 8
	stateSize = stateText + 16
)

// begin gives the state of a new login.
func (l *Logins) begin() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun = l.now()
	b := make([]byte, stateText, stateSize)
	binary.BigEndian.PutUint64(b, uint64(l.begun.Sub(l.start)))
	_, _ = rand.Read(b[8:])
	return base64.RawURLEncoding.EncodeToString(append(b, l.certificate(b)...))
}

func (l *Logins) certificate(text []byte) []byte {
	mac := hmac.New(sha256.New, l.key[:])
	mac.Write(text)
	return mac.Sum(nil)[:stateSize-stateText]
}

// age is how long ago the login of a state began; false: none of this process
// has that state.
func (l *Logins) age(state string) (time.Duration, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(state)
	if err != nil || len(b) != stateSize || !hmac.Equal(b[stateText:], l.certificate(b[:stateText])) {
		return 0, false
	}
	return l.now().Sub(l.start) - time.Duration(binary.BigEndian.Uint64(b)), true
}

// cancel notes that Kite says a login was cancelled, without saying which;
// false: none is under way.
func (l *Logins) cancel() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	underWay := !l.begun.IsZero() && l.now().Sub(l.begun) <= loginLasts
	l.begun = time.Time{}
	return underWay
}

// claimed says whether a callback may exchange.
type claimed uint8

const (
	claimMine     claimed = iota // exchange, then finish
	claimJoined                  // another callback is exchanging: wait for its outcome
	claimUnknown                 // no such state here
	claimLate                    // begun more than 10 minutes ago
	claimReplayed                // this login has ended before
	claimReused                  // this request token was tried before
)

// claim takes a request token for the one exchange that it is good for. state
// is "" when a person pasted the bare request token.
func (l *Logins) claim(state string, requestToken messages.Secret) (*login, claimed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.used[state]
	if state != "" {
		age, ours := l.age(state)
		switch {
		case !ours:
			return nil, claimUnknown
		case n != nil && n.running() && n.requestToken.Equal(requestToken):
			return n, claimJoined
		case n != nil:
			return n, claimReplayed
		case age > loginLasts:
			return n, claimLate
		}
	}
	if other := l.tried[requestToken.Reveal()]; other != nil {
		if other.running() {
			return other, claimJoined
		}
		return other, claimReused
	}
	n = &login{state: state, requestToken: requestToken, done: make(chan struct{})}
	l.keep(n)
	return n, claimMine
}

func (n *login) running() bool {
	select {
	case <-n.done:
		return false
	default:
		return true
	}
}

// finish makes the outcome known to those who joined.
func (l *Logins) finish(n *login, o outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n.outcome = o
	close(n.done)
}

// past says for a person how a login ended.
func (l *Logins) past(n *login) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch n.outcome.result {
	case "":
		return "It is still being finished."
	case messages.LoginOK:
		return "It succeeded then."
	default:
		return "It did not work then."
	}
}

// keep remembers n, and forgets the oldest that has ended.
func (l *Logins) keep(n *login) {
	if i := slices.IndexFunc(l.order, func(n *login) bool { return !n.running() }); i >= 0 && len(l.order) >= mostLogins {
		delete(l.used, l.order[i].state)
		delete(l.tried, l.order[i].requestToken.Reveal())
		l.order = slices.Delete(l.order, i, i+1)
	}
	l.order = append(l.order, n)
	l.tried[n.requestToken.Reveal()] = n
	if n.state != "" {
		l.used[n.state] = n
	}
}

// Secrets are the request tokens of the logins remembered, for the scrubbing
// of logs.
func (l *Logins) Secrets() []messages.Secret {
	l.mu.Lock()
	defer l.mu.Unlock()
	var secrets []messages.Secret
	for _, n := range l.tried {
		secrets = append(secrets, n.requestToken)
	}
	return secrets
}
