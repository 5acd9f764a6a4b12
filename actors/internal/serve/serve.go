// Package serve runs an HTTP server that ends completely. net/http's Close
// does not wait for the handlers that run: one of them could still write a
// file, or use what its owner has closed already. Here the server has ended
// when its last handler has.
package serve

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Until serves on a listener until ctx ends. Then no new request begins,
// requests in progress have the grace period to finish, every connection is
// closed, hijacked ones by release (nil: there are none), and Until returns
// nil once no handler runs. It returns earlier when the listener fails, with
// the reason. The contexts of all requests end with ctx.
func Until(ctx context.Context, s *http.Server, l net.Listener, grace time.Duration, release func()) error {
	var handlers sync.RWMutex // each handler that runs holds it for reading
	var closed atomic.Bool
	next := s.Handler
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if handlers.TryRLock() {
			defer handlers.RUnlock()
			if !closed.Load() {
				next.ServeHTTP(w, r)
				return
			}
		}
		http.Error(w, "the server is ending", http.StatusServiceUnavailable)
	})
	s.BaseContext = func(net.Listener) context.Context { return ctx }
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		timeout, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		_ = s.Shutdown(timeout)
	})
	err := s.Serve(l)
	if !stop() {
		<-ended
	}
	_ = s.Close()
	closed.Store(true)
	if release != nil {
		release()
	}
	handlers.Lock() // waits for the handlers that run, and stays locked
	if ctx.Err() != nil && errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
