package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"kitestring/messages"
	"kitestring/messages/scrub"
)

// scrubber is a slog.Handler between the log and the secrets.
type scrubber struct {
	next    slog.Handler
	secrets func() []messages.Secret
}

// NewScrubber wraps a handler so that none of the secrets reaches it, in any
// form that package scrub knows: the last resort, for what should have been a
// messages.Secret and was not. secrets is asked at each record; attributes of
// With are scrubbed when they are added.
func NewScrubber(next slog.Handler, secrets func() []messages.Secret) slog.Handler {
	return &scrubber{next, secrets}
}

// Enabled implements slog.Handler.
func (s *scrubber) Enabled(ctx context.Context, level slog.Level) bool {
	return s.next.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (s *scrubber) Handle(ctx context.Context, r slog.Record) error {
	hide := scrub.New(s.secrets()...).Hide
	clean := slog.NewRecord(r.Time, r.Level, hide(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(scrubAttr(hide, a))
		return true
	})
	return s.next.Handle(ctx, clean)
}

// WithAttrs implements slog.Handler.
func (s *scrubber) WithAttrs(attrs []slog.Attr) slog.Handler {
	hide := scrub.New(s.secrets()...).Hide
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = scrubAttr(hide, a)
	}
	return &scrubber{s.next.WithAttrs(clean), s.secrets}
}

// WithGroup implements slog.Handler.
func (s *scrubber) WithGroup(name string) slog.Handler {
	return &scrubber{s.next.WithGroup(name), s.secrets}
}

func scrubAttr(hide func(string) string, a slog.Attr) slog.Attr {
	a.Key = hide(a.Key)
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(hide(v.String()))
	case slog.KindGroup:
		var clean []slog.Attr
		for _, member := range v.Group() {
			clean = append(clean, scrubAttr(hide, member))
		}
		a.Value = slog.GroupValue(clean...)
	case slog.KindAny:
		a.Value = scrubAny(hide, v)
	default:
		a.Value = v
	}
	return a
}

// scrubAny leaves a value as it is unless one of the ways in which handlers
// print it shows a secret; then only its text is left.
func scrubAny(hide func(string) string, v slog.Value) slog.Value {
	texts := []string{fmt.Sprintf("%+v", v.Any()), fmt.Sprintf("%s", v.Any())} // %s shows bytes
	if b, err := json.Marshal(v.Any()); err == nil {
		texts = append(texts, string(b))
	}
	for _, text := range texts {
		if clean := hide(text); clean != text {
			return slog.StringValue(clean)
		}
	}
	return v
}
