package rehearse

import (
	"sync/atomic"
	"time"
)

// Standstill counts the time in which this machine did not let us run: other
// programs had its processors, or it was paused. No server can be quick then,
// so that a deadline is longer by as much, and the verdict says so.
type Standstill struct {
	total atomic.Int64 // ns
	quit  chan struct{}
	ended chan struct{}
}

// beat is how often it looks; to be late by less is nothing.
const beat = 10 * time.Millisecond

// WatchStandstill begins to count; Stop ends it.
func WatchStandstill() *Standstill {
	s := &Standstill{quit: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		tick := time.NewTimer(beat)
		defer tick.Stop()
		for last := time.Now(); ; {
			select {
			case <-s.quit:
				return
			case <-tick.C:
			}
			now := time.Now()
			if late := now.Sub(last) - beat; late > beat {
				s.total.Add(int64(late))
			}
			last = now
			tick.Reset(beat)
		}
	}()
	return s
}

// SoFar is what was counted since the beginning.
func (s *Standstill) SoFar() time.Duration { return time.Duration(s.total.Load()) }

// Stop ends the count.
func (s *Standstill) Stop() {
	close(s.quit)
	<-s.ended
}
