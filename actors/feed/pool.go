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
var frameClasses = [...]int{4 << 10, 128 << 10, 256 << 10, wire.MaxFrame + 1}

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

// free is the room behind the packets.
func (f *frame) free() []byte { return f.raw[len(f.raw):cap(f.raw)] }

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
		spoil(f)
	}
	head := &p.free[f.class]
	for {
		f.next = head.Load()
		if head.CompareAndSwap(f.next, f) {
			return
		}
	}
}

// spoil makes a use after the release visible.
func spoil(f *frame) {
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

// publish hands the ticks that have not been pushed yet to every sink, in
// batches. True: a subscriber falls behind.
func (f *frame) publish(sinks []attached, generation messages.Generation, shard int, received time.Time) (yield bool) {
	for f.sent < len(f.ticks) {
		end := min(f.sent+chunkTicks, len(f.ticks))
		b := f.chunk()
		b.Generation, b.Shard, b.Received, b.Raw, b.Ticks = generation, shard, received, f.raw, f.ticks[f.sent:end]
		f.sent = end
		for _, s := range sinks {
			if s.sink.Push(b) {
				yield = true
			}
		}
		b.Release()
	}
	return yield
}
