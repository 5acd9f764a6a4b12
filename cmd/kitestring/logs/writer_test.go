package logs

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"kitestring/actors/actorstest"
)

// stream is a log's reader that can stall or be gone.
type stream struct {
	mu   sync.Mutex // held: it stalls
	fail bool
	text bytes.Buffer
}

func (s *stream) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail {
		return 0, errors.New("gone")
	}
	return s.text.Write(line)
}

func (s *stream) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// A reader that stalls blocks no logger; when it goes on it gets the newest
// lines in order and a word about the others.
func TestAStalledLogBlocksNoLogger(t *testing.T) {
	reader := &stream{}
	var log *slog.Logger
	w := NewWriter(reader, func(lines uint64) { log.Warn("lines dropped", "lines", lines) })
	log = slog.New(slog.NewTextHandler(w, nil))
	defer w.Close(time.Minute)

	reader.mu.Lock()
	const all = 3 * mostLines
	for i := range all {
		log.Info("line", "n", i)
	}
	dropped := w.Dropped()
	reader.mu.Unlock()
	if want := uint64(all - mostLines); dropped < want-1 || dropped > want {
		t.Errorf("%d lines dropped, want %d", dropped, want)
	}
	actorstest.Until(t, "the last line is written", func() bool { return strings.Contains(reader.String(), fmt.Sprintf("n=%d\n", all-1)) })
	actorstest.Until(t, "the dropped lines are reported", func() bool {
		return strings.Contains(reader.String(), fmt.Sprintf("lines dropped\" lines=%d\n", dropped))
	})
	last := -1
	for _, line := range strings.Split(reader.String(), "\n") {
		var n int
		if _, after, ok := strings.Cut(line, " n="); ok {
			if fmt.Sscan(after, &n); n <= last {
				t.Fatalf("line %d after %d", n, last)
			}
			last = n
		}
	}
}

func TestALogThatFailsIsTriedAgain(t *testing.T) {
	reader := &stream{fail: true}
	w := NewWriter(reader, nil)
	fmt.Fprintln(w, "lost")
	actorstest.Until(t, "the loss is counted", func() bool { return w.Dropped() == 1 })
	reader.mu.Lock()
	reader.fail = false
	reader.mu.Unlock()
	fmt.Fprintln(w, "written")
	w.Close(time.Minute)
	if got := reader.String(); got != "written\n" {
		t.Errorf("the reader got %q", got)
	}
	fmt.Fprintln(w, "after the end")
	if w.Dropped() != 2 {
		t.Errorf("%d dropped", w.Dropped())
	}
}

// A pipe that is full: the real thing, and a process that must end all the same.
func TestCloseDoesNotWaitForAFullPipe(t *testing.T) {
	reading, writing, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w := NewWriter(writing, nil)
	for range 200 { // a pipe holds 64 KB
		fmt.Fprintln(w, strings.Repeat("x", 1000))
	}
	began := time.Now()
	w.Close(50 * time.Millisecond)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("closing took %v", took)
	}
	_ = reading.Close()
	_ = writing.Close()
}
