package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"kitestring/messages"
	"kitestring/messages/wire"
)

const (
	// mostCommand is the longest command that is read; 3000 instruments take
	// 33 KB. The rest of a longer one is read and thrown away: a client is not
	// closed for it.
	mostCommand = 1 << 20
	// stuck is how long a client may take no byte before its connection drops.
	stuck = 10 * time.Second
	// writePiece bounds one write, so that a slow client differs from a stuck one.
	writePiece = 64 << 10
)

// client is one WebSocket of a program.
type client struct {
	name   string
	scopes Scopes
	agent  string // its User-Agent, made harmless
	since  time.Time
	mu     sync.Mutex
	gone   bool     // dropped, perhaps before it had a connection
	conn   net.Conn // set once, by attach
	out    *outbox

	modes   map[uint32]messages.Mode // guarded by relay.mu
	framing bool                     // guarded by relay.mu

	lag atomic.Int64 // nanoseconds that the last write took
}

var upgrader = websocket.Upgrader{
	ReadBufferSize: 4 << 10, WriteBufferSize: 1 << 10, HandshakeTimeout: 5 * time.Second,
	// No official client sends an Origin; a page of a browser does, and may not.
	CheckOrigin: func(r *http.Request) bool { return r.Header.Get("Origin") == "" },
	Error:       func(http.ResponseWriter, *http.Request, int, error) {}, // answered by the caller
}

// serve reads a client until it goes. It never sends a Close frame and never
// closes a client for what it sent.
func (g *Gateway) serve(ctx context.Context, ws *websocket.Conn, c *client) {
	c.attach(ws.NetConn())
	// The library must write nothing by itself: frames are written whole by one
	// goroutine.
	ws.SetPingHandler(func(data string) error { c.out.answer([]byte(data)); return nil })
	ws.SetPongHandler(func(string) error { return nil })
	ws.SetCloseHandler(func(int, string) error { return nil })
	written := make(chan struct{})
	go func() {
		defer close(written)
		defer g.lastLine(c)
		g.write(ctx, c)
		_ = c.conn.Close()
	}()
	defer func() {
		_ = c.conn.Close()
		c.out.signal()
		<-written
		g.relay.leave(c, time.Now())
		g.changedUnion()
	}()
	for {
		kind, r, err := ws.NextReader()
		if err != nil {
			g.cfg.Metrics.dropped(c.name, c.ending())
			return
		}
		text, err := io.ReadAll(io.LimitReader(r, mostCommand+1))
		if err != nil {
			return
		}
		if len(text) > mostCommand {
			if _, err := io.Copy(io.Discard, r); err != nil {
				return
			}
			c.tell(wire.TextError, "a command of more than 1 MB was ignored: name at most 3000 instruments")
			continue
		}
		if kind == websocket.TextMessage {
			g.command(c, text)
		}
	}
}

// command carries out what a client sent. Like Kite it stays silent about what
// it does not understand: an error text ends the receive loop of some clients.
func (g *Gateway) command(c *client, text []byte) {
	cmd, err := wire.ParseCommand(text)
	if err != nil {
		return
	}
	no := g.relay.apply(c, cmd, time.Now())
	if no.socket > 0 {
		c.tell(wire.TextError, fmt.Sprintf("%d instruments were not subscribed: a socket takes %d", no.socket, mostInstruments))
	}
	if no.capacity > 0 {
		c.tell(wire.TextError, fmt.Sprintf("%d instruments were not subscribed: all programs of this kitestring together take %d", no.capacity, g.cfg.Capacity))
	}
	g.changedUnion()
}

// tell sends a text whose data is a string, as every client can take it.
func (c *client) tell(kind wire.TextType, message string) {
	data, _ := json.Marshal(message) // a string always marshals
	c.out.text(wire.AppendText(nil, wire.Text{Type: kind, Data: data}))
}

// attach gives the client its connection.
func (c *client) attach(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn = conn; c.gone {
		_ = conn.Close()
	}
}

// drop ends the client's TCP connection, without a Close frame.
func (c *client) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone = true; c.conn != nil {
		_ = c.conn.Close()
	}
}

// write sends what waits until the client or ctx ends.
func (g *Gateway) write(ctx context.Context, c *client) {
	var spare []byte
	for {
		buf, behind := c.out.take(spare)
		if behind {
			g.relay.resume(c)
			buf, _ = c.out.take(buf)
		}
		if len(buf) == 0 {
			spare = buf
			select {
			case <-ctx.Done():
				return
			case <-c.out.wake:
			}
			if c.ended() {
				return
			}
			continue
		}
		began := time.Now()
		if err := writeAll(c.conn, buf); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				g.self.Log().Warn("gateway client took no byte and was dropped", "client", c.name, "after", stuck.String())
				c.drop()
			}
			return
		}
		c.lag.Store(int64(time.Since(began)))
		if spare = buf; cap(spare) > 256<<10 {
			spare = nil // an idle client keeps little
		}
	}
}

// ending says who ended the socket.
func (c *client) ending() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return "gateway"
	}
	return "client"
}

// ended asks the connection whether it was closed.
func (c *client) ended() bool { return errors.Is(c.conn.SetWriteDeadline(time.Time{}), net.ErrClosed) }

// writeAll writes buf; it fails when no byte is taken for as long as a client
// may be stuck.
func writeAll(conn net.Conn, buf []byte) error {
	for len(buf) > 0 {
		if err := conn.SetWriteDeadline(time.Now().Add(stuck)); err != nil {
			return err
		}
		n, err := conn.Write(buf[:min(len(buf), writePiece)])
		if buf = buf[n:]; err != nil && (n == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return err
		}
	}
	return nil
}
