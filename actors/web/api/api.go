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
	Profile     string               `json:"profile"`     // sim, sandbox, live
	Live        bool                 `json:"live"`        // the token is valid and data flows (or the market is closed and the socket lives)
	Message     string               `json:"message"`     // the same in words: what is wrong and what to do
	Causes      []string             `json:"causes"`      // the parts of the message, the gravest first: what is wrong, then what is left out
	Token       StatusToken          `json:"token"`       // the adopted token
	Feed        StatusFeed           `json:"feed"`        // the connection to Kite that ticks come over
	Actors      StatusActors         `json:"actors"`      // how the parts of the server do, counted
	Market      StatusMarket         `json:"market"`      // the exchange's day
	Missing     []StatusMissing      `json:"missing"`     // data that was asked for over REST and does not come
	Underlyings []string             `json:"underlyings"` // that are worked on, in their order; empty until the instruments are known
	Login       *messages.LoginEnded `json:"last_login"`  // null: none since the start
	Gateway     *StatusGateway       `json:"gateway"`     // null: the server runs without one
	Replay      *StatusReplay        `json:"replay"`      // null: the prices are the exchange's
	Record      *StatusRecord        `json:"record"`      // null: the server has no recorder
	Peer        *Peer                `json:"peer"`        // null: no second server shares the login
	Bus         *StatusBus           `json:"bus"`         // null: nothing is published to other machines
	Process     StatusProcess        `json:"process"`     // this run of the server
	At          time.Time            `json:"at"`          // the server's clock now: what ages are counted from
}

// StatusMissing is data that does not come, and why.
type StatusMissing struct {
	What   string    `json:"what"`   // the data that does not come, like "history of NIFTY"
	Reason string    `json:"reason"` // with Kite's own words where it gave some
	Since  time.Time `json:"since"`  // exchange time
}

// StatusToken is the adopted token.
type StatusToken struct {
	Generation  messages.Generation `json:"generation"`
	State       messages.AuthState  `json:"state"` // no_token, unverified, valid, suspect (Kite cannot be asked), rejected
	Fingerprint string              `json:"fingerprint"`
	Coherent    bool                `json:"coherent"` // whether each service used the adopted generation last
	Reason      string              `json:"reason,omitempty"`
}

// StatusFeed is the WebSocket feed.
type StatusFeed struct {
	State               messages.FeedState `json:"state"` // awaiting_token, connecting, streaming, backoff, unauthorised, stopped
	Reason              string             `json:"reason,omitempty"`
	TicksPerSecond      float64            `json:"ticks_per_second"`       // number of packets of instruments that come in a second
	LastTickAgeSeconds  *float64           `json:"last_tick_age_seconds"`  // seconds since an instrument last sent a packet; null: none yet
	LastFrameAgeSeconds *float64           `json:"last_frame_age_seconds"` // seconds since anything came, heartbeats included; null: nothing yet
	Instruments         int                `json:"instruments"`            // number of instruments that are subscribed to
	Sockets             int                `json:"sockets"`                // number of WebSockets to Kite that are open
	Stale               bool               `json:"stale"`                  // whether ticks are due and do not come
	LastGap             *StatusGap         `json:"last_gap"`               // null: none since the start
	Refused             []Refusal          `json:"refused"`                // wanted, and not subscribed to
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
	Reason      messages.GapReason `json:"reason"`      // reconnect, swap, start
	Instruments int                `json:"instruments"` // number of instruments that missed something
	At          time.Time          `json:"at"`          // when it was over
}

// StatusActors counts the actors.
type StatusActors struct {
	Running     int      `json:"running"`     // number of actors that run
	Total       int      `json:"total"`       // number of all actors
	Quarantined int      `json:"quarantined"` // number of actors that failed too often and wait for a person
	Restarts    uint64   `json:"restarts"`    // number of restarts since the start of the server
	NotRunning  []string `json:"not_running"` // names of the actors that do not run
}

// StatusMarket is the exchange's day.
type StatusMarket struct {
	Phase        messages.Phase `json:"phase"`             // pre_open, matching, open, closing, closed
	ExchangeTime time.Time      `json:"exchange_time"`     // the exchange's clock now
	Next         time.Time      `json:"next_change_at"`    // when the phase changes next
	Holiday      string         `json:"holiday,omitempty"` // its name on a day without trading that is no weekend
	Warning      string         `json:"warning,omitempty"` // ticks come at an hour at which the table of sessions has none; "": no
}

