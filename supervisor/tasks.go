package supervisor

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// tasks counts the goroutines of an incarnation.
type tasks struct {
	mu     sync.Mutex
	n      int
	closed bool
	idle   chan struct{} // closed when the last one has ended; made by await
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

// Go implements actors.Tasks.
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
		in.house.leftOver(in, in.tasks.count())
	}
}

func tasksLeft(n int) error {
	return fmt.Errorf("%d tasks did not end within the grace; they are left to themselves", n)
}
