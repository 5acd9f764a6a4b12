package envstyles

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// write opens a file and writes the parts with a pause between them; the
// pauses are the slowness of the writer that is played here.
func write(path string, flags int, pause time.Duration, parts ...string) (time.Time, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|flags, mode)
	if err != nil {
		return time.Time{}, err
	}
	for i, part := range parts {
		if i > 0 {
			time.Sleep(pause)
		}
		if _, err := f.WriteString(part); err != nil {
			_ = f.Close()
			return time.Time{}, err
		}
	}
	completed := time.Now()
	return completed, f.Close()
}

// echo is `echo ... > .env`.
func echo(path, token string) (time.Time, error) {
	text, err := edited(path, token)
	if err != nil {
		return time.Time{}, err
	}
	return write(path, os.O_TRUNC, 0, text)
}

// pwrite overwrites in place without truncating first.
func pwrite(path, token string) (time.Time, error) {
	text, err := edited(path, token)
	if err != nil {
		return time.Time{}, err
	}
	return write(path, 0, 0, text)
}

func fiveParts(path, token string) (time.Time, error) {
	text, err := edited(path, token)
	if err != nil {
		return time.Time{}, err
	}
	var parts []string
	for rest, n := text, 5; n > 0; n-- {
		cut := len(rest) / n
		parts, rest = append(parts, rest[:cut]), rest[cut:]
	}
	return write(path, os.O_TRUNC, 3*time.Millisecond, parts...)
}

// twoHalves writes half a token, and the rest 80 ms later.
func twoHalves(path, token string) (time.Time, error) {
	text, err := edited(path, token)
	if err != nil {
		return time.Time{}, err
	}
	return write(path, os.O_TRUNC, 80*time.Millisecond, text[:middle(text)], text[middle(text):])
}

// twoOpens is `printf half > .env; printf rest >> .env`.
func twoOpens(path, token string) (time.Time, error) {
	text, err := edited(path, token)
	if err != nil {
		return time.Time{}, err
	}
	if _, err := write(path, os.O_TRUNC, 0, text[:middle(text)]); err != nil {
		return time.Time{}, err
	}
	time.Sleep(3 * time.Millisecond)
	return write(path, os.O_APPEND, 0, text[middle(text):])
}

// appendLine is `echo KEY=... >> .env`: the last duplicate wins.
func appendLine(path, token string) (time.Time, error) {
	return write(path, os.O_APPEND, 0, key+token+"\n")
}

// vimBackup moves the old file to a backup and writes a new one.
func vimBackup(path, token string) (time.Time, error) {
	text, err := edited(path, token)
	if err != nil {
		return time.Time{}, err
	}
	if err := os.Rename(path, path+"~"); err != nil {
		return time.Time{}, err
	}
	completed, err := write(path, os.O_CREATE|os.O_EXCL, 0, text)
	if err != nil {
		return time.Time{}, err
	}
	if err := os.Chmod(path, mode); err != nil {
		return time.Time{}, err
	}
	return completed, os.Remove(path + "~")
}

// sedInPlace writes sedXXXXXX beside the file and renames it.
func sedInPlace(path, token string) (time.Time, error) { return replace(path, "sedA1b2C3", token) }

// renameOver is `mv .env.new .env`.
func renameOver(path, token string) (time.Time, error) { return replace(path, ".env.new", token) }

func replace(path, by, token string) (time.Time, error) {
	text, err := edited(path, token)
	if err != nil {
		return time.Time{}, err
	}
	tmp := filepath.Join(filepath.Dir(path), by)
	if _, err := write(tmp, os.O_CREATE|os.O_EXCL, 0, text); err != nil {
		return time.Time{}, err
	}
	completed := time.Now()
	return completed, os.Rename(tmp, path)
}

