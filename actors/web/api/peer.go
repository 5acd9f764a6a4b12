package api

import (
	"time"

	"kitestring/messages"
)

// Peer is GET /api/v1/peer: the second server that shares the login.
type Peer struct {
	Addr               string     `json:"addr"`                 // where this server listens for the other; empty: it does not
	Enrolled           bool       `json:"enrolled"`             // there is a second server; without one the rest is empty
	Name               string     `json:"name"`                 // of its machine
	PeerAddr           string     `json:"peer_addr"`            // where this server connects to; empty: the other one connects to this
	Certificate        string     `json:"certificate"`          // the first 16 hex digits of the SHA-256 of its certificate
	EnrolledAt         *time.Time `json:"enrolled_at"`          // null: there is none
	Coherent           bool       `json:"coherent"`             // both work with one token, or neither has one that Kite accepts
	Reason             string     `json:"reason"`               // why not, and what to do; or why there is nothing to share
	Warning            string     `json:"warning,omitempty"`    // what is wrong and keeps no token back, like a clock
	ComparedAgeSeconds *float64   `json:"compared_age_seconds"` // since the tokens were last compared; null: never
	ClockOffSeconds    float64    `json:"clock_offset_seconds"` // how far its clock is ahead of this server's
	Version            string     `json:"version"`              // of its program
	Mine               PeerToken  `json:"mine"`                 // this server's token
	Theirs             PeerToken  `json:"theirs"`               // as of the last comparison
}

// PeerToken is one side's token.
type PeerToken struct {
	Fingerprint string              `json:"fingerprint"` // the first 8 hex digits of the SHA-256 of it; empty: there is none
	Generation  messages.Generation `json:"generation"`  // number of the token among those of its own server
	Valid       bool                `json:"valid"`       // Kite accepted it, and has not refused it since
	Pending     bool                `json:"pending"`     // a newer one is in its .env file and is not proven
	AgeSeconds  float64             `json:"age_seconds"` // since Kite first accepted it; 0: it is not valid
}

// PeerInvite is the body of POST /api/v1/peer/invite.
type PeerInvite struct {
	Addr string `json:"addr,omitempty"` // where the other server reaches this one; empty: where it listens
}

// PeerInvitation is the answer.
type PeerInvitation struct {
	Code      string    `json:"code"`       // for "kitestring peer join" on the other server; a secret until it is used
	Addr      string    `json:"addr"`       // where the other server connects to
	ExpiresAt time.Time `json:"expires_at"` // the code is good until then
}

// PeerJoin is the body of POST /api/v1/peer/join.
type PeerJoin struct {
	Code string `json:"code"` // of "kitestring peer invite"
}
