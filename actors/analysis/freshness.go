package analysis

import (
	"time"

	"kitestring/actors/hours"
	"kitestring/messages"
	"kitestring/messages/ist"
)

// How far a reading stands is decided here, for every analysis and both profiles:
//
//   - A reading belongs to the trading day of its newest input, its session.
//   - While the market is open, one of an earlier session is watching, never
//     active, and says "from yesterday's close". It is unavailable when three bars
//     could have come, or sooner where the analysis sets a limit of its own.
//   - In an open market a reading is watching, never active, when nothing of it has
//     ticked for a minute: the feed is down, as with a token that has died.
//   - Out of market hours the last session's readings are the newest there are:
//     watching, "from today's close".
//   - In the outlook, the vote of an input of an earlier session counts half at the
//     open and nothing three bars later; what does not count lowers the coverage.
//     There is no signal while this session's inputs have less than half of the
//     weight.
//   - A move never reaches across the border of two sessions.

const (
	// fadeBars is in how many bars of a session what is older fades to nothing, and
	// after how many a reading on bars is too old to be one.
	fadeBars = 3
	// fadeFrom is what an input of an earlier session counts at the open.
	fadeFrom = 0.5
	// leastCurrent is the share of the weight that must be of this session for
	// the outlook to give a signal.
	leastCurrent = 0.5
)

// session is the day whose trading a time belongs to, midnight IST: what comes
// before the day's open belongs to the day before, and ticks of a day that has no
// session are a session of their own.
func (in *Input) session(at time.Time) time.Time {
	table := in.Hours.Table()
	if day := table.Day(at, hours.Market); day.Trading() && at.Before(day.Open()) {
		return table.Previous(at, hours.Market)
	}
	return ist.Day(at)
}

// earlier reports whether a time belongs to an earlier session than the one that
// runs.
func (in *Input) earlier(at time.Time) bool {
	return in.Phase == messages.Open && in.session(at).Before(in.session(in.Now))
}

// counts is the share, 0-1, that an input of a time counts in the outlook.
func (in *Input) counts(at time.Time) float64 {
	if !in.earlier(at) {
		return 1
	}
	elapsed := in.Now.Sub(in.opened())
	return fadeFrom * max(0, 1-float64(elapsed)/float64(fadeBars*in.Index.Interval))
}

// opened is when the session of now began, at the latest.
func (in *Input) opened() time.Time {
	if day := in.Hours.Table().Day(in.Now, hours.Market); day.Trading() {
		return day.Open()
	}
	return ist.Day(in.Now)
}

// origin says which close an input is from, "" for one of the session that runs.
func (in *Input) origin(at time.Time) string {
	if at.IsZero() || in.Phase == messages.Open && !in.earlier(at) {
		return ""
	}
	day, today := ist.Day(at), ist.Day(in.Now)
	switch days := int(today.Sub(day).Hours() / 24); {
	case days <= 0:
		if in.Now.Before(in.Hours.Table().Day(in.Now, hours.Market).Open()) {
			return "from before the open"
		}
		return "from today's close"
	case days == 1:
		return "from yesterday's close"
	case days < 7:
		return "from " + day.In(ist.Zone).Weekday().String() + "'s close"
	}
	return "from the close of " + day.In(ist.Zone).Format("2 January")
}

// stand makes the judgement say of which session it is and how long it stands:
// see above.
func (c *Core) stand(j *Judgement) (session string, until *time.Time) {
	if j.AsOf.IsZero() {
		return "", nil
	}
	in := &c.in
	session = j.AsOf.In(ist.Zone).Format(time.DateOnly)
	if j.Status == messages.Unavailable {
		return session, nil
	}
	end := j.AsOf.Add(c.analysis.limit(in))
	if from := in.origin(j.AsOf); from != "" {
		if j.Status = messages.Watching; j.Reason == "" {
			j.Reason = from
		} else {
			j.Reason = from + ": " + j.Reason
		}
		if end = in.opened().Add(fadeBars * in.Index.Interval); in.Phase != messages.Open {
			end = in.Hours.Table().Next(in.Now, hours.Market)
		}
	}
	if end.IsZero() {
		return session, nil
	}
	end = end.UTC()
	return session, &end
}

// limit is how old the newest input of a reading may be in an open market.
func (a *Analysis) limit(in *Input) time.Duration {
	if a.Stale != nil {
		return in.Settings.seconds(a.Stale)
	}
	return fadeBars * in.Index.Interval
}

// stale reports whether the newest input of a reading is too old to judge by
// in an open market.
func (a *Analysis) stale(in *Input, newest time.Time) bool {
	age := in.Now.Sub(newest)
	if a.Stale == nil {
		age = in.overdue(newest)
	}
	return age > a.limit(in)
}

// overdue is how long a newer bar could have been there: between two sessions
// there is none, so that at 09:16 the last bar of the day before is a minute
// overdue, not a night.
func (in *Input) overdue(newest time.Time) time.Duration {
	for _, s := range in.Hours.Table().Day(in.Now, hours.Market).Spans {
		if newest.Before(s.From) && !in.Now.Before(s.From) {
			newest = s.From
		}
	}
	return in.Now.Sub(newest)
}

// mostSilence is how long nothing of a reading may have ticked for ticks to come.
const mostSilence = time.Minute

// silence is how long ago the newest tick of an analysis came in an open market:
// that of its newest input, or of a bar that still grows.
func (in *Input) silence(newest time.Time) time.Duration {
	for _, w := range [...]*Window{&in.Index, &in.Future} {
		if at := w.newest(); at.After(newest) {
			newest = at
		}
	}
	if in.Phase != messages.Open || newest.IsZero() {
		return 0
	}
	return in.overdue(newest)
}

// ofSession is the newest closed bars of a window that are of one session.
func (in *Input) ofSession(bars []Candle) []Candle {
	if len(bars) == 0 {
		return nil
	}
	day := in.session(bars[len(bars)-1].Time)
	begin := day
	if d := in.Hours.Table().Day(day, hours.Market); d.Trading() {
		begin = d.Open()
	}
	from := len(bars) - 1
	for from > 0 && !bars[from-1].Time.Before(begin) {
		from--
	}
	return bars[from:]
}
