package simulator

import (
	"testing"
	"time"

	"kitestring/messages"
	"kitestring/messages/ist"
)

// monday is a trading day.
func monday(h, m, s int) time.Time { return time.Date(2026, 6, 15, h, m, s, 0, ist.Zone) }

// still is an exchange whose clock a test moves.
func still(t testing.TB, at time.Time, change func(*Config)) *Exchange {
	t.Helper()
	cfg := Config{Start: at, Sequence: true}
	if change != nil {
		change(&cfg)
	}
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.SetSpeed(0); err != nil {
		t.Fatal(err)
	}
	e.clock.tick(at)
	e.jumps = e.clock.jumps
	return e
}

// bars builds minutes from packets, as a bars actor does.
type bars struct {
	minutes map[int64]*minute
	order   []int64
	volume  uint32
	first   bool
}

func (b *bars) add(k messages.Tick) {
	at := int64(k.ExchangeTime) / 60
	m := b.minutes[at]
	if m == nil {
		m = &minute{open: k.LastPrice, high: k.LastPrice, low: k.LastPrice}
		b.minutes[at] = m
		b.order = append(b.order, at)
	}
	m.high, m.low, m.close = max(m.high, k.LastPrice), min(m.low, k.LastPrice), k.LastPrice
	if !b.first {
		m.volume += k.Volume - b.volume
	}
	b.first, b.volume = false, k.Volume
	m.oi = k.OI
}

// Bars made of the ticks of a watched instrument equal its history: also over
// a pause without subscribers, for the minutes that had one throughout.
func TestHistoryIsTheTicks(t *testing.T) {
	e := still(t, monday(9, 15, 0), func(c *Config) { c.Rate = 1 })
	e.mu.Lock()
	defer e.mu.Unlock()
	future := e.nearFuture("NIFTY")
	tokens := []uint32{256265, 408065, future}
	built := map[uint32]*bars{}
	for _, token := range tokens {
		e.watch(token)
		built[token] = &bars{minutes: map[int64]*minute{}}
	}
	realTime := time.Now()
	run := func(from, to time.Time, step time.Duration) {
		for at := from; at.Before(to); at = at.Add(step) {
			e.clock.tick(at)
			e.round(t.Context(), realTime, len(tokens))
			for _, token := range tokens {
				if in := e.listing.tokens[token]; in.session != nil && !in.away {
					built[token].add(in.packet.Tick)
				}
			}
		}
	}
	run(monday(9, 15, 0), monday(9, 25, 0), 250*time.Millisecond)
	run(monday(9, 25, 0), monday(9, 40, 0), 7*time.Second) // a slow rate
	// Everybody leaves in mid-minute and comes back in mid-minute.
	for _, t := range e.topics {
		t.left = realTime
	}
	e.cool(realTime.Add(linger))
	if len(e.hot) != 0 {
		t.Fatal("instruments go on ticking without a subscriber")
	}
	e.clock.tick(monday(9, 52, 20))
	for _, token := range tokens {
		e.watch(token)
		in := e.listing.tokens[token]
		e.settle(in, e.cal.sessionAt(e.clock.Now()), e.clock.Now())
		in.away = false
		built[token].add(in.packet.Tick) // the cached tick
	}
	run(monday(9, 52, 20), monday(9, 58, 0), time.Second)

	compared := 0
	for _, token := range tokens {
		in := e.listing.tokens[token]
		s := e.cal.sessionAt(e.clock.Now())
		history := map[int64]minute{}
		for _, m := range e.minutesOf(in, s) {
			history[s.open.Unix()/60+int64(m.at)] = m
		}
		if len(history) != 43 {
			t.Errorf("%s: %d minutes of history", in.Tradingsymbol, len(history))
		}
		for at, m := range built[token].minutes {
			clock := time.Unix(at*60, 0).In(ist.Zone).Format("15:04")
			if clock == "09:39" || clock == "09:52" {
				continue // not watched whole
			}
			h, ok := history[at]
			if !ok || h.open != m.open || h.high != m.high || h.low != m.low || h.close != m.close || h.volume != m.volume || h.oi != m.oi {
				t.Errorf("%s %s: ticks %+v, history %+v", in.Tradingsymbol, clock, *m, h)
			}
			compared++
		}
	}
	t.Logf("%d minutes compared", compared)
	if compared < 3*28 {
		t.Errorf("only %d minutes compared", compared)
	}
}

