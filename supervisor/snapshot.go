package supervisor

import (
	"fmt"
	"time"
)

// State is the state of a child. The zero value is Stopped.
type State uint8

// The states of a child.
const (
	Stopped     State = iota // not started yet, or stopped
	Starting                 // Started not yet handled
	Running                  // ready
	BackingOff               // failed; waits for its restart
	Hung                     // in one handler for more than half its Hang
	Quarantined              // failed too often; waits for a retry
)

var states = [...]string{"stopped", "starting", "running", "backing_off", "hung", "quarantined"}

// String is the state in lower_snake_case.
func (s State) String() string {
	if int(s) < len(states) {
		return states[s]
	}
	return "unknown"
}

// MarshalText implements encoding.TextMarshaler.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Snapshot is the whole tree at one moment, parents before their children, in
// order of start.
type Snapshot struct {
	At          time.Time `json:"at"`
	Actors      []Status  `json:"actors"`
	DeadLetters uint64    `json:"dead_letters"` // messages of actors to addresses that do not exist
}

// Status is one child of a snapshot. Rates and quantiles are of the last 5 to
// 10 seconds.
type Status struct {
	Name             string     `json:"name"`
	Kind             string     `json:"kind"`   // worker or supervisor
	Parent           string     `json:"parent"` // "" for the root
	State            State      `json:"state"`
	Quarantined      bool       `json:"quarantined"` // also while a retry runs that is not yet healthy
	Epoch            uint64     `json:"epoch"`       // incarnations so far
	Generation       uint64     `json:"generation"`  // of the token
	UptimeSeconds    float64    `json:"uptime_seconds"`
	Restarts         uint64     `json:"restarts"`
	RestartsInWindow int        `json:"restarts_in_window"`
	Intensity        int        `json:"intensity"` // restarts that the window allows
	GroupInWindow    int        `json:"group_in_window"`
	GroupIntensity   int        `json:"group_intensity"` // restarts of a supervisor's children that the window allows
	WindowSeconds    float64    `json:"window_seconds"`
	Escalations      uint64     `json:"escalations"`
	Mailbox          Depths     `json:"mailbox"`
	Handled          uint64     `json:"handled"`
	MessagesPerSec   float64    `json:"messages_per_second"` // control messages, batches, tables
	HandlingP99      float64    `json:"handling_p99_seconds"`
	BusySeconds      float64    `json:"busy_seconds"` // in the handler that runs, to one look of the watchdog
	Tasks            int        `json:"tasks"`
	Zombies          int        `json:"zombies"`      // abandoned incarnations that have not returned
	LateOutputs      uint64     `json:"late_outputs"` // of zombies and ended incarnations, dropped
	LastError        string     `json:"last_error"`
	NextRetryAt      *time.Time `json:"next_retry_at"` // null: none planned
}

// Depths is the mailbox of a child: ticks and control messages, now and since
// the process began.
type Depths struct {
	Depth     int    `json:"depth"`    // waiting
	Capacity  int    `json:"capacity"` // at most
	Conflated uint64 `json:"conflated"`
	Dropped   uint64 `json:"dropped"` // the sum of the next three
	Full      uint64 `json:"dropped_full"`
	Down      uint64 `json:"dropped_down"`    // ticks, while the child was down
	Stopped   uint64 `json:"dropped_stopped"` // after the stop of the tree

	late uint64
}

// Snapshot is the tree as data. It costs microseconds and waits for no actor.
func (s *Supervisor) Snapshot() Snapshot {
	snap := s.snapshot()
	// The program's function does not run under the mutex that it would hold.
	if s.opts.Generation != nil {
		for i := range snap.Actors {
			snap.Actors[i].Generation = s.opts.Generation(snap.Actors[i].Name)
		}
	}
	return snap
}

func (s *Supervisor) snapshot() Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, nanos := time.Now(), s.nanos()
	snap := Snapshot{At: now, DeadLetters: s.deadLetters.Load(), Actors: make([]Status, 0, len(s.nodes))}
	for _, n := range s.nodes {
		snap.Actors = append(snap.Actors, n.status(now, nanos))
	}
	return snap
}

func (n *node) status(now time.Time, nanos int64) Status {
	st := Status{
		Name: n.spec.Name, Kind: "supervisor", State: n.state(), Quarantined: n.quarantined, Epoch: n.epoch,
		UptimeSeconds: n.uptime(now).Seconds(), RestartsInWindow: n.window.Count(now),
		Intensity: n.spec.Intensity.Restarts, WindowSeconds: n.spec.Intensity.Period.Seconds(),
		Escalations: n.escalated, LastError: n.lastError,
	}
	for _, v := range n.restarts {
		st.Restarts += v
	}
	if !n.nextAt.IsZero() {
		next := n.nextAt
		st.NextRetryAt = &next
	}
	if n.parent != nil {
		st.Parent = n.parent.spec.Name
	}
	if n.cell == nil {
		st.GroupInWindow, st.GroupIntensity = n.group.Count(now), n.spec.Group.Restarts
		return st
	}
	c := &n.cell.stats
	st.Kind = "worker"
	st.Mailbox = n.cell.mailbox.depths()
	st.Handled = c.handled.Load()
	perSecond, handling := c.recent.Since(nanos, &c.handled, &c.handling)
	st.MessagesPerSec, st.HandlingP99 = perSecond, handling.Quantile(0.99)
	st.BusySeconds = time.Duration(c.stuck.Load()).Seconds()
	st.Tasks, st.Zombies = int(c.tasks.Load()), int(c.zombies.Load())
	st.LateOutputs = c.late.Load()
	return st
}

// state is what people see of a phase.
func (n *node) state() State {
	switch n.phase {
	case waiting:
		if n.quarantined {
			return Quarantined
		}
		return BackingOff
	case starting:
		return Starting
	case running, stopping:
		switch {
		case n.cell == nil:
			return Running
		case n.cell.current.Load() == nil:
			return BackingOff // it has failed and its tasks are ending
		case n.cell.stats.stuck.Load() > int64(n.spec.Hang)/2:
			return Hung
		}
		return Running
	}
	return Stopped
}

// Health is the tree in one line.
type Health struct {
	OK          bool     `json:"ok"`      // every actor that should run does, none is quarantined
	Running     int      `json:"running"` // workers
	Total       int      `json:"total"`   // workers
	Quarantined int      `json:"quarantined"`
	Reasons     []string `json:"reasons,omitempty"` // one for each actor that does not run
}

// Health sums the tree up. That it answers at all says that the root
// supervisor works.
func (s *Supervisor) Health() Health {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := Health{OK: s.root != nil && !s.closing}
	for _, n := range s.nodes {
		state := n.state()
		if n.quarantined {
			h.Quarantined++
		}
		if n.cell != nil {
			h.Total++
			if state == Running {
				h.Running++
			}
		}
		if n.quarantined || state != Running {
			h.OK = false
			reason := fmt.Sprintf("%s is %s", n.spec.Name, state)
			if n.lastError != "" {
				reason += ": " + n.lastError
			}
			h.Reasons = append(h.Reasons, reason)
		}
	}
	return h
}
