package logs

import (
	"context"
	"log/slog"
	"sync"

	"golang.org/x/time/rate"
)

// What one message of one actor may write: a burst, and then so many lines a
// second. An exchange or a client that floods the server must not flood the log.
const (
	burst      = 100
	perSecond  = 5
	mostTopics = 1000 // messages are constants; this bounds a mistake
)

// Budget is a handler that leaves out what is over the budget of its message
// and counts it: the next line of that message says how many were left out.
type Budget struct {
	next   slog.Handler
	actor  string
	topics *budgets // shared by the handlers that come of this one
}

type budgets struct {
	mu sync.Mutex
	of map[topic]*spent
}

// topic is what has a budget of its own.
type topic struct {
	level          slog.Level
	actor, message string
}

type spent struct {
	limiter *rate.Limiter
	left    int // lines left out since the last one that was written
}

// NewBudget makes one that writes to next.
func NewBudget(next slog.Handler) *Budget {
	return &Budget{next: next, topics: &budgets{of: map[topic]*spent{}}}
}

// Enabled implements slog.Handler.
func (b *Budget) Enabled(ctx context.Context, level slog.Level) bool {
	return b.next.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (b *Budget) Handle(ctx context.Context, r slog.Record) error {
	left, ok := b.topics.take(topic{r.Level, b.actor, r.Message})
	if !ok {
		return nil
	}
	if left > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("left_out", left))
	}
	return b.next.Handle(ctx, r)
}

// take takes a line of a topic's budget; left is how many lines were left out
// before it.
func (c *budgets) take(t topic) (left int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	count := c.of[t]
	if count == nil {
		if len(c.of) >= mostTopics {
			t = topic{message: "others"}
		}
		if count = c.of[t]; count == nil {
			count = &spent{limiter: rate.NewLimiter(perSecond, burst)}
			c.of[t] = count
		}
	}
	if !count.limiter.Allow() {
		count.left++
		return 0, false
	}
	left, count.left = count.left, 0
	return left, true
}

// Report logs what was left out and not said yet, at the end.
func (b *Budget) Report() {
	b.topics.mu.Lock()
	defer b.topics.mu.Unlock()
	for topic, count := range b.topics.of {
		if count.left > 0 {
			slog.New(b.next).Warn("log lines left out", "message", topic.message, "actor", topic.actor, "left_out", count.left)
		}
	}
}

// WithAttrs implements slog.Handler.
func (b *Budget) WithAttrs(attrs []slog.Attr) slog.Handler {
	derived := *b
	derived.next = b.next.WithAttrs(attrs)
	for _, a := range attrs {
		if a.Key == "actor" {
			derived.actor = a.Value.String()
		}
	}
	return &derived
}

// WithGroup implements slog.Handler.
func (b *Budget) WithGroup(name string) slog.Handler {
	derived := *b
	derived.next = b.next.WithGroup(name)
	return &derived
}
