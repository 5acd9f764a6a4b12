package token

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxFileSize is far beyond any .env file; what is larger is something else.
const maxFileSize = 1 << 20

// writeTemp writes text into a new file beside target, with the mode, owner
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

// readWhole reads a regular file. Opening does not block on a pipe.
func readWhole(path string) ([]byte, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
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
	errIsDir      = errors.New("it is a directory (docker makes one when the mounted file does not exist): remove it and create the file")
	errNotRegular = errors.New("it is not a regular file")
	errTooLarge   = fmt.Errorf("it is larger than %d bytes", maxFileSize)
)

// tempPrefix is what the names of our temporary files begin with, in full.
func tempPrefix(target string) string { return filepath.Base(target) + ".tmp-" }

// sweepStale removes temporary files of writers that died. Under the lock no
// writer of ours is alive, so every one of them is stale; if somebody holds
// the lock, the next start sweeps.
func sweepStale(path string) {
	target, err := resolve(path)
	if err != nil {
		return
	}
	dir, prefix := filepath.Dir(target), tempPrefix(target)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	var stale []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) && e.Type().IsRegular() {
			stale = append(stale, filepath.Join(dir, e.Name()))
		}
	}
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
	for _, name := range stale {
		_ = os.Remove(name)
	}
}
