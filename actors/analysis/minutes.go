package analysis

import (
	"cmp"
	"slices"
	"time"

	"kitestring/messages"
)

// The session in seconds of the IST day: bars exist within it only.
const (
	istOffset    = 5*3600 + 30*60
	day          = 24 * 3600
	sessionOpen  = 9*3600 + 15*60
	sessionClose = 15*3600 + 30*60
	grace        = 2 // seconds after its end until a bar closes without a successor
)

// Every interval divides the half hour, and IST lies a whole number of half
// hours from UTC: bars start at multiples of their length in Unix seconds.
func floor(at, length int64) int64 { return at - at%length }

func istDay(at int64) int64 { return (at + istOffset) / day }

func inSession(at int64) bool {
	s := (at + istOffset) % day
	return s >= sessionOpen && s < sessionClose
}

// blind is a span in which ticks were missed. One that ends with the first
// tick of a series makes a bar partial, any other makes it gapped.
type blind struct {
	from, to int64 // [from, to)
	start    bool
}

// track builds the bars of one series: minutes from arrivals, and everything
// longer from minutes, so that a repaired minute repairs all. It is pure: what
// it closes is handed to emit, and time is told to it.
type track struct {
	key        seriesKey
	instrument uint32
	divisor    int32
	emit       func(i int, b messages.Bar)

	minutes []messages.Bar // closed, oldest first
	running messages.Bar   // Ticks 0: none
	starts  [len(Intervals)]int64
	ends    [len(Intervals)]int64 // of the newest bar that was published; 0: none

	volume    uint32 // cumulative at the newest arrival
	volumeDay int64
	baseline  bool // volume is known and continues

	seen         int64 // exchange time of the newest arrival; 0: none since the start
	covered      coverage
	coveredUntil int64 // end of what is known so far, until the first arrival
	holes        []blind
	idle         int  // paces since the last arrival
	changed      bool // bars that are out are no longer what they were

	ignored ignored
}

// ignored counts arrivals that made no bar, by reason.
type ignored struct{ untimed, priceless, outside, late int64 }

// newTrack continues what is held of the instrument, if it is the same.
func newTrack(key seriesKey, instrument uint32, minutes []messages.Bar, c coverage, emit func(int, messages.Bar)) *track {
	t := &track{key: key, instrument: instrument, divisor: messages.Divisor(instrument), emit: emit, covered: coverage{instrument: instrument}}
	if c.instrument == instrument && len(minutes) > 0 {
		t.minutes, t.covered = minutes, c
		t.coveredUntil = minutes[len(minutes)-1].End().Unix()
		for i, d := range Intervals {
			t.ends[i] = floor(t.coveredUntil, int64(d/time.Second))
		}
		// What was still to be healed has been forgotten with the incarnation.
		t.covered.loaded = c.loaded && !slices.ContainsFunc(minutes, func(m messages.Bar) bool { return m.Partial || m.Gapped })
	}
	return t
}

// take adds an arrival at the exchange's time now.
func (t *track) take(p *arrival, now int64) {
	t.idle = 0
	switch {
	case p.at == 0:
		t.ignored.untimed++
		return
	case p.last <= 0 || p.first <= 0:
		t.ignored.priceless++
		return
	}
	start := floor(p.at, 60)
	if t.seen == 0 {
		t.begin(p, now)
	}
	if start < t.closedUntil() {
		t.late(p, start)
		return
	}
	if p.snapshot {
		t.rebase(p)
		return
	}
	if p.gapped {
		// What was given up lies between the running minute, whose end may be
		// missing, and this one.
		from := max(t.closedUntil(), sessionStart(start))
		if t.running.Ticks > 0 {
			from = t.running.Start.Unix()
		}
		t.addHole(blind{from: from, to: start + 60})
	}
	t.advance(start)
	t.seen = max(t.seen, p.at)
	if p.hasVolume && p.volumeFirst > 0 && t.baseline && t.volumeDay != istDay(p.at) {
		// A new day's first count is a baseline: what it counts already may be of
		// this minute, and only history knows.
		t.addHole(blind{from: start, to: start + 60, start: true})
	}
	volume, blurred := t.traded(p)
	if !inSession(p.at) {
		t.ignored.outside++
		return
	}
	if t.running.Ticks == 0 {
		t.open(start, p)
	}
	b := &t.running
	b.High, b.Low, b.Close = max(b.High, p.high), min(b.Low, p.low), p.last
	b.Volume += volume
	b.Ticks += p.count
	if p.oi != 0 {
		b.OI = int64(p.oi)
	}
	b.Gapped = b.Gapped || p.gapped
	b.Approximate = b.Approximate || p.gapped || blurred
	b.Generation = max(b.Generation, p.generation)
	if p.at > b.Newest.Unix() {
		b.Newest = time.Unix(p.at, 0).UTC()
	}
}

