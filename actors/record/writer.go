package record

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"time"

	"kitestring/actors"
	"kitestring/actors/tape"
	"kitestring/messages"
	"kitestring/messages/ist"
)

// How often the writer does what it does.
const (
	blockEvery = 100 * time.Millisecond
	syncEvery  = time.Second
	lookEvery  = time.Second // at the disk's free space
	clockEvery = time.Minute
	pruneEvery = time.Minute
)

// writer brings what the rings hold to disk. It is one goroutine; syncing and
// deleting, which may take long, are two others.
type writer struct {
	cfg   Config
	store *Store
	self  actors.Self
	state state

	dir      *tape.Directory // nil: not ours
	tape     *tape.Writer
	started  bool // the start of the process is in a ring
	segments int  // begun

	lookedAt, clockAt time.Time
	synced            chan error    // of the goroutine that syncs; holds one
	pruned            chan struct{} // asks for the goroutine that deletes
}

// run is the writer's task.
func (w *writer) run(ctx context.Context) error {
	w.store.writing.Lock()
	defer w.store.writing.Unlock()
	w.synced, w.pruned = make(chan error, 1), make(chan struct{}, 1)
	for _, r := range w.store.rings {
		r.back() // what an incarnation before has taken and not written
	}
	tick := time.NewTicker(blockEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		w.turn(time.Now())
		select {
		case <-ctx.Done():
		case <-w.store.wake:
		case <-tick.C:
		}
	}
	w.end()
	return nil
}

// turn does what is due.
func (w *writer) turn(now time.Time) {
	if w.dir == nil {
		if w.state.State != Starting && now.Before(w.state.retryAt) {
			return
		}
		if w.open(now); w.dir == nil {
			return
		}
	}
	select {
	case err := <-w.synced:
		if err != nil {
			w.step(wrote{err}, now)
		}
	default:
	}
	if now.Sub(w.lookedAt) >= lookEvery {
		w.lookedAt = now
		w.look(now)
		for _, r := range w.store.rings {
			r.trim()
		}
	}
	if !w.state.due(now) {
		return
	}
	if w.state.State == PausedDisk { // its time has come: is there room?
		free, size, err := w.cfg.Disk.space(w.cfg.Dir)
		if err == nil && free < tape.LeastFree(size) {
			w.state.retryAt = now.Add(retryAfter)
			return
		}
	}
	w.files()
	w.drain(now)
}

// open takes the directory.
func (w *writer) open(now time.Time) {
	dir, err := tape.OpenForWriting(w.cfg.Dir)
	w.step(owned{err}, now)
	if err != nil {
		return
	}
	w.dir, w.tape = dir, dir.NewWriter(tape.WriterConfig{Boot: w.cfg.Boot, Opening: w.store.sockets.again, Create: w.cfg.Disk.Create})
	w.store.mu.Lock()
	w.store.writer = w.tape
	w.store.mu.Unlock()
	if !w.started {
		w.started = true
		w.store.begin(w.cfg)
	}
	opened := w.tape
	w.self.Go("sync the tape", func(ctx context.Context) error { return w.sync(ctx, opened) })
	w.self.Go("delete old tapes", w.prune)
}

// drain writes what the rings hold, block by block; what is written is given
// up. A block that cannot be written stays in the rings.
func (w *writer) drain(now time.Time) {
	for {
		for _, r := range w.store.rings {
			r.account()
		}
		w.clock(now)
		var frames int
		for !w.tape.Full() {
			if !w.take() {
				break
			}
			frames++
		}
		if frames == 0 {
			break
		}
		begun := time.Now()
		err := w.tape.Flush()
		w.cfg.Metrics.wrote(time.Since(begun))
		w.step(wrote{err}, now)
		if err != nil {
			for _, r := range w.store.rings {
				r.back()
			}
			return
		}
		for _, r := range w.store.rings {
			r.written()
		}
		w.store.change(func(s *Status) { s.LastWrite = begun })
		if n := w.tape.Stats().Segments; n != w.segments {
			w.segments = n
			select {
			case w.pruned <- struct{}{}: // a new segment may be one too many
			default:
			}
		}
	}
}

// take appends the oldest entry of all rings; false: there is none.
func (w *writer) take() bool {
	var oldest entry
	var from *ring
	for _, r := range w.store.rings {
		if e, ok := r.peek(); ok && (from == nil || e.at < oldest.at) {
			oldest, from = e, r
		}
	}
	if from == nil {
		return false
	}
	from.take(oldest)
	at := time.Unix(0, oldest.at)
	var err error
	if oldest.kind == frame {
		s := oldest.socket
		err = w.tape.Append(tape.Frame{At: at, Shard: s.Shard, Socket: s.ID, Generation: s.Generation, Data: oldest.data})
	} else {
		k, data := decode(oldest.data)
		err = w.tape.AppendEvent(tape.Event{At: at, Kind: k, Data: data})
		w.store.sockets.follow(k, data)
	}
	if err != nil { // longer than a block may be
		w.note(at, tape.FramesDropped, tape.Dropped{Frames: 1, From: at, To: at, Reason: err.Error()})
	}
	return true
}

// note appends an event of the writer's own.
func (w *writer) note(at time.Time, k tape.Kind, data any) {
	if e, err := tape.NewEvent(at, k, data); err == nil {
		_ = w.tape.AppendEvent(e) // it is short
	}
}

