package merger

import (
	"encoding/binary"
	"hash/maphash"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var seed = maphash.MakeSeed()

// ownSampling is what a swap has shown where each socket samples on its own.
var ownSampling = Joins{Matched: 1, Ordered: 5}

// pair runs two sockets that carry the same packets through a merger, as the
// table does, and keeps what goes out.
type pair struct {
	m   Merger
	out map[int][]uint64
}

func testArrival(n uint64, ordered bool) Arrival {
	packet := binary.BigEndian.AppendUint64(nil, n)
	a := Arrival{Hash: maphash.Bytes(seed, packet), Packet: packet}
	if ordered {
		a.Moment = Moment{1 + uint32(n/4), uint32(n / 2), 0}
	}
	return a
}

func (p *pair) offer(slot int, s Side, n uint64, ordered bool) {
	keep, flush := p.m.Offer(slot, s, testArrival(n, ordered))
	if keep {
		p.out[slot] = append(p.out[slot], n)
	}
	p.flush(slot, flush)
}

func (p *pair) flush(slot int, flush []Held) {
	for _, h := range flush {
		p.out[slot] = append(p.out[slot], binary.BigEndian.Uint64(h.Packet))
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
				p.m.Known(i, last.Hash, last.Moment, nil)
			} else {
				p.m.track(i)
			}
		}
		alive := [2]bool{true, true}
		kill := func(s Side) {
			alive[s] = false
			p.m.Leave(s, p.flush)
		}
		// Did the newer side begin no later than where the older one is? Else the
		// older one's death loses what nobody can bring.
		begun := func() bool {
			for i := range instruments {
				if from[i] > at[i][Older] {
					return false
				}
			}
			return true
		}
		death := rapid.IntRange(0, 20).Draw(t, "death")
		for step := 0; ; step++ {
			if ends != "complete" && step == death && alive[Older] && alive[Newer] {
				switch {
				case ends == "newer dies":
					kill(Newer)
				case begun():
					kill(Older)
				}
			}
			if ends == "complete" && alive[Older] && p.m.Complete(false) {
				kill(Older)
			}
			type move struct {
				i int
				s Side
			}
			var moves []move
			for i := range instruments {
				for s := range Side(2) {
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
		if alive[Older] && alive[Newer] {
			p.m.Leave(Older, p.flush)
		}
		if p.m.waiting != 0 || p.m.silent != 0 {
			t.Fatalf("left over: %d waiting, %d silent", p.m.waiting, p.m.silent)
		}
	})
}

// Two sockets that sample the same instrument at moments of their own: nothing
// older goes out after something newer, nothing equal at once, the last volume
// that a socket brought is out, and no instrument is waited for longer than
// LeadAfter once the newer socket has brought something current.
func TestMergerWithOwnSampling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1_700_000_000, 0)
		p := pair{m: *New(0, 1, ownSampling), out: map[int][]uint64{}}
		source := uint64(rapid.IntRange(0, 40).Draw(t, "before")) // the instrument's state now
		first := testArrival(source, true)
		p.m.Known(0, first.Hash, first.Moment, nil)
		p.out[0] = []uint64{source}
		inFlight := [2][]uint64{Older: {}, Newer: {source}} // the cached packet
		began := time.Time{}
		newest := source
		bring := func(s Side, n uint64) {
			newest = max(newest, n)
			if s == Newer && began.IsZero() && !testArrival(n, true).Moment.Before(p.m.tracks[0].out) {
				began = now // it has brought something current
			}
			p.m.Now = now
			p.offer(0, s, n, true)
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 30).Draw(t, "ms")) * time.Millisecond)
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				source += uint64(rapid.IntRange(0, 5).Draw(t, "trades"))
			case 1: // a socket samples
				s := rapid.SampledFrom([]Side{Older, Newer}).Draw(t, "side")
				inFlight[s] = append(inFlight[s], source)
			case 2: // one arrives
				s := rapid.SampledFrom([]Side{Older, Newer}).Draw(t, "side")
				if len(inFlight[s]) > 0 {
					bring(s, inFlight[s][0])
					inFlight[s] = inFlight[s][1:]
				}
			case 3:
				p.m.Lead(now, p.flush)
				if tr := &p.m.tracks[0]; !tr.joined && !began.IsZero() && now.Sub(began) >= LeadAfter {
					t.Fatal("still not led")
				}
			}
		}
		p.m.Leave(Older, p.flush)
		for _, n := range inFlight[Newer] {
			bring(Newer, n)
		}
		out := p.out[0]
		for i := 1; i < len(out); i++ {
			if testArrival(out[i], true).Moment.Before(testArrival(out[i-1], true).Moment) || out[i] == out[i-1] {
				t.Fatalf("out %v", out)
			}
		}
		if last := testArrival(out[len(out)-1], true).Moment; last.Before(testArrival(newest, true).Moment) {
			t.Fatalf("out %v, but a socket brought %d", out, newest)
		}
	})
}

