package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/websocket"

	"kitestring/messages"
	"kitestring/messages/ist"
	"kitestring/messages/scrub"
	"kitestring/messages/wire"
)

// The times of a socket.
const (
	writeBuffer  = 16 << 10
	writeTimeout = 3 * time.Second
	// For the answer to a ping or a close, which the reader waits for.
	answerTimeout = time.Second
	closeTimeout  = 30 * time.Millisecond // for the close frame: politeness must not delay a stop
	// How long a socket that we close waits for the exchange to end it: its slot is
	// free only then, and the next dial may need it. Where another server has the
	// rest of the slots, the dial would be one too many, and that server covers for
	// us meanwhile.
	partTimeout = 300 * time.Millisecond
	partShared  = 3 * time.Second
	pulseEvery  = 100 * time.Millisecond
	// A message beyond this ends the connection; up to it one that is too long
	// for a frame is skipped and counted.
	readLimit = 16 << 20
)

// A burst of bad frames is a broken stream: so many within so long.
const (
	malformedBurst  = 10
	malformedWithin = 10 * time.Second
)

// stream is one socket of one generation: a reader that never waits for an
// actor, and a writer for commands, pings and the watch for silence.
type stream struct {
	id      uint64
	shard   int
	session messages.Session
	feed    *Feed
	table   *table

	ctx    context.Context
	cancel context.CancelFunc
	wake   chan struct{} // the subscriptions have changed
	again  atomic.Bool   // subscribe to everything once more

	// Read so far: bytes on the wire, bytes of messages, whole messages.
	bytes, payload, messages atomic.Int64

	received time.Time                       // when the last read ended; the reader's own
	reading  atomic.Bool                     // it asks the network, and has handed on all that came before
	socket   atomic.Pointer[syscall.RawConn] // nil: not connected, or not a socket

	mu    sync.Mutex
	cause cause  // the first that was given
	why   string // plain words; "" until the end is decided
}