// clock puts the two clocks side by side.
func (w *writer) clock(now time.Time) {
	if now.Sub(w.clockAt) < clockEvery {
		return
	}
	w.clockAt = now
	exchange := w.store.clock.Now()
	w.store.put(messages.Socket{}, tape.ClockChecked, struct {
		Machine  time.Time `json:"machine"`
		OffsetMS float64   `json:"offset_ms"` // how far the recorder's clock, the exchange's, is ahead of the machine's
	}{now.UTC(), float64(exchange.Sub(now).Microseconds()) / 1000})
}

// look reads the free space.
func (w *writer) look(now time.Time) {
	free, size, err := w.cfg.Disk.space(w.cfg.Dir)
	if err != nil {
		return // the next write says what is wrong
	}
	w.store.change(func(s *Status) { s.DiskFree, s.DiskSize = free, size })
	w.step(looked{free, size}, now)
}

// step decides, and says what has changed.
func (w *writer) step(f fact, now time.Time) {
	was := w.state.State
	var changed bool
	if w.state, changed = next(w.state, f, now); !changed {
		return
	}
	w.store.accepts.Store(w.state.State != Elsewhere)
	w.store.change(func(s *Status) { s.State, s.Reason, s.Since = w.state.State, w.state.reason, w.state.since })
	w.cfg.note(w.state.State, w.state.reason)
	level := w.self.Log().Info
	if w.state.reason != "" {
		level = w.self.Log().Warn
	}
	level("recorder changed", "state", w.state.String(), "reason", w.state.reason, "directory", w.cfg.Dir)
	if was != w.state.State && w.dir != nil {
		w.store.put(messages.Socket{}, tape.DiskChanged, struct {
			State  string `json:"state"`
			Reason string `json:"reason,omitempty"`
		}{w.state.String(), w.state.reason})
	}
}

// files writes the instruments files that wait.
func (w *writer) files() {
	w.store.mu.Lock()
	files := w.store.files
	w.store.files = map[string][]byte{}
	w.store.mu.Unlock()
	for day, file := range files {
		if err := w.dir.WriteInstruments(day, file); err != nil {
			w.self.Log().Warn("the day's instruments file is not kept", "day", day, "error", err)
		}
	}
}

// end writes what is left.
func (w *writer) end() {
	now := time.Now()
	if w.dir != nil {
		if w.state.due(now) {
			w.drain(now)
		}
		err := w.tape.Close()
		w.store.mu.Lock()
		w.store.written.Add(w.tape.Stats().Counts)
		w.store.writer = nil
		w.store.mu.Unlock()
		if err = errors.Join(err, w.dir.Close()); err != nil {
			w.self.Log().Warn("the tape is not closed in order; it can be read up to its last whole block", "error", err)
		}
	}
	w.step(ended{}, now)
}

// sync brings what was written to the disk. A disk that is slow keeps nobody
// else waiting.
func (w *writer) sync(ctx context.Context, t *tape.Writer) error {
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		begun := time.Now()
		err := t.Sync()
		w.cfg.Metrics.synced(time.Since(begun))
		select {
		case w.synced <- err:
		default: // the writer has not looked at the last one
		}
	}
}

// prune deletes what is too old or too much, and looks how much there is.
func (w *writer) prune(ctx context.Context) error {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		w.pruneNow()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-w.pruned:
		}
	}
}

func (w *writer) pruneNow() {
	_, size, err := w.cfg.Disk.space(w.cfg.Dir)
	if err != nil {
		return
	}
	keep := w.cfg.Keep
	usual := tape.DefaultRetention(size)
	keep.Days, keep.Bytes = cmp.Or(keep.Days, usual.Days), cmp.Or(keep.Bytes, usual.Bytes)
	deleted, err := w.dir.Prune(w.store.clock.Now(), keep, false)
	if err != nil {
		w.self.Log().Warn("old segments are not deleted", "error", err)
	}
	if len(deleted) > 0 {
		w.self.Log().Info("old segments deleted", "segments", len(deleted), "keep_days", keep.Days, "keep_bytes", keep.Bytes)
	}
	before := w.tape.Stats().Bytes
	segments, bytes, oldest := extent(w.dir)
	w.store.change(func(s *Status) {
		s.Deleted += uint64(len(deleted))
		s.Segments, s.Bytes, s.Oldest, s.Keep = segments, bytes-before, oldest, keep
	})
}

// extent is how much there is in a directory.
func extent(d *tape.Directory) (segments int, bytes int64, oldest time.Time) {
	days, err := d.Days()
	if err != nil || len(days) == 0 {
		return 0, 0, time.Time{}
	}
	for _, day := range days {
		segments += len(day.Segments)
		bytes += day.Bytes()
	}
	return segments, bytes, began(days[0].Day, days[0].Segments[0])
}

// began is the minute in which a segment begins; its name has it.
func began(day string, s tape.Segment) time.Time {
	t, _ := time.ParseInLocation("2006-01-02 1504", day+" "+filepath.Base(s.Path)[:4], ist.Zone) // else it would be no segment
	return t
}

// segmentsBetween names the segments of a directory that may hold a moment
// between two.
func segmentsBetween(dir string, from, to time.Time) (names []string) {
	days, err := tape.Open(dir).Days()
	if err != nil {
		return nil
	}
	for _, d := range days {
		for i, s := range d.Segments {
			begins := began(d.Day, s)
			last := i+1 == len(d.Segments) || began(d.Day, d.Segments[i+1]).Add(time.Minute).After(from)
			if last && !begins.After(to) && begins.Add(tape.SegmentTime+time.Minute).After(from) {
				names = append(names, filepath.Join("day="+d.Day, filepath.Base(s.Path)))
			}
		}
	}
	return names
}
