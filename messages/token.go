package messages

import (
	"strconv"
	"time"
)

// Generation numbers the changes of the token's value within one process:
// 1, 2, 3, ... It is the clock of the whole system. 0 means "none".
type Generation uint64

// key makes the newest message of a kind replace an older one about the same
// generation only.
func (g Generation) key(kind string) string { return kind + "/" + strconv.FormatUint(uint64(g), 10) }

// Session is a token with all that is needed to use it.
type Session struct {
	Generation Generation
	APIKey     string
	Token      AccessToken
}

// IsZero reports whether there is no session.
func (s Session) IsZero() bool { return s.Generation == 0 }

// ChangeSource says how a change of the file was noticed.
type ChangeSource string

// The sources of a change.
const (
	ChangeAtStart ChangeSource = "start" // the file as it was when the process began
	ChangeByEvent ChangeSource = "event" // a file event
	ChangeByPoll  ChangeSource = "poll"  // the safety net
	ChangeByLogin ChangeSource = "login" // a login through this program wrote it
)

// TokenChanged says that a new value stands in the .env file: a candidate.
// Sent by token; received by auth and feed.
type TokenChanged struct {
	Session    Session
	Source     ChangeSource
	ChangedAt  time.Time // the file's ctime (mtime survives an mv)
	DetectedAt time.Time
}

// EnvRejected says that the file cannot be used as it is; the last good token
// stays. Sent by token; received by auth and web.
type EnvRejected struct {
	Path   string
	Line   int    // 0 when no single line is to blame
	Reason string // what is wrong and what to do, in plain words, without any value
	At     time.Time
}

// EnvAccepted says that the file is readable and complete (again).
// Sent by token; received by auth and web.
type EnvAccepted struct {
	Path     string
	Warnings []string // plain words: permissions, duplicates, a shadowing environment, a bind mount
	At       time.Time
}

// WatchChanged is the state of the file watch.
// Sent by token; received by web.
type WatchChanged struct {
	Degraded bool // true: events do not arrive, the poll alone sees changes
	Reason   string
	At       time.Time
}

// Verdict is what Kite said about a token.
type Verdict string

// The verdicts. Only VerdictRejected speaks against the token.
const (
	VerdictValid    Verdict = "valid"    // 200 from /user/profile
	VerdictRejected Verdict = "rejected" // 403 with TokenException
	VerdictUnknown  Verdict = "unknown"  // network, 429, 5xx, another 403: says nothing of the token
)

// TokenVerdict is the answer of /user/profile for one generation.
// Sent by auth; received by feed.
type TokenVerdict struct {
	Generation Generation
	Verdict    Verdict
	Reason     string
	At         time.Time
}

// Proof says what proved a token.
type Proof string

// The proofs of a token.
const (
	ProofProfile Proof = "profile" // 200 from /user/profile
	ProofFrame   Proof = "frame"   // a valid binary frame on a socket opened with it
)

// TokenAdopted names the generation that every holder works with from now on.
// Sent by auth; received by holders.
type TokenAdopted struct {
	Session Session
	Proof   Proof
	At      time.Time
}

// FeedLive says that a valid frame arrived on a socket of a generation.
// Sent by feed; received by auth.
type FeedLive struct{ Generation Generation }

// TokenDoubted says that Kite answered 403 somewhere: not a verdict, a reason
// to ask the profile. Sent by feed, instruments, bars, direct, gateway and peers;
// received by auth.
type TokenDoubted struct{ Generation Generation }

// ValidateToken asks for a check of the current token now.
// Sent by web; received by auth.
type ValidateToken struct{}

// AuthState is the state of a token as the auth actor sees it.
type AuthState uint8

// The states of a token. The zero value is the initial state.
const (
	NoToken    AuthState = iota // the file holds none
	Unverified                  // not asked yet
	Valid                       // Kite accepted it
	Suspect                     // it was accepted, and the last check got no answer
	Rejected                    // Kite refused it: only a new generation leaves this state
)

var authStates = [...]string{"no_token", "unverified", "valid", "suspect", "rejected"}

// String is the state in lower_snake_case, as JSON and metrics show it.
func (s AuthState) String() string { return nameOf(authStates[:], uint8(s)) }

// MarshalText implements encoding.TextMarshaler.
func (s AuthState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *AuthState) UnmarshalText(text []byte) error { return named(authStates[:], text, (*uint8)(s)) }

// TokenStatus is a token's state with its reasons.
type TokenStatus struct {
	Generation  Generation `json:"generation"`
	Fingerprint string     `json:"fingerprint"`
	State       AuthState  `json:"state"`            // no_token, unverified, valid, suspect, rejected
	Reason      string     `json:"reason,omitempty"` // plain words: what happened and what to do
	Since       time.Time  `json:"since"`            // when this state began
	CheckedAt   time.Time  `json:"checked_at"`       // zero: never
}

// AuthChanged carries the state of the adopted token and of the pending
// candidate. Sent by auth; received by web.
type AuthChanged struct {
	Adopted    TokenStatus  // Generation 0: none adopted yet
	Candidate  *TokenStatus // nil: none pending
	UserID     string       // from the profile; "" before the first one
	LoginDue   bool
	FileFault  string    // the reason of the last EnvRejected that still holds
	ExpiryHint time.Time // the next 06:00 IST, or what was learned; zero: unknown
	At         time.Time
}

// LoginResult says how a login ended.
type LoginResult string

// The results of a login: the label values of kitestring_logins_total.
const (
	LoginOK             LoginResult = "ok"
	LoginCancelled      LoginResult = "cancelled"
	LoginBadState       LoginResult = "bad_state"
	LoginExchangeFailed LoginResult = "exchange_failed"
	LoginTimeout        LoginResult = "timeout"
)

// LoginEnded says that a login came to an end.
// Sent by auth; received by web. Auth's HTTP handlers send it.
type LoginEnded struct {
	Result      LoginResult `json:"result"`                // ok, cancelled, bad_state, exchange_failed, timeout
	Reason      string      `json:"reason"`                // the same in words
	Fingerprint string      `json:"fingerprint,omitempty"` // of the token that it brought, which is adopted a moment later; "": none
	At          time.Time   `json:"at"`                    // when it ended, by the server's clock
}

// Holder is an actor and the generation that it last worked with.
type Holder struct {
	Actor      string     `json:"actor"` // name of the service
	Generation Generation `json:"generation"`
	At         time.Time  `json:"at"` // when it took up the newest generation that it ever used
}

// ToAuth is what the auth actor answers.
//
//sumtype:decl
type ToAuth interface{ toAuth() }

func (TokenChanged) toAuth()  {}
func (EnvRejected) toAuth()   {}
func (EnvAccepted) toAuth()   {}
func (FeedLive) toAuth()      {}
func (TokenDoubted) toAuth()  {}
func (ValidateToken) toAuth() {}
func (PhaseChanged) toAuth()  {}

// Key makes the newest message of a kind replace an older one that still
// waits in a mailbox; a message without a Key is never replaced.
func (TokenChanged) Key() string   { return "token_changed" }
func (TokenAdopted) Key() string   { return "token_adopted" }
func (EnvRejected) Key() string    { return "env" }
func (EnvAccepted) Key() string    { return "env" }
func (WatchChanged) Key() string   { return "watch" }
func (m FeedLive) Key() string     { return m.Generation.key("feed_live") }
func (m TokenDoubted) Key() string { return m.Generation.key("token_doubted") }
func (ValidateToken) Key() string  { return "validate_token" }
func (AuthChanged) Key() string    { return "auth_changed" }
