// Package flight is the flight recorder: what the program did in the seconds before
// a failure.
package flight

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/trace"
	"slices"
	"strings"
	"sync"
	"time"
)

// What the recorder holds: the last seconds before a failure, as far as the
// size allows it.
const (
	Age       = 5 * time.Second
	mostBytes = 8 << 20
)

// The bounds of what stays on disk.
const (
	mostFiles = 10
	mostTotal = 64 << 20
	mostEach  = 24 << 20 // the recorder's size is a hint only
	pause     = time.Minute
)

// Recorder has the runtime keep its execution trace of the
// last seconds in memory; a failure, or a person, has it written to a file
// for "go tool trace". It holds stacks and times, no values. One recorder runs
// in a process; a second server there has none.
//
// It is always on because it is cheap: measured on two busy cores, 0.1 % of a
// core and 2.5 MB more at 10 ticks/s, 0.5 % (0.2 to 1) and 8 MB at 36,000.
type Recorder struct {
	dir      string
	log      *slog.Logger
	recorder *trace.FlightRecorder
	recorded func() []string // files of the recording that hold the same seconds; nil: none
	reasons  chan string     // of failures; one waits at most
	end      context.CancelFunc
	ended    chan struct{}

	mu   sync.Mutex // one file at a time
	last time.Time  // of the newest file
}

// tooSoonError says that the last trace is too fresh for another one.
type tooSoonError struct{ wait time.Duration }

// Error implements error, in words for a person.
func (e *tooSoonError) Error() string {
	return fmt.Sprintf("a trace was written less than %s ago: wait %s", pause, e.wait.Round(time.Second))
}

// Open begins to record.
func Open(dir string, log *slog.Logger, recorded func() []string) (*Recorder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(context.Background())
	f := &Recorder{
		dir: dir, log: log, reasons: make(chan string, 1), end: end, ended: make(chan struct{}), recorded: recorded,
		recorder: trace.NewFlightRecorder(trace.FlightRecorderConfig{MinAge: Age, MaxBytes: mostBytes}),
	}
	if err := f.recorder.Start(); err != nil {
		end()
		return nil, fmt.Errorf("start the flight recorder: %w", err)
	}
	go f.serve(ctx)
	return f, nil
}

// Close ends the recorder.
func (f *Recorder) Close() {
	f.end()
	<-f.ended
	f.recorder.Stop()
}

// Failed has a trace written, soon and without making the caller wait.
func (f *Recorder) Failed(reason string) {
	select {
	case f.reasons <- reason:
	default: // one is being written, and holds this failure too
	}
}

func (f *Recorder) serve(ctx context.Context) {
	defer close(f.ended)
	for {
		select {
		case <-ctx.Done():
			return
		case reason := <-f.reasons:
			name, err := f.Write(reason)
			var soon *tooSoonError
			switch {
			case errors.As(err, &soon):
			case err != nil:
				f.log.Warn("trace not written", "reason", reason, "error", err)
			default:
				f.log.Info("trace written", "reason", reason, "file", filepath.Join(f.dir, name), "recorded", f.Segments())
			}
		}
	}
}

// Segments are the files of the recording around now, to attach to a report with
// the trace: "kitestring record cut" makes one file of them.
func (f *Recorder) Segments() []string {
	if f.recorded == nil {
		return []string{}
	}
	return append([]string{}, f.recorded()...)
}

// Write puts what the recorder holds into a file and returns its name.
func (f *Recorder) Write(reason string) (name string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if wait := pause - time.Since(f.last); !f.last.IsZero() && wait > 0 {
		return "", &tooSoonError{wait}
	}
	f.last = time.Now() // a disk that is full is not tried at each failure either
	name = f.last.UTC().Format("20060102T150405Z") + "-" + fileWord(reason) + ".trace"
	path := filepath.Join(f.dir, name)
	if err := f.writeTo(path + ".tmp"); err != nil {
		_ = os.Remove(path + ".tmp")
		return "", err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return "", fmt.Errorf("keep the trace: %w", err)
	}
	return name, f.prune()
}

func (f *Recorder) writeTo(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write the trace: %w", err)
	}
	_, err = f.recorder.WriteTo(&bounded{file, mostEach})
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write the trace: %w", err)
	}
	return nil
}

// prune removes the oldest files beyond the bounds, and what a killed process
// left unfinished.
func (f *Recorder) prune() error {
	entries, err := os.ReadDir(f.dir) // sorted by name, which begins with the time
	if err != nil {
		return fmt.Errorf("look at the traces: %w", err)
	}
	var total int64
	kept := 0
	for _, e := range slices.Backward(entries) {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		switch {
		case err != nil || !strings.HasSuffix(e.Name(), ".trace") && !strings.HasSuffix(e.Name(), ".trace.tmp"):
			continue // another program's
		case strings.HasSuffix(e.Name(), ".trace"):
			kept++
			if total += info.Size(); kept == 1 || kept <= mostFiles && total <= mostTotal {
				continue
			}
		}
		if err := os.Remove(filepath.Join(f.dir, e.Name())); err != nil {
			return fmt.Errorf("remove an old trace: %w", err)
		}
	}
	return nil
}

// bounded ends a writing that grows too long.
type bounded struct {
	to   io.Writer
	left int
}

var errTooLong = errors.New("the trace is longer than is kept")

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if len(p) > b.left {
		return 0, errTooLong
	}
	b.left -= len(p)
	return b.to.Write(p)
}

// fileWord makes a word for a file's name.
func fileWord(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '-'
	}, s)
	return s[:min(len(s), 60)]
}
