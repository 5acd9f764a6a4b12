// Package kite is the REST client of one generation of the access token.
//
// Promise: a client works with the token it was made with and no other; every
// request waits for the budget of its class, notes its use, ends within 7 s
// (a streamed file: after 7 s without a byte) or with its context, and gives
// data or an [*Error], whose [Kind] comes from the status first and the body
// second. An answer is read for what is needed of it: an item that cannot be
// read costs that item, not the answer, and is counted and named
// ([Exchange.Skipped]); fields that no caller needs may have any shape. No
// error, and nothing that this package prints (it prints nothing), contains a
// secret or the URL of the request.
//
// Limits: no retries (a caller knows whether the data is still needed), no
// cache, no orders placed.
//
// The official gokiteconnect v4.4.0 gives the routes, and the tests the reference
// for what Kite speaks. Its client does not ask: it takes no context, loses the
// status of an answer that is not JSON (a 429 in HTML becomes a 504), prints
// network errors with their URL to standard output, refuses a whole answer for
// one field of another type, panics on a short row of history, asks /quote for
// LTP and OHLC, and its SetAccessToken races.
package kite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"kitestring/messages"
)

const (
	// timeout is what Kite's own clients wait.
	timeout = 7 * time.Second
	// mostJSON bounds an answer that is read whole: the largest, 60 days of
	// minute candles, has 2 MB.
	mostJSON = 16 << 20
)

// Exchange is how to reach Kite, the same for every generation of the token.
type Exchange struct {
	APIURL string // REST, without a trailing slash, e.g. https://api.kite.trade
	// InstrumentsURL is where the instruments file is when it is not under
	// APIURL: the sandbox serves it without the prefix of the rest. "": there.
	InstrumentsURL string
	WSURL          string     // e.g. wss://ws.kite.trade
	LoginURL       string     // e.g. https://kite.zerodha.com/connect/login
	WSExtra        url.Values // extra query parameters of the WebSocket (the sandbox wants user_id)
	Transport      http.RoundTripper
	Budget         *Budget
	// Observe is called for every request; nil: not wanted. code is 0 when no
	// answer came, class one of the budget's.
	Observe func(class Class, code int, took time.Duration)
	// Skipped is called for an answer with items that could not be read; nil:
	// not wanted. why names the first of them, without secrets.
	Skipped func(class Class, items int, why string)
}

// Client asks Kite with the token of one generation. Safe for concurrent use.
type Client struct {
	exchange Exchange
	session  messages.Session
	used     func(messages.Generation)
	http     *http.Client
	secrets  []messages.Secret // whatever must not appear in an error

	mu      sync.Mutex // orders the uses before the end
	retired bool
}

// New makes the client of a session; it does no I/O. used is called with the
// generation now and at each request.
func New(ex Exchange, s messages.Session, used func(messages.Generation)) *Client {
	c := newClient(ex, s, used)
	used(s.Generation)
	return c
}

func newClient(ex Exchange, s messages.Session, used func(messages.Generation), secrets ...messages.Secret) *Client {
	return &Client{
		exchange: ex,
		session:  s,
		used:     used,
		secrets:  append(secrets, s.Token.Secret),
		http: &http.Client{
			Transport: ex.Transport,
			// A redirect is no answer of Kite's API; following one could carry
			// the token to another host.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Retire ends a client whose token has a successor: once it has returned no
// request goes out and no use is noted, whatever still waits for its turn. A
// holder retires the old client before it makes the new one; then its uses
// are noted in the order of their generations.
func (c *Client) Retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retired = true
}

// use notes a use, unless the client is retired.
func (c *Client) use() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.retired {
		return false
	}
	c.used(c.session.Generation)
	return true
}

// Generation is the generation of the client's token.
func (c *Client) Generation() messages.Generation { return c.session.Generation }

var userAgent = sync.OnceValue(func() string {
	version := "dev"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		version = info.Main.Version
	}
	return "kitestring/" + version
})

