package feed

import (
	"sync/atomic"
	"time"

	"kitestring/messages"
	"kitestring/messages/wire"
)

// chunkTicks is the most ticks that one batch carries: a subscriber's turn is
// short, and its data still in the cache.
const chunkTicks = 512

// The size classes of frames, in bytes of raw packets: the first for what the
// table itself has to say, the others for what readers read.
var frameClasses = [...]int{4 << 10, 128 << 10, 256 << 10, wire.MaxFrame + wire.ReaderSlack}

// frameClass is the smallest class for so many bytes.
func frameClass(size int) int {
	class := 0
	for class < len(frameClasses)-1 && frameClasses[class] < size {
		class++
	}
	return class
}

// frame is the memory of the WebSocket frames that a reader has read one after
// the other: their packets, their ticks and the batches that share both. Small
// ones share it, so that a queue of small batches stays small. It goes back to
// its pool when its reader has given it up and the last batch has been
// released. What a batch shows never changes: what comes is put behind it.
type frame struct {
	raw    []byte
	ticks  []messages.Tick
	sent   int // ticks that have been pushed
	chunks []*messages.Ticks
	used   int          // of chunks
	open   atomic.Int32 // its reader and the chunks that somebody holds
	class  int
	pool   *pool
	next   *frame // in the pool
}

// pool recycles frames: a stack with many pushers (the subscribers) and one
// popper at a time (a reader that holds the table's lock), hence neither a
// lock nor an ABA problem.
type pool struct {
	free [len(frameClasses)]atomic.Pointer[frame]
}

// get is an empty frame for so many raw bytes, with one holder.
func (p *pool) get(size int) *frame {
	class := frameClass(size)
	head := &p.free[class]
	for {
		f := head.Load()
		if f == nil {
			f = &frame{raw: make([]byte, 0, frameClasses[class]), class: class, pool: p}
			f.open.Store(1)
			return f
		}
		if head.CompareAndSwap(f, f.next) {
			f.next, f.raw, f.ticks, f.sent, f.used = nil, f.raw[:0], f.ticks[:0], 0, 0
			f.open.Store(1)
			return f
		}
	}
}

func (p *pool) put(f *frame) {
	if poison {
		overwrite(f)
	}
	head := &p.free[f.class]
	for {
		f.next = head.Load()
		if head.CompareAndSwap(f.next, f) {
			return
		}
	}
}

// overwrite makes a use after the release visible.
func overwrite(f *frame) {
	for i := range f.ticks {
		f.ticks[i] = messages.Tick{InstrumentToken: 0xdeadbeef, LastPrice: -1}
	}
	for i := range f.raw {
		f.raw[i] = 0xdb
	}
}

// chunk is the frame's next batch, with one holder.
func (f *frame) chunk() *messages.Ticks {
	if f.used == len(f.chunks) {
		f.chunks = append(f.chunks, messages.NewTicks(func(*messages.Ticks) { f.release() }))
	}
	b := f.chunks[f.used]
	f.used++
	b.Retain(1)
	f.open.Add(1)
	return b
}

func (f *frame) release() {
	if f.open.Add(-1) == 0 {
		f.pool.put(f)
	}
}

// burst is what a reader has taken out of its socket's buffer and not yet
// pushed. Small frames that came together go out together: a push and a wake
// of each subscriber cost as much as the ticks of a small frame. Nothing waits
// for what has not come yet: a burst ends when the reader has to ask the
// network, or when it fills a batch.
type burst struct {
	frame      *frame // held, with ticks that have not been pushed; nil: none
	generation messages.Generation
	received   time.Time // the read that brought it
	newest     uint32    // exchange time
}

// lock locks the table and ends the burst: every look at the table finds
// pushed what is in it. Only take, which adds to a burst, locks without it. The
// lock is not held when the flush panics: the caller's deferred unlock is not
// in place yet.
func (t *table) lock() {
	t.mu.Lock()
	flushed := false
	defer func() {
		if !flushed {
			t.mu.Unlock()
		}
	}()
	t.flush()
	flushed = true
}

