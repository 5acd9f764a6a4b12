package feed

import (
	"io"
)

// inbox is the memory that a reader reads messages into: a buffer of each size
// class of frames, so that a frame can keep the buffer that it came in and
// leave its own for it. Not safe for concurrent use.
type inbox struct {
	buffers [len(frameClasses)][]byte
	class   int // of the last message: the next one tends to be like it
}

func (in *inbox) buffer() []byte {
	if in.buffers[in.class] == nil {
		in.buffers[in.class] = make([]byte, frameClasses[in.class])
	}
	return in.buffers[in.class]
}

// read reads a message. One that is longer than the longest frame is cut one
// byte after that, and then is no valid frame.
func (in *inbox) read(r io.Reader) ([]byte, error) {
	buf, n := in.buffer(), 0
	for {
		if n == len(buf) {
			if in.class == len(frameClasses)-1 {
				return buf, nil
			}
			in.class++
			buf = append(in.buffer()[:0], buf...)
			buf = buf[:cap(buf)]
		}
		m, err := r.Read(buf[n:])
		n += m
		if err == io.EOF {
			in.class = frameClass(n)
			return buf[:n], nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// replace puts spare in the place of the last message's buffer.
func (in *inbox) replace(spare []byte) {
	if spare != nil {
		in.buffers[in.class] = spare
	}
}
