package kite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"kitestring/messages/scrub"
)

// Kind is what an error means for the caller.
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

// Error is why a request gave no data.
type Error struct {
	Class  Class
	Kind   Kind
	Status int    // 0: no answer
	Type   string // Kite's error_type; "": none was sent
	Detail string // Kite's message, without secrets and URLs, at most 200 bytes; "": none

	// BadChecksum is set when Kite refused the checksum of a session exchange:
	// API key and API secret do not belong together. Kite has no error_type of
	// its own for it; this is the one place where its words decide something.
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

// Words is what Kite said: its error type and message, else the status.
func (e *Error) Words() string {
	words := strings.Trim(e.Type+": "+strings.TrimSuffix(e.Detail, "."), ": ")
	if words == "" {
		words = fmt.Sprintf("status %d without a reason", e.Status)
	}
	return words
}

// Unwrap gives the context's error when that is the cause, so that errors.Is
// distinguishes a cancelled request from a network that is down.
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

// envelope is what Kite wraps every JSON answer in.
type envelope struct {
	Status  string          `json:"status"`
	Type    text            `json:"error_type"`
	Message text            `json:"message"`
	Data    json.RawMessage `json:"data"`
}

// failed reports an error, also one that comes with a 200.
func (e *envelope) failed() bool { return e.Status == "error" || e.Type != "" }

// said adds Kite's own words to an error.
func (c *Client) said(e *Error, answer envelope) *Error {
	e.Type, e.Detail = c.scrub(string(answer.Type)), c.scrub(string(answer.Message))
	return e
}

// refusal understands an answer other than 200: the status first.
func (c *Client) refusal(class Class, resp *http.Response) *Error {
	e := &Error{Class: class, Status: resp.StatusCode}
	_ = gunzip(resp)
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var answer envelope
	if json.Unmarshal(body, &answer) == nil {
		c.said(e, answer)
		e.BadChecksum = resp.StatusCode == http.StatusForbidden && strings.Contains(string(answer.Message), "checksum")
	}
	switch s := resp.StatusCode; {
	case s == http.StatusForbidden && answer.Type == "TokenException":
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

// scrub makes foreign words fit for a log, without this client's secrets.
func (c *Client) scrub(s string) string { return scrub.Text(s, c.secrets...) }

// contextError is the context's own error in err's chain, nil for none.
func contextError(err error) error {
	for _, ended := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, ended) {
			return ended
		}
	}
	return nil
}
