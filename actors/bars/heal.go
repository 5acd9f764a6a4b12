package bars

import (
	"math"
	"slices"
	"time"

	"kitestring/actors/kite"
	"kitestring/messages"
	"kitestring/messages/ist"
)

const (
	// historyDays of minutes hold more than messages.BarMinutes of sessions; a long
	// weekend leaves fewer.
	historyDays = 9
	// ripening is how long after its end a minute is taken as complete in the
	// exchange's history.
	ripening = 3
)

// addHole notes a blind span and marks the closed minutes that it touches; it
// reports whether there were any.
func (t *series) addHole(h blind) (marked bool) {
	if h.to <= h.from || !t.sessions.touch(h.from, h.to) && midnight(h.to-1) != t.proven {
		return false
	}
	t.holes = append(t.holes, h)
	for i := len(t.minutes) - 1; i >= 0 && t.minutes[i].End().Unix() > h.from; i-- {
		if m := &t.minutes[i]; m.Start.Unix() < h.to {
			marked = true
			if h.start {
				m.Partial = true
			} else {
				m.Gapped = true
			}
		}
	}
	return marked
}

// gap takes note of a blind span that the feed found; it reports whether bars
// that are closed already have been marked. The feed learns of the span by the
// first tick after it, which may have come here before or may come later.
func (t *series) gap(g messages.Gap, now int64) (marked bool) {
	if g.From.IsZero() {
		return false // nothing came before: the first bar is partial by itself
	}
	from, to := g.From.Unix(), now
	if !g.To.IsZero() {
		to = g.To.Unix()
	}
	marked = t.addHole(blind{from: from, to: max(to, from+1)})
	switch r := &t.running; {
	case t.seen < to || t.seen == 0:
		t.baseline = false // the first tick after it is a new baseline
	case r.Ticks > 0 && r.Start.Unix() <= to && to < r.Start.Unix()+60:
		r.Volume = max(0, r.Volume-max(0, g.VolumeWhile))
	}
	return marked
}

// blindAt takes note that a minute has ticks that cannot be used.
func (t *series) blindAt(now int64) {
	start := floor(now, 60)
	for i := range t.holes {
		if h := &t.holes[i]; !h.start && h.from <= start && start <= h.to {
			h.to = max(h.to, start+60)
			return
		}
	}
	t.addHole(blind{from: start, to: start + 60})
}

// wants is the span of history that would help now, false for none. Asking for
// it until a merge has come is the caller's business.
func (t *series) wants(now int64) (from int64, ok bool) {
	first := ist.Day(time.Unix(now, 0)).Unix() - historyDays*day
	if !t.covered.loaded {
		return first, true
	}
	for _, h := range t.holes {
		if f := max(first, floor(h.from, 60)); h.to > first && f+60+ripening <= now && (!ok || f < from) {
			from, ok = f, true
		}
	}
	return from, ok
}

// merge takes history asked for at the time asked, from from on. A whole live
// minute wins over history's; history wins over a missing, partial, gapped or
// blurred one. It gives how many rows it used, and whether anything changed. A
// series that has no history yet is not loaded by an answer without a minute of
// a session.
func (t *series) merge(candles []kite.Candle, from, asked int64, g messages.Generation) (used int, changed bool) {
	ripe := floor(asked-ripening, 60)
	if t.running.Ticks > 0 {
		ripe = min(ripe, t.running.Start.Unix())
	}
	merged := make([]messages.Bar, 0, len(t.minutes)+len(candles))
	for _, c := range candles {
		start := floor(c.Start.Unix(), 60)
		if start < from || start+60 > ripe || !t.sessions.contain(start) && t.sessions.expect(start) || !plausible(c) {
			continue
		}
		merged = append(merged, t.fromHistory(c, start, g))
	}
	if used = len(merged); used == 0 && !t.covered.loaded && t.sessions.touch(from, ripe) {
		return 0, false
	}
	byStart := func(a, b messages.Bar) int { return a.Start.Compare(b.Start) }
	slices.SortStableFunc(merged, byStart)
	merged = slices.CompactFunc(merged, func(a, b messages.Bar) bool { return a.Start.Equal(b.Start) })
	t.cutHoles(ripe, merged)
	for _, m := range t.minutes {
		i, found := slices.BinarySearchFunc(merged, m, byStart)
		switch {
		case !found:
			merged = slices.Insert(merged, i, m)
		case !m.Partial && !m.Gapped && !m.Approximate && !m.Backfilled:
			merged[i] = m
		}
	}
	merged = newest(merged, messages.BarMinutes)
	changed = !slices.Equal(merged, t.minutes)
	t.minutes = merged

	if first := t.covered.from - 60; t.seen != 0 && !t.covered.loaded && ripe < first {
		t.addHole(blind{from: ripe, to: first})
	}
	if t.covered.from == 0 || from < t.covered.from {
		t.covered.from = from
	}
	t.covered.loaded = true
	t.coveredUntil = max(t.coveredUntil, ripe)
	return used, changed
}

