package supervisor

import (
	"fmt"
	"time"
)

// watchdog looks at every worker each Watch: is it still in the same handler as
// long ago, and does it make the progress that its spec demands? Spans are
// summed up from looks, none longer than two Watches: when a process goes on
// that was stopped for a while (SIGSTOP, a suspended machine), no actor is taken
// for hung.
type watchdog struct {
	supervisor *Supervisor
	probes     map[*cell]*probe
	last       time.Time
}

// probe is what the watchdog remembers of one worker.
type probe struct {
	in    *incarnation
	taken uint64
	stuck time.Duration
	beats uint64
	quiet time.Duration
}

func (s *Supervisor) newWatchdog() *watchdog {
	w := &watchdog{supervisor: s, probes: make(map[*cell]*probe, len(s.cells)), last: time.Now()}
	for _, c := range s.cells {
		w.probes[c] = &probe{}
	}
	return w
}

func (w *watchdog) run() {
	s := w.supervisor
	tick := time.NewTicker(s.opts.Watch)
	defer tick.Stop()
	for {
		select {
		case <-s.unhang:
			return
		case now := <-tick.C:
			w.look(now)
			if s.opts.Pulse != nil {
				s.guard("Pulse", func() { s.opts.Pulse(s.Health()) })
			}
		}
	}
}

func (w *watchdog) look(now time.Time) {
	span := min(now.Sub(w.last), 2*w.supervisor.opts.Watch)
	w.last = now
	for c, p := range w.probes {
		w.lookAt(c, p, span)
		c.stats.recent.Turn(w.supervisor.nanos(), &c.stats.handled, &c.stats.handling)
	}
}

func (w *watchdog) lookAt(c *cell, p *probe, span time.Duration) {
	in := c.current.Load()
	if in == nil || in != p.in {
		*p = probe{in: in}
		if in != nil {
			p.taken, p.beats = in.taken.Load(), in.beats.Load()
		}
		c.stats.stuck.Store(0)
		return
	}
	taken := in.taken.Load()
	if taken == p.taken && !in.asleep.Load() {
		p.stuck += span
	} else {
		p.taken, p.stuck = taken, 0
	}
	c.stats.stuck.Store(int64(p.stuck))
	if p.stuck >= c.spec.Hang {
		w.supervisor.hangs(c.node, in, taken, p.stuck)
		return
	}
	if c.spec.Heartbeat > 0 {
		w.checkHeartbeat(c, p, span)
	}
}

// hangs fences an incarnation that is still in the handler it was seen in.
func (s *Supervisor) hangs(n *node, in *incarnation, taken uint64, stuck time.Duration) {
	s.mu.Lock()
	defer s.unlock()
	if n.in != in || n.phase == stopping || !n.cell.mailbox.release(in, &taken) {
		return
	}
	s.abandoned(n, in, failure{reason: byHang, err: fmt.Errorf("%w for %v", errHung, stuck)})
}

func (w *watchdog) checkHeartbeat(c *cell, p *probe, span time.Duration) {
	beats := p.in.beats.Load()
	if beats != p.beats || !w.supervisor.progressDue(c) {
		p.beats, p.quiet = beats, 0
		return
	}
	if p.quiet += span; p.quiet > c.spec.Heartbeat {
		p.quiet = 0
		p.in.fail(failure{reason: byHeartbeat, err: fmt.Errorf("%w of %v", errNoProgress, c.spec.Heartbeat)})
	}
}

// progressDue asks the spec. A question that panics restarts no actor.
func (s *Supervisor) progressDue(c *cell) (due bool) {
	if c.spec.HeartbeatWhile == nil {
		return true
	}
	s.guard("HeartbeatWhile of "+c.spec.Name, func() { due = c.spec.HeartbeatWhile() })
	return due
}
