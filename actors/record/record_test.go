package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"kitestring/actors/actorstest"
	"kitestring/actors/tape"
	"kitestring/messages"
)

func TestMain(m *testing.M) { actorstest.Main(m) }

func TestStates(t *testing.T) {
	const size = 100 << 30
	begun := state{State: Recording}
	paused := state{State: PausedDisk, reason: "x"}
	for _, c := range []struct {
		name   string
		from   state
		fact   fact
		want   State
		reason string
	}{
		{"the directory is ours", state{}, owned{}, Recording, ""},
		{"another server has it", state{}, owned{&tape.InUseError{Path: "/d", PID: 7}}, Elsewhere, "process id 7"},
		{"no permission", state{}, owned{&os.PathError{Err: unix.EACCES}}, PausedDisk, "may not be written to"},
		{"room enough", begun, looked{3 << 30, size}, Recording, ""},
		{"too little room", begun, looked{1<<31 - 1, size}, PausedDisk, "leaves 2.0 GB to other programs"},
		{"a small disk", begun, looked{1<<30 - 1, 4 << 30}, PausedDisk, "leaves 1.0 GB"},
		{"room alone ends no pause", paused, looked{3 << 30, size}, PausedDisk, "x"},
		{"the disk is full", begun, wrote{&os.PathError{Err: unix.ENOSPC}}, PausedDisk, "the disk is full"},
		{"the disk is read-only", begun, wrote{&os.PathError{Err: unix.EROFS}}, PausedDisk, "read-only"},
		{"the disk is broken", begun, wrote{unix.EIO}, PausedDisk, "reports an error"},
		{"it can be written to again", paused, wrote{}, Recording, ""},
		{"the end", paused, ended{}, Stopped, ""},
	} {
		now := time.Now()
		got, changed := next(c.from, c.fact, now)
		if got.State != c.want || !strings.Contains(got.reason, c.reason) || changed != (got.State != c.from.State || got.reason != c.from.reason) {
			t.Errorf("%s: %s, %q, changed %v", c.name, got.State, got.reason, changed)
		}
		if _, only := c.fact.(looked); only && c.from.State == PausedDisk {
			continue // it goes on waiting for its time
		}
		if wait := got.State == PausedDisk || got.State == Elsewhere; wait && got.due(now.Add(retryAfter-1)) || got.State == PausedDisk && !got.due(now.Add(retryAfter)) {
			t.Errorf("%s: due at the wrong time", c.name)
		}
	}
}

// realTime is a clock like that of live.
type realTime struct{}

func (realTime) Now() time.Time { return time.Now() }

// disk is one that a test can fill.
type disk struct {
	mu    sync.Mutex
	fault error
}

func (d *disk) set(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = err
}

func (d *disk) err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fault
}

type faultyFile struct {
	tape.File
	disk *disk
}

// Write implements tape.File: half of the block gets onto a full disk.
func (f faultyFile) Write(p []byte) (int, error) {
	if err := f.disk.err(); err != nil {
		n, _ := f.File.Write(p[:len(p)/2])
		return n, err
	}
	return f.File.Write(p)
}

func (d *disk) use() Disk {
	return Disk{
		Create: func(path string) (tape.File, error) {
			if err := d.err(); err != nil && !errors.Is(err, unix.ENOSPC) {
				return nil, err
			}
			f, err := tape.CreateFile(path)
			return faultyFile{f, d}, err
		},
		Space: func(string) (int64, int64, error) { return 50 << 30, 100 << 30, nil },
	}
}

type rig struct {
	*testing.T
	store *Store
	dir   string
	disk  disk
	actor *actorstest.Harness
	said  []string
	sent  int
}

func (r *rig) open(store *Store) {
	r.store = store
	r.actor = actorstest.Start(r, "record", New(Config{
		Store: store, Dir: r.dir, Boot: "boot", Disk: r.disk.use(), Note: func(text string) { r.said = append(r.said, text) },
	}))
}

