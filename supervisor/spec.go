package supervisor

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kitestring/actors"
	"kitestring/messages"
)

// Intensity is a limit of restarts in a sliding period.
type Intensity struct {
	Restarts int
	Period   time.Duration
}

// Backoff is the pause before a restart: Base, doubled at each failure up to
// Cap, half of it fixed and half jitter. A child that ran for Healthy starts
// at Base again. A quarantined child is retried each Quarantine.
type Backoff struct {
	Base, Cap, Healthy, Quarantine time.Duration
}

// Spec describes a child: a worker (Produce) or a supervisor (Children). A
// zero field takes the default that stands beside it.
type Spec struct {
	Name    string          // unique in the tree; its PID is Name/main
	Produce actors.Producer // worker

	// Children of a supervisor are started in order and stopped in reverse. One
	// that fails, or ends by itself, is started again alone (OTP's one_for_one,
	// permanent): addresses are fixed and state that must last is kept outside
	// the actors, so no sibling needs to be restarted with it.
	Children []Spec

	Intensity Intensity // of this child: past it, quarantine. 10 in 10 s
	// Group limits the restarts of all children of a supervisor together: past
	// it the group fails as one child of its parent. 10 + 2 a child, in 10 s.
	Group   Intensity
	Backoff Backoff // 50 ms, 1 s, 10 s, 5 s

	StartTimeout time.Duration // until Started has been handled: 5 s; of a supervisor: its children's together
	StopGrace    time.Duration // of a worker, until Stopped has been handled and the tasks have ended: 2 s
	Hang         time.Duration // of a worker, longest time in one handler: 2 s

	// Heartbeat demands a Beat at least this often while HeartbeatWhile holds
	// (nil: always; it must not block). 0: no heartbeat.
	Heartbeat      time.Duration
	HeartbeatWhile func() bool

	Mailbox Mailbox
	// Seed is evaluated at each start, before Started. It must call open
	// exactly once, at the instant from which the mailbox is to accept batches;
	// what was pushed before is dropped. first (may be nil) is delivered as the
	// first batch and released afterwards. With a nil Seed the mailbox is open
	// from the start.
	Seed func(open func()) (first messages.Batch)
}

// Mailbox bounds what waits for a child.
type Mailbox struct {
	// Table makes an empty conflator. With it the child takes batches: one by one
	// up to Ticks and Batches, from there conflated until it has caught up. nil:
	// it takes none, a Push is dropped and counted.
	Table   func() Conflator
	Ticks   int // most ticks that wait: 8192
	Batches int // most batches that wait: 1024, or an eighth of Ticks
	Control int // most control messages that wait; beyond it the child fails: 1024
}

// Conflator merges batches that come too fast. It is used by one goroutine at
// a time. Its memory must be bounded.
type Conflator interface {
	Merge(messages.Batch) // without keeping the batch
	// Take empties the table into a message, nil when it is empty. The message
	// is valid until the next Merge.
	Take() any
	Len() int // entries that wait
}

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
