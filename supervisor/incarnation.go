package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
	"kitestring/messages"
)

// restartReason is why a child was restarted: the label of
// kitestring_supervisor_restarts_total.
type restartReason string

const (
	byPanic     restartReason = "panic"
	byError     restartReason = "error"
	byHang      restartReason = "hang"
	byHeartbeat restartReason = "heartbeat"
	byPerson    restartReason = "requested"
	bySibling   restartReason = "sibling"
)

var (
	errGoexit       = errors.New("the handler ended its goroutine")
	errNoActor      = errors.New("the producer made no actor")
	errNotOpened    = errors.New("the seed did not open the mailbox")
	errHung         = errors.New("hung in a handler")
	errFinished     = errors.New("it ended by itself")
	errStartTimeout = errors.New("not ready within its start timeout")
	errStopTimeout  = errors.New("did not stop within its grace")
	errNoProgress   = errors.New("no progress within its heartbeat")
)

// failure is how an incarnation came to its end; a nil err is a normal end.
type failure struct {
	reason restartReason
	err    error
	stack  []byte
}

// cause is the error, or words for a normal end.
func (f failure) cause() error {
	if f.err == nil {
		return errFinished
	}
	return f.err
}

func panicked(p any) failure {
	return failure{reason: byPanic, err: fmt.Errorf("panic: %v", p), stack: debug.Stack()}
}

// incarnation is one run of a worker: one goroutine that takes from the mailbox
// and calls the actor. It implements actors.Self.
type incarnation struct {
	cell       *cell
	supervisor *Supervisor
	epoch      uint64
	pid        *actor.PID // its own pointer: what it sends is known by it
	log        *slog.Logger
	ctx        context.Context
	cancel     context.CancelFunc
	wake       chan struct{}
	beats      atomic.Uint64

	// taken counts what was taken from the mailbox, asleep holds while nothing is
	// being handled: the watchdog compares its looks at them, so that no
	// message costs a clock read.
	taken  atomic.Uint64
	asleep atomic.Bool

	ending bool // guarded by the mailbox's mu, as end is
	end    failure

	// Used by its own goroutine alone.
	actor   actors.Actor
	it      item
	held    messages.Batch // released whatever happens to the handler
	streak  uint           // messages since it last slept
	handled uint64         // not yet added to the child's count
	active  activeFaults   // injected

	tasks tasks
}

// run takes the incarnation to its end.
func (in *incarnation) run() {
	end := failure{reason: byPanic, err: errGoexit}
	defer func() { in.supervisor.gone(in, end) }()
	defer in.awaitTasks()
	defer func() { in.leave(end) }()
	end = in.work()
}

// work makes the actor and gives it its messages. No panic of an actor gets
// past it.
func (in *incarnation) work() (end failure) {
	defer in.releaseHeld()
	defer func() {
		if p := recover(); p != nil {
			end = panicked(p)
			in.cell.stats.panics.Add(1)
		}
	}()
	first, err := in.create()
	if err != nil {
		return failure{reason: byError, err: err}
	}
	in.held = first
	if in.cell.panicStart.Swap(false) {
		panic("injected at the start")
	}
	in.actor.Receive(actors.Started{})
	if !in.supervisor.ready(in) {
		return in.cell.mailbox.cause(in)
	}
	in.asleep.Store(false)
	if first != nil {
		in.deliverBatch(first)
	}
	for {
		switch kind := in.cell.mailbox.next(in); kind {
		case finish, fenced:
			return in.cell.mailbox.cause(in)
		case strike:
			if end, over := in.applyFault(in.it.fault); over {
				return end
			}
		default:
			in.handle(kind)
		}
	}
}

