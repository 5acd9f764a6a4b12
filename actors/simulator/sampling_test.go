package simulator_test

import (
	"bytes"
	"maps"
	"testing"
	"time"

	"kitestring/actors/simulator"
	"kitestring/messages"
	"kitestring/messages/wire"
)

// packetsOf reads a socket's packets of one instrument for a while.
func packetsOf(s *socket, instrumentToken uint32, while time.Duration) []messages.Tick {
	var all []messages.Tick
	for end := time.Now().Add(while); time.Now().Before(end); {
		_, data := s.read()
		var d wire.Decoder
		ticks, _ := d.Decode(bytes.Clone(data), nil)
		for _, tick := range ticks {
			if tick.InstrumentToken == instrumentToken {
				all = append(all, tick)
			}
		}
	}
	return all
}

func TestIndependentSampling(t *testing.T) {
	t.Parallel()
	e := open(t, true, func(c *simulator.Config) { c.Sampling = simulator.SamplingIndependent; c.Rate = 100 })
	token := e.token()
	var both [2][]messages.Tick
	done := make(chan struct{})
	for i := range both {
		s := e.mustDialWith(token)
		s.mode(messages.ModeFull, 408065)
		go func() {
			defer func() { done <- struct{}{} }()
			both[i] = packetsOf(s, 408065, 3*time.Second)
		}()
	}
	<-done
	<-done
	seen := [2]map[uint32]bool{{}, {}}
	for i, list := range both {
		if len(list) < 4 || len(list) > 15 {
			t.Errorf("socket %d got %d packets in 3 s of an instrument that ticks 100 times a second; want about six", i, len(list))
		}
		for j, tick := range list {
			seen[i][tick.LastQuantity] = true
			if j > 0 && (tick.LastQuantity <= list[j-1].LastQuantity || tick.Volume < list[j-1].Volume) {
				t.Errorf("socket %d: number %d after %d, volume %d after %d", i, tick.LastQuantity, list[j-1].LastQuantity, tick.Volume, list[j-1].Volume)
			}
		}
	}
	shared := maps.Clone(seen[0])
	maps.DeleteFunc(shared, func(n uint32, _ bool) bool { return !seen[1][n] })
	if 2*len(shared) > len(seen[0]) {
		t.Errorf("%d of %d packets came on both sockets: they do not sample on their own", len(shared), len(seen[0]))
	}
}

// The last packet of a burst arrives, however long ago the socket looked.
func TestIndependentSamplingSendsTheLast(t *testing.T) {
	t.Parallel()
	e := open(t, true, func(c *simulator.Config) { c.Sampling = simulator.SamplingIndependent })
	s := e.mustDial()
	s.mode(messages.ModeFull, 408065)
	s.ticks()
	if err := e.SetClock(start.Add(12 * time.Hour)); err != nil { // closed
		t.Fatal(err)
	}
	e.SkipNights(false)
	made := e.Sequence(408065)
	for last := uint32(0); last < made; {
		for _, tick := range packetsOf(s, 408065, 10*time.Millisecond) {
			last = tick.LastQuantity
		}
	}
}

func TestSamplingIsSwitched(t *testing.T) {
	t.Parallel()
	e := open(t, false, nil)
	if got := e.State().Market.Sampling; got != simulator.SamplingUniform {
		t.Errorf("at first it is %q", got)
	}
	if response, body := e.do("POST", "/sim/v1/sampling", `{"sampling":"independent"}`, nil); response.StatusCode != 200 {
		t.Errorf("switching: %d %s", response.StatusCode, body)
	}
	if got := e.State().Market.Sampling; got != simulator.SamplingIndependent {
		t.Errorf("switched it is %q", got)
	}
	if response, _ := e.do("POST", "/sim/v1/sampling", `{"sampling":"random"}`, nil); response.StatusCode != 400 {
		t.Errorf("an unknown one: %d", response.StatusCode)
	}
}
