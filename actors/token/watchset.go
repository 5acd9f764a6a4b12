package token

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"

	"github.com/fsnotify/fsnotify"
)

// notifier is what is used of fsnotify.
type notifier interface {
	Add(path string) error
	Remove(path string) error
	Close() error
	Events() <-chan fsnotify.Event
	Errors() <-chan error
}

type inotifier struct{ *fsnotify.Watcher }

func (n inotifier) Events() <-chan fsnotify.Event { return n.Watcher.Events }
func (n inotifier) Errors() <-chan error          { return n.Watcher.Errors }

func newNotifier() (notifier, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	return inotifier{w}, nil
}

// watchSet keeps the kernel's watches on the way to the file.
//
// The events only wake; what they say is never trusted. Two goroutines use it,
// because fsnotify (1.10.1) sends errors while it holds the lock that Add and
// Remove take: drain does nothing but drain, sync calls the rest.
type watchSet struct {
	n       notifier
	watched map[string]identity // path -> what stood there when it was added
	names   atomic.Pointer[map[string]struct{}]
	wake    chan struct{} // one slot
	dead    chan struct{} // closed when events have ended
}

func newWatchSet(n notifier, wake chan struct{}) *watchSet {
	return &watchSet{n: n, watched: make(map[string]identity), wake: wake, dead: make(chan struct{})}
}

// drain empties the notifier's channels until it is closed; dead tells its
// end. An overflow means that events were lost, so it wakes like any event.
func (s *watchSet) drain() {
	defer close(s.dead)
	events, errs := s.n.Events(), s.n.Errors()
	for {
		select {
		case ev, ok := <-events:
			if !ok {
				return
			}
			if !s.matters(ev.Name) {
				continue
			}
		case _, ok := <-errs:
			if !ok {
				return
			}
		}
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// matters reports whether an event can concern the file. Only other names in a
// watched directory cannot: they save work (a log file beside the .env), the
// poll stays as the net.
func (s *watchSet) matters(name string) bool {
	names := s.names.Load()
	if names == nil {
		return true
	}
	if _, ours := (*names)[name]; ours {
		return true
	}
	_, beside := (*names)[filepath.Dir(name)]
	return !beside
}

// sync brings the watches in line with the way to the file. Every path is
// added anew each time: adding is idempotent, and whether an old watch is
// still alive cannot be asked. The error says that changes may go unseen.
func (s *watchSet) sync(t trace) error {
	wanted := t.watched()
	names := make(map[string]struct{}, len(t)+len(wanted))
	ids := make(map[string]identity, len(t))
	for _, p := range t {
		names[p.path()] = struct{}{}
		ids[p.path()] = p.id
	}
	for _, path := range wanted {
		names[path] = struct{}{}
	}
	s.names.Store(&names)
	for path, id := range s.watched {
		if !slices.Contains(wanted, path) || ids[path] != id {
			_ = s.n.Remove(path) // gone already is as good
			delete(s.watched, path)
		}
	}
	var failed error
	for i, path := range wanted {
		if slices.Contains(wanted[:i], path) {
			continue
		}
		switch err := s.n.Add(path); {
		case err == nil:
			s.watched[path] = ids[path]
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			// It went away this moment: its directory's watch wakes us again.
		case i == 0 && errors.Is(err, fs.ErrPermission):
			// The parent may be closed to us (a private state directory): that
			// the whole directory is replaced is then left to the poll.
		case failed == nil:
			failed = fmt.Errorf("watch %s: %w", path, err)
		}
	}
	return failed
}
