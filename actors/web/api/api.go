// Package api is the shape of /api/v1, data only: what the server encodes, the
// command line decodes and scripts rely on. Fields are added, never renamed.
//
// Names are lower_snake_case, times RFC 3339 in UTC, ages and spans seconds,
// latencies milliseconds where the name ends in _ms. null means "did not
// happen" or "not known", never 0.
package api

import (
	"encoding/json"
	"reflect"
	"time"

	"kitestring/messages"
)

// Status is GET /api/v1/status: one screen of the server's state.
type Status struct {
	Profile     string               `json:"profile"` // sim, sandbox, live
	Live        bool                 `json:"live"`    // the token is valid and data flows (or the market is closed and the socket lives)
	Message     string               `json:"message"` // the same in words: what is wrong and what to do
	Causes      []string             `json:"causes"`  // the parts of the message, the gravest first: what is wrong, then what is left out
	Token       StatusToken          `json:"token"`
	Feed        StatusFeed           `json:"feed"`
	Actors      StatusActors         `json:"actors"`
	Market      StatusMarket         `json:"market"`
	Missing     []StatusMissing      `json:"missing"`     // data that was asked for over REST and does not come
	Underlyings []string             `json:"underlyings"` // that are worked on, in their order; empty until the instruments are known
	Login       *messages.LoginEnded `json:"last_login"`  // null: none since the start
	Gateway     *StatusGateway       `json:"gateway"`     // null: the server runs without one
	Replay      *StatusReplay        `json:"replay"`      // null: the prices are the exchange's
	Record      *StatusRecord        `json:"record"`      // null: the server has no recorder
	Bus         *StatusBus           `json:"bus"`         // null: nothing is published to other machines
	Process     StatusProcess        `json:"process"`
	At          time.Time            `json:"at"` // the server's clock now: what ages are counted from
}

// StatusMissing is data that does not come, and why.
type StatusMissing struct {
	What   string    `json:"what"`
	Reason string    `json:"reason"` // with Kite's own words where it gave some
	Since  time.Time `json:"since"`  // exchange time
}

// StatusToken is the adopted token.
type StatusToken struct {
	Generation  messages.Generation `json:"generation"`
	State       messages.AuthState  `json:"state"`
	Fingerprint string              `json:"fingerprint"`
	Coherent    bool                `json:"coherent"`
	Reason      string              `json:"reason,omitempty"`
}

// StatusFeed is the WebSocket feed.
type StatusFeed struct {
	State               messages.FeedState `json:"state"`
	Reason              string             `json:"reason,omitempty"`
	TicksPerSecond      float64            `json:"ticks_per_second"`
	LastTickAgeSeconds  *float64           `json:"last_tick_age_seconds"`
	LastFrameAgeSeconds *float64           `json:"last_frame_age_seconds"`
	Instruments         int                `json:"instruments"`
	Sockets             int                `json:"sockets"`
	Stale               bool               `json:"stale"`
	LastGap             *StatusGap         `json:"last_gap"` // null: none since the start
	Refused             []Refusal          `json:"refused"`  // wanted, and not subscribed to
}

// Refusal is an instrument that somebody wants and the feed does not subscribe
// to.
type Refusal struct {
	Owner           string `json:"owner"` // the actor that wants it; empty: more than one may
	InstrumentToken uint32 `json:"instrument_token"`
	Tradingsymbol   string `json:"tradingsymbol"`
	Reason          string `json:"reason"` // what is wrong, and what is allowed
}

// StatusGap is the last blind span of the feed; GET /api/v1/gaps says how long
// each instrument was blind and what it missed.
type StatusGap struct {
	Reason      messages.GapReason `json:"reason"`
	Instruments int                `json:"instruments"` // that missed something
	At          time.Time          `json:"at"`          // when it was over
}

// StatusActors counts the actors.
type StatusActors struct {
	Running     int      `json:"running"`
	Total       int      `json:"total"`
	Quarantined int      `json:"quarantined"`
	Restarts    uint64   `json:"restarts"`
	NotRunning  []string `json:"not_running"`
}

