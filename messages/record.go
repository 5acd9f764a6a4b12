package messages

// Socket names one WebSocket of the feed.
type Socket struct {
	Shard      int
	ID         uint64 // rises over all sockets of a process
	Generation Generation
}

// SocketFact is what becomes of a WebSocket, for the recorder. It holds no
// token.
type SocketFact struct {
	Kind        SocketFactKind `json:"kind"`
	Fingerprint string         `json:"fingerprint,omitempty"` // of the token that it was opened with
	Cause       string         `json:"cause,omitempty"`       // of its end: swap, remote, stale, malformed, local
	Reason      string         `json:"reason,omitempty"`      // the same in words
	Command     string         `json:"command,omitempty"`     // what was sent to Kite: a subscription, or a part of one
	Lenient     bool           `json:"lenient,omitempty"`     // of a swap: instruments without any packet are not waited for
	Forced      bool           `json:"forced,omitempty"`      // of a swap: nothing is waited for any longer
}

// SocketFactKind says what has become of a WebSocket.
type SocketFactKind string

// The kinds of facts.
const (
	SocketOpened     SocketFactKind = "opened"
	SocketClosed     SocketFactKind = "closed"
	SocketSubscribed SocketFactKind = "subscribed" // a command was sent
	SocketSettled    SocketFactKind = "settled"    // of a swap: the feed let it lead what it could lead
)
