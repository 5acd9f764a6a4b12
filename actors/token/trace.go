package token

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// identity tells two files apart whatever their names. Numbers are used again
// after a deletion, so equality alone does not prove a watch to be alive.
type identity struct{ dev, ino uint64 }

// place is a name in a real directory on the way to the file.
type place struct {
	dir, name string
	id        identity // of what stands there
	link      bool
	changed   int64 // its ctime, in nanoseconds since 1970
}

func (p place) path() string { return filepath.Join(p.dir, p.name) }

// trace is the way to the file, symbolic links resolved one by one. The last
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
// the directory of each symbolic link, and the file itself. Where the way
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

// changedAt is the newest ctime on the way that can have changed what the path
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
