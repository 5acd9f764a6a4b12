package simulator

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// frame is one message on its way to one socket.
type frame struct {
	kind    int // websocket.BinaryMessage, TextMessage, CloseMessage, rawBytes, reset
	bytes   []byte
	packets int
}

// What a faulty exchange does beside sending messages.
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
