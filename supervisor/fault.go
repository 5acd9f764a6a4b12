package supervisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// Kind is a kind of injected fault.
type Kind string

// The kinds of faults.
const (
	FaultPanic             Kind = "panic"               // the handler panics
	FaultHang              Kind = "hang"                // the handler blocks for For (0: until the supervisor stops)
	FaultSlow              Kind = "slow"                // each message or batch takes Delay longer (0: 5 ms), for For (0: 5 s)
	FaultExit              Kind = "exit"                // a normal end
	FaultGoroutine         Kind = "goroutine"           // a task panics
	FaultLeak              Kind = "leak"                // a task ignores its context for For (0: until the supervisor stops)
	FaultDropTokenMessages Kind = "drop_token_messages" // token messages are dropped for For (0: until the incarnation ends)
	FaultDropMessages      Kind = "drop_messages"       // all messages and batches are dropped for For (0: until the incarnation ends)

	FaultPanicStart Kind = "panic-start" // the handler panics, and the next incarnation does when it starts
	FaultPanicStop  Kind = "panic-stop"  // a normal end, at which the actor panics in place of handling Stopped
)

// Kinds is every kind of fault.
func Kinds() []Kind {
	return []Kind{FaultPanic, FaultHang, FaultSlow, FaultExit, FaultGoroutine, FaultLeak, FaultDropTokenMessages, FaultDropMessages, FaultPanicStart, FaultPanicStop}
}

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

// activeFaults is the lasting part of the faults that an incarnation has.
type activeFaults struct {
	any             bool
	delay           time.Duration
	slowUntil       time.Time
	dropTokens      bool
	dropTokensUntil time.Time // zero: to the end
	dropAll         bool      // with dropTokens: all messages, not just those about a token
	panicStop       bool
}

func (m *mailbox) strike(f Fault) {
	m.mu.Lock()
	defer m.wakeAndUnlock()
	if !m.ended {
		m.faults = append(m.faults, f)
	}
}

// applyFault carries a fault out, on the incarnation's own goroutine; over: it is
// the end of it.
func (in *incarnation) applyFault(f Fault) (end failure, over bool) {
	in.supervisor.event(in, Struck, errors.New(string(f.Kind)))
	switch f.Kind {
	case FaultPanic:
		panic("injected")
	case FaultHang:
		in.supervisor.block(f.For)
	case FaultSlow:
		in.active.any, in.active.delay = true, cmp.Or(max(f.Delay, 0), 5*time.Millisecond)
		in.active.slowUntil = time.Now().Add(cmp.Or(f.For, 5*time.Second))
	case FaultExit:
		return failure{}, true
	case FaultGoroutine:
		in.Go("injected", func(context.Context) error { panic("injected") })
	case FaultLeak:
		in.Go("injected", func(context.Context) error {
			in.supervisor.block(f.For)
			return nil
		})
	case FaultDropTokenMessages, FaultDropMessages:
		in.active.any, in.active.dropTokens, in.active.dropTokensUntil = true, true, time.Time{}
		in.active.dropAll = f.Kind == FaultDropMessages
		if f.For > 0 {
			in.active.dropTokensUntil = time.Now().Add(f.For)
		}
	case FaultPanicStart:
		in.cell.panicStart.Store(true)
		panic("injected")
	case FaultPanicStop:
		in.active.panicStop = true
		return failure{}, true
	}
	return failure{}, false
}

// applyLasting applies the lasting faults to one item; true: it is dropped.
func (in *incarnation) applyLasting(kind itemKind) (dropped bool) {
	f, now := &in.active, time.Now()
	if f.dropTokens && !f.dropTokensUntil.IsZero() && now.After(f.dropTokensUntil) {
		f.dropTokens = false
	}
	slow := now.Before(f.slowUntil)
	f.any = f.dropTokens || slow
	if f.dropTokens && f.dropAll {
		return true
	}
	if f.dropTokens && kind == control && in.supervisor.opts.IsTokenMessage != nil && in.supervisor.opts.IsTokenMessage(in.it.msg) {
		return true
	}
	if slow {
		in.supervisor.block(f.delay)
	}
	return false
}

// block waits for d (0: without end), or until the supervisor has stopped.
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
