package feed

import sys "golang.org/x/sys/unix"

// unread is how many bytes of a socket wait to be read.
func unread(fd uintptr) int {
	n, _ := sys.IoctlGetInt(int(fd), sys.TIOCINQ) // unknown is none
	return n
}
