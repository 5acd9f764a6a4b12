// Package serve runs an HTTP server that ends whole. net/http's Close does not
// wait for the handlers that run: one of them could still write a file, or use
// what its owner has closed already, after whoever stopped the server has gone
// on. Here the server has ended when its last handler has.
package serve

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// Until serves on a listener until ctx ends. Then no request is begun any
// more, answers under way have the grace to be finished, every connection is
// closed, hijacked ones by release (nil: there are none), and it returns nil
// once no handler runs. It returns earlier when the listener fails, with the
// reason. The contexts of all requests end with ctx.
func Until(ctx context.Context, s *http.Server, l net.Listener, grace time.Duration, release func()) error {
	var g gate
	g.idle.L = &g.mu
	s.Handler = g.around(s.Handler)
	s.BaseContext = func(net.Listener) context.Context { return ctx }
	ended := make(chan struct{})
	going := context.AfterFunc(ctx, func() {
		defer close(ended)
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		_ = s.Shutdown(patience)
	})
	err := s.Serve(l)
	if !going() {
		<-ended
	}
	_ = s.Close()
	g.shut()
	if release != nil {
		release()
	}
	g.wait()
	if ctx.Err() != nil && errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// gate counts the handlers that run.
type gate struct {
	mu     sync.Mutex
	idle   sync.Cond
	inside int
	closed bool
}

func (g *gate) around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.enter() {
			http.Error(w, "the server is ending", http.StatusServiceUnavailable)
			return
		}
		defer g.exit()
		next.ServeHTTP(w, r)
	})
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.inside++
	return true
}

func (g *gate) exit() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.inside == 0 {
		g.idle.Broadcast()
	}
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

func (g *gate) wait() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.inside > 0 {
		g.idle.Wait()
	}
}
