package feed

import (
	"net"
	"runtime"
	"time"

	"github.com/gorilla/websocket"

	"kitestring/messages/wire"
)

// write sends commands and pings, and ends a socket that has fallen silent.
func (s *stream) write(conn *websocket.Conn) {
	var have []sub
	var buf []byte
	pulse := time.NewTicker(pulseEvery)
	defer pulse.Stop()
	dead := s.feed.cfg.limits.dead
	heard, at, pinged := s.bytes.Load(), time.Now(), false
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.wake:
			if s.again.Swap(false) {
				have = nil
			}
			want := s.feed.cfg.State.subscriptions(s.shard)
			for _, c := range commands(have, want) {
				buf = wire.AppendCommand(buf[:0], c)
				_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout))
				if err := conn.WriteMessage(websocket.TextMessage, buf); err != nil {
					s.end(network, reason(err))
					return
				}
			}
			have = want
		case now := <-pulse.C:
			if n := s.bytes.Load(); n != heard {
				heard, at, pinged = n, now, false
				continue
			}
			switch silence := now.Sub(at); {
			case silence >= dead:
				s.end(mute, "the connection was silent for 3 s; connecting anew")
				return
			case silence >= dead/2 && !pinged:
				pinged = true
				_ = conn.WriteControl(websocket.PingMessage, nil, now.Add(writeTimeout))
			}
		}
	}
}

// heardConn is what lies between a socket and its buffers: it knows when the
// reader has nothing left and asks the network.
type heardConn struct {
	net.Conn
	stream *stream
}

// Read implements io.Reader. Only the reader calls it.
func (c heardConn) Read(p []byte) (int, error) {
	if c.stream.table.pause() {
		runtime.Gosched() // let a subscriber run that falls behind
	}
	n, err := c.Conn.Read(p)
	c.stream.heard = time.Now()
	c.stream.bytes.Add(int64(n))
	return n, err
}

// Write implements io.Writer. The reader answers pings, and may wait for that.
func (c heardConn) Write(p []byte) (int, error) {
	c.stream.table.lock()
	c.stream.table.mu.Unlock()
	return c.Conn.Write(p)
}
