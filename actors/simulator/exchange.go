// Package simulator is a Kite exchange on loopback: login page, REST,
// WebSocket, a market that moves, a clock of its own, and faults on demand.
//
// Promise: the official clients work with it as with Kite (Kite Connect v3),
// with the same seed the same day has the same history, and history joins
// the live prices: bars made of the ticks of an instrument that was watched
// equal its /historical minutes. What outlives an actor's incarnation (clock,
// prices, issued tokens, counters, the listener) is in [Exchange]; a restart
// closes sockets and nothing else.
//
// Limits: one user, one API key; no orders but those that a fault makes up; no
// tick of an instrument outside the sessions that the table of hours gives its
// segment; only the segments NSE, BSE, NFO, BFO and INDICES. The header
// X-Kite-Version is not required. It listens on loopback addresses only,
// because its admin routes (/sim/v1) have no authentication.
//
// Tokens certify themselves: 32 alphanumerics, keyed by the API secret, that
// carry the day and the moment of issue. A process that knows nothing but the
// secret accepts those of the day; the state directory holds only what was
// withdrawn. At 06:00 IST of the exchange's clock the day's tokens expire.
//
// # What it claims of Kite, and from where
//
// docs is Kite Connect's documentation v3, by page; forum the Kite Connect
// developer forum, by discussion; code the official clients; mocks
// zerodha/kiteconnect-mocks. A claim that only the real exchange can prove is a
// row of package actors/assume, by name; each can be contradicted by a fault or
// a setting.
//
//	login page, redirect with action, type, status, request_token       docs User; forum 48197
//	a cancelled login comes back with its status alone                  forum 4852, 47307
//	request token: once, five minutes; checksum                         docs User; javakiteconnect#2; forum 3016, 40134
//	fields of a session, a profile                                      mocks generate_session.json, profile.json
//	tokens end at 06:00 IST                                             docs User; row flush_hour
//	a second login: another token (or the same: Relogin)                docs Exceptions, forum 9775; row same_token
//	open sockets outlive their token (or are cut: OldSockets)           forum 19843, 7088, 38787; row old_socket_lives
//	403 TokenException of REST; 403 of the upgrade without a type       docs Exceptions; openalgo#1387; rows refusals_agree, refusal_is_final
//	429 over 1, 3, 10 requests a second, in HTML at times               docs Exceptions; forum 4540, 52882; row request_limits
//	instruments without authentication, gzip, text/csv                  forum 48095; code (kiteconnectjs)
//	columns of the instruments file                                     docs Market quotes; mocks instruments_all.csv
//	the file of a day is there and whole at 08:30 IST                   no source; row whole_file
//	instrument tokens mean another contract after an expiry only        docs Historical; row instrument_tokens
//	unknown symbols are absent from quotes; 500 and 1000 a request      docs Market quotes
//	spans of history by interval, IST, six or seven cells a candle      docs Historical; forum 12774; row history_limits
//	three sockets a key, the fourth gets 429                            docs WebSocket; forum 8500, 40313; row slot_freed
//	3000 instruments a socket; duplicates and unknown ones are silent   docs WebSocket; forum 7069
//	a mode alone subscribes; the default is quote                       code (phpkiteconnect)
//	one cached packet follows each subscription                         forum 766, 6651; row cached_packet
//	frames, lengths, order of fields, divisors of segments              docs WebSocket; mocks ticker_*.packet; code; row known_packets
//	full packets of indices carry the exchange's time                   docs WebSocket; row index_time
//	a heartbeat of one byte each second                                 docs WebSocket; forum 766; openalgo#1419; row heartbeat
//	every socket gets the same bytes (or samples: SamplingIndependent)  no source; row equal_packets
//	texts instruments_meta and app_code after the upgrade               observed on the web terminal, 2025-08
//	order updates as postbacks                                          docs Postbacks; forum 6808; mocks postback.json; row order_fields
//	pings are answered                                                  code (pykiteconnect, javakiteconnect)
//	the socket stays open, with heartbeats, after the close             forum 766; row heartbeat
//	sessions and holidays                                               package actors/hours
//
// The package is larger than others because it stands in for a whole exchange:
// tokens and login, REST, sockets, a market with history, a clock and every
// fault that the drills need. These share one lock and one state (a tick, its
// history and its packet must agree), so parts of it would not stand alone.
package simulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"kitestring/actors"
	"kitestring/actors/hours"
	"kitestring/messages"
)

// Login says how a login is approved.
type Login string

// The ways to log in.
const (
	LoginAuto   Login = "auto"   // the page redirects at once
	LoginManual Login = "manual" // a person presses Approve
)

// OldSockets says what becomes of open sockets when a new login or a
// logout ends their token. Kite does either.
type OldSockets string

