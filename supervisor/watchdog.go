package supervisor

import (
	"fmt"
	"time"
)

// The watchdog looks at every worker each Watch: is it still in the same
// handler as long ago, and does it make the progress that its spec demands?
// Spans are summed up from looks, none longer than two Watches, so that a
// process that was stopped for a while finds nobody hung when it goes on.

// sight is what the watchdog remembers of one worker.
type sight struct {
	in    *incarnation
	taken uint64
	stuck time.Duration
	beats uint64
	quiet time.Duration
}

func (s *Supervisor) watch() {
	seen := make(map[*cell]*sight, len(s.cells))
	for _, c := range s.cells {
		seen[c] = &sight{}
	}
	tick := time.NewTicker(s.opts.Watch)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-s.unhang:
			return
		case now := <-tick.C:
			span := min(now.Sub(last), 2*s.opts.Watch)
			last = now
			for c, v := range seen {
				s.look(c, v, span)
				c.stats.turn(s.nanos())
			}
			if s.opts.Pulse != nil {
				s.opts.Pulse(s.Health())
			}
		}
	}
}

func (s *Supervisor) look(c *cell, v *sight, span time.Duration) {
	in := c.current.Load()
	if in == nil || in != v.in {
		*v = sight{in: in}
		if in != nil {
			v.taken, v.beats = in.taken.Load(), in.beats.Load()
		}
		c.stats.stuck.Store(0)
		return
	}
	taken := in.taken.Load()
	if taken == v.taken && !in.asleep.Load() {
		v.stuck += span
	} else {
		v.taken, v.stuck = taken, 0
	}
	c.stats.stuck.Store(int64(v.stuck))
	if v.stuck >= c.spec.Hang {
		s.hangs(c.node, in, taken, v.stuck)
		return
	}
	if c.spec.Heartbeat > 0 {
		s.listen(c, v, span)
	}
}

// hangs fences an incarnation that is still in the handler it was seen in.
func (s *Supervisor) hangs(n *node, in *incarnation, taken uint64, stuck time.Duration) {
	s.mu.Lock()
	defer s.unlock()
	if n.in != in || n.phase == stopping || !n.cell.box.release(in, &taken) {
		return
	}
	s.abandoned(n, in, failure{reason: byHang, err: fmt.Errorf("%w for %v", errHung, stuck)})
}

func (s *Supervisor) listen(c *cell, v *sight, span time.Duration) {
	beats := v.in.beats.Load()
	if beats != v.beats || !s.wanted(c) {
		v.beats, v.quiet = beats, 0
		return
	}
	if v.quiet += span; v.quiet > c.spec.Heartbeat {
		v.quiet = 0
		v.in.fail(failure{reason: byHeartbeat, err: fmt.Errorf("%w of %v", errNoProgress, c.spec.Heartbeat)})
	}
}

// wanted asks the spec whether progress is due now. A question that panics is
// no reason to restart anybody.
func (s *Supervisor) wanted(c *cell) (yes bool) {
	if c.spec.HeartbeatWhile == nil {
		return true
	}
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("heartbeat condition panicked", "actor", c.spec.Name, "panic", fmt.Sprint(p))
			yes = false
		}
	}()
	return c.spec.HeartbeatWhile()
}
