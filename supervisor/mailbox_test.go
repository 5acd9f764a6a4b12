package supervisor

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kitestring/actors"
	"kitestring/messages"
)

// fakeBatch is a batch of n ticks of one instrument, numbered from first.
type fakeBatch struct {
	first, n int
	refs     atomic.Int32
	released chan struct{} // nil: nobody asks
}

func (b *fakeBatch) Len() int     { return b.n }
func (b *fakeBatch) Retain(n int) { b.refs.Add(int32(n)) }
func (b *fakeBatch) Release() {
	switch left := b.refs.Add(-1); {
	case left < 0:
		panic("released too often")
	case left == 0 && b.released != nil:
		close(b.released)
	}
}

func newBatch(first, n int) *fakeBatch {
	b := &fakeBatch{first: first, n: n}
	b.refs.Store(1) // the test's hold
	return b
}

// span is a conflated run of ticks: its bounds must touch the next one's.
type span struct{ first, last, count int }

type fakeTable struct{ s span }

func (f *fakeTable) Merge(b messages.Batch) {
	m := b.(*fakeBatch)
	if f.s.count == 0 {
		f.s.first = m.first
	}
	f.s.last = m.first + m.n
	f.s.count += m.n
}

func (f *fakeTable) Take() any {
	if f.s.count == 0 {
		return nil
	}
	s := f.s
	f.s = span{}
	return &s
}

func (f *fakeTable) Len() int { return min(f.s.count, 1) }

func testMailbox() Mailbox {
	return Mailbox{Ticks: 100, Batches: 10, Table: func() Conflator { return &fakeTable{} }}
}

// taker notes what it is given: "b first-last", "c first-last", or the control
// message itself. A duration blocks it.
func taker(d *diary) Spec {
	w := worker("taker", func(self actors.Self, msg any) {
		switch m := msg.(type) {
		case *fakeBatch:
			d.note("b %d-%d", m.first, m.first+m.n)
		case *span:
			d.note("c %d-%d", m.first, m.last)
		case time.Duration:
			time.Sleep(m)
		case order:
			m(self)
		case string, named:
			d.note("%v", m)
		}
	})
	w.Mailbox = testMailbox()
	return w
}

// pushAll pushes batches of the sizes given and checks at the end of the
// bubble that none is still held.
func pushAll(t *testing.T, f *Inlet, first int, sizes ...int) {
	t.Helper()
	for _, n := range sizes {
		b := newBatch(first, n)
		f.Push(b)
		b.Release()
		t.Cleanup(func() {
			if held := b.refs.Load(); held != 0 {
				t.Errorf("batch %d is still held %d times", b.first, held)
			}
		})
		first += n
	}
}

func TestBatchesWaitOneByOneThenConflated(t *testing.T) {
	cases := []struct {
		sizes            []int
		want             []string
		conflated, depth int
	}{
		{[]int{50, 50}, []string{"b 0-50", "b 50-100"}, 0, 100},
		// The third does not fit: from there on, and with what waits, conflated.
		{[]int{50, 50, 1, 2}, []string{"c 0-100", "c 100-103"}, 103, 101},
		{[]int{101}, []string{"c 0-101"}, 101, 1},
		{[]int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, []string{"c 0-10", "c 10-11"}, 11, 11},
		{[]int{0, 3, 0}, []string{"b 0-0", "b 0-3", "b 3-3"}, 0, 3},
	}
	for i, c := range cases {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			var d diary
			inBubble(t, group("root", taker(&d)), Options{}, func(t *testing.T, s *Supervisor) {
				s.tellTest("taker", time.Second)
				after(0)
				pushAll(t, s.Inlet("taker"), 0, c.sizes...)
				s.tellTest("taker", "control")
				if m := s.statusOf(t, "taker").Mailbox; m.Depth != c.depth+1 || m.Capacity != 1124 {
					t.Errorf("mailbox %+v, want depth %d", m, c.depth+1)
				}
				after(time.Second)
				if got, want := d.take(), append([]string{"control"}, c.want...); !slices.Equal(got, want) {
					t.Errorf("seen %v, want %v", got, want)
				}
				m := s.statusOf(t, "taker").Mailbox
				if m.Conflated != uint64(c.conflated) || m.Full != 0 || m.Depth != 0 {
					t.Errorf("mailbox %+v, want %d conflated", m, c.conflated)
				}
				pushAll(t, s.Inlet("taker"), 1000, 5) // it has caught up
				after(0)
				if got := d.take(); !slices.Equal(got, []string{"b 1000-1005"}) {
					t.Errorf("after the overflow: %v", got)
				}
			})
		})
	}
}

func TestPushTellsWhenToYield(t *testing.T) {
	var d diary
	inBubble(t, group("root", taker(&d)), Options{}, func(t *testing.T, s *Supervisor) {
		s.tellTest("taker", time.Second)
		after(0)
		var yields []bool
		for i := range 4 {
			b := newBatch(i*2, 2) // the mailbox takes 100
			yields = append(yields, s.Inlet("taker").Push(b))
			b.Release()
		}
		if want := []bool{false, false, true, true}; !slices.Equal(yields, want) {
			t.Fatalf("yields %v, want %v", yields, want)
		}
		after(time.Second)
	})
}

// named has a key: the newest of a name replaces an older one in its place.
type named struct {
	name string
	n    int
}

func (m named) Key() string { return m.name }

