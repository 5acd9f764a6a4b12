package token

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// watchSet keeps the kernel's watches on the path to the file.
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

// drain empties the notifier's channels until it is closed; then it closes
// dead. An overflow means that events were lost, so it wakes like any event.
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
// watched directory cannot: they save work (a log file next to the .env), the
// poll stays as the net.
func (s *watchSet) matters(name string) bool {
	names := s.names.Load()
	if names == nil {
		return true
	}
	if _, known := (*names)[name]; known {
		return true
	}
	_, sibling := (*names)[filepath.Dir(name)]
	return !sibling
}

// sync brings the watches in line with the path to the file. Every path is
// added again each time: adding is idempotent, and whether an old watch is
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

// identity distinguishes two files whatever their names. Numbers are used again
// after a deletion, so equality alone does not prove a watch to be alive.
type identity struct{ dev, ino uint64 }

// place is a name in a real directory on the path to the file.
type place struct {
	dir, name string
	id        identity // of what stands there
	link      bool
	changed   int64 // its ctime, in nanoseconds since 1970
}

func (p place) path() string { return filepath.Join(p.dir, p.name) }

// trace is the path to the file, symbolic links resolved one by one. The last
// place is the file itself, or the first that could not be entered.
type trace []place

// follow walks from the root to the file.
func follow(path string) trace {
	const hops = 40
	var t trace
	rest := strings.Split(strings.Trim(path, "/"), "/")
	dir := "/"
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			dir = filepath.Dir(dir)
			continue
		}
		p := place{dir: dir, name: name}
		info, err := os.Lstat(p.path())
		if err != nil {
			return append(t, p)
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			p.id, p.changed = identity{uint64(st.Dev), st.Ino}, changeTime(st)
		}
		p.link = info.Mode()&fs.ModeSymlink != 0
		t = append(t, p)
		if !p.link {
			dir = p.path()
			continue
		}
		to, err := os.Readlink(p.path())
		if links++; err != nil || links > hops {
			return t
		}
		if filepath.IsAbs(to) {
			dir = "/"
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	return t
}

// watched lists what to watch, directories first: the parent of the file's
// directory (where the directory itself may be replaced), the file's directory,
// the directory of each symbolic link, and the file itself. Where the path
// breaks off, the first two are of the place where the next name will appear.
func (t trace) watched() []string {
	if len(t) == 0 {
		return nil
	}
	last := t[len(t)-1]
	paths := []string{filepath.Dir(last.dir), last.dir}
	for _, p := range t {
		if p.link {
			paths = append(paths, p.dir)
		}
	}
	if last.id != (identity{}) && !last.link {
		paths = append(paths, last.path())
	}
	return paths
}

// changedAt is the newest ctime on the path that can have changed what the path
// shows: of the file, of each link, and of each directory that was not there
// before (or of all, when the file could not be read before).
func (t trace) changedAt(before trace, all bool) int64 {
	known := make(map[string]identity, len(before))
	for _, p := range before {
		known[p.path()] = p.id
	}
	var newest int64
	for i, p := range t {
		if p.link || i == len(t)-1 || all || known[p.path()] != p.id {
			newest = max(newest, p.changed)
		}
	}
	return newest
}