// StatusProcess distinguishes one run of the server from the next: generations
// start at 1 with each.
type StatusProcess struct {
	ID        int       `json:"id"`         // the operating system's number of the process
	StartedAt time.Time `json:"started_at"` // when this run began
	Version   string    `json:"version"`    // of the program, as "kitestring version" prints it
}

// Token is GET /api/v1/token: the adopted token and what is known besides.
type Token struct {
	StatusToken
	Since       *time.Time            `json:"since"`                // when this state began; null: not known
	CheckedAt   *time.Time            `json:"checked_at"`           // when Kite was last asked about it; null: never
	Candidate   *messages.TokenStatus `json:"candidate"`            // a newer token of the file that is not proven yet; null: none
	UserID      string                `json:"user_id,omitempty"`    // Kite's name of the account
	ExpiresHint *time.Time            `json:"expires_hint"`         // when Kite ends it by its habit, some time after 06:00 IST; null: not known
	LoginDue    bool                  `json:"login_due"`            // whether a person has to log in now
	FileFault   string                `json:"file_fault,omitempty"` // what keeps the .env file from being read; "": nothing
	Warnings    []string              `json:"warnings"`             // what is odd about the .env file, in words
	Watcher     string                `json:"watcher"`              // events, or why only the poll is left
	Holders     []messages.Holder     `json:"holders"`              // which service last used which generation
	Process     StatusProcess         `json:"process"`              // this run of the server: generations start at 1 with each
}

// Actor is one entry of GET /api/v1/actors, in the order of the tree.
type Actor struct {
	Name              string              `json:"name"`                                  // as the tree names it, like feed
	Kind              string              `json:"kind"`                                  // worker, supervisor
	Parent            string              `json:"parent"`                                // "" for the root
	Strategy          string              `json:"strategy,omitempty"`                    // of a supervisor: whom it restarts when a child fails
	State             string              `json:"state"`                                 // starting, running, backing_off, hung, quarantined, stopped
	Epoch             uint64              `json:"epoch"`                                 // number of its incarnation: 1 at first, one more with each restart
	Generation        messages.Generation `json:"generation"`                            // number of the token that it last used; 0: uses no token
	UptimeSeconds     float64             `json:"uptime_seconds"`                        // seconds since its last start
	Restarts          uint64              `json:"restarts"`                              // number of restarts since the start of the server
	RestartsInWindow  int                 `json:"restarts_in_window"`                    // number of restarts that count towards the quarantine now
	RestartsAllowed   int                 `json:"restarts_allowed"`                      // number of restarts in the window; one more, and it is quarantined
	ChildrenInWindow  int                 `json:"children_restarts_in_window,omitempty"` // of a supervisor: number of restarts of its children that count now
	ChildrenAllowed   int                 `json:"children_restarts_allowed,omitempty"`   // of a supervisor: number of those allowed; one more, and all are restarted
	MessagesPerSecond float64             `json:"messages_per_second"`                   // number of messages that it handles in a second
	HandlingP99       float64             `json:"handling_p99_seconds"`                  // seconds within which it handles 99 of 100 messages
	Mailbox           Mailbox             `json:"mailbox"`                               // what waits for it
	LastError         string              `json:"last_error"`                            // why it failed last, in words; "": it has not
	NextRetryAt       *time.Time          `json:"next_retry_at"`                         // when it is started again; null: it is not waiting for that
}

// Mailbox is an actor's mailbox.
type Mailbox struct {
	Depth     int    `json:"depth"`     // number of messages that wait
	Capacity  int    `json:"capacity"`  // number of messages that may wait
	Conflated uint64 `json:"conflated"` // number of ticks that newer ones replaced before it could take them
	Dropped   uint64 `json:"dropped"`   // number of messages that there was no room for
}

// Chaos is the body of POST /api/v1/chaos.
type Chaos struct {
	Actor string `json:"actor"`            // the name of the actor that is to fail
	Kind  string `json:"kind"`             // panic, hang, slow, exit, goroutine, leak, drop_token_messages, panic-start, panic-stop
	ForMS int64  `json:"for_ms,omitempty"` // of hang, slow, drop_token_messages; 0: the kind's default
}