func newStream(f *Feed, shard int, id uint64, session messages.Session) *stream {
	s := &stream{
		id: id, shard: shard, session: session, feed: f, table: f.cfg.State.tables[shard],
		wake: make(chan struct{}, 1),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// end makes the socket go, for the first cause that was given.
func (s *stream) end(c cause, why string) {
	s.mu.Lock()
	if s.why == "" {
		s.cause, s.why = c, why
	}
	s.mu.Unlock()
	s.cancel()
}

func (s *stream) ending() (cause, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause, s.why
}

// parts reports whether we close a socket that the exchange still serves.
func (s *stream) parts() bool {
	c, why := s.ending()
	return why != "" && (c == byUs || c == malformed)
}

// resubscribe has the writer bring the subscriptions up to date; all of them
// when again is set.
func (s *stream) resubscribe(again bool) {
	if again {
		s.again.Store(true)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run is the socket's task: dial, read until the end, report it.
func (s *stream) run(ctx context.Context) error {
	defer s.cancel()
	defer context.AfterFunc(ctx, s.cancel)()
	state := s.feed.cfg.State
	conn, c, err := s.dial()
	if err != nil {
		state.count(state.connects, connectResults[c])
		why := s.reason(err)
		if asked, already := s.ending(); already != "" {
			c, why = asked, already
		}
		s.report(ended{s.id, c, why}, time.Now())
		return nil
	}
	state.count(state.connects, "ok")
	defer conn.Close()
	// Closing the connection is what interrupts a read, whatever the peer does.
	closed := make(chan struct{})
	unhook := context.AfterFunc(s.ctx, func() {
		defer close(closed)
		defer func() {
			// Nobody else would recover on this goroutine: the process would end.
			if p := recover(); p != nil {
				_ = conn.Close()
				s.feed.self.Fail(fmt.Errorf("close socket %d: panic: %v", s.shard, p))
			}
		}()
		_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(closeTimeout))
		if s.parts() && ctx.Err() == nil {
			most := partTimeout
			if s.feed.cfg.Sockets < MaxShards {
				most = partShared
			}
			_ = conn.SetReadDeadline(time.Now().Add(most))
			return
		}
		_ = conn.Close()
	})
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // a stop waits for nobody
	defer func() {
		if !unhook() {
			<-closed
		}
	}()
	s.fact(messages.SocketFact{Kind: messages.SocketOpened, Fingerprint: s.session.Token.Fingerprint()})
	s.table.join(s.ctx, s.id, s.session.Generation, ist.Day(s.feed.cfg.Clock.Now()))
	defer s.table.leave(s.id, messages.GapReconnect, time.Now()) // for a panic: a second call does nothing
	s.report(upgraded{s.id}, time.Now())
	s.resubscribe(false)
	s.feed.self.Go("socket writer", func(context.Context) error {
		s.write(conn)
		return nil
	})
	s.end(network, s.reason(s.read(conn)))
	c, why := s.ending()
	if s.parts() {
		_, _ = io.Copy(io.Discard, conn.source) // until the exchange ends it: what comes has been replaced
	}
	gap := messages.GapReconnect
	if c == byUs {
		gap = messages.GapSwap
	}
	s.table.leave(s.id, gap, time.Now())
	label := disconnectReasons[c]
	if ctx.Err() != nil {
		label = "local"
	}
	state.count(state.disconnects, label)
	s.fact(messages.SocketFact{Kind: messages.SocketClosed, Cause: label, Reason: why})
	<-closed
	_ = conn.Close()
	s.report(ended{s.id, c, why}, time.Now())
	return nil
}

// name is the socket as the recorder knows it.
func (s *stream) name() messages.Socket {
	return messages.Socket{Shard: s.shard, ID: s.id, Generation: s.session.Generation}
}

// fact tells the recorder what has become of the socket.
func (s *stream) fact(f messages.SocketFact) { s.feed.cfg.Recorder.Socket(s.name(), f) }

func (s *stream) report(e event, at time.Time) { s.feed.self.Tell(socketEvent{s.shard, e, at}) }

// read takes frames until the connection ends.
func (s *stream) read(conn *socket) error {
	in := s.newInbox(conn)
	defer in.close()
	record, name := s.feed.cfg.Recorder, s.name()
	var bad []time.Time
	for {
		kind, from, to, err := in.reader.Next()
		if err != nil {
			return err
		}
		s.messages.Add(1)
		now := s.received
		message := in.memory[from:to:to]
		if kind == wire.OpText {
			s.text(message, now)
			continue
		}
		record.Frame(name, message)
		taken, err := s.table.take(s.id, in.frame, from, to, now)
		var malformedFrame *wire.FrameError
		switch {
		case err == nil:
			if taken.first {
				s.report(framed{s.id}, now)
			}
			if taken.firstTick {
				s.feed.self.Tell(socketTicked{s.session.Generation, now})
			}
			if taken.moved {
				s.report(moved{s.id}, now)
			}
		case errors.As(err, &malformedFrame):
			if bad = s.malformed(malformedIndex(malformedFrame.Reason), bad, now); len(bad) >= malformedBurst {
				s.end(malformed, "Kite sent a burst of frames that cannot be read; connecting again")
				return err
			}
		default:
			return err
		}
	}
}

// newInbox is where the connection's messages are read to.
func (s *stream) newInbox(conn *socket) *inbox {
	in := &inbox{table: s.table}
	in.reader = wire.Reader{
		Source: conn.source, Room: in.room, Limit: readLimit, Most: wire.MaxFrame,
		Payload: func(n int) { s.payload.Add(int64(n)) },
		Answer: func(kind int, payload []byte) error {
			err := conn.WriteControl(kind, payload, time.Now().Add(answerTimeout))
			var failed net.Error
			if errors.Is(err, websocket.ErrCloseSent) || errors.As(err, &failed) {
				return nil // the next read says what has become of the connection
			}
			return err
		},
	}
	return in
}

// malformed counts a bad frame and answers the recent ones.
func (s *stream) malformed(reason int, bad []time.Time, now time.Time) []time.Time {
	s.table.locked(func() { s.table.counts.malformed[reason]++ })
	for len(bad) > 0 && now.Sub(bad[0]) > malformedWithin {
		bad = bad[1:]
	}
	return append(bad, now)
}

// text handles a text message.
func (s *stream) text(frame []byte, now time.Time) {
	text, err := wire.ParseText(frame)
	if err == nil && text.Type == wire.TextOrder && len(frame) > orderMost {
		err = errors.New("longer than any order")
	}
	s.table.locked(func() {
		if err != nil {
			s.table.counts.malformed[malformedText]++
		} else {
			s.table.counts.Texts++
		}
	})
	if err != nil {
		return
	}
	switch text.Type {
	case wire.TextOrder:
		s.feed.cfg.Recorder.Order(s.name(), frame)
		id, status := text.Order()
		s.feed.note(messages.OrderFields, id != "" && status != "", 1)
		if id != "" {
			news, missed := s.feed.cfg.State.orders.update(id, text.Data, now)
			if news {
				s.feed.sendOrder(messages.OrderUpdated{OrderID: id, Status: status, Raw: text.Data, At: now})
			}
			if missed && s.feed.missing.CompareAndSwap(false, true) {
				s.feed.self.Log().Warn("too many order updates at once; the rest is read from GET /orders", "shard", s.shard, "most_per_second", ordersAtOnce)
				s.feed.self.After(reconcileAfter, ordersMissed{s.session.Generation})
			}
		}
	case wire.TextMessage:
		if s.feed.cfg.Gateway != nil {
			s.feed.self.Send(s.feed.cfg.Gateway, messages.ExchangeTexted{Text: scrub.Text(text.Message(), s.session.Token.Secret)})
		}
	case wire.TextError:
		if ok, held := s.feed.texts.take(now); ok {
			s.feed.self.Log().Warn("kite reports an error on the socket", "shard", s.shard, "generation", s.session.Generation,
				"text", scrub.Text(text.Message(), s.session.Token.Secret), "not_logged", held)
		}
	default:
	}
}

// write sends commands and pings, and ends a socket that has fallen silent.
func (s *stream) write(conn *socket) {
	var have []sub
	var buf []byte
	pulse := time.NewTicker(pulseEvery)
	defer pulse.Stop()
	watch := newSilence(s.feed.cfg.timeouts, time.Now())
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
				s.fact(messages.SocketFact{Kind: messages.SocketSubscribed, Command: string(buf)})
				_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout))
				if err := conn.WriteMessage(websocket.TextMessage, buf); err != nil {
					s.end(network, s.reason(err))
					return
				}
			}
			have = want
		case now := <-pulse.C:
			switch watch.look(now, s.bytes.Load(), s.payload.Load(), s.messages.Load()) {
			case alive:
			case pingDue:
				_ = conn.WriteControl(websocket.PingMessage, nil, now.Add(writeTimeout))
			case noByte:
				s.feed.note(messages.Heartbeat, false, 1)
				s.end(mute, "the connection was silent for 3 s; connecting again")
				return
			case noMessage:
				s.feed.note(messages.Heartbeat, false, 1)
				s.end(mute, "the connection answered, but for 5 s it brought neither a frame nor a heartbeat; connecting again")
				return
			}
		}
	}
}

