package supervisor

import (
	"context"
	"errors"
	"testing"
	"time"

	"kitestring/actors"
	"kitestring/messages"
)

func TestSpecsThatCannotWork(t *testing.T) {
	ok := func(name string) Spec { return worker(name, func(actors.Self, any) {}) }
	with := func(change func(*Spec)) Spec {
		s := ok("a")
		change(&s)
		return group("root", s)
	}
	for _, c := range []struct {
		what, name, field string
		root              Spec
	}{
		{"duplicate name", "a", "Name", group("root", ok("a"), group("g", ok("a")))},
		{"a child called like its parent", "root", "Name", group("root", ok("root"))},
		{"no name", "", "Name", with(func(s *Spec) { s.Name = "" })},
		{"slash", "a/b", "Name", with(func(s *Spec) { s.Name = "a/b" })},
		{"neither worker nor supervisor", "a", "Produce", with(func(s *Spec) { s.Produce = nil })},
		{"both", "a", "Children", with(func(s *Spec) { s.Children = []Spec{ok("b")} })},
		{"zero period", "a", "Intensity.Period", with(func(s *Spec) { s.Intensity.Restarts = 3 })},
		{"zero restarts", "a", "Intensity.Restarts", with(func(s *Spec) { s.Intensity.Period = time.Second })},
		{"negative period", "a", "Group.Period", with(func(s *Spec) { s.Group = Intensity{Restarts: 1, Period: -1} })},
		{"negative backoff", "a", "Backoff.Base", with(func(s *Spec) { s.Backoff.Base = -1 })},
		{"cap below base", "a", "Backoff.Cap", with(func(s *Spec) { s.Backoff.Base, s.Backoff.Cap = 2, 1 })},
		{"negative start timeout", "a", "StartTimeout", with(func(s *Spec) { s.StartTimeout = -1 })},
		{"negative grace", "a", "StopGrace", with(func(s *Spec) { s.StopGrace = -1 })},
		{"negative hang", "a", "Hang", with(func(s *Spec) { s.Hang = -1 })},
		{"negative heartbeat", "a", "Heartbeat", with(func(s *Spec) { s.Heartbeat = -1 })},
		{"heartbeat condition alone", "a", "HeartbeatWhile", with(func(s *Spec) { s.HeartbeatWhile = func() bool { return true } })},
		{"negative bound", "a", "Mailbox.Ticks", with(func(s *Spec) { s.Mailbox.Ticks = -1 })},
		{"negative batches", "a", "Mailbox.Batches", with(func(s *Spec) { s.Mailbox.Batches = -1 })},
		{"negative control", "a", "Mailbox.Control", with(func(s *Spec) { s.Mailbox.Control = -1 })},
		{"seed without batches", "a", "Seed", with(func(s *Spec) { s.Seed = func(func()) messages.Batch { return nil } })},
		{"a supervisor with a mailbox", "root", "Mailbox", func() Spec {
			g := group("root", ok("a"))
			g.Mailbox = testMailbox()
			return g
		}()},
		{"a worker as root", "a", "Children", ok("a")},
	} {
		t.Run(c.what, func(t *testing.T) {
			err := New(Options{}).Start(context.Background(), c.root)
			var bad *SpecError
			if !errors.As(err, &bad) || bad.Name != c.name || bad.Field != c.field {
				t.Fatalf("error %v, want one of %q, field %s", err, c.name, c.field)
			}
		})
	}
	t.Run("an inlet without a child", func(t *testing.T) {
		s := New(Options{})
		s.Inlet("nobody")
		var bad *SpecError
		if err := s.Start(context.Background(), group("root", ok("a"))); !errors.As(err, &bad) || bad.Name != "nobody" {
			t.Fatalf("error %v", err)
		}
	})
}
