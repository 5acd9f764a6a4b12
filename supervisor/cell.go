package supervisor

import (
	"sync/atomic"

	"kitestring/supervisor/histogram"

	"github.com/anthdm/hollywood/actor"
)

// cell is what hollywood knows of a worker: an address and a Send. It stays
// registered over all incarnations.
type cell struct {
	supervisor *Supervisor
	node       *node
	spec       *Spec
	pid        *actor.PID
	mailbox    mailbox
	current    atomic.Pointer[incarnation] // nil while fenced or down

	panicStart atomic.Bool // injected, for the next incarnation

	stats stats
}

// stats outlive the incarnations.
type stats struct {
	handled  atomic.Uint64
	errors   atomic.Uint64
	panics   atomic.Uint64
	late     atomic.Uint64 // outputs of fenced incarnations, dropped here
	tasks    atomic.Int64
	zombies  atomic.Int64
	stuck    atomic.Int64 // nanoseconds in the handler that runs, as the watchdog saw it
	handling histogram.Histogram
	waiting  histogram.Histogram
	recovery histogram.Histogram
	recent   histogram.Recent
}

func newCell(s *Supervisor, n *node) *cell {
	c := &cell{supervisor: s, node: n, spec: &n.spec, pid: PIDOf(n.spec.Name)}
	c.mailbox.supervisor = s
	c.mailbox.ticks = n.spec.Mailbox.Table != nil
	c.mailbox.limit = n.spec.Mailbox.Control
	c.mailbox.keys = make(map[string]uint64)
	c.mailbox.batches.MostTicks, c.mailbox.batches.MostBatches = n.spec.Mailbox.Ticks, n.spec.Mailbox.Batches
	return c
}

// The methods of hollywood's actor.Processer.

// Start implements actor.Processer: the supervisor decides when a child starts.
func (c *cell) Start() {}

// PID implements actor.Processer.
func (c *cell) PID() *actor.PID { return c.pid }

// Send implements actor.Processer. It runs on the sender's goroutine.
func (c *cell) Send(_ *actor.PID, msg any, sender *actor.PID) { c.mailbox.put(msg, sender) }

// Invoke implements actor.Processer; nothing here calls it.
func (c *cell) Invoke(msgs []actor.Envelope) {
	for _, m := range msgs {
		c.mailbox.put(m.Msg, m.Sender)
	}
}

// Shutdown implements actor.Processer: only the supervisor ends a child.
func (c *cell) Shutdown() {}
