package wire

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The kinds of a WebSocket frame (RFC 6455, 5.2).
const (
	opContinuation = 0
	OpText         = 1
	OpBinary       = 2
	OpClose        = 8
	OpPing         = 9
	OpPong         = 10
)

const (
	controlMost = 125 // bytes that a control frame may carry
	// ReaderSlack is how much more memory than its longest message a Reader asks for.
	ReaderSlack = 1 + controlMost

	closeProtocol   = 1002
	closeNoStatus   = 1005
	closeAbnormally = 1006
	closeTooBig     = 1009
)

// ClosedError is a connection that the peer has closed, with the code that it
// gave: 1005 when it gave none, 1006 when it just ended.
type ClosedError struct{ Code int }

// Error implements error.
func (e *ClosedError) Error() string { return "the WebSocket was closed, code " + strconv.Itoa(e.Code) }

var (
	errAbnormally = &ClosedError{closeAbnormally}
	// ErrReadLimit is a message longer than Limit.
	ErrReadLimit = errors.New("websocket: read limit exceeded")
)

// Reader reads a server's WebSocket messages, and copies no payload: what the
// network brings is read into the caller's memory, headers included, and a
// message is a part of that. Only the pieces of a fragmented message are moved
// together. Control frames are answered on the way. It takes and refuses what
// gorilla/websocket does, with the same words; a differential test holds it to
// that. Compression is refused, for nobody asks for it.
//
// Its memory follows what has come, never what a length field claims.
// Not safe for concurrent use. After an error it is at its end.
type Reader struct {
	Source io.Reader
	// Room gives memory for so many bytes at least. The Reader moves into it what
	// it has begun to read; what it has returned before stays where it is. The
	// memory of before is given up when give is called.
	Room func(size int) (memory []byte, give func())
	// Answer sends a control frame: OpPong or OpClose.
	Answer func(kind int, payload []byte) error
	// Payload takes notice of bytes of messages as they come.
	Payload func(n int)
	Limit   int64 // a longer message ends the connection
	Most    int   // a longer message is cut one byte after that

	memory []byte
	r, w   int // memory[r:w] has come and is not yet looked at
	last   int // bytes on the wire of the last message: the next tends to be like it

	start, end int   // the message that is being read
	length     int64 // of the message, as its headers have it
	partial    bool  // the message goes on in another frame
}

// Next reads a message: memory[from:to] of the memory that Room gave last. An
// error that is a *ClosedError is the peer's word; others are the protocol's or
// the network's.
func (r *Reader) Next() (kind, from, to int, err error) {
	r.length = 0
	r.start, r.end = r.r, r.r
	if len(r.memory)-r.r < r.last {
		r.move(r.last)
	}
	began := false
	for {
		final, opcode, size, err := r.header()
		if err != nil {
			return 0, 0, 0, r.failed(err)
		}
		switch opcode {
		case OpClose, OpPing, OpPong:
			if err := r.controlFrame(opcode, int(size)); err != nil {
				return 0, 0, 0, r.failed(err)
			}
			if !began {
				r.start, r.end = r.r, r.r
			}
			continue
		case OpText, OpBinary:
			kind, began = opcode, true
			r.start, r.end = r.r, r.r
		}
		if err := r.payload(size); err != nil {
			return 0, 0, 0, r.failed(err)
		}
		if final {
			if n := r.end - r.start; n > 1 { // a heartbeat says nothing of the next message
				r.last = n + headerSize(n)
			}
			return kind, r.start, r.end, nil
		}
	}
}

// headerSize is how long a header is that says so much.
func headerSize(payload int) int {
	switch {
	case payload <= controlMost:
		return 2
	case payload <= math.MaxUint16:
		return 4
	}
	return 10
}

func (r *Reader) failed(err error) error {
	if err == io.EOF {
		return errAbnormally
	}
	return err
}

// header reads a frame's header, and refuses what must not be.
func (r *Reader) header() (final bool, opcode int, size int64, err error) {
	p, err := r.need(2)
	if err != nil {
		return false, 0, 0, err
	}
	final, opcode, size = p[0]&0x80 != 0, int(p[0]&0xf), int64(p[1]&0x7f)
	if p[0]&0x70 != 0 || p[1]&0x80 != 0 || opcode > OpBinary || (opcode == opContinuation) != r.partial {
		if err := r.refuse(p[0], p[1]); err != nil {
			return false, 0, 0, err
		}
	}
	r.r += 2
	if opcode <= OpBinary {
		r.partial = !final
	}
	switch size {
	case 126:
		if p, err = r.need(2); err != nil {
			return false, 0, 0, err
		}
		size = int64(binary.BigEndian.Uint16(p))
		r.r += 2
	case 127:
		if p, err = r.need(8); err != nil {
			return false, 0, 0, err
		}
		size = int64(binary.BigEndian.Uint64(p))
		r.r += 8
	}
	if size < 0 {
		return false, 0, 0, ErrReadLimit
	}
	if opcode > OpBinary {
		return final, opcode, size, nil
	}
	if r.length += size; r.length < 0 {
		return false, 0, 0, ErrReadLimit
	}
	if r.length > r.Limit {
		_ = r.Answer(OpClose, closePayload(closeTooBig, ""))
		return false, 0, 0, ErrReadLimit
	}
	return final, opcode, size, nil
}

