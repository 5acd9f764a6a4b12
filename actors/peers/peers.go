// Package peers keeps two servers on one login: whichever of the two has the
// newer token that Kite accepts gives it to the other, which writes it into its
// own .env file and takes it up as it does any change of the file.
//
// Promise: a login on either server serves both within 10 s. A token crosses
// only sealed (filippo.io/age) to the key of the enrolled peer, inside TLS 1.3
// that is pinned to both enrolled certificates. Every 5 s both compare what they
// have, as state: what was lost on the way is sent again by itself. Kite is asked
// about a token of the peer's before the file is touched: one that it refuses is
// never written. Of two tokens that differ, the one that Kite accepts counts; of
// two that it accepts, the newer. No clock of one machine is compared with
// another's.
//
// Nothing is elected and nothing waits for the peer: without it, a server works
// as one without a peer does.
//
// Enrolment: [Config.Invite] makes a code that is good once, for ten minutes; it
// carries address, certificate and a secret. [Config.Join] uses it on the other
// server, which from then on connects to the first; only that one listens.
//
// Limits: two servers, one API key, one account. What can read the state
// directory of one server can play that server.
package peers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
	"kitestring/actors/kite"
	"kitestring/messages"
)

// Name is the actor's name.
const Name = "peers"

// lookEvery is how often the own token is looked at.
const lookEvery = 250 * time.Millisecond

// mostTalks bounds the conversations that are under way at once, on the side
// that listens.
const mostTalks = 8

// Config is what the actor needs.
type Config struct {
	Store    *Store
	Listen   func() (net.Listener, error) // nil: the other server does
	Addr     string                       // on which it listens; "": it does not
	Local    func() Local                 // safe for concurrent use
	Exchange kite.Exchange
	// Write puts a token into the .env file, or says why that may not be.
	Write   func(ctx context.Context, t messages.AccessToken) error
	Auth    *actor.PID                      // gets TokenDoubted
	Audit   func(warning bool, text string) // takes lines for people; safe for concurrent use
	Version string                          // of the program
	Observe func(written []byte)            // what is written inside TLS, for tests; nil: not wanted
}

// New makes the producer of the actor. It is sent no messages.
func New(cfg *Config) actors.Producer {
	return func(self actors.Self) actors.Actor { return &peers{Config: cfg, self: self} }
}

type peers struct {
	*Config
	self  actors.Self
	state state
}

// look is the timer's message.
type look struct{}

// Receive implements actors.Actor.
func (p *peers) Receive(msg any) {
	switch m := msg.(type) {
	case actors.Started:
		p.state = p.Store.load()
		p.state.busy = false // of the last incarnation
		if p.Listen != nil {
			p.self.Go("listen for the peer", p.serve)
		}
		p.self.Every(lookEvery, look{})
		p.look()
	case look:
		p.look()
	case event:
		p.step(m)
	case actors.Stopped:
	default:
		p.self.Log().Warn("message not understood", "type", fmt.Sprintf("%T", msg))
	}
}

func (p *peers) look() {
	ev := looked{mine: p.Store.token(p.Local())}
	if peer := p.Store.Enrolled(); peer != nil {
		ev.peer, ev.calls = peer.pin, peer.Addr != ""
	}
	p.step(ev)
	if p.Store.toSave() {
		p.self.Go("keep the ages of tokens", func(context.Context) error {
			if err := p.Store.saveTokens(); err != nil {
				p.self.Log().Warn("the ages of tokens are not kept over a restart", "error", err)
			}
			return nil
		})
	}
}

func (p *peers) step(ev event) {
	var effects []effect
	p.state, effects = next(p.state, ev, time.Now())
	p.Store.save(p.state)
	for _, e := range effects {
		switch e := e.(type) {
		case call:
			p.begin()
		case ask:
			if s := p.Local().Session; s.Token.Fingerprint() == e.fingerprint {
				p.self.Send(p.Auth, messages.TokenDoubted{Generation: s.Generation})
			}
		case audit:
			p.Audit(e.warn, e.text)
		case count:
			p.Store.metrics.met(e.outcome)
		}
	}
	if _, bad := ev.(failed); bad {
		p.Store.metrics.failed()
	}
}

// begin talks in a task; its end is an answer, whatever happens.
func (p *peers) begin() {
	peer := p.Store.Enrolled()
	if peer == nil || peer.Addr == "" {
		p.self.Tell(failed{reason: errNoPeer.Error(), called: true}) // removed in this moment
		return
	}
	p.self.Go("compare with the peer", func(ctx context.Context) error {
		o, err := p.Config.call(ctx, peer)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			p.self.Tell(failed{err.Error(), true})
		default:
			p.self.Tell(met{o, true})
		}
		return nil
	})
}

// serve answers the peer.
func (p *peers) serve(ctx context.Context) error {
	l, err := p.Listen()
	if err != nil {
		return fmt.Errorf("listen for the peer: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	talks := make(chan struct{}, mostTalks)
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if conn != nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // out of file descriptors
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		select {
		case talks <- struct{}{}:
		default:
			_ = conn.Close()
			continue
		}
		p.self.Go("answer the peer", func(ctx context.Context) error {
			defer func() { <-talks }()
			o, err := p.Config.answer(ctx, conn)
			switch {
			case ctx.Err() != nil:
			case err != nil:
				p.self.Tell(failed{reason: err.Error()})
			case o != nil:
				p.self.Tell(met{outcome: *o})
			}
			return nil
		})
	}
}
