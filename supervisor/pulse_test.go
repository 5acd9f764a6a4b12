package supervisor

import (
	"testing"
	"time"
)

// A root that hangs holds its mutex for ever: then nothing may report
// that all is well.
func TestAHungRootHasNoPulse(t *testing.T) {
	var d diary
	beat := make(chan Health)
	quit := make(chan struct{})
	s := New(Options{Watch: 5 * time.Millisecond, Pulse: func(h Health) {
		select {
		case beat <- h:
		case <-quit:
		}
	}})
	if err := s.Start(t.Context(), metricsTree(&d)); err != nil {
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
	still := time.After(400 * time.Millisecond)
	for beats := 0; ; beats++ {
		select {
		case <-beat:
			if beats > 0 { // one may have been on its way
				t.Error("a hung root has a pulse")
			}
			continue
		case <-still:
		}
		break
	}
	s.mu.Unlock()
	healthy()
}
