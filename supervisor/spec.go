package supervisor

import (
	"log/slog"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/prometheus/client_golang/prometheus"

	"kitestring/actors"
	"kitestring/messages"
)

// Strategy says who is restarted when a child fails.
type Strategy uint8

// The strategies. The zero value is OneForOne.
const (
	OneForOne  Strategy = iota // the child alone
	RestForOne                 // the child and those started after it
	OneForAll                  // every child
)

// Restart says which ends of a child call for a restart.
type Restart uint8

// The restart types. The zero value is Permanent.
const (
	Permanent Restart = iota // every end
	Transient                // a failure, not a normal end ([actors.Self].Fail(nil))
	Temporary                // none, not even a sibling's failure
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

	Children []Spec   // supervisor: started in order, stopped in reverse
	Strategy Strategy // of a supervisor

	Restart   Restart
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
	// Seed is evaluated at each birth, before Started. It must call open
	// exactly once, at the instant from which the mailbox is to accept batches;
	// what was pushed before is dropped. first (may be nil) is delivered as the
	// first batch and released afterwards. With a nil Seed the mailbox is open
	// from the birth on.
	Seed func(open func()) (first Batch)
}

// Contract says what happens to batches that a child cannot take in time.
type Contract uint8

// The contracts. The zero value is NoBatches.
const (
	NoBatches  Contract = iota // the child takes none: a Push is dropped and counted
	Lossless                   // one by one up to Mailbox.Ticks, from there conflated until the child has caught up
	Conflate                   // always conflated
	DropOldest                 // the oldest go, a gap marker is delivered in their place
	Disconnect                 // the child fails (give it Restart: Temporary to end it)
)

// Mailbox bounds what waits for a child.
type Mailbox struct {
	Contract Contract
	Ticks    int // most ticks that wait: 8192
	Batches  int // most batches that wait: 1024, or an eighth of Ticks
	Control  int // most control messages that wait; beyond it the child fails: 1024
	// Table makes an empty conflator; needed by Lossless and Conflate.
	Table func() Conflator
	// Gap makes the marker of n dropped ticks; needed by DropOldest.
	Gap func(n int) any
}

// Batch is what a mailbox counts the holders of, under its mutex.
type Batch = messages.Batch

// Conflator merges batches that come too fast. It is used by one goroutine at
// a time. Its memory must be bounded.
type Conflator interface {
	Merge(Batch) // without keeping the batch
	// Take empties the table into a message, nil when it is empty. The message
	// is valid until the next Merge.
	Take() any
	Len() int // entries that wait
}

// Options are the house's own.
type Options struct {
	Engine *actor.Engine // nil: a new one
	Logger *slog.Logger  // nil: none; Self.Log adds actor and epoch
	// Registerer gets the metrics of the whole tree once; nil: none.
	Registerer prometheus.Registerer
	// Watch is how often hangs and heartbeats are looked at: 100 ms.
	Watch time.Duration
	// IsTokenMessage picks the messages that a deaf child does not hear.
	IsTokenMessage func(msg any) bool
	// Generation tells the token generation that a child works with, for the
	// snapshot; nil: 0.
	Generation func(name string) uint64
	// Observe is told of each event in the tree, in order, after it has
	// happened. It must not block.
	Observe func(Event)
	// Pulse is told of the tree's health at each Watch, after every look: a
	// house that hangs has none. It must not block.
	Pulse func(Health)

	jitter func() float64 // tests make the backoff exact
}
