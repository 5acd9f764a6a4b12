package supervisor

import (
	"fmt"
	"time"

	"kitestring/supervisor/spec"
)

// phase is what a node is doing. What people see is a State.
type phase uint8

const (
	idle phase = iota
	starting
	running
	stopping
	waiting // for its backoff
)

// node is a child in the tree. The supervisor's mu guards it.
type node struct {
	spec   Spec
	parent *node // nil: the root
	kids   []*node
	cell   *cell        // of a worker; nil: a group
	in     *incarnation // the worker's, nil when down

	phase phase
	// mustStop and mustStart are orders: both set is a cycle. The parent's step
	// carries them out in order.
	mustStop, mustStart bool
	overdue             bool     // a group: it used up its start timeout, nothing waits for it
	escalating          *failure // a group: why it is being stopped

	quarantined   bool
	attempt       int // failures in a row
	window, group spec.Window
	timer         timer

	epoch     uint64
	cause     restartReason // of the next start
	restarts  map[restartReason]uint64
	escalated uint64
	faults    map[Kind]uint64
	since     time.Time // of the incarnation's readiness
	failedAt  time.Time // zero: it has recovered
	nextAt    time.Time // of the planned retry
	lastError string
}

func (s *Supervisor) newNode(declared Spec, parent *node) *node {
	n := &node{
		spec: declared, parent: parent,
		window: spec.Window{Limit: declared.Intensity}, group: spec.Window{Limit: declared.Group},
		restarts: make(map[restartReason]uint64), faults: make(map[Kind]uint64),
	}
	s.nodes = append(s.nodes, n)
	s.byName[declared.Name] = n
	if declared.Produce != nil {
		n.cell = newCell(s, n)
		s.cells[n.cell.pid.ID] = n.cell
	}
	for _, child := range declared.Children {
		n.kids = append(n.kids, s.newNode(child, n))
	}
	return n
}

// timer is a timer that does nothing once it has been stopped or set again. The
// supervisor's mu guards it.
type timer struct {
	timer *time.Timer
	set   uint64
}

func (s *Supervisor) setTimer(t *timer, d time.Duration, then func()) {
	t.stop()
	set := t.set
	t.timer = time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.unlock()
		if t.set == set {
			t.set++
			then()
		}
	})
}

func (t *timer) stop() {
	t.set++
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
}

// Steps of a group.

// mark puts a group on the list of those whose orders may go on.
func (s *Supervisor) mark(group *node) {
	if group != nil {
		s.marked = append(s.marked, group)
	}
}

// settle carries orders out as far as possible now. It runs at each unlock.
func (s *Supervisor) settle() {
	for len(s.marked) > 0 {
		g := s.marked[0]
		s.marked = s.marked[1:]
		s.step(g)
	}
}

// step moves a group on: first the stops, in reverse order and one at a time;
// when they are done, the starts in order, each when the one before it is
// ready or has failed.
func (s *Supervisor) step(g *node) {
	for i := len(g.kids) - 1; i >= 0; i-- {
		k := g.kids[i]
		if !k.mustStop {
			continue
		}
		s.stop(k)
		if k.phase != idle {
			return
		}
		k.mustStop = false
	}
	switch g.phase {
	case stopping:
		s.ended(g, failure{})
		return
	case idle, waiting:
		return
	}
	for _, k := range g.kids {
		if !k.mustStart {
			continue
		}
		if k.phase == idle {
			s.start(k)
		}
		if k.phase == starting && !k.overdue {
			return
		}
		k.mustStart = false
	}
	if g.phase == starting {
		s.nowRunning(g)
	}
}

// start begins an incarnation of n. The parent decides when.
func (s *Supervisor) start(n *node) {
	n.timer.stop()
	n.phase, n.nextAt, n.since = starting, time.Time{}, time.Time{}
	n.epoch++
	if n.epoch > 1 && n.cause != "" {
		n.restarts[n.cause]++
	}
	if n.cell == nil {
		for _, k := range n.kids {
			k.reset()
			k.mustStart = true
			if k.failedAt.IsZero() {
				k.cause = bySibling
			}
		}
		n.group.Clear()
		n.overdue = false
		s.setTimer(&n.timer, n.spec.StartTimeout, func() { s.startTimedOut(n) })
		s.mark(n)
		return
	}
	in := s.newIncarnation(n)
	n.in = in
	n.cell.current.Store(in)
	n.cell.mailbox.own(in)
	s.setTimer(&n.timer, n.spec.StartTimeout, func() { s.abandon(n, failure{reason: byHang, err: errStartTimeout}) })
	go in.run()
}

// startTimedOut stops waiting for a group that does not get ready; it goes on
// trying.
func (s *Supervisor) startTimedOut(n *node) {
	n.overdue = true
	if n.parent == nil {
		s.started.close()
	}
	s.mark(n.parent)
}

