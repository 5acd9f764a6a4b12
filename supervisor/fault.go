package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Kind is a kind of injected fault.
type Kind string

// The kinds of faults.
const (
	FaultPanic             Kind = "panic"               // the handler panics
	FaultHang              Kind = "hang"                // the handler blocks for For (0: until the house stops)
	FaultSlow              Kind = "slow"                // each message or batch takes Delay longer (0: 5 ms), for For (0: 5 s)
	FaultExit              Kind = "exit"                // a normal end
	FaultGoroutine         Kind = "goroutine"           // a task panics
	FaultLeak              Kind = "leak"                // a task ignores its context for For (0: until the house stops)
	FaultDropTokenMessages Kind = "drop_token_messages" // token messages are not heard for For (0: until the incarnation ends)

	FaultPanicStart Kind = "panic-start" // the handler panics, and the next incarnation does when it starts
	FaultPanicStop  Kind = "panic-stop"  // a normal end, at which the actor panics in place of its goodbye
)

// Kinds is every kind of fault.
func Kinds() []Kind {
	return []Kind{FaultPanic, FaultHang, FaultSlow, FaultExit, FaultGoroutine, FaultLeak, FaultDropTokenMessages, FaultPanicStart, FaultPanicStop}
}

func (k Kind) known() bool { return slices.Contains(Kinds(), k) }

// KindError says that there is no such kind of fault.
type KindError struct{ Kind Kind }

func (e *KindError) Error() string {
	return fmt.Sprintf("no kind of fault %q; there are: %v", e.Kind, Kinds())
}

// Fault is an injected failure of one worker.
type Fault struct {
	Actor string
	Kind  Kind
	For   time.Duration
	Delay time.Duration // of FaultSlow
}

// odd is the lasting part of the faults that an incarnation suffers from.
type odd struct {
	any       bool
	delay     time.Duration
	slowUntil time.Time
	deaf      bool
	deafUntil time.Time // zero: to the end
	panicStop bool
}

func (b *box) strike(f Fault) {
	b.mu.Lock()
	if !b.ended {
		b.faults = append(b.faults, f)
	}
	b.wakeAndUnlock()
}

// suffer carries a fault out, on the incarnation's own goroutine; over: it is
// the end of it.
func (in *incarnation) suffer(f Fault) (end failure, over bool) {
	in.house.struck(in, f)
	switch f.Kind {
	case FaultPanic:
		panic("injected")
	case FaultHang:
		in.house.block(f.For)
	case FaultSlow:
		in.odd.any, in.odd.delay = true, max(f.Delay, 0)
		if f.Delay == 0 {
			in.odd.delay = 5 * time.Millisecond
		}
		in.odd.slowUntil = time.Now().Add(orElse(f.For, 5*time.Second))
	case FaultExit:
		return failure{}, true
	case FaultGoroutine:
		in.Go("injected", func(context.Context) error { panic("injected") })
	case FaultLeak:
		in.Go("injected", func(context.Context) error {
			in.house.block(f.For)
			return nil
		})
	case FaultDropTokenMessages:
		in.odd.any, in.odd.deaf, in.odd.deafUntil = true, true, time.Time{}
		if f.For > 0 {
			in.odd.deafUntil = time.Now().Add(f.For)
		}
	case FaultPanicStart:
		in.cell.panicStart.Store(true)
		panic("injected")
	case FaultPanicStop:
		in.odd.panicStop = true
		return failure{}, true
	}
	return failure{}, false
}

// endure applies the lasting faults to one item; true: it is not heard.
func (in *incarnation) endure(kind itemKind) (unheard bool) {
	o, now := &in.odd, time.Now()
	if o.deaf && !o.deafUntil.IsZero() && now.After(o.deafUntil) {
		o.deaf = false
	}
	slow := now.Before(o.slowUntil)
	o.any = o.deaf || slow
	if o.deaf && kind == control && in.house.opts.IsTokenMessage != nil && in.house.opts.IsTokenMessage(in.it.msg) {
		return true
	}
	if slow {
		in.house.block(o.delay)
	}
	return false
}

// block waits for d (0: without end), or until the house has stopped.
func (s *Supervisor) block(d time.Duration) {
	var over <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-over:
	case <-s.unhang:
	}
}

func (s *Supervisor) struck(in *incarnation, f Fault) {
	s.mu.Lock()
	defer s.unlock()
	s.tell(in.cell.node, Struck, failure{err: errors.New(string(f.Kind))})
}

func orElse(d, other time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return other
}
