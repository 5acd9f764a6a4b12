package supervisor

import (
	"testing"
	"time"
)

// A root that hangs holds its mutex for ever: then nothing must tell the
// outside that all is well.
func TestAHungRootHasNoPulse(t *testing.T) {
	var d diary
	beat := make(chan Health)
	quit := make(chan struct{})
	s, err := Start(t.Context(), metricsTree(&d), Options{Watch: 5 * time.Millisecond, Pulse: func(h Health) {
		select {
		case beat <- h:
		case <-quit:
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		close(quit)
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	healthy := func() {
		t.Helper()
		select {
		case h := <-beat:
			if !h.OK || h.Running != 2 || h.Total != 2 {
				t.Errorf("the pulse says %+v", h)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no pulse")
		}
	}
	healthy()
	s.mu.Lock()
	select {
	case <-beat: // was on its way
	case <-time.After(100 * time.Millisecond):
	}
	select {
	case <-beat:
		t.Error("a hung root has a pulse")
	case <-time.After(300 * time.Millisecond):
	}
	s.mu.Unlock()
	healthy()
}
