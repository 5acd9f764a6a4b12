// Package histogram counts durations in buckets, and gives rates and quantiles of
// the last seconds.
package histogram

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

// Histogram counts durations. Writers never wait.
type Histogram struct {
	counts [len(edges) + 1]atomic.Uint64
	sum    atomic.Int64
}

// Counts are the events in each bucket.
type Counts [len(edges) + 1]uint64

// Observe counts a duration in nanoseconds.
func (h *Histogram) Observe(ns int64) {
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

func (h *Histogram) read() (c Counts) {
	for i := range c {
		c[i] = h.counts[i].Load()
	}
	return c
}

// Quantile is the upper bound of the bucket in which the q-th part ends, in
// seconds; 0 when nothing was counted.
func (c *Counts) Quantile(q float64) float64 {
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

// Buckets sums the fine buckets up to the given bounds, each of which is one
// of edges.
func (h *Histogram) Buckets(upper []time.Duration) (n uint64, sum float64, out map[float64]uint64) {
	c := h.read()
	out = make(map[float64]uint64, len(upper))
	i := 0
	for _, u := range upper {
		for ; i < len(edges) && edges[i] <= int64(u); i++ {
			n += c[i]
		}
		out[u.Seconds()] = n
	}
	for ; i < len(c); i++ {
		n += c[i]
	}
	return n, time.Duration(h.sum.Load()).Seconds(), out
}

// Recent makes a rate and quantiles of the last 5 to 10 seconds out of a counter
// and a histogram that only grow.
type Recent struct {
	mu           sync.Mutex
	older, newer mark
}

type mark struct {
	at       int64
	handled  uint64
	handling Counts
}

const turnEach = int64(5 * time.Second)

// Turn is called about ten times a second.
func (r *Recent) Turn(now int64, handled *atomic.Uint64, handling *Histogram) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now-r.newer.at >= turnEach {
		r.older, r.newer = r.newer, mark{now, handled.Load(), handling.read()}
	}
}

// Since is what happened since the older mark.
func (r *Recent) Since(now int64, handled *atomic.Uint64, handling *Histogram) (perSecond float64, since Counts) {
	r.mu.Lock()
	base := r.older
	r.mu.Unlock()
	n := handled.Load()
	since = handling.read()
	for i := range since {
		since[i] -= base.handling[i]
	}
	if span := time.Duration(now - base.at).Seconds(); span > 0 {
		perSecond = float64(n-base.handled) / span
	}
	return perSecond, since
}
