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

// The size classes of frames, in bytes of raw packets. A small frame never
// holds a big slab, so that a queue of small batches stays small.
var frameClasses = [...]int{4 << 10, 32 << 10, 256 << 10, wire.MaxFrame + 1}

// frameClass is the smallest class for so many bytes.
func frameClass(size int) int {
	class := 0
	for class < len(frameClasses)-1 && frameClasses[class] < size {
		class++
	}
	return class
}

// frame is the memory of one WebSocket frame: its packets, its ticks and the
// batches that share both. It goes back to its pool when the last batch has
// been released.
type frame struct {
	raw    []byte
	ticks  []messages.Tick
	chunks []*messages.Ticks
	open   atomic.Int32 // chunks that somebody holds
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

// get is a frame for so many raw bytes.
func (p *pool) get(size int) *frame {
	class := frameClass(size)
	head := &p.free[class]
	for {
		f := head.Load()
		if f == nil {
			return &frame{raw: make([]byte, 0, max(size, frameClasses[class])), class: class, pool: p}
		}
		if head.CompareAndSwap(f, f.next) {
			f.next = nil
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

// keep gives the frame its packets. It keeps raw itself when that is a buffer
// of the frame's class, and answers its own in exchange.
func (f *frame) keep(raw []byte) (spare []byte) {
	if size := frameClasses[f.class]; cap(raw) == size {
		spare, f.raw = f.raw[:size:size], raw
		return spare
	}
	f.raw = append(f.raw[:0], raw...)
	return nil
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

// chunk is the i-th batch of the frame, with one holder.
func (f *frame) chunk(i int) *messages.Ticks {
	for i >= len(f.chunks) {
		f.chunks = append(f.chunks, messages.NewTicks(func(*messages.Ticks) { f.release() }))
	}
	b := f.chunks[i]
	b.Retain(1)
	f.open.Add(1)
	return b
}

func (f *frame) release() {
	if f.open.Add(-1) == 0 {
		f.pool.put(f)
	}
}

// publish hands the frame's ticks to every sink, in batches, and gives the
// frame up. True: a subscriber falls behind.
func (f *frame) publish(sinks []attached, generation messages.Generation, shard int, received time.Time) (yield bool) {
	f.open.Add(1)
	for i, from := 0, 0; from < len(f.ticks); i, from = i+1, from+chunkTicks {
		b := f.chunk(i)
		b.Generation, b.Shard, b.Received, b.Raw = generation, shard, received, f.raw
		b.Ticks = f.ticks[from:min(from+chunkTicks, len(f.ticks))]
		for _, s := range sinks {
			if s.sink.Push(b) {
				yield = true
			}
		}
		b.Release()
	}
	f.release()
	return yield
}
