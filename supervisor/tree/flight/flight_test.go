package flight

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kitestring/actors/actorstest"
)

func traces(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func openTestFlight(t *testing.T, dir string) *Recorder {
	t.Helper()
	f, err := Open(dir, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// TestFlightKeepsTheLastSeconds: a failure and a person within a minute give
// one file.
func TestFlightKeepsTheLastSeconds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "traces")
	f := openTestFlight(t, dir)
	f.Failed("feed-failed")
	actorstest.Until(t, "a trace", func() bool {
		names := traces(t, dir)
		return len(names) == 1 && strings.HasSuffix(names[0], "-feed-failed.trace")
	})
	path := filepath.Join(dir, traces(t, dir)[0])
	head := make([]byte, 16)
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Read(head); err != nil || !strings.HasPrefix(string(head), "go 1.") {
		t.Errorf("the file begins with %q, %v: not an execution trace", head, err)
	}
	if info, err := file.Stat(); err != nil || info.Mode().Perm() != 0o600 || info.Size() > mostEach {
		t.Errorf("%v, %v", info, err)
	}
	var soon *tooSoonError
	if _, err := f.Write("request"); !errors.As(err, &soon) || soon.wait <= 0 || soon.wait > pause {
		t.Errorf("a second trace at once: %v", err)
	}
	f.Failed("feed-failed")
	f.Failed("feed-failed") // it does not wait
	if n := len(traces(t, dir)); n != 1 {
		t.Errorf("%d files, want 1", n)
	}
}

// TestFlightIsBounded keeps the newest, by number and by size.
func TestFlightIsBounded(t *testing.T) {
	dir := t.TempDir()
	f := &Recorder{dir: dir}
	put := func(name string, size int64) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, size)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 15 {
		put(fmt.Sprintf("20261123T0900%02dZ-feed-failed.trace", i), 1<<20)
	}
	put("20261123T085900Z-feed-failed.trace.tmp", 5)
	put("notes.txt", 5)
	if err := f.prune(); err != nil {
		t.Fatal(err)
	}
	if names := traces(t, dir); len(names) != mostFiles+1 || names[0] != "20261123T090005Z-feed-failed.trace" || names[mostFiles] != "notes.txt" {
		t.Errorf("kept %v", names)
	}
	put("20261123T100000Z-request.trace", mostTotal-3<<20)
	if err := f.prune(); err != nil {
		t.Fatal(err)
	}
	if names := traces(t, dir); len(names) != 5 {
		t.Errorf("kept %v, want the newest of 61 MB, three of 1 MB, and the notes", names)
	}
	put("20261123T110000Z-request.trace", mostTotal+1) // the newest stays, whatever its size
	if err := f.prune(); err != nil {
		t.Fatal(err)
	}
	if names := traces(t, dir); len(names) != 2 {
		t.Errorf("kept %v, want the newest, and the notes", names)
	}
}

// TestFlightPausesByTheClock: one a minute, also when writing fails.
func TestFlightPausesByTheClock(t *testing.T) {
	dir := t.TempDir()
	real := openTestFlight(t, filepath.Join(dir, "own"))
	synctest.Test(t, func(t *testing.T) {
		f := &Recorder{dir: filepath.Join(dir, "missing"), recorder: real.recorder}
		if _, err := f.Write("a"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("into a folder that is not there: %v", err)
		}
		var soon *tooSoonError
		if _, err := f.Write("b"); !errors.As(err, &soon) || !strings.Contains(soon.Error(), "wait 1m0s") {
			t.Errorf("at once: %v", err)
		}
		time.Sleep(pause) // of the bubble
		if _, err := f.Write("c"); errors.As(err, &soon) {
			t.Errorf("a minute later: %v", err)
		}
	})
}

func TestOneFlightAProcess(t *testing.T) {
	openTestFlight(t, t.TempDir())
	if f, err := Open(t.TempDir(), slog.New(slog.DiscardHandler), nil); err == nil {
		f.Close()
		t.Error("two recorders run")
	}
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(blocked, "traces"), slog.New(slog.DiscardHandler), nil); err == nil {
		t.Error("a folder within a file")
	}
}

func TestATraceThatGrowsTooLongIsGivenUp(t *testing.T) {
	b := bounded{to: &strings.Builder{}, left: 10}
	for i, want := range []error{nil, nil, errTooLong} {
		if _, err := b.Write([]byte("12345")); !errors.Is(err, want) {
			t.Errorf("write %d: %v, want %v", i+1, err, want)
		}
	}
}

func TestFileWord(t *testing.T) {
	for s, want := range map[string]string{"feed-failed": "feed-failed", "volume_pulse": "volume_pulse", "../a b/ü": "---a-b--", strings.Repeat("x", 99): strings.Repeat("x", 60)} {
		if got := fileWord(s); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}
