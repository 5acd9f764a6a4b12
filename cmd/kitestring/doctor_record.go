package main

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

// stateDir is the folder that a server keeps its state in.
func (p *program) stateDir(flag, envFile string) string {
	// systemd's StateDirectory; otherwise a folder next to the file that it serves.
	return cmp.Or(flag, p.getenv("STATE_DIRECTORY"), filepath.Join(filepath.Dir(envFile), ".kitestring"))
}

// lookAtRecording checks that the folder of the recording belongs to this user,
// and that its disk has room and is quick enough.
func (d *doctor) lookAtRecording(context.Context) {
	dir := filepath.Join(d.stateDir, "record")
	if d.running != nil && d.running.Record != nil {
		if d.running.Record.State == "off" {
			d.note(checkRecording, skipped, "the configuration of the server says \"record\": \"off\"", "")
			return
		}
		dir = cmp.Or(d.running.Record.Directory, dir)
		if reason := d.running.Record.Reason; reason != "" {
			detail, fix := sentence(reason)
			d.note(checkRecording, warned, detail, cmp.Or(fix, "kitestring record status says more"))
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
		d.note(checkRecording, failed, fmt.Sprintf("%s cannot be read: %v", existing, cause(err)), "give it to the user that the server runs as")
		return
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && existing == dir && int(owner.Uid) != os.Geteuid() {
		d.note(checkRecording, warned, fmt.Sprintf("%s belongs to the user with id %d, and this is %d", dir, owner.Uid, os.Geteuid()), fmt.Sprintf("run the server as its owner, or: chown -R %d %s", os.Geteuid(), dir))
		return
	}
	free, size, err := tape.Space(existing)
	if err != nil {
		d.note(checkRecording, failed, err.Error(), "keep the state on a local disk: --state-dir")
		return
	}
	if least := tape.LeastFree(size); free < least {
		d.note(checkRecording, warned, fmt.Sprintf("%s: %s free; below %s nothing is recorded", dir, bytesOf(free), bytesOf(least)), "free space on that disk, or put the state on another: --state-dir")
		return
	}
	took, err := writeTime(existing)
	switch {
	case err != nil:
		d.note(checkRecording, failed, fmt.Sprintf("%s cannot be written: %v", existing, cause(err)), "give it to the user that the server runs as, or put the state elsewhere: --state-dir")
	case took > slowDisk:
		d.note(checkRecording, warned, fmt.Sprintf("%s: a megabyte took %s to the disk; when it takes longer than some seconds, frames are not recorded", dir, took.Round(time.Millisecond)), "put the state on a quicker local disk: --state-dir")
	default:
		d.note(checkRecording, good, fmt.Sprintf("%s: %s free, a megabyte is on the disk in %s", dir, bytesOf(free), took.Round(100*time.Microsecond)), "")
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