// refuse says everything that is wrong with the first bytes of a header, if
// anything is.
func (r *Reader) refuse(first, second byte) error {
	var wrong []string
	add := func(is bool, what string) {
		if is {
			wrong = append(wrong, what)
		}
	}
	final, opcode := first&0x80 != 0, int(first&0xf)
	add(first&0x40 != 0, "RSV1 set")
	add(first&0x20 != 0, "RSV2 set")
	add(first&0x10 != 0, "RSV3 set")
	switch opcode {
	case OpClose, OpPing, OpPong:
		add(second&0x7f > controlMost, "len > 125 for control")
		add(!final, "FIN not set on control")
	case OpText, OpBinary:
		add(r.partial, "data before FIN")
	case opContinuation:
		add(!r.partial, "continuation after FIN")
	default:
		add(true, "bad opcode "+strconv.Itoa(opcode))
	}
	add(second&0x80 != 0, "bad MASK")
	if len(wrong) == 0 {
		return nil
	}
	return r.violated(strings.Join(wrong, ", "))
}

// violated closes the connection for what the peer has done.
func (r *Reader) violated(what string) error {
	_ = r.Answer(OpClose, closePayload(closeProtocol, what))
	return errors.New("websocket: " + what)
}

func closePayload(code int, text string) []byte {
	p := append(binary.BigEndian.AppendUint16(nil, uint16(code)), text...)
	return p[:min(len(p), controlMost)]
}

// controlFrame reads a control frame's payload and answers it.
func (r *Reader) controlFrame(opcode, size int) error {
	p, err := r.need(size)
	if err != nil {
		return err
	}
	r.r += size
	switch opcode {
	case OpPing:
		return r.Answer(OpPong, p)
	case OpClose:
		if size < 2 {
			_ = r.Answer(OpClose, nil)
			return &ClosedError{closeNoStatus}
		}
		code := int(binary.BigEndian.Uint16(p))
		if !closeCode(code) {
			return r.violated("bad close code " + strconv.Itoa(code))
		}
		if !utf8.Valid(p[2:]) {
			return r.violated("invalid utf8 payload in close frame")
		}
		_ = r.Answer(OpClose, closePayload(code, ""))
		return &ClosedError{code}
	}
	return nil
}

// closeCode reports whether a peer may give the code.
func closeCode(code int) bool {
	switch code {
	case 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013:
		return true
	}
	return code >= 3000 && code <= 4999
}

// payload adds so many bytes to the message, as they come.
func (r *Reader) payload(left int64) error {
	for {
		n := int(min(left, int64(r.w-r.r)))
		kept := min(n, r.Most+1-(r.end-r.start))
		if r.end != r.r {
			copy(r.memory[r.end:], r.memory[r.r:r.r+kept])
		}
		r.end += kept
		r.r += n
		left -= int64(n)
		if n > 0 {
			r.Payload(n)
		}
		if left == 0 {
			return nil
		}
		if r.end-r.start > r.Most {
			return r.skip(left)
		}
		if r.w == len(r.memory) {
			if r.w > r.end { // what has been looked at behind the message
				r.r, r.w = r.end, r.end
			} else {
				r.move(r.end - r.start + 1)
			}
		}
		if err := r.fill(int(min(left, int64(r.Most+1)))); err != nil {
			return err
		}
	}
}

// skip reads what is cut off a message.
func (r *Reader) skip(left int64) error {
	scratch := make([]byte, min(left, 32<<10))
	for left > 0 {
		n, err := r.Source.Read(scratch[:min(left, int64(len(scratch)))])
		if n > 0 {
			r.Payload(n)
		}
		if left -= int64(n); left > 0 && err != nil {
			return err
		}
	}
	return nil
}

// need waits for n bytes, and does not go past them.
func (r *Reader) need(n int) ([]byte, error) {
	for r.w-r.r < n {
		if r.r+n > len(r.memory) {
			r.move(r.end - r.start + n)
		}
		if err := r.fill(0); err != nil {
			return nil, err
		}
	}
	return r.memory[r.r : r.r+n], nil
}

// fill reads once. The message needs so many bytes more; what comes behind them
// is read too as long as whole messages like the last one have room: what does
// not fit would have to be moved.
func (r *Reader) fill(more int) error {
	to := len(r.memory)
	if r.last > 0 {
		from := r.w + more // where the next message begins
		if more == 0 {
			from = r.start
		}
		if whole := from + (to-from)/r.last*r.last; from < to && whole > r.w {
			to = whole
		}
	}
	n, err := r.Source.Read(r.memory[r.w:to])
	r.w += n
	if n > 0 {
		return nil // an error comes again
	}
	return err
}

// move takes other memory, with room for so many bytes, and takes along what is
// being read.
func (r *Reader) move(size int) {
	memory, give := r.Room(size)
	n := copy(memory, r.memory[r.start:r.end])
	m := copy(memory[n:], r.memory[r.r:r.w])
	r.memory, r.start, r.end, r.r, r.w = memory, 0, n, n, n+m
	give()
}
