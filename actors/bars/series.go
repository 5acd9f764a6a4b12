package bars

import (
	"cmp"
	"slices"
	"time"

	"kitestring/actors/hours"
	"kitestring/messages"
	"kitestring/messages/ist"
)

const (
	day   = 24 * 3600
	grace = 2 // seconds after its end until a bar closes without a successor
	// fresh is how many seconds old a tick may be to prove a session that the
	// table of hours does not know.
	fresh = 120
)

// Every interval divides the half hour, and IST lies a whole number of half
// hours from UTC: bars start at multiples of their length in Unix seconds.
func floor(at, length int64) int64 { return at - at%length }

// offset is how many seconds India is ahead of UTC.
var offset = func() int64 {
	_, seconds := time.Unix(0, 0).In(ist.Zone).Zone()
	return int64(seconds)
}()

// midnight is the start of an instant's day in India.
func midnight(at int64) int64 { return at - (at+offset)%day }

// sessions are the hours of one segment as bars ask for them. The day asked for
// last is kept: ticks come by the thousand.
type sessions struct {
	store   *hours.Store
	segment hours.Segment
	table   *hours.Table
	from    int64 // midnight of the day that is kept
	day     hours.Day
}

func (s *sessions) dayOf(at int64) *hours.Day {
	if t := s.store.Table(); t != s.table || at < s.from || at >= s.from+day {
		s.table, s.from = t, midnight(at)
		s.day = t.Day(time.Unix(at, 0), s.segment)
	}
	return &s.day
}

// contain reports whether a session runs at a time.
func (s *sessions) contain(at int64) bool {
	_, open := s.dayOf(at).At(time.Unix(at, 0))
	return open
}

// expect reports whether the table accounts for prints at a time.
func (s *sessions) expect(at int64) bool {
	s.dayOf(at)
	return s.table.Expects(time.Unix(at, 0), s.segment)
}

// open is when the session of a time began, or the newest one before it on the
// same day; without one the day's start.
func (s *sessions) open(at int64) int64 {
	open := midnight(at)
	for _, span := range s.dayOf(at).Spans {
		if from := span.From.Unix(); from <= at {
			open = from
		}
	}
	return open
}

// touch reports whether [from, to) has a moment in a session.
func (s *sessions) touch(from, to int64) bool {
	if to-from >= 10*day {
		return true
	}
	for at := from; at < to; at = midnight(at) + day {
		for _, span := range s.dayOf(at).Spans {
			if from < span.To.Unix() && to > span.From.Unix() {
				return true
			}
		}
	}
	return false
}

// blind is a span in which ticks were missed. One that ends with the first
// tick of a series makes a bar partial, any other makes it gapped.
type blind struct {
	from, to int64 // [from, to)
	start    bool
	tries    int // answers of history without a minute of it
}

// series builds the bars of one instrument: minutes from arrivals, and everything
// longer from minutes, so that a repaired minute repairs all. It is pure: what
// it closes is handed to emit, and time is an argument.
type series struct {
	key        seriesKey
	instrument uint32
	divisor    int32
	sessions   sessions
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
	idle         int   // paces since the last arrival
	changed      bool  // bars that are out are no longer what they were
	proven       int64 // midnight of a day on which ticks proved a session that the table does not know
	history      retry

	ignored ignored
}

// ignored counts arrivals that made no bar, by reason.
type ignored struct{ untimed, priceless, outside, late, impossible int64 }

