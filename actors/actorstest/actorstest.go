// Package actorstest helps to test actor packages. [Harness] runs one actor: real
// goroutines and timers, an endless mailbox, every message that the actor sends
// kept for inspection. [Tokens] is the token source of such a test, [Until] polls,
// [Shared] finds test data, [Main] counts leaked goroutines. All of it works
// inside testing/synctest bubbles.
package actorstest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/anthdm/hollywood/actor"
	"go.uber.org/goleak"

	"kitestring/actors"
)

// Sent is a message that the actor sent.
type Sent struct {
	To  *actor.PID
	Msg any
}

// Harness runs one actor.
type Harness struct {
	t       testing.TB
	name    string
	actor   actors.Actor
	ctx     context.Context
	cancel  context.CancelFunc
	tasks   sync.WaitGroup
	loop    sync.WaitGroup
	mu      sync.Mutex
	queue   []any
	wake    chan struct{}
	news    chan struct{} // closed and replaced at each Send
	sent    []Sent
	failed  error
	beats   int
	stopped bool
}

// Start builds the actor and sends it Started. The test's end stops it and
// waits for its tasks.
func Start(t testing.TB, name string, produce actors.Producer) *Harness {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	h := &Harness{t: t, name: name, ctx: ctx, cancel: cancel, wake: make(chan struct{}, 1), news: make(chan struct{})}
	h.actor = produce(h)
	h.loop.Add(1)
	go h.run()
	h.Tell(actors.Started{})
	t.Cleanup(h.Stop)
	return h
}

// Stop ends the actor: Stopped is its last message. A second call does nothing.
func (h *Harness) Stop() {
	h.mu.Lock()
	if h.stopped {
		h.mu.Unlock()
		return
	}
	h.stopped = true
	h.mu.Unlock()
	h.cancel()
	h.loop.Wait()
	h.actor.Receive(actors.Stopped{Err: h.Err()})
	h.tasks.Wait()
}

func (h *Harness) run() {
	defer h.loop.Done()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-h.wake:
		}
		for {
			h.mu.Lock()
			if len(h.queue) == 0 || h.stopped {
				h.mu.Unlock()
				break
			}
			msg := h.queue[0]
			h.queue = h.queue[1:]
			h.mu.Unlock()
			h.actor.Receive(msg)
		}
	}
}

// Name implements actors.Self.
func (h *Harness) Name() string { return h.name }

// Epoch implements actors.Self.
func (h *Harness) Epoch() uint64 { return 1 }

// PID implements actors.Self.
func (h *Harness) PID() *actor.PID { return actor.NewPID(actor.LocalLookupAddr, h.name+"/main") }

// Send implements actors.Self.
func (h *Harness) Send(to *actor.PID, msg any) {
	h.mu.Lock()
	h.sent = append(h.sent, Sent{to, msg})
	close(h.news)
	h.news = make(chan struct{})
	h.mu.Unlock()
}

// Tell implements actors.Self; tests use it to send to the actor.
func (h *Harness) Tell(msg any) {
	h.mu.Lock()
	h.queue = append(h.queue, msg)
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// After implements actors.Self.
func (h *Harness) After(d time.Duration, msg any) func() {
	t := time.AfterFunc(d, func() {
		if h.ctx.Err() == nil {
			h.Tell(msg)
		}
	})
	stop := context.AfterFunc(h.ctx, func() { t.Stop() })
	return func() { t.Stop(); stop() }
}

// Every implements actors.Self.
func (h *Harness) Every(d time.Duration, msg any) func() {
	ctx, cancel := context.WithCancel(h.ctx)
	h.tasks.Go(func() {
		t := time.NewTicker(d)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				h.Tell(msg)
			}
		}
	})
	return cancel
}

// Go implements actors.Tasks.
func (h *Harness) Go(task string, run func(ctx context.Context) error) {
	h.tasks.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				h.Fail(fmt.Errorf("task %s: panic: %v", task, p))
			}
		}()
		if err := run(h.ctx); err != nil && h.ctx.Err() == nil {
			h.Fail(fmt.Errorf("task %s: %w", task, err))
		}
	})
}

// Fail implements actors.Self: the first failure is kept for Err.
func (h *Harness) Fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failed == nil {
		h.failed = err
	}
}

// Err is the first failure, nil for none.
func (h *Harness) Err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failed
}

// Beat implements actors.Self.
func (h *Harness) Beat() {
	h.mu.Lock()
	h.beats++
	h.mu.Unlock()
}

// Beats counts the calls of Beat.
func (h *Harness) Beats() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.beats
}

// Log implements actors.Self.
func (h *Harness) Log() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// Sent is everything that the actor has sent so far.
func (h *Harness) Sent() []Sent {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Sent(nil), h.sent...)
}

// Main runs a package's tests and then wants every goroutine gone.
func Main(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := Gone(); err != nil {
			fmt.Fprintln(os.Stderr, "after the tests:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// Gone waits until no goroutine is left but the caller's and those of the
// tests. goleak's own patience of half a second is not enough on a busy machine
// for, say, the server's side of a connection that the client has closed.
func Gone() (err error) {
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		if err = goleak.Find(); err == nil {
			return nil
		}
	}
	return err
}

// Await waits until the actor has sent a message of type M that pick accepts
// (nil accepts all), and fails the test after 30 s.
func Await[M any](h *Harness, pick func(M) bool) M {
	h.t.Helper()
	timeout := time.After(30 * time.Second)
	for seen := 0; ; {
		h.mu.Lock()
		sent, news := h.sent, h.news
		h.mu.Unlock()
		for ; seen < len(sent); seen++ {
			if m, ok := sent[seen].Msg.(M); ok && (pick == nil || pick(m)) {
				return m
			}
		}
		select {
		case <-news:
		case <-timeout:
			var want M
			h.t.Fatalf("%s: no %T sent within 30 s; sent so far: %d messages, failure: %v", h.name, want, len(sent), h.Err())
		}
	}
}
