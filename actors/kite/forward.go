package kite

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"kitestring/messages/scrub"
)

// mostForwarded bounds an answer that is passed on: the instruments file has
// 10 MB, compressed 1 MB.
const mostForwarded = 64 << 20

// Request is a request of another program that goes to Kite as it is.
type Request struct {
	Class       Class
	Method      string
	Target      string // path and query, as the program sent them
	ContentType string
	IfNoneMatch string
	Body        []byte
}

// Answer is Kite's answer to a Request, whatever its status.
type Answer struct {
	Status      int
	ContentType string
	ETag        string
	Encoding    string // Content-Encoding: the body is passed on as it came
	Body        []byte
}

// errUnsent says why a request has certainly not reached Kite.
var errUnsent = errors.New("the request cannot be sent")

// Forward sends a program's request with this client's token and answers what
// Kite said, errors included: the program reads them in Kite's own words. It
// does not wait for the budget; its caller does, in the order that is fair to
// the programs. It sends at most once, and an error says whether it did: see
// [Sent].
func (c *Client) Forward(ctx context.Context, r Request) (Answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.Method, c.exchange.APIURL+r.Target, bytes.NewReader(r.Body))
	if err != nil {
		return Answer{}, &unsent{c.failure(r.Class, Input, 0, errUnsent)}
	}
	// No Accept-Encoding of the transport's own: the answer stays compressed.
	req.Header.Set("Accept-Encoding", "gzip")
	for name, value := range map[string]string{"Content-Type": r.ContentType, "If-None-Match": r.IfNoneMatch} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	if !c.use() {
		return Answer{}, &unsent{c.failure(r.Class, Retired, 0, errRetired)}
	}
	c.sign(req)
	began := time.Now()
	resp, err := c.http.Do(req)
	code := 0
	if err == nil {
		code = resp.StatusCode
	}
	if c.exchange.Observe != nil {
		c.exchange.Observe(r.Class, code, time.Since(began))
	}
	if err != nil {
		return Answer{}, c.failure(r.Class, Network, 0, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostForwarded+1))
	switch {
	case err != nil:
		return Answer{}, c.failure(r.Class, Network, code, err)
	case len(body) > mostForwarded:
		return Answer{}, c.failure(r.Class, Malformed, code, errTooLong)
	}
	return Answer{
		Status: code, ContentType: resp.Header.Get("Content-Type"), ETag: resp.Header.Get("ETag"),
		Encoding: resp.Header.Get("Content-Encoding"), Body: body,
	}, nil
}

// Hide takes this client's secrets out of what Kite answered: an answer may
// repeat the request's headers.
func (c *Client) Hide(body []byte) []byte { return []byte(scrub.New(c.secrets...).Known(string(body))) }

// unsent marks an error of before the first byte.
type unsent struct{ err *Error }

// Error implements error.
func (u *unsent) Error() string { return u.err.Error() }

// Unwrap gives the error itself.
func (u *unsent) Unwrap() error { return u.err }

// Sent reports whether the request of a failed Forward may have reached Kite.
func Sent(err error) bool {
	var u *unsent
	return !errors.As(err, &u)
}
