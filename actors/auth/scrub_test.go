package auth

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"kitestring/messages"
)

type leaky struct {
	Name  string
	inner *string
	Deep  *string
}

type talkative string

func (t talkative) LogValue() slog.Value { return slog.StringValue("value " + string(t)) }

func TestScrubber(t *testing.T) {
	const canary, odd = "canary0123456789abcdefghijklmnop", "with+signs/and=in0123456789"
	secrets := func() []messages.Secret {
		return []messages.Secret{messages.NewSecret(canary), messages.NewSecret(odd), messages.NewSecret("abc"), {}}
	}
	pointed := canary
	leaks := []any{
		"plain", canary,
		"url", "wss://ws?access_token=" + canary + "&x=with%2Bsigns%2Fand%3Din0123456789",
		"error", fmt.Errorf("dial: %w", errors.New(canary)),
		"bytes", []byte(canary),
		"struct",
		leaky{Name: odd, inner: &pointed, Deep: &pointed},
		"pointer", &leaky{Deep: &pointed},
		"map",
		map[string][]string{"Authorization": {"token k:" + canary}},
		slog.Group("group", "inner", canary, slog.Group("deeper", "x", odd)),
		"valuer", talkative(canary),
		canary, "as a key",
	}
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
	} {
		var out bytes.Buffer
		log := slog.New(NewScrubber(handler(&out), secrets))
		log.Info("message with "+canary, leaks...)
		log.With(leaks...).WithGroup("group").Warn("second", leaks...)
		log.Debug("not enabled", leaks...)
		text := out.String()
		for _, s := range []string{canary, odd, "with%2Bsigns"} {
			if strings.Contains(text, s) {
				t.Errorf("%s shows %s:\n%s", name, s, text)
			}
		}
		if n := strings.Count(text, "\n"); n != 2 {
			t.Errorf("%s: %d lines", name, n)
		}
		if !strings.Contains(text, messages.NewSecret(canary).Fingerprint()) {
			t.Errorf("%s: no fingerprint in its place", name)
		}
	}
}

func TestScrubberLeavesTheRest(t *testing.T) {
	var plain, scrubbed bytes.Buffer
	drop := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	one := slog.New(slog.NewJSONHandler(&plain, drop))
	two := slog.New(NewScrubber(slog.NewJSONHandler(&scrubbed, drop), func() []messages.Secret { return []messages.Secret{messages.NewSecret("never-there")} }))
	for _, log := range []*slog.Logger{one, two} {
		log.With("actor", "auth").WithGroup("g").Info("kept", "n", 7, "f", 1.5, "b", true, "err", errors.New("x"), "list", []int{1}, "token", messages.NewAccessToken("s3cret"))
	}
	if plain.String() != scrubbed.String() {
		t.Errorf("changed:\n%s%s", &plain, &scrubbed)
	}
}
