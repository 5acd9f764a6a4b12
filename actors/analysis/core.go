package analysis

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"time"

	"kitestring/actors/hours"
	"kitestring/actors/optionchain"
	"kitestring/messages"
	"kitestring/messages/ist"
)

// keepCandles is what a window holds: more than the longest look back (100
// bars, the previous day's levels, and the run-up of an average of 50).
const keepCandles = 400

// Core is an analysis of one underlying without its surroundings: messages go
// in by Update, a reading comes out. It is pure: the time is an argument, and
// equal messages give equal readings.
type Core struct {
	analysis Analysis
	profile  Profile
	in       Input
	quotes   map[uint32]role
	opening  *optionchain.OpenInterest
}

// role is what an instrument's ticks mean to an underlying.
type role struct {
	kind   uint8
	option int // index in the chain
}

const (
	indexRole = iota
	futureRole
	optionRole
)

// NewCore makes the core of an analysis for one underlying; interval is that
// of the bars it judges. opening may be nil: then it is
// forgotten with the core; a nil table of hours is the built-in one.
func NewCore(a Analysis, p Profile, underlying string, interval time.Duration, opening *optionchain.OpenInterest, store *hours.Store) *Core {
	if opening == nil {
		opening = &optionchain.OpenInterest{}
	}
	if a.Classic == nil {
		p = Calibrated // it has no other; its readings say so
	}
	if p == Classic {
		a.settings = nil // the predecessor's numbers are what they are
	}
	return &Core{
		analysis: a, profile: p, opening: opening,
		in: Input{
			Underlying: underlying, Settings: a.settings, Hours: store,
			Index:    Window{Interval: interval},
			Future:   Window{Interval: interval},
			Readings: map[string]messages.Reading{},
		},
		quotes: map[uint32]role{},
	}
}

// Update takes a message and reports whether the reading may have changed:
// BarClosed, BarUpdated, BarsLoaded, DataState, Underlying, PhaseChanged, Reading. What
// concerns another underlying, interval or kind changes nothing. Ticks come by
// Tick.
func (c *Core) Update(msg any) bool {
	switch m := msg.(type) {
	case messages.BarClosed:
		w := c.window(m.Bar.Underlying, m.Bar.Source, m.Bar.Interval)
		if w == nil {
			return false
		}
		w.close(candleOf(m.Bar))
	case messages.BarUpdated:
		w := c.window(m.Bar.Underlying, m.Bar.Source, m.Bar.Interval)
		if w == nil {
			return false
		}
		return w.run(candleOf(m.Bar))
	case messages.BarsLoaded:
		w := c.window(m.Underlying, m.Source, m.Interval)
		if w == nil {
			return false
		}
		w.load(m.Bars)
	case messages.DataState:
		w := c.window(m.Underlying, m.Source, c.in.Index.Interval)
		if w == nil || w.NoHistory == m.Reason {
			return false
		}
		w.NoHistory = m.Reason
	case messages.Underlying:
		if m.Name != c.in.Underlying {
			return false
		}
		c.resolve(m)
	case messages.PhaseChanged:
		changed := c.in.Phase != m.Phase
		c.in.Phase = m.Phase
		return changed
	case messages.Reading:
		if m.Underlying != c.in.Underlying || !slices.Contains(c.analysis.Needs.Readings, m.Kind) {
			return false
		}
		c.in.Readings[m.Kind] = m
	default:
		return false
	}
	return true
}

// window is the window that bars of a series belong to, nil for none.
func (c *Core) window(underlying string, source messages.BarSource, interval time.Duration) *Window {
	if underlying != c.in.Underlying || interval != c.in.Index.Interval {
		return nil
	}
	switch needs := c.analysis.Needs; {
	case source == messages.FromIndex && needs.Index:
		return &c.in.Index
	case source == messages.FromFuture && needs.Future:
		return &c.in.Future
	default:
		return nil
	}
}

