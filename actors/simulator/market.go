package simulator

import (
	"context"
	"slices"
	"time"

	"kitestring/messages"
)

// How often the market looks who ticks next.
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
func (e *Exchange) round(ctx context.Context, wall time.Time, owed int) {
	now, jumps := e.clock.read()
	session := e.cal.sessionAt(now)
	for jumps != e.jumps && ctx.Err() == nil {
		e.jumps = jumps
		e.jumped(ctx, session, now)
		now, jumps = e.clock.read()
		session = e.cal.sessionAt(now)
	}
	e.list(now)
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
			if !wall.Before(t.due) {
				t.due = wall.Add(e.interval(t, session))
				e.tickTopic(t, session, now)
			}
		}
	}
	e.flush()
}

// tickTopic makes a tick; false when nothing is traded under the token.
func (e *Exchange) tickTopic(t *topic, session *session, now time.Time) bool {
	if t.in == nil || t.in.expired(session) {
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
// traded after now, when a hand moved the clock back, did not happen. Whoever
// needs an instrument before its turn settles it himself.
func (e *Exchange) jumped(ctx context.Context, session *session, now time.Time) {
	for _, in := range e.book.list {
		if in.asOf.After(now) {
			in.rewind(session)
		}
	}
	held := time.Now()
	for _, t := range slices.Clone(e.hot) { // sockets come and go meanwhile
		if time.Since(held) > longHold {
			if held = e.breathe(); ctx.Err() != nil {
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
	if in := e.book.tokens[instrumentToken]; in != nil {
		return in.seq
	}
	return 0
}

// Instruments lists what is traded today.
func (e *Exchange) Instruments() []messages.Instrument {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list(e.clock.Now())
	list := make([]messages.Instrument, len(e.book.list))
	for i, in := range e.book.list {
		list[i] = in.Instrument
	}
	return list
}
