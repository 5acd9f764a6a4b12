package supervisor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kitestring/actors"
	"kitestring/actors/actorstest"
)

func TestMain(m *testing.M) { actorstest.Main(m) }

// puppet is an actor made of a function.
type puppet struct {
	self actors.Self
	on   func(self actors.Self, msg any)
}

func (p puppet) Receive(msg any) {
	if p.on != nil {
		p.on(p.self, msg)
	}
}

func producer(on func(self actors.Self, msg any)) actors.Producer {
	return func(self actors.Self) actors.Actor { return puppet{self, on} }
}

func worker(name string, on func(self actors.Self, msg any)) Spec {
	return Spec{Name: name, Produce: producer(on)}
}

func group(name string, kids ...Spec) Spec {
	return Spec{Name: name, Children: kids}
}

// diary collects lines from many goroutines.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
	d.mu.Unlock()
}

func (d *diary) take() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.lines
	d.lines = nil
	return l
}

// written makes a worker that notes "+name" and "-name" at its start and stop,
// and does what it is ordered: an order is a func(actors.Self), run in Receive.
func written(d *diary, name string) Spec {
	return worker(name, func(self actors.Self, msg any) {
		switch m := msg.(type) {
		case actors.Started:
			d.note("+%s", name)
		case actors.Stopped:
			d.note("-%s", name)
		case order:
			m(self)
		}
	})
}

type order func(self actors.Self)

var errTest = errors.New("test failure")

func crash(actors.Self)      { panic("crash") }
func fail(self actors.Self)  { self.Fail(errTest) }
func leave(self actors.Self) { self.Fail(nil) }

// inBubble runs a test in fake time with a running tree and stops it.
func inBubble(t *testing.T, root Spec, opts Options, test func(t *testing.T, s *Supervisor)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := run(t, root, opts)
		defer stopAfter(t, s)
		test(t, s)
	})
}

func run(t testing.TB, root Spec, opts Options) *Supervisor {
	t.Helper()
	if opts.jitter == nil {
		opts.jitter = func() float64 { return 1 }
	}
	s := New(opts)
	if err := s.Start(context.Background(), root); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *Supervisor) tellTest(name string, msg any) { s.engine.Send(PIDOf(name), msg) }

func (s *Supervisor) statusOf(t testing.TB, name string) Status {
	t.Helper()
	for _, a := range s.Snapshot().Actors {
		if a.Name == name {
			return a
		}
	}
	t.Fatalf("no %s in the snapshot", name)
	return Status{}
}

func wantState(t *testing.T, s *Supervisor, name string, want State) {
	t.Helper()
	if got := s.statusOf(t, name); got.State != want {
		t.Fatalf("%s is %v (%s), want %v", name, got.State, got.LastError, want)
	}
}

// after lets fake time pass.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// inBubbleWith is inBubble with a supervisor that the specs know already.
func inBubbleWith(t *testing.T, newTree func() *Supervisor, root Spec, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newTree()
		if err := s.Start(context.Background(), root); err != nil {
			t.Fatal(err)
		}
		defer stopAfter(t, s)
		test(t)
	})
}

func stopAfter(t *testing.T, s *Supervisor) {
	if err := s.Stop(context.Background()); err != nil {
		t.Errorf("stop: %v", err)
	}
}