// published notes which bars of an interval are out.
func (t *track) published(i int, bars []messages.Bar) {
	if n := len(bars); n > 0 {
		t.ends[i] = max(t.ends[i], bars[n-1].End().Unix())
	}
}

// late handles an arrival whose minute has been published. When it is newer
// than all that the minute had, the minute was closed too early: it and what
// counts its volume now wait for history. A repeated tick, as a subscription
// brings it, changes nothing.
func (t *track) late(p *arrival, start int64) {
	t.ignored.late++
	i, found := slices.BinarySearchFunc(t.minutes, start, func(m messages.Bar, at int64) int { return cmp.Compare(m.Start.Unix(), at) })
	switch {
	case p.snapshot || !inSession(p.at):
		return
	case found && (t.minutes[i].Backfilled || p.at <= t.minutes[i].Newest.Unix()):
		return
	case !found && i == 0:
		return // older than all that is held
	}
	to := start + 60
	switch {
	case !p.hasVolume:
	case t.running.Ticks > 0:
		to = t.running.End().Unix()
	case p.volumeLast > t.volume:
		t.rebase(p)
	}
	t.changed = t.addHole(blind{from: start, to: to}) || t.changed
}

// begin notes from when on the series is watched. A first tick much older than
// now is the exchange's cached one: it proves nothing about the time since.
func (t *track) begin(p *arrival, now int64) {
	since := p.at
	if now-p.at >= grace {
		since = now
	}
	t.seen = p.at
	first := floor(since, 60)
	if t.coveredUntil > 0 && t.coveredUntil < first {
		t.addHole(blind{from: t.coveredUntil, to: first})
	}
	t.addHole(blind{from: first, to: first + 60, start: true})
	if t.covered.from == 0 {
		t.covered.from = first + 60
	}
}

// rebase makes an arrival the volume's new baseline.
func (t *track) rebase(p *arrival) {
	if p.hasVolume {
		t.volume, t.volumeDay, t.baseline = p.volumeLast, istDay(p.at), true
	}
}

// traded is the volume that an arrival brings over what was known. A new day, a
// falling count and the first arrival after a break are baselines, not volume.
func (t *track) traded(p *arrival) (volume int64, blurred bool) {
	if !p.hasVolume {
		return 0, false
	}
	if t.baseline && t.volumeDay == istDay(p.at) && p.volumeFirst >= t.volume {
		volume = int64(p.volumeFirst) - int64(t.volume)
	}
	if p.volumeLast >= p.volumeFirst {
		volume += int64(p.volumeLast) - int64(p.volumeFirst)
	} else {
		blurred = true // a baseline somewhere within the minute
	}
	t.rebase(p)
	return volume, blurred
}

func (t *track) open(start int64, p *arrival) {
	t.running = messages.Bar{
		Underlying: t.key.underlying, Source: t.key.source, InstrumentToken: t.instrument,
		Interval: time.Minute, Start: time.Unix(start, 0).UTC(), Divisor: t.divisor,
		Open: p.first, High: p.high, Low: p.low,
	}
	for i, d := range Intervals {
		switch at := floor(start, int64(d/time.Second)); {
		case t.starts[i] != 0:
		case at < t.ends[i]:
			t.changed = true // that bar was closed too early: its minutes go on
		default:
			t.starts[i] = at
		}
	}
}

// closedUntil is the end of the newest closed minute.
func (t *track) closedUntil() int64 {
	if n := len(t.minutes); n > 0 {
		return t.minutes[n-1].Start.Unix() + 60
	}
	return 0
}

