package wire

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// The reader against gorilla's: the same bytes, in the same parts, give the same
// messages, the same answers and the same end.

const (
	testLimit = 3000 // of a message; it is cut at testMost
	testMost  = 1000
)

// scriptedConn answers an upgrade and then brings the stream in parts.
type scriptedConn struct {
	net.Conn // nil
	in       bytes.Buffer
	out      bytes.Buffer
	stream   []byte
	parts    *rand.Rand // nil: all at once
}

func (c *scriptedConn) SetDeadline(time.Time) error      { return nil }
func (c *scriptedConn) SetWriteDeadline(time.Time) error { return nil }
func (c *scriptedConn) SetReadDeadline(time.Time) error  { return nil }
func (c *scriptedConn) Close() error                     { return nil }

func (c *scriptedConn) Write(p []byte) (int, error) {
	if key, found := bytes.CutPrefix(p, []byte("GET ")); found {
		_, key, _ = bytes.Cut(key, []byte("Sec-WebSocket-Key: "))
		key, _, _ = bytes.Cut(key, []byte("\r\n"))
		sum := sha1.Sum([]byte(string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		fmt.Fprintf(&c.in, "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
		return len(p), nil
	}
	return c.out.Write(p)
}

func (c *scriptedConn) Read(p []byte) (int, error) {
	if c.in.Len() > 0 {
		return c.in.Read(p)
	}
	if len(c.stream) == 0 {
		return 0, io.EOF
	}
	if c.parts != nil {
		p = p[:1+c.parts.IntN(min(len(p), 1+c.parts.IntN(300)))]
	}
	n := copy(p, c.stream)
	c.stream = c.stream[n:]
	return n, nil
}

// outcome is what a stream came to, in words.
type outcome struct {
	log   []string
	bytes int // of messages
}

func (o *outcome) add(format string, args ...any) {
	o.log = append(o.log, fmt.Sprintf(format, args...))
}

func byGorilla(stream []byte, seed uint64) (o outcome) {
	c := &scriptedConn{stream: stream, parts: parts(seed)}
	dialer := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return c, nil }}
	conn, _, err := dialer.Dial("ws://x/", nil)
	if err != nil {
		panic(err)
	}
	conn.SetReadLimit(testLimit)
	for {
		kind, message, err := conn.ReadMessage()
		var answers bytes.Buffer
		answers.Write(c.out.Bytes())
		c.out.Reset()
		for answers.Len() > 0 { // header, mask, payload
			head := answers.Next(2)
			mask := slices.Clone(answers.Next(4))
			payload := slices.Clone(answers.Next(int(head[1] & 0x7f)))
			for i := range payload {
				payload[i] ^= mask[i&3]
			}
			o.add("answer %d %x", head[0]&0xf, payload)
		}
		var closed *websocket.CloseError
		switch {
		case errors.As(err, &closed):
			o.add("closed %d", closed.Code)
			return o
		case err != nil:
			o.add("%v", err)
			return o
		}
		o.bytes += len(message)
		o.add("message %d %x", kind, message[:min(len(message), testMost+1)])
	}
}

func parts(seed uint64) *rand.Rand {
	if seed == 0 {
		return nil
	}
	return rand.New(rand.NewPCG(seed, 1))
}

func byReader(stream []byte, seed uint64, room int) (o outcome) {
	sentClose := false
	var memory []byte
	r := Reader{
		Source: &scriptedConn{stream: stream, parts: parts(seed)}, Limit: testLimit, Most: testMost,
		Room: func(size int) ([]byte, func()) {
			if size > testMost+ReaderSlack {
				panic(fmt.Sprint("asks for ", size))
			}
			before := memory
			memory = make([]byte, max(size, room))
			return memory, func() { clear(before) } // whatever is used after that is seen
		},
		Answer: func(kind int, payload []byte) error {
			if !sentClose { // gorilla sends nothing after a close
				o.add("answer %d %x", kind, payload)
			}
			sentClose = sentClose || kind == OpClose
			return nil
		},
		Payload: func(n int) { o.bytes += n },
	}
	for {
		kind, from, to, err := r.Next()
		var closed *ClosedError
		switch {
		case errors.As(err, &closed):
			o.add("closed %d", closed.Code)
			return o
		case err != nil:
			o.add("%v", err)
			return o
		}
		o.add("message %d %x", kind, memory[from:to])
	}
}

func compareReaders(t *testing.T, stream []byte, seed uint64) {
	t.Helper()
	want := byGorilla(stream, seed)
	for _, room := range []int{0, 64, 1 << 10, 8 << 10} {
		got := byReader(stream, seed, room)
		if !slices.Equal(got.log, want.log) {
			t.Fatalf("stream %x in parts of seed %d, memory of %d:\n%s\ngorilla:\n%s", stream, seed, room, strings.Join(got.log, "\n"), strings.Join(want.log, "\n"))
		}
		if got.bytes < want.bytes {
			t.Fatalf("%d bytes of messages noticed, gorilla has %d", got.bytes, want.bytes)
		}
	}
}

// wsFrame is a frame as a server sends it.
func wsFrame(first byte, payload []byte) []byte {
	f := []byte{first}
	switch n := len(payload); {
	case n <= 125:
		f = append(f, byte(n))
	case n <= 0xffff:
		f = binary.BigEndian.AppendUint16(append(f, 126), uint16(n))
	default:
		f = binary.BigEndian.AppendUint64(append(f, 127), uint64(n))
	}
	return append(f, payload...)
}

func readerCases() map[string][]byte {
	text := func(n int) []byte { return bytes.Repeat([]byte("abcdefg"), n/7+1)[:n] }
	join := func(frames ...[]byte) []byte { return bytes.Join(frames, nil) }
	return map[string][]byte{
		"nothing":               nil,
		"heartbeats":            join(wsFrame(0x82, []byte{0}), wsFrame(0x82, []byte{0}), wsFrame(0x82, nil)),
		"lengths":               join(wsFrame(0x82, text(125)), wsFrame(0x82, text(126)), wsFrame(0x81, text(999)), wsFrame(0x82, text(1000)), wsFrame(0x82, text(1001)), wsFrame(0x82, text(2999)), wsFrame(0x82, text(5))),
		"fragments":             join(wsFrame(0x02, text(10)), wsFrame(0x00, nil), wsFrame(0x00, text(400)), wsFrame(0x80, text(20)), wsFrame(0x81, text(9))),
		"control in a message":  join(wsFrame(0x02, text(10)), wsFrame(0x89, text(3)), wsFrame(0x8a, nil), wsFrame(0x00, text(700)), wsFrame(0x89, text(125)), wsFrame(0x80, text(600)), wsFrame(0x82, text(9))),
		"long fragments":        join(wsFrame(0x02, text(900)), wsFrame(0x00, text(900)), wsFrame(0x80, text(900)), wsFrame(0x82, text(9))),
		"fragments too long":    join(wsFrame(0x02, text(1500)), wsFrame(0x00, text(1499)), wsFrame(0x80, text(2))),
		"compressed":            wsFrame(0xc2, text(10)),
		"all that is wrong":     wsFrame(0x7b, text(10)),
		"masked":                {0x82, 0x81, 1, 2, 3, 4, 5},
		"bad opcode":            wsFrame(0x83, nil),
		"too long":              wsFrame(0x82, text(3001)),
		"length of 63 bits":     {0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"length of 64 bits":     {0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"sum of 64 bits":        join(wsFrame(0x02, text(9)), []byte{0x80, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}),
		"continuation first":    wsFrame(0x80, text(3)),
		"data in a message":     join(wsFrame(0x02, text(3)), wsFrame(0x82, text(3))),
		"fragmented ping":       wsFrame(0x09, text(3)),
		"long ping":             wsFrame(0x89, text(126)),
		"close":                 wsFrame(0x88, []byte{0x03, 0xe8}),
		"close without a code":  wsFrame(0x88, nil),
		"close with half":       wsFrame(0x88, []byte{3}),
		"close with a reason":   wsFrame(0x88, []byte{0x0f, 0xa0, 'b', 'y', 'e'}),
		"close with a bad code": wsFrame(0x88, []byte{0x03, 0xee}),
		"close with bad text":   wsFrame(0x88, []byte{0x03, 0xe8, 0xff}),
		"ping, then close":      join(wsFrame(0x89, text(4)), wsFrame(0x88, []byte{0x03, 0xe9}), wsFrame(0x82, text(4))),
		"cut in a header":       {0x82, 126, 1},
		"cut in a payload":      wsFrame(0x82, text(300))[:200],
		"cut in a ping":         wsFrame(0x89, text(30))[:20],
		"cut in what is cut":    wsFrame(0x82, text(2000))[:1900],
	}
}

func TestReaderAgainstGorilla(t *testing.T) {
	for name, stream := range readerCases() {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				compareReaders(t, stream, seed)
			}
		})
	}
}

