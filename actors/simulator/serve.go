package simulator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"kitestring/actors"
	"kitestring/actors/internal/serve"
)

// listener outlives the servers on it: their Close only wakes Accept, so that
// a restarted actor keeps the port and no other process can take it meanwhile.
type listener struct{ *net.TCPListener }

// Close ends the server's Accept and keeps the port.
func (l *listener) Close() error { return l.SetDeadline(time.Now()) }

// Listen takes a loopback address for good, e.g. 127.0.0.1:0; Close gives it
// back.
func (e *Exchange) Listen(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("simulator address: %w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("simulator address %s: it has no authentication, so it listens on loopback only; choose 127.0.0.1 or [::1]", addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("simulator: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.listener != nil {
		l.Close()
		return errors.New("simulator listens already")
	}
	e.listener = &listener{l.(*net.TCPListener)}
	return nil
}

// Addr is where it listens, e.g. 127.0.0.1:8421; "" before Listen.
func (e *Exchange) Addr() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.listener == nil {
		return ""
	}
	return e.listener.Addr().String()
}

// APIURL, WSURL and LoginURL are what a client is configured with.
func (e *Exchange) APIURL() string   { return "http://" + e.Addr() }
func (e *Exchange) WSURL() string    { return "ws://" + e.Addr() }
func (e *Exchange) LoginURL() string { return "http://" + e.Addr() + "/connect/login" }

// Close gives the port back. The servers on it must have ended.
func (e *Exchange) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.tape != nil && e.tape.Close != nil {
		e.tape.Close()
	}
	if e.listener == nil {
		return nil
	}
	err := e.listener.TCPListener.Close()
	e.listener = nil
	return err
}

// serveHTTP answers on the listener until ctx ends, then closes every
// connection and socket.
func (e *Exchange) serveHTTP(ctx context.Context) error {
	e.mu.Lock()
	l := e.listener
	e.mu.Unlock()
	if l == nil {
		return errors.New("simulator does not listen; call Listen first")
	}
	if err := l.SetDeadline(time.Time{}); err != nil {
		return fmt.Errorf("simulator listener: %w", err)
	}
	server := &http.Server{
		Handler: e.handler, ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: slog.NewLogLogger(e.log.Handler(), slog.LevelWarn),
	}
	if err := serve.Until(ctx, server, l, 0, e.CloseSockets); err != nil {
		return fmt.Errorf("simulator server: %w", err)
	}
	return nil
}

// Serve answers on the listener and runs the market until ctx ends, for a
// simulator that stands alone.
func (e *Exchange) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	market := make(chan error, 1)
	go func() {
		defer cancel()
		market <- e.Run(ctx)
	}()
	err := e.serveHTTP(ctx)
	cancel()
	return errors.Join(err, <-market)
}

// ActorConfig is what the simulator actor needs.
type ActorConfig struct {
	Exchange  *Exchange  // listening; it outlives the incarnations
	SelfLogin *SelfLogin // nil: a person logs in
}

// NewActor serves an exchange under supervision: two tasks, one for the
// listener, one for the market. A restart closes sockets and nothing else.
func NewActor(cfg ActorConfig) actors.Producer {
	return func(self actors.Self) actors.Actor { return &server{self: self, cfg: cfg} }
}

type server struct {
	self actors.Self
	cfg  ActorConfig
}

// Receive implements actors.Actor: an exchange is spoken to over the wire only.
func (s *server) Receive(msg any) {
	switch msg.(type) {
	case actors.Started:
		s.self.Go("http", s.cfg.Exchange.serveHTTP)
		s.self.Go("market", s.cfg.Exchange.Run)
		if s.cfg.SelfLogin != nil {
			s.self.Go("self login", func(ctx context.Context) error { return s.cfg.SelfLogin.watch(ctx, s.cfg.Exchange) })
		}
	case actors.Stopped:
	default:
		s.self.Log().Warn("simulator got a message that it does not know")
	}
}