func newRig(t *testing.T) *rig {
	r := &rig{T: t, dir: filepath.Join(t.TempDir(), "record")}
	store := NewStore(realTime{})
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	r.open(store)
	r.is(Recording)
	return r
}

func (r *rig) is(s State) {
	r.Helper()
	actorstest.Until(r, "state "+s.String(), func() bool { return r.store.Status().State == s })
}

var one = messages.Socket{Shard: 1, ID: 3, Generation: 2}

// send sends frames that say which number each has.
func (r *rig) send(n int) {
	for range n {
		r.store.Frame(one, fmt.Appendf(nil, "frame %d", r.sent))
		r.sent++
	}
}

// frames are what is on the tape, and its events.
func (r *rig) read() (frames []string, events map[tape.Kind][]string, segments int) {
	r.Helper()
	events = map[tape.Kind][]string{}
	days, err := tape.Open(r.dir).Days()
	if err != nil {
		r.Fatal(err)
	}
	for _, d := range days {
		segments += len(d.Segments)
		_, damage, err := tape.Read(d.Segments, time.Time{}, time.Time{}, func(list []tape.Record) error {
			for _, rec := range list {
				if rec.Kind == "" {
					frames = append(frames, string(rec.Data))
				} else {
					events[rec.Kind] = append(events[rec.Kind], string(rec.Data))
				}
			}
			return nil
		})
		if err != nil || len(damage) > 0 {
			r.Errorf("%v, damaged: %+v", err, damage)
		}
	}
	return frames, events, segments
}

func (r *rig) all(frames []string) {
	r.Helper()
	if len(frames) != r.sent {
		r.Fatalf("%d of %d frames", len(frames), r.sent)
	}
	for i, f := range frames {
		if f != fmt.Sprintf("frame %d", i) {
			r.Fatalf("frame %d is %q", i, f)
		}
	}
}

// What the feed hands over is on the tape, in order, with what became of the
// sockets; a text of an order is not, unless it is asked for.
func TestRecords(t *testing.T) {
	r := newRig(t)
	r.store.Socket(one, messages.SocketFact{Kind: messages.SocketOpened, Fingerprint: "12345678"})
	r.send(500)
	r.store.Order(one, []byte(`{"type":"order"}`))
	r.actor.Tell(messages.GapDetected{Reason: messages.GapReconnect})
	r.store.Socket(one, messages.SocketFact{Kind: messages.SocketClosed, Cause: "swap"})
	into, keep := r.store.Instruments(time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC))
	fmt.Fprint(into, "instrument_token\n1\n")
	keep(true)
	actorstest.Until(t, "all is written", func() bool { return r.store.Status().Written.Frames == 500 && r.store.Status().Queue == 0 })
	r.actor.Stop()
	frames, events, segments := r.read()
	r.all(frames)
	if segments != 1 || len(events[tape.ProcessStarted]) != 1 || len(events[tape.GapFound]) != 1 || len(events[tape.ClockChecked]) != 1 || len(events[tape.TextReceived]) != 0 {
		t.Errorf("%d segments, events %v", segments, events)
	}
	if got := events[tape.SocketOpened]; len(got) != 1 || !strings.Contains(got[0], `"shard":1,"socket":3,"generation":2`) || !strings.Contains(got[0], "12345678") {
		t.Errorf("opened: %v", got)
	}
	if file, err := tape.Open(r.dir).InstrumentsFile("2026-11-27"); err != nil {
		t.Error(err)
	} else {
		file.Close()
	}
	if st := r.store.Status(); st.State != Stopped || st.Dropped != 0 {
		t.Errorf("status %+v", st)
	}
}