// TestReaderAgainstGorillaAtRandom makes streams of mostly valid frames.
func TestReaderAgainstGorillaAtRandom(t *testing.T) {
	for seed := range uint64(500) {
		compareReaders(t, randomStream(seed), seed&7)
	}
}

func randomStream(seed uint64) (stream []byte) {
	rnd := rand.New(rand.NewPCG(seed, 2))
	partial := false
	for range 1 + rnd.IntN(20) {
		payload := make([]byte, rnd.IntN(1+rnd.IntN(1500)))
		for i := range payload {
			payload[i] = byte(rnd.Uint32())
		}
		var first byte
		switch rnd.IntN(4) {
		case 0:
			first, payload = 0x89+byte(rnd.IntN(2)), payload[:min(len(payload), 125)]
		default:
			if !partial {
				first = 1 + byte(rnd.IntN(2))
			}
			if partial = rnd.IntN(3) == 0; !partial {
				first |= 0x80
			}
		}
		if rnd.IntN(60) == 0 {
			first ^= byte(rnd.Uint32())
		}
		stream = append(stream, wsFrame(first, payload)...)
	}
	return stream[:len(stream)-rnd.IntN(2)*rnd.IntN(len(stream))]
}

func FuzzReader(f *testing.F) {
	for _, stream := range readerCases() {
		f.Add(stream, uint64(0))
		f.Add(stream, uint64(3))
	}
	for seed := range uint64(20) {
		f.Add(randomStream(seed), seed)
	}
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) { compareReaders(t, stream, seed) })
}
