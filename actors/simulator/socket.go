package simulator

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"kitestring/messages"
	"kitestring/messages/ist"
	"kitestring/messages/wire"
)

type refusal struct {
	status int
	body   string
}

// admit decides about an upgrade as Kite does; only here is a token looked at.
func (e *Exchange) admit(r *http.Request) (messages.AccessToken, *refusal) {
	query := r.URL.Query()
	token := messages.NewAccessToken(query.Get("access_token"))
	reason, no := e.check(r, query, token)
	e.mu.Lock()
	defer e.mu.Unlock()
	if no == nil && e.slots+e.faults.ghosts() >= maxSockets {
		reason, no = "too_many", &refusal{http.StatusTooManyRequests, "Too many requests"}
	}
	if no == nil && e.closing > 0 {
		reason, no = "closing", &refusal{http.StatusServiceUnavailable, "Service unavailable"}
	}
	if no != nil {
		e.counts.refusedUpgrades[reason]++
		return token, no
	}
	e.slots++
	e.counts.mostSlots = max(e.counts.mostSlots, e.slots)
	e.handlers++
	e.counts.upgrades++
	return token, nil
}

func (e *Exchange) check(r *http.Request, query url.Values, token messages.AccessToken) (string, *refusal) {
	if f := e.take(FaultSlowUpgrade, ""); f != nil {
		f.wait(r.Context())
	}
	switch {
	case e.take(FaultForbidden, "") != nil:
		return "fault_forbidden", &refusal{http.StatusForbidden, "Authentication failed"}
	case e.take(FaultTooMany, "") != nil:
		return "fault_too_many", &refusal{http.StatusTooManyRequests, "Too many requests"}
	case query.Get("api_key") == "" || token.IsZero():
		return "bad_request", &refusal{http.StatusBadRequest, "Missing api_key or access_token"}
	}
	if f := e.take(FaultServerError, ""); f != nil {
		return "fault_server_error", &refusal{f.status(http.StatusServiceUnavailable), "Service unavailable"}
	}
	if query.Get("api_key") != e.cfg.APIKey || !e.sessions.valid(token) {
		return "forbidden", &refusal{http.StatusForbidden, "Authentication failed"}
	}
	return "", nil
}

func (e *Exchange) register(s *socket, token messages.AccessToken) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.socketID++
	s.id = e.socketID
	print := token.Fingerprint()
	if e.tokens[print] == nil {
		e.tokens[print] = &tokenCount{fingerprint: print}
	}
	s.token = e.tokens[print]
	e.sockets[s] = struct{}{}
	if e.closing > 0 { // which did not see it
		s.conn.NetConn().Close()
	}
	e.faults.apply(e)
	if e.cfg.QuietOpen {
		return
	}
	meta, _ := json.Marshal(map[string]any{"count": len(e.listing.list), "etag": e.etag()})
	for _, t := range []wire.Text{
		{Type: wire.TextInstrumentsMeta, Data: meta},
		{Type: wire.TextAppCode, Timestamp: e.clock.Now().In(ist.Zone).Format(time.RFC3339)},
	} {
		e.push(s, message(websocket.TextMessage, wire.AppendText(nil, t)))
	}
}

// maxSockets is Kite's limit for one API key (forum 8500, 40313).
const maxSockets = 3

// socket is one client's WebSocket. Its handler's goroutine reads, a second
// one writes; everything else of it is guarded by Exchange.mu.
type socket struct {
	id     int
	conn   *websocket.Conn
	opened time.Time
	out    chan *frame
	queued atomic.Int64 // bytes
	fault  atomic.Pointer[socketFault]

	fragmented bool  // the writer's: a message was begun that gets no end
	flooded    int64 // the writer's: texts of a flood

	modes  map[uint32]messages.Mode
	next   *frame // under construction
	silent bool   // no ticks
	gone   bool
	token  *tokenCount
	frames int64
	ticks  int64
}

// tokenCount is what was sent to the sockets of one token.
type tokenCount struct {
	fingerprint   string
	frames, ticks int64
}

