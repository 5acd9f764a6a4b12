package gateway

import (
	"encoding/binary"
	"sync"
	"time"
)

// Bounds of what waits for a client. Beyond them it is conflated: a mark an
// instrument, and its newest packet once the client has caught up.
const (
	mostWaiting = 4096    // packets
	mostBytes   = 1 << 20 // of all that waits
	framePacks  = 512     // packets of a frame: .NET takes fewer than 2,000,000 bytes
	frameBytes  = 0xffff  // of a payload: its length then fits in 16 bits
)

// The opcodes that the gateway sends (RFC 6455, section 5.2). There is no Close
// among them: a Close frame ends the .NET client for good.
const (
	opText   = 0x81
	opBinary = 0x82
	opPong   = 0x8a
)

// outbox is what waits to be written to one client: WebSocket frames, ready.
// What fills it holds it locked for a round; the client's writer takes all
// of it at once.
type outbox struct {
	mu      sync.Mutex
	wake    chan struct{} // holds one token while something waits
	buf     []byte
	waiting int // packets in buf
	frame   int // where the open frame begins in buf; -1: none is open
	packets int // in the open frame
	dirty   map[uint32]struct{}
	pong    []byte    // payload of the newest ping that has no answer yet; nil: none
	last    time.Time // when something was put in: no heartbeat is due yet

	sent, conflated uint64 // packets
}

func newOutbox() *outbox {
	return &outbox{wake: make(chan struct{}, 1), frame: -1, dirty: map[uint32]struct{}{}}
}

func (o *outbox) lock() { o.mu.Lock() }

// unlock ends a round: the open frame is whole, the writer wakes.
func (o *outbox) unlock() {
	o.close()
	some := len(o.buf) > 0 || o.pong != nil
	o.mu.Unlock()
	if some {
		o.signal()
	}
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// packet adds a packet to the open frame, or marks its instrument when too
// much waits. An instrument that is marked stays so until the client has caught
// up: its newest packet must not come before an older one.
func (o *outbox) packet(p []byte, token uint32) {
	if _, marked := o.dirty[token]; marked || o.waiting >= mostWaiting || len(o.buf)+len(p) > mostBytes {
		o.dirty[token] = struct{}{}
		o.conflated++
		return
	}
	if o.frame >= 0 && (o.packets == framePacks || len(o.buf)-o.frame-4+2+len(p) > frameBytes) {
		o.close()
	}
	if o.frame < 0 {
		o.frame, o.packets = len(o.buf), 0
		o.buf = append(o.buf, opBinary, 126, 0, 0, 0, 0) // header and the count of packets
	}
	o.buf = binary.BigEndian.AppendUint16(o.buf, uint16(len(p)))
	o.buf = append(o.buf, p...)
	o.packets++
	o.waiting++
	o.sent++
}

// close finishes the open frame.
func (o *outbox) close() {
	if o.frame < 0 {
		return
	}
	at := o.frame
	o.frame = -1
	binary.BigEndian.PutUint16(o.buf[at+4:], uint16(o.packets))
	size := len(o.buf) - at - 4
	if size >= 126 {
		binary.BigEndian.PutUint16(o.buf[at+2:], uint16(size))
	} else { // a short length has no further bytes
		o.buf[at+1] = byte(size)
		copy(o.buf[at+2:], o.buf[at+4:])
		o.buf = o.buf[:len(o.buf)-2]
	}
	o.last = time.Now()
}

// text adds a text message; false: too much waits, it is dropped.
func (o *outbox) text(payload []byte) bool {
	o.lock()
	defer o.unlock()
	if len(o.buf)+len(payload) > mostBytes || len(payload) > frameBytes {
		return false
	}
	o.close()
	o.add(opText, payload)
	return true
}

// heartbeat adds Kite's heartbeat, one zero byte, when nothing else was put in
// for a while.
func (o *outbox) heartbeat(now time.Time, after time.Duration) {
	o.lock()
	defer o.unlock()
	if now.Sub(o.last) >= after && len(o.buf) == 0 {
		o.add(opBinary, []byte{0})
	}
}

// answer has the newest ping answered.
func (o *outbox) answer(ping []byte) {
	o.lock()
	defer o.unlock()
	o.pong = append([]byte{}, ping...)
}

func (o *outbox) add(op byte, payload []byte) {
	if len(payload) < 126 {
		o.buf = append(o.buf, op, byte(len(payload)))
	} else {
		o.buf = append(o.buf, op, 126)
		o.buf = binary.BigEndian.AppendUint16(o.buf, uint16(len(payload)))
	}
	o.buf = append(o.buf, payload...)
	o.last = time.Now()
}

// take empties the outbox into the caller's memory, which becomes the
// outbox's. behind says that nothing waits in order and that instruments were
// conflated: their newest packets are due.
func (o *outbox) take(spare []byte) (buf []byte, behind bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.pong != nil {
		o.add(opPong, o.pong)
		o.pong = nil
	}
	buf, o.buf, o.waiting = o.buf, spare[:0], 0
	return buf, len(buf) == 0 && len(o.dirty) > 0
}

// counts answers the packets sent and conflated so far, and those that wait.
func (o *outbox) counts() (sent, conflated uint64, waiting int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sent, o.conflated, o.waiting + len(o.dirty)
}
