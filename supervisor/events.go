package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// EventKind says what happened.
type EventKind string

// The kinds of events.
const (
	Ready      EventKind = "ready"       // an incarnation has handled Started
	Failed     EventKind = "failed"      // it ended by a failure
	Ended      EventKind = "ended"       // it ended by itself or was stopped
	Abandoned  EventKind = "abandoned"   // it was hung and has been fenced
	Quarantine EventKind = "quarantined" // it failed too often; retries go on
	Reinstated EventKind = "reinstated"  // out of quarantine: healthy again, or by a person
	Escalated  EventKind = "escalated"   // a group failed too often
	Struck     EventKind = "struck"      // by an injected fault
	LeftOver   EventKind = "left_over"   // tasks did not end within the grace
)

// Event is something that happened in the tree.
type Event struct {
	At     time.Time
	Actor  string
	Kind   EventKind
	Epoch  uint64
	Reason string // "" when there is nothing to add
}

type event struct {
	Event
	stack []byte
}

var logOf = map[EventKind]struct {
	level slog.Level
	msg   string
}{
	Ready:      {slog.LevelDebug, "actor ready"},
	Failed:     {slog.LevelError, "actor failed"},
	Ended:      {slog.LevelDebug, "actor ended"},
	Abandoned:  {slog.LevelError, "hung actor abandoned"},
	Quarantine: {slog.LevelError, "actor quarantined"},
	Reinstated: {slog.LevelInfo, "actor reinstated"},
	Escalated:  {slog.LevelError, "group failed too often"},
	Struck:     {slog.LevelWarn, "fault injected"},
	LeftOver:   {slog.LevelWarn, "tasks outlive their actor"},
}

// record keeps an event until the supervisor's mutex is free.
func (s *Supervisor) record(n *node, kind EventKind, f failure) {
	e := event{Event: Event{At: time.Now(), Actor: n.spec.Name, Kind: kind, Epoch: n.epoch}, stack: f.stack}
	if f.err != nil {
		e.Reason = f.err.Error()
	}
	s.events = append(s.events, e)
}

// event is record for an incarnation, which does not hold the mutex.
func (s *Supervisor) event(in *incarnation, kind EventKind, why error) {
	s.mu.Lock()
	defer s.unlock()
	s.record(in.cell.node, kind, failure{err: why})
}

// guard runs a function of the program's on a goroutine of the supervisor's or
// of whatever caused the call: its panic must not end that one.
func (s *Supervisor) guard(what string, run func()) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("a function given to the supervisor panicked", "function", what, "panic", fmt.Sprint(p))
		}
	}()
	run()
}

// publish logs an event and hands it to the observer.
func (s *Supervisor) publish(e event) {
	l := logOf[e.Kind]
	attrs := []slog.Attr{slog.String("actor", e.Actor), slog.Uint64("epoch", e.Epoch)}
	if e.Reason != "" {
		attrs = append(attrs, slog.String("reason", e.Reason))
	}
	if len(e.stack) > 0 {
		attrs = append(attrs, slog.String("stack", string(e.stack)))
	}
	s.log.LogAttrs(context.Background(), l.level, l.msg, attrs...)
	if s.opts.Observe != nil {
		s.guard("Observe", func() { s.opts.Observe(e.Event) })
	}
}
