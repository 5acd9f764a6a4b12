// Package logs bounds what the log may cost: a stream that stalls blocks no
// logger, and no message takes more than its budget.
package logs

import (
	"bytes"
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The bounds of what waits to be written.
const (
	mostLines = 4096
	mostBytes = 4 << 20
)

// Writer stands between a logger and a stream that may stall (a terminal
// that is stopped, a pipe that is not read) or be closed. Write copies a line
// and returns; a goroutine writes the lines in order. When too many wait, the
// oldest are dropped and counted, so that what is left is about now. A stream
// that fails loses the line that it fails at and is tried again with the next.
//
// So logging blocks no actor. A closed stderr must not end the process either:
// the program ignores SIGPIPE, by which Go ends it at such a write (package
// os/signal).
type Writer struct {
	to        io.Writer
	onDropped func(lines uint64) // may be nil

	mu       sync.Mutex
	wake     *sync.Cond // lines came, the writer goroutine is idle, or closed
	waiting  [][]byte
	bytes    int
	writing  bool
	closed   bool
	dropped  uint64
	reported uint64
}

// NewWriter makes a writer to a stream and starts its goroutine, which ends
// by [Writer.Close]. onDropped, if not nil, is called after lines have been
// dropped, when the stream takes lines again; it may log.
func NewWriter(to io.Writer, onDropped func(lines uint64)) *Writer {
	w := &Writer{to: to, onDropped: onDropped}
	w.wake = sync.NewCond(&w.mu)
	go w.run()
	return w
}

// Write implements io.Writer: one line, or several whole ones. It never blocks
// and never fails.
func (w *Writer) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		w.dropped++
		return len(line), nil
	}
	w.waiting = append(w.waiting, bytes.Clone(line))
	w.bytes += len(line)
	for len(w.waiting) > 1 && (len(w.waiting) > mostLines || w.bytes > mostBytes) {
		w.bytes -= len(w.waiting[0])
		w.waiting[0] = nil
		w.waiting = w.waiting[1:]
		w.dropped++
	}
	w.wake.Broadcast()
	return len(line), nil
}

func (w *Writer) run() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for len(w.waiting) == 0 {
			if w.closed {
				return
			}
			w.wake.Wait()
		}
		line := w.waiting[0]
		w.waiting = w.waiting[1:]
		w.bytes -= len(line)
		w.writing = true
		w.mu.Unlock()
		_, err := w.to.Write(line)
		w.mu.Lock()
		w.writing = false
		if err != nil {
			w.dropped++
		} else if lost := w.dropped - w.reported; lost > 0 && w.onDropped != nil && !w.closed {
			w.reported = w.dropped
			w.mu.Unlock()
			w.onDropped(lost)
			w.mu.Lock()
		}
		w.wake.Broadcast()
	}
}

// Dropped counts the lines that were not written.
func (w *Writer) Dropped() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dropped
}

// Close writes what waits, for as long as patience allows, and takes nothing
// more. A write that hangs keeps its goroutine.
func (w *Writer) Close(patience time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.wake.Broadcast()
	over := false
	timer := time.AfterFunc(patience, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		over = true
		w.wake.Broadcast()
	})
	defer timer.Stop()
	for !over && (w.writing || len(w.waiting) > 0) {
		w.wake.Wait()
	}
}

// Collector counts the dropped lines at each scrape.
func (w *Writer) Collector() prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "kitestring_log_lines_dropped_total", Help: "Log lines that were not written, because the reader of the log was too slow or gone.",
	}, func() float64 { return float64(w.Dropped()) })
}
