// Package rehearse runs kitestring against a simulated exchange and judges it:
// drills, each a real failure of a real system, and soaks, which run for long
// and measure.
//
// A drill states what it injects and what must hold, and measures how long the
// recovery took. Most drills use the same tree that "kitestring run" starts, in
// this process; some start processes. Sockets and files are real. Every drill
// also demands that the holders of the token agree at the end, that no secret
// reached any output, and that no goroutine is left over. Verdicts have slack
// for a busy two-core machine; exact figures are benchmarks.
//
// A drill is one call of register: its declaration and its steps. Steps are
// methods of [Rig], the same for drills and soaks. A step that fails ends the
// drill, as a failed testing.T does; [Rig.meanwhile] runs steps in a goroutine
// and reports their failure. TestExampleDrill shows the shape.
//
// Limits: drills run one after the other, because goroutines are counted. Soaks
// need /proc (Linux).
//
// The package is larger than others because drills and soaks share the steps of
// one rig, and each of a hundred drills is a declaration of its own.
package rehearse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Topic groups drills; a full run goes through the topics in this order.
type Topic int

// The topics.
const (
	Token Topic = iota + 1
	EnvFile
	Login
	Feed
	REST
	Gateway
	TwoServers
	Bus
	Market
	Recorder
	Actors
	Chaos
)

// Drill is one failure, injected and judged.
type Drill struct {
	Name   string
	Topic  Topic
	Inject string        // what goes wrong
	Hold   string        // what must be true all the same
	Short  bool          // quick enough for every test run
	Setup  Setup         // the server that it needs
	Limit  time.Duration // 0: 3 minutes
	Steps  func(r *Rig)
}

// registered are the drills in the order of their declarations.
var registered []Drill

// register adds a drill: var _ = register(Drill{...}) declares one.
func register(d Drill) struct{} {
	registered = append(registered, d)
	return struct{}{}
}

// Options are a caller's settings of a run.
type Options struct {
	Seed   uint64        // of the drills that use random numbers; 0: a new one, which the verdict names
	For    time.Duration // how long chaos (0: 3 minutes) or a soak lasts
	Binary string        // "kitestring", for what needs processes; "": this program
	Env    []string      // of its processes, besides PATH
}

// Result is a drill's verdict, as "kitestring drill --json" prints it.
type Result struct {
	Name       string   `json:"name"`
	OK         bool     `json:"ok"`
	Skipped    bool     `json:"skipped"`
	RecoveryMS *float64 `json:"recovery_ms"` // null: nothing to recover from, or not reached
	Detail     string   `json:"detail"`
}

// defaultLimit bounds a drill that hangs.
const defaultLimit = 3 * time.Minute

// All are the drills in the order of a full run: by topic, then as declared.
func All() []Drill {
	all := slices.Clone(registered)
	slices.SortStableFunc(all, func(a, b Drill) int { return cmp.Compare(a.Topic, b.Topic) })
	return all
}

// Find returns drills by name; "all" is every one.
func Find(names []string) ([]Drill, error) {
	all := All()
	if slices.Contains(names, "all") {
		return all, nil
	}
	var found []Drill
	for _, name := range names {
		at := slices.IndexFunc(all, func(d Drill) bool { return d.Name == name })
		if at < 0 {
			var known []string
			for _, d := range all {
				known = append(known, d.Name)
			}
			return nil, fmt.Errorf("no drill is called %q; there are: %s", name, strings.Join(known, ", "))
		}
		found = append(found, all[at])
	}
	return found, nil
}

// Run runs one drill. dir must be an empty folder of its own.
func Run(ctx context.Context, d Drill, dir string, options Options) Result {
	r := newRig(ctx, dir, options, cmp.Or(d.Limit, defaultLimit)+options.For)
	err := r.perform(func() {
		r.open(d.Setup)
		d.Steps(r)
	}, r.finalChecks)
	result := Result{Name: d.Name, Detail: strings.Join(r.notes, "; ")}
	switch {
	case errors.Is(err, errSkip):
		result.OK, result.Skipped = true, true
		result.Detail = strings.TrimPrefix(err.Error(), errSkip.Error()+": ")
	case err != nil:
		result.Detail = err.Error() + r.lastWarnings()
	default:
		result.OK = true
	}
	if stood := r.still.SoFar(); stood > time.Second {
		if result.Detail != "" {
			result.Detail += "; "
		}
		result.Detail += fmt.Sprintf("the machine stood still for %s meanwhile: figures are upper bounds", stood.Round(time.Millisecond))
	}
	if r.recovered > 0 {
		ms := float64(r.recovered) / float64(time.Millisecond)
		result.RecoveryMS = &ms
	}
	return result
}
