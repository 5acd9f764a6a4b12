package bars

import (
	"sync"
	"testing"
	"time"

	"kitestring/messages"
)

func TestSeriesIsReadWhileWritten(t *testing.T) {
	var s Store
	key := seriesKey{"NIFTY", messages.FromIndex}
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				bars := s.History("NIFTY", messages.FromIndex, time.Minute)
				for i := range bars {
					if i > 0 && bars[i].Start.Sub(bars[i-1].Start) != time.Minute {
						t.Error("a torn read")
					}
				}
				clear(bars) // a copy is the reader's own
				s.Running("NIFTY", messages.FromIndex, time.Minute)
			}
		})
	}
	start := time.Unix(clockTime(t, "2026-03-02 09:15:00"), 0)
	for i := range 3 * messages.BarMinutes {
		s.change(1, key, func(set *seriesSet) {
			set.closed[0] = newest(append(set.closed[0], messages.Bar{Start: start.Add(time.Duration(i) * time.Minute)}), messages.BarMinutes)
		})
	}
	close(stop)
	readers.Wait()
	if n := len(s.History("NIFTY", messages.FromIndex, time.Minute)); n != messages.BarMinutes {
		t.Errorf("%d bars", n)
	}
	if s.History("NIFTY", messages.FromIndex, time.Hour) != nil || s.History("SENSEX", messages.FromIndex, time.Minute) != nil {
		t.Error("bars of nothing")
	}
	for name, want := range map[string]time.Duration{"1m": time.Minute, "3m": 3 * time.Minute, "5m": 5 * time.Minute, "15m": 15 * time.Minute, "1h": 0, "": 0} {
		if d, ok := ParseInterval(name); d != want || ok != (want != 0) {
			t.Errorf("%q: %v %v", name, d, ok)
		}
	}
}
