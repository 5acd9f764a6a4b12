package envstyles

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// writer is a program that changes the file. The first step that fails ends
// it: what follows does nothing.
type writer struct{ err error }

// apply makes a Style's Apply of a change; text is the file's with the new token.
func apply(change func(w *writer, path, text string) (completed time.Time)) func(path, token string) (time.Time, error) {
	return func(path, token string) (time.Time, error) {
		text, err := edited(path, token)
		if err != nil {
			return time.Time{}, err
		}
		w := &writer{}
		completed := change(w, path, text)
		return completed, w.err
	}
}

func (w *writer) do(step func() error) {
	if w.err == nil {
		w.err = step()
	}
}

func (w *writer) rename(from, to string) { w.do(func() error { return os.Rename(from, to) }) }
func (w *writer) remove(path string)     { w.do(func() error { return os.RemoveAll(path) }) }
func (w *writer) mkdir(path string)      { w.do(func() error { return os.Mkdir(path, 0o700) }) }

func (w *writer) symlink(target, link string) { w.do(func() error { return os.Symlink(target, link) }) }

func (w *writer) chmod(path string, m os.FileMode) {
	w.do(func() error { return os.Chmod(path, m) })
}

func (w *writer) target(link string) (target string) {
	w.do(func() (err error) { target, err = filepath.EvalSymlinks(link); return err })
	return target
}

// write opens a file and writes the parts with a pause between them: the
// slowness of the writer that is played here. completed is just before the close.
func (w *writer) write(path string, flags int, pause time.Duration, parts ...string) (completed time.Time) {
	w.do(func() error {
		f, err := os.OpenFile(path, os.O_WRONLY|flags, mode)
		if err != nil {
			return err
		}
		for i, part := range parts {
			if i > 0 {
				time.Sleep(pause)
			}
			if _, err := f.WriteString(part); err != nil {
				_ = f.Close()
				return err
			}
		}
		completed = time.Now()
		return f.Close()
	})
	return completed
}

// echo is `echo ... > .env`.
func echo(w *writer, path, text string) time.Time { return w.write(path, os.O_TRUNC, 0, text) }

// pwrite overwrites in place without truncating first.
func pwrite(w *writer, path, text string) time.Time { return w.write(path, 0, 0, text) }

func fiveParts(w *writer, path, text string) time.Time {
	var parts []string
	for rest, n := text, 5; n > 0; n-- {
		cut := len(rest) / n
		parts, rest = append(parts, rest[:cut]), rest[cut:]
	}
	return w.write(path, os.O_TRUNC, 3*time.Millisecond, parts...)
}

// twoHalves writes half a token, and the rest 80 ms later.
func twoHalves(w *writer, path, text string) time.Time {
	return w.write(path, os.O_TRUNC, 80*time.Millisecond, text[:middle(text)], text[middle(text):])
}

// twoOpens is `printf half > .env; printf rest >> .env`.
func twoOpens(w *writer, path, text string) time.Time {
	w.write(path, os.O_TRUNC, 0, text[:middle(text)])
	time.Sleep(3 * time.Millisecond)
	return w.write(path, os.O_APPEND, 0, text[middle(text):])
}

// appendLine is `echo KEY=... >> .env`: the last of the lines counts.
func appendLine(w *writer, path, text string) time.Time {
	_, value, _ := strings.Cut(text, key)
	value, _, _ = strings.Cut(value, "\n")
	return w.write(path, os.O_APPEND, 0, key+value+"\n")
}

// vimBackup moves the old file to a backup and writes a new one.
func vimBackup(w *writer, path, text string) time.Time {
	w.rename(path, path+"~")
	completed := w.write(path, os.O_CREATE|os.O_EXCL, 0, text)
	w.chmod(path, mode)
	w.remove(path + "~")
	return completed
}

// sedInPlace writes sedXXXXXX beside the file and renames it.
func sedInPlace(w *writer, path, text string) time.Time { return w.replace(path, "sedA1b2C3", text) }

