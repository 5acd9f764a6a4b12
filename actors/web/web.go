// Package web is the house's window: the HTTP API, the event stream, the
// dashboard, /metrics and the login's two pages, on one listener.
//
// It shows what is true now and nothing from memory that it cannot date: each
// figure carries its age or its time. What the actors say is kept in a [Store]
// that outlives the actor, so that a restarted web actor shows the same.
// It never makes anybody wait: a browser that does not read is dropped and
// counted, and no handler holds a lock while it writes to a socket.
//
// Shapes: package api. Errors: RFC 9457 problem+json. Loopback by default; see
// security.go for who may do what.
package web

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"

	"kitestring/actors"
	"kitestring/actors/internal/serve"
	"kitestring/actors/web/api"
	"kitestring/messages"
)

// Tree is the supervision tree as far as a person may look at and touch it.
type Tree interface {
	Actors() []api.Actor
	// Restart, Reinstate and Inject answer a *NameError for an unknown actor
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

// Tokens tells who uses which token.
type Tokens interface {
	Holders() []api.Holder
	Coherent() bool
}

// Feed tells what the feed has counted and kept.
type Feed interface {
	Stats() FeedStats
	Rotations() []messages.Rotation // newest first
	Gaps() []api.Gap                // newest first
	// LastTick is the newest packet of an instrument, false when there is none.
	LastTick(instrumentToken uint32) (messages.Tick, bool)
}

// FeedStats is the moving part of the feed's state.
type FeedStats struct {
	TicksPerSecond float64
	LastTick       time.Time // when it was received; zero: none yet
	LastFrame      time.Time // heartbeats count
	NewestTick     time.Time // exchange time; zero: none yet
	Instruments    int
	Sockets        int
	Refused        []api.Refusal
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

// Config is what the web actor needs of its house.
type Config struct {
	// Listen gives the listener: the same address at each call, so that a
	// restarted actor answers where the last one did.
	Listen     func() (net.Listener, error)
	Hosts      []string // names that a browser may use for us, without port
	Board      *Store
	Tree       Tree
	Tokens     Tokens
	Feed       Feed
	Login      Login
	Exchange   Exchange // nil outside the sim profile
	Bars       func(underlying string, source messages.BarSource, interval time.Duration) ([]messages.Bar, bool)
	Validate   func()                  // asks auth for a check of the token now
	AskDirect  func(underlying string) // asks direct for a cross-check over REST now
	Reminders  func() api.Reminders
	Trace      func() (file string, err error) // writes the last seconds of the program's execution
	Clock      actors.Clock
	Metrics    http.Handler
	Instrument *Metrics
	AdminToken func() messages.Secret
	Profile    string // sim, sandbox, live
	Process    api.StatusProcess
	Log        *slog.Logger
}

// unread is how many bytes the system keeps for a client that does not read.
// Left alone it keeps megabytes, and a stuck stream would be noticed after
// minutes.
const unread = 64 << 10

// server is one incarnation.
type server struct {
	Config
	self  actors.Self
	admin *admission
}

// New makes the producer of the web actor.
func New(cfg Config) actors.Producer {
	return func(self actors.Self) actors.Actor {
		return &server{Config: cfg, self: self, admin: newAdmission(cfg)}
	}
}

// Receive implements actors.Actor.
func (s *server) Receive(msg any) {
	switch msg.(type) {
	case actors.Started:
		s.start()
	case actors.Stopped: // the server ends with its task
	default:
		s.Board.Apply(msg)
	}
}

func (s *server) start() {
	l, err := s.Listen()
	if err != nil {
		s.self.Fail(fmt.Errorf("listen: %w", err))
		return
	}
	s.Board.follow(s.Clock)
	server := &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          log.New(quiet{s.self.Log()}, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.SetWriteBuffer(unread) // the system's own size works as well
			}
			return ctx
		},
	}
	s.self.Go("serve", func(ctx context.Context) error {
		// Streams end with the incarnation, and so does the server, even of one
		// that cannot say goodbye.
		return serve.Until(ctx, server, l, parting, nil)
	})
	s.self.Go("status", s.publish)
}

// parting is how long answers that are under way may take at the end: who asked
// for a restart of this actor, or for a fault in it, gets his answer.
const parting = 100 * time.Millisecond

// quiet turns net/http's own log lines into records of the house.
type quiet struct{ log *slog.Logger }

func (q quiet) Write(p []byte) (int, error) {
	q.log.Debug("http server", "detail", string(p))
	return len(p), nil
}