var upgrader = websocket.Upgrader{
	ReadBufferSize:  4 << 10,
	WriteBufferSize: 4 << 10,
	CheckOrigin:     func(*http.Request) bool { return true }, // Kite takes browsers of any site
}

// serveSocket is the upgrade and, after it, the reader.
func (e *Exchange) serveSocket(w http.ResponseWriter, r *http.Request) {
	if e.hostileUpgrade(w, r) {
		return
	}
	token, refusal := e.admit(r)
	if refusal != nil {
		http.Error(w, refusal.body, refusal.status)
		return
	}
	defer e.handlerEnded()
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		e.mu.Lock()
		e.counts.refusedUpgrades["bad_request"]++
		e.slots--
		e.mu.Unlock()
		return // Upgrade has answered
	}
	s := &socket{conn: conn, opened: time.Now(), out: make(chan *frame, maxFrames), modes: map[uint32]messages.Mode{}}
	written := make(chan struct{})
	e.register(s, token)
	go func() {
		defer close(written)
		defer e.recovered("socket writer", s)
		e.write(s)
	}()
	e.read(s)
	e.unregister(s)
	<-written
}

// handlerEnded ends what admit began.
func (e *Exchange) handlerEnded() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.handlers--; e.handlers == 0 {
		e.quiet.Broadcast()
	}
}

// recovered keeps a panic in one socket's goroutine from ending the process.
func (e *Exchange) recovered(what string, s *socket) {
	if p := recover(); p != nil {
		e.log.Error("simulator panicked", "in", what, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
	s.conn.NetConn().Close()
	e.drain(s)
}

// unregister forgets a socket that has closed.
func (e *Exchange) unregister(s *socket) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s.conn.NetConn().Close()
	if s.gone {
		return
	}
	s.gone = true
	e.slots--
	delete(e.sockets, s)
	for token := range s.modes {
		e.leave(s, e.topics[token])
	}
	close(s.out)
}

// push queues a frame; the market never waits for a socket. Called with mu held.
func (e *Exchange) push(s *socket, f *frame) {
	if s.gone {
		return
	}
	if s.queued.Load()+int64(len(f.bytes)) > maxQueued {
		e.tooSlow(s)
		return
	}
	e.inFlight.add(1)
	s.queued.Add(int64(len(f.bytes)))
	select {
	case s.out <- f:
	default:
		e.inFlight.add(-1)
		e.tooSlow(s)
	}
}

func (e *Exchange) tooSlow(s *socket) {
	e.counts.slowSockets++
	s.conn.NetConn().Close() // the reader sees it and unregisters
}

// unread counts a socket that took nothing for as long as a write may last: at
// a low rate that comes before its queue is full.
func (e *Exchange) unread(err error) {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.counts.slowSockets++
	}
}

// write is the socket's writing goroutine. It ends when the queue is closed or
// the connection fails.
func (e *Exchange) write(s *socket) {
	silence := time.NewTimer(heartbeatEvery)
	defer silence.Stop()
	heartbeat := wire.HeartbeatFrame()
	for {
		select {
		case f, ok := <-s.out:
			if !ok {
				return
			}
			err := e.writeFrame(s, f)
			e.landed(s, f)
			if err != nil {
				e.unread(err)
				return
			}
			silence.Reset(heartbeatEvery)
		case <-silence.C:
			switch err := s.instead(); {
			case err != nil:
				return
			case s.fault.Load().withholds():
			case s.message(websocket.BinaryMessage, heartbeat) != nil:
				return
			default:
				e.heartbeats.Add(1)
			}
			silence.Reset(heartbeatEvery)
		case <-s.fault.Load().floods():
			if err := s.flood(); err != nil {
				e.unread(err)
				return
			}
		}
	}
}

func (e *Exchange) landed(s *socket, f *frame) {
	s.queued.Add(-int64(len(f.bytes)))
	if f.kind == websocket.BinaryMessage && f.packets > 0 {
		frames.Put(f)
	}
	e.inFlight.add(-1)
}

