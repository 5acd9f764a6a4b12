package record

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"kitestring/actors/tape"
	"kitestring/messages"
)

// ringSize is the memory of one shard, a power of two.
const ringSize = 16 << 20

// ringHot is how much of the memory is used while the writer keeps up: less of
// it is resident, and stays in the cache.
const ringHot = 1 << 20

// ringAgain is how much must be free, after something found no room, before
// anything is taken again: the count of what was lost and the longest message.
const ringAgain = 4 << 20

// kind says what an entry of a ring is.
type kind uint8

const (
	skip  kind = iota // the rest of the memory up to its end is not used
	frame             // a binary message
	event             // its kind, a line feed, its JSON
)

// entry is what the ring holds: a message or an event, with where it is from.
type entry struct {
	kind   kind
	at     int64 // Unix nanoseconds
	socket messages.Socket
	data   []byte
}

// An entry lies in the ring as a header, its data and padding to 8 bytes.
const (
	headLength = 32
	ringAlign  = 8
)

// ring is the memory between the readers of one shard and the writer of the
// tape. Readers never wait for the writer: what finds no room is counted, and
// the count is in the ring before the next entry.
//
// put is for many goroutines; the others are for one.
type ring struct {
	shard int
	wake  chan<- struct{} // wakes the writer when much is waiting

	head atomic.Uint64 // written up to here; grows for ever
	done atomic.Uint64 // given up up to here: by the writer, and by put where nothing waits

	mu      sync.Mutex // of those that put
	memory  []byte     // nil: not asked for yet, or given back
	closed  bool
	woken   uint64 // head at the last wake
	touched uint64 // the memory is in use up to here
	lost    lost
	dropped atomic.Uint64 // frames, since the process began

	next uint64 // the writer's: read up to here
}

// lost is what found no room since the last entry that did.
type lost struct {
	frames   uint64
	from, to int64
}

// put copies an entry into the ring, or counts it.
func (r *ring) put(k kind, at int64, s messages.Socket, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if r.memory == nil {
		memory, err := unix.Mmap(-1, 0, ringSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			r.drop(k, at)
			return
		}
		r.memory = memory
	}
	if r.lost.frames > 0 && ringSize-r.waiting() < ringAgain || !r.say() || !r.add(k, at, s, data) {
		r.drop(k, at)
		return
	}
	if head := r.head.Load(); head-r.woken > ringHot {
		r.woken = head
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// drop counts an entry that finds no room. mu is held.
func (r *ring) drop(k kind, at int64) {
	if r.lost.frames == 0 {
		r.lost.from = at
	}
	r.lost.to = at
	r.lost.frames++
	if k == frame {
		r.dropped.Add(1)
	}
}

// say puts what was lost into the ring, once there is room again; true: there is
// nothing left to say. mu is held.
func (r *ring) say() bool {
	if r.lost.frames == 0 {
		return true
	}
	data := encode(tape.FramesDropped, tape.Dropped{
		Frames: int(r.lost.frames), From: time.Unix(0, r.lost.from).UTC(), To: time.Unix(0, r.lost.to).UTC(), Reason: "the memory of the recorder was full",
	})
	if !r.add(event, r.lost.to, messages.Socket{Shard: r.shard}, data) {
		return false
	}
	r.lost = lost{}
	return true
}

// account puts what was lost into the ring although nothing comes after it.
func (r *ring) account() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.memory != nil && !r.closed {
		r.say()
	}
}

// add copies an entry; false: there is no room. mu is held.
func (r *ring) add(k kind, at int64, s messages.Socket, data []byte) bool {
	size := uint64(headLength+len(data)+ringAlign-1) &^ (ringAlign - 1)
	head, done := r.head.Load(), r.done.Load()
	place := head & (ringSize - 1)
	// Nothing waits: begin at the front again. Else only where the rest is too short.
	if rest := ringSize - place; rest < size || head == done && place > ringHot {
		if head != done && head+rest+size-done > ringSize {
			return false
		}
		if head == done { // what is skipped is nothing that waits: the writer is there already
			r.done.Store(head + rest)
		} else {
			r.header(place, skip, 0, 0, messages.Socket{})
		}
		head += rest
		place = 0
	} else if head+size-done > ringSize {
		return false
	}
	r.header(place, k, len(data), at, s)
	copy(r.memory[place+headLength:], data)
	r.touched = max(r.touched, place+size)
	r.head.Store(head + size)
	return true
}

func (r *ring) header(place uint64, k kind, length int, at int64, s messages.Socket) {
	h := r.memory[place:]
	binary.LittleEndian.PutUint32(h, uint32(length))
	h[4] = byte(k)
	if k == skip { // there may be no room for more
		return
	}
	binary.LittleEndian.PutUint64(h[8:], uint64(at))
	binary.LittleEndian.PutUint64(h[16:], s.ID)
	binary.LittleEndian.PutUint64(h[24:], uint64(s.Generation))
}

// peek is the next entry that was not taken. Its data is valid until it is
// given up.
func (r *ring) peek() (e entry, ok bool) {
	head := r.head.Load()
	r.next = max(r.next, r.done.Load()) // put has gone on at the front
	for r.next < head {
		place := r.next & (ringSize - 1)
		h := r.memory[place:] // written before head was
		if kind(h[4]) == skip {
			r.next += ringSize - place
			continue
		}
		length := binary.LittleEndian.Uint32(h)
		return entry{
			kind: kind(h[4]), at: int64(binary.LittleEndian.Uint64(h[8:])),
			socket: messages.Socket{Shard: r.shard, ID: binary.LittleEndian.Uint64(h[16:]), Generation: messages.Generation(binary.LittleEndian.Uint64(h[24:]))},
			data:   h[headLength : headLength+length],
		}, true
	}
	return entry{}, false
}

// take passes the entry that peek gave.
func (r *ring) take(e entry) {
	r.next += uint64(headLength+len(e.data)+ringAlign-1) &^ (ringAlign - 1)
}

// written gives up all that was taken: it is on disk. Where nothing was, put may
// have moved on.
func (r *ring) written() {
	if r.next > r.done.Load() {
		r.done.Store(r.next)
	}
}

// trimStep bounds how long a put can wait for trim: some 50 us.
const trimStep = 1 << 20

// trim gives memory back that a late writer had filled, a step at a time. While
// the writer keeps up, only the beginning is used.
func (r *ring) trim() {
	r.mu.Lock()
	defer r.mu.Unlock()
	place := r.head.Load() & (ringSize - 1)
	if r.memory == nil || place > 2*ringHot || r.waiting() > int64(place) || r.touched <= 2*ringHot+trimStep {
		return
	}
	from := (r.touched - trimStep) &^ (trimStep - 1)
	if unix.Madvise(r.memory[from:min(from+2*trimStep, ringSize)], unix.MADV_DONTNEED) == nil {
		r.touched = from
	}
}

// back takes all that was not given up once more.
func (r *ring) back() { r.next = r.done.Load() }

// waiting is how many bytes have not been given up.
func (r *ring) waiting() int64 {
	done := r.done.Load() // before head: it may be ahead of it for a moment
	return max(0, int64(r.head.Load()-done))
}

// close gives the memory back. The writer has ended.
func (r *ring) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.memory == nil {
		return nil
	}
	err := unix.Munmap(r.memory)
	r.memory = nil
	if err != nil {
		return fmt.Errorf("give the memory of the recorder back: %w", err)
	}
	return nil
}