// k8sSwap publishes a new version as the kubelet does.
func k8sSwap(path, token string) (time.Time, error) {
	text, err := edited(path, token)
	if err != nil {
		return time.Time{}, err
	}
	dir := filepath.Dir(path)
	old, err := os.Readlink(filepath.Join(dir, "..data"))
	if err != nil {
		return time.Time{}, err
	}
	n, err := strconv.Atoi(strings.TrimPrefix(old, "..v"))
	if err != nil {
		return time.Time{}, err
	}
	version := "..v" + strconv.Itoa(n+1)
	if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
		return time.Time{}, err
	}
	if _, err := plain(filepath.Join(dir, version), text); err != nil {
		return time.Time{}, err
	}
	tmp := filepath.Join(dir, "..data_tmp")
	if err := os.Symlink(version, tmp); err != nil {
		return time.Time{}, err
	}
	completed := time.Now()
	if err := os.Rename(tmp, filepath.Join(dir, "..data")); err != nil {
		return time.Time{}, err
	}
	return completed, os.RemoveAll(filepath.Join(dir, old))
}

// targetRenamed replaces the file that the link names.
func targetRenamed(path, token string) (time.Time, error) {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return time.Time{}, err
	}
	return replace(target, "new", token)
}

// repointed makes the link name another file.
func repointed(path, token string) (time.Time, error) {
	text, err := edited(path, token)
	if err != nil {
		return time.Time{}, err
	}
	old, err := filepath.EvalSymlinks(path)
	if err != nil {
		return time.Time{}, err
	}
	next := old + "x"
	if filepath.Base(old) != name {
		next = filepath.Join(filepath.Dir(old), name)
	}
	if _, err := write(next, os.O_CREATE|os.O_TRUNC, 0, text); err != nil {
		return time.Time{}, err
	}
	tmp := path + ".link"
	if err := os.Symlink(next, tmp); err != nil {
		return time.Time{}, err
	}
	completed := time.Now()
	return completed, os.Rename(tmp, path)
}

// otherName writes the same inode under its other name.
func otherName(path, token string) (time.Time, error) {
	return echo(filepath.Join(filepath.Dir(filepath.Dir(path)), other, name), token)
}

func removeCreate(path, token string) (time.Time, error) {
	text, err := edited(path, token)
	if err != nil {
		return time.Time{}, err
	}
	if err := os.Remove(path); err != nil {
		return time.Time{}, err
	}
	return write(path, os.O_CREATE|os.O_EXCL, 0, text)
}

// unreadable puts a file in place that nobody may read, and then lets them.
// For root it can be read from the rename on.
func unreadable(path, token string) (time.Time, error) {
	text, err := edited(path, token)
	if err != nil {
		return time.Time{}, err
	}
	tmp := path + ".closed"
	if _, err := write(tmp, os.O_CREATE|os.O_EXCL, 0, text); err != nil {
		return time.Time{}, err
	}
	if err := os.Chmod(tmp, 0); err != nil {
		return time.Time{}, err
	}
	completed := time.Now()
	if err := os.Rename(tmp, path); err != nil {
		return time.Time{}, err
	}
	if os.Geteuid() != 0 {
		time.Sleep(5 * time.Millisecond)
		completed = time.Now()
	}
	return completed, os.Chmod(path, mode)
}

// dirSwapped moves the directory away and a new one into its place.
func dirSwapped(path, token string) (time.Time, error) {
	text, err := edited(path, token)
	if err != nil {
		return time.Time{}, err
	}
	conf := filepath.Dir(path)
	next, old := conf+".new", conf+".old"
	if err := os.Mkdir(next, 0o700); err != nil {
		return time.Time{}, err
	}
	if _, err := plain(next, text); err != nil {
		return time.Time{}, err
	}
	if err := os.Rename(conf, old); err != nil {
		return time.Time{}, err
	}
	completed := time.Now()
	if err := os.Rename(next, conf); err != nil {
		return time.Time{}, err
	}
	return completed, os.RemoveAll(old)
}

// dirMade removes the directory, if there is one, and makes it anew.
func dirMade(path, token string) (time.Time, error) {
	text, err := edited(path, token)
	if err != nil {
		return time.Time{}, err
	}
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		return time.Time{}, err
	}
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		return time.Time{}, err
	}
	return write(path, os.O_CREATE|os.O_EXCL, 0, text)
}

// mmap changes the file through a shared mapping.
func mmap(path, token string) (time.Time, error) {
	text, err := edited(path, token)
	if err != nil {
		return time.Time{}, err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return time.Time{}, err
	}
	defer f.Close()
	m, err := syscall.Mmap(int(f.Fd()), 0, len(text), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return time.Time{}, err
	}
	copy(m, text)
	completed := time.Now()
	return completed, syscall.Munmap(m)
}