// The older socket may bring late what nobody else brings: it is given longer,
// unless the sockets carried different packets in the swap before this one.
func TestALatePacketIsWaitedFor(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for _, c := range []struct {
		last Joins
		late time.Duration
		want []uint64
	}{
		{Joins{}, TwinAfter - time.Millisecond, []uint64{10, 12, 14}},
		{Joins{}, TwinAfter, []uint64{14}}, // 10 and 12 are too late
		{Joins{Matched: 100, Ordered: 20}, LeadAfter - time.Millisecond, []uint64{10, 12, 14}},
		{Joins{Matched: 100, Ordered: 20}, LeadAfter, []uint64{14}},
		{Joins{Matched: 100, Ordered: 1}, TwinAfter - time.Millisecond, []uint64{10, 12, 14}},
		{Joins{Matched: 100, Ordered: 1}, TwinAfter, []uint64{14}},
	} {
		p := pair{m: *New(0, 1, c.last), out: map[int][]uint64{}}
		p.m.Now = now
		p.m.Known(0, testArrival(8, true).Hash, testArrival(8, true).Moment, nil)
		p.offer(0, Newer, 14, true)
		p.m.Lead(now.Add(c.late), p.flush)
		for _, n := range []uint64{10, 12, 14} {
			p.offer(0, Older, n, true)
		}
		if !slices.Equal(p.out[0], c.want) {
			t.Errorf("%+v, %v late: out %v, want %v", c.last, c.late, p.out[0], c.want)
		}
	}
}

// What a swap has shown is remembered until another one shows something.
func TestWhatASwapHasShown(t *testing.T) {
	last := Joins{Matched: 3}
	m := New(0, 1, last)
	if got := m.Shown(); got != last {
		t.Errorf("nothing joined: %+v", got)
	}
	m.Known(0, testArrival(8, true).Hash, testArrival(8, true).Moment, nil)
	m.Offer(0, Newer, testArrival(8, true))
	if got, want := m.Shown(), (Joins{Matched: 1}); got != want {
		t.Errorf("one joined: %+v, want %+v", got, want)
	}
}

// An instrument is taken over by what its first packets say, and each way is
// counted.
func TestMergerCountsJoins(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	p := pair{m: *New(0, 4, ownSampling), out: map[int][]uint64{}}
	p.m.Now = now
	for slot := range 4 {
		p.m.Known(slot, testArrival(8, true).Hash, testArrival(8, true).Moment, nil) // the time 3, the volume 4
	}
	p.offer(0, Newer, 8, true)  // matched
	p.offer(1, Newer, 20, true) // newer
	p.offer(2, Newer, 9, true)  // of the same age, and another packet
	p.offer(3, Newer, 2, true)  // older: nothing to lead with
	p.m.Lead(now.Add(LeadAfter-time.Millisecond), p.flush)
	if p.m.Joins != (Joins{Matched: 1}) {
		t.Fatalf("before the time: %+v", p.m.Joins)
	}
	p.m.Lead(now.Add(LeadAfter), p.flush)
	if p.m.Joins != (Joins{1, 1, 1}) || p.m.waiting != 1 {
		t.Fatalf("%+v, %d waiting", p.m.Joins, p.m.waiting)
	}
	p.offer(1, Older, 12, true) // older than what is out
	p.offer(1, Older, 21, true) // of its age, but of the socket that no longer leads
	p.offer(1, Newer, 21, true)
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
		for at[Older] < len(source) || at[Newer] < len(source) {
			s := rapid.SampledFrom([]Side{Older, Newer}).Draw(t, "side")
			if at[s] == len(source) {
				s = s.other()
			}
			p.offer(0, s, source[at[s]], false)
			at[s]++
		}
		p.m.Leave(Older, p.flush)
		if len(p.out[0]) == 0 || p.out[0][len(p.out[0])-1] != 99 {
			t.Fatalf("source %v, out %v", source, p.out[0])
		}
	})
}

// Two sockets that are sent different packets: what is older than the last
// one that went out is dropped, the rest passes.
func TestMergerWithDifferentPackets(t *testing.T) {
	p := pair{out: map[int][]uint64{}}
	p.m.Known(0, testArrival(0, true).Hash, Moment{1, 0, 0}, nil)
	p.offer(0, Newer, 0, true)  // joined
	p.offer(0, Older, 8, true)  // out
	p.offer(0, Older, 16, true) // out
	p.offer(0, Newer, 4, true)  // older than what is out
	p.offer(0, Newer, 20, true) // newer: out, the rest is not waited for
	p.offer(0, Older, 20, true) // its twin
	p.offer(0, Older, 12, true) // late
	if want := []uint64{8, 16, 20, 12}; !slices.Equal(p.out[0], want) && !slices.Equal(p.out[0], want[:3]) {
		t.Fatalf("out %v", p.out[0])
	}
}