// create makes the actor and seeds it.
func (in *incarnation) create() (first messages.Batch, err error) {
	c := in.cell
	if in.actor = c.spec.Produce(in); in.actor == nil {
		return nil, errNoActor
	}
	var filling, spare Conflator
	if c.spec.Mailbox.Table != nil {
		filling, spare = c.spec.Mailbox.Table(), c.spec.Mailbox.Table()
	}
	opened := false
	open := func() { opened = c.mailbox.open(in, filling, spare) || opened }
	if c.spec.Seed == nil {
		open()
		return nil, nil
	}
	if first = c.spec.Seed(open); !opened {
		if first != nil {
			first.Release()
		}
		return nil, errNotOpened
	}
	return first, nil
}

// handle gives the actor one item. Clock reads are shared out: each message of
// a quiet actor is measured, one in 16 of a busy one.
func (in *incarnation) handle(kind itemKind) {
	st, it := &in.cell.stats, &in.it
	in.streak++
	measure := in.streak < 4 || in.streak&15 == 0
	var began int64
	if measure || it.At != 0 {
		began = in.supervisor.nanos()
		if it.At != 0 {
			st.waiting.Observe(began - it.At)
		}
	}
	if in.active.any && in.applyLasting(kind) {
		in.drop(kind)
		return
	}
	switch kind {
	case control:
		msg := it.msg
		it.msg = nil // a hung handler keeps what it needs itself
		in.actor.Receive(msg)
	case batch:
		in.deliverBatch(it.Batch)
	case conflated:
		in.deliverTable(it)
	}
	in.handled++
	if measure {
		st.handling.Observe(in.supervisor.nanos() - began)
		in.count()
	}
}

// drop gives back what would have been handled.
func (in *incarnation) drop(kind itemKind) {
	switch kind {
	case batch:
		in.it.Batch.Release()
		in.it.Batch = nil
	case conflated:
		for i, b := range in.it.Backlog {
			b.Release()
			in.it.Backlog[i] = nil
		}
		in.it.Table.Take()
	}
}

func (in *incarnation) count() {
	in.cell.stats.handled.Add(in.handled)
	in.handled = 0
}

func (in *incarnation) deliverBatch(b messages.Batch) {
	in.held, in.it.Batch = b, nil
	in.actor.Receive(b)
	in.held = nil
	b.Release()
}

func (in *incarnation) deliverTable(it *item) {
	for i := range it.Backlog { // releaseHeld finds what a panic leaves
		b := it.Backlog[i]
		it.Table.Merge(b)
		it.Backlog[i] = nil
		b.Release()
	}
	if msg := it.Table.Take(); msg != nil {
		in.actor.Receive(msg)
	}
}

// releaseHeld releases what the handler held when it ended.
func (in *incarnation) releaseHeld() {
	in.count()
	if in.held != nil {
		in.held.Release()
		in.held = nil
	}
	for _, b := range in.it.Backlog {
		if b != nil {
			b.Release()
		}
	}
	in.it = item{}
}

// leave gives the actor its Stopped and fences the incarnation. One that was
// abandoned gets none: a hung handler may still hold its state.
func (in *incarnation) leave(end failure) {
	defer in.cell.mailbox.release(in, nil)
	defer func() {
		if p := recover(); p != nil {
			in.cell.stats.panics.Add(1)
			in.log.Error("actor panicked while stopping", "panic", fmt.Sprint(p))
		}
	}()
	in.cell.mailbox.shut(in)
	in.cancel()
	in.asleep.Store(true)
	if in.actor == nil || in.cell.current.Load() != in {
		return
	}
	in.taken.Add(1) // the watchdog looks at this handler too
	in.asleep.Store(false)
	if in.active.panicStop {
		panic("injected at the end")
	}
	in.actor.Receive(actors.Stopped{Err: end.err})
}

// fail ends the incarnation after the handler that runs; the first cause
// counts.
func (in *incarnation) fail(f failure) {
	b := &in.cell.mailbox
	b.mu.Lock()
	if b.owner == in {
		in.failLocked(f)
	}
	b.wakeAndUnlock()
}

func (in *incarnation) failLocked(f failure) {
	if !in.ending {
		in.ending, in.end = true, f
	}
}
