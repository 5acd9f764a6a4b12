package peers

import (
	"fmt"
	"slices"
	"time"
)

// How often two servers compare, and how soon after a token has gone over, or
// an own one is new.
const (
	compareEvery = 5 * time.Second
	againAfter   = time.Second
	// lostAfter is how old a comparison may be and still say how things are.
	lostAfter = 3 * compareEvery
	// mostClockOff is how far the clocks may differ before it is said.
	mostClockOff = 20 * time.Second
)

// verdict is what follows from two tokens.
type verdict uint8

const (
	same    verdict = iota // both work with one token
	nothing                // neither has a valid one: a login is due, on either
	send                   // ours goes to the peer
	receive                // the peer's comes here
	wait                   // one side proves a newer one just now
	doubt                  // Kite refuses ours when the peer asks: ask about it here
	apart                  // nothing may go over
)

// compare decides between two tokens. Both sides come to the same result from
// the same two: one sends exactly when the other receives.
func compare(mine, theirs Token) (v verdict, why string) {
	switch {
	case mine.APIKey != theirs.APIKey:
		return apart, "the two servers have different API keys: put the same ZERODHA_API_KEY into both .env files"
	case mine.Account != "" && theirs.Account != "" && mine.Account != theirs.Account:
		return apart, "the two servers are logged in with different accounts: log in with the same one on both"
	case mine.Fingerprint != "" && mine.Fingerprint == theirs.Fingerprint:
		return same, ""
	case !mine.Valid && !theirs.Valid:
		return nothing, "neither server has a token that Kite accepts: log in on either"
	}
	if !newer(mine, theirs) {
		switch {
		case slices.Contains(mine.Refused, theirs.Fingerprint):
			return wait, "Kite refuses the peer's token when this server asks; the peer asks about it itself"
		case mine.Pending:
			return wait, "a newer token in the .env file is being checked here"
		}
		return receive, "the peer's token is newer"
	}
	switch {
	case slices.Contains(theirs.Refused, mine.Fingerprint):
		return doubt, "Kite refuses this server's token when the peer asks"
	case theirs.Pending:
		return wait, "the peer checks a newer token in its .env file"
	}
	return send, "this server's token is newer"
}

// newer says whose token is to serve both: the valid one, of two valid ones the
// one that Kite accepted first for the last time. A tie needs any rule that is
// the same on both sides.
func newer(mine, theirs Token) bool {
	switch {
	case mine.Valid != theirs.Valid:
		return mine.Valid
	case mine.AgeMS != theirs.AgeMS:
		return mine.AgeMS < theirs.AgeMS
	}
	return mine.Fingerprint > theirs.Fingerprint
}

// state is what the actor knows. Times are monotonic.
type state struct {
	peer     fingerprint // zero: none is enrolled
	since    time.Time   // of the enrolment, or of the start
	calls    bool        // this side connects
	mine     Token
	exchange outcome   // the last good one
	met      time.Time // when; zero: none yet
	fault    string    // why the last attempt failed; "": it did not
	faultAt  time.Time
	busy     bool // an attempt is under way
	due      time.Time
	doubted  string // fingerprint that auth has been asked about

	judged   bool // coherent and reason hold
	coherent bool
	reason   string
}

// outcome is what came of a conversation.
type outcome struct {
	theirs   Token
	name     string
	version  string
	clockOff time.Duration // of the peer's clock ahead of this server's
	token    string        // fingerprint of the one that was on its way
	moved    verdict       // send, receive: a token was on its way; else what compare said
	ok       bool          // and has arrived
	refused  bool          // Kite refuses it
	reason   string        // why not, or what compare said
}

// event is what moves the state.
//
//sumtype:decl
type event interface{ event() }

type (
	// looked is a look at what this server has.
	looked struct {
		peer  fingerprint
		calls bool
		mine  Token
	}
	// met is the end of a conversation; called: this side began it.
	met struct {
		outcome outcome
		called  bool
	}
	// failed is the end of an attempt, or of a call of the peer's, that brought
	// nothing.
	failed struct {
		reason string
		called bool
	}
)

func (looked) event() {}
func (met) event()    {}
func (failed) event() {}

// effect is something to do.
//
//sumtype:decl
type effect interface{ effect() }

type (
	// call begins a conversation.
	call struct{}
	// ask has auth ask Kite about this server's token.
	ask struct{ fingerprint string }
	// audit is a line for people: what two servers did.
	audit struct {
		warn bool
		text string
	}
	// count is for the metrics.
	count struct{ outcome outcome }
)

