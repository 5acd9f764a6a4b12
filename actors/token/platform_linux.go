package token

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// leased is how an attempt at a read lease ended.
type leased uint8

const (
	leaseGranted leased = iota
	leaseBusy           // somebody has the file open for writing
	leaseNone           // not to be had here: another owner's file, or a file system without
)

// lease takes a read lease on f. While it is held nobody has the file open for
// writing, and an open for writing waits until release is called (the
// kernel would break a lease held for long; this one is held for microseconds).
func lease(f *os.File) (outcome leased, release func()) {
	_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	switch {
	case err == nil:
		return leaseGranted, func() { _, _ = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK) }
	case errors.Is(err, unix.EAGAIN):
		return leaseBusy, func() {}
	default:
		return leaseNone, func() {}
	}
}

// isMountPoint reports whether the file is a mount of its own, as a single-file
// bind mount is. Needs Linux 5.8; false before that.
func isMountPoint(path string) bool {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC, 0, &st); err != nil {
		return false
	}
	return st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT != 0 && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

// mayWrite reports whether a file in the directory of path can be written in
// place of it.
func mayWrite(path string) bool { return unix.Access(filepath.Dir(path), unix.W_OK) == nil }

// File systems whose changes the kernel does not (all) report, by their magic
// numbers in statfs(2): others' writes on the network, FUSE, and the layers
// below an overlay.
var silentFileSystems = map[int64]string{
	unix.NFS_SUPER_MAGIC:       "nfs",
	unix.SMB_SUPER_MAGIC:       "smb",
	unix.SMB2_SUPER_MAGIC:      "smb",
	unix.CIFS_SUPER_MAGIC:      "cifs",
	unix.V9FS_MAGIC:            "9p",
	unix.CEPH_SUPER_MAGIC:      "ceph",
	unix.AFS_SUPER_MAGIC:       "afs",
	unix.FUSE_SUPER_MAGIC:      "fuse",
	unix.OVERLAYFS_SUPER_MAGIC: overlay,
}

const overlay = "overlay"

// silentFileSystem names the file system when its changes are not all
// reported; "": they are.
func silentFileSystem(path string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return ""
	}
	return silentFileSystems[int64(st.Type)]
}

// claim reserves room for size bytes so that overwriting cannot fail halfway.
func claim(f *os.File, size int64) error {
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return err
	}
	return nil // not every file system can reserve
}

// copyAttributes gives f the extended attributes of the file at path, as far
// as that is allowed: a SELinux label, an access list.
func copyAttributes(path string, f *os.File) {
	names := make([]byte, 4096)
	n, err := unix.Listxattr(path, names)
	if err != nil {
		return
	}
	value := make([]byte, 64<<10)
	for name := range strings.SplitSeq(strings.TrimRight(string(names[:n]), "\x00"), "\x00") {
		if size, err := unix.Getxattr(path, name, value); name != "" && err == nil {
			_ = unix.Fsetxattr(int(f.Fd()), name, value[:size], 0)
		}
	}
}

// changeTime is the file's ctime in nanoseconds since 1970.
func changeTime(st *syscall.Stat_t) int64 { return st.Ctim.Nano() }
