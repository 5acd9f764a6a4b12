package feed

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/gorilla/websocket"

	"kitestring/actors/kite"
	"kitestring/messages"
	"kitestring/messages/scrub"
	"kitestring/messages/wire"
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

// answerBuffer is how much of it is read at once.
const answerBuffer = 4 << 10

var errEndless = fmt.Errorf("the answer to the WebSocket's upgrade has not ended after %d KB: this is not Kite; check KITE_WS_URL and any proxy", answerMost>>10)

var errExtension = errors.New("the answer to the WebSocket's upgrade has an extension that was not asked for: this is not Kite; check KITE_WS_URL and any proxy")

// socket is an open WebSocket: gorilla's for what is written, and the
// connection below it for what is read.
type socket struct {
	*websocket.Conn
	source io.Reader
}

// dial opens the socket. The error never holds the URL: the token is in it.
func (s *stream) dial() (*socket, cause, error) {
	address, err := socketURL(s.feed.cfg.Exchange, s.session)
	if err != nil {
		return nil, network, err
	}
	secure := address.Scheme == "wss"
	asked := *address // gorilla sees no TLS, which begins below it, in upgradeConn
	host := address.Host
	if secure {
		asked.Scheme = "ws"
		if address.Port() == "" {
			asked.Host += ":443"
		}
	}
	open := s.feed.cfg.Dial
	if open == nil {
		open = (&net.Dialer{}).DialContext
	}
	var (
		unhook    []func() bool
		metered   *meteredConn
		upgrading *upgradeConn
	)
	defer func() {
		for _, stop := range unhook {
			stop()
		}
	}()
	dialer := websocket.Dialer{
		ReadBufferSize: answerBuffer, WriteBufferSize: writeBuffer, HandshakeTimeout: s.feed.cfg.timeouts.dial,
		Proxy: func(r *http.Request) (*url.URL, error) {
			r = r.Clone(r.Context())
			if secure {
				r.URL.Scheme = "https"
			}
			return s.feed.cfg.proxy(r)
		},
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
			if c, ok := conn.(syscall.Conn); ok {
				if socket, err := c.SyscallConn(); err == nil {
					s.socket.Store(&socket)
				}
			}
			metered = &meteredConn{Conn: conn, stream: s, answering: true}
			upgrading = &upgradeConn{Conn: metered, ctx: ctx}
			if secure {
				upgrading.tls = &tls.Config{
					MinVersion: tls.VersionTLS12, ClientSessionCache: sessions, ServerName: address.Hostname(), RootCAs: s.feed.cfg.roots,
				}
			}
			return upgrading, nil
		},
	}
	conn, response, err := dialer.DialContext(s.ctx, asked.String(), http.Header{
		"Host": {host}, "X-Kite-Version": {"3"}, "User-Agent": {"kitestring"},
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
	if response.Header.Get("Sec-Websocket-Extensions") != "" {
		_ = conn.Close()
		return nil, serverError, errExtension
	}
	metered.answering = false
	return &socket{conn, upgrading}, byUs, nil
}

// upgradeConn is a connection up to and beyond the answer to its upgrade. It
// begins TLS with the request, which is behind what a proxy has been asked, and
// keeps back what has come together with the answer: gorilla reads the answer,
// and nothing else.
type upgradeConn struct {
	net.Conn
	ctx      context.Context // of the dial
	tls      *tls.Config     // to begin; nil: none
	asked    bool
	answered bool   // the end of the answer's header has been read
	last     uint32 // the bytes before what is read next
	rest     []byte // has come, and nobody has read it
}

// Write implements io.Writer.
func (c *upgradeConn) Write(p []byte) (int, error) {
	if !c.asked && bytes.HasPrefix(p, []byte("GET ")) {
		c.asked = true
		if c.tls != nil {
			conn := tls.Client(c.Conn, c.tls)
			if err := conn.HandshakeContext(c.ctx); err != nil {
				return 0, err
			}
			c.Conn = conn
		}
	}
	return c.Conn.Write(p)
}

// Read implements io.Reader.
func (c *upgradeConn) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		if c.answered || !c.asked {
			return c.Conn.Read(p)
		}
		buf := make([]byte, answerBuffer)
		n, err := c.Conn.Read(buf)
		if n == 0 {
			return 0, err
		}
		c.rest = buf[:n] // an error comes again
	}
	n := min(len(p), len(c.rest))
	if !c.answered {
		for i, b := range c.rest[:n] {
			c.last = c.last<<8 | uint32(b)
			if c.last&0xffff == '\n'<<8|'\n' || c.last&0xffffff == '\n'<<16|'\r'<<8|'\n' {
				n, c.answered = i+1, true
				break
			}
		}
	}
	copy(p, c.rest[:n])
	c.rest = c.rest[n:]
	return n, nil
}

// socketURL is the address with the credentials in it.
func socketURL(e kite.Exchange, session messages.Session) (*url.URL, error) {
	u, err := url.Parse(e.WSURL)
	if err != nil || u.Host == "" {
		return nil, errors.New("the WebSocket address is not a URL: set KITE_WS_URL like wss://ws.kite.trade")
	}
	q := u.Query()
	for key, values := range e.WSExtra {
		q[key] = values
	}
	q.Set("api_key", session.APIKey)
	q.Set("access_token", session.Token.Reveal())
	u.RawQuery = q.Encode()
	return u, nil
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
		close *wire.ClosedError
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
