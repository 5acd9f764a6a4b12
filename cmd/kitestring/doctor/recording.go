package doctor

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kitestring/actors/tape"
)

// slowDisk is how long a disk may take for what a recorder writes in some
// seconds. The recorder holds 16 MB a socket in memory meanwhile.
const slowDisk = time.Second

// lookAtRecording checks that the folder of the recording belongs to this user,
// and that its disk has room and is quick enough.
func (e *examination) lookAtRecording(context.Context) {
	dir := filepath.Join(e.cfg.StateDir, "record")
	if e.running != nil && e.running.Record != nil {
		if e.running.Record.State == "off" {
			e.note(Recording, Skipped, "the configuration of the server says \"record\": \"off\"", "")
			return
		}
		dir = cmp.Or(e.running.Record.Directory, dir)
		if reason := e.running.Record.Reason; reason != "" {
			detail, fix := sentence(reason)
			e.note(Recording, Warned, detail, cmp.Or(fix, "kitestring record status says more"))
			return
		}
	}
	existing := dir
	info, err := os.Stat(existing)
	for os.IsNotExist(err) && existing != filepath.Dir(existing) {
		existing = filepath.Dir(existing) // the server makes what is missing
		info, err = os.Stat(existing)
	}
	if err != nil {
		e.note(Recording, Failed, fmt.Sprintf("%s cannot be read: %v", existing, cause(err)), "give it to the user that the server runs as")
		return
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && existing == dir && int(owner.Uid) != os.Geteuid() {
		e.note(Recording, Warned, fmt.Sprintf("%s belongs to the user with id %d, and this is %d", dir, owner.Uid, os.Geteuid()), fmt.Sprintf("run the server as its owner, or: chown -R %d %s", os.Geteuid(), dir))
		return
	}
	free, size, err := tape.Space(existing)
	if err != nil {
		e.note(Recording, Failed, err.Error(), "keep the state on a local disk: --state-dir")
		return
	}
	if least := tape.LeastFree(size); free < least {
		e.note(Recording, Warned, fmt.Sprintf("%s: %s free; below %s nothing is recorded", dir, gigabytes(free), gigabytes(least)), "free space on that disk, or put the state on another: --state-dir")
		return
	}
	took, err := writeTime(existing)
	switch {
	case err != nil:
		e.note(Recording, Failed, fmt.Sprintf("%s cannot be written: %v", existing, cause(err)), "give it to the user that the server runs as, or put the state elsewhere: --state-dir")
	case took > slowDisk:
		e.note(Recording, Warned, fmt.Sprintf("%s: a megabyte took %s to the disk; when it takes longer than some seconds, frames are not recorded", dir, took.Round(time.Millisecond)), "put the state on a quicker local disk: --state-dir")
	default:
		e.note(Recording, OK, fmt.Sprintf("%s: %s free, a megabyte is on the disk in %s", dir, gigabytes(free), took.Round(100*time.Microsecond)), "")
	}
}

// writeTime is how long a megabyte takes to the disk.
func writeTime(dir string) (time.Duration, error) {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	data := bytes.Repeat([]byte("kitestring, not compressed away \n"), 1<<15)[:1<<20]
	started := time.Now()
	if _, err := f.Write(data); err != nil {
		return 0, err
	}
	err = unix.Fdatasync(int(f.Fd()))
	return time.Since(started), err
}

func gigabytes(bytes int64) string { return fmt.Sprintf("%.1f GB", float64(bytes)/1e9) }