// advance closes every bar that ends at or before the time, shortest first.
func (t *track) advance(to int64) {
	if t.running.Ticks > 0 && t.running.Start.Unix()+60 <= to {
		m := t.running
		t.running = messages.Bar{}
		t.mark(&m)
		t.minutes = newest(append(t.minutes, m), keepMinutes)
		t.starts[0], t.ends[0] = 0, m.End().Unix()
		t.emit(0, m)
		for i := 1; i < len(Intervals); i++ {
			t.changed = t.changed || m.Start.Unix() < t.ends[i]
		}
	}
	for i := 1; i < len(Intervals); i++ {
		if length := int64(Intervals[i] / time.Second); t.starts[i] != 0 && t.starts[i]+length <= to {
			b, ok := t.assemble(i, t.starts[i])
			t.starts[i] = 0
			if ok {
				t.ends[i] = b.End().Unix()
				t.emit(i, b)
			}
		}
	}
}

// due is when advance should be called without a tick: 2 s after the end of
// the running minute or of a longer bar; 0: nothing runs.
func (t *track) due() int64 {
	due := int64(0)
	for i, start := range t.starts {
		if end := start + int64(Intervals[i]/time.Second) + grace; start != 0 && (due == 0 || end < due) {
			due = end
		}
	}
	return due
}

// assemble makes the bar of an interval that starts at start from its minutes,
// the running one included.
func (t *track) assemble(i int, start int64) (messages.Bar, bool) {
	end := start + int64(Intervals[i]/time.Second)
	first := len(t.minutes)
	for first > 0 && t.minutes[first-1].Start.Unix() >= start {
		first--
	}
	bar, ok := join(t.minutes[first:], i, start)
	if r := t.running; r.Ticks > 0 && r.Start.Unix() >= start && r.Start.Unix() < end {
		bar, ok = joined(bar, &r, ok, i, start), true
	}
	if ok {
		t.mark(&bar)
	}
	return bar, ok
}

// join makes one bar of minutes that lie in it; false for none.
func join(minutes []messages.Bar, i int, start int64) (bar messages.Bar, ok bool) {
	end := start + int64(Intervals[i]/time.Second)
	for k := range minutes {
		if s := minutes[k].Start.Unix(); s >= start && s < end {
			bar, ok = joined(bar, &minutes[k], ok, i, start), true
		}
	}
	return bar, ok
}

func joined(bar messages.Bar, m *messages.Bar, has bool, i int, start int64) messages.Bar {
	if !has {
		bar = *m
		bar.Interval, bar.Start = Intervals[i], time.Unix(start, 0).UTC()
		return bar
	}
	bar.High, bar.Low, bar.Close = max(bar.High, m.High), min(bar.Low, m.Low), m.Close
	bar.Volume += m.Volume
	bar.Ticks += m.Ticks
	if m.OI != 0 {
		bar.OI = m.OI
	}
	bar.Partial = bar.Partial || m.Partial
	bar.Gapped = bar.Gapped || m.Gapped
	bar.Approximate = bar.Approximate || m.Approximate
	bar.Backfilled = bar.Backfilled || m.Backfilled
	bar.Generation = max(bar.Generation, m.Generation)
	if m.Newest.After(bar.Newest) {
		bar.Newest = m.Newest
	}
	return bar
}

// mark sets partial and gapped from what is known to have been missed.
func (t *track) mark(b *messages.Bar) {
	start, end := b.Start.Unix(), b.End().Unix()
	if start < t.covered.from {
		b.Partial = true
	}
	for _, h := range t.holes {
		if h.from < end && h.to > start {
			if h.start {
				b.Partial = true
			} else {
				b.Gapped = true
			}
		}
	}
}

// bar is the running bar of an interval, false for none.
func (t *track) bar(i int) (messages.Bar, bool) {
	if t.starts[i] == 0 {
		return messages.Bar{}, false
	}
	return t.assemble(i, t.starts[i])
}

// sessionStart is the first second of the session of at's day.
func sessionStart(at int64) int64 { return istDay(at)*day - istOffset + sessionOpen }
