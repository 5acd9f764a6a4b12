package auth

import (
	"crypto/rand"
	"encoding/base64"
	"sync"
	"time"

	"kitestring/messages"
)

const (
	// loginLasts is how long a login that was begun here may take.
	loginLasts = 10 * time.Minute
	// loginsKept is how long it is remembered, to distinguish late from unknown.
	loginsKept = time.Hour
	// mostLogins bounds the memory: a page in a reload loop begins many.
	mostLogins = 1024
)

// Logins are the logins under way, kept here and not in a cookie, so that
// another device can finish what this one began. Made once by the tree: a
// restart of the web actor or of auth loses none. Safe for concurrent use.
type Logins struct {
	mu    sync.Mutex
	begun map[string]*login // by state
	tried map[string]*login // by request token
	order []*login          // oldest first
	now   func() time.Time  // monotonic
	nonce func() string
}

// login is one login from its beginning, or, when somebody pasted a bare
// request token, from its end.
type login struct {
	state        string
	requestToken messages.Secret
	at           time.Time
	done         chan struct{} // closed when outcome is known; nil: not claimed yet
	outcome      outcome
}

// NewLogins makes a store without logins.
func NewLogins() *Logins {
	return &Logins{
		begun: map[string]*login{}, tried: map[string]*login{},
		now: time.Now,
		nonce: func() string {
			var b [32]byte
			_, _ = rand.Read(b[:]) // never fails (crypto/rand)
			return base64.RawURLEncoding.EncodeToString(b[:])
		},
	}
}

// begin notes a new login and gives its state.
func (l *Logins) begin() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := &login{state: l.nonce(), at: l.now()}
	l.begun[n.state] = n
	l.keep(n)
	return n.state
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
	n := l.begun[state]
	if state != "" {
		switch {
		case n == nil:
			return nil, claimUnknown
		case n.done != nil && n.running() && n.requestToken.Equal(requestToken):
			return n, claimJoined
		case n.done != nil:
			return n, claimReplayed
		case l.now().Sub(n.at) > loginLasts:
			return n, claimLate
		}
	}
	if other := l.tried[requestToken.Reveal()]; other != nil {
		if other.running() {
			return other, claimJoined
		}
		return other, claimReused
	}
	if n == nil {
		n = &login{at: l.now()}
		l.keep(n)
	}
	n.requestToken, n.done = requestToken, make(chan struct{})
	l.tried[requestToken.Reveal()] = n
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

// keep appends n and forgets what is old or too much.
func (l *Logins) keep(n *login) {
	l.order = append(l.order, n)
	for len(l.order) > mostLogins || l.now().Sub(l.order[0].at) > loginsKept {
		old := l.order[0]
		l.order = l.order[1:]
		delete(l.begun, old.state)
		delete(l.tried, old.requestToken.Reveal())
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
