package messages

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Secret holds a value that must never reach an output. Every way in which Go
// prints, logs or marshals a value shows "[redacted]" with the fingerprint
// instead; [Secret.Reveal] is the only way out, and easy to search for.
//
// The value hides behind a pointer: a plain string type leaks through %#v and
// from unexported fields of a struct that is printed, because fmt does not
// call methods on those; a pointer prints as an address there.
type Secret struct{ value *string }

// NewSecret wraps a value. The empty string gives the zero Secret.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	value = strings.Clone(value) // do not keep the whole file alive behind a substring
	return Secret{&value}
}

// Reveal returns the value itself: for the wire and for the file, nowhere else.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero reports whether there is no value.
func (s Secret) IsZero() bool { return s.value == nil }

// Equal compares the values (== would compare pointers).
func (s Secret) Equal(o Secret) bool { return s.Reveal() == o.Reveal() }

// Fingerprint is the first 8 hex digits of SHA-256, "" for none: enough to
// tell two tokens apart on a screen, useless for anything else.
func (s Secret) Fingerprint() string {
	if s.value == nil {
		return ""
	}
	sum := sha256.Sum256([]byte(*s.value))
	return hex.EncodeToString(sum[:4])
}

// String implements fmt.Stringer without the value.
func (s Secret) String() string {
	if s.value == nil {
		return "[none]"
	}
	return "[redacted " + s.Fingerprint() + "]"
}

// GoString implements fmt.GoStringer without the value.
func (s Secret) GoString() string { return s.String() }

// Format implements fmt.Formatter: every verb prints the same.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue implements slog.LogValuer without the value.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements encoding.TextMarshaler (and so JSON) without the value.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// AccessToken is Kite's token of the day.
type AccessToken struct{ Secret }

// NewAccessToken wraps a token.
func NewAccessToken(value string) AccessToken { return AccessToken{NewSecret(value)} }

// Equal compares the values.
func (t AccessToken) Equal(o AccessToken) bool { return t.Secret.Equal(o.Secret) }
