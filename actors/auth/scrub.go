package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"kitestring/messages"
)

// scrubber is a slog.Handler between the log and the secrets.
type scrubber struct {
	next    slog.Handler
	secrets func() []messages.Secret
}

// NewScrubber wraps a handler so that no value of secrets reaches it, neither
// plain nor as a URL spells it: the last resort, for what should have been a
// messages.Secret and was not. secrets is asked at each record; attributes of
// With are looked at when they are added.
func NewScrubber(next slog.Handler, secrets func() []messages.Secret) slog.Handler {
	return &scrubber{next, secrets}
}

// Enabled implements slog.Handler.
func (s *scrubber) Enabled(ctx context.Context, level slog.Level) bool {
	return s.next.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (s *scrubber) Handle(ctx context.Context, r slog.Record) error {
	replace := s.replacer()
	clean := slog.NewRecord(r.Time, r.Level, replace.Replace(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(scrubAttr(replace, a))
		return true
	})
	return s.next.Handle(ctx, clean)
}

// WithAttrs implements slog.Handler.
func (s *scrubber) WithAttrs(attrs []slog.Attr) slog.Handler {
	replace := s.replacer()
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = scrubAttr(replace, a)
	}
	return &scrubber{s.next.WithAttrs(clean), s.secrets}
}

// WithGroup implements slog.Handler.
func (s *scrubber) WithGroup(name string) slog.Handler {
	return &scrubber{s.next.WithGroup(name), s.secrets}
}

// shortest is the length from which a value is taken for a secret: replacing
// "a" everywhere would hide the log itself.
const shortest = 6

func (s *scrubber) replacer() *strings.Replacer {
	var pairs []string
	for _, secret := range s.secrets() {
		value := secret.Reveal()
		if len(value) < shortest {
			continue
		}
		pairs = append(pairs, value, secret.String())
		if escaped := url.QueryEscape(value); escaped != value {
			pairs = append(pairs, escaped, secret.String())
		}
	}
	return strings.NewReplacer(pairs...)
}

func scrubAttr(replace *strings.Replacer, a slog.Attr) slog.Attr {
	a.Key = replace.Replace(a.Key)
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(replace.Replace(v.String()))
	case slog.KindGroup:
		var clean []slog.Attr
		for _, member := range v.Group() {
			clean = append(clean, scrubAttr(replace, member))
		}
		a.Value = slog.GroupValue(clean...)
	case slog.KindAny:
		a.Value = scrubAny(replace, v)
	default:
		a.Value = v
	}
	return a
}

// scrubAny leaves a value as it is unless one of the ways in which handlers
// print it shows a secret; then only its text is left.
func scrubAny(replace *strings.Replacer, v slog.Value) slog.Value {
	texts := []string{fmt.Sprintf("%+v", v.Any()), fmt.Sprintf("%s", v.Any())} // %s shows bytes
	if b, err := json.Marshal(v.Any()); err == nil {
		texts = append(texts, string(b))
	}
	for _, text := range texts {
		if clean := replace.Replace(text); clean != text {
			return slog.StringValue(clean)
		}
	}
	return v
}