// Bar is one entry of GET /api/v1/bars/{underlying}.
type Bar struct {
	Start      time.Time           `json:"start"`      // when the bar begins, by the exchange's time
	Open       float64             `json:"open"`       // first price, in rupees
	High       float64             `json:"high"`       // highest price, in rupees
	Low        float64             `json:"low"`        // lowest price, in rupees
	Close      float64             `json:"close"`      // last price, in rupees
	Volume     int64               `json:"volume"`     // units that were traded in it, not lots; 0 for an index
	OI         int64               `json:"oi"`         // open interest at its end, in units; 0 for an index
	Closed     bool                `json:"closed"`     // whether it is over; else it still grows
	Partial    bool                `json:"partial"`    // whether its beginning was missed
	Gapped     bool                `json:"gapped"`     // whether ticks are missing within it
	Backfilled bool                `json:"backfilled"` // whether it comes from Kite's history instead of ticks
	Generation messages.Generation `json:"generation"`
}

// Quote is an underlying's last price, topic "tick" of the stream.
type Quote struct {
	Underlying string    `json:"underlying"`
	LastPrice  float64   `json:"last_price"`
	Change     float64   `json:"change"`  // rupees, from the previous day's close
	Percent    float64   `json:"percent"` // the same change in percent
	At         time.Time `json:"at"`      // exchange time
}

// Event is one entry of GET /api/v1/events, newest first.
type Event struct {
	ID         uint64              `json:"id"`          // a number that grows with each event of this run
	At         time.Time           `json:"at"`          // when it happened, by the server's clock
	ExchangeAt *time.Time          `json:"exchange_at"` // the same moment on the exchange's clock, its place on a chart
	Kind       string              `json:"kind"`        // token, login, feed, actor, market, gap, rotation, instruments, file, order, drill, alert, peer
	Text       string              `json:"text"`        // what happened, in a sentence
	Generation messages.Generation `json:"generation,omitempty"`
}

// LoginStarted is the answer of POST /api/v1/login/start.
type LoginStarted struct {
	LoginURL string `json:"login_url"` // the address of Kite's page on which a person logs in
}

// LoginPasted is the body of POST /api/v1/login/complete: the address that the
// browser was sent back to, or the bare request token.
type LoginPasted struct {
	Pasted string `json:"pasted"` // link of the page that the login ended on, or the request token alone
}

// LoginCompleted is its answer.
type LoginCompleted struct {
	Result messages.LoginResult `json:"result"` // ok, cancelled, bad_state, exchange_failed, timeout
	Reason string               `json:"reason"` // the same in words
}

// AdminSession is the body of POST /api/v1/session: what a person typed, once
// per browser.
type AdminSession struct {
	AdminToken string `json:"admin_token"` // ADMIN_TOKEN of the .env file
}

// ExchangeFault is the body of POST /api/v1/exchange/faults, in the sim
// profile: what the simulated exchange is to do wrong.
type ExchangeFault struct {
	Kind  string `json:"kind"`             // what it is to do, like mute or order_flood
	ForMS int64  `json:"for_ms,omitempty"` // 0: until it is lifted, or at once for what happens in a moment
}

// ExchangeRotated is the answer of POST /api/v1/exchange/rotate.
type ExchangeRotated struct {
	Fingerprint string `json:"fingerprint"` // of the new token, which is in the file now
}

// Ready is GET /readyz.
type Ready struct {
	Ready bool   `json:"ready"` // whether data flows, or would if the market were open
	Token string `json:"token"` // "ok" or why not
	Feed  string `json:"feed"`  // "ok" or why not
}

// Problem is an error as RFC 9457 has it.
type Problem struct {
	Type   string   `json:"type"`            // always about:blank: title and detail say what it is
	Title  string   `json:"title"`           // what is wrong, in a few words
	Status int      `json:"status"`          // code number of the HTTP status
	Detail string   `json:"detail"`          // what happened and what to do
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
	Channel string    `json:"channel"`          // ntfy, telegram, webhook
	Slot    time.Time `json:"slot"`             // the exchange's time
	Arrived bool      `json:"arrived"`          // whether the channel took it; else it was given up
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
