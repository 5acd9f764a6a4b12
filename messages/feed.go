package messages

import "time"

// FeedState is the state of one shard of the feed. The zero value is initial.
type FeedState uint8

// The states of a shard.
const (
	AwaitingToken FeedState = iota // nothing to dial with
	Connecting
	Streaming
	Backoff
	Unauthorised // Kite answered 403 at the upgrade: parked until the token or its verdict changes
	Stopped
)

var feedStates = [...]string{"awaiting_token", "connecting", "streaming", "backoff", "unauthorised", "stopped"}

// String is the state in lower_snake_case.
func (s FeedState) String() string { return nameOf(feedStates[:], uint8(s)) }

// MarshalText implements encoding.TextMarshaler.
func (s FeedState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *FeedState) UnmarshalText(text []byte) error { return named(feedStates[:], text, (*uint8)(s)) }

// ShardStatus is the state of one socket's place.
type ShardStatus struct {
	Shard       int        `json:"shard"`
	State       FeedState  `json:"state"`
	Generation  Generation `json:"generation"` // of the socket that leads; 0: none
	Instruments int        `json:"instruments"`
	Reason      string     `json:"reason,omitempty"` // plain words: what happened and what happens next
	Since       time.Time  `json:"since"`
	NextDialAt  time.Time  `json:"next_dial_at"` // zero: no dial planned
}

// FeedChanged carries the state of every shard; counters that move with each
// frame are read from the feed's Stats instead.
// Sent by feed; received by web.
type FeedChanged struct {
	State  FeedState // the worst of the shards
	Shards []ShardStatus
	Stale  bool   // frames arrive, ticks do not, and the market is open
	Reason string // plain words
	At     time.Time
}

// Rotation is the receipt of one move to a new token. Times are milliseconds
// since the file changed; nil means that it did not happen.
type Rotation struct {
	Generation   Generation   `json:"generation"`
	Source       ChangeSource `json:"source"`                // how the change was seen: start, event, poll, login
	ChangedAt    time.Time    `json:"changed_at"`            // when the file was changed
	DetectedMS   *float64     `json:"detected_ms"`           // milliseconds from then until the program saw it; null: not yet
	ValidatedMS  *float64     `json:"validated_ms"`          // milliseconds until Kite accepted it; null: not yet
	DialledMS    *float64     `json:"dialled_ms"`            // milliseconds until a socket with it was open; null: not yet
	FirstFrameMS *float64     `json:"first_frame_ms"`        // milliseconds until the first valid frame on it; null: not yet
	FirstTickMS  *float64     `json:"first_tick_ms"`         // milliseconds until the first tick on it; null: not yet
	RetiredMS    *float64     `json:"retired_ms"`            // milliseconds until the old socket closed; null: not yet
	TotalMS      *float64     `json:"total_ms"`              // milliseconds until nothing of the older generation was left; null: not yet
	Overlapped   int64        `json:"ticks_overlapped"`      // number of ticks that came on both sockets and went out once
	Repeated     *int64       `json:"ticks_duplicated"`      // number of ticks delivered more than once; nil where the source is not sequenced
	Lost         *int64       `json:"ticks_lost"`            // number of ticks that are missing; nil where the source is not sequenced
	Matched      int64        `json:"instruments_matched"`   // number of instruments that the new socket took over by a packet that both brought
	Ordered      int64        `json:"instruments_ordered"`   // number of instruments taken over by a packet that was newer than all before
	Unmatched    int64        `json:"instruments_unmatched"` // number of instruments taken over by a packet of which neither could be said
	Shards       int          `json:"shards"`                // number of sockets that changed
	Clients      *int         `json:"gateway_clients"`       // number of sockets of the gateway's clients that streamed on; nil: not completed, or no gateway
	Result       string       `json:"result"`                // pending, adopted, rejected, superseded
	Reason       string       `json:"reason,omitempty"`
}

// RotationRecorded carries a receipt each time one of its stages is reached.
// Sent by feed; received by record, web and bus.
type RotationRecorded struct{ Rotation Rotation }

// OrderUpdated is an order update from the socket's text messages.
// Sent by feed; received by web and gateway.
type OrderUpdated struct {
	OrderID string
	Status  string
	Raw     []byte // the JSON of the data field
	At      time.Time
}

// ExchangeTexted is a message text of Kite's for its users.
// Sent by feed; received by gateway.
type ExchangeTexted struct{ Text string }

// InstrumentsRefused carries the instruments that are wanted and not streamed,
// by instrument token, with what is wrong and what is allowed; after each
// WantInstruments while there are any, and once when there are none any more.
// Sent by feed; received by gateway.
type InstrumentsRefused struct{ Reasons map[uint32]string }

// ToFeed is what the feed actor answers.
//
//sumtype:decl
type ToFeed interface{ toFeed() }

func (TokenChanged) toFeed()    {}
func (TokenVerdict) toFeed()    {}
func (TokenAdopted) toFeed()    {}
func (WantInstruments) toFeed() {}
func (PhaseChanged) toFeed()    {}

// Key implements latest-wins.
func (TokenVerdict) Key() string { return "token_verdict" }

// Key implements latest-wins.
func (FeedChanged) Key() string { return "feed_changed" }

// Key implements latest-wins.
func (InstrumentsRefused) Key() string { return "instruments_refused" }

// Key implements latest-wins.
func (ExchangeTexted) Key() string { return "exchange_texted" }