// newSeries continues what is held of the instrument, if it is the same.
func newSeries(key seriesKey, instrument uint32, store *hours.Store, minutes []messages.Bar, c coverage, emit func(int, messages.Bar)) *series {
	t := &series{key: key, instrument: instrument, divisor: messages.Divisor(instrument), emit: emit, covered: coverage{instrument: instrument}}
	t.sessions = sessions{store: store, segment: hours.Of(instrument)}
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

// arrivedAt is the exchange time of a minute's newest tick, which lies in the
// minute even where its own time cannot be used; 0: neither has one.
func arrivedAt(m *messages.Minute) int64 { return max(int64(m.Newest.ExchangeTime), int64(m.Start)) }

func hasVolume(t *messages.Tick) bool {
	return t.Mode >= messages.ModeQuote && messages.SegmentOf(t.InstrumentToken) != messages.Indices
}

// take adds what is left of a minute's ticks, or one tick as a minute, at the
// exchange's time now. Both say the same, so that conflation does not show in a
// bar. A snapshot may have been counted before: it sets the baseline only.
func (t *series) take(m *messages.Minute, snapshot bool, g messages.Generation, now int64) {
	at := arrivedAt(m)
	if at == 0 {
		t.ignored.untimed++
		t.blindAt(now)
		return
	}
	t.idle = 0
	switch {
	case m.Last <= 0 || m.First <= 0:
		t.ignored.priceless++
		return
	}
	if !snapshot && now-at < fresh && at-now < fresh && !t.sessions.expect(at) {
		t.proven = midnight(at)
	}
	start := floor(at, 60)
	if t.seen == 0 {
		t.begin(at, now)
	}
	if start < t.closedUntil() {
		t.late(m, at, snapshot)
		return
	}
	if snapshot {
		t.rebase(m, at)
		return
	}
	if m.Gapped {
		// What was given up lies between the running minute, whose end may be
		// missing, and this one.
		from := max(t.closedUntil(), t.sessions.open(start))
		if t.running.Ticks > 0 {
			from = t.running.Start.Unix()
		}
		t.addHole(blind{from: from, to: start + 60})
	}
	t.advance(start)
	t.seen = max(t.seen, at)
	if hasVolume(&m.Newest) && m.VolumeFirst > 0 && t.baseline && t.volumeDay != midnight(at) {
		// A new day's first count is a baseline: what it counts already may be of
		// this minute, and only history knows.
		t.addHole(blind{from: start, to: start + 60, start: true})
	}
	volume, blurred := t.traded(m, at)
	if !t.trades(at) {
		t.ignored.outside++
		return
	}
	if t.running.Ticks == 0 {
		t.open(start, m)
	}
	b := &t.running
	b.High, b.Low, b.Close = max(b.High, m.High), min(b.Low, m.Low), m.Last
	b.Volume += volume
	b.Ticks += int(m.Count)
	if m.OI != 0 {
		b.OI = int64(m.OI)
	}
	b.Gapped = b.Gapped || m.Gapped
	b.Approximate = b.Approximate || m.Gapped || blurred
	b.Generation = max(b.Generation, g)
	if at > b.Newest.Unix() {
		b.Newest = time.Unix(at, 0).UTC()
	}
}

// trades reports whether a tick at the time makes a bar: in a session, or at a
// time without one or its prints on a day that ticks have proven.
func (t *series) trades(at int64) bool {
	return t.sessions.contain(at) || t.proven == midnight(at) && !t.sessions.expect(at)
}

// published notes which bars of an interval are out.
func (t *series) published(i int, bars []messages.Bar) {
	if n := len(bars); n > 0 {
		t.ends[i] = max(t.ends[i], bars[n-1].End().Unix())
	}
}

// late handles an arrival whose minute has been published. When it is newer
// than all that the minute had, the minute was closed too early: it and what
// counts its volume now wait for history. A repeated tick, as a subscription
// brings it, changes nothing.
func (t *series) late(m *messages.Minute, at int64, snapshot bool) {
	start := floor(at, 60)
	t.ignored.late++
	i, found := slices.BinarySearchFunc(t.minutes, start, func(b messages.Bar, at int64) int { return cmp.Compare(b.Start.Unix(), at) })
	switch {
	case snapshot || !t.trades(at):
		return
	case found && (t.minutes[i].Backfilled || at <= t.minutes[i].Newest.Unix()):
		return
	case !found && i == 0:
		return // older than all that is held
	}
	to := start + 60
	switch {
	case !hasVolume(&m.Newest):
	case t.running.Ticks > 0:
		to = t.running.End().Unix()
	case m.VolumeLast > t.volume:
		t.rebase(m, at)
	}
	t.changed = t.addHole(blind{from: start, to: to}) || t.changed
}

// begin notes from when on the series is watched. A first tick much older than
// now is the exchange's cached one: it proves nothing about the time since.
func (t *series) begin(at, now int64) {
	since := at
	if now-at >= grace {
		since = now
	}
	t.seen = at
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
func (t *series) rebase(m *messages.Minute, at int64) {
	if hasVolume(&m.Newest) {
		t.volume, t.volumeDay, t.baseline = m.VolumeLast, midnight(at), true
	}
}

// traded is the volume that an arrival brings over what was known. A new day, a
// falling count and the first arrival after a break are baselines, not volume.
func (t *series) traded(m *messages.Minute, at int64) (volume int64, blurred bool) {
	if !hasVolume(&m.Newest) {
		return 0, false
	}
	if t.baseline && t.volumeDay == midnight(at) && m.VolumeFirst >= t.volume {
		volume = int64(m.VolumeFirst) - int64(t.volume)
	}
	if m.VolumeLast >= m.VolumeFirst {
		volume += int64(m.VolumeLast) - int64(m.VolumeFirst)
	} else {
		blurred = true // a baseline somewhere within the minute
	}
	t.rebase(m, at)
	return volume, blurred
}

func (t *series) open(start int64, m *messages.Minute) {
	t.running = messages.Bar{
		Underlying: t.key.underlying, Source: t.key.source, InstrumentToken: t.instrument,
		Interval: time.Minute, Start: time.Unix(start, 0).UTC(), Divisor: t.divisor,
		Open: m.First, High: m.High, Low: m.Low,
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
func (t *series) closedUntil() int64 {
	if n := len(t.minutes); n > 0 {
		return t.minutes[n-1].Start.Unix() + 60
	}
	return 0
}

// advance closes every bar that ends at or before the time, shortest first.
func (t *series) advance(to int64) {
	if t.running.Ticks > 0 && t.running.Start.Unix()+60 <= to {
		m := t.running
		t.running = messages.Bar{}
		t.mark(&m)
		t.minutes = newest(append(t.minutes, m), messages.BarMinutes)
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
func (t *series) due() int64 {
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
func (t *series) assemble(i int, start int64) (messages.Bar, bool) {
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
func (t *series) mark(b *messages.Bar) {
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
func (t *series) bar(i int) (messages.Bar, bool) {
	if t.starts[i] == 0 {
		return messages.Bar{}, false
	}
	return t.assemble(i, t.starts[i])
}