// StatusMarket is the exchange's day.
type StatusMarket struct {
	Phase        messages.Phase `json:"phase"`
	ExchangeTime time.Time      `json:"exchange_time"`
	Next         time.Time      `json:"next_change_at"`
	Holiday      string         `json:"holiday,omitempty"` // its name on a day without trading that is no weekend
	Warning      string         `json:"warning,omitempty"`
}

// StatusProcess distinguishes one run of the server from the next: generations
// start at 1 with each.
type StatusProcess struct {
	ID        int       `json:"id"`
	StartedAt time.Time `json:"started_at"`
	Version   string    `json:"version"`
}

// Token is GET /api/v1/token: the adopted token and what is known besides.
type Token struct {
	StatusToken
	Since       *time.Time            `json:"since"`
	CheckedAt   *time.Time            `json:"checked_at"`
	Candidate   *messages.TokenStatus `json:"candidate"`
	UserID      string                `json:"user_id,omitempty"`
	ExpiresHint *time.Time            `json:"expires_hint"`
	LoginDue    bool                  `json:"login_due"`
	FileFault   string                `json:"file_fault,omitempty"`
	Warnings    []string              `json:"warnings"`
	Watcher     string                `json:"watcher"` // events, or why only the poll is left
	Holders     []messages.Holder     `json:"holders"`
	Process     StatusProcess         `json:"process"`
}

// Actor is one entry of GET /api/v1/actors, in the order of the tree.
type Actor struct {
	Name              string              `json:"name"`
	Kind              string              `json:"kind"`   // worker, supervisor
	Parent            string              `json:"parent"` // "" for the root
	Strategy          string              `json:"strategy,omitempty"`
	State             string              `json:"state"`
	Epoch             uint64              `json:"epoch"`
	Generation        messages.Generation `json:"generation"` // last used; 0: uses no token
	UptimeSeconds     float64             `json:"uptime_seconds"`
	Restarts          uint64              `json:"restarts"`
	RestartsInWindow  int                 `json:"restarts_in_window"`
	RestartsAllowed   int                 `json:"restarts_allowed"` // in the window; one more, and it is quarantined
	ChildrenInWindow  int                 `json:"children_restarts_in_window,omitempty"`
	ChildrenAllowed   int                 `json:"children_restarts_allowed,omitempty"` // of a supervisor; one more, and all are restarted
	MessagesPerSecond float64             `json:"messages_per_second"`
	HandlingP99       float64             `json:"handling_p99_seconds"`
	Mailbox           Mailbox             `json:"mailbox"`
	LastError         string              `json:"last_error"`
	NextRetryAt       *time.Time          `json:"next_retry_at"`
}

// Mailbox is an actor's mailbox.
type Mailbox struct {
	Depth     int    `json:"depth"`
	Capacity  int    `json:"capacity"`
	Conflated uint64 `json:"conflated"`
	Dropped   uint64 `json:"dropped"`
}

// Chaos is the body of POST /api/v1/chaos.
type Chaos struct {
	Actor string `json:"actor"`
	Kind  string `json:"kind"`             // panic, hang, slow, exit, goroutine, leak, drop_token_messages, panic-start, panic-stop
	ForMS int64  `json:"for_ms,omitempty"` // of hang, slow, drop_token_messages; 0: the kind's default
}

// Bar is one entry of GET /api/v1/bars/{underlying}.
type Bar struct {
	Start      time.Time           `json:"start"`
	Open       float64             `json:"open"`
	High       float64             `json:"high"`
	Low        float64             `json:"low"`
	Close      float64             `json:"close"`
	Volume     int64               `json:"volume"`
	OI         int64               `json:"oi"`
	Closed     bool                `json:"closed"`
	Partial    bool                `json:"partial"`
	Gapped     bool                `json:"gapped"`
	Backfilled bool                `json:"backfilled"`
	Generation messages.Generation `json:"generation"`
}

