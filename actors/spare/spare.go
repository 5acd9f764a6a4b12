// Package spare holds file descriptors back for what must work when connections
// have taken all others: reading and writing the .env file, and the connection to
// Kite.
//
// Limit: what is freed for one use can be taken by another part of the process
// before that use gets it. The listeners leave a reserve of their own, so that
// this is the second net.
package spare

import (
	"errors"
	"os"
	"sync"
	"syscall"
)

// Files are descriptors held back. The zero value holds none; safe for concurrent
// use.
type Files struct {
	N int // how many one use needs at a time

	mu   sync.Mutex
	held []*os.File
}

// Do runs what opens files or sockets. When the process has no descriptor left, it
// runs it again with those that were held back. It must be safe to run again after
// such an error.
func (f *Files) Do(run func() error) error {
	err := run()
	if NoneLeft(err) && f.free() {
		err = run()
	}
	f.fill()
	return err
}

// free closes what is held; false: there was nothing.
func (f *Files) free() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	freed := len(f.held) > 0
	for _, file := range f.held {
		_ = file.Close()
	}
	f.held = nil
	return freed
}

// fill takes back as many as there are to be had; the rest comes with the next use.
func (f *Files) fill() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.held) < f.N {
		file, err := os.Open(os.DevNull)
		if err != nil {
			return
		}
		f.held = append(f.held, file)
	}
}

// NoneLeft reports whether the process, or the machine, has as many files and
// connections open as it may.
func NoneLeft(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