// resolve takes the instruments of the underlying; options that stay keep what
// is known of them.
func (c *Core) resolve(u messages.Underlying) {
	known := map[uint32]Option{}
	index, future := c.in.IndexTick, c.in.FutureTick
	var oldFuture uint32
	for token, r := range c.quotes {
		switch r.kind {
		case optionRole:
			if c.in.Expiry.Equal(u.Expiry) { // instrument tokens are recycled after expiry
				known[token] = c.in.Chain[r.option]
			}
		case futureRole:
			oldFuture = token
		}
	}
	clear(c.quotes)
	c.in.Chain, c.in.Step, c.in.Expiry = nil, u.Step, u.Expiry
	c.in.IndexTick, c.in.FutureTick = index, future
	if u.Future.Token != oldFuture {
		c.in.FutureTick = Quote{}
	}
	if c.analysis.Needs.Quotes || c.analysis.Needs.Chain {
		c.quotes[u.Index.Token] = role{kind: indexRole}
	}
	if c.analysis.Needs.Quotes && u.Future.Token != 0 {
		c.quotes[u.Future.Token] = role{kind: futureRole}
	}
	if !c.analysis.Needs.Chain {
		return
	}
	chain := slices.Clone(u.Chain)
	slices.SortStableFunc(chain, func(a, b messages.Instrument) int {
		return cmp.Or(cmp.Compare(a.Strike, b.Strike), cmp.Compare(a.Type, b.Type)) // CE before PE
	})
	for _, i := range chain {
		o, ok := known[i.Token]
		if !ok || o.Strike != i.Strike || o.Put != (i.Type == "PE") {
			o = Option{Strike: i.Strike, Put: i.Type == "PE"}
		}
		c.quotes[i.Token] = role{optionRole, len(c.in.Chain)}
		c.in.Chain = append(c.in.Chain, o)
	}
}

// Wants lists the instruments whose ticks Tick takes.
func (c *Core) Wants(each func(instrumentToken uint32)) {
	for token := range c.quotes {
		each(token)
	}
}

// Tick takes the newest tick of an instrument; it reports whether the reading
// may have changed. Costs some 50 ns.
func (c *Core) Tick(t *messages.Tick, g messages.Generation) bool {
	r, ok := c.quotes[t.InstrumentToken]
	if !ok {
		return false
	}
	q := &c.in.IndexTick
	switch r.kind {
	case futureRole:
		q = &c.in.FutureTick
	case optionRole:
		o := &c.in.Chain[r.option]
		q = &o.Quote
		if d := istDay(int64(t.ExchangeTime)); t.Mode == messages.ModeFull && d > o.openDay {
			o.openDay = d
			o.OpenOI, o.HasOpen = c.opening.Note(c.in.Hours.Table(), t.InstrumentToken, c.in.Expiry, int64(t.ExchangeTime), int64(t.OI))
		}
	}
	at := time.Unix(int64(t.ExchangeTime), 0).UTC()
	if t.ExchangeTime == 0 || at.Before(q.At) {
		return false // a mode without a time proves no age; an older tick says nothing new
	}
	next := Quote{
		Last: t.Price(t.LastPrice), Average: t.Price(t.AveragePrice),
		Open: t.Price(t.Open), High: t.Price(t.High), Low: t.Price(t.Low), Close: t.Price(t.Close),
		Volume: int64(t.Volume), OI: int64(t.OI), At: at, Generation: g,
	}
	changed := next != *q
	*q = next
	return changed
}

// Answer takes a quote asked for over REST.
func (c *Core) Answer(q Quote) { c.in.REST = &q }

// Refuse takes why a question over REST brought nothing; "": the answers come.
func (c *Core) Refuse(reason string) { c.in.RESTError = reason }

// Append adds a file's bar to both windows: index points with the future's
// volume, in the order of the file.
func (c *Core) Append(candle Candle) {
	for _, w := range [...]*Window{&c.in.Index, &c.in.Future} {
		w.Closed = append(w.Closed, candle)
		w.Closed = w.Closed[max(0, len(w.Closed)-keepCandles):]
	}
}

// Kind is the analysis' kind, Profile the profile that judges.
func (c *Core) Kind() string     { return c.analysis.Kind }
func (c *Core) Profile() Profile { return c.profile }

// Classic is the predecessor's output; nil with too few bars.
func (c *Core) Classic() map[string]any { return c.analysis.Classic(&c.in) }

