package simulator

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"kitestring/messages/ist"
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

// setClock moves the clock by hand.
func (e *Exchange) setClock(s clockSetting) error {
	switch {
	case s.Speed != nil && (*s.Speed < 0 || *s.Speed > maxSpeed || math.IsNaN(*s.Speed)):
		return fmt.Errorf("speed: choose between 0 and %d", maxSpeed)
	case s.Now != nil && e.bars != nil:
		return errors.New("now: the time follows the bars that are played")
	case s.Now != nil && (s.Now.Before(calendarStart.AddDate(2, 0, 0)) || s.Now.After(calendarStart.AddDate(100, 0, 0))):
		return errors.New("now: choose a moment between 2022 and 2119")
	}
	e.clock.set(s)
	return nil
}

// SetClock moves the exchange's clock to now; the speed stays.
func (e *Exchange) SetClock(now time.Time) error { return e.setClock(clockSetting{Now: &now}) }

// SetSpeed sets how many exchange seconds a real second has; 0 stands still.
func (e *Exchange) SetSpeed(speed float64) error { return e.setClock(clockSetting{Speed: &speed}) }

// SkipNights says whether the clock jumps from 15:31 to the next 09:00.
func (e *Exchange) SkipNights(skip bool) { e.clock.set(clockSetting{SkipNights: &skip}) }
