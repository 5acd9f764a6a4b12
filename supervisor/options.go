package supervisor

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kitestring/supervisor/queue"
	"kitestring/supervisor/spec"
)

// The declaration of a tree.
type (
	Spec      = spec.Spec
	Intensity = spec.Intensity
	Backoff   = spec.Backoff
	Mailbox   = spec.Mailbox
	SpecError = spec.Error
	Conflator = queue.Conflator
)

// Options are the supervisor's own.
type Options struct {
	Logger *slog.Logger // nil: none; Self.Log adds actor and epoch
	// Registerer gets the metrics of the whole tree once; nil: none.
	Registerer prometheus.Registerer
	// Watch is how often hangs and heartbeats are looked at: 100 ms.
	Watch time.Duration
	// IsTokenMessage picks the messages that FaultDropTokenMessages drops.
	IsTokenMessage func(msg any) bool
	// Generation is the token generation that a child works with, for the
	// snapshot; nil: 0.
	Generation func(name string) uint64
	// Observe gets each event in the tree, in order, after it has happened. It
	// must not block.
	Observe func(Event)
	// Pulse gets the tree's health at each Watch, after every look: a supervisor
	// that hangs has none. It must not block.
	Pulse func(Health)

	jitter func() float64 // tests make the backoff exact
}
