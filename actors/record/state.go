package record

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"kitestring/actors/tape"
)

// State is what the recorder does.
type State uint8

// The states of the recorder. The zero value is initial.
const (
	Starting   State = iota
	Recording        // what comes is on the tape within 100 ms
	PausedDisk       // the disk takes nothing; it is tried again each 5 s
	Elsewhere        // another server records in this directory, so this one does not
	Off              // the configuration says so
	Stopped
)

var states = [...]string{"starting", "recording", "paused_disk", "elsewhere", "off", "stopped"}

// String is the state in lower_snake_case.
func (s State) String() string { return states[s] }

// retryAfter is how long a disk that takes nothing, or a directory that another
// server has, is left alone.
const retryAfter = 5 * time.Second

// state is what the writer decides by.
type state struct {
	State
	reason  string // what happened and what to do; "": nothing
	since   time.Time
	retryAt time.Time // of PausedDisk and Elsewhere
}

// The facts that the writer decides about.
type (
	fact interface{ fact() }
	// owned: the directory was asked for. err nil: it is ours.
	owned struct{ err error }
	// looked: the free space of the disk was read.
	looked struct{ free, size int64 }
	// wrote: a block was written, or a segment opened or synced.
	wrote struct{ err error }
	// ended: the server stops.
	ended struct{}
)

func (owned) fact()  {}
func (looked) fact() {}
func (wrote) fact()  {}
func (ended) fact()  {}

// next is the state after an event. changed: a person should know.
func next(s state, e fact, now time.Time) (_ state, changed bool) {
	was := s
	switch e := e.(type) {
	case owned:
		switch {
		case e.err == nil:
			s.State, s.reason = Recording, ""
		case errors.As(e.err, new(*tape.InUseError)):
			s.State, s.reason = Elsewhere, e.err.Error()
		default:
			s.State, s.reason = PausedDisk, diskReason(e.err)
		}
	case looked:
		if need := tape.LeastFree(e.size); e.free < need && s.State == Recording {
			s.State = PausedDisk
			s.reason = fmt.Sprintf("the disk has %s free, and the recorder leaves %s to other programs: free space, or run \"kitestring record prune\"", inUnits(e.free), inUnits(need))
		}
	case wrote:
		switch {
		case e.err != nil:
			s.State, s.reason = PausedDisk, diskReason(e.err)
		case s.State == PausedDisk:
			s.State, s.reason = Recording, ""
		}
	case ended:
		s.State, s.reason = Stopped, ""
	}
	if _, only := e.(looked); (!only || s.State != was.State) && (s.State == PausedDisk || s.State == Elsewhere) {
		s.retryAt = now.Add(retryAfter)
	}
	changed = s.State != was.State || s.reason != was.reason
	if s.State != was.State {
		s.since = now
	}
	return s, changed
}

// due reports whether the writer may try to write.
func (s state) due(now time.Time) bool {
	return s.State == Recording || s.State == PausedDisk && !now.Before(s.retryAt)
}

// diskReason is an error of the disk for a person.
func diskReason(err error) string {
	var errno unix.Errno
	what := err.Error()
	var path *fs.PathError
	if errors.As(err, &path) {
		what = path.Err.Error()
	}
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		what = "the disk is full: free space, or run \"kitestring record prune\""
	case errors.Is(err, unix.EROFS):
		what = "the disk is read-only: mount it for writing"
	case errors.Is(err, unix.EIO):
		what = "the disk reports an error: look at the system's log"
	case errors.Is(err, fs.ErrPermission):
		what = "the directory may not be written to: give it to the user that the server runs as"
	case errors.As(err, &errno):
		what = errno.Error()
	}
	return what + ". Everything else goes on; the recorder tries again each 5 s"
}

// inUnits is a number of bytes for a person.
func inUnits(bytes int64) string {
	switch {
	case bytes >= 1<<30:
		return fmt.Sprintf("%.1f GB", float64(bytes)/(1<<30))
	case bytes >= 1<<20:
		return fmt.Sprintf("%.0f MB", float64(bytes)/(1<<20))
	}
	return fmt.Sprintf("%d bytes", bytes)
}
