package supervisor

import (
	"fmt"
	"time"
)

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
	switch {
	case g.phase == stopping:
		s.ended(g, failure{})
		return
	case g.phase != starting && g.phase != running, g.held:
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

func (s *Supervisor) nowRunning(n *node) {
	now := time.Now()
	n.phase, n.since = running, now
	n.alarm.stop()
	if !n.failedAt.IsZero() {
		if n.cell != nil {
			n.cell.stats.recovery.observe(int64(now.Sub(n.failedAt)))
		}
		n.failedAt = time.Time{}
	}
	if n.quarantined {
		s.ring(&n.alarm, n.spec.Backoff.Healthy, func() { s.pardon(n) })
	}
	s.tell(n, Ready, failure{})
	if n.parent == nil {
		s.started.close()
		return
	}
	s.mark(n.parent)
}

// pardon ends a quarantine.
func (s *Supervisor) pardon(n *node) {
	n.quarantined, n.attempt = false, 0
	n.window.clear()
	s.tell(n, Reinstated, failure{})
}

// ended takes note that n is down, and decides what follows.
func (s *Supervisor) ended(n *node, f failure) {
	asked := n.phase == stopping && n.escalating == nil
	if n.escalating != nil {
		f, n.escalating = *n.escalating, nil
	}
	n.alarm.stop()
	n.phase = idle
	switch {
	case asked:
		s.tell(n, Ended, failure{})
		if n.done { // a temporary child that its siblings took along
			s.retire(n)
		}
		if n.parent == nil {
			s.stopped.close()
		}
	case f.err == nil:
		s.tell(n, Ended, failure{})
		s.restart(n, failure{reason: byError})
	default:
		n.lastError = f.err.Error()
		s.tell(n, Failed, f)
		s.restart(n, f)
	}
	s.mark(n.parent)
}

// restart decides about a child that ended by itself.
func (s *Supervisor) restart(n *node, f failure) {
	if n.spec.Restart == Temporary || (n.spec.Restart == Transient && f.err == nil) {
		s.retire(n)
		return
	}
	g, now := n.parent, time.Now()
	if g.phase == stopping {
		return
	}
	n.failedAt, n.cause = now, f.reason
	if !n.since.IsZero() && now.Sub(n.since) >= n.spec.Backoff.Healthy {
		n.attempt = 0
	}
	n.attempt++
	over := n.window.add(now)
	groupOver := !n.quarantined && g.group.add(now)
	if groupOver || (over && g.spec.Strategy != OneForOne) {
		if g.parent != nil {
			s.escalate(g, n, f)
			return
		}
		// The root has nobody to turn to: it goes on, seen but alive.
		g.escalated++
		s.tell(g, Escalated, f)
		g.group.clear()
	}
	delay := n.spec.Backoff.delay(n.attempt, s.jitter)
	if over && !n.quarantined {
		n.quarantined = true
		s.tell(n, Quarantine, f)
	}
	if n.quarantined {
		delay = n.spec.Backoff.Quarantine
	}
	n.nextAt = now.Add(delay)
	s.plan(g, n, delay)
}

// plan arranges the restart of n, and of those who go with it, after delay.
func (s *Supervisor) plan(g, n *node, delay time.Duration) {
	if g.spec.Strategy == OneForOne {
		n.phase = waiting
		s.ring(&n.alarm, delay, func() { s.start(n) })
		return
	}
	n.mustStart = true
	for _, k := range g.kids {
		if k == n || (g.spec.Strategy == RestForOne && k.index < n.index) {
			continue
		}
		switch {
		case k.spec.Restart != Temporary:
			k.mustStart = true
			k.cause = bySibling
		case k.phase != idle:
			k.mustStart, k.done = false, true
		}
		k.mustStop = k.phase != idle
		k.nextAt = n.nextAt
	}
	g.held = true
	s.ring(&g.hold, delay, func() { s.letStart(g) })
	s.mark(g)
}

// letStart ends a group's backoff.
func (s *Supervisor) letStart(g *node) {
	g.hold.stop()
	g.held = false
	s.mark(g)
}

// escalate makes a group that cannot be kept fail as one child of its parent.
func (s *Supervisor) escalate(g, n *node, f failure) {
	g.escalated++
	why := failure{reason: f.reason, err: fmt.Errorf("%s failed too often: %w", n.spec.Name, f.cause())}
	s.tell(g, Escalated, why)
	g.alarm.stop()
	g.phase = stopping
	g.escalating = &why
	s.stopKids(g)
}

// retire ends a child for good, or until a person restarts it.
func (s *Supervisor) retire(n *node) {
	n.done, n.mustStart = true, false
	n.nextAt = time.Time{}
	if n.cell != nil {
		n.cell.box.retire()
	}
}
