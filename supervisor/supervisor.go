package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anthdm/hollywood/actor"
)

// ErrNotRunning says that the tree has not been started or is being stopped.
var ErrNotRunning = errors.New("the supervision tree is not running")

// UnknownError says that no actor has that name.
type UnknownError struct {
	Name  string
	Names []string // those that exist
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("no actor %q; there are: %s", e.Name, strings.Join(e.Names, ", "))
}

// PIDOf is the address of a child, valid before it has ever started.
func PIDOf(name string) *actor.PID { return actor.NewPID(actor.LocalLookupAddr, name+"/main") }

// Supervisor is a tree of supervised actors.
//
// It is a monitor: one mutex guards the tree, every event (an incarnation that
// is ready or gone, a timer, a call) changes it in one short step, and no code
// of an actor ever runs under that mutex.
type Supervisor struct {
	opts   Options
	engine *actor.Engine
	log    *slog.Logger
	jitter func() float64
	born   time.Time

	mu         sync.Mutex
	root       *node // nil before the start
	nodes      []*node
	byName     map[string]*node
	inlets     map[string]*Inlet
	marked     []*node
	events     []event  // not yet published
	publishing bool     // a goroutine is publishing them
	hung       []string // abandoned while stopping
	closing    bool

	cells       map[string]*cell // by the address' ID; fixed at the start
	deadLetters atomic.Uint64
	started     latch
	stopped     latch
	unhang      chan struct{} // closed at the end: injected hangs let go
	watching    sync.WaitGroup
}

// latch is a channel that is closed once.
type latch struct {
	c     chan struct{}
	close func()
}

func newLatch() latch {
	c := make(chan struct{})
	return latch{c, sync.OnceFunc(func() { close(c) })}
}

// New makes an empty tree. Inlets can be taken from it at once, so that
// producers can capture them; [Supervisor.Start] fills it.
func New(opts Options) *Supervisor {
	s := &Supervisor{
		opts: opts, log: opts.Logger, jitter: opts.jitter, born: time.Now(),
		byName: make(map[string]*node), inlets: make(map[string]*Inlet), cells: make(map[string]*cell),
		started: newLatch(), stopped: newLatch(), unhang: make(chan struct{}),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.jitter == nil {
		s.jitter = rand.Float64
	}
	if s.opts.Watch <= 0 {
		s.opts.Watch = 100 * time.Millisecond
	}
	return s
}

// Start checks the spec, then starts its children in order, each when the one
// before it is ready, has failed (it is retried by its backoff) or has used up
// its StartTimeout: one bad child does not keep the rest from starting, the
// snapshot shows it. Start fails with a [*SpecError], or when ctx ends first
// (what had started is stopped again); ctx has no meaning afterwards. The
// root never fails: past its own limits it only reports.
func (s *Supervisor) Start(ctx context.Context, root Spec) error {
	if err := s.build(root); err != nil {
		return err
	}
	s.watching.Go(s.newWatchdog().run)
	s.mu.Lock()
	s.start(s.root)
	s.unlock()
	select {
	case <-s.started.c:
		return nil
	case <-ctx.Done():
		return errors.Join(ctx.Err(), s.Stop(context.WithoutCancel(ctx)))
	}
}

func (s *Supervisor) build(root Spec) error {
	root = root.WithDefaults()
	if err := root.Check(make(map[string]bool)); err != nil {
		return err
	}
	if len(root.Children) == 0 {
		return &SpecError{Name: root.Name, Field: "Children", Reason: "missing; the root is a supervisor"}
	}
	engine, err := actor.NewEngine(actor.NewEngineConfig())
	if err != nil {
		return fmt.Errorf("make hollywood's engine: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root != nil {
		return ErrNotRunning
	}
	tree := s.newNode(root, nil)
	for name, f := range s.inlets {
		n := s.byName[name]
		if n == nil || n.spec.Mailbox.Table == nil {
			return &SpecError{Name: name, Field: "Mailbox.Table", Reason: "batches are pushed to it, but no child of that name takes any"}
		}
		f.mailbox.Store(&n.cell.mailbox)
	}
	if s.opts.Registerer != nil {
		if err := s.opts.Registerer.Register(&collector{s}); err != nil {
			return fmt.Errorf("register the supervisor's metrics: %w", err)
		}
	}
	s.root, s.engine = tree, engine
	for _, c := range s.cells {
		s.engine.SpawnProc(c)
	}
	return nil
}

// Stop ends the tree in reverse order, each child bounded by its StopGrace.
// The error names those that had to be abandoned. When ctx ends, all that is
// left is abandoned at once. Stop is final; a second one returns nil.
func (s *Supervisor) Stop(ctx context.Context) error {
	s.mu.Lock()
	if s.root == nil || s.closing {
		s.mu.Unlock()
		return nil
	}
	s.closing = true
	s.stop(s.root)
	s.unlock()
	select {
	case <-s.stopped.c:
	case <-ctx.Done():
		s.abandonAll()
		<-s.stopped.c
	}
	close(s.unhang)
	s.watching.Wait()
	for _, c := range s.cells {
		s.engine.Registry.Remove(c.pid)
		c.mailbox.retire()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.hung) > 0 {
		return fmt.Errorf("%w: %s", errStopTimeout, strings.Join(s.hung, ", "))
	}
	return nil
}

// abandonAll gives up every child, whether its turn to stop has come or not.
func (s *Supervisor) abandonAll() {
	s.mu.Lock()
	defer s.unlock()
	for _, n := range s.nodes {
		if n.in != nil {
			n.timer.stop()
			n.phase = stopping
			s.abandon(n, failure{reason: byHang, err: errStopTimeout})
		}
	}
}

// unlock carries out what the step has made possible, and publishes it after
// the mutex has been given back: in order, by one goroutine at a time.
func (s *Supervisor) unlock() {
	s.settle()
	if s.publishing {
		s.mu.Unlock()
		return
	}
	s.publishing = true
	for len(s.events) > 0 {
		events := s.events
		s.events = nil
		s.mu.Unlock()
		for _, e := range events {
			s.publish(e)
		}
		s.mu.Lock()
	}
	s.publishing = false
	s.mu.Unlock()
}

// nanos is the supervisor's clock: monotonic, and cheaper than time.Now.
func (s *Supervisor) nanos() int64 { return int64(time.Since(s.born)) }

// late reports whether a message's sender is an incarnation of this tree that
// has been fenced.
func (s *Supervisor) late(sender *actor.PID) bool {
	c := s.cells[sender.ID]
	if c == nil {
		return false
	}
	in := c.current.Load()
	return in == nil || in.pid != sender
}

func (s *Supervisor) reachable(to *actor.PID) bool {
	if to == nil {
		return false
	}
	if _, ok := s.cells[to.ID]; ok {
		return true
	}
	kind, id, _ := strings.Cut(to.ID, "/")
	return to.Address != actor.LocalLookupAddr || s.engine.Registry.GetPID(kind, id) != nil
}