// silence watches what a connection brings. Pings, pongs and the pieces of a
// message that never ends are bytes, and prove that the peer is there; only
// whole messages prove that Kite streams. It sends one about every second.
type silence struct {
	dead, noData             time.Duration
	bytes, payload, messages int64
	byteAt, payloadAt        time.Time // the last ones that were new
	messageAt                time.Time
	lookedAt                 time.Time
	pinged                   bool
}

// What a silence calls for.
const (
	alive = iota
	pingDue
	noByte
	noMessage
)

func newSilence(t *timeouts, now time.Time) *silence {
	return &silence{dead: t.dead, noData: t.noData, byteAt: now, payloadAt: now, messageAt: now, lookedAt: now}
}

// stoodStill is how long after the last look the machine, or this process,
// must have stood still: what came meanwhile may wait to be read.
const stoodStill = time.Second

// look compares the totals with those of before. Time in which nobody could
// read is no silence.
func (s *silence) look(now time.Time, bytes, payload, messages int64) int {
	if away := now.Sub(s.lookedAt); away > stoodStill {
		s.byteAt, s.payloadAt, s.messageAt = s.byteAt.Add(away), s.payloadAt.Add(away), s.messageAt.Add(away)
	}
	s.lookedAt = now
	if bytes != s.bytes {
		s.bytes, s.byteAt, s.pinged = bytes, now, false
	}
	if payload != s.payload {
		s.payload, s.payloadAt = payload, now
	}
	if messages != s.messages {
		s.messages, s.messageAt = messages, now
	}
	patience := s.noData
	if s.payloadAt.After(s.messageAt) && now.Sub(s.payloadAt) < s.dead {
		patience += s.dead // a long message on a slow line
	}
	switch quiet := now.Sub(s.byteAt); {
	case quiet >= s.dead:
		return noByte
	case now.Sub(s.messageAt) >= patience:
		return noMessage
	case quiet >= s.dead/2 && !s.pinged:
		s.pinged = true
		return pingDue
	}
	return alive
}

// meteredConn lies between a socket and its buffers: it knows when the reader
// has nothing left and asks the network.
type meteredConn struct {
	net.Conn
	stream    *stream
	answering bool // the upgrade has not been answered yet
}

// Read implements io.Reader. Only the dial calls it, and then the reader.
func (c *meteredConn) Read(p []byte) (int, error) {
	if c.answering && c.stream.bytes.Load() >= answerMost {
		return 0, errEndless
	}
	if c.stream.table.pause() {
		runtime.Gosched() // let a subscriber run that falls behind
	}
	c.stream.reading.Store(true)
	n, err := c.Conn.Read(p)
	c.stream.reading.Store(false)
	c.stream.received = time.Now()
	c.stream.bytes.Add(int64(n))
	return n, err
}

// drained reports whether nothing that has come waits to be read and handed on. A
// reader that gets no processor time leaves packets in the socket.
func (s *stream) drained() bool {
	if !s.reading.Load() {
		return false
	}
	socket := s.socket.Load()
	if socket == nil {
		return true
	}
	waiting := 0
	_ = (*socket).Control(func(fd uintptr) { waiting = unread(fd) })
	return waiting == 0 && s.reading.Load()
}

// Write implements io.Writer. The reader answers pings, and may wait for that.
func (c *meteredConn) Write(p []byte) (int, error) {
	c.stream.table.locked(func() {})
	return c.Conn.Write(p)
}
