package token

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lock takes the writers' lock of a file: flock on a file beside it, never on
// the file itself, because a rename gives that another inode. Only where the
// file is a mount of its own in a directory that cannot be written to does the
// file itself serve: nobody can rename it there.
//
// It tries until ctx ends, at least once. Processes that die lose the lock.
func lock(ctx context.Context, target string) (unlock func(), err error) {
	f, err := openLock(target)
	if err != nil {
		return nil, err
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 16*time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return func() { _ = f.Close() }, nil // closing gives the lock back
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: another writer holds it: %w", f.Name(), ctx.Err())
		case <-time.After(wait/2 + rand.N(wait)):
		}
	}
}

func openLock(target string) (*os.File, error) {
	name := target + ".lock"
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		if (errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission)) && isMountPoint(target) {
			return os.OpenFile(target, os.O_RDWR, 0)
		}
		return nil, err
	}
	if info, err := os.Stat(target); err == nil && os.Geteuid() == 0 {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 {
			_ = f.Chown(int(st.Uid), int(st.Gid)) // root must not lock the file's owner out
		}
	}
	return f, nil
}

// errPublished refuses to write into a Kubernetes volume.
var errPublished = errors.New("the file is published by Kubernetes (..data), which replaces it from its source: change the Secret instead")

// resolve follows symbolic links to the file that they name, which need not
// exist.
func resolve(path string) (string, error) {
	const hops = 40
	for range hops {
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			return "", err
		}
		path = filepath.Join(dir, filepath.Base(path))
		next, err := os.Readlink(path)
		if err != nil { // not a link, or nothing there
			return path, nil
		}
		if strings.HasPrefix(next, "..data/") {
			return "", errPublished
		}
		if !filepath.IsAbs(next) {
			next = filepath.Join(dir, next)
		}
		path = next
	}
	return "", fmt.Errorf("%s: %w", path, syscall.ELOOP)
}
