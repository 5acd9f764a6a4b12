package feed

import (
	"encoding/binary"
	"hash/maphash"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// pair runs two sockets that carry the same packets through a merger, as the
// table does, and keeps what goes out.
type pair struct {
	m   merger
	out map[int][]uint64
}

func testArrival(n uint64, ordered bool) arrival {
	packet := binary.BigEndian.AppendUint64(nil, n)
	a := arrival{hash: maphash.Bytes(seed, packet), packet: packet}
	if ordered {
		a.moment = moment{1 + uint32(n/4), uint32(n / 2), 0}
	}
	return a
}

func (p *pair) offer(slot int, s side, n uint64, ordered bool) {
	keep, flush := p.m.offer(slot, s, testArrival(n, ordered))
	if keep {
		p.out[slot] = append(p.out[slot], n)
	}
	p.flush(slot, flush)
}

func (p *pair) flush(slot int, flush []held) {
	for _, h := range flush {
		p.out[slot] = append(p.out[slot], binary.BigEndian.Uint64(h.packet))
	}
}

// Any interleaving of two copies of the same sequences, joined anywhere, with
// twins in a row, ended by a decision or by the death of either socket at any
// moment: every packet goes out once, in order.
func TestMergerIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		instruments := rapid.IntRange(1, 4).Draw(t, "instruments")
		ordered := rapid.Bool().Draw(t, "ordered")
		ends := rapid.SampledFrom([]string{"complete", "older dies", "newer dies"}).Draw(t, "ends")
		p := pair{out: map[int][]uint64{}}
		length := make([]int, instruments) // packets of the source
		at := make([][2]int, instruments)  // next packet of each side
		from := make([]int, instruments)   // the newer side's first packet
		before := make([]int, instruments) // packets that the older side had brought before
		for i := range instruments {
			length[i] = rapid.IntRange(0, 12).Draw(t, "length")
			before[i] = rapid.IntRange(0, length[i]).Draw(t, "before")
			from[i] = rapid.IntRange(max(0, before[i]-1), max(0, length[i]-1)).Draw(t, "from")
			at[i] = [2]int{before[i], from[i]}
			for n := range before[i] {
				p.out[i] = append(p.out[i], uint64(n))
			}
			if before[i] > 0 {
				last := testArrival(uint64(before[i]-1), ordered)
				p.m.known(i, last.hash, last.moment, nil)
			} else {
				p.m.track(i)
			}
		}
		alive := [2]bool{true, true}
		kill := func(s side) {
			alive[s] = false
			p.m.leave(s, p.flush)
		}
		// Did the newer side begin no later than where the older one is? Else the
		// older one's death loses what nobody can bring.
		begun := func() bool {
			for i := range instruments {
				if from[i] > at[i][older] {
					return false
				}
			}
			return true
		}
		death := rapid.IntRange(0, 20).Draw(t, "death")
		for step := 0; ; step++ {
			if ends != "complete" && step == death && alive[older] && alive[newer] {
				switch {
				case ends == "newer dies":
					kill(newer)
				case begun():
					kill(older)
				}
			}
			if ends == "complete" && alive[older] && p.m.complete(false) {
				kill(older)
			}
			type move struct {
				i int
				s side
			}
			var moves []move
			for i := range instruments {
				for s := range side(2) {
					if alive[s] && at[i][s] < length[i] {
						moves = append(moves, move{i, s})
					}
				}
			}
			if len(moves) == 0 {
				break
			}
			m := rapid.SampledFrom(moves).Draw(t, "move")
			n := at[m.i][m.s]
			p.offer(m.i, m.s, uint64(n), ordered)
			if rapid.IntRange(0, 3).Draw(t, "twin") == 0 {
				p.offer(m.i, m.s, uint64(n), ordered)
			}
			at[m.i][m.s]++
		}
		for i := range instruments {
			want := make([]uint64, length[i])
			for n := range want {
				want[n] = uint64(n)
			}
			if !slices.Equal(p.out[i], want) {
				t.Fatalf("instrument %d: out %v, want 0..%d (%s, before %d, from %d)", i, p.out[i], length[i]-1, ends, before[i], from[i])
			}
		}
		if alive[older] && alive[newer] {
			p.m.leave(older, p.flush)
		}
		if p.m.waiting != 0 || p.m.silent != 0 {
			t.Fatalf("left over: %d waiting, %d silent", p.m.waiting, p.m.silent)
		}
	})
}