// NewestBar is the exchange time of the newest tick in any bar of the index.
func (c *Core) NewestBar() time.Time { return c.in.Index.newest() }

// Reading judges what is known at the exchange's time now.
func (c *Core) Reading(now time.Time) messages.Reading {
	c.in.Now = now
	for _, w := range [...]*Window{&c.in.Index, &c.in.Future} {
		w.Elapsed = 0
		if w.Running != nil {
			w.Elapsed = min(1, max(0, float64(now.Sub(w.Running.Time))/float64(w.Interval)))
		}
	}
	judge := c.judge
	if c.profile == Classic {
		judge = c.classic
	}
	j := judge()
	if j.Status != messages.Unavailable && c.in.Phase == messages.Open && !j.AsOf.IsZero() && c.analysis.stale(&c.in, j.AsOf) {
		j.Status, j.Signal, j.Confidence, j.Values = messages.Unavailable, "", 0, nil
		j.Reason = "the newest input is " + span(now.Sub(j.AsOf)) + " old"
	}
	if j.Status == messages.Unavailable {
		j.Signal, j.Confidence, j.Values = "", 0, nil
	}
	if silent := c.in.silence(j.AsOf); j.Status == messages.Active && silent > mostSilence && !c.in.earlier(j.AsOf) {
		j.Status, j.Reason = messages.Watching, "no tick has come for "+span(silent)
	}
	session, until := c.stand(&j)
	return messages.Reading{
		Session: session, ValidUntil: until,
		Kind: c.analysis.Kind, Underlying: c.in.Underlying, Profile: string(c.profile), Parameters: c.in.Settings,
		Signal: j.Signal, Confidence: j.Confidence, Status: j.Status, Reason: j.Reason, Values: j.Values,
		AsOf: j.AsOf, OldestInput: j.Oldest, Coverage: j.Coverage, Gapped: j.Gapped, Partial: j.Partial, Generation: j.Generation,
	}
}

func (c *Core) judge() Judgement {
	if n, have := c.analysis.Warmup, c.analysis.judged(&c.in); have != nil && len(have.Closed) < n {
		j := Missing("%d of %d bars of %s so far", len(have.Closed), n, have.name(&c.in))
		if have.NoHistory != "" {
			j.Reason += ", and the history does not come: " + have.NoHistory
		}
		j.Over(have.Closed)
		j.Coverage = float64(len(have.Closed)) / float64(n)
		return j
	}
	return c.analysis.Judge(&c.in)
}

// classic wraps the predecessor's output; its spelling stays.
func (c *Core) classic() Judgement {
	out := c.analysis.Classic(&c.in)
	if out == nil {
		return Missing("too few inputs for the classic formulas")
	}
	j := Judgement{Values: out, Status: messages.Watching, Coverage: 1}
	j.Signal, _ = out["signal"].(string)
	j.Confidence = number(out["confidence"]) * cmp.Or(c.analysis.ClassicScale, 1)
	status, there := out["status"].(string)
	waits := j.Signal == "" || j.Signal == "NEUTRAL" || j.Signal == "WAIT"
	if strings.EqualFold(status, "active") || !there && !waits {
		j.Status = messages.Active
	}
	if w := c.analysis.judged(&c.in); w != nil {
		j.Over(w.Last(1))
	}
	for _, q := range [...]Quote{c.in.IndexTick, c.in.FutureTick} {
		j.OverQuote(q)
	}
	for i := range c.in.Chain {
		j.OverQuote(c.in.Chain[i].Quote)
	}
	return j
}

func number(v any) float64 {
	switch n := v.(type) {
	case float64:
		return n
	case int:
		return float64(n)
	case int64:
		return float64(n)
	default:
		return 0
	}
}

// Same reports whether two readings say the same but for their times.
func Same(a, b messages.Reading) bool {
	a.AsOf, a.OldestInput, a.ValidUntil = b.AsOf, b.OldestInput, b.ValidUntil
	return reflect.DeepEqual(a, b)
}

// istDay is midnight of a time's day in India, in Unix seconds.
func istDay(at int64) int64 { return ist.Day(time.Unix(at, 0)).Unix() }
