package token

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kitestring/actors/spare"
	"kitestring/actors/token/dotenv"
	"kitestring/messages"
)

// ErrContended says that another program undid our change again and again.
var ErrContended = errors.New("another program keeps rewriting the file")

// SetToken writes the access token of a login into the file. The watcher sees
// the change like any other and announces it with the source "login".
//
// The errors are fit for a page; whatever goes wrong, the file and
// the token in it stay as they were.
func (s *Store) SetToken(ctx context.Context, t messages.AccessToken) error {
	if why := badShape(t.Reveal()); t.IsZero() || why != "" {
		return fmt.Errorf("write access token: it %s", cmp.Or(why, "is empty"))
	}
	hash := tokenHash(t)
	s.expectLogin(hash)
	if err := s.Set(ctx, KeyAccessToken, t.Reveal()); err != nil {
		s.expectLogin([sha256.Size]byte{})
		return err
	}
	// The same value as before is no change, but a login is proof against an
	// older refusal.
	s.mu.Lock()
	newest, same := s.newest, t.Equal(s.token)
	s.mu.Unlock()
	if same && s.Reopen(newest) {
		s.expectLogin(hash)
	}
	return nil
}

// expectLogin notes which value the watcher is about to see as a login's; one
// that it knows already will not be news.
func (s *Store) expectLogin(hash [sha256.Size]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if hash != tokenHash(s.token) {
		s.login = hash
	}
}

// Set writes one key into the file and keeps everything else in it as it was:
// comments, order, quoting, line ends, mode, owner, attributes. A file that
// does not exist is made with mode 0600. It waits for other writers that take the lock
// until ctx ends.
func (s *Store) Set(ctx context.Context, key, value string) error {
	type result struct {
		env     *dotenv.File
		inPlace bool
	}
	written := make(chan result, 1)
	err := answering(ctx, func() error {
		var r result
		err := s.spare.Do(func() (err error) {
			r.env, r.inPlace, err = setKey(ctx, s.path, key, value, func() {})
			return err
		})
		written <- r
		return err
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", key, explain(s.path, err))
	}
	r := <-written
	if r.inPlace {
		s.log.Warn("env file is a single-file mount: written in place instead of replaced; mount its directory instead", "path", s.path)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.env = r.env
	return nil
}

// explain puts the usual failures into words; errors.Is still sees the cause.
func explain(path string, err error) error {
	dir := filepath.Dir(path)
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("the disk of %s is full, the old file is untouched: make room and try again: %w", dir, err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%s is read-only, the old file is untouched: mount it writable: %w", dir, err)
	case spare.NoneLeft(err):
		return fmt.Errorf("the old file is untouched, and nothing is wrong with it: this process, or the machine, has as many files and connections open as it may: see who holds connections and raise the limit (LimitNOFILE in the unit, ulimit -n): %w", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("no permission to write in %s, the old file is untouched: give the directory to this user: %w", dir, err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the directory %s does not exist: create it: %w", dir, err)
	}
	return err
}

// setKey is a read-modify-replace under our lock. Foreign writers do not take
// the lock, so the content is compared once more just before the rename, and
// read again after it: a writer that had read before us and replaced the file
// after us has undone our key, and it is set again. replaced is called between the
// two.
func setKey(ctx context.Context, path, key, value string, replaced func()) (written *dotenv.File, inPlace bool, err error) {
	const attempts = 4
	target, err := resolve(path)
	if err != nil {
		return nil, false, err
	}
	unlock, err := lock(ctx, target)
	if err != nil {
		return nil, false, err
	}
	defer unlock()
	for range attempts {
		old, info, err := readWhole(target)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, inPlace, err
		}
		before := dotenv.Parse(old)
		if written, err = before.With(key, value); err != nil {
			return nil, inPlace, err
		}
		text := written.Bytes()
		if info != nil && bytes.Equal(text, old) {
			return written, inPlace, nil
		}
		inPlace, err = replace(target, old, text, info)
		if errors.Is(err, errOvertaken) {
			continue
		} else if err != nil {
			return nil, inPlace, err
		}
		replaced()
		now, _, err := readWhole(target)
		if err != nil {
			continue // somebody is replacing it right now
		}
		after := dotenv.Parse(now)
		got, held := after.Lookup(key)
		was, wasHeld := before.Lookup(key)
		if got != value && held == wasHeld && got == was {
			continue // undone; a third value would be somebody's newer will
		}
		return after, inPlace, nil
	}
	return nil, inPlace, ErrContended
}

// errOvertaken says that the file changed between reading and replacing it.
var errOvertaken = errors.New("the file was changed meanwhile")

// replace puts text in the place of old, atomically where the file system can.
// info is of the old file; nil: there was none.
func replace(target string, old, text []byte, info fs.FileInfo) (inPlace bool, err error) {
	tmp, err := writeTemp(target, text, info)
	if err != nil {
		if info != nil && (errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission)) && isMountPoint(target) {
			return true, overwrite(target, text)
		}
		return false, err
	}
	defer os.Remove(tmp) // gone already after a rename
	now, _, err := readWhole(target)
	if err != nil && !(info == nil && errors.Is(err, fs.ErrNotExist)) || info == nil && err == nil || !bytes.Equal(now, old) {
		return false, errOvertaken
	}
	switch err := os.Rename(tmp, target); {
	case errors.Is(err, syscall.EBUSY):
		return true, overwrite(target, text)
	case err != nil:
		return false, err
	}
	return false, syncDir(filepath.Dir(target))
}

// maxFileSize is far beyond any .env file; what is larger is something else.
const maxFileSize = 1 << 20

// writeTemp writes text into a new file next to target, with the mode, owner
// and attributes of the old one, and brings it to the disk.
func writeTemp(target string, text []byte, info fs.FileInfo) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(target), fmt.Sprintf("%s%d-*", tempPrefix(target), os.Getpid())) // O_EXCL, 0600
	if err != nil {
		return "", err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(text); err != nil {
		return "", err
	}
	if info != nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
			if err := f.Chown(int(st.Uid), int(st.Gid)); err != nil {
				return "", err
			}
		}
		if err := f.Chmod(info.Mode().Perm()); err != nil {
			return "", err
		}
		copyAttributes(target, f)
	}
	return f.Name(), f.Sync()
}

