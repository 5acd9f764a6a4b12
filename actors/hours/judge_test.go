package hours

import "testing"

// When every instrument says so, it is the clock that is behind.
func TestAClockFarBehindIsOverruledByAllTicks(t *testing.T) {
	var j Judge
	const clock = 1_800_000_000
	for i, c := range []struct {
		instrument uint32
		ahead      int64
		ok         bool
	}{
		{1, 0, true},
		{2, 119, true},
		{3, 3600, false},
		{1, 1, true}, // one alone
		{1, 600, false},
		{2, 601, false},
		{3, 599, true},
		{1, 600, true},
		{9, 4000, false}, // three agree
		{1, -oldest + 700, true},
		{1, -oldest + 500, false},
		{1, 0, true}, // 0 here is 600 s old by now
	} {
		if got := j.Accept(c.instrument, clock+c.ahead, j.Now(clock)); got != c.ok {
			t.Errorf("%d: a tick %d s ahead: %v", i, c.ahead, got)
		}
	}
	if j.Newest != clock+600 {
		t.Errorf("the newest is %+d", j.Newest-clock)
	}
	alone := Judge{}
	accepted := 0
	for i := range int64(20) { // a single instrument that moves on
		if alone.Accept(7, clock+1000+i, alone.Now(clock+i)) {
			accepted++
		}
	}
	if accepted != 10 {
		t.Errorf("%d of 20 ticks of one instrument accepted", accepted)
	}
}