// reset forgets a child's failures: its group starts again.
func (n *node) reset() {
	n.attempt, n.quarantined = 0, false
	n.window.Clear()
}

func (s *Supervisor) nowRunning(n *node) {
	now := time.Now()
	n.phase, n.since = running, now
	n.timer.stop()
	if !n.failedAt.IsZero() {
		if n.cell != nil {
			n.cell.stats.recovery.Observe(int64(now.Sub(n.failedAt)))
		}
		n.failedAt = time.Time{}
	}
	if n.quarantined {
		s.setTimer(&n.timer, n.spec.Backoff.Healthy, func() { s.endQuarantine(n) })
	}
	s.record(n, Ready, failure{})
	if n.parent == nil {
		s.started.close()
		return
	}
	s.mark(n.parent)
}

func (s *Supervisor) endQuarantine(n *node) {
	n.reset()
	s.record(n, Reinstated, failure{})
}

// stop asks n to end. It is down when its phase is idle, which may be at once.
func (s *Supervisor) stop(n *node) {
	n.escalating = nil
	switch n.phase {
	case idle, stopping:
		return
	case waiting:
		n.timer.stop()
		n.phase, n.nextAt = idle, time.Time{}
		return
	}
	n.timer.stop()
	n.phase = stopping
	if n.cell == nil {
		s.stopKids(n)
		return
	}
	n.in.fail(failure{})
	s.setTimer(&n.timer, n.spec.StopGrace, func() { s.abandon(n, failure{reason: byHang, err: errStopTimeout}) })
}

func (s *Supervisor) stopKids(n *node) {
	for _, k := range n.kids {
		k.mustStop, k.mustStart, k.nextAt = true, false, time.Time{}
		if k.phase == waiting { // its backoff must not end before its turn to stop comes
			s.stop(k)
		}
	}
	s.mark(n)
}

// abandon gives up an incarnation that does not come back: it is fenced, its
// context cancelled, its goroutine left alone.
func (s *Supervisor) abandon(n *node, f failure) {
	if in := n.in; in != nil {
		n.cell.mailbox.release(in, nil)
		s.abandoned(n, in, f)
	}
}

func (s *Supervisor) abandoned(n *node, in *incarnation, f failure) {
	in.cancel()
	n.cell.stats.zombies.Add(1)
	n.cell.stats.stuck.Store(0)
	n.in = nil
	s.record(n, Abandoned, f)
	if s.closing {
		s.hung = append(s.hung, n.spec.Name)
	}
	s.ended(n, f)
}

// ended takes note that n is down, and decides what follows.
func (s *Supervisor) ended(n *node, f failure) {
	asked := n.phase == stopping && n.escalating == nil
	if n.escalating != nil {
		f, n.escalating = *n.escalating, nil
	}
	n.timer.stop()
	n.phase = idle
	switch {
	case asked:
		s.record(n, Ended, failure{})
		if n.parent == nil {
			s.stopped.close()
		}
	case f.err == nil:
		s.record(n, Ended, failure{})
		s.restart(n, failure{reason: byError})
	default:
		n.lastError = f.err.Error()
		s.record(n, Failed, f)
		s.restart(n, f)
	}
	s.mark(n.parent)
}

// restart plans the next start of a child that ended by itself.
func (s *Supervisor) restart(n *node, f failure) {
	g, now := n.parent, time.Now()
	if g.phase == stopping {
		return
	}
	n.failedAt, n.cause = now, f.reason
	if !n.since.IsZero() && now.Sub(n.since) >= n.spec.Backoff.Healthy {
		n.attempt = 0
	}
	n.attempt++
	over := n.window.Add(now)
	if !n.quarantined && g.group.Add(now) {
		if g.parent != nil {
			s.escalate(g, n, f)
			return
		}
		// The root has no parent: it goes on and reports.
		g.escalated++
		s.record(g, Escalated, f)
		g.group.Clear()
	}
	delay := n.spec.Backoff.Delay(n.attempt, s.jitter)
	if over && !n.quarantined {
		n.quarantined = true
		s.record(n, Quarantine, f)
	}
	if n.quarantined {
		delay = n.spec.Backoff.Quarantine
	}
	n.phase, n.nextAt = waiting, now.Add(delay)
	s.setTimer(&n.timer, delay, func() { s.start(n) })
}

// escalate makes a group that cannot be kept fail as one child of its parent.
func (s *Supervisor) escalate(g, n *node, f failure) {
	g.escalated++
	why := failure{reason: f.reason, err: fmt.Errorf("%s failed too often: %w", n.spec.Name, f.cause())}
	s.record(g, Escalated, why)
	g.timer.stop()
	g.phase = stopping
	g.escalating = &why
	s.stopKids(g)
}

func (n *node) uptime(now time.Time) time.Duration {
	if n.phase != running || n.since.IsZero() {
		return 0
	}
	return now.Sub(n.since)
}
