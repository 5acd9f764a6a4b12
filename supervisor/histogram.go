package supervisor

import (
	"sync"
	"sync/atomic"
	"time"
)

// edges are the upper bounds of a histogram's buckets, 1-2-5 from 1 us to 10 s.
var edges = func() (e [22]int64) {
	unit := int64(time.Microsecond)
	for i := range e {
		e[i] = [...]int64{1, 2, 5}[i%3] * unit
		if i%3 == 2 {
			unit *= 10
		}
	}
	return e
}()

// histogram counts durations. Writers never wait.
type histogram struct {
	counts [len(edges) + 1]atomic.Uint64
	sum    atomic.Int64
}

type counts [len(edges) + 1]uint64

func (h *histogram) observe(ns int64) {
	lo, hi := 0, len(edges)
	for lo < hi {
		if mid := (lo + hi) / 2; edges[mid] < ns {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	h.counts[lo].Add(1)
	h.sum.Add(ns)
}

func (h *histogram) read() (c counts) {
	for i := range c {
		c[i] = h.counts[i].Load()
	}
	return c
}

// quantile is the upper bound of the bucket in which the q-th part ends, in
// seconds; 0 when nothing was counted.
func (c *counts) quantile(q float64) float64 {
	var n uint64
	for _, v := range c {
		n += v
	}
	if n == 0 {
		return 0
	}
	rank, sum := uint64(q*float64(n-1))+1, uint64(0)
	for i, v := range c {
		if sum += v; sum >= rank {
			return time.Duration(edges[min(i, len(edges)-1)]).Seconds()
		}
	}
	return 0
}

// recent makes rates and quantiles of the last 5 to 10 seconds out of counters
// that only grow.
type recent struct {
	mu           sync.Mutex
	older, newer mark
}

type mark struct {
	at       int64
	handled  uint64
	handling counts
}

const turnEach = int64(5 * time.Second)

func (st *stats) mark(now int64) mark {
	return mark{at: now, handled: st.handled.Load(), handling: st.handling.read()}
}

// turn is called at each look of the watchdog.
func (st *stats) turn(now int64) {
	r := &st.recent
	r.mu.Lock()
	defer r.mu.Unlock()
	if now-r.newer.at >= turnEach {
		r.older, r.newer = r.newer, st.mark(now)
	}
}

// since is what happened since the older mark.
func (st *stats) since(now int64) (perSecond float64, handling counts) {
	r := &st.recent
	r.mu.Lock()
	base := r.older
	r.mu.Unlock()
	m := st.mark(now)
	for i := range m.handling {
		m.handling[i] -= base.handling[i]
	}
	if span := time.Duration(now - base.at).Seconds(); span > 0 {
		perSecond = float64(m.handled-base.handled) / span
	}
	return perSecond, m.handling
}
