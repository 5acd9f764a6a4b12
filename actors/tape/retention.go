package tape

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"kitestring/messages/ist"
)

// Retention is what Prune leaves: segments of the last Days days, and of them
// the newest up to Bytes. Days that are kept are left, and count.
type Retention struct {
	Days  int   // 0: of any age
	Bytes int64 // 0: of any size
}

// DefaultRetention is 7 days, and 20 GB or a fifth of the disk.
func DefaultRetention(diskBytes int64) Retention {
	return Retention{Days: 7, Bytes: min(20_000_000_000, diskBytes/5)}
}

// LeastFree is the free space below which nothing is recorded: other programs of
// the machine need it more.
func LeastFree(diskBytes int64) int64 { return max(1<<30, diskBytes/50) }

// Prune deletes the segments that a retention does not leave, oldest first, and
// never one that is being written. dry only names them.
func (d *Directory) Prune(now time.Time, r Retention, dry bool) ([]Segment, error) {
	days, err := d.Days()
	if err != nil {
		return nil, err
	}
	var bytes int64
	for _, day := range days {
		bytes += day.Bytes()
	}
	oldest := ist.Day(now).AddDate(0, 0, 1-r.Days).Format(time.DateOnly)
	var deleted []Segment
	for _, day := range days {
		aged := r.Days > 0 && day.Day < oldest
		left := len(day.Segments)
		for _, s := range day.Segments {
			if day.Kept || s.Open || !aged && (r.Bytes == 0 || bytes <= r.Bytes) {
				continue
			}
			if !dry {
				if err := os.Remove(s.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return deleted, err
				}
			}
			bytes -= s.Bytes
			left--
			deleted = append(deleted, s)
		}
		if left == 0 && !dry {
			folder := d.folder(day.Day)
			_ = os.Remove(filepath.Join(folder, instruments))
			_ = os.Remove(folder) // it stays when something else is in it
		}
	}
	return deleted, nil
}

// Keep keeps a day from being deleted by Prune, or ends that.
func (d *Directory) Keep(date string, keep bool) error {
	day, err := d.Day(date)
	if err != nil {
		return err
	}
	path := filepath.Join(d.folder(day.Day), keepFile)
	if !keep {
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return os.WriteFile(path, nil, 0o600)
}

func (d *Directory) folder(date string) string { return filepath.Join(d.path, dayPrefix+date) }

// Space is the free space for this user and the size of the disk that a path is
// on, in bytes. The path need not exist.
func Space(path string) (free, size int64, err error) {
	var s unix.Statfs_t
	for {
		err = unix.Statfs(path, &s)
		parent := filepath.Dir(path)
		if !errors.Is(err, unix.ENOENT) || parent == path {
			break
		}
		path = parent
	}
	if err != nil {
		return 0, 0, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	return int64(s.Bavail) * s.Bsize, int64(s.Blocks) * s.Bsize, nil
}
