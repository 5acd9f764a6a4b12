package market

import (
	"fmt"
	"time"
)

const (
	// skewSamples new ticks decide about the clock: one late tick proves nothing.
	skewSamples = 25
	// skewMost is how far the clock may be off unnoticed: ticks need a moment,
	// and their times are whole seconds.
	skewMost = 20 * time.Second
	// skewTime is how long ticks minutes away from the clock must go on, and
	// drift by how much they may go faster or slower than it.
	skewTime, drift = 20 * time.Second, 10 * time.Second
)

// skew watches how far our clock is from the newest ticks' exchange time.
type skew struct {
	newest  time.Time     // tick that was looked at last
	first   observed      // of the samples
	nearest time.Duration // our clock minus a tick's time, of the best sample
	samples int
	off     time.Duration // what was found; 0: the clock is right
}

// next takes an observation in.
func (s skew) next(e observed) skew {
	if !e.lastTick.After(s.newest) {
		return s
	}
	age := e.now.Sub(e.lastTick)
	if s.samples > 0 && s.nearest.Abs() > fresh {
		// Ticks minutes away from the clock are of another session, or come just
		// after a jump, unless they go on as fast as the clock does.
		if ran, went := e.now.Sub(s.first.now), e.lastTick.Sub(s.first.lastTick); (ran - went).Abs() > drift {
			s.samples = 0
		}
	}
	if s.samples == 0 {
		s.first = e
	}
	s.newest = e.lastTick
	if s.samples == 0 || age.Abs() < s.nearest.Abs() {
		s.nearest = age
	}
	if s.samples++; s.samples < skewSamples {
		return s
	}
	found := s.nearest.Round(time.Second)
	switch {
	case found.Abs() < skewMost:
		found = 0
	case s.off != 0 && (found-s.off).Abs() < 5*time.Second:
		found = s.off // the same, give or take a moment
	}
	if found.Abs() > fresh && e.now.Sub(s.first.now) < skewTime {
		s.samples-- // so far it may be a burst of old ticks
		return s
	}
	return skew{newest: s.newest, off: found}
}

// warning is plain words, "" while the clock is right.
func (s skew) warning() string {
	switch {
	case s.off > 0:
		return fmt.Sprintf("this machine's clock is %v ahead of the exchange's, or every tick comes that late: phases and ages are off by as much; set the clock (NTP)", s.off)
	case s.off < 0:
		return fmt.Sprintf("this machine's clock is %v behind the exchange's: phases and ages are off by as much; set the clock (NTP)", -s.off)
	default:
		return ""
	}
}