// Two sockets that sample the same instrument at moments of their own: nothing
// older goes out after something newer, nothing equal at once, the last volume
// that a socket brought is out, and no instrument is waited for longer than
// leadAfter once the newer socket has brought something current.
func TestMergerWithOwnSampling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1_700_000_000, 0)
		p := pair{out: map[int][]uint64{}}
		source := uint64(rapid.IntRange(0, 40).Draw(t, "before")) // the instrument's state now
		first := testArrival(source, true)
		p.m.known(0, first.hash, first.moment, nil)
		p.out[0] = []uint64{source}
		inFlight := [2][]uint64{older: {}, newer: {source}} // the cached packet
		began := time.Time{}
		newest := source
		bring := func(s side, n uint64) {
			newest = max(newest, n)
			if s == newer && began.IsZero() && !testArrival(n, true).moment.before(p.m.tracks[0].out) {
				began = now // it has brought something current
			}
			p.m.now = now
			p.offer(0, s, n, true)
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 30).Draw(t, "ms")) * time.Millisecond)
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				source += uint64(rapid.IntRange(0, 5).Draw(t, "trades"))
			case 1: // a socket samples
				s := rapid.SampledFrom([]side{older, newer}).Draw(t, "side")
				inFlight[s] = append(inFlight[s], source)
			case 2: // one arrives
				s := rapid.SampledFrom([]side{older, newer}).Draw(t, "side")
				if len(inFlight[s]) > 0 {
					bring(s, inFlight[s][0])
					inFlight[s] = inFlight[s][1:]
				}
			case 3:
				p.m.lead(now, p.flush)
				if tr := &p.m.tracks[0]; !tr.joined && !began.IsZero() && now.Sub(began) >= leadAfter {
					t.Fatal("still not led")
				}
			}
		}
		p.m.leave(older, p.flush)
		for _, n := range inFlight[newer] {
			bring(newer, n)
		}
		out := p.out[0]
		for i := 1; i < len(out); i++ {
			if testArrival(out[i], true).moment.before(testArrival(out[i-1], true).moment) || out[i] == out[i-1] {
				t.Fatalf("out %v", out)
			}
		}
		if last := testArrival(out[len(out)-1], true).moment; last.before(testArrival(newest, true).moment) {
			t.Fatalf("out %v, but a socket brought %d", out, newest)
		}
	})
}

// An instrument is taken over by what its first packets say, and each way is
// counted.
func TestMergerCountsJoins(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	p := pair{m: merger{now: now}, out: map[int][]uint64{}}
	for slot := range 4 {
		p.m.known(slot, testArrival(8, true).hash, testArrival(8, true).moment, nil) // the time 3, the volume 4
	}
	p.offer(0, newer, 8, true)  // matched
	p.offer(1, newer, 20, true) // newer
	p.offer(2, newer, 9, true)  // of the same age, and another packet
	p.offer(3, newer, 2, true)  // older: nothing to lead with
	p.m.lead(now.Add(leadAfter-time.Millisecond), p.flush)
	if p.m.joins != (joins{matched: 1}) {
		t.Fatalf("before the time: %+v", p.m.joins)
	}
	p.m.lead(now.Add(leadAfter), p.flush)
	if p.m.joins != (joins{1, 1, 1}) || p.m.waiting != 1 {
		t.Fatalf("%+v, %d waiting", p.m.joins, p.m.waiting)
	}
	p.offer(1, older, 12, true) // older than what is out
	p.offer(1, older, 21, true) // of its age, but of the socket that no longer leads
	p.offer(1, newer, 21, true)
	for slot, want := range [][]uint64{nil, {20, 21}, {9}, nil} {
		if !slices.Equal(p.out[slot], want) {
			t.Errorf("slot %d: out %v, want %v", slot, p.out[slot], want)
		}
	}
}