func (call) effect()  {}
func (ask) effect()   {}
func (audit) effect() {}
func (count) effect() {}

// next is the whole behaviour.
func next(s state, ev event, now time.Time) (state, []effect) {
	var out []effect
	switch ev := ev.(type) {
	case looked:
		if ev.peer != s.peer {
			s = state{peer: ev.peer, since: now, busy: s.busy}
		}
		changed := ev.mine.Fingerprint != s.mine.Fingerprint || ev.mine.Valid != s.mine.Valid
		s.calls, s.mine = ev.calls, ev.mine
		if changed {
			s.due = time.Time{}
		}
		if s.peer != (fingerprint{}) && s.calls && !s.busy && !now.Before(s.due) {
			s.busy, s.due = true, now.Add(compareEvery)
			out = append(out, call{})
		}
	case met:
		s, out = s.converse(ev, now)
	case failed:
		if ev.called {
			s.busy = false
		}
		if s.fault != ev.reason {
			out = append(out, audit{true, ev.reason})
		}
		s.fault, s.faultAt = ev.reason, now
	}
	return s.judge(now, out)
}

func (s state) converse(ev met, now time.Time) (state, []effect) {
	o := ev.outcome
	if ev.called {
		s.busy = false
	}
	out := []effect{count{o}}
	s.exchange, s.met, s.fault = o, now, ""
	switch {
	case o.moved == send && o.ok:
		out = append(out, audit{false, fmt.Sprintf("token %s sent, sealed, to the peer %s, which has written it into its .env file", o.token, o.name)})
	case o.moved == receive && o.ok:
		out = append(out, audit{false, fmt.Sprintf("token %s came from the peer %s and is written into the .env file", o.token, o.name)})
	case o.moved == send:
		out = append(out, audit{true, fmt.Sprintf("the peer %s did not take token %s: %s", o.name, o.token, o.reason)})
	case o.moved == receive:
		out = append(out, audit{true, fmt.Sprintf("token %s of the peer %s was not taken: %s", o.token, o.name, o.reason)})
	}
	// Kite refuses ours on the other side: auth asks, once a token.
	if f := s.mine.Fingerprint; (o.moved == doubt || o.moved == send && o.refused && o.token == f) && s.doubted != f {
		s.doubted = f
		out = append(out, ask{f})
	}
	switch o.moved {
	case send, receive:
		if o.ok {
			s.due = now.Add(againAfter)
		}
	case wait, doubt:
		s.due = now.Add(againAfter)
	case same, nothing, apart:
	}
	return s, out
}

// judge says whether both servers work with one token, and what is in the way.
func (s state) judge(now time.Time, out []effect) (state, []effect) {
	coherent, reason := s.view(now)
	if s.judged && s.peer != (fingerprint{}) && coherent != s.coherent {
		if coherent {
			out = append(out, audit{false, "both servers work with one token"})
		} else {
			out = append(out, audit{true, "the two servers do not work with one token: " + reason})
		}
	}
	// The first seconds say nothing yet.
	s.judged = s.judged || coherent || now.Sub(s.since) > lostAfter
	s.coherent, s.reason = coherent, reason
	return s, out
}

func (s state) view(now time.Time) (coherent bool, reason string) {
	switch {
	case s.peer == (fingerprint{}):
		return false, "no peer is enrolled"
	case s.met.IsZero() && s.fault != "":
		return false, s.fault
	case s.met.IsZero():
		return false, "the peer has not been reached yet" + s.calling()
	case now.Sub(s.met) > lostAfter && s.fault != "":
		return false, s.fault
	case now.Sub(s.met) > lostAfter:
		return false, fmt.Sprintf("the peer has not been in touch for %s: it is down, cut off, or has removed this server%s", now.Sub(s.met).Round(time.Second), s.calling())
	}
	v, why := compare(s.mine, s.exchange.theirs)
	switch v {
	case same:
		return true, ""
	case nothing:
		return true, why
	case send, receive:
		if !s.exchange.ok && (s.exchange.moved == send || s.exchange.moved == receive) {
			why = s.exchange.reason
		}
	case wait, doubt, apart:
	}
	return false, why
}

func (s state) calling() string {
	if s.calls {
		return ""
	}
	return "; it is the other server that connects to this one"
}