// A full disk pauses the recording. What fits into the memory meanwhile is on
// the tape afterwards, in a segment of its own, and the first one is whole.
func TestDiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.store.Socket(one, messages.SocketFact{Kind: messages.SocketOpened, Fingerprint: "12345678"})
		r.store.Socket(one, messages.SocketFact{Kind: messages.SocketSubscribed, Command: `{"a":"mode","v":["full",[256265]]}`})
		r.send(10)
		actorstest.Until(t, "the first frames are written", func() bool { return r.store.Status().Written.Frames == 10 })
		r.disk.set(&os.PathError{Op: "write", Err: unix.ENOSPC})
		r.send(10)
		r.is(PausedDisk)
		if st := r.store.Status(); !strings.Contains(st.Reason, "the disk is full") {
			t.Errorf("reason %q", st.Reason)
		}
		r.send(10)
		r.disk.set(nil)
		r.is(Recording)
		r.actor.Stop()
		frames, events, segments := r.read()
		r.all(frames)
		if segments < 2 || r.store.Status().Dropped != 0 {
			t.Errorf("%d segments, %d dropped", segments, r.store.Status().Dropped)
		}
		// Each segment says what is open and what it was asked for.
		if len(events[tape.SocketOpened]) < 2 || len(events[tape.Subscribed]) < 2 {
			t.Errorf("events %v", events)
		}
		if n := len(r.said); n < 3 || !strings.Contains(r.said[n-2], "paused_disk") {
			t.Errorf("said %q", r.said)
		}
	})
}

// The second recorder of a directory says so, and takes over after the first.
func TestTwoOnOneDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		second := &rig{T: t, dir: r.dir}
		store := NewStore(realTime{})
		defer func() { _ = store.Close() }()
		second.open(store)
		second.is(Elsewhere)
		store.Frame(one, []byte("x"))
		if st := store.Status(); !strings.Contains(st.Reason, fmt.Sprint("process id ", os.Getpid())) || st.Queue != 0 || st.Dropped != 0 {
			t.Errorf("status %+v", st)
		}
		r.actor.Stop()
		second.is(Recording)
		second.actor.Stop()
	})
}

// An incarnation that ends loses nothing: the next one writes what is left.
func TestRestart(t *testing.T) {
	r := newRig(t)
	r.send(5)
	r.actor.Stop()
	r.send(5)
	r.open(r.store)
	r.is(Recording)
	r.send(5)
	r.actor.Stop()
	frames, _, segments := r.read()
	r.all(frames)
	if segments != 2 {
		t.Errorf("%d segments", segments)
	}
}

// Switched off it keeps nothing.
func TestOff(t *testing.T) {
	store := NewStore(realTime{})
	defer func() { _ = store.Close() }()
	dir := filepath.Join(t.TempDir(), "record")
	h := actorstest.Start(t, "record", New(Config{Store: store, Dir: dir, Off: true}))
	actorstest.Until(t, "state off", func() bool { return store.Status().State == Off })
	store.Frame(one, []byte("x"))
	h.Stop()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) || store.Status().Queue != 0 {
		t.Errorf("it left %v, %+v", err, store.Status())
	}
}

// The state of subscriptions is one command a mode.
func TestSocketsAgain(t *testing.T) {
	s := sockets{}
	tell := func(k tape.Kind, f messages.SocketFact) {
		data, _ := json.Marshal(socketEvent{of(one), f})
		s.follow(k, data)
	}
	tell(tape.SocketOpened, messages.SocketFact{Kind: messages.SocketOpened, Fingerprint: "f"})
	for _, c := range []string{`{"a":"subscribe","v":[1,2,3,4]}`, `{"a":"mode","v":["full",[2,3]]}`, `{"a":"unsubscribe","v":[3]}`} {
		tell(tape.Subscribed, messages.SocketFact{Command: c})
	}
	var got []string
	for _, e := range s.again(time.Now()) {
		var one socketEvent
		if err := json.Unmarshal(e.Data, &one); err != nil {
			t.Fatal(err)
		}
		got = append(got, string(e.Kind)+one.Command)
	}
	want := []string{"socket_opened", `subscribed{"a":"mode","v":["quote",[1,4]]}`, `subscribed{"a":"mode","v":["full",[2]]}`}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q", got)
	}
	tell(tape.SocketClosed, messages.SocketFact{})
	if len(s.again(time.Now())) != 0 {
		t.Error("a closed socket is reported")
	}
}
