package simulator

import (
	"context"
	"slices"
	"time"

	"kitestring/messages"
	"kitestring/messages/wire"
)

// How often the market looks which instruments tick next.
const (
	roundEvery = 50 * time.Millisecond
	coolEvery  = time.Second

	// At a rate: ticks one by one, or in frames of many when they come fast.
	singleEvery = time.Millisecond
	manyEvery   = 5 * time.Millisecond
	manyFrom    = 5000 // ticks/s
)

// runMarket makes the ticks of a market that walks.
func (e *Exchange) runMarket(ctx context.Context) error {
	every := roundEvery
	switch {
	case e.cfg.Rate >= manyFrom:
		every = manyEvery
	case e.cfg.Rate > 0:
		every = singleEvery
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	pace := pace{rate: e.cfg.Rate, last: time.Now()}
	cooled := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			e.mu.Lock()
			e.round(ctx, now, pace.take(now))
			if now.Sub(cooled) >= coolEvery {
				cooled = now
				e.cool(now)
			}
			e.mu.Unlock()
		}
	}
}

// pace turns a rate into whole ticks, exact over time.
type pace struct {
	rate int
	last time.Time
	owed float64
}

// maxOwed bounds what is made up for after the machine was busy.
const maxOwed = time.Second

func (p *pace) take(now time.Time) int {
	passed := min(now.Sub(p.last), maxOwed)
	p.last = now
	p.owed += passed.Seconds() * float64(p.rate)
	n := int(p.owed)
	p.owed -= float64(n)
	return n
}

// round makes the ticks that are due. Called with mu held.
func (e *Exchange) round(ctx context.Context, realTime time.Time, owed int) {
	now, jumps := e.clock.read()
	session := e.cal.sessionAt(now)
	for jumps != e.jumps && ctx.Err() == nil {
		e.jumps = jumps
		e.jumped(ctx, session, now)
		now, jumps = e.clock.read()
		session = e.cal.sessionAt(now)
	}
	e.list(now)
	e.sample(realTime)
	if !session.running(now) || len(e.hot) == 0 {
		return
	}
	if e.cfg.Rate > 0 {
		for range owed {
			for range e.hot { // past what does not trade, for the rate is that of ticks
				e.turn = (e.turn + 1) % len(e.hot)
				if e.tickTopic(e.hot[e.turn], session, now) {
					break
				}
			}
		}
	} else {
		for _, t := range e.hot {
			if !realTime.Before(t.due) {
				t.due = realTime.Add(e.interval(t, session))
				e.tickTopic(t, session, now)
			}
		}
	}
	e.flush()
}

// tickTopic makes a tick; false when nothing is traded under the token.
func (e *Exchange) tickTopic(t *topic, session *session, now time.Time) bool {
	if t.in == nil || t.in.expired(session) || !session.trades(t.in, int(session.second(now))) {
		return false
	}
	e.tick(t.in, session, now)
	e.publish(t)
	return true
}

// interval is the time to an instrument's next tick: indices and futures are
// lively, options the less the farther they are from the money.
func (e *Exchange) interval(t *topic, session *session) time.Duration {
	usual := 600 * time.Millisecond
	if t.in != nil {
		switch t.in.kind {
		case index, future:
			usual = 300 * time.Millisecond
		case volatility:
			usual = time.Second
		case option:
			away := e.prices.moneyness(t.in, session)
			usual = time.Duration(min(350+50*max(away, -away), 1200)) * time.Millisecond
		}
	}
	return time.Duration(float64(usual) * (0.7 + 0.6*e.rng.Float64()))
}

// jumped follows a clock that did not just run on. Watched instruments get the
// trades of the time between, so that their history has no hole; what was
// traded after now, when the clock was set back, did not happen. Code that
// needs an instrument before its turn calls settle.
func (e *Exchange) jumped(ctx context.Context, session *session, now time.Time) {
	for _, in := range e.listing.list {
		if in.asOf.After(now) {
			in.rewind(session)
		}
	}
	held := time.Now()
	for _, t := range slices.Clone(e.hot) { // sockets come and go meanwhile
		if time.Since(held) > longHold {
			if held = e.yield(); ctx.Err() != nil {
				return
			}
		}
		if t.in != nil {
			t.in.away = true
			e.settle(t.in, session, now)
			t.in.away = false
		}
	}
}

func (in *instrument) rewind(s *session) {
	kept := in.days[:0]
	for _, d := range in.days {
		if d.day < s.day {
			kept = append(kept, d)
		}
	}
	in.days, in.session, in.away = kept, nil, true
	in.asOf = time.Time{}
}

// Ticks reports how many ticks were made so far, sent or not.
func (e *Exchange) Ticks() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.counts.ticks
}

