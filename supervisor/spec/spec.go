// Package spec is how a tree of actors is declared: children, limits of their
// restarts, bounds of their mailboxes; with the defaults, and the check that
// refuses what cannot work.
package spec

import (
	"time"

	"kitestring/actors"
	"kitestring/messages"
	"kitestring/supervisor/queue"
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
	Table   func() queue.Conflator
	Ticks   int // most ticks that wait: 8192
	Batches int // most batches that wait: 1024, or an eighth of Ticks
	Control int // most control messages that wait; beyond it the child fails: 1024
}
