package tape

import (
	"io"
	"os"
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
