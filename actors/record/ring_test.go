package record

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"testing"

	"kitestring/actors/tape"
	"kitestring/messages"
)

func testRing(t *testing.T) *ring {
	t.Helper()
	r := &ring{shard: 1, wake: make(chan struct{}, 1)}
	t.Cleanup(func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// Entries of any length come out as they went in, over many turns of the ring,
// while the writer is now ahead and now behind.
func TestRingKeepsEachEntry(t *testing.T) {
	r := testRing(t)
	rng := rand.New(rand.NewPCG(1, 2))
	source := make([]byte, 300_000)
	for i := range source {
		source[i] = byte(rng.Uint32())
	}
	type sent struct{ from, length int }
	var waiting []sent
	total := 0
	for i := 0; total < 5*ringSize; i++ {
		s := sent{rng.IntN(100), rng.IntN(200_000)}
		if rng.IntN(4) > 0 {
			s.length = rng.IntN(300)
		}
		r.put(frame, int64(i), messages.Socket{Shard: 1, ID: uint64(i), Generation: 7}, source[s.from:s.from+s.length])
		waiting = append(waiting, s)
		total += s.length
		if r.dropped.Load() != 0 {
			t.Fatal("no room, although the writer keeps up")
		}
		for len(waiting) > 40 || rng.IntN(3) == 0 && len(waiting) > 0 {
			e, ok := r.peek()
			want := waiting[0]
			if !ok || !bytes.Equal(e.data, source[want.from:want.from+want.length]) || e.at != int64(i-len(waiting)+1) || e.socket.ID != uint64(e.at) || e.socket.Generation != 7 || e.socket.Shard != 1 {
				t.Fatalf("entry %d: %v %+v", i, ok, e.socket)
			}
			r.take(e)
			r.written()
			waiting = waiting[1:]
		}
	}
}

// A full ring counts what it drops, and the count stands where it was dropped.
func TestRingCountsWhatFindsNoRoom(t *testing.T) {
	r := testRing(t)
	message := make([]byte, 100_000)
	kept := 0
	for r.dropped.Load() < 3 {
		r.put(frame, int64(1000+kept), messages.Socket{Shard: 1}, message)
		kept++
	}
	kept -= 3
	for range 50 {
		e, _ := r.peek()
		r.take(e)
	}
	r.put(frame, 5000, messages.Socket{Shard: 1}, message) // still none: nothing was given up
	if r.dropped.Load() != 4 {
		t.Fatal("what was taken and not written was given up")
	}
	r.written()
	r.put(frame, 5001, messages.Socket{Shard: 1}, message)
	var last entry
	n := 50
	for e, ok := r.peek(); ok; e, ok = r.peek() {
		if e.kind == event {
			k, data := decode(e.data)
			var d tape.Dropped
			if err := json.Unmarshal(data, &d); err != nil || k != tape.FramesDropped || d.Frames != 4 || n != kept ||
				d.From.UnixNano() != int64(1000+kept) || d.To.UnixNano() != 5000 {
				t.Errorf("after %d of %d: %s %+v %v", n, kept, k, d, err)
			}
		} else {
			n++
		}
		last = e
		r.take(e)
	}
	if n != kept+1 || last.at != 5001 {
		t.Errorf("%d frames, the last at %d", n, last.at)
	}
}

// What was taken and could not be written comes once more.
func TestRingGoesBack(t *testing.T) {
	r := testRing(t)
	for i := range 3 {
		r.put(frame, int64(i), messages.Socket{Shard: 1}, []byte{byte(i)})
	}
	for range 2 {
		for i := range 3 {
			e, ok := r.peek()
			if !ok || e.data[0] != byte(i) {
				t.Fatalf("entry %d: %v %v", i, ok, e.data)
			}
			r.take(e)
		}
		r.back()
	}
}

func BenchmarkRing(b *testing.B) {
	r := &ring{wake: make(chan struct{}, 1)}
	defer func() { _ = r.close() }()
	message := make([]byte, 186)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r.put(frame, int64(i), messages.Socket{ID: 1, Generation: 1}, message)
		if i%1024 == 0 {
			for e, ok := r.peek(); ok; e, ok = r.peek() {
				r.take(e)
			}
			r.written()
		}
	}
}

// A writer that is late from one moment on finds nearly the whole memory used
// before anything is dropped, wherever in the memory it came to that.
func TestRingHoldsItsSizeFromAnyPlace(t *testing.T) {
	message := make([]byte, 50_000)
	for before := range 40 {
		r := testRing(t)
		for i := range before * 3 {
			r.put(frame, int64(i), messages.Socket{Shard: 1}, message)
			if e, ok := r.peek(); ok {
				r.take(e)
			}
			r.written()
		}
		n := 0
		for ; r.dropped.Load() == 0; n++ {
			r.put(frame, int64(n), messages.Socket{Shard: 1}, message)
		}
		if held := (n - 1) * len(message); held < ringSize-ringHot-len(message) {
			t.Fatalf("after %d messages it held %d bytes of %d", before*3, held, ringSize)
		}
		for range n - 1 {
			e, ok := r.peek()
			if !ok || e.kind != frame || len(e.data) != len(message) {
				t.Fatalf("%v %d", ok, len(e.data))
			}
			r.take(e)
		}
		r.written()
	}
}

// What a late writer had filled is given back, and what waits stays as it is.
func TestRingGivesMemoryBack(t *testing.T) {
	r := testRing(t)
	message := bytes.Repeat([]byte{7}, 100_000)
	for r.dropped.Load() == 0 {
		r.put(frame, 1, messages.Socket{Shard: 1}, message)
	}
	for e, ok := r.peek(); ok; e, ok = r.peek() {
		r.take(e)
	}
	r.written()
	full := r.touched
	for range 5 {
		r.put(frame, 2, messages.Socket{Shard: 1}, message)
	}
	for range ringSize / trimStep {
		r.trim()
	}
	if full < ringSize-ringHot || r.touched > 4*ringHot {
		t.Fatalf("%d bytes were in use, %d after trim", full, r.touched)
	}
	for n := 0; ; n++ {
		e, ok := r.peek()
		if !ok {
			if n < 5 {
				t.Fatalf("%d entries", n)
			}
			break
		}
		if e.kind == frame && !bytes.Equal(e.data, message) {
			t.Fatal("changed")
		}
		r.take(e)
	}
}
