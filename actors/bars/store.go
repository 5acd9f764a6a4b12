package bars

import (
	"slices"
	"strconv"
	"sync"
	"time"

	"kitestring/messages"
)

// Intervals are the lengths of bars that are built.
var Intervals = [...]time.Duration{time.Minute, 3 * time.Minute, 5 * time.Minute, 15 * time.Minute}

// ParseInterval reads 1m, 3m, 5m or 15m.
func ParseInterval(name string) (time.Duration, bool) {
	for _, d := range Intervals {
		if shortInterval(d) == name {
			return d, true
		}
	}
	return 0, false
}

// Store holds the bars of every underlying: written by the bars actor, read
// by anybody, longer-lived than any of them. The zero value is ready.
type Store struct {
	mu    sync.RWMutex
	epoch uint64
	sets  map[seriesKey]*seriesSet
}

type seriesKey struct {
	underlying string
	source     messages.BarSource
}

type seriesSet struct {
	covered coverage
	closed  [len(Intervals)][]messages.Bar // oldest first
	running [len(Intervals)]messages.Bar   // Ticks 0: none
}

// coverage is how far back a series is known without a hole.
type coverage struct {
	instrument uint32
	from       int64 // Unix seconds
	loaded     bool  // history has been merged
}

// History is the closed bars of a series, oldest first: a copy. Empty when
// there are none or the interval is not one of [Intervals].
func (s *Store) History(underlying string, source messages.BarSource, interval time.Duration) []messages.Bar {
	i := slices.Index(Intervals[:], interval)
	s.mu.RLock()
	defer s.mu.RUnlock()
	set := s.sets[seriesKey{underlying, source}]
	if set == nil || i < 0 {
		return nil
	}
	return slices.Clone(set.closed[i])
}

// Running is the bar of a series that is still growing, false for none.
func (s *Store) Running(underlying string, source messages.BarSource, interval time.Duration) (messages.Bar, bool) {
	i := slices.Index(Intervals[:], interval)
	s.mu.RLock()
	defer s.mu.RUnlock()
	set := s.sets[seriesKey{underlying, source}]
	if set == nil || i < 0 || set.running[i].Ticks == 0 {
		return messages.Bar{}, false
	}
	return set.running[i], true
}

// change lets an incarnation of the bars actor write. One that has been given
// up for hung and wakes later finds a newer epoch and changes nothing.
func (s *Store) change(epoch uint64, key seriesKey, f func(*seriesSet)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch < s.epoch {
		return
	}
	s.epoch = epoch
	if s.sets == nil {
		s.sets = map[seriesKey]*seriesSet{}
	}
	set := s.sets[key]
	if set == nil {
		set = &seriesSet{}
		s.sets[key] = set
	}
	f(set)
}

func (s *Store) coverage(key seriesKey) coverage {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if set := s.sets[key]; set != nil {
		return set.covered
	}
	return coverage{}
}

// keep is how many bars of an interval are held.
func keep(i int) int { return messages.BarMinutes * int(time.Minute) / int(Intervals[i]) }

// newest is the last n bars; what is cut off goes when append next moves them.
func newest(bars []messages.Bar, n int) []messages.Bar { return bars[max(0, len(bars)-n):] }

func shortInterval(d time.Duration) string { return strconv.Itoa(int(d/time.Minute)) + "m" }
