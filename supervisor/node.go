package supervisor

import "time"

// phase is what a node is doing. What people see is a State.
type phase uint8

const (
	idle phase = iota
	starting
	running
	stopping
	waiting // for its backoff
)

// node is a child in the tree. The house's mu guards it.
type node struct {
	house  *Supervisor
	spec   Spec
	parent *node // nil: the root
	kids   []*node
	index  int // among the parent's kids
	cell   *cell
	in     *incarnation // the worker's, nil when down

	phase phase
	done  bool // ended for good
	// mustStop and mustStart are the orders of a group's restart: both set is a
	// cycle. The parent's step carries them out in order.
	mustStop, mustStart bool
	held                bool     // a group: its starts wait for a backoff
	overdue             bool     // a group: it used up its start timeout, nobody waits for it
	escalating          *failure // a group: why it is being stopped

	quarantined   bool
	attempt       int // failures in a row
	window, group window
	alarm, hold   alarm

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

func (s *Supervisor) newNode(spec Spec, parent *node, index int) *node {
	n := &node{
		house: s, spec: spec, parent: parent, index: index,
		window: window{limit: spec.Intensity}, group: window{limit: spec.Group},
		restarts: make(map[restartReason]uint64), faults: make(map[Kind]uint64),
	}
	s.nodes = append(s.nodes, n)
	s.byName[spec.Name] = n
	if spec.Produce != nil {
		n.cell = newCell(s, n)
		s.cells[n.cell.pid.ID] = n.cell
	}
	for i, child := range spec.Children {
		n.kids = append(n.kids, s.newNode(child, n, i))
	}
	return n
}

// alarm is a timer whose late ring is not heard. The house's mu guards it.
type alarm struct {
	timer *time.Timer
	set   uint64
}

func (s *Supervisor) ring(a *alarm, d time.Duration, then func()) {
	a.stop()
	set := a.set
	a.timer = time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.unlock()
		if a.set == set {
			a.set++
			then()
		}
	})
}

func (a *alarm) stop() {
	a.set++
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
}

// start begins a life of n. The parent decides when.
func (s *Supervisor) start(n *node) {
	n.alarm.stop()
	n.phase, n.done, n.nextAt, n.since = starting, false, time.Time{}, time.Time{}
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
		n.group.clear()
		n.held, n.overdue = false, false
		s.ring(&n.alarm, n.spec.StartTimeout, func() { s.goOn(n) })
		s.mark(n)
		return
	}
	in := s.newIncarnation(n)
	n.in = in
	n.cell.current.Store(in)
	n.cell.box.own(in)
	s.ring(&n.alarm, n.spec.StartTimeout, func() { s.abandon(n, failure{reason: byHang, err: errStartTimeout}) })
	go in.live()
}

// goOn stops waiting for a group that does not get ready; it goes on trying.
func (s *Supervisor) goOn(n *node) {
	n.overdue = true
	if n.parent == nil {
		s.started.close()
	}
	s.mark(n.parent)
}

// reset forgets a child's past: its group starts anew.
func (n *node) reset() {
	n.attempt, n.quarantined, n.done = 0, false, false
	n.window.clear()
}

// stop asks n to end. It is down when its phase is idle, which may be at once.
func (s *Supervisor) stop(n *node) {
	n.escalating = nil
	switch n.phase {
	case idle, stopping:
		return
	case waiting:
		n.alarm.stop()
		n.phase, n.nextAt = idle, time.Time{}
		return
	}
	n.alarm.stop()
	n.phase = stopping
	if n.cell == nil {
		s.stopKids(n)
		return
	}
	n.in.fail(failure{})
	s.ring(&n.alarm, n.spec.StopGrace, func() { s.abandon(n, failure{reason: byHang, err: errStopTimeout}) })
}

func (s *Supervisor) stopKids(n *node) {
	n.hold.stop()
	n.held = false
	for _, k := range n.kids {
		k.mustStop, k.mustStart, k.nextAt = true, false, time.Time{}
		if k.phase == waiting { // its backoff must not end before its turn to stop comes
			s.stop(k)
		}
	}
	s.mark(n)
}

// abandon gives up an incarnation that does not come back: it is fenced, its
// context cancelled, its goroutine left to itself.
func (s *Supervisor) abandon(n *node, f failure) {
	in := n.in
	if in == nil {
		return
	}
	n.cell.box.release(in, nil)
	s.abandoned(n, in, f)
}

func (s *Supervisor) abandoned(n *node, in *incarnation, f failure) {
	in.cancel()
	n.cell.stats.zombies.Add(1)
	n.cell.stats.stuck.Store(0)
	n.in = nil
	s.tell(n, Abandoned, f)
	if s.closing {
		s.hung = append(s.hung, n.spec.Name)
	}
	s.ended(n, f)
}