// What becomes of old sockets.
const (
	OldSocketsLive OldSockets = "live"
	OldSocketsCut  OldSockets = "cut"
)

// Relogin says what a second login within a day gives.
type Relogin string

// The answers to a second login.
const (
	ReloginNew  Relogin = "new"  // a new token; the old one is invalid
	ReloginSame Relogin = "same" // the same token, as long as it is valid and this process issued it
)

// Sampling says when the sockets get an instrument's packets.
type Sampling string

const (
	// SamplingUniform sends each packet to every socket: all get the same bytes
	// in the same order.
	SamplingUniform Sampling = "uniform"
	// SamplingIndependent lets each socket look at each instrument at moments of
	// its own, about two times a second, and get the newest packet if it has not got
	// that one. Users report this of two sockets of one API key at Kite: a packet
	// that comes byte for byte on both is rare, and neither gets every packet.
	// Numbers of sequence mode then have holes that are no loss.
	SamplingIndependent Sampling = "independent"
)

// Config makes an exchange; the zero value of each field is a working default.
type Config struct {
	APIKey      string          // "": simkey
	APISecret   messages.Secret // zero: simsecret
	RedirectURL string          // of the login; SetRedirectURL can give it later
	Login       Login           // "": auto
	Relogin     Relogin         // "": new
	OldSockets  OldSockets      // "": live

	StateDir string // withdrawn tokens, as hashes; "": memory

	Seed       uint64                   // 0: 1
	Start      time.Time                // of the clock; zero: the open of the latest trading day
	Speed      float64                  // exchange seconds a real second; 0: 1
	Hours      *hours.Store             // nil: the built-in table
	TradingDay func(day time.Time) bool // midnight IST, in place of the table's days; nil: those
	BarsDir    string                   // play <underlying>_5m.csv instead of walking
	Tape       *Recording               // play a recorded day instead; nil: none

	Instruments int      // extra NSE instruments, for load
	Rate        int      // ticks a real second over all watched instruments; 0: each 1-4
	Sequence    bool     // count ticks per instrument in the last traded quantity
	Sampling    Sampling // "": uniform; SetSampling can change it later
	QuietOpen   bool     // no instruments_meta and app_code texts on a new socket

	Log *slog.Logger // nil: nowhere
}

// Exchange is the state of a simulated exchange. It is made once and outlives
// every incarnation of the actor that serves it. All methods are safe for
// concurrent use.
type Exchange struct {
	cfg      Config
	log      *slog.Logger
	cal      *calendar
	clock    *exchangeClock
	sessions *sessions
	limits   limits
	handler  http.Handler
	started  time.Time

	mu       sync.Mutex // guards what follows, and the order of everything that is sent
	redirect string
	prices   *prices
	bars     *playback // nil: the market walks
	tape     *player   // nil: it makes its prices itself
	listing  listing
	topics   map[uint32]*topic // by instrument token
	hot      []*topic          // every topic: watched now or a moment ago, they tick
	turn     int               // of hot, when a rate is set
	sampling Sampling
	sampled  time.Time // when independent sockets were looked at last
	sockets  map[*socket]struct{}
	socketID int
	slots    int                   // of Kite's three, taken from the upgrade to the close
	handlers int                   // of sockets, from the upgrade to the last goroutine's end
	hostile  map[net.Conn]struct{} // upgrades that a fault answers
	closing  int                   // calls of CloseSockets: no socket opens meanwhile
	quiet    sync.Cond             // handlers is 0
	dirty    []*socket             // with a frame under construction
	tokens   map[string]*tokenCount
	counts   counts
	faults   faults
	orders   []order
	rng      *rand.Rand
	jumps    int // of the clock, as far as they were dealt with

	scratch []byte // the packets of one tick

	heartbeats atomic.Int64
	inFlight   *flight
	listener   *listener
}

