// Package drills rehearses real failures of real systems against a whole
// server: the same tree that "kitestring run" starts, in this process, on a
// simulated exchange of its own, over real sockets and real files.
//
// A drill says what it injects and what must hold, and measures how long the
// recovery took. Every drill also demands that the house ends coherent, that
// no secret reached any output, and that no goroutine stays behind. Verdicts
// have slack for a busy two-core machine; exact figures are benchmarks.
//
// Limits: drills run one after the other, because goroutines are counted.
package drills

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Drill is one rehearsal.
type Drill struct {
	Name   string
	Inject string // what goes wrong
	Hold   string // what must be true all the same
	Short  bool   // quick enough for every test run
	Setup  Setup  // the server that it needs
	run    func(ctx context.Context, r *Rig) error
}

// Result is a drill's verdict, as "kitestring drill --json" prints it.
type Result struct {
	Name       string   `json:"name"`
	OK         bool     `json:"ok"`
	Skipped    bool     `json:"skipped"`
	RecoveryMS *float64 `json:"recovery_ms"` // null: nothing to recover from, or not reached
	Detail     string   `json:"detail"`
}

// errSkip marks a drill that this machine cannot run.
var errSkip = errors.New("skipped")

// skip ends a drill with the reason why it cannot run here.
func skip(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errSkip, fmt.Sprintf(format, args...))
}

// limit bounds a drill that hangs.
const limit = 3 * time.Minute

// All are the drills, in the order of a full run.
func All() []Drill {
	return slices.Concat(tokenDrills, envDrills, loginDrills, actorDrills, faultDrills)
}

// Find picks drills by name; "all" is every one.
func Find(names []string) ([]Drill, error) {
	if slices.Contains(names, "all") {
		return All(), nil
	}
	var found []Drill
	for _, name := range names {
		at := slices.IndexFunc(All(), func(d Drill) bool { return d.Name == name })
		if at < 0 {
			var known []string
			for _, d := range All() {
				known = append(known, d.Name)
			}
			return nil, fmt.Errorf("no drill is called %q; there are: %s", name, strings.Join(known, ", "))
		}
		found = append(found, All()[at])
	}
	return found, nil
}

// Run runs one drill. dir must be an empty folder of its own.
func Run(ctx context.Context, d Drill, dir string) Result {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	result := Result{Name: d.Name}
	r, err := open(ctx, d.Setup, dir)
	if err == nil {
		err = d.run(ctx, r)
		if !errors.Is(err, errSkip) {
			err = errors.Join(err, r.holds(ctx))
		}
		err = errors.Join(err, r.close(), r.leavings())
	}
	switch {
	case errors.Is(err, errSkip):
		result.OK, result.Skipped = true, true
		result.Detail = strings.TrimPrefix(err.Error(), errSkip.Error()+": ")
	case err != nil:
		result.Detail = err.Error()
		if r != nil {
			result.Detail += r.lastWords()
		}
	default:
		result.OK, result.Detail = true, r.detail
	}
	if r != nil && r.recovered > 0 {
		ms := float64(r.recovered) / float64(time.Millisecond)
		result.RecoveryMS = &ms
	}
	return result
}
