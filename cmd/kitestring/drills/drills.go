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
	"cmp"
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
	Inject string        // what goes wrong
	Hold   string        // what must be true all the same
	Short  bool          // quick enough for every test run
	Setup  Setup         // the server that it needs
	Limit  time.Duration // 0: 3 minutes
	run    func(ctx context.Context, r *Rig) error
}

// Options are what a person may choose of a run.
type Options struct {
	Seed   uint64        // of the drills that go by chance; 0: a new one, which the verdict names
	For    time.Duration // how long chaos lasts; 0: 3 minutes
	Binary string        // "kitestring", for the drills that need a process of their own; "": this program
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

// order is that of a full run: from the token over the feed and the day to the
// actors.
var order = []string{
	"rotate-valid", "rotate-twice", "rotate-same", "rotate-1000", "deaf", "garbage-token", "yesterdays-token", "old-socket-lives", "old-socket-cut",
	"env-torn", "env-styles", "env-bind-mount", "env-shadowed", "env-writers", "disk-full", "read-only", "login-abuse",
	"forbidden-storm", "fourth-socket", "mute", "heartbeat-only", "no-first-tick", "drop-mid-frame", "malformed", "slow-consumer",
	"duplicate-snapshot", "recycled-instrument", "order-updates-lost",
	"rest-429-html", "latched-client", "rollover", "wrong-zone", "wrong-holiday", "kill-mid-bar", "day",
	"panic-each", "panic-while-rotating", "hang-each", "restart-storm", "chaos",
}

// All are the drills, in the order of a full run.
func All() []Drill {
	all := slices.Concat(tokenDrills, envDrills, loginDrills, feedDrills, restDrills, marketDrills, actorDrills, faultDrills, chaosDrills)
	slices.SortStableFunc(all, func(a, b Drill) int {
		return cmp.Compare(slices.Index(order, a.Name), slices.Index(order, b.Name))
	})
	return all
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
func Run(ctx context.Context, d Drill, dir string, options Options) Result {
	if d.Limit == 0 {
		d.Limit = limit
	}
	ctx, cancel := context.WithTimeout(ctx, d.Limit+options.For)
	defer cancel()
	result := Result{Name: d.Name}
	still := WatchStandstill()
	defer still.Stop()
	r, err := open(ctx, d.Setup, dir, options, still)
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
	if stood := still.SoFar(); stood > time.Second {
		if result.Detail != "" {
			result.Detail += "; "
		}
		result.Detail += fmt.Sprintf("the machine stood still for %s meanwhile: figures are upper bounds", stood.Round(time.Millisecond))
	}
	if r != nil && r.recovered > 0 {
		ms := float64(r.recovered) / float64(time.Millisecond)
		result.RecoveryMS = &ms
	}
	return result
}