// New makes an exchange. Nothing runs until Serve or Run; the handler and the
// clock work at once.
func New(cfg Config) (*Exchange, error) {
	if cfg.APIKey == "" {
		cfg.APIKey = "simkey"
	}
	if cfg.APISecret.IsZero() {
		cfg.APISecret = messages.NewSecret("simsecret")
	}
	if cfg.Seed == 0 {
		cfg.Seed = 1
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cal := newCalendar(cfg.Hours, cfg.TradingDay)
	e := &Exchange{
		cfg: cfg, log: cfg.Log, cal: cal, sampling: cfg.Sampling, redirect: cfg.RedirectURL, started: time.Now(),
		prices: newPrices(cfg.Seed, cal), topics: map[uint32]*topic{},
		sockets: map[*socket]struct{}{}, hostile: map[net.Conn]struct{}{}, tokens: map[string]*tokenCount{}, counts: newCounts(),
		rng: rand.New(rand.NewPCG(cfg.Seed, 0)), inFlight: newFlight(), scratch: make([]byte, 0, 512),
	}
	e.quiet.L = &e.mu
	start, speed, skipNights := cfg.Start, cfg.Speed, true
	if start.IsZero() {
		start = cal.session(cal.latest(time.Now())).open
	}
	if speed == 0 {
		speed = 1
	}
	if cfg.Tape != nil {
		var err error
		if e.tape, err = openTape(*cfg.Tape, speed); err != nil {
			return nil, err
		}
		day, usual := dayNumber(e.tape.From), cal
		cal = newCalendar(cfg.Hours, func(t time.Time) bool { return dayNumber(t) == day || usual.trading(t) })
		e.cal, e.prices.cal, e.tape.session = cal, cal, cal.session(e.tape.From)
		start, speed, skipNights, e.cfg.Sequence = e.tape.From, 0, false, cfg.Tape.Sequenced
	}
	if cfg.BarsDir != "" {
		bars, err := loadBars(cfg.BarsDir, cfg.Hours)
		if err != nil {
			return nil, fmt.Errorf("bars: %w", err)
		}
		// The playback moves the clock, from one bar to the next.
		e.bars, start, speed, skipNights = bars, bars.slots[0].start, 0, false
		cal = bars.calendar(cal)
		e.cal, e.prices.cal = cal, cal
		bars.settle(e.prices)
	}
	e.clock = newClock(cal, start, speed, skipNights)
	var err error
	if e.sessions, err = newSessions(cfg, e.clock.Now); err != nil {
		return nil, err
	}
	e.listing = newListing()
	e.mu.Lock()
	e.list(e.clock.Now())
	if e.tape != nil {
		if err = e.listTape(); err == nil {
			err = e.prime()
		}
	}
	e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	e.handler = e.routes()
	return e, nil
}

func (c Config) check() error {
	switch c.Login {
	case "", LoginAuto, LoginManual:
	default:
		return fmt.Errorf("login %q: choose auto or manual", c.Login)
	}
	switch c.Relogin {
	case "", ReloginNew, ReloginSame:
	default:
		return fmt.Errorf("relogin %q: choose new or same", c.Relogin)
	}
	switch c.OldSockets {
	case "", OldSocketsLive, OldSocketsCut:
	default:
		return fmt.Errorf("old sockets %q: choose live or cut", c.OldSockets)
	}
	switch c.Sampling {
	case "", SamplingUniform:
	case SamplingIndependent:
		if c.BarsDir != "" || c.Tape != nil {
			return errSampledBars
		}
	default:
		return fmt.Errorf("sampling %q: choose uniform or independent", c.Sampling)
	}
	switch {
	case c.Speed < 0 || c.Speed > maxSpeed:
		return fmt.Errorf("speed %g: choose between 0 and %d", c.Speed, maxSpeed)
	case c.Rate < 0:
		return fmt.Errorf("rate %d: ticks a second cannot be negative", c.Rate)
	case c.Instruments < 0 || c.Instruments > maxInstruments:
		return fmt.Errorf("instruments %d: choose between 0 and %d", c.Instruments, maxInstruments)
	}
	return nil
}

const (
	maxSpeed       = 100_000
	maxInstruments = 100_000
)

// Handler is everything on one listener: REST, the WebSocket at /, the login
// page at /connect/login, the admin routes at /sim/v1.
func (e *Exchange) Handler() http.Handler { return e.handler }

// SetSampling changes from now on when the sockets get packets.
func (e *Exchange) SetSampling(s Sampling) error {
	cfg := e.cfg
	cfg.Sampling = s
	if err := cfg.check(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sampling = s
	return nil
}

var errSampledBars = errors.New("sampling independent: a playback sends every tick to every socket")

// Clock is the exchange's time.
func (e *Exchange) Clock() actors.Clock { return e.clock }

// APIKey is the key of the one app that this exchange knows.
func (e *Exchange) APIKey() string { return e.cfg.APIKey }

// SetRedirectURL says where a login ends.
func (e *Exchange) SetRedirectURL(url string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.redirect = url
}

// CloseSockets cuts every socket and waits until their goroutines have ended.
func (e *Exchange) CloseSockets() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closing++
	for s := range e.sockets {
		s.conn.NetConn().Close()
	}
	for conn := range e.hostile {
		conn.Close()
	}
	for e.handlers > 0 {
		e.quiet.Wait()
	}
	e.closing--
}

// Run makes prices, ticks and playback until ctx ends.
func (e *Exchange) Run(ctx context.Context) error {
	switch {
	case e.tape != nil:
		return e.runTape(ctx)
	case e.bars != nil:
		return e.runBars(ctx)
	}
	return e.runMarket(ctx)
}
