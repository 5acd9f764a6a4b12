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
	Reason string // plain words; "" when there is nothing to add
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

// tell keeps an event until the house's mutex is free.
func (s *Supervisor) tell(n *node, kind EventKind, f failure) {
	e := event{Event: Event{At: time.Now(), Actor: n.spec.Name, Kind: kind, Epoch: n.epoch}, stack: f.stack}
	if f.err != nil {
		e.Reason = f.err.Error()
	}
	s.events = append(s.events, e)
}

// publish logs an event and tells the observer, whose panic must not end the
// goroutine that happened to cause the event.
func (s *Supervisor) publish(e event) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("observer of the tree panicked", "actor", e.Actor, "panic", fmt.Sprint(p))
		}
	}()
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
		s.opts.Observe(e.Event)
	}
}
