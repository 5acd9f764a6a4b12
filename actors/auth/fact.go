package auth

import (
	"time"

	"kitestring/messages"
)

// fact is what is known of one generation. The zero value is "no token".
type fact struct {
	session  messages.Session
	source   messages.ChangeSource
	state    messages.AuthState
	reason   string
	seen     time.Time // exchange time at which it was first heard of
	since    time.Time // wall time of the state's beginning
	checked  time.Time // wall time of the profile's last word; zero: none
	proven   time.Time // exchange time of the first proof; zero: none
	validAt  time.Time // exchange time of the last proof
	proof    messages.Proof
	failures int       // questions in a row without a verdict
	again    time.Time // monotonic; not to be asked before
}

func (f fact) generation() messages.Generation { return f.session.Generation }

// pending: a token that still waits for its verdict.
func (f fact) pending() bool { return f.state == messages.Unverified }

func (f fact) become(state messages.AuthState, reason string, now instant) fact {
	if f.state != state {
		f.since = now.wall
	}
	f.state, f.reason = state, reason
	return f
}

func (f fact) prove(proof messages.Proof, now instant) fact {
	if f.proven.IsZero() {
		f.proven, f.proof = now.exchange, proof
	}
	f.validAt, f.failures, f.again = now.exchange, 0, time.Time{}
	return f.become(messages.Valid, "", now)
}

func fresh(session messages.Session, source messages.ChangeSource, now instant) fact {
	return fact{
		session: session, source: source, state: messages.Unverified,
		reason: "Asking Kite whether it accepts this token.",
		seen:   now.exchange, since: now.wall,
	}
}

func (f fact) status() messages.TokenStatus {
	return messages.TokenStatus{
		Generation: f.generation(), Fingerprint: f.session.Token.Fingerprint(), State: f.state,
		Reason: f.reason, Since: f.since, CheckedAt: f.checked,
	}
}