// Sequence is the number of ticks made of an instrument, which is what
// sequence mode puts into the last traded quantity.
func (e *Exchange) Sequence(instrumentToken uint32) uint32 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if in := e.listing.tokens[instrumentToken]; in != nil {
		return in.seq
	}
	return 0
}

// Instruments lists what is traded today.
func (e *Exchange) Instruments() []messages.Instrument {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list(e.clock.Now())
	list := make([]messages.Instrument, len(e.listing.list))
	for i, in := range e.listing.list {
		list[i] = in.Instrument
	}
	return list
}

// minute is one minute's trades: what /historical answers with.
type minute struct {
	at                     int32 // minutes since the open
	open, high, low, close int32
	volume, oi             uint32
}

// trading is what an instrument did in the session that it was touched last.
//
// Without subscribers (away), it trades four times a minute at fixed seconds;
// those trades are computed when they are needed, and are the same that history
// computes. With subscribers, its only trades are the ticks, so that bars made
// of ticks equal history.
type trading struct {
	session *session // nil: never touched
	away    bool
	asOf    time.Time // trades up to here are in
	packet  wire.Packet
	sum     float64 // packet.Volume, with its fraction
	value   float64 // of the volume, in paise
	traded  bool    // at least once in this session
	stale   bool    // the packet's depth is older than its price
	count   uint64  // packets made, also the seed of the depth
	seq     uint32  // of sequence mode
	days    []tradedDay

	// Of a recording:
	raw    []byte // the last packet; stale says that packet is an earlier one
	primed []byte // the first one of a higher mode, before any was played; nil: none
	played uint64

	unwatched uint32 // volume of a virtual trade in this minute
}

type tradedDay struct {
	day     int64
	minutes []minute
}

// virtualSeconds stand between the trades of an instrument without subscribers.
const virtualSeconds = 15

// daysKept bounds the memory of an exchange that runs for weeks: older days
// are made up again, a playback's are kept.
const daysKept = 5

// settle brings an instrument to now: into the right session, with the trades
// made without subscribers.
func (e *Exchange) settle(in *instrument, s *session, now time.Time) {
	if e.tape != nil {
		in.settleTape(s)
		return
	}
	if in.session == nil || in.session.day != s.day {
		e.enter(in, s)
	}
	if in.away {
		e.virtual(in, s.second(now))
		if now.After(in.asOf) {
			in.asOf = now
		}
	}
	if in.stale {
		e.finishPacket(in)
	}
}

// enter takes an instrument into a session.
func (e *Exchange) enter(in *instrument, s *session) {
	var close int32
	last := e.cal.session(dayOf(s.prev))
	switch {
	case in.session != nil && in.session.day == s.prev:
		if in.away {
			e.virtual(in, float64(in.session.length))
		}
		close = in.packet.LastPrice
	case e.bars != nil && in.session != nil:
		close = in.packet.LastPrice // a playback's days need not be neighbours
	default:
		if in.session != nil && in.away {
			e.virtual(in, float64(in.session.length))
		}
		close = e.prices.of(in, last, last.lastTrade(in))
	}
	in.session, in.asOf, in.traded = s, s.open.Add(-time.Nanosecond), false
	in.sum, in.value = 0, 0
	p := wire.Packet{}
	p.InstrumentToken, p.LastQuantity = in.Token, in.packet.LastQuantity
	p.LastPrice, p.Open, p.High, p.Low, p.Close = close, close, close, close, close
	before := uint32(last.at(last.end(in.Token)).Unix()) - 1
	p.ExchangeTime, p.LastTradeTime = before, before
	p.OI = e.prices.openInterest(in, s, 0)
	p.OIDayHigh, p.OIDayLow = p.OI, p.OI
	in.packet, in.stale = p, true
}

// virtual makes the unwatched trades up to a second of the session.
func (e *Exchange) virtual(in *instrument, second float64) {
	if e.bars != nil || in.expired(in.session) {
		return // a playback knows only its own prices
	}
	s := in.session
	first := 0
	if !in.asOf.Before(s.open) {
		first = int(s.second(in.asOf))/virtualSeconds + 1
	}
	last := min(int(second), s.end(in.Token)-1) / virtualSeconds
	for k := first; k <= last; k++ {
		at := k * virtualSeconds
		if !s.trades(in, at) {
			continue
		}
		if at%60 == 0 || k == first {
			in.unwatched = e.prices.minuteVolume(in, s, at/60) / (60 / virtualSeconds)
		}
		oi := in.packet.OI
		if at%60 == 60-virtualSeconds || k == last {
			oi = e.prices.openInterest(in, s, float64(at))
		}
		e.trade(in, at, e.prices.of(in, s, float64(at)), float64(in.unwatched), oi)
	}
	if last >= first {
		in.asOf = s.at(last * virtualSeconds)
	}
}