// Before the open both sockets may hold different packets of yesterday, for
// ever. Those are not waited for; one of today is.
func TestMergerWithPacketsOfYesterday(t *testing.T) {
	p := pair{m: Merger{today: 5}, out: map[int][]uint64{}}
	for slot, n := range []uint64{8, 8, 8} { // of the time 3
		p.m.Known(slot, testArrival(n, true).Hash, testArrival(n, true).Moment, nil)
	}
	p.m.track(3)
	p.offer(0, Newer, 12, true) // yesterday's, and the older socket never had it
	p.offer(1, Newer, 3, true)  // older than what is out
	p.offer(2, Newer, 16, true) // today's: the older one may be about to bring it
	p.offer(3, Newer, 12, true) // nothing is known of this one
	if p.m.waiting != 1 || p.m.silent != 0 {
		t.Fatalf("%d waiting, %d silent", p.m.waiting, p.m.silent)
	}
	p.offer(2, Older, 16, true)
	if !p.m.Complete(false) {
		t.Fatal("not joined")
	}
	p.offer(0, Older, 12, true) // late, but brought
	p.offer(3, Older, 12, true)
	p.offer(1, Newer, 4, true) // still behind
	for slot := range 4 {
		p.offer(slot, Newer, 20, true)
		p.offer(slot, Older, 20, true)
	}
	p.m.Leave(Older, p.flush)
	for slot, want := range [][]uint64{{12, 20}, {20}, {16, 20}, {12, 20}} {
		if !slices.Equal(p.out[slot], want) {
			t.Errorf("slot %d: out %v, want %v", slot, p.out[slot], want)
		}
	}
}

func TestMergerForgets(t *testing.T) {
	var m Merger
	m.Known(0, 1, Moment{}, nil)
	m.track(1)
	if m.Complete(true) {
		t.Fatal("complete before the newer side brought anything")
	}
	m.Forget(0)
	if !m.Complete(true) || m.Complete(false) {
		t.Fatalf("waiting %d, silent %d", m.waiting, m.silent)
	}
	m.Forget(1)
	m.Forget(7)
	if !m.Complete(false) {
		t.Fatalf("waiting %d, silent %d", m.waiting, m.silent)
	}
}

// A packet that recurs fits in two ways: the newer side waits until one is left.
func TestMergerWaitsForTheOnlyFit(t *testing.T) {
	p := pair{out: map[int][]uint64{}}
	p.m.Known(0, testArrival(1, false).Hash, Moment{}, nil)
	for _, step := range []struct {
		side Side
		n    uint64
	}{{Older, 2}, {Older, 1}, {Newer, 1}, {Newer, 2}, {Newer, 1}, {Older, 3}, {Newer, 3}, {Newer, 4}, {Older, 4}} {
		p.offer(0, step.side, step.n, false)
	}
	if want := []uint64{2, 1, 3, 4}; !slices.Equal(p.out[0], want) {
		t.Errorf("out %v, want %v", p.out[0], want)
	}
}

// A side that skips a packet is not waited for: what stands before the one that
// it brings will not come any more.
func TestMergerForgetsWhatASideSkips(t *testing.T) {
	p := pair{out: map[int][]uint64{}}
	p.m.Known(0, testArrival(1, false).Hash, Moment{}, nil)
	for _, step := range []struct {
		side Side
		n    uint64
	}{{Newer, 1}, {Older, 2}, {Older, 3}, {Newer, 3}} {
		p.offer(0, step.side, step.n, false)
	}
	if tr := &p.m.tracks[0]; len(tr.due) != 0 || p.m.due != 0 {
		t.Errorf("%d packets due of %d instruments", len(tr.due), p.m.due)
	}
}

// TestNothingOlderGoesOutInASecondSwap: the older socket may still bring what the
// swap before this one has overtaken.
func TestNothingOlderGoesOutInASecondSwap(t *testing.T) {
	out := Moment{Exchange: 1000, Volume: 50, Trade: 1000}
	m := New(0, 1, Joins{})
	m.Known(0, 1, out, nil)
	if keep, _ := m.Offer(0, Older, Arrival{Hash: 2, Moment: Moment{Exchange: 999, Volume: 49, Trade: 999}}); keep {
		t.Error("a packet goes out after a newer one")
	}
	if keep, _ := m.Offer(0, Older, Arrival{Hash: 3, Moment: Moment{Exchange: 1001, Volume: 51, Trade: 1001}}); !keep {
		t.Error("a newer packet does not go out")
	}
}
