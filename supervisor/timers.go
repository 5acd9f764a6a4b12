package supervisor

import (
	"context"
	"sync"
	"time"
)

// repeat is a timer of After or Every.
type repeat struct {
	waits bool // told and not yet handled; guarded by the box's mu

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

// After implements actors.Self.
func (in *incarnation) After(d time.Duration, msg any) (stop func()) {
	return in.startTimer(d, msg, false)
}

// Every implements actors.Self. It skips a tick while the last one still
// waits: a slow actor gets fewer, not more and more.
func (in *incarnation) Every(d time.Duration, msg any) (stop func()) {
	return in.startTimer(max(d, time.Microsecond), msg, true)
}

func (in *incarnation) startTimer(d time.Duration, msg any, again bool) func() {
	r := &repeat{}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timer = time.AfterFunc(d, func() {
		if again {
			in.cell.box.tell(in, msg, r)
		} else {
			in.cell.box.tell(in, msg, nil)
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