func (in *instrument) expired(s *session) bool {
	return !in.expiry.IsZero() && !in.expiry.After(s.open)
}

// trade books one trade at a second of the instrument's session.
func (e *Exchange) trade(in *instrument, second int, price int32, volume float64, oi uint32) {
	p := &in.packet
	p.LastPrice = price
	if !in.traded {
		in.traded = true
		p.Open, p.High, p.Low = price, price, price
	}
	p.High, p.Low = max(p.High, price), min(p.Low, price)
	p.Change = price - p.Close
	in.sum += volume
	in.value += volume * float64(price)
	before := p.Volume
	p.Volume = uint32(in.sum)
	if in.value > 0 {
		p.AveragePrice = int32(in.value / in.sum)
	}
	p.ExchangeTime = uint32(in.session.open.Unix()) + uint32(second)
	p.LastTradeTime = p.ExchangeTime
	if in.kind == future || in.kind == option {
		p.OI = oi
		p.OIDayHigh, p.OIDayLow = max(p.OIDayHigh, p.OI), min(p.OIDayLow, p.OI)
	}
	e.record(in, int32(second/60), price, p.Volume-before, p.OI)
	in.stale = true
}

// record adds a trade to the day's minutes.
func (e *Exchange) record(in *instrument, at, price int32, volume, oi uint32) {
	n := len(in.days)
	if n == 0 || in.days[n-1].day != in.session.day {
		if n >= daysKept && e.bars == nil {
			in.days = append(in.days[:0], in.days[1:]...)
		}
		in.days = append(in.days, tradedDay{day: in.session.day})
		n = len(in.days)
	}
	day := &in.days[n-1]
	day.minutes = addToMinutes(day.minutes, at, price, volume, oi)
}

func addToMinutes(list []minute, at, price int32, volume, oi uint32) []minute {
	if n := len(list); n > 0 && list[n-1].at >= at {
		m := &list[n-1]
		m.high, m.low, m.close = max(m.high, price), min(m.low, price), price
		m.volume += volume
		m.oi = oi
		return list
	}
	return append(list, minute{at, price, price, price, price, volume, oi})
}

// tick makes the next packet of an instrument with subscribers: mostly a
// trade, now and then a change of nothing but the depth.
func (e *Exchange) tick(in *instrument, s *session, now time.Time) {
	e.settle(in, s, now)
	in.away = false
	second := s.second(now)
	if in.tradable() && in.traded && hash(in.key, in.count, 13)%8 == 0 {
		in.packet.ExchangeTime = uint32(now.Unix())
		e.record(in, int32(second/60), in.packet.LastPrice, 0, in.packet.OI)
		e.emitted(in, in.packet.LastQuantity)
		return
	}
	volume := 0.0
	if in.tradable() {
		from := in.asOf
		if from.Before(s.open) {
			from = s.open
		}
		perMinute := e.prices.minuteVolume(in, s, int(second)/60)
		volume = float64(perMinute) * min(now.Sub(from).Minutes(), 5)
	}
	e.trade(in, int(second), e.prices.of(in, s, second), volume, e.prices.openInterest(in, s, second))
	in.asOf = now
	e.emitted(in, uint32(max(in.LotSize, 1))*(1+uint32(hash(in.key, in.count, 11)%20)))
}

// emitted gives the packet what every packet has of its own.
func (e *Exchange) emitted(in *instrument, quantity uint32) {
	in.seq++
	if in.tradable() {
		in.packet.LastQuantity = quantity
		if e.cfg.Sequence {
			in.packet.LastQuantity = in.seq
		}
	}
	e.finishPacket(in)
}

// finishPacket lays five levels each way round the last price.
func (e *Exchange) finishPacket(in *instrument) {
	in.stale = false
	in.count++
	if !in.tradable() {
		return
	}
	p := &in.packet
	lot := uint32(max(in.LotSize, 1))
	p.BuyQuantity, p.SellQuantity = 0, 0
	for i := range p.Depth.Buy {
		h := hash(in.key, in.count, uint64(i)+32)
		p.Depth.Buy[i] = level(p.LastPrice-int32(i)*in.paise-in.paise, lot, h)
		p.Depth.Sell[i] = level(p.LastPrice+int32(i)*in.paise, lot, h>>32)
		p.BuyQuantity += p.Depth.Buy[i].Quantity
		p.SellQuantity += p.Depth.Sell[i].Quantity
	}
	p.BuyQuantity *= 40
	p.SellQuantity *= 40
}

func level(price int32, lot uint32, h uint64) wire.DepthLevel {
	if price <= 0 {
		return wire.DepthLevel{}
	}
	return wire.DepthLevel{Quantity: lot * (1 + uint32(h&31)), Price: price, Orders: uint16(1 + h>>8&15)}
}
