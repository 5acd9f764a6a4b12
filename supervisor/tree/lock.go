package tree

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// lockEnv makes this the one server on a .env file of this machine. Two would
// write each other's redirect URL and share Kite's sockets without a word. The
// file beside it holds who runs; it stays when the server ends, and the lock
// does not. Where such a file cannot be made, as in a folder that cannot be
// written, there is no lock.
func lockEnv(envFile, addr string) (release func(), err error) {
	release = func() {}
	f, err := os.OpenFile(envFile+".server", os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return release, nil //nolint:nilerr // no reason not to serve
	}
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		defer f.Close()
		other, _ := io.ReadAll(io.LimitReader(f, 200))
		return release, fmt.Errorf("another server (%s) uses %s already. Stop it, or give this one a file of its own with --env-file", strings.TrimSpace(string(other)), envFile)
	case err != nil: // a file system without locks
		_ = f.Close()
		return release, nil
	}
	_ = f.Truncate(0)
	_, _ = fmt.Fprintf(f, "process %d, at %s\n", os.Getpid(), addr)
	return func() { _ = f.Close() }, nil
}
