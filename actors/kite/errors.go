package kite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"kitestring/messages"
)

// Kind says what an error means for the one who asked.
type Kind uint8

// The kinds. Only TokenRefused speaks against the token.
const (
	NoError      Kind = iota // nil, or an error that is not of this package
	TokenRefused             // 403 with TokenException
	Forbidden                // any other 401 or 403: permission, user, two-factor, an HTML page
	RateLimited              // 429, or our own budget and no time left to wait
	Input                    // any other 4xx: what was asked is wrong
	Server                   // 5xx
	Network                  // no answer, half an answer, or the caller's context ended
	Malformed                // an answer that is not Kite's: a redirect, HTML with a 200, another shape
	Retired                  // the client was retired: ask again with the newer token
)

var kinds = [...]string{"no_error", "token_refused", "forbidden", "rate_limited", "input", "server", "network", "malformed", "retired"}

// String is the kind in lower_snake_case.
func (k Kind) String() string {
	if int(k) < len(kinds) {
		return kinds[k]
	}
	return "unknown"
}

// Error is why a request brought nothing.
type Error struct {
	Class  Class
	Kind   Kind
	Status int    // 0: no answer
	Type   string // Kite's error_type; "": none was sent
	Detail string // Kite's message, without secrets and URLs, at most 200 bytes; "": none

	// BadChecksum is set when Kite refused the checksum of a session exchange:
	// API key and API secret do not belong together. Kite has no error_type of
	// its own for it; this is the one place where its words are looked at.
	BadChecksum bool

	cause error
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "kite %s: %s", e.Class, e.Kind)
	if e.Status != 0 {
		fmt.Fprintf(&b, ": status %d", e.Status)
	}
	if e.Type != "" {
		b.WriteString(" " + e.Type)
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	return b.String()
}

// Unwrap gives the context's error when that is the cause, so that errors.Is
// tells a cancelled question from a dead network.
func (e *Error) Unwrap() error { return e.cause }

// KindOf is the kind of the *Error in err's chain.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return NoError
}

// failure is an error of our side of the wire.
func (c *Client) failure(class Class, kind Kind, status int, err error) *Error {
	for { // each *url.Error carries a URL
		var u *url.Error
		if !errors.As(err, &u) {
			break
		}
		err = u.Err
	}
	return &Error{Class: class, Kind: kind, Status: status, Detail: c.scrub(err.Error()), cause: contextError(err)}
}

// refusal understands an answer other than 200: the status first.
func (c *Client) refusal(class Class, resp *http.Response) *Error {
	e := &Error{Class: class, Status: resp.StatusCode}
	_ = gunzip(resp)
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var said struct {
		Type    string `json:"error_type"`
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &said) == nil {
		e.Type, e.Detail = c.scrub(said.Type), c.scrub(said.Message)
		e.BadChecksum = resp.StatusCode == http.StatusForbidden && strings.Contains(said.Message, "checksum")
	}
	switch s := resp.StatusCode; {
	case s == http.StatusForbidden && said.Type == "TokenException":
		e.Kind = TokenRefused
	case s == http.StatusForbidden || s == http.StatusUnauthorized:
		e.Kind = Forbidden
	case s == http.StatusTooManyRequests:
		e.Kind = RateLimited
	case s >= 500:
		e.Kind = Server
	case s >= 400:
		e.Kind = Input
	default: // a 2xx without data, a redirect
		e.Kind = Malformed
	}
	return e
}

var (
	addresses = regexp.MustCompile(`[a-z]+://\S+`)
	// Kite's tokens and secrets are 32 alphanumerics; nothing readable is that
	// long without a blank.
	longWords = regexp.MustCompile(`[A-Za-z0-9+/=_-]{24,}`)
)

// scrub makes foreign words fit for a log, without this client's secrets.
func (c *Client) scrub(s string) string { return Harmless(s, c.secrets...) }

// Harmless makes foreign words fit for a log: without the secrets, without
// anything that looks like one or like a URL, on one line, at most 200 bytes.
func Harmless(s string, secrets ...messages.Secret) string {
	for _, secret := range secrets {
		if !secret.IsZero() {
			s = strings.ReplaceAll(s, secret.Reveal(), secret.String())
		}
	}
	s = addresses.ReplaceAllString(s, "[url]")
	s = longWords.ReplaceAllString(s, "[redacted]")
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 200 {
		s = s[:200]
	}
	return strings.ToValidUTF8(s, "")
}

// contextError is the context's own error in err's chain, nil for none.
func contextError(err error) error {
	for _, ended := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, ended) {
			return ended
		}
	}
	return nil
}
