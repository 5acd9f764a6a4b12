package feed

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/gorilla/websocket"

	"kitestring/actors/kite"
	"kitestring/messages"
	"kitestring/messages/scrub"
)

// sessions lets a swap resume the TLS session of the socket before it.
var sessions = tls.NewLRUClientSessionCache(8)

// refusal is any other answer to an upgrade than 101.
type refusal struct{ status int }

func (r refusal) Error() string {
	return fmt.Sprintf("Kite answered the WebSocket's upgrade with %d", r.status)
}

// answerMost is how many bytes may be read for the answer to an upgrade, TLS
// included: Kite's takes less than 1 KB, and its TLS handshake less than 8 KB.
const answerMost = 64 << 10

var errEndless = fmt.Errorf("the answer to the WebSocket's upgrade has not ended after %d KB: this is not Kite; check KITE_WS_URL and any proxy", answerMost>>10)

// dial opens the socket. The error never holds the URL: the token is in it.
func (s *stream) dial() (*websocket.Conn, cause, error) {
	address, err := socketURL(s.feed.cfg.Exchange, s.session)
	if err != nil {
		return nil, network, err
	}
	open := s.feed.cfg.Dial
	if open == nil {
		open = (&net.Dialer{}).DialContext
	}
	var (
		unhook  []func() bool
		metered *meteredConn
	)
	defer func() {
		for _, stop := range unhook {
			stop()
		}
	}()
	dialer := websocket.Dialer{
		ReadBufferSize: readBuffer, WriteBufferSize: writeBuffer, HandshakeTimeout: s.feed.cfg.timeouts.dial,
		Proxy:           http.ProxyFromEnvironment,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: sessions},
		NetDialContext: func(ctx context.Context, netw, addr string) (net.Conn, error) {
			var conn net.Conn
			err := s.feed.cfg.State.spare.Do(func() (err error) {
				conn, err = open(ctx, netw, addr)
				return err
			})
			if err != nil {
				return nil, err
			}
			// Gorilla takes notice of its context's deadline, not of its end.
			unhook = append(unhook, context.AfterFunc(s.ctx, func() { _ = conn.Close() }))
			metered = &meteredConn{Conn: conn, stream: s, answering: true}
			return metered, nil
		},
	}
	conn, response, err := dialer.DialContext(s.ctx, address, http.Header{
		"X-Kite-Version": {"3"}, "User-Agent": {"kitestring"},
	})
	if err != nil {
		if response != nil {
			err = refusal{response.StatusCode}
		}
		return nil, dialCause(err), err
	}
	if s.ctx.Err() != nil {
		_ = conn.Close()
		return nil, byUs, s.ctx.Err()
	}
	if metered != nil {
		metered.answering = false
	}
	conn.SetReadLimit(readLimit)
	return conn, byUs, nil
}

// socketURL is the address with the credentials in it.
func socketURL(e kite.Exchange, session messages.Session) (string, error) {
	u, err := url.Parse(e.WSURL)
	if err != nil || u.Host == "" {
		return "", errors.New("the WebSocket address is not a URL: set KITE_WS_URL like wss://ws.kite.trade")
	}
	q := u.Query()
	for key, values := range e.WSExtra {
		q[key] = values
	}
	q.Set("api_key", session.APIKey)
	q.Set("access_token", session.Token.Reveal())
	u.RawQuery = q.Encode()
	return u.String(), nil
}

func dialCause(err error) cause {
	var r refusal
	switch {
	case !errors.As(err, &r):
		return network
	case r.status == http.StatusForbidden:
		return forbidden
	case r.status == http.StatusTooManyRequests:
		return tooMany
	default:
		return serverError
	}
}

// The label values of kitestring_feed_connects_total, "ok" apart, and of
// kitestring_feed_disconnects_total, by cause. Sockets that end because the
// feed stops are "local".
var (
	connectResults = [...]string{
		byUs: "network", forbidden: "forbidden", tooMany: "too_many", serverError: "server_error", network: "network",
	}
	disconnectReasons = [...]string{
		byUs: "swap", forbidden: "remote", tooMany: "remote", serverError: "remote", network: "remote",
		mute: "stale", malformed: "malformed",
	}
)

// reason is an error for a person. What comes from outside may hold the token:
// a proxy that answers with our own request line is enough.
func (s *stream) reason(err error) string {
	var (
		u     *url.Error
		close *websocket.CloseError
		op    *net.OpError
	)
	switch {
	case err == nil:
		return "the connection ended"
	case errors.As(err, &close):
		return fmt.Sprintf("Kite closed the connection (code %d); connecting again", close.Code)
	case errors.As(err, &u):
		err = u.Err
	}
	text := err.Error()
	if errors.As(err, &op) {
		text = strings.TrimSpace(op.Op + " " + op.Err.Error())
	}
	return "no connection to Kite: " + scrub.Text(text, s.session.Token.Secret)
}
