package spec

import (
	"fmt"
	"strings"
	"time"
)

// Error says which field of which spec cannot work.
type Error struct {
	Name   string // of the child
	Field  string // e.g. Intensity.Period
	Reason string
}

func (e *Error) Error() string {
	return fmt.Sprintf("child spec %q: %s: %s", e.Name, e.Field, e.Reason)
}

// WithDefaults fills what the author left out.
func (s Spec) WithDefaults() Spec {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	if s.Intensity == (Intensity{}) {
		s.Intensity = Intensity{Restarts: 10, Period: 10 * time.Second}
	}
	if s.Group == (Intensity{}) {
		s.Group = Intensity{Restarts: 10 + 2*len(s.Children), Period: 10 * time.Second}
	}
	def(&s.Backoff.Base, 50*time.Millisecond)
	def(&s.Backoff.Cap, max(time.Second, s.Backoff.Base))
	def(&s.Backoff.Healthy, 10*time.Second)
	def(&s.Backoff.Quarantine, max(5*time.Second, s.Backoff.Cap))
	s.Children = append([]Spec(nil), s.Children...)
	var together time.Duration
	for i := range s.Children {
		s.Children[i] = s.Children[i].WithDefaults()
		together += s.Children[i].StartTimeout
	}
	def(&s.StartTimeout, max(5*time.Second, together))
	def(&s.StopGrace, 2*time.Second)
	def(&s.Hang, 2*time.Second)
	if s.Mailbox.Ticks == 0 {
		s.Mailbox.Ticks = 8192
	}
	if s.Mailbox.Batches == 0 {
		s.Mailbox.Batches = max(1024, s.Mailbox.Ticks/8)
	}
	if s.Mailbox.Control == 0 {
		s.Mailbox.Control = 1024
	}
	return s
}

// Check refuses a spec (with its defaults) that cannot work; seen holds the
// names above and before it.
func (s *Spec) Check(seen map[string]bool) error {
	bad := func(field, reason string) error { return &Error{Name: s.Name, Field: field, Reason: reason} }
	switch {
	case s.Name == "":
		return bad("Name", "empty; every child needs a name")
	case strings.ContainsAny(s.Name, "/ \t\n"):
		return bad("Name", "contains a slash or a blank; it is part of an address")
	case seen[s.Name]:
		return bad("Name", "used more than once in the tree")
	}
	seen[s.Name] = true
	switch {
	case s.Produce != nil && len(s.Children) > 0:
		return bad("Children", "a child is a worker (Produce) or a supervisor (Children), not both")
	case s.Produce == nil && len(s.Children) == 0:
		return bad("Produce", "missing; a child is a worker (Produce) or a supervisor (Children)")
	}
	for _, i := range []struct {
		field string
		v     Intensity
	}{{"Intensity", s.Intensity}, {"Group", s.Group}} {
		if i.v.Restarts < 1 {
			return bad(i.field+".Restarts", "must be at least 1")
		}
		if i.v.Period <= 0 {
			return bad(i.field+".Period", "must be longer than zero")
		}
	}
	for _, d := range []struct {
		field string
		v     time.Duration
	}{
		{"Backoff.Base", s.Backoff.Base},
		{"Backoff.Cap", s.Backoff.Cap},
		{"Backoff.Healthy", s.Backoff.Healthy},
		{"Backoff.Quarantine", s.Backoff.Quarantine},
		{"StartTimeout", s.StartTimeout},
		{"StopGrace", s.StopGrace},
		{"Hang", s.Hang},
	} {
		if d.v <= 0 {
			return bad(d.field, "must be longer than zero")
		}
	}
	switch {
	case s.Backoff.Cap < s.Backoff.Base:
		return bad("Backoff.Cap", "shorter than Backoff.Base")
	case s.Heartbeat < 0:
		return bad("Heartbeat", "must not be negative")
	case s.HeartbeatWhile != nil && s.Heartbeat == 0:
		return bad("HeartbeatWhile", "needs a Heartbeat")
	}
	if len(s.Children) > 0 {
		if s.Seed != nil || s.Mailbox.Table != nil {
			return bad("Mailbox", "a supervisor takes no batches")
		}
		for i := range s.Children {
			if err := s.Children[i].Check(seen); err != nil {
				return err
			}
		}
		return nil
	}
	switch m := s.Mailbox; {
	case m.Ticks < 1:
		return bad("Mailbox.Ticks", "must be at least 1")
	case m.Batches < 1:
		return bad("Mailbox.Batches", "must be at least 1")
	case m.Control < 1:
		return bad("Mailbox.Control", "must be at least 1")
	case m.Table == nil && s.Seed != nil:
		return bad("Seed", "the mailbox takes no batches")
	}
	return nil
}
