package rehearse

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestShortDrills runs the drills that are quick enough for every test run;
// "make drills" runs them all.
func TestShortDrills(t *testing.T) {
	for _, d := range All() {
		if d.Short {
			t.Run(d.Name, func(t *testing.T) { pass(t, d, Options{}) })
		}
	}
}

// pass runs a drill that must succeed.
func pass(t *testing.T, d Drill, options Options) Result {
	t.Helper()
	result := Run(t.Context(), d, t.TempDir(), options)
	switch {
	case result.Skipped:
		t.Skip(result.Detail)
	case !result.OK:
		t.Error(result.Detail)
	default:
		t.Log(result.Detail)
	}
	return result
}

func find(t *testing.T, name string) Drill {
	t.Helper()
	drills, err := Find([]string{name})
	if err != nil {
		t.Fatal(err)
	}
	return drills[0]
}

// TestShortChaos is the drill of random faults, as long as a test run has time.
func TestShortChaos(t *testing.T) { pass(t, find(t, "chaos"), Options{For: 8 * time.Second}) }

// TestManyRotations is the drill rotate-1000, as long as a test run has time.
// Its bounds are as tight as a leak of one goroutine, one file or 50 kB a
// rotation wants them.
func TestManyRotations(t *testing.T) {
	d := find(t, "rotate-1000")
	d.Steps = rotations(40, 2_000_000)
	pass(t, d, Options{})
}

// TestSampledRotations is the drill rotate-sampled, as long as a test run has time.
func TestSampledRotations(t *testing.T) {
	d := find(t, "rotate-sampled")
	d.Steps = sampledRotations(10)
	pass(t, d, Options{})
}

func TestEveryDrillIsDeclaredInFull(t *testing.T) {
	names := map[string]bool{}
	all := All()
	for _, d := range all {
		if d.Name == "" || d.Topic == 0 || d.Inject == "" || d.Hold == "" || d.Steps == nil {
			t.Errorf("%q lacks a part of its declaration", d.Name)
		}
		if names[d.Name] {
			t.Errorf("two drills are called %s", d.Name)
		}
		names[d.Name] = true
	}
	if all[0].Topic != Token || all[len(all)-1].Name != "chaos" {
		t.Errorf("a full run goes from %s to %s, want from the token to chaos", all[0].Name, all[len(all)-1].Name)
	}
	if _, err := Find([]string{"mute", "no such drill"}); err == nil || !strings.Contains(err.Error(), "rotate-valid") {
		t.Errorf("got %v, want the names that there are", err)
	}
}

// perform runs steps without a server.
func perform(t *testing.T, steps func(r *Rig)) error {
	t.Helper()
	r := newRig(t.Context(), t.TempDir(), Options{}, 10*time.Second)
	return r.perform(func() { steps(r) }, func() {})
}

func TestAFailingStepEndsTheDrill(t *testing.T) {
	cleaned := false
	err := perform(t, func(r *Rig) {
		r.cleanup(func() { cleaned = true })
		r.step("outer", func() { failf("inner") })
		t.Error("the steps went on")
	})
	if err == nil || err.Error() != "outer: inner" || !cleaned {
		t.Errorf("got %v, cleaned %t", err, cleaned)
	}
}

func TestABugOfADrillIsAFailureWithItsStack(t *testing.T) {
	err := perform(t, func(*Rig) { _ = []int{}[len(t.Name()):] })
	if err == nil || !strings.Contains(err.Error(), "TestABugOfADrill") {
		t.Errorf("got %v, want the stack", err)
	}
}

func TestMeanwhileReportsThroughTheRig(t *testing.T) {
	err := perform(t, func(r *Rig) {
		r.meanwhile(func(r *Rig) { failf("in the goroutine") })
		r.within(time.Minute, "never true", func() (bool, any) { return false, nil })
	})
	if err == nil || strings.Count(err.Error(), "in the goroutine") != 1 {
		t.Errorf("got %v, want the goroutine's failure, once", err)
	}
	err = perform(t, func(r *Rig) {
		stop := r.meanwhile(func(r *Rig) { r.during(time.Hour, "nothing", func() (bool, any) { return true, nil }) })
		stop()
	})
	if err != nil {
		t.Errorf("a stop is no failure: %v", err)
	}
}

func TestWithinForgivesAFailingStepDuringDoesNot(t *testing.T) {
	err := perform(t, func(r *Rig) {
		n := 0
		r.within(5*time.Second, "the third try", func() (bool, any) {
			if n++; n < 3 {
				failf("not yet")
			}
			return true, nil
		})
		r.during(time.Minute, "a false thing", func() (bool, any) { failf("seen"); return true, nil })
	})
	if err == nil || err.Error() != "did not stay true: a false thing (seen: seen)" {
		t.Errorf("got %v", err)
	}
}

func TestASkipIsNotAFailure(t *testing.T) {
	ended := false
	r := newRig(t.Context(), t.TempDir(), Options{}, time.Minute)
	err := r.perform(func() { skipf("no %s here", "privilege") }, func() { ended = true })
	if !errors.Is(err, errSkip) || ended {
		t.Errorf("got %v, final checks ran: %t", err, ended)
	}
}

func TestTopicsAreInOrder(t *testing.T) {
	if !slices.IsSortedFunc(All(), func(a, b Drill) int { return int(a.Topic - b.Topic) }) {
		t.Error("a full run mixes the topics")
	}
}
