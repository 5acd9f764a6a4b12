// Package actors is the contract between an actor and its supervisor, in one
// place: what an actor is, what the supervisor gives it, and what both may rely
// on.
//
// An actor is a value with one method. Package supervisor builds a new one at
// every start through a [Producer], hands it messages one at a time, and drops
// it when it fails: by a panic, by [Self.Fail], by a task that panics or returns
// an error, by hanging, or by making no progress while it should. Its name,
// address and mailbox stay.
//
// # Rules
//
//   - A producer captures stores, never values: what may have changed since
//     the last start (above all the token) is asked for in Started.
//   - No I/O in Receive: dialling, REST and files run in a task ([Self.Go])
//     and answer with [Self.Tell]. A handler that blocks is a hang.
//   - Whatever an actor started ends with it: tasks by their context, timers
//     by themselves.
//   - What an actor needs of another actor comes as a message, or as a small
//     interface that it declares and supervisor/tree/tree.go fills.
package actors

import (
	"context"
	"log/slog"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/messages"
)

// Actor is one incarnation. Receive is never called by two goroutines at once,
// and never again after Stopped. The first message is Started, the last one
// Stopped (missing only when the incarnation hung and was abandoned).
type Actor interface {
	Receive(msg any)
}

// Producer makes an incarnation. It must not block, start goroutines or read
// what may change; Started is the place for that.
type Producer func(self Self) Actor

// Started is the first message of an incarnation. When it has been handled
// without failure the actor is ready and the next sibling starts.
type Started struct{}

// Stopped is the last message of an incarnation. Err is nil at a wanted stop.
type Stopped struct{ Err error }

// Self is what an incarnation has of its supervisor. Everything done through it
// belongs to the incarnation: after its end (or after the supervisor has given
// it up for hung) Send, Tell and the timers do nothing, and the context of its
// tasks is cancelled. Safe for use by the actor and its tasks at once.
type Self interface {
	Tasks

	Name() string    // "feed", also the label of logs and metrics
	Epoch() uint64   // 1, 2, 3, ... counts the incarnations
	PID() *actor.PID // outlives the incarnation

	// Send never blocks. Messages of one sender to one receiver keep their
	// order; a receiver that is down gets them after its restart.
	Send(to *actor.PID, msg any)
	// Tell is Send to itself: the way for a task to answer.
	Tell(msg any)
	// After sends msg to itself once after d, Every each d; the function returned
	// stops it.
	After(d time.Duration, msg any) (stop func())
	Every(d time.Duration, msg any) (stop func())

	// Fail reports a failure; the supervisor restarts the actor. It returns, and
	// the handler should too. Fail(nil) is a normal end; the actor is started
	// again.
	Fail(err error)
	// Beat reports progress. An actor whose spec demands a heartbeat calls it when
	// it has done what it is there for, not when a timer has fired: without a
	// Beat in time it is restarted.
	Beat()
	// Log carries actor and epoch.
	Log() *slog.Logger
}

// Tasks runs an actor's goroutines. Each gets a context that ends with the
// incarnation; a panic or an error (other than after that end) is a failure of
// the incarnation, under the task's name. The supervisor waits for them at a stop.
type Tasks interface {
	Go(task string, run func(ctx context.Context) error)
}

// Clock is the exchange's time: the machine's clock in live, the simulator's in
// sim. Timeouts and backoff use the monotonic clock of package time instead.
type Clock interface {
	Now() time.Time
}

// TokenView is what is known of the token at one moment.
type TokenView struct {
	Adopted   messages.Session      // proven; zero: none yet
	Candidate messages.Session      // newest in the file, neither proven nor rejected; zero: none pending
	Changed   messages.TokenChanged // the change that brought the candidate, or the adopted one where none is pending
}

// TokenSource is what every actor that uses a token asks when it starts, and
// where it notes each use.
type TokenSource interface {
	Current() TokenView
	// Used notes that holder has just worked with a token of generation g: a
	// request sent, a socket opened, a batch of ticks taken. Cheap; call it at
	// each use. The first use of a generation by a holder is logged.
	Used(holder string, g messages.Generation)
}

// Sink takes batches of ticks for one subscriber. Push never blocks; true
// means that the subscriber falls behind and the caller may yield the
// processor once. Push retains the batch as long as it needs it.
type Sink interface {
	Push(batch *messages.Ticks) (yield bool)
}