// drain discards what a closed socket will never get.
func (e *Exchange) drain(s *socket) {
	for f := range s.out { // the reader unregisters the socket, which closes the queue
		e.landed(s, f)
	}
}

func (s *socket) message(kind int, data []byte) error {
	if s.fragmented { // what was begun has no end
		s.conn.NetConn().Close()
		return errCut
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	return s.conn.WriteMessage(kind, data)
}

var errCut = errors.New("cut")

func (e *Exchange) writeFrame(s *socket, f *frame) error {
	if f.kind < rawBytes {
		if s.fault.Load().withholds() {
			return nil
		}
		return s.message(f.kind, f.bytes)
	}
	if err := s.raw(f.bytes); err != nil {
		return err
	}
	raw := s.conn.NetConn()
	switch f.kind {
	case reset:
		if tcp, ok := raw.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // at worst an ordinary close follows
		}
		raw.Close()
		return errCut
	case closeTCP:
		raw.Close()
		return errCut
	default:
		return nil
	}
}

// read takes commands until the connection ends.
func (e *Exchange) read(s *socket) {
	s.conn.SetPingHandler(func(data string) error {
		if s.fault.Load().mutes() {
			return nil
		}
		err := s.conn.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
		if errors.Is(err, websocket.ErrCloseSent) {
			return nil
		}
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return nil
		}
		return err
	})
	s.conn.SetReadLimit(1 << 20)
	for {
		kind, text, err := s.conn.ReadMessage()
		if err != nil {
			return
		}
		if kind != websocket.TextMessage {
			continue
		}
		command, err := wire.ParseCommand(text)
		e.mu.Lock()
		if err != nil || s.gone {
			e.counts.badCommands++ // Kite does not answer either
		} else {
			e.execute(s, command)
		}
		e.mu.Unlock()
	}
}

func (e *Exchange) execute(s *socket, c wire.Command) {
	switch c.Action {
	case wire.ActionSubscribe:
		e.subscribe(s, c.InstrumentTokens, messages.ModeNone)
	case wire.ActionMode:
		e.subscribe(s, c.InstrumentTokens, c.Mode)
	case wire.ActionUnsubscribe:
		e.unsubscribe(s, c.InstrumentTokens)
	}
}

// frame is one message on its way to one socket.
type frame struct {
	kind    int // websocket.BinaryMessage, TextMessage, CloseMessage, rawBytes, reset
	bytes   []byte
	packets int
}

// What a faulty exchange does besides sending messages.
const (
	rawBytes = 100 + iota // onto the TCP connection as they are
	reset                 // rawBytes, then a TCP reset
	closeTCP              // rawBytes, then FIN without a close frame
)

var frames = sync.Pool{New: func() any { return new(frame) }}

func newFrame() *frame {
	f := frames.Get().(*frame)
	f.kind, f.packets = websocket.BinaryMessage, 0
	f.bytes = append(f.bytes[:0], 0, 0)
	return f
}

func message(kind int, data []byte) *frame { return &frame{kind: kind, bytes: data} }

func (f *frame) add(packet []byte) {
	f.packets++
	binary.BigEndian.PutUint16(f.bytes, uint16(f.packets))
	f.bytes = binary.BigEndian.AppendUint16(f.bytes, uint16(len(packet)))
	f.bytes = append(f.bytes, packet...)
}

// flight counts the frames between the market and the kernel, so that a
// playback driven as fast as it goes can wait for its readers.
type flight struct {
	mu    sync.Mutex
	n     int
	empty chan struct{} // closed while n is 0
}

func newFlight() *flight {
	f := &flight{empty: make(chan struct{})}
	close(f.empty)
	return f
}

func (f *flight) add(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.n
	f.n += n
	switch {
	case before == 0 && f.n > 0:
		f.empty = make(chan struct{})
	case before > 0 && f.n == 0:
		close(f.empty)
	}
}

func (f *flight) landed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.empty
}

// How long a socket is waited for.
const (
	heartbeatEvery = time.Second
	writeTimeout   = 10 * time.Second
	maxQueued      = 8 << 20 // bytes; a slower reader is disconnected
	maxFrames      = 1024
)
