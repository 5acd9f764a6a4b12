package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"

	"kitestring/actors/gateway/clients"
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
	// kernelBuffer bounds what the kernel holds for a client that does not read:
	// left to itself it takes megabytes, and the outbox would conflate nothing
	// for half a minute. A third of it is the kernel's own overhead.
	kernelBuffer = 256 << 10
)

// kernelConn is a connection that the kernel tells something of.
type kernelConn interface {
	net.Conn
	syscall.Conn
	SetWriteBuffer(bytes int) error
}

// client is one WebSocket of a program.
type client struct {
	name   string
	scopes clients.Scopes
	agent  string // its User-Agent, made harmless
	since  time.Time
	mu     sync.Mutex
	gone   bool       // dropped, perhaps before it had a connection
	conn   kernelConn // set once, by attach
	out    *outbox

	modes   map[uint32]messages.Mode // guarded by relay.mu
	framing bool                     // guarded by relay.mu

	lag    atomic.Int64 // nanoseconds that the last write took
	intake intake       // used by the actor
}

// intake watches how much of what was sent a client's machine has acknowledged.
type intake struct {
	acked uint64
	since time.Time // when it was seen to rise, or nothing waited; zero: not looked at yet
}

// stuck reports whether bytes wait and none was acknowledged for so long.
func (i *intake) stuck(now time.Time, acked uint64, waiting bool, most time.Duration) bool {
	if i.since.IsZero() || acked != i.acked || !waiting {
		i.acked, i.since = acked, now
	}
	return now.Sub(i.since) >= most
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
	conn, ok := ws.NetConn().(kernelConn)
	if !ok {
		g.self.Log().Error("the gateway's listener gives connections that are not TCP")
		_ = ws.NetConn().Close()
		return
	}
	c.attach(conn)
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
	g.refuse(c, g.relay.apply(c, cmd, time.Now()))
	g.changedUnion()
}

// refuse tells a client what it asked for and does not get.
func (g *Gateway) refuse(c *client, no refused) {
	if no.socket > 0 {
		c.tell(wire.TextError, fmt.Sprintf("%d instruments were not subscribed: a socket takes %d", no.socket, mostInstruments))
	}
	if no.capacity > 0 {
		c.tell(wire.TextError, fmt.Sprintf("%d instruments were not subscribed: all programs of this kitestring together take %d", no.capacity, g.cfg.Capacity))
	}
	if n := len(no.upstream); n > 0 {
		more := ""
		if n > 1 {
			more = fmt.Sprintf(" and %d more", n-1)
		}
		c.tell(wire.TextError, fmt.Sprintf("instrument %d%s cannot be streamed: %s", no.upstream[0], more, no.why))
	}
}

// tell sends a text whose data is a string, as every client can take it.
func (c *client) tell(kind wire.TextType, message string) {
	data, _ := json.Marshal(message) // a string always marshals
	c.out.text(wire.AppendText(nil, wire.Text{Type: kind, Data: data}))
}

// tcp answers what the kernel knows of the connection: how many bytes the
// client's side has acknowledged, and whether any wait. False: it is gone.
func (c *client) tcp() (acked uint64, waiting, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return 0, false, false
	}
	raw, err := c.conn.SyscallConn()
	if err != nil {
		return 0, false, false
	}
	var info *unix.TCPInfo
	if raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }) != nil || err != nil {
		return 0, false, false
	}
	return info.Bytes_acked, info.Notsent_bytes > 0 || info.Unacked > 0, true
}

// dropIfStuck ends the connection of a client that takes nothing.
func (g *Gateway) dropIfStuck(c *client, now time.Time) {
	acked, waiting, ok := c.tcp()
	if !ok || !c.intake.stuck(now, acked, waiting, g.cfg.stuck) || !c.drop() {
		return
	}
	g.self.Log().Warn("gateway client took no byte and was dropped", "client", c.name, "after", g.cfg.stuck.String())
}

// attach gives the client its connection.
func (c *client) attach(conn kernelConn) {
	_ = conn.SetWriteBuffer(kernelBuffer) // a connection that is gone says so at the first write
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn = conn; c.gone {
		_ = conn.Close()
	}
}

// drop ends the client's TCP connection, without a Close frame; false: it was
// dropped before.
func (c *client) drop() (first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first = !c.gone
	if c.gone = true; c.conn != nil {
		_ = c.conn.Close()
	}
	return first
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
		if _, err := c.conn.Write(buf); err != nil {
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