// With the same seed the same day has the same history, whenever the exchange
// was started; another seed has another one; days join.
func TestHistoryIsDeterministic(t *testing.T) {
	early := still(t, monday(9, 15, 0), nil)
	late := still(t, monday(14, 0, 0).AddDate(0, 0, 3), nil)
	other := still(t, monday(9, 15, 0), func(c *Config) { c.Seed = 2 })
	friday := monday(0, 0, 0).AddDate(0, 0, -3)
	candles := func(e *Exchange, symbol string) [][]any {
		e.mu.Lock()
		defer e.mu.Unlock()
		in := e.listing.find(symbol)
		return e.candles(in, intervals["minute"], friday, friday.Add(16*time.Hour), e.clock.Now(), true)
	}
	for _, symbol := range []string{"NSE:NIFTY 50", "BSE:SENSEX", "NSE:INFY", "NSE:INDIA VIX", "NFO:NIFTY26JUNFUT"} {
		a, b, c := candles(early, symbol), candles(late, symbol), candles(other, symbol)
		if len(a) != 375 || len(b) != len(a) {
			t.Fatalf("%s: %d and %d minutes", symbol, len(a), len(b))
		}
		same := 0
		for i := range a {
			for j := range a[i] {
				if a[i][j] != b[i][j] {
					t.Fatalf("%s: %v and %v", symbol, a[i], b[i])
				}
			}
			if a[i][1] == c[i][1] {
				same++
			}
		}
		if same > 375/10 {
			t.Errorf("%s: another seed has the same prices in %d minutes", symbol, same)
		}
		// The close of the last session is what the packets call close.
		early.mu.Lock()
		in := early.listing.find(symbol)
		early.settle(in, early.cal.sessionAt(early.clock.Now()), early.clock.Now())
		if last := a[len(a)-1][4].(float64); rupees(in.packet.Close) != last {
			t.Errorf("%s: the day's close of yesterday is %v, the last minute's %v", symbol, rupees(in.packet.Close), last)
		}
		early.mu.Unlock()
	}
}

// The days of the walk look like an index: moves of a percent, not of ten.
func TestWalkIsPlausible(t *testing.T) {
	p := newPrices(1, plain())
	for _, u := range p.unders {
		s := p.cal.session(monday(0, 0, 0))
		var sum, worst float64
		n := 0
		for range 250 {
			before := p.spot(u, p.cal.session(dayOf(s.prev)), float64(s.length))
			open, close := p.spot(u, s, 0), p.spot(u, s, float64(s.length))
			move := close/before - 1
			sum += move * move
			worst = max(worst, move, -move)
			if gap := open/before - 1; gap > 0.02 || gap < -0.02 {
				t.Errorf("%s: a gap of %.1f %%", u.name, 100*gap)
			}
			n++
			s = p.cal.session(dayOf(s.prev))
		}
		if daily := sum / float64(n); daily < 0.004*0.004 || daily > 0.014*0.014 || worst > 0.06 {
			t.Errorf("%s: variance %.6f, worst day %.1f %%", u.name, daily, 100*worst)
		}
		if level := p.spot(u, s, 0); level < 0.6*u.base || level > 1.6*u.base {
			t.Errorf("%s at %v", u.name, level)
		}
	}
}

// Options keep put-call parity, intrinsic value and a PCR of this world.
func TestOptionsArePlausible(t *testing.T) {
	e := still(t, monday(11, 0, 0), nil)
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.clock.Now()
	s := e.cal.sessionAt(now)
	var calls, puts float64
	volumes, n := 0, 0
	for _, in := range e.listing.list {
		if in.kind != option {
			continue
		}
		e.settle(in, s, now)
		n++
		p := &in.packet
		spot := e.prices.spot(in.under, s, s.second(now))
		intrinsic := max(spot-in.Strike, 0)
		if in.Type == "PE" {
			intrinsic = max(in.Strike-spot, 0)
		}
		if last := rupees(p.LastPrice); last < 0.05 || last < intrinsic*0.9-spot*0.01 || last > intrinsic+spot*0.06 {
			t.Errorf("%s at %v with the index at %.2f", in.Tradingsymbol, last, spot)
		}
		if p.Volume > 0 {
			volumes++
		}
		if m := e.prices.moneyness(in, s); in.Name == "NIFTY" && m > -20 && m < 20 {
			if in.Type == "CE" {
				calls += float64(p.OI)
			} else {
				puts += float64(p.OI)
			}
		}
	}
	if pcr := puts / calls; pcr < 0.4 || pcr > 2.5 {
		t.Errorf("PCR %v", pcr)
	}
	if volumes < n/2 {
		t.Errorf("%d of %d options traded", volumes, n)
	}
}

