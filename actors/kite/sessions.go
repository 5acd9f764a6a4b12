package kite

import (
	"sync"

	"kitestring/actors"
	"kitestring/messages"
)

// Sessions keeps the REST client of one holder: one client per generation of
// the token. Safe for concurrent use.
type Sessions struct {
	exchange Exchange
	tokens   actors.TokenSource
	holder   string

	mu     sync.Mutex
	client *Client
}

// NewSessions makes the clients of an actor; holder is the actor's name.
func NewSessions(ex Exchange, tokens actors.TokenSource, holder string) *Sessions {
	return &Sessions{exchange: ex, tokens: tokens, holder: holder}
}

// Client is the client of a session. A question that was put before a newer
// session was taken up gets a retired client.
func (s *Sessions) Client(session messages.Session) *Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.client != nil && s.client.Generation() == session.Generation:
		return s.client
	case s.client != nil && s.client.Generation() > session.Generation:
		late := New(s.exchange, session, func(messages.Generation) {})
		late.Retire()
		return late
	case s.client != nil:
		s.client.Retire()
	}
	s.client = New(s.exchange, session, func(g messages.Generation) { s.tokens.Used(s.holder, g) })
	return s.client
}
