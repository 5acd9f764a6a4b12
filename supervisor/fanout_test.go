package supervisor

import (
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"kitestring/actors"
)

// streamed is a batch that knows when it was pushed.
type streamed struct {
	fakeBatch
	pushed time.Time
}

// subscriber counts and times what it is given.
type subscriber struct {
	spec    Spec
	batches atomic.Int64
	ticks   atomic.Int64 // conflated ones included
	ages    []time.Duration
	oldest  time.Duration
}

// streamTable conflates to a count and the age of the oldest.
type streamTable struct {
	oldest time.Time
	n      int
}

func (t *streamTable) Len() int { return t.n }

func (t *streamTable) Merge(b Batch) {
	m := b.(*streamed)
	if t.n == 0 {
		t.oldest = m.pushed
	}
	t.n += m.n
}

func (t *streamTable) Take() any {
	if t.n == 0 {
		return nil
	}
	c := *t
	*t = streamTable{}
	return &c
}

func newSubscriber(name string, each time.Duration) *subscriber {
	sub := &subscriber{}
	sub.spec = worker(name, func(_ actors.Self, msg any) {
		var age time.Duration
		switch m := msg.(type) {
		case *streamed:
			age = time.Since(m.pushed)
			sub.batches.Add(1)
			sub.ticks.Add(int64(m.n))
		case *streamTable:
			age = time.Since(m.oldest)
			sub.ticks.Add(int64(m.n))
		default:
			return
		}
		sub.oldest = max(sub.oldest, age)
		sub.ages = append(sub.ages, age)
		if each > 0 {
			time.Sleep(each)
		}
	})
	sub.spec.Mailbox = Mailbox{Contract: Lossless, Ticks: 8192, Table: func() Conflator { return &streamTable{} }}
	return sub
}

// BenchmarkFanout streams 36,000 ticks a second in batches of 50 to ten
// subscribers, one of which takes 5 ms a batch. One op is one batch; what
// counts are the metrics: nobody but the slow one conflates, nobody waits.
func BenchmarkFanout(b *testing.B) {
	const size, perSecond = 50, 36_000
	var subs []*subscriber
	var specs []Spec
	for i := range 10 {
		each := time.Duration(0)
		if i == 9 {
			each = 5 * time.Millisecond
		}
		sub := newSubscriber(fmt.Sprintf("s%d", i), each)
		sub.ages = make([]time.Duration, 0, b.N+1)
		subs, specs = append(subs, sub), append(specs, sub.spec)
	}
	s := run(b, group("root", OneForOne, specs...), Options{})
	var fronts []*Front
	for _, sub := range subs {
		fronts = append(fronts, s.Front(sub.spec.Name))
	}
	var worst time.Duration
	b.ResetTimer()
	began := time.Now()
	for i := range b.N {
		if wait := time.Until(began.Add(time.Duration(i) * time.Second * size / perSecond)); wait > 0 {
			time.Sleep(wait)
		}
		batch := &streamed{pushed: time.Now()}
		batch.n = size
		batch.refs.Store(1)
		for _, f := range fronts {
			if f.Push(batch) {
				runtime.Gosched()
			}
		}
		batch.Release()
		worst = max(worst, time.Since(batch.pushed))
	}
	for _, sub := range subs {
		for sub.ticks.Load() < int64(b.N*size) {
			time.Sleep(time.Millisecond)
		}
	}
	b.StopTimer()
	snap := s.Snapshot()
	_ = s.Stop(b.Context())
	var fast []time.Duration
	var conflated uint64
	for i, sub := range subs[:9] {
		fast = append(fast, sub.ages...)
		conflated += snap.Actors[i+1].Mailbox.Conflated
	}
	slices.Sort(fast)
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	b.ReportMetric(float64(conflated), "conflated")
	b.ReportMetric(float64(fast[len(fast)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(fast[len(fast)*99/100].Microseconds()), "p99-us")
	b.ReportMetric(float64(subs[9].oldest.Milliseconds()), "slow-age-ms")
	b.ReportMetric(float64(snap.Actors[10].Mailbox.Conflated), "slow-conflated")
	b.ReportMetric(float64(worst.Microseconds()), "worst-push-us")
	b.ReportMetric(float64(mem.HeapInuse)/1e6, "heap-MB")
}