// wait blocks until the budget allows a request of the class; it is not part
// of the request's 7 s.
func (c *Client) wait(ctx context.Context, class Class) error {
	err := c.exchange.Budget.Wait(ctx, class)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return c.failure(class, Network, 0, ctx.Err())
	default: // the context's deadline comes before our turn
		return c.failure(class, RateLimited, 0, err)
	}
}

// send asks once, after wait. Anything but a 200 is an error; the caller
// closes the body.
func (c *Client) send(ctx context.Context, class Class, req *http.Request) (*http.Response, error) {
	if !c.use() {
		return nil, c.failure(class, Retired, 0, errRetired)
	}
	req = req.Clone(ctx)
	c.sign(req)
	began := time.Now()
	resp, err := c.http.Do(req)
	code := 0
	if err == nil {
		code = resp.StatusCode
	}
	if c.exchange.Observe != nil {
		c.exchange.Observe(class, code, time.Since(began))
	}
	if err != nil {
		return nil, c.failure(class, Network, 0, err)
	}
	if code != http.StatusOK {
		defer func() { _ = resp.Body.Close() }()
		return nil, c.refusal(class, resp)
	}
	if err := gunzip(resp); err != nil {
		_ = resp.Body.Close()
		return nil, c.failure(class, Malformed, code, err)
	}
	return resp, nil
}

// sign gives a request what every call of Kite's API carries.
func (c *Client) sign(req *http.Request) {
	req.Header.Set("X-Kite-Version", "3")
	req.Header.Set("User-Agent", userAgent())
	if !c.session.Token.IsZero() {
		req.Header.Set("Authorization", "token "+c.session.APIKey+":"+c.session.Token.Reveal())
	}
}

// fetch asks and reads the whole answer.
func (c *Client) fetch(ctx context.Context, class Class, req *http.Request) ([]byte, error) {
	if err := c.wait(ctx, class); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errTimeout)
	defer cancel()
	resp, err := c.send(ctx, class, req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostJSON+1))
	switch {
	case err != nil:
		return nil, c.failure(class, Network, resp.StatusCode, err)
	case len(body) > mostJSON:
		return nil, c.failure(class, Malformed, resp.StatusCode, errTooLong)
	}
	return body, nil
}

// get asks for data of Kite's envelope.
func (c *Client) get(ctx context.Context, class Class, path string, query url.Values, data any) error {
	return c.ask(ctx, class, http.MethodGet, path+"?"+query.Encode(), nil, data)
}

// ask sends a form, nil for none, and reads data of Kite's envelope.
func (c *Client) ask(ctx context.Context, class Class, method, target string, form url.Values, data any) error {
	req, err := http.NewRequest(method, c.exchange.APIURL+strings.TrimSuffix(target, "?"), strings.NewReader(form.Encode()))
	if err != nil {
		return c.failure(class, Input, 0, err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	body, err := c.fetch(ctx, class, req)
	if err != nil {
		return err
	}
	var answer envelope
	if json.Unmarshal(body, &answer) != nil {
		return c.failure(class, Malformed, http.StatusOK, errNotJSON)
	}
	if answer.failed() {
		return c.said(&Error{Class: class, Kind: Malformed, Status: http.StatusOK}, answer)
	}
	if len(answer.Data) == 0 {
		return c.failure(class, Malformed, http.StatusOK, errNoData)
	}
	if json.Unmarshal(answer.Data, data) != nil {
		return c.failure(class, Malformed, http.StatusOK, errOtherShape)
	}
	return nil
}

// A decoder's own words quote what it read, and what it read may hold a token.
var (
	errTooLong    = errors.New("the answer is longer than any of Kite's")
	errTimeout    = fmt.Errorf("no answer within %v", timeout)
	errNotGzip    = errors.New("the answer is announced as gzip and is not")
	errNotJSON    = errors.New("the answer is not JSON")
	errNotCSV     = errors.New("the answer is a page or a JSON text, not an instruments file")
	errNoData     = errors.New("the answer carries no data")
	errRetired    = errors.New("a newer token has taken the place of this one")
	errOtherShape = errors.New("the answer has another shape than documented")
)
