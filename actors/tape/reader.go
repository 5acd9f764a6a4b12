package tape

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"time"

	"kitestring/messages"
)

// Record is a frame or an event. Kind is "" for a frame.
type Record struct {
	At         time.Time
	Kind       Kind
	Data       []byte // the frame, or the event's JSON; valid until the next block is read
	Shard      int    // of a frame, as are the socket and the generation
	Socket     uint64
	Generation messages.Generation

	offset, length int // of Data, while a block is read
}

// Damage is what a reader leaves out of a file: everything from an offset on.
type Damage struct {
	Path   string `json:"path"`
	Offset int64  `json:"offset"` // the valid prefix ends here
	Bytes  int64  `json:"bytes"`  // after it
	Reason string `json:"reason"`
}

// Reader reads one segment, block by block.
type Reader struct {
	in     *bufio.Reader
	dec    *decoder
	block  []byte
	counts Counts
	bad    error // the end, or damage
}

// NewReader reads a segment from its start.
func NewReader(in io.Reader) *Reader {
	return &Reader{in: bufio.NewReaderSize(in, 1<<18), dec: newDecoder()}
}

// DamagedError is what ends a segment other than its end.
type DamagedError struct{ Err error }

// Error implements error.
func (e *DamagedError) Error() string { return e.Err.Error() }

// Unwrap implements errors.Unwrap.
func (e *DamagedError) Unwrap() error { return e.Err }

// NextBlock gives the records of the next block in the order of time, valid
// until the call after it. io.EOF is the end of the segment; a *DamagedError says
// why the rest of the file is left out. Either comes again on each later call.
func (r *Reader) NextBlock() ([]Record, error) {
	if r.bad != nil {
		return nil, r.bad
	}
	h, err := r.read()
	var records []Record
	if err == nil {
		records, err = r.dec.block(h, r.block[headerBytes:])
	}
	if err != nil {
		if r.bad = err; err != io.EOF {
			r.bad = &DamagedError{err}
		}
		return nil, r.bad
	}
	r.counts.Add(h.counts())
	return records, nil
}

// read reads a block and compares its checksum.
func (r *Reader) read() (h header, err error) {
	head, err := r.in.Peek(headerBytes)
	switch {
	case len(head) == 0 && err == io.EOF:
		return h, io.EOF
	case err == io.EOF:
		if start := min(len(head), len(blockStart)); r.counts.Bytes > 0 || bytes.Equal(head[:start], blockStart[:start]) {
			return h, errors.New("it ends within a block")
		}
		return h, errForeign
	case err != nil:
		return h, err
	}
	if h, err = parseHeader(head); err != nil {
		if errors.Is(err, errForeign) && r.counts.Bytes > 0 {
			err = errors.New("no block follows")
		}
		return h, err
	}
	if need := headerBytes + h.length; cap(r.block) < need {
		r.block = make([]byte, need)
	}
	r.block = r.block[:headerBytes+h.length]
	switch _, err = io.ReadFull(r.in, r.block); {
	case err == io.ErrUnexpectedEOF || err == io.EOF:
		return h, errors.New("it ends within a block")
	case err != nil:
		return h, err
	}
	return h, r.dec.check(h, r.block)
}

// Counts are what was read so far; its bytes are where the valid prefix ends.
func (r *Reader) Counts() Counts { return r.counts }

// Close gives its memory back.
func (r *Reader) Close() { r.dec.zstd.Close() }

// ReadFile calls each with the blocks of a file, and says what it left out; nil:
// nothing. An error of each ends it.
func ReadFile(path string, each func([]Record) error) (Counts, *Damage, error) {
	f, err := os.Open(path)
	if err != nil {
		return Counts{}, nil, err
	}
	defer f.Close()
	r := NewReader(f)
	defer r.Close()
	for {
		records, err := r.NextBlock()
		var damaged *DamagedError
		switch {
		case err == io.EOF:
			return r.counts, nil, nil
		case errors.As(err, &damaged):
			info, err := f.Stat()
			if err != nil {
				return r.counts, nil, err
			}
			return r.counts, &Damage{Path: path, Offset: r.counts.Bytes, Bytes: info.Size() - r.counts.Bytes, Reason: damaged.Error()}, nil
		case err != nil:
			return r.counts, nil, err
		}
		if err := each(records); err != nil {
			return r.counts, nil, err
		}
	}
}
