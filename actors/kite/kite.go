// Package kite is the REST client of one generation of the access token.
//
// Promise: a client works with the token it was made with and no other; every
// request waits for the budget of its class, notes its use, ends within 7 s
// (a streamed file: after 7 s without a byte) or with its context, and answers
// with data or with an [*Error] whose [Kind] was told from the status first
// and the body second. No error, and nothing that this package prints (it
// prints nothing), contains a URL or a secret.
//
// Limits: no retries (a caller knows whether its question is still worth
// asking), no cache, no orders placed.
//
// gokiteconnect v4.4.0 asks for the profile, the quotes and the session, and
// lends its types. It takes no context, loses the status of an answer that is
// not JSON (a 429 in HTML becomes a 504), swallows network errors and prints
// them to standard output; so it works here on an [http.RoundTripper] that
// has judged the answer before it sees it, and that adds the token: the
// library never holds one, hence SetAccessToken, which races, is never called.
// It is passed by where it is wrong: GetLTP and GetOHLC ask /quote, the
// instruments ignore the status and hold everything in memory, the historical
// data panics on a short row and formats times in the caller's zone, the
// orders lose their JSON.
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
	"sync"
	"time"

	kiteconnect "github.com/zerodha/gokiteconnect/v4"

	"kitestring/messages"
)

const (
	// timeout is what Kite's own clients wait.
	timeout = 7 * time.Second
	// mostJSON bounds an answer that is read whole: the largest, 60 days of
	// minute candles, has 2 MB.
	mostJSON = 16 << 20
)

// Client asks Kite with the token of one generation. Safe for concurrent use.
type Client struct {
	exchange Exchange
	session  messages.Session
	used     func(messages.Generation)
	http     *http.Client
	library  *kiteconnect.Client // copied for each call, which brings its context
	secrets  []messages.Secret   // whatever else must not appear in an error
	life     *life
}

// life orders a client's uses before its end.
type life struct {
	mu      sync.Mutex
	retired bool
}

// New makes the client of a session; it does no I/O. used is told of the
// generation now and at each request.
func New(ex Exchange, s messages.Session, used func(messages.Generation)) *Client {
	c := newClient(ex, s, used)
	used(s.Generation)
	return c
}

func newClient(ex Exchange, s messages.Session, used func(messages.Generation), secrets ...messages.Secret) *Client {
	library := kiteconnect.New(s.APIKey)
	library.SetBaseURI(ex.APIURL)
	return &Client{
		exchange: ex,
		session:  s,
		used:     used,
		life:     &life{},
		library:  library,
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
	c.life.mu.Lock()
	defer c.life.mu.Unlock()
	c.life.retired = true
}

// use notes a use, unless the client is retired.
func (c *Client) use() bool {
	c.life.mu.Lock()
	defer c.life.mu.Unlock()
	if c.life.retired {
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
	req, err := http.NewRequest(http.MethodGet, c.exchange.APIURL+path, nil)
	if err != nil {
		return c.failure(class, Input, 0, err)
	}
	req.URL.RawQuery = query.Encode()
	body, err := c.fetch(ctx, class, req)
	if err != nil {
		return err
	}
	var envelope struct {
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &envelope); err != nil {
		return c.failure(class, Malformed, http.StatusOK, errNotJSON)
	}
	if len(envelope.Data) == 0 {
		return c.failure(class, Malformed, http.StatusOK, errNoData)
	}
	if err := json.Unmarshal(envelope.Data, data); err != nil {
		return c.failure(class, Malformed, http.StatusOK, errOtherShape)
	}
	return nil
}

// A decoder's own words quote what it read, and what it read may hold a token.
var (
	errTooLong    = errors.New("the answer is longer than any of Kite's")
	errTimeout    = fmt.Errorf("no answer within %v", timeout)
	errNotGzip    = errors.New("the answer says gzip and is not")
	errNotJSON    = errors.New("the answer is not JSON")
	errNoData     = errors.New("the answer carries no data")
	errRetired    = errors.New("a newer token has taken the place of this one")
	errOtherShape = errors.New("the answer has another shape than documented")
)
