package supervisor

import (
	"context"
	"fmt"
	"slices"
	"sort"

	"github.com/anthdm/hollywood/actor"
)

// Restart ends an actor and starts it again at once; that counts for no limit
// and lengthens no backoff. The name of a supervisor restarts its group. It
// returns when the restart has been ordered.
func (s *Supervisor) Restart(name string) error {
	s.mu.Lock()
	defer s.unlock()
	n, err := s.find(name)
	if err != nil {
		return err
	}
	// A child of a group that is down comes with its group.
	for n.parent != nil && n.parent.phase != running && n.parent.phase != starting {
		n = n.parent
	}
	restart := []*node{n}
	if n.parent == nil {
		restart = n.kids
	}
	for _, n := range restart {
		n.mustStop, n.mustStart, n.cause = true, true, byPerson
		s.mark(n.parent)
	}
	return nil
}

// Reinstate lifts an actor's quarantine, forgets its failures and starts it if
// it waits for a retry.
func (s *Supervisor) Reinstate(name string) error {
	s.mu.Lock()
	defer s.unlock()
	n, err := s.find(name)
	if err != nil {
		return err
	}
	if n.quarantined {
		if n.phase == running {
			n.timer.stop()
		}
		s.endQuarantine(n)
	}
	n.reset()
	if n.phase == waiting {
		s.start(n)
	}
	return nil
}

// Inject strikes a worker with a fault; one that is not running is struck as
// soon as it is. It returns at once. It fails with an [*UnknownError] or a
// [*KindError].
func (s *Supervisor) Inject(f Fault) error {
	if !slices.Contains(Kinds(), f.Kind) {
		return &KindError{Kind: f.Kind}
	}
	s.mu.Lock()
	defer s.unlock()
	n, err := s.find(f.Actor)
	if err == nil && n.cell == nil {
		err = s.unknown(f.Actor, func(n *node) bool { return n.cell != nil })
	}
	if err != nil {
		return err
	}
	n.faults[f.Kind]++
	n.cell.mailbox.strike(f)
	return nil
}

// Engine is hollywood's engine: how those outside the tree send. nil before
// the start.
func (s *Supervisor) Engine() *actor.Engine { return s.engine }

// Inlet is where batches for a child are pushed. It may be taken before the
// start, which then refuses a tree where no such child takes batches; after
// the start an unknown name gives an inlet that drops.
func (s *Supervisor) Inlet(name string) *Inlet {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.inlets[name]
	if i == nil {
		i = &Inlet{}
		if n := s.byName[name]; n != nil && n.cell != nil {
			i.mailbox.Store(&n.cell.mailbox)
		}
		s.inlets[name] = i
	}
	return i
}

func (s *Supervisor) find(name string) (*node, error) {
	if s.root == nil || s.closing {
		return nil, ErrNotRunning
	}
	if n := s.byName[name]; n != nil {
		return n, nil
	}
	return nil, s.unknown(name, func(*node) bool { return true })
}

func (s *Supervisor) unknown(name string, pick func(*node) bool) error {
	e := &UnknownError{Name: name}
	for _, n := range s.nodes {
		if pick(n) {
			e.Names = append(e.Names, n.spec.Name)
		}
	}
	sort.Strings(e.Names)
	return e
}

// What incarnations report.

func (s *Supervisor) newIncarnation(n *node) *incarnation {
	ctx, cancel := context.WithCancel(context.Background())
	in := &incarnation{
		cell: n.cell, supervisor: s, epoch: n.epoch, pid: PIDOf(n.spec.Name),
		log: s.log.With("actor", n.spec.Name, "epoch", n.epoch),
		ctx: ctx, cancel: cancel, wake: make(chan struct{}, 1),
	}
	in.asleep.Store(true) // its start has a timeout of its own
	return in
}

// ready: Started has been handled. False: it came too late, or failed.
func (s *Supervisor) ready(in *incarnation) bool {
	s.mu.Lock()
	defer s.unlock()
	n := in.cell.node
	if n.in != in || in.cell.mailbox.isEnding(in) {
		return false
	}
	if n.phase == starting {
		s.nowRunning(n)
	}
	return true
}

// gone: an incarnation's goroutine returns.
func (s *Supervisor) gone(in *incarnation, end failure) {
	s.mu.Lock()
	defer s.unlock()
	n := in.cell.node
	if n.in != in {
		in.cell.stats.zombies.Add(-1)
		return
	}
	n.in = nil
	in.cell.stats.stuck.Store(0)
	s.ended(n, end)
}

// leftOver: tasks did not end within the grace.
func (s *Supervisor) leftOver(in *incarnation, n int) {
	s.mu.Lock()
	defer s.unlock()
	s.record(in.cell.node, LeftOver, failure{err: fmt.Errorf("%d tasks did not end within the grace; they are left alone", n)})
	if s.closing && in.cell.node.in == in {
		s.hung = append(s.hung, in.cell.spec.Name)
	}
}
