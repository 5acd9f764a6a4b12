package feed

import (
	"time"

	"kitestring/messages"
)

// burst is what a reader has taken out of its socket's buffer and not yet
// pushed. Small frames that came together go out together: a push and a wake
// of each subscriber cost as much as the ticks of a small frame. Nothing waits
// for what has not come yet: a burst ends when the reader has to ask the
// network, or when it fills a batch.
type burst struct {
	frame      *frame // held, with ticks that have not been pushed; nil: none
	generation messages.Generation
	received   time.Time // the read that brought it
	newest     uint32    // exchange time
}

// lock locks the table and ends the burst: whoever looks at the table finds
// pushed what is in it. Only take, which adds to a burst, locks without it.
func (t *table) lock() {
	t.mu.Lock()
	t.flush()
}

// extend adds the frame's last ticks to the burst.
func (t *table) extend(f *frame, from int, generation messages.Generation, now time.Time) {
	if t.burst.frame == nil {
		f.open.Add(1)
		t.burst = burst{frame: f, generation: generation, received: now}
	}
	t.rate.add(now, len(f.ticks)-from)
	t.burst.newest = max(t.burst.newest, t.counts.pushed(f.ticks[from:], now))
}

// flush ends the burst.
func (t *table) flush() {
	b := t.burst
	if b.frame == nil {
		return
	}
	t.burst = burst{}
	t.publish(b.frame, b.generation, b.received)
	b.frame.release()
	if t.observe != nil {
		t.observe(b.newest, b.received)
	}
}

// publish hands the ticks of a frame that no sink has seen yet to every sink.
func (t *table) publish(f *frame, generation messages.Generation, received time.Time) {
	if f.publish(t.sinks, generation, t.shard, received) {
		t.behind = true
	}
}

// publishNow counts, hands out and gives up a frame of the table's own.
func (t *table) publishNow(f *frame, generation messages.Generation, now time.Time) {
	t.counts.pushed(f.ticks, now)
	t.rate.add(now, len(f.ticks))
	t.publish(f, generation, now)
	f.release()
}

// pause ends the burst before the reader waits, and answers whether a
// subscriber has fallen behind since the last pause.
func (t *table) pause() (behind bool) {
	t.lock()
	defer t.mu.Unlock()
	behind, t.behind = t.behind, false
	return behind
}

// frame is a frame with room for so many bytes; the caller holds it.
func (t *table) frame(size int) *frame {
	t.lock() // the burst's frame may be the one to come back
	defer t.mu.Unlock()
	return t.pool.get(max(size, frameClasses[1]))
}
