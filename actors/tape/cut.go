package tape

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

// SegmentsOf are the segments that a path names: one file, or the folder of a
// day.
func SegmentsOf(path string) ([]Segment, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []Segment{{Path: path, Bytes: info.Size()}}, nil
	}
	dir, name := filepath.Split(filepath.Clean(path))
	date, ok := strings.CutPrefix(name, dayPrefix)
	if !ok {
		return nil, fmt.Errorf("%s is a folder, and none of a day, like %s2026-11-27", path, dayPrefix)
	}
	day, err := Open(filepath.Clean(dir)).Day(date)
	return day.Segments, err
}

// Cut copies the records from one time to another into one new file, which reads
// like a segment, and says what of the segments it had to leave out. In front
// stand the events of the first segment before from: they say which sockets were
// open. A file that is there already is left as it is, and an error.
func Cut(segments []Segment, from, to time.Time, path string) (Counts, []Damage, error) {
	var all Counts
	if _, err := os.Lstat(path); err == nil {
		return all, nil, &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	out, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o600))
	if err != nil {
		return all, nil, err
	}
	defer func() { _ = out.Cleanup() }()
	enc := newEncoder()
	defer enc.zstd.Close()
	var block []byte
	flush := func() error {
		if enc.empty() {
			return nil
		}
		block = enc.block(block[:0])
		h, _ := parseHeader(block) // just made
		all.Add(h.counts())
		_, err := out.Write(block)
		return err
	}
	var left []Damage
	begun := false
	for _, s := range segments {
		if x, err := s.Index(); err != nil || x.Last.Before(from) || x.First.After(to) {
			continue
		}
		_, damage, err := ReadFile(s.Path, func(records []Record) error {
			for i := range records {
				r := &records[i]
				switch {
				case r.At.After(to), r.At.Before(from) && (begun || r.Kind == ""):
				case r.Kind != "":
					enc.event(Event{r.At, r.Kind, r.Data})
				default:
					enc.frame(Frame{r.At, r.Shard, r.Socket, r.Generation, r.Data})
				}
			}
			return flush()
		})
		if err != nil {
			return all, left, err
		}
		if damage != nil && !s.Open {
			left = append(left, *damage)
		}
		begun = true
	}
	if all.Frames == 0 {
		return all, left, fmt.Errorf("no frame is recorded from %s to %s", from.Format(time.RFC3339), to.Format(time.RFC3339))
	}
	return all, left, out.CloseAtomicallyReplace()
}

// Packets calls each with every packet of a known length in the well-formed
// frames of records.
func Packets(records []Record, each func(r *Record, packet []byte)) {
	for i := range records {
		r := &records[i]
		if r.Kind != "" {
			continue
		}
		if _, formed := wellFormed(r.Data); !formed {
			continue
		}
		for rest := r.Data[2:]; len(rest) > 0; {
			n := int(binary.BigEndian.Uint16(rest))
			if classOf(n) != classOther {
				each(r, rest[2:2+n])
			}
			rest = rest[2+n:]
		}
	}
}