// A clock that is moved leaves no hole and no future.
func TestClockMoves(t *testing.T) {
	e := still(t, monday(9, 15, 0), func(c *Config) { c.Rate = 1 })
	e.mu.Lock()
	e.watch(408065)
	in := e.listing.tokens[408065]
	for s := range 30 {
		e.clock.tick(monday(9, 15, s))
		e.round(t.Context(), time.Now(), 1)
	}
	e.mu.Unlock()
	minutes := func() int {
		e.mu.Lock()
		defer e.mu.Unlock()
		return len(e.minutesOf(in, e.cal.sessionAt(e.clock.Now())))
	}
	move := func(to time.Time) {
		t.Helper()
		if err := e.SetClock(to); err != nil {
			t.Fatal(err)
		}
		e.mu.Lock()
		e.round(t.Context(), time.Now(), 1)
		e.mu.Unlock()
	}
	move(monday(10, 0, 30))
	if n := minutes(); n != 46 {
		t.Errorf("after a move forward: %d minutes", n)
	}
	move(monday(9, 30, 0))
	if n := minutes(); n != 16 {
		t.Errorf("after a move back: %d minutes", n)
	}
	move(monday(9, 20, 0).AddDate(0, 0, 2))
	if n := minutes(); n != 6 {
		t.Errorf("two days later: %d minutes", n)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := len(e.minutesOf(in, e.cal.session(monday(0, 0, 0)))); n != 375 {
		t.Errorf("the first day has %d minutes", n)
	}
	if e.listing.day.Day() != 17 {
		t.Errorf("the file is of %v", e.listing.day)
	}
}

// A rate is exact.
func TestPace(t *testing.T) {
	at := time.Now()
	p := pace{rate: 1000, last: at}
	total := 0
	for i := range 997 {
		at = at.Add(time.Duration(1+i%7) * 737 * time.Microsecond)
		total += p.take(at)
	}
	elapsed := 0.0
	for i := range 997 {
		elapsed += float64(1+i%7) * 737e-6
	}
	if want := int(elapsed * 1000); total < want-1 || total > want+1 {
		t.Errorf("%d ticks, want %d", total, want)
	}
	if n := p.take(at.Add(time.Hour)); n > 1001 {
		t.Errorf("%d ticks to make up for", n)
	}
}

// An expired contract is in no file and ticks no more; the next one has come.
func TestRollover(t *testing.T) {
	e := still(t, monday(15, 0, 0).AddDate(0, 0, 15), nil) // the last Tuesday of June
	e.mu.Lock()
	defer e.mu.Unlock()
	near := e.listing.find("NFO:NIFTY26JUNFUT")
	if near == nil || e.nearFuture("NIFTY") != near.Token {
		t.Fatal("the near future is not there on its last day")
	}
	s := e.cal.sessionAt(e.clock.Now())
	e.settle(near, s, e.clock.Now())
	spot := e.prices.of(e.listing.find("NSE:NIFTY 50"), s, float64(s.length))
	if last := e.prices.of(near, s, float64(s.length)); last != spot {
		t.Errorf("the future ends at %d, the index at %d", last, spot)
	}
	e.clock.tick(monday(9, 20, 0).AddDate(0, 0, 16))
	e.list(e.clock.Now())
	if e.listing.find("NFO:NIFTY26JUNFUT") != nil || e.listing.find("NFO:NIFTY26JULFUT") == nil || e.listing.find("NFO:NIFTY26SEPFUT") == nil {
		t.Error("the futures did not roll")
	}
}