// locked looks at the table, or changes it.
func (t *table) locked(f func()) {
	t.lock()
	defer t.mu.Unlock()
	f()
}

// extend adds the frame's last ticks to the burst.
func (t *table) extend(f *frame, from int, generation messages.Generation, now time.Time) {
	if t.burst.frame == nil {
		f.open.Add(1)
		t.burst = burst{frame: f, generation: generation, received: now}
	}
	t.rate.add(now, len(f.ticks)-from)
	t.burst.newest = max(t.burst.newest, t.counts.pushed(f.ticks[from:], now))
}

// flush ends the burst.
func (t *table) flush() {
	b := t.burst
	if b.frame == nil {
		return
	}
	t.burst = burst{}
	t.publish(b.frame, b.generation, b.received)
	b.frame.release()
	if t.observe != nil {
		t.observe(b.newest, b.received)
	}
}

// publish hands the ticks of a frame that no sink has seen yet to every sink, in
// batches.
func (t *table) publish(f *frame, generation messages.Generation, received time.Time) {
	for f.sent < len(f.ticks) {
		end := min(f.sent+chunkTicks, len(f.ticks))
		b := f.chunk()
		b.Generation, b.Shard, b.Received, b.Raw, b.Ticks = generation, t.shard, received, f.raw, f.ticks[f.sent:end]
		f.sent = end
		t.push(b)
	}
}

// push hands a batch to every sink and gives it up. A sink that panics loses
// this batch; nobody else does, and the panic ends here.
func (t *table) push(b *messages.Ticks) {
	for next := 0; next < len(t.sinks); {
		next = t.pushFrom(next, b)
	}
	b.Release()
}

func (t *table) pushFrom(at int, b *messages.Ticks) (next int) {
	if t.panicked != nil {
		defer func() {
			if p := recover(); p != nil {
				t.panicked(t.sinks[at].name, p)
				next = at + 1
			}
		}()
	}
	for ; at < len(t.sinks); at++ {
		if t.sinks[at].sink.Push(b) {
			t.behind = true
		}
	}
	return at
}

// publishNow counts, hands out and gives up a frame of the table's own.
func (t *table) publishNow(f *frame, generation messages.Generation, now time.Time) {
	t.counts.pushed(f.ticks, now)
	t.rate.add(now, len(f.ticks))
	t.publish(f, generation, now)
	f.release()
}

// pause ends the burst before the reader waits, and answers whether a
// subscriber has fallen behind since the last pause.
func (t *table) pause() (behind bool) {
	t.lock()
	defer t.mu.Unlock()
	behind, t.behind = t.behind, false
	return behind
}

// frame is a frame with room for so many bytes; the caller holds it.
func (t *table) frame(size int) *frame {
	t.lock() // the burst's frame may be the one to come back
	defer t.mu.Unlock()
	return t.pool.get(max(size, frameClasses[1]))
}

// inbox is where a reader puts what it reads: one message behind the other into
// a frame of the table's, so that no packet is copied before it is looked at.
// Not safe for concurrent use.
type inbox struct {
	table  *table
	reader wire.Reader
	frame  *frame // what the reader reads into; nil: nothing yet
	memory []byte // of frame, all of it
}

// room changes to another frame, with room for size bytes. The one before is
// given up when what is in it has been taken along.
func (in *inbox) room(size int) (memory []byte, give func()) {
	before := in.frame
	in.frame = in.table.frame(size)
	in.memory = in.frame.raw[:cap(in.frame.raw)]
	return in.memory, func() {
		if before != nil {
			before.release()
		}
	}
}

// close gives the frame up.
func (in *inbox) close() {
	if in.frame != nil {
		in.frame.release()
		in.frame = nil
	}
}
