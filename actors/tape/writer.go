package tape

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"kitestring/messages/ist"
	"kitestring/messages/wire"
)

// WriterConfig is what a Writer needs.
type WriterConfig struct {
	Boot    string                          // names this start of the program, in the names of its segments: up to 16 letters and digits
	Opening func(at time.Time) []Event      // behind SegmentStarted: what is open at that time; nil: nothing
	Create  func(path string) (File, error) // nil: CreateFile
}

// File is a segment that is being written.
type File interface {
	Write(block []byte) (int, error)
	Truncate(size int64) error
	Datasync() error
	Close() error
}

// Writer writes segments. It belongs to one goroutine; only Sync and Stats may
// be called by others.
type Writer struct {
	cfg WriterConfig
	dir *Directory
	enc *encoder
	out []byte

	seg   *openSegment // nil: the next block begins one
	mu    sync.Mutex
	stats WriterStats
	sync  []*openSegment // written to since the last Sync, the open one last
	syncs sync.Mutex
}

type openSegment struct {
	file    File
	path    string
	day     time.Time
	started time.Time
	size    int64
	done    bool // no block is added
}

// WriterStats are counts since the Writer was made.
type WriterStats struct {
	Counts           // on disk
	Segments  int    // begun
	Segment   string // the open one's path; "": none
	LastWrite time.Time
}

// ErrTooLong is the answer to a frame or an event that no block may hold.
var ErrTooLong = errors.New("longer than a block may be")

// NewWriter makes the writer of the directory. It writes nothing yet.
func (d *Directory) NewWriter(cfg WriterConfig) *Writer {
	if cfg.Create == nil {
		cfg.Create = CreateFile
	}
	return &Writer{cfg: cfg, dir: d, enc: newEncoder()}
}

// Append adds a frame to the block that is being made; it copies the data. It
// fails with ErrTooLong only.
func (w *Writer) Append(f Frame) error {
	if len(f.Data) > wire.MaxFrame {
		return fmt.Errorf("a frame of %d bytes: %w", len(f.Data), ErrTooLong)
	}
	w.begin(f.At)
	w.enc.frame(f)
	return nil
}

// AppendEvent adds an event to the block that is being made. It fails with
// ErrTooLong only.
func (w *Writer) AppendEvent(e Event) error {
	if len(e.Data) > MaxEvent || len(e.Kind) > 64 || e.Kind == "" {
		return fmt.Errorf("a %q event of %d bytes: %w", e.Kind, len(e.Data), ErrTooLong)
	}
	w.begin(e.At)
	w.enc.event(e)
	return nil
}

// Full reports that the block must be flushed before the next Append.
func (w *Writer) Full() bool { return w.enc.raw >= BlockBytes }

// begin decides at the first record of a block whether it goes into a new
// segment.
func (w *Writer) begin(at time.Time) {
	if !w.enc.empty() {
		return
	}
	if s := w.seg; s != nil && (s.size >= SegmentBytes || at.Sub(s.started) >= SegmentTime || !ist.Day(at).Equal(s.day)) {
		w.end()
	}
	if w.seg == nil {
		w.enc.restart()
		opening, _ := NewEvent(at, SegmentStarted, Opening{Boot: w.cfg.Boot, Format: format}) // marshals
		w.enc.event(opening)
		if w.cfg.Opening != nil {
			for _, e := range w.cfg.Opening(at) {
				w.enc.event(e)
			}
		}
	}
}

// end closes the segment; Sync closes its file.
func (w *Writer) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seg.done = true
	w.seg, w.stats.Segment = nil, ""
}

// Flush writes the block, if there is anything in it: one write(2). When that
// fails, the file is cut to its last whole block, what was appended since the
// last Flush is forgotten, and the next record begins a new segment: the caller
// may append the same again.
func (w *Writer) Flush() error {
	if w.enc.empty() {
		return nil
	}
	w.out = w.enc.block(w.out[:0])
	h, _ := parseHeader(w.out) // just made
	first, last := time.Unix(0, h.first), time.Unix(0, h.last)
	if err := w.write(first, w.out); err != nil {
		if w.seg != nil {
			_ = w.seg.file.Truncate(w.seg.size) // when that fails too, a reader finds the end
			w.end()
		}
		return fmt.Errorf("write a block: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stats.Add(h.counts())
	w.stats.LastWrite = last
	return nil
}

func (w *Writer) write(first time.Time, block []byte) error {
	if w.seg == nil {
		s, err := w.create(first)
		if err != nil {
			return err
		}
		w.mu.Lock()
		w.seg, w.sync = s, append(w.sync, s)
		w.stats.Segment = s.path
		w.stats.Segments++
		w.mu.Unlock()
	}
	if _, err := w.seg.file.Write(block); err != nil {
		return err
	}
	w.seg.size += int64(len(block))
	return nil
}

// create makes the file of a new segment, under a name that no file has.
func (w *Writer) create(first time.Time) (*openSegment, error) {
	day := filepath.Join(w.dir.path, dayPrefix+first.In(ist.Zone).Format(time.DateOnly))
	if err := os.MkdirAll(day, 0o700); err != nil {
		return nil, err
	}
	number, err := nextNumber(day)
	if err != nil {
		return nil, err
	}
	for ; ; number++ {
		path := filepath.Join(day, segmentName(first, number, w.cfg.Boot))
		file, err := w.cfg.Create(path)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return &openSegment{file: file, path: path, day: ist.Day(first), started: first}, nil
	}
}

// Sync brings what was written to the disk (fdatasync) and closes the files of
// ended segments. It may take long: call it from a goroutine of its own, once a
// second.
func (w *Writer) Sync() error {
	w.syncs.Lock()
	defer w.syncs.Unlock()
	w.mu.Lock()
	list := append([]*openSegment(nil), w.sync...)
	done := make([]bool, len(list))
	for i, s := range list {
		done[i] = s.done
	}
	w.mu.Unlock()
	var errs []error
	for i, s := range list {
		errs = append(errs, s.file.Datasync())
		if done[i] {
			errs = append(errs, s.file.Close())
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	kept := w.sync[:0]
	for i, s := range w.sync {
		if i >= len(list) || !done[i] {
			kept = append(kept, s)
		}
	}
	w.sync = kept
	return errors.Join(errs...)
}

// Close flushes, ends the segment and syncs.
func (w *Writer) Close() error {
	err := w.Flush()
	if w.seg != nil {
		w.end()
	}
	_ = w.enc.zstd.Close()
	return errors.Join(err, w.Sync())
}

// Stats are the counts so far.
func (w *Writer) Stats() WriterStats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats
}

type diskFile struct{ *os.File }

// CreateFile makes a new file; one that exists is left as it is, and an error.
func CreateFile(path string) (File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

// Datasync implements File.
func (f diskFile) Datasync() error { return unix.Fdatasync(int(f.Fd())) }
