package simulator

import (
	"sync"
	"time"

	"kitestring/actors/internal/ist"
)

// exchangeClock is the exchange's time: the real one stretched by speed, moved
// by hand, and without nights: at 15:31 of a trading day it goes on at 09:00
// of the next one, unless told otherwise.
type exchangeClock struct {
	cal calendar

	mu         sync.Mutex
	real, sim  time.Time // the anchor: both stood so at the same moment
	speed      float64   // exchange seconds a real second; 0 stands still
	skipNights bool
	skipAt     time.Time     // the next 15:31
	jumps      int           // counts the moments at which time did not just pass
	changed    chan struct{} // closed and replaced whenever a hand moved it
}

func newClock(cal calendar, start time.Time, speed float64, skipNights bool) *exchangeClock {
	c := &exchangeClock{cal: cal, skipNights: skipNights, changed: make(chan struct{})}
	c.anchor(start, speed)
	return c
}

// Now implements actors.Clock.
func (c *exchangeClock) Now() time.Time {
	now, _ := c.read()
	return now
}

// read is Now, with the number of jumps so far: a different number than
// before means that time was skipped in between.
func (c *exchangeClock) read() (now time.Time, jumps int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now = c.now()
	return now, c.jumps
}

func (c *exchangeClock) now() time.Time {
	passed := time.Duration(float64(time.Since(c.real)) * c.speed)
	now := c.sim.Add(passed)
	for c.skipNights && !now.Before(c.skipAt) {
		over := now.Sub(c.skipAt)
		now = ist.At(c.cal.next(c.skipAt), 9, 0, 0).Add(over)
		c.jumps++
		c.anchor(now, c.speed)
	}
	return now
}

func (c *exchangeClock) anchor(now time.Time, speed float64) {
	c.real, c.sim, c.speed = time.Now(), now.Round(0).In(ist.Zone), speed
	c.skipAt = ist.At(now, 15, 31, 0)
	for !c.skipAt.After(now) || !c.cal.trading(c.skipAt) {
		c.skipAt = c.skipAt.AddDate(0, 0, 1)
	}
}

// clockSetting is a hand on the clock: what is nil stays as it is.
type clockSetting struct {
	Now        *time.Time `json:"now"`
	Speed      *float64   `json:"speed"`
	SkipNights *bool      `json:"skip_nights"`
}

func (c *exchangeClock) set(s clockSetting) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, speed := c.now(), c.speed
	if s.SkipNights != nil {
		c.skipNights = *s.SkipNights
	}
	if s.Speed != nil {
		speed = *s.Speed
	}
	if s.Now != nil {
		now = *s.Now
		c.jumps++
	}
	c.anchor(now, speed)
	close(c.changed)
	c.changed = make(chan struct{})
}

// tick moves a clock that stands still: time passed, nothing was skipped.
func (c *exchangeClock) tick(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.anchor(now, c.speed)
}

func (c *exchangeClock) status() (now time.Time, speed float64, skipNights bool, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now(), c.speed, c.skipNights, c.changed
}