// overwrite changes the file where it stands: one write of the whole, then cut
// to length; never truncated first, so that a reader finds the old or the new
// text. The room is claimed before, so that a full disk cannot leave half.
func overwrite(target string, text []byte) (err error) {
	f, err := os.OpenFile(target, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := claim(f, int64(len(text))); err != nil {
		return err
	}
	if _, err := f.WriteAt(text, 0); err != nil {
		return err
	}
	if err := f.Truncate(int64(len(text))); err != nil {
		return err
	}
	return f.Sync()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // some file systems have no such thing
		return err
	}
	return nil
}

// readWhole reads a regular file.
func readWhole(path string) ([]byte, fs.FileInfo, error) {
	f, closing, err := openFile(path)
	if err != nil {
		return nil, nil, err
	}
	defer closing()
	return readOpen(f)
}

func readOpen(f *os.File) ([]byte, fs.FileInfo, error) {
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, nil, err
	case info.IsDir():
		return nil, nil, errIsDir
	case !info.Mode().IsRegular():
		return nil, nil, errNotRegular
	case info.Size() > maxFileSize:
		return nil, nil, errTooLarge
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if len(text) > maxFileSize {
		return nil, nil, errTooLarge
	}
	return text, info, err
}

// What cannot be an env file.
var (
	errRestless   = errors.New("another program rewrites it all the time: let that program end, or write to another file")
	errIsDir      = errors.New("it is a directory (docker makes one when the mounted file does not exist): remove it and create the file")
	errNotRegular = errors.New("it is not a regular file")
	errTooLarge   = fmt.Errorf("it is larger than %d bytes", maxFileSize)
)

// tempPrefix is what the names of our temporary files begin with, in full.
func tempPrefix(target string) string { return filepath.Base(target) + ".tmp-" }

// sweepStale removes temporary files of writers that died. Under the lock no
// such writer is alive, so every one of them is stale; if somebody holds
// the lock, the next start sweeps.
func sweepStale(path string) {
	target, err := resolve(path)
	if err != nil {
		return
	}
	entries, _ := os.ReadDir(filepath.Dir(target))
	stale := slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
		return !strings.HasPrefix(e.Name(), tempPrefix(target)) || !e.Type().IsRegular()
	})
	if len(stale) == 0 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // one try
	unlock, err := lock(ctx, target)
	if err != nil {
		return
	}
	defer unlock()
	for _, e := range stale {
		_ = os.Remove(filepath.Join(filepath.Dir(target), e.Name()))
	}
}

// lock takes the writers' lock of a file: flock on a file next to it, never on
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
