package token

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"kitestring/messages"
)

// ErrContended says that another program undid our change again and again.
var ErrContended = errors.New("another program keeps rewriting the file")

// SetToken writes the access token of a login into the file. The watcher sees
// the change like any other and announces it with the source "login".
//
// The errors are plain enough for a page; whatever goes wrong, the file and
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
// does not exist is made with mode 0600. It waits for other writers of ours
// until ctx ends.
func (s *Store) Set(ctx context.Context, key, value string) error {
	written, inPlace, err := setKey(ctx, s.path, key, value)
	if err != nil {
		return fmt.Errorf("write %s: %w", key, explain(s.path, err))
	}
	if inPlace {
		s.log.Warn("env file is a single-file mount: written in place instead of replaced; mount its directory instead", "path", s.path)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.env = written
	s.inPlace = s.inPlace || inPlace
	return nil
}

// WrittenInPlace tells that a write could not replace the file, because it is
// a mount of its own, and had to overwrite it.
func (s *Store) WrittenInPlace() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inPlace
}

// explain puts the usual failures into words; errors.Is still sees the cause.
func explain(path string, err error) error {
	dir := filepath.Dir(path)
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("the disk of %s is full, the old file is untouched: make room and try again: %w", dir, err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%s is read-only, the old file is untouched: mount it writable: %w", dir, err)
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
// after us has undone our key, and it is set again.
func setKey(ctx context.Context, path, key, value string) (written *Env, inPlace bool, err error) {
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
		before := Parse(old)
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
		now, _, err := readWhole(target)
		if err != nil {
			continue // somebody is replacing it right now
		}
		after := Parse(now)
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
