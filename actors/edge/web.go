package edge

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"kitestring/actors"
	"kitestring/actors/internal/serve"
)

// WebName is the name of the actor that shows how the edge is.
const WebName = "web"

// WebConfig is what that actor needs.
type WebConfig struct {
	Listen  func() (net.Listener, error) // the same address at each call
	Metrics http.Handler
}

// NewWeb makes the producer of an HTTP server for people and programs that ask
// how the edge is.
func NewWeb(cfg WebConfig) actors.Producer {
	return func(self actors.Self) actors.Actor { return &web{cfg, self} }
}

type web struct {
	WebConfig
	self actors.Self
}

// Receive implements actors.Actor.
func (w *web) Receive(msg any) {
	switch msg.(type) {
	case actors.Started:
		l, err := w.Listen()
		if err != nil {
			w.self.Fail(fmt.Errorf("listen: %w", err))
			return
		}
		server := &http.Server{
			Handler: w.routes(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 32 << 10,
			ErrorLog: slog.NewLogLogger(w.self.Log().Handler(), slog.LevelDebug),
		}
		w.self.Go("serve", func(ctx context.Context) error { return serve.Until(ctx, server, l, 100*time.Millisecond, nil) })
	case actors.Stopped:
	default:
		w.self.Log().Warn("unexpected message", "type", fmt.Sprintf("%T", msg))
	}
}

func (w *web) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", w.Metrics)
	return mux
}
