package tape

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kitestring/messages/ist"
)

// Folder is where a server records: this folder of its state directory, and in
// it one of the name of its profile, for the days of the simulated exchange are
// no days of the real one.
func Folder(stateDir, profile string) string { return filepath.Join(stateDir, folder, profile) }

// Names in a state directory, and in a directory of tapes.
const (
	folder      = "record"
	dayPrefix   = "day="
	extension   = ".ks"
	lockFile    = "lock"
	keepFile    = "keep"
	instruments = "instruments.csv.zst"
)

// Directory is a directory of tapes: a folder for each day.
type Directory struct {
	path string
	lock *os.File // nil: read-only
}

// Open opens a directory for reading. It need not exist: it has no days then.
func Open(path string) *Directory { return &Directory{path: path} }

// InUseError says that another process records into a directory.
type InUseError struct {
	Path string
	PID  int // 0: unknown
}

// Error implements error.
func (e *InUseError) Error() string {
	by := "another kitestring"
	if e.PID != 0 {
		by = fmt.Sprintf("the kitestring with process id %d", e.PID)
	}
	return fmt.Sprintf("%s records into %s already; give this server a --state-dir of its own", by, e.Path)
}

// OpenForWriting makes the directory, where it is missing, and takes it for this
// process: another one gets an *InUseError until Close, or until the process
// ends.
func OpenForWriting(path string) (*Directory, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	whole := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(lock.Fd(), unix.F_OFD_SETLK, &whole); err != nil {
		defer lock.Close()
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			text, _ := io.ReadAll(io.LimitReader(lock, 32))
			pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
			return nil, &InUseError{Path: path, PID: pid}
		}
		return nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	// For a person only: what counts is the lock.
	_ = lock.Truncate(0)
	_, _ = lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return &Directory{path: path, lock: lock}, nil
}

// Close gives the directory back.
func (d *Directory) Close() error {
	if d.lock == nil {
		return nil
	}
	return d.lock.Close()
}

// Path is where the directory is.
func (d *Directory) Path() string { return d.path }

// recording reports whether a process records into the directory now.
func (d *Directory) recording() bool {
	if d.lock != nil {
		return true
	}
	f, err := os.Open(filepath.Join(d.path, lockFile))
	if err != nil {
		return false
	}
	defer f.Close()
	// Asking takes no lock, so no server that starts now is refused.
	whole := unix.Flock_t{Type: unix.F_WRLCK}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &whole) == nil && whole.Type != unix.F_UNLCK
}

// Day is what is recorded of one day.
type Day struct {
	Day      string    `json:"day"` // IST, 2026-11-27
	Segments []Segment `json:"segments"`
	Kept     bool      `json:"kept"` // not deleted by age or size
}

// Segment is one file.
type Segment struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
	Open  bool   `json:"open"` // the newest, while a process records

	minute string // HHMM of its first record
	number int    // counts the segments of a day, across starts
	boot   string
}

// Bytes are on disk.
func (d Day) Bytes() (bytes int64) {
	for _, s := range d.Segments {
		bytes += s.Bytes
	}
	return bytes
}

var segmentPattern = regexp.MustCompile(`^([0-9]{4})-([0-9]{5,9})-([0-9A-Za-z]{1,16})\.ks$`)

func segmentName(first time.Time, number int, boot string) string {
	return fmt.Sprintf("%s-%05d-%s%s", first.In(ist.Zone).Format("1504"), number, boot, extension)
}

func parseSegment(name string) (s Segment, ok bool) {
	m := segmentPattern.FindStringSubmatch(name)
	if m == nil {
		return s, false
	}
	s.minute, s.boot = m[1], m[3]
	s.number, _ = strconv.Atoi(m[2]) // digits
	return s, true
}

// nextNumber is above the numbers of a day's segments.
func nextNumber(day string) (int, error) {
	entries, err := os.ReadDir(day)
	next := 1
	for _, e := range entries {
		if s, ok := parseSegment(e.Name()); ok {
			next = max(next, s.number+1)
		}
	}
	return next, err
}

// Days are the days that have a segment, oldest first, their segments in the
// order of recording. Files of other names are passed over.
func (d *Directory) Days() ([]Day, error) {
	entries, err := os.ReadDir(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var days []Day
	for _, e := range entries {
		date, ok := strings.CutPrefix(e.Name(), dayPrefix)
		if _, err := time.Parse(time.DateOnly, date); !ok || err != nil || !e.IsDir() {
			continue
		}
		day, err := d.read(date)
		if err != nil {
			return nil, err
		}
		if len(day.Segments) > 0 {
			days = append(days, day)
		}
	}
	if n := len(days); n > 0 && d.recording() {
		// The newest file of the newest day, or of an older one when the clock went back.
		var newest *Segment
		var at time.Time
		for i := range days {
			s := &days[i].Segments[len(days[i].Segments)-1]
			if info, err := os.Stat(s.Path); err == nil && info.ModTime().After(at) {
				newest, at = s, info.ModTime()
			}
		}
		if newest != nil {
			newest.Open = true
		}
	}
	return days, nil
}

func (d *Directory) read(date string) (Day, error) {
	day := Day{Day: date}
	dir := d.folder(date)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return day, err
	}
	for _, e := range entries {
		if e.Name() == keepFile {
			day.Kept = true
		}
		s, ok := parseSegment(e.Name())
		if !ok {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			return day, err
		}
		s.Path, s.Bytes = filepath.Join(dir, e.Name()), info.Size()
		day.Segments = append(day.Segments, s)
	}
	slices.SortFunc(day.Segments, func(a, b Segment) int {
		return cmp.Or(a.number-b.number, cmp.Compare(a.minute, b.minute), cmp.Compare(a.boot, b.boot))
	})
	return day, nil
}

// ErrNoDay is the answer to a day of which nothing is recorded.
var ErrNoDay = errors.New("nothing is recorded of that day")

// Day is one day, spelled 2026-11-27.
func (d *Directory) Day(date string) (Day, error) {
	if _, err := time.Parse(time.DateOnly, date); err != nil {
		return Day{}, fmt.Errorf("day %q: spell it 2026-11-27", date)
	}
	days, err := d.Days()
	if err != nil {
		return Day{}, err
	}
	for _, day := range days {
		if day.Day == date {
			return day, nil
		}
	}
	return Day{}, fmt.Errorf("%s: %w", date, ErrNoDay)
}

// Read calls each with the records of segments, block by block, in the order of
// recording: within a block in the order of time, and a block begins before the
// end of the one before only where the clock went back. It says what it left out
// of damaged files. Segments and blocks that end before from or begin after to
// are passed over; zero times bound nothing.
func Read(segments []Segment, from, to time.Time, each func([]Record) error) (Counts, []Damage, error) {
	var all Counts
	var left []Damage
	for _, s := range segments {
		if !from.IsZero() || !to.IsZero() {
			x, err := s.Index()
			if err == nil && (!from.IsZero() && x.Last.Before(from) || !to.IsZero() && x.First.After(to)) {
				continue
			}
		}
		counts, damage, err := ReadFile(s.Path, func(records []Record) error {
			n := len(records)
			if n == 0 || !from.IsZero() && records[n-1].At.Before(from) || !to.IsZero() && records[0].At.After(to) {
				return nil
			}
			return each(records)
		})
		if errors.Is(err, fs.ErrNotExist) {
			continue // pruned meanwhile
		}
		all.Add(counts)
		if damage != nil && !s.Open {
			left = append(left, *damage)
		}
		if err != nil {
			return all, left, err
		}
	}
	return all, left, nil
}
