package tape

import (
	"io"
	"os"
	"slices"
	"time"
)

// Index is what the headers of a segment's blocks say, without their contents.
type Index struct {
	Counts
	Blocks      int
	First, Last time.Time // of its records; zero: it has none
}

// Index reads the headers of a segment. It ends at the first place where none
// stands; what is in the blocks it believes, see ReadFile.
func (s Segment) Index() (Index, error) {
	var x Index
	err := s.headers(func(h header) bool {
		first, last := time.Unix(0, h.first), time.Unix(0, h.last)
		if x.First.IsZero() || first.Before(x.First) {
			x.First = first
		}
		if last.After(x.Last) {
			x.Last = last
		}
		x.Add(h.counts())
		x.Blocks++
		return true
	})
	return x, err
}

// Events calls each with the events of a segment, without its frames: cheap,
// for few blocks have any. It ends at the first block that is out of its place or
// whose events do not have its checksum. Blocks without events are not read, only
// their headers: that those are whole is what ReadFile says.
func (s Segment) Events(each func(Event)) error {
	f, err := os.Open(s.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	d := newDecoder()
	defer d.zstd.Close()
	var block []byte
	at := int64(0)
	err = s.headers(func(h header) bool {
		start, length := at, headerBytes+h.length
		at += int64(length)
		if h.events == 0 {
			return d.follow(h)
		}
		block = slices.Grow(block[:0], length)[:length]
		if _, err := f.ReadAt(block, start); err != nil || d.check(h, block) != nil {
			return false
		}
		content, err := d.zstd.DecodeAll(block[headerBytes:], slices.Grow(d.content[:0], h.inner))
		if err != nil || len(content) != h.inner {
			return false
		}
		d.content = content
		return events(content, h, each)
	})
	return err
}

// events goes through the records of a block; false: they are wrong.
func events(content []byte, h header, each func(Event)) bool {
	in := &cursor{b: content}
	size := in.length(len(content))
	for range 2 + len(lengths) {
		in.uvarint()
	}
	records := &cursor{b: in.take(size)}
	if in.bad {
		return false
	}
	now, sources := h.first, uint64(0)
	for len(records.b) > 0 {
		tag := records.uvarint()
		now += records.varint()
		if tag&(1<<recordBits-1) == recordEvent {
			kind := records.take(records.length(len(records.b)))
			data := records.take(records.length(len(records.b)))
			if records.bad {
				return false
			}
			each(Event{time.Unix(0, now), Kind(kind), data})
			continue
		}
		if tag>>recordBits == sources {
			sources++
			records.uvarint()
			records.uvarint()
			records.uvarint()
		}
		records.uvarint() // of packets, or of bytes
	}
	return !records.bad
}

func (s Segment) headers(each func(header) bool) error {
	f, err := os.Open(s.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	var b [headerBytes]byte
	for at := int64(0); at < s.Bytes; {
		if _, err := f.ReadAt(b[:], at); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		h, err := parseHeader(b[:])
		if at += int64(headerBytes + h.length); err != nil || at > s.Bytes || !each(h) {
			return nil
		}
	}
	return nil
}
