package feed

import (
	"io"

	"kitestring/messages/wire"
)

// inbox is where a reader puts the messages that it reads: one behind the
// other into a frame of the table's, so that their packets are copied only
// once. Not safe for concurrent use.
type inbox struct {
	table *table
	frame *frame // ours; its free room takes the next message
	last  int    // the length of the last message: the next one tends to be like it
}

// read reads a message behind what the frame has. One that is longer than the
// longest frame is cut one byte after that, and then is no valid frame.
func (in *inbox) read(r io.Reader) (n int, err error) {
	if in.frame == nil || len(in.free()) < in.last {
		in.renew(max(in.last, 1), 0)
	}
	for n <= wire.MaxFrame {
		if n == len(in.free()) {
			in.renew(n+1, n)
		}
		m, err := r.Read(in.free()[n:])
		n += m
		if err == io.EOF {
			break
		}
		if err != nil {
			return n, err
		}
	}
	n = min(n, wire.MaxFrame+1)
	if !wire.Heartbeat(in.free()[:n]) { // it says nothing of the next message
		in.last = n
	}
	return n, nil
}

func (in *inbox) free() []byte { return in.frame.free() }

// renew takes another frame, with room for size bytes, and moves the begun
// message there.
func (in *inbox) renew(size, begun int) {
	f := in.table.frame(size)
	if in.frame != nil {
		copy(f.free(), in.free()[:begun])
		in.frame.release()
	}
	in.frame = f
}

// close gives the frame up.
func (in *inbox) close() {
	if in.frame != nil {
		in.frame.release()
		in.frame = nil
	}
}