// mostTries is how often history is asked for a blind span of which it has no
// minute: with the backoff some two minutes. A span in which nothing was traded
// has none for ever.
const mostTries = 8

// cutHoles forgets what is blind before the time, unless history may only be
// late with it.
func (t *series) cutHoles(ripe int64, history []messages.Bar) {
	kept := t.holes[:0]
	for _, h := range t.holes {
		end := min(h.to, ripe)
		healed := slices.ContainsFunc(history, func(m messages.Bar) bool { return m.End().Unix() > h.from && m.Start.Unix() < end })
		if h.from < end && !healed {
			h.tries++
		}
		switch {
		case h.from < end && !healed && h.tries < mostTries:
			kept = append(kept, h)
		case h.to > ripe:
			h.from, h.tries = max(h.from, ripe), 0
			kept = append(kept, h)
		}
	}
	t.holes = kept
}

func (t *series) fromHistory(c kite.Candle, start int64, g messages.Generation) messages.Bar {
	price := func(rupees float64) int32 { return int32(math.Round(rupees * float64(t.divisor))) }
	at := time.Unix(start, 0).UTC()
	return messages.Bar{
		Underlying: t.key.underlying, Source: t.key.source, InstrumentToken: t.instrument,
		Interval: time.Minute, Start: at, Divisor: t.divisor,
		Open: price(c.Open), High: price(c.High), Low: price(c.Low), Close: price(c.Close),
		Volume: c.Volume, OI: c.OI, Backfilled: true, Generation: g, Newest: at.Add(time.Minute - time.Second),
	}
}

// plausible reports whether a candle can be one: positive, finite, ordered.
func plausible(c kite.Candle) bool {
	for _, x := range [...]float64{c.Open, c.High, c.Low, c.Close} {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return false
		}
	}
	return c.Low > 0 && c.Volume >= 0 && c.High >= max(c.Open, c.Close) && c.Low <= min(c.Open, c.Close)
}

// whole is every closed bar of an interval, made of the minutes.
func (t *series) whole(i int, now int64) []messages.Bar {
	if i == 0 {
		return slices.Clone(t.minutes)
	}
	length := int64(Intervals[i] / time.Second)
	var bars []messages.Bar
	for from := 0; from < len(t.minutes); {
		start := floor(t.minutes[from].Start.Unix(), length)
		to := from
		for to < len(t.minutes) && t.minutes[to].Start.Unix() < start+length {
			to++
		}
		closed := start+length+grace <= now
		if t.starts[i] != 0 {
			closed = start < t.starts[i]
		}
		if bar, ok := join(t.minutes[from:to], i, start); ok && closed {
			t.mark(&bar)
			// One that was closed too early, and goes on.
			r := &t.running
			bar.Gapped = bar.Gapped || r.Ticks > 0 && !r.Start.Before(bar.Start) && r.Start.Before(bar.End())
			bars = append(bars, bar)
		}
		from = to
	}
	return newest(bars, keep(i))
}