// Where packets recur byte for byte (a depth that flickers) nothing is lost
// for good: the last packet that goes out is the last one of the source.
func TestMergerWithRecurringPackets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source := rapid.SliceOfN(rapid.Uint64Range(0, 2), 1, 20).Draw(t, "source")
		source = slices.Compact(source)
		source = append(source, 99)
		p := pair{out: map[int][]uint64{}}
		p.m.track(0)
		from := rapid.IntRange(0, len(source)-1).Draw(t, "from")
		at := [2]int{0, from}
		for at[older] < len(source) || at[newer] < len(source) {
			s := rapid.SampledFrom([]side{older, newer}).Draw(t, "side")
			if at[s] == len(source) {
				s = s.other()
			}
			p.offer(0, s, source[at[s]], false)
			at[s]++
		}
		p.m.leave(older, p.flush)
		if len(p.out[0]) == 0 || p.out[0][len(p.out[0])-1] != 99 {
			t.Fatalf("source %v, out %v", source, p.out[0])
		}
	})
}

// Two sockets that are sent different packets: what is older than the last
// one that went out is dropped, the rest passes.
func TestMergerWithDifferentPackets(t *testing.T) {
	p := pair{out: map[int][]uint64{}}
	p.m.known(0, testArrival(0, true).hash, moment{1, 0, 0}, nil)
	p.offer(0, newer, 0, true)  // joined
	p.offer(0, older, 8, true)  // out
	p.offer(0, older, 16, true) // out
	p.offer(0, newer, 4, true)  // older than what is out
	p.offer(0, newer, 20, true) // newer: out, the rest is not waited for
	p.offer(0, older, 20, true) // its twin
	p.offer(0, older, 12, true) // late
	if want := []uint64{8, 16, 20, 12}; !slices.Equal(p.out[0], want) && !slices.Equal(p.out[0], want[:3]) {
		t.Fatalf("out %v", p.out[0])
	}
}

// Before the open both sockets may hold different packets of yesterday, for
// ever. Those are not waited for; one of today is.
func TestMergerWithPacketsOfYesterday(t *testing.T) {
	p := pair{m: merger{today: 5}, out: map[int][]uint64{}}
	for slot, n := range []uint64{8, 8, 8} { // of the time 3
		p.m.known(slot, testArrival(n, true).hash, testArrival(n, true).moment, nil)
	}
	p.m.track(3)
	p.offer(0, newer, 12, true) // yesterday's, and the older socket never had it
	p.offer(1, newer, 3, true)  // older than what is out
	p.offer(2, newer, 16, true) // today's: the older one may be about to bring it
	p.offer(3, newer, 12, true) // nothing is known of this one
	if p.m.waiting != 1 || p.m.silent != 0 {
		t.Fatalf("%d waiting, %d silent", p.m.waiting, p.m.silent)
	}
	p.offer(2, older, 16, true)
	if !p.m.complete(false) {
		t.Fatal("not joined")
	}
	p.offer(0, older, 12, true) // late, but brought
	p.offer(3, older, 12, true)
	p.offer(1, newer, 4, true) // still behind
	for slot := range 4 {
		p.offer(slot, newer, 20, true)
		p.offer(slot, older, 20, true)
	}
	p.m.leave(older, p.flush)
	for slot, want := range [][]uint64{{12, 20}, {20}, {16, 20}, {12, 20}} {
		if !slices.Equal(p.out[slot], want) {
			t.Errorf("slot %d: out %v, want %v", slot, p.out[slot], want)
		}
	}
}

func TestMergerForgets(t *testing.T) {
	var m merger
	m.known(0, 1, moment{}, nil)
	m.track(1)
	if m.complete(true) {
		t.Fatal("complete before the newer side brought anything")
	}
	m.forget(0)
	if !m.complete(true) || m.complete(false) {
		t.Fatalf("waiting %d, silent %d", m.waiting, m.silent)
	}
	m.forget(1)
	m.forget(7)
	if !m.complete(false) {
		t.Fatalf("waiting %d, silent %d", m.waiting, m.silent)
	}
}
