package rehearse

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"kitestring/supervisor/tree"
)

// Rig is a server on a simulated exchange, and the steps that a drill or soak
// takes with it. Second servers of a drill are rigs of their own that share its
// run.
type Rig struct {
	*run
	ctx context.Context

	Dir, EnvFile string
	Server       *tree.Server // nil: it is a process, or not running
	setup        Setup
	config       tree.Config
	process      *process // nil: it is in this process
	web, sim     string   // addresses of the server and of the exchange
	gateway      string   // of the server's gateway; "": not known yet, or there is none
	http         *http.Client
	nats         *natsServer     // that the server publishes to; nil: none of the drill's
	relay        *relay          // on the way there; nil: none
	log          *capture        // of a server in this process
	before       map[string]bool // goroutines that were there already
}

// run is what all rigs of one drill or soak share.
type run struct {
	options Options
	still   *Standstill
	cancel  context.CancelCauseFunc

	mu        sync.Mutex
	secrets   []string // that no output may contain
	notes     []string
	recovered time.Duration
	cleanups  []func()
}

func newRig(ctx context.Context, dir string, options Options, limit time.Duration) *Rig {
	ctx, release := context.WithTimeout(ctx, limit)
	ctx, cancel := context.WithCancelCause(ctx)
	r := &Rig{run: &run{options: options, still: WatchStandstill(), cancel: cancel}, ctx: ctx}
	r.cleanup(release)
	r.at(dir)
	return r
}

// at prepares a rig for a server in a folder.
func (r *Rig) at(dir string) {
	r.Dir, r.EnvFile = dir, filepath.Join(dir, ".env")
	r.http = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r.log, r.before = &capture{}, goroutines()
}

// sibling is a rig of the same run for a server in another folder.
func (r *Rig) sibling(dir string) *Rig {
	s := &Rig{run: r.run, ctx: r.ctx}
	s.at(dir)
	return s
}

// failure is what a failing step panics with; perform and attempt recover it.
type failure struct{ error }

var (
	errSkip    = errors.New("skipped") // this machine cannot run the drill
	errStopped = errors.New("stopped") // a goroutine of meanwhile, by its stop
)

// failf ends the drill.
func failf(format string, args ...any) { panic(failure{fmt.Errorf(format, args...)}) }

// skipf ends the drill with the reason why it cannot run here.
func skipf(format string, args ...any) { failf("%w: %s", errSkip, fmt.Sprintf(format, args...)) }

// check ends the drill if there is an error.
func check(err error) {
	if err != nil {
		panic(failure{err})
	}
}

// must is check for a call that returns a value too.
func must[T any](v T, err error) T {
	check(err)
	return v
}

// attempt runs steps and returns the failure that ended them.
func attempt(steps func()) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case failure:
			err = p.error
		default:
			panic(p)
		}
	}()
	steps()
	return nil
}

// perform runs a drill or soak: its steps, the checks at the end unless it was
// skipped, and the cleanups, the newest first. Its error joins all failures.
func (r *Rig) perform(steps, atEnd func()) (err error) {
	do := func(f func()) {
		defer func() {
			if p := recover(); p != nil { // not a failing step, but a bug of the drill
				err = errors.Join(err, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
			}
		}()
		if e := attempt(f); e != nil && !errors.Is(err, e) {
			err = errors.Join(err, e)
		}
	}
	do(steps)
	if !errors.Is(err, errSkip) {
		do(atEnd)
	}
	for _, f := range slices.Backward(r.cleanups) {
		do(f)
	}
	r.still.Stop()
	return err
}

// cleanup keeps a step for the end, whatever the verdict.
func (r *Rig) cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

// step names steps: their failure begins with the name.
func (r *Rig) step(name string, steps func()) {
	if err := attempt(steps); err != nil {
		failf("%s: %w", name, err)
	}
}

// meanwhile runs steps in a goroutine until stop, which waits for it. Its
// failure ends the drill.
func (r *Rig) meanwhile(steps func(r *Rig)) (stop func()) {
	in := *r
	ctx, cancel := context.WithCancelCause(r.ctx)
	in.ctx = ctx
	done := make(chan struct{})
	var failed error
	go func() {
		defer close(done)
		if err := attempt(func() { steps(&in) }); err != nil && !errors.Is(err, errStopped) {
			failed = err
			r.cancel(err)
		}
	}()
	stop = func() {
		cancel(errStopped)
		<-done
		check(failed)
	}
	r.cleanup(stop)
	return stop
}

// pause waits; the end of the drill or of a meanwhile ends it.
func (r *Rig) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-r.ctx.Done():
		check(context.Cause(r.ctx))
	case <-t.C:
	}
}

// within polls until ok, or names what was never true. A step that fails in the
// probe is "not yet". Time in which the machine stood still does not count.
func (r *Rig) within(d time.Duration, what string, probe func() (ok bool, seen any)) {
	start, before := time.Now(), r.still.SoFar()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		stood := r.still.SoFar() - before
		over := time.Since(start) >= d+stood // read before the probe, so that the last one is not too early
		ok, seen := false, any(nil)
		if err := attempt(func() { ok, seen = probe() }); err != nil {
			if errors.Is(err, errSkip) {
				check(err)
			}
			ok, seen = false, err
		}
		switch {
		case ok:
			return
		case errors.Is(context.Cause(r.ctx), errStopped):
			check(errStopped)
		case over || r.ctx.Err() != nil:
			err := fmt.Errorf("not within %s: %s (last seen: %+v)", d, what, seen)
			if cause := context.Cause(r.ctx); cause != nil {
				err = fmt.Errorf("%w: %w", err, cause)
			}
			if stood > time.Second {
				err = fmt.Errorf("%w, although the machine stood still for %s meanwhile, which is not counted", err, stood.Round(time.Millisecond))
			}
			check(err)
		}
		select {
		case <-r.ctx.Done():
		case <-tick.C:
		}
	}
}

// during demands that something stays true for a while.
func (r *Rig) during(d time.Duration, what string, probe func() (ok bool, seen any)) {
	for end := time.Now().Add(d); ; {
		ok, seen := false, any(nil)
		if err := attempt(func() { ok, seen = probe() }); err != nil {
			ok, seen = false, err
		}
		switch {
		case r.ctx.Err() != nil:
			check(context.Cause(r.ctx))
		case !ok:
			failf("did not stay true: %s (seen: %+v)", what, seen)
		case !time.Now().Before(end):
			return
		}
		r.pause(25 * time.Millisecond)
	}
}

// note keeps a sentence for the verdict.
func (r *Rig) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// recovery keeps the longest recovery, from start to now.
func (r *Rig) recovery(start time.Time) { r.recoveryOf(time.Since(start)) }

func (r *Rig) recoveryOf(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recovered = max(r.recovered, d)
}

// secret keeps a text that no output may contain.
func (r *Rig) secret(values ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets = append(r.secrets, values...)
}

// random is the source of a drill's random numbers; its verdict names the seed.
func (r *Rig) random() *rand.Rand {
	seed := r.options.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	r.note("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}