func TestLatestWinsInPlace(t *testing.T) {
	var d diary
	inBubble(t, group("root", taker(&d)), Options{}, func(t *testing.T, s *Supervisor) {
		for range 3 { // positions wrap round
			s.tellTest("taker", time.Second)
			after(0)
			for i := range 10 {
				s.tellTest("taker", named{"a", i})
				s.tellTest("taker", fmt.Sprint(i))
				s.tellTest("taker", named{"b", i})
			}
			after(time.Second)
			if got, want := d.take(), []string{"{a 9}", "0", "{b 9}", "1", "2", "3", "4", "5", "6", "7", "8", "9"}; !slices.Equal(got, want) {
				t.Fatalf("seen %v, want %v", got, want)
			}
		}
	})
}

func TestControlOverflowFailsTheChildAndKeepsTheNewestOfEachKey(t *testing.T) {
	var d diary
	w := taker(&d)
	w.Mailbox.Control = 20
	inBubble(t, group("root", w), Options{}, func(t *testing.T, s *Supervisor) {
		s.tellTest("taker", time.Second)
		after(0)
		s.tellTest("taker", named{"a", 1})
		for i := range 25 {
			s.tellTest("taker", fmt.Sprint(i))
		}
		s.tellTest("taker", named{"a", 2})
		after(2 * time.Second)
		st := s.statusOf(t, "taker")
		if st.Epoch != 2 || st.LastError != errControlFull.Error() || st.Mailbox.Full != 19 || st.State != Running {
			t.Fatalf("status %+v", st)
		}
		if got, want := d.take(), []string{"{a 2}", "19", "20", "21", "22", "23", "24"}; !slices.Equal(got, want) {
			t.Fatalf("seen %v, want %v", got, want)
		}
		for i := range 100 { // keys alone are bounded too
			s.tellTest("taker", named{fmt.Sprint(i), i})
		}
		if depth := s.statusOf(t, "taker").Mailbox.Depth; depth > 20 {
			t.Fatalf("depth %d", depth)
		}
		after(time.Second)
	})
}

// The batch that crashed an actor is not delivered again; those that wait are
// dropped too, because the seed is newer. All are released and counted.
func TestCrashDropsBatches(t *testing.T) {
	var d diary
	w := worker("taker", func(_ actors.Self, msg any) {
		switch m := msg.(type) {
		case *fakeBatch:
			if m.first == 0 {
				panic("poisonous tick")
			}
			d.note("b %d", m.first)
		case time.Duration:
			time.Sleep(m)
		}
	})
	w.Mailbox = testMailbox()
	inBubble(t, group("root", w), Options{}, func(t *testing.T, s *Supervisor) {
		s.tellTest("taker", time.Second)
		after(0)
		pushAll(t, s.Inlet("taker"), 0, 10, 10)
		after(time.Second)
		pushAll(t, s.Inlet("taker"), 20, 5) // down
		after(time.Second)
		pushAll(t, s.Inlet("taker"), 25, 5)
		after(0)
		if got, want := d.take(), []string{"b 25"}; !slices.Equal(got, want) {
			t.Fatalf("seen %v, want %v", got, want)
		}
		if m := s.statusOf(t, "taker").Mailbox; m.Down != 15 {
			t.Fatalf("mailbox %+v, want 15 dropped while down", m)
		}
	})
}

// Whatever panics while a batch is pushed fails the child. The pusher goes on,
// and the mailbox takes batches and messages again after the restart.
func TestPanicsOfAPushAreTheChilds(t *testing.T) {
	for _, c := range []struct {
		where string
		push  func(s *Supervisor)
	}{
		{"length", func(s *Supervisor) { s.Inlet("taker").Push(&panicBatch{in: "length"}) }},
		{"retain", func(s *Supervisor) { s.Inlet("taker").Push(&panicBatch{in: "retain"}) }},
		{"merge", func(s *Supervisor) { s.Inlet("taker").Push(newBatch(-1, 1000)) }},
	} {
		t.Run(c.where, func(t *testing.T) {
			var d diary
			w := taker(&d)
			w.Mailbox.Table = func() Conflator { return &panicTable{} }
			inBubble(t, group("root", w), Options{}, func(t *testing.T, s *Supervisor) {
				c.push(s)
				after(time.Second)
				if st := s.statusOf(t, "taker"); st.Epoch != 2 || st.LastError != "take a batch: panic: "+c.where {
					t.Fatalf("status %+v", st)
				}
				pushAll(t, s.Inlet("taker"), 0, 10)
				s.tellTest("taker", "control")
				after(0)
				if got := d.take(); !slices.Equal(got, []string{"control", "b 0-10"}) && !slices.Equal(got, []string{"b 0-10", "control"}) {
					t.Errorf("seen %v", got)
				}
			})
		})
	}
}

type panicTable struct{ fakeTable }

func (*panicTable) Merge(messages.Batch) { panic("merge") }

type panicBatch struct {
	fakeBatch
	in string
}

func (b *panicBatch) Len() int {
	if b.in == "length" {
		panic("length")
	}
	return 1
}

func (b *panicBatch) Retain(int) {
	if b.in == "retain" {
		panic("retain")
	}
}

func TestInletsBeforeTheStart(t *testing.T) {
	var d diary
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		f := s.Inlet("taker")
		f.Push(newBatch(0, 1))
		if err := s.Start(t.Context(), group("root", taker(&d))); err != nil {
			t.Fatal(err)
		}
		pushAll(t, f, 1, 1)
		after(0)
		if got := d.take(); !slices.Equal(got, []string{"b 1-2"}) {
			t.Errorf("seen %v", got)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		pushAll(t, f, 2, 1)
		s.tellTest("taker", "dead")
		after(0)
	})
}
