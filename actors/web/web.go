// Package web serves the HTTP API, the event stream, the dashboard, /metrics
// and the two pages of the login, on one listener.
//
// It shows what is true now and nothing from memory that it cannot date: each
// figure carries its age or its time. What the actors send is kept in a
// [Store] that outlives the actor, so that a restarted web actor shows the
// same. It never makes an actor wait: a browser that does not read is dropped
// and counted, and no handler holds a lock while it writes to a socket.
//
// Shapes: package api. Errors: RFC 9457 problem+json. Loopback by default; see
// security.go for which request may do what.
package web

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"kitestring/actors"
	"kitestring/actors/internal/serve"
	"kitestring/actors/web/api"
	"kitestring/actors/web/guard"
	"kitestring/actors/web/live"
	"kitestring/actors/web/ticks"
	"kitestring/messages"
)

// Tree is the supervision tree as far as the API shows and changes it.
type Tree interface {
	Actors() []api.Actor
	// Restart, Reinstate and Inject return a *NameError for an unknown actor
	// or kind of fault.
	Restart(name string) error
	Reinstate(name string) error
	Inject(name, kind string, d time.Duration) error
}

// NameError says that a name is not known, and which are.
type NameError struct {
	What  string // "actor", "fault"
	Name  string
	Known []string
}

// Error implements error.
func (e *NameError) Error() string { return fmt.Sprintf("unknown %s %q", e.What, e.Name) }

// Tokens shows which actor last used which generation.
type Tokens interface {
	Holders() []messages.Holder
	Coherent() bool
}

// Feed shows what the feed has counted and kept.
type Feed interface {
	Stats() live.Stats
	Rotations() []messages.Rotation // newest first
	Gaps() []messages.GapDetected   // newest first
	// LastTick is the newest packet of an instrument, false when there is none.
	LastTick(instrumentToken uint32) (messages.Tick, bool)
	ticks.Feed
}

// Login is the daily login.
type Login interface {
	Login(w http.ResponseWriter, r *http.Request)    // GET /login
	Callback(w http.ResponseWriter, r *http.Request) // GET /callback
	// Start makes a login address for a person to open.
	Start() (loginURL string, err error)
	// Complete finishes a login with what a person pasted.
	Complete(ctx context.Context, pasted string) (messages.LoginResult, string)
}

// Exchange is the simulated exchange as far as a drill controls it. The page
// cannot reach it directly: it listens elsewhere, and the page's policy allows
// its own server only.
type Exchange interface {
	// Inject makes it misbehave; d 0 is until Lift. It returns a *NameError
	// for an unknown kind.
	Inject(kind string, d time.Duration) error
	// Lift ends every fault.
	Lift()
	// Rotate kills the token in use and puts a new one into the .env file, as
	// another program would.
	Rotate(ctx context.Context) (fingerprint string, err error)
}

// Config is what the web actor needs of the rest of the program.
type Config struct {
	// Listen gives the listener: the same address at each call, so that a
	// restarted actor answers at the same address.
	Listen   func() (net.Listener, error)
	Store    *Store
	Tree     Tree
	Tokens   Tokens
	Feed     Feed
	Login    Login
	Exchange Exchange                // nil outside the sim profile
	Gateway  Gateway                 // nil: there is none
	Record   func() api.StatusRecord // nil: there is no recorder
	Bus      func() api.StatusBus    // nil: there is none
	Replay   Replay                  // nil: nothing is replayed
	Peers    Peers                   // the second server that shares the login
	// Recorded gives what the recording has of a span, in the order of receipt: a
	// message of Kite's form each time, without repeats. shard -1: of all.
	Recorded  func(from, to time.Time, shard int, each func(at time.Time, shard int, frame []byte) error) error
	Bars      func(underlying string, source messages.BarSource, interval time.Duration) ([]messages.Bar, bool)
	Validate  func()                  // asks auth for a check of the token now
	AskDirect func(underlying string) // asks direct for a cross-check over REST now
	// AskChain asks for the option chain of an expiry that is not the nearest.
	AskChain   func(underlying, expiry string)
	ChainDay   func(underlying string) []messages.ChainPoint // the newest session, oldest first
	Reminders  func() api.Reminders
	Alerts     Alerts
	Runbook    string                    // Markdown, a section an alert
	Trace      func() (api.Trace, error) // writes the last seconds of the program's execution
	Clock      actors.Clock
	Metrics    http.Handler
	Instrument *Metrics
	AdminToken func() messages.Secret
	// Assumptions are what is assumed of Kite, with what was seen of each.
	Assumptions func() []messages.AssumptionStatus
	// DashboardURL is how the dashboard is reached from outside, "" when that
	// is not configured.
	DashboardURL func() string
	// Secrets are the values that no response may contain.
	Secrets func() []messages.Secret
	Profile string // sim, sandbox, live
	Process api.StatusProcess
	Log     *slog.Logger
}

// sendBuffer is how many bytes the system keeps for a client that does not
// read. Its default is megabytes, and a stuck stream would be noticed only
// after minutes.
const sendBuffer = 64 << 10

// server is one incarnation.
type server struct {
	Config
	self    actors.Self
	admin   *admission
	gate    guard.Gate
	readers chan struct{} // a slot for each reader of the recording
	exposed bool          // the listener can be reached from other machines
}

// New makes the producer of the web actor.
func New(cfg Config) actors.Producer {
	return func(self actors.Self) actors.Actor {
		return &server{Config: cfg, self: self, admin: &admission{cfg}, readers: make(chan struct{}, mostReading)}
	}
}

// Receive implements actors.Actor.
func (s *server) Receive(msg any) {
	switch msg.(type) {
	case actors.Started:
		s.start()
	case actors.Stopped: // the server ends with its task
	default:
		s.Store.Apply(msg)
	}
}

func (s *server) start() {
	l, err := s.Listen()
	if err != nil {
		s.self.Fail(fmt.Errorf("listen: %w", err))
		return
	}
	s.exposed = !guard.IsLoopback(guard.HostOf(l.Addr().String()))
	s.Store.follow(s.Clock)
	server := &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    32 << 10,
		ConnState:         s.Store.connections.Changed,
		ErrorLog:          slog.NewLogLogger(s.self.Log().Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.SetWriteBuffer(sendBuffer) // the system's own size works as well
			}
			return ctx
		},
	}
	// Streams end with the incarnation, and so does the server, even of one
	// that fails without a Stopped.
	s.self.Go("serve", func(ctx context.Context) error { return serve.Until(ctx, server, l, grace, nil) })
	s.self.Go("status", s.publish)
	s.self.Go("ticks", s.watchTicks)
}

// grace is how long responses in progress may take at the end: the request
// that restarts this actor, or injects a fault into it, still gets its response.
const grace = 100 * time.Millisecond
