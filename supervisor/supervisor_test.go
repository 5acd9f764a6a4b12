package supervisor

import (
	"slices"
	"testing"
	"time"

	"kitestring/actors"
)

func TestStartsInOrderStopsInReverse(t *testing.T) {
	var d diary
	root := group("root", written(&d, "a"), group("g", written(&d, "b"), written(&d, "c")), written(&d, "e"))
	inBubble(t, root, Options{}, func(t *testing.T, s *Supervisor) {
		if got, want := d.take(), []string{"+a", "+b", "+c", "+e"}; !slices.Equal(got, want) {
			t.Fatalf("started %v, want %v", got, want)
		}
		if h := s.Health(); !h.OK || h.Running != 4 || h.Total != 4 {
			t.Fatalf("health %+v", h)
		}
	})
	if got, want := d.take(), []string{"-e", "-c", "-b", "-a"}; !slices.Equal(got, want) {
		t.Fatalf("stopped %v, want %v", got, want)
	}
}

func TestRestartsWithBackoffAndKeepsControlMessages(t *testing.T) {
	var d diary
	w := worker("a", func(self actors.Self, msg any) {
		switch m := msg.(type) {
		case order:
			m(self)
		case string:
			d.note("%d:%s", self.Epoch(), m)
		}
	})
	inBubble(t, group("root", w), Options{}, func(t *testing.T, s *Supervisor) {
		s.tellTest("a", order(crash))
		s.tellTest("a", "kept")
		after(0)
		wantState(t, s, "a", BackingOff)
		if st := s.statusOf(t, "a"); st.LastError != "panic: crash" || st.NextRetryAt == nil {
			t.Fatalf("status %+v", st)
		}
		s.tellTest("a", "later")
		after(50 * time.Millisecond)
		wantState(t, s, "a", Running)
		if got, want := d.take(), []string{"2:kept", "2:later"}; !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func TestEventsComeInOrderAndObserversMayPanic(t *testing.T) {
	var d diary
	opts := Options{Observe: func(e Event) {
		d.note("%s %s %d %s", e.Actor, e.Kind, e.Epoch, e.Reason)
		panic("observer")
	}}
	inBubble(t, group("root", written(&diary{}, "a")), opts, func(t *testing.T, s *Supervisor) {
		s.tellTest("a", order(crash))
		after(time.Second)
	})
	want := []string{
		"a ready 1 ", "root ready 1 ", "a failed 1 panic: crash", "a ready 2 ", "a ended 2 ", "root ended 1 ",
	}
	if got := d.take(); !slices.Equal(got, want) {
		t.Fatalf("events %q, want %q", got, want)
	}
}
