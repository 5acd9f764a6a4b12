package token

import (
	"context"
	"crypto/sha256"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// How long a text must stay the same before it is taken for whole.
const (
	settleUnleased = 25 * time.Millisecond  // where a lease is not to be had
	settleHeld     = 250 * time.Millisecond // while a writer keeps the file open
	settleLast     = 2 * time.Second        // then it is given up until the next look
)

// How often the lease is tried again while a writer has the file open: its
// close usually comes at once, and is not reported.
const (
	retryFirst = 100 * time.Microsecond
	retryLast  = time.Millisecond
)

// leaser takes a read lease.
type leaser func(f *os.File) (outcome leased, release func())

// opener opens the file without blocking on a pipe; closing closes it.
type opener func(path string) (f *os.File, closing func(), err error)

func openFile(path string) (f *os.File, closing func(), err error) {
	if f, err = os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0); err != nil {
		return nil, nil, err
	}
	return f, func() { _ = f.Close() }, nil
}

// open is an opener that uses a spare descriptor when there is no other.
func (s *Store) open(path string) (f *os.File, closing func(), err error) {
	err = s.spare.Do(func() (err error) {
		f, closing, err = openFile(path)
		return err
	})
	return f, closing, err
}

// reading is one look at the file.
type reading struct {
	err     error // the file could not be read; the rest is zero then
	text    []byte
	hash    [sha256.Size]byte
	id      identity
	mode    fs.FileMode
	changed int64 // ctime
	links   uint64
	held    bool // somebody has it open for writing
}

// same reports whether nothing about the file has changed.
func (r *reading) same(o *reading) bool {
	if r.err != nil || o.err != nil {
		return r.err != nil && o.err != nil && r.err.Error() == o.err.Error()
	}
	return r.hash == o.hash && r.id == o.id && r.mode == o.mode && r.changed == o.changed && r.links == o.links
}

// readStable reads a text that a writer has completed, as far as that can be
// known (see the package comment). known is the hash of the text that was
// judged last: if it still stands there, there is nothing to wait for.
func readStable(ctx context.Context, path string, known [sha256.Size]byte, open opener, lease leaser) reading {
	var last reading
	var since time.Time // when the text became what it is
	retry := retryFirst
	begun := time.Now()
	for first := true; ; first = false {
		r, outcome := readOnce(path, open, lease)
		if r.err != nil || outcome == leaseGranted || r.hash == known {
			return r
		}
		now := time.Now()
		if first || r.hash != last.hash || r.id != last.id {
			last, since = r, now
		}
		settle, pause := settleUnleased, settleUnleased
		if outcome == leaseBusy {
			settle, pause = settleHeld, retry
			retry = min(2*retry, retryLast)
		}
		switch {
		case now.Sub(since) >= settle:
			return r
		case now.Sub(begun) >= settleLast:
			return reading{err: errRestless}
		}
		select {
		case <-ctx.Done():
			return reading{err: ctx.Err()}
		case <-time.After(pause):
		}
	}
}

// readOnce reads the file under a lease, or without one when there is none.
func readOnce(path string, open opener, lease leaser) (reading, leased) {
	f, closing, err := open(path)
	if err != nil {
		return reading{err: err}, leaseNone
	}
	defer closing()
	outcome, release := lease(f)
	text, info, err := readOpen(f)
	release()
	if err != nil {
		return reading{err: err}, outcome
	}
	r := reading{
		text: append([]byte{}, text...), hash: sha256.Sum256(text), mode: info.Mode(), held: outcome == leaseBusy,
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		r.id, r.changed, r.links = identity{uint64(st.Dev), st.Ino}, changeTime(st), uint64(st.Nlink)
	}
	return r, outcome
}
