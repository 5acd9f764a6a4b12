package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/anthdm/hollywood/actor"
)

// The methods of actors.Self.

func (in *incarnation) Name() string      { return in.cell.spec.Name }
func (in *incarnation) Epoch() uint64     { return in.epoch }
func (in *incarnation) PID() *actor.PID   { return in.cell.pid }
func (in *incarnation) Log() *slog.Logger { return in.log }
func (in *incarnation) Beat()             { in.beats.Add(1) }

func (in *incarnation) Send(to *actor.PID, msg any) {
	if in.cell.current.Load() != in {
		in.cell.stats.late.Add(1)
		return
	}
	if !in.supervisor.reachable(to) {
		in.supervisor.deadLetters.Add(1)
		return
	}
	in.supervisor.engine.SendWithSender(to, msg, in.pid)
}

func (in *incarnation) Tell(msg any) { in.cell.mailbox.putOwn(in, msg, keyOf(msg), nil) }

func (in *incarnation) Fail(err error) {
	if err != nil {
		in.cell.stats.errors.Add(1)
	}
	in.fail(failure{reason: byError, err: err})
}

// Timers.

// repeat is a timer of After or Every.
type repeat struct {
	waits bool // sent and not yet handled; guarded by the mailbox's mu

	mu     sync.Mutex
	timer  *time.Timer
	forget func() bool // lets go of the incarnation's context
	over   bool
}

func (r *repeat) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	r.timer.Stop()
	r.forget()
}

func (in *incarnation) After(d time.Duration, msg any) (stop func()) {
	return in.startTimer(d, msg, false)
}

// Every skips a tick while the last one still waits: a slow actor gets fewer,
// not more and more.
func (in *incarnation) Every(d time.Duration, msg any) (stop func()) {
	return in.startTimer(max(d, time.Microsecond), msg, true)
}

func (in *incarnation) startTimer(d time.Duration, msg any, again bool) func() {
	key := keyOf(msg) // here, where a panic is the actor's own
	r := &repeat{}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timer = time.AfterFunc(d, func() {
		if again {
			in.cell.mailbox.putOwn(in, msg, key, r)
		} else {
			in.cell.mailbox.putOwn(in, msg, key, nil)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		switch {
		case r.over:
		case again:
			r.timer.Reset(d)
		default:
			r.forget()
		}
	})
	r.forget = context.AfterFunc(in.ctx, r.stop)
	return r.stop
}

// Tasks.

// tasks counts the goroutines of an incarnation.
type tasks struct {
	mu     sync.Mutex
	n      int
	closed bool
	idle   chan struct{} // closed when the last one has ended; made by close
}

func (t *tasks) begin() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.n++
	return true
}

func (t *tasks) finish() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n--
	if t.n == 0 && t.idle != nil {
		close(t.idle)
	}
}

func (t *tasks) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

// close lets no more begin; the channel returned is closed when none runs.
func (t *tasks) close() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.idle = make(chan struct{})
	if t.n == 0 {
		close(t.idle)
	}
	return t.idle
}

func (in *incarnation) Go(task string, run func(ctx context.Context) error) {
	if in.ctx.Err() != nil || !in.tasks.begin() {
		return
	}
	in.cell.stats.tasks.Add(1)
	go func() {
		defer in.cell.stats.tasks.Add(-1)
		defer in.tasks.finish()
		defer func() {
			if p := recover(); p != nil {
				f := panicked(p)
				f.err = fmt.Errorf("task %s: %w", task, f.err)
				in.cell.stats.panics.Add(1)
				in.fail(f)
			}
		}()
		if err := run(in.ctx); err != nil && in.ctx.Err() == nil {
			in.Fail(fmt.Errorf("task %s: %w", task, err))
		}
	}()
}

// awaitTasks gives the tasks of an ended incarnation their grace, so that the
// next one does not meet them at a port or a file.
func (in *incarnation) awaitTasks() {
	idle := in.tasks.close()
	select {
	case <-idle:
		return
	default:
	}
	grace := time.NewTimer(in.cell.spec.StopGrace)
	defer grace.Stop()
	select {
	case <-idle:
	case <-grace.C:
		in.supervisor.leftOver(in, in.tasks.count())
	}
}