// Quote is an underlying's last price, topic "tick" of the stream.
type Quote struct {
	Underlying string    `json:"underlying"`
	LastPrice  float64   `json:"last_price"`
	Change     float64   `json:"change"` // absolute, from the previous day's close
	Percent    float64   `json:"percent"`
	At         time.Time `json:"at"` // exchange time
}

// Event is one entry of GET /api/v1/events, newest first.
type Event struct {
	ID         uint64              `json:"id"`
	At         time.Time           `json:"at"`
	ExchangeAt *time.Time          `json:"exchange_at"` // the same moment on the exchange's clock, its place on a chart
	Kind       string              `json:"kind"`        // token, login, feed, actor, market, gap, rotation, instruments, file, order, drill, alert
	Text       string              `json:"text"`
	Generation messages.Generation `json:"generation,omitempty"`
}

// LoginStarted is the answer of POST /api/v1/login/start.
type LoginStarted struct {
	LoginURL string `json:"login_url"`
}

// LoginPasted is the body of POST /api/v1/login/complete: the address that the
// browser was sent back to, or the bare request token.
type LoginPasted struct {
	Pasted string `json:"pasted"`
}

// LoginCompleted is its answer.
type LoginCompleted struct {
	Result messages.LoginResult `json:"result"`
	Reason string               `json:"reason"`
}

// AdminSession is the body of POST /api/v1/session: what a person typed, once
// per browser.
type AdminSession struct {
	AdminToken string `json:"admin_token"`
}

// ExchangeFault is the body of POST /api/v1/exchange/faults, in the sim
// profile: what the simulated exchange is to do wrong.
type ExchangeFault struct {
	Kind  string `json:"kind"`
	ForMS int64  `json:"for_ms,omitempty"` // 0: until it is lifted, or at once for what happens in a moment
}

// ExchangeRotated is the answer of POST /api/v1/exchange/rotate.
type ExchangeRotated struct {
	Fingerprint string `json:"fingerprint"` // of the new token, which is in the file now
}

// Ready is GET /readyz.
type Ready struct {
	Ready bool   `json:"ready"`
	Token string `json:"token"` // "ok" or why not
	Feed  string `json:"feed"`  // "ok" or why not
}

// Problem is an error as RFC 9457 has it.
type Problem struct {
	Type   string   `json:"type"`
	Title  string   `json:"title"`
	Status int      `json:"status"`
	Detail string   `json:"detail"`
	Names  []string `json:"names,omitempty"` // what would have been allowed
}

// Trace is the answer of POST /api/v1/debug/trace.
type Trace struct {
	File string `json:"file"` // its name, in the folder traces of the state directory; for "go tool trace"
	// The files of the recording that hold the same seconds: "kitestring record cut"
	// makes one file of them.
	Recorded []string `json:"recorded"`
}

// Reminders is GET /api/v1/reminders: how a due login is announced.
type Reminders struct {
	Channels []string         `json:"channels"` // ntfy, telegram, webhook; empty: none
	Warnings []string         `json:"warnings"` // what is wrong with their keys in the .env file
	Last     []ReminderResult `json:"last"`     // of the newest time of day at which reminders were sent
}

// ReminderResult is a reminder that has arrived or was given up.
type ReminderResult struct {
	Channel string    `json:"channel"`
	Slot    time.Time `json:"slot"` // the exchange's time
	Arrived bool      `json:"arrived"`
	Reason  string    `json:"reason,omitempty"` // why not
}

// Decode reads an answer into what the pointer points at, which forgets what
// it held before. encoding/json alone would merge: a caller that uses the same
// variable again would see an earlier answer's parameters or reason wherever
// the new one leaves the field out.
func Decode(answer []byte, into any) error {
	if v := reflect.ValueOf(into); v.Kind() == reflect.Pointer && !v.IsNil() {
		v.Elem().SetZero()
	}
	return json.Unmarshal(answer, into)
}
