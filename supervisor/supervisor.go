package supervisor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/anthdm/hollywood/actor"
)

// PIDOf is the address of a child, valid before it has ever started.
func PIDOf(name string) *actor.PID { return actor.NewPID(actor.LocalLookupAddr, name+"/main") }

// Supervisor is a house: a tree of supervised actors.
type Supervisor struct{}

// New makes an empty house. Fronts can be taken from it at once, so that
// producers can capture them; [Supervisor.Start] fills it.
func New(opts Options) *Supervisor { return &Supervisor{} }

// Start is New and Start in one.
func Start(ctx context.Context, root Spec, opts Options) (*Supervisor, error) {
	s := New(opts)
	return s, s.Start(ctx, root)
}

// Start checks the spec, then starts its children in order, each when the one
// before it is ready, has failed (it is retried by its backoff) or has used up
// its StartTimeout. It fails with a [*SpecError], or when ctx ends first; ctx
// has no meaning afterwards. The root's own limits do not exist: it never
// fails.
func (s *Supervisor) Start(ctx context.Context, root Spec) error { return nil }

// Stop ends the tree in reverse order, each child bounded by its StopGrace.
// The error names those that had to be abandoned. When ctx ends, all that is
// left is abandoned at once.
func (s *Supervisor) Stop(ctx context.Context) error { return nil }

// Restart ends a child and starts it anew at once; that counts for no limit.
// It returns when the restart has begun.
func (s *Supervisor) Restart(name string) error { return nil }

// Reinstate lifts a child's quarantine, forgets its failures and starts it.
func (s *Supervisor) Reinstate(name string) error { return nil }

// Inject strikes a worker with a fault; one that is not running is struck as
// soon as it is. It returns at once.
func (s *Supervisor) Inject(f Fault) error { return nil }

// PID is the address of a child.
func (s *Supervisor) PID(name string) *actor.PID { return PIDOf(name) }

// Engine is the engine that the children live on, for those outside the tree
// who send.
func (s *Supervisor) Engine() *actor.Engine { return nil }

// Front is where batches for a child are pushed. It may be taken before Start;
// Start refuses a tree without that child.
func (s *Supervisor) Front(name string) *Front { return &Front{} }

// Front takes batches for one child.
type Front struct{}

// Push hands over a batch and never blocks; true means that the child falls
// behind and the caller may yield the processor once. The batch is retained as
// long as it is needed.
func (f *Front) Push(b Batch) (yield bool) { return false }

// SpecError says which field of which spec cannot work.
type SpecError struct {
	Name   string // of the child
	Field  string // e.g. Intensity.Period
	Reason string
}

func (e *SpecError) Error() string {
	return fmt.Sprintf("child spec %q: %s: %s", e.Name, e.Field, e.Reason)
}

// UnknownError says that no child has that name.
type UnknownError struct {
	Name  string
	Names []string // those that exist
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("no actor %q; there are: %s", e.Name, strings.Join(e.Names, ", "))
}

// Kind is a kind of injected fault.
type Kind string

// The kinds of faults.
const (
	FaultPanic     Kind = "panic"     // the handler panics
	FaultHang      Kind = "hang"      // the handler blocks for For (0: until the house stops)
	FaultSlow      Kind = "slow"      // each message takes Delay longer (0: 5 ms), for For (0: 5 s)
	FaultExit      Kind = "exit"      // a normal end
	FaultGoroutine Kind = "goroutine" // a task panics
	FaultLeak      Kind = "leak"      // a task ignores its context for For (0: until the house stops)
	FaultDeaf      Kind = "deaf"      // token messages are not heard for For (0: until the incarnation ends)
)

// Fault is an injected failure of one worker.
type Fault struct {
	Actor string
	Kind  Kind
	For   time.Duration
	Delay time.Duration
}

// Event is something that happened in the tree.
type Event struct {
	At     time.Time
	Actor  string
	Kind   EventKind
	Epoch  uint64
	Reason string // plain words; "" when there is nothing to add
}

// EventKind says what happened.
type EventKind string

// The kinds of events.
const (
	Ready       EventKind = "ready"       // an incarnation has handled Started
	Failed      EventKind = "failed"      // it ended by a failure
	Ended       EventKind = "ended"       // it ended by itself or was stopped
	Abandoned   EventKind = "abandoned"   // it was hung and has been fenced
	Quarantine  EventKind = "quarantined" // it failed too often: retried at the backoff's cap
	Reinstated  EventKind = "reinstated"  // healthy again, or by a person
	Escalated   EventKind = "escalated"   // a group failed too often
	Struck      EventKind = "struck"      // an injected fault
	LeftOver    EventKind = "left_over"   // tasks did not end within the grace
	MailboxFull EventKind = "mailbox_full"
)