// renameOver is `mv .env.new .env`.
func renameOver(w *writer, path, text string) time.Time { return w.replace(path, ".env.new", text) }

func (w *writer) replace(path, by, text string) time.Time {
	tmp := filepath.Join(filepath.Dir(path), by)
	w.write(tmp, os.O_CREATE|os.O_EXCL, 0, text)
	completed := time.Now()
	w.rename(tmp, path)
	return completed
}

// k8sSwap publishes a new version as the kubelet does.
func k8sSwap(w *writer, path, text string) time.Time {
	dir := filepath.Dir(path)
	var old string
	var n int
	w.do(func() (err error) { old, err = os.Readlink(filepath.Join(dir, "..data")); return err })
	w.do(func() (err error) { n, err = strconv.Atoi(strings.TrimPrefix(old, "..v")); return err })
	version, tmp := "..v"+strconv.Itoa(n+1), filepath.Join(dir, "..data_tmp")
	w.mkdir(filepath.Join(dir, version))
	w.do(func() error { _, err := plain(filepath.Join(dir, version), text); return err })
	w.symlink(version, tmp)
	completed := time.Now()
	w.rename(tmp, filepath.Join(dir, "..data"))
	w.remove(filepath.Join(dir, old))
	return completed
}

// targetRenamed replaces the file that the link names.
func targetRenamed(w *writer, path, text string) time.Time {
	return w.replace(w.target(path), "new", text)
}

// repointed makes the link name another file.
func repointed(w *writer, path, text string) time.Time {
	old := w.target(path)
	next := old + "x"
	if filepath.Base(old) != name {
		next = filepath.Join(filepath.Dir(old), name)
	}
	w.write(next, os.O_CREATE|os.O_TRUNC, 0, text)
	w.symlink(next, path+".link")
	completed := time.Now()
	w.rename(path+".link", path)
	return completed
}

// otherName writes the same inode under its other name.
func otherName(w *writer, path, text string) time.Time {
	return echo(w, filepath.Join(filepath.Dir(filepath.Dir(path)), other, name), text)
}

func removeCreate(w *writer, path, text string) time.Time {
	w.remove(path)
	return w.write(path, os.O_CREATE|os.O_EXCL, 0, text)
}

// unreadable replaces the file by one that nobody may read, and then lets them.
// For root it can be read from the rename on.
func unreadable(w *writer, path, text string) time.Time {
	tmp := path + ".closed"
	w.write(tmp, os.O_CREATE|os.O_EXCL, 0, text)
	w.chmod(tmp, 0)
	completed := time.Now()
	w.rename(tmp, path)
	if os.Geteuid() != 0 {
		time.Sleep(5 * time.Millisecond)
		completed = time.Now()
	}
	w.chmod(path, mode)
	return completed
}

// dirSwapped moves the directory away and a new one to its path.
func dirSwapped(w *writer, path, text string) time.Time {
	conf := filepath.Dir(path)
	next, old := conf+".new", conf+".old"
	w.mkdir(next)
	w.do(func() error { _, err := plain(next, text); return err })
	w.rename(conf, old)
	completed := time.Now()
	w.rename(next, conf)
	w.remove(old)
	return completed
}

// dirMade removes the directory, if there is one, and makes it again.
func dirMade(w *writer, path, text string) time.Time {
	w.remove(filepath.Dir(path))
	w.mkdir(filepath.Dir(path))
	return w.write(path, os.O_CREATE|os.O_EXCL, 0, text)
}

// mmap changes the file through a shared mapping.
func mmap(w *writer, path, text string) (completed time.Time) {
	w.do(func() error {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		m, err := syscall.Mmap(int(f.Fd()), 0, len(text), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
		if err != nil {
			return err
		}
		copy(m, text)
		completed = time.Now()
		return syscall.Munmap(m)
	})
	return completed
}
