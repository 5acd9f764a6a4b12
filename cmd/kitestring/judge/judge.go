// Package judge computes the readings of a recording again, by the recording's own
// clock: with equal packets they are equal, however fast the machine is.
package judge

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
	"kitestring/actors/analysis"
	"kitestring/actors/bars"
	"kitestring/actors/hours"
	"kitestring/actors/replay"
	"kitestring/actors/tape"
	"kitestring/messages"
	"kitestring/messages/ist"
	"kitestring/messages/wire"
	"kitestring/supervisor"
	"kitestring/supervisor/tree"
)

// Result is what the analyses make of a tape.
type Result struct {
	Readings int               `json:"readings"`
	SHA256   string            `json:"sha256"` // of all of them, in their order
	Kinds    map[string]string `json:"kinds"`  // of those of a kind
	Damage   []tape.Damage     `json:"damage"`
}

// A minute is judged settleAfter its end by the exchange's time: by then the
// bars that end with it are closed. Ticks of a later time wait. It is done when
// ticks are arriveWithin further: when one was received changes nothing, and
// nothing is judged after the last one. A tick further ahead of its receipt than
// mostAhead says nothing of the time.
const (
	settleAfter  = 3 * time.Second
	arriveWithin = 2 * time.Second
	mostAhead    = time.Minute
)

// Run has the bars and the analyses go through what is recorded, on one
// goroutine and by the tape's own clock: the same packets give the same readings,
// whatever the machine does meanwhile and however fast they came. There is one
// reading a minute, underlying and kind; each is given every one of them, may be
// nil. Direct, which asks over REST, is left out.
//
// Kite's history is taken from the tape: what lies before the first packet at
// the beginning, a later minute when it is over. What the analyses watch comes
// from the tape too. One that has neither, because an older program wrote it,
// gives no readings.
func Run(ctx context.Context, segments []tape.Segment, c tree.Reloadable, each func(at time.Time, r messages.Reading)) (Result, error) {
	j := &judge{config: c, cores: map[string]map[string]*analysis.Core{}, wants: map[uint32][]*analysis.Core{}, all: sha256.New(), kinds: map[string]hash.Hash{}, each: each}
	if c.HolidayFile != "" {
		t, err := hours.Load(c.HolidayFile)
		if err != nil {
			return Result{}, err
		}
		j.hours.Set(t)
	}
	history, err := replay.HistoryOf(segments)
	if err != nil {
		return Result{}, err
	}
	j.history = history
	j.bars = bars.New(bars.Config{Clock: j, Tokens: noTokens{}, Series: &bars.Store{}, Hours: &j.hours, Listeners: []*actor.PID{supervisor.PIDOf("judge")}})(j)
	j.bars.Receive(actors.Started{})
	for _, s := range segments {
		if err := s.Events(j.look); err != nil {
			return Result{}, err
		}
	}
	stream := replay.Of(segments)
	defer stream.Close()
	stream.Events = func(e tape.Event) {
		var m messages.InstrumentsResolved
		if e.Kind == tape.Resolved && e.At.After(j.firstAt) && json.Unmarshal(e.Data, &m) == nil {
			j.resolve(m)
		}
	}
	if j.first != nil {
		j.resolve(*j.first)
	}
	for ctx.Err() == nil {
		b, err := stream.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Result{}, err
		}
		j.take(b)
	}
	judged := Result{Readings: j.count, SHA256: hex.EncodeToString(j.all.Sum(nil)), Kinds: map[string]string{}, Damage: stream.Damage()}
	for kind, h := range j.kinds {
		judged.Kinds[kind] = hex.EncodeToString(h.Sum(nil))
	}
	return judged, ctx.Err()
}

// judge is bars and analyses without their mailboxes. It is the Self and the
// clock of bars.
type judge struct {
	config  tree.Reloadable
	hours   hours.Store
	bars    actors.Actor
	every   any // the message of the bars' timer
	now     time.Time
	paced   time.Time
	next    time.Time       // the moment that is judged next
	held    []messages.Tick // of a later time
	newest  time.Time       // exchange time of any tick
	first   *messages.InstrumentsResolved
	firstAt time.Time
	history map[uint32][]messages.OldMinute
	loaded  map[uint32]int // minutes of history that were given to the bars

	underlyings []string
	cores       map[string]map[string]*analysis.Core // by underlying and kind
	wants       map[uint32][]*analysis.Core

	all   hash.Hash
	kinds map[string]hash.Hash
	count int
	each  func(time.Time, messages.Reading)
}

// pace is how often bars look at their clock.
const pace = 250 * time.Millisecond

// look finds the first whole resolution, else the first one. A chain comes with
// the first price of its index, and how soon depends on the machine: ticks of
// before are the chain's too.
func (j *judge) look(e tape.Event) {
	var m messages.InstrumentsResolved
	if e.Kind != tape.Resolved || j.first != nil && whole(*j.first) || json.Unmarshal(e.Data, &m) != nil {
		return
	}
	if j.first == nil || whole(m) {
		j.first, j.firstAt = &m, e.At
	}
}

func whole(m messages.InstrumentsResolved) bool {
	return len(m.Underlyings) > 0 && !slices.ContainsFunc(m.Underlyings, func(u messages.Underlying) bool { return len(u.Chain) == 0 })
}

func (j *judge) resolve(m messages.InstrumentsResolved) {
	j.bars.Receive(m)
	clear(j.wants)
	j.underlyings = j.underlyings[:0]
	for _, u := range m.Underlyings {
		j.underlyings = append(j.underlyings, u.Name)
		cores := j.cores[u.Name]
		if cores == nil {
			cores = map[string]*analysis.Core{}
			j.cores[u.Name] = cores
			for _, a := range analysis.All() {
				cores[a.Kind] = analysis.NewCore(a.With(j.config.Thresholds[a.Kind]), profileOf(j.config), u.Name, intervalOf(j.config), nil, &j.hours)
			}
		}
		for _, core := range cores {
			core.Update(u)
			core.Wants(func(instrument uint32) { j.wants[instrument] = append(j.wants[instrument], core) })
		}
	}
	slices.Sort(j.underlyings)
}

func profileOf(c tree.Reloadable) analysis.Profile {
	if c.AnalysisProfile == "" {
		return analysis.Calibrated
	}
	return c.AnalysisProfile
}

func intervalOf(c tree.Reloadable) time.Duration {
	if c.BarInterval == 0 {
		return analysis.DefaultInterval
	}
	return c.BarInterval
}

// take takes the packets of a message.
func (j *judge) take(b replay.Batch) {
	if j.next.IsZero() {
		if len(b.Packets) == 0 {
			return
		}
		j.begin(b.At)
	}
	ticks := make([]messages.Tick, 0, len(b.Packets))
	for _, packet := range b.Packets {
		var t messages.Tick
		switch {
		case !wire.DecodePacket(packet, &t):
		case int64(t.ExchangeTime) >= j.next.Unix():
			j.held = append(j.held, t)
			if at := time.Unix(int64(t.ExchangeTime), 0); at.After(j.newest) && !at.After(b.At.Add(mostAhead)) {
				j.newest = at
			}
		default:
			ticks = append(ticks, t)
		}
	}
	j.feed(ticks)
	for !j.newest.Before(j.next.Add(arriveWithin)) {
		j.settle()
	}
}

// begin begins with the first packets.
func (j *judge) begin(at time.Time) {
	j.next = at.Truncate(time.Minute).Add(time.Minute + settleAfter)
	j.paced, j.now = at, at
	j.loaded = map[uint32]int{}
}

// feed gives ticks to the bars and to the analyses. Their times move the clock:
// those of their receipt depend on how far a reader was behind.
func (j *judge) feed(ticks []messages.Tick) {
	for i := range ticks {
		j.pass(time.Unix(int64(ticks[i].ExchangeTime), 0))
	}
	if len(ticks) == 0 {
		return
	}
	b := messages.NewTicks(nil)
	b.Generation, b.Ticks = 1, ticks
	j.bars.Receive(b)
	for i := range ticks {
		for _, core := range j.wants[ticks[i].InstrumentToken] {
			core.Tick(&ticks[i], 1)
		}
	}
}

// pass lets time go by for the bars.
func (j *judge) pass(to time.Time) {
	for j.paced.Add(pace).Before(to) {
		j.paced = j.paced.Add(pace)
		j.now = j.paced
		j.bars.Receive(j.every)
	}
	if to.After(j.now) {
		j.now = to
	}
}

// settle judges a minute, and takes what has waited for that.
func (j *judge) settle() {
	j.pass(j.next)
	j.load()
	// Bars whose successor has not come are closed, as after some seconds without a
	// tick, and the running ones go out as they are now.
	for range settleAfter / pace {
		j.bars.Receive(j.every)
	}
	phase := messages.PhaseChanged{Phase: messages.Closed, At: j.next}
	if j.hours.Table().IsOpen(j.next.Add(-settleAfter), hours.Market) {
		phase.Phase = messages.Open
	}
	for _, name := range j.underlyings {
		cores := j.cores[name]
		for _, a := range analysis.All() {
			core := cores[a.Kind]
			core.Update(phase)
			if a.Needs.REST {
				continue
			}
			r := core.Reading(j.next)
			r.Generation = 0 // of the day's tokens
			for _, other := range cores {
				other.Update(r)
			}
			j.note(r)
		}
	}
	j.next = j.next.Add(time.Minute)
	waiting := j.held
	j.held = nil
	for _, t := range waiting {
		if int64(t.ExchangeTime) >= j.next.Unix() {
			j.held = append(j.held, t)
		} else {
			j.feed([]messages.Tick{t})
		}
	}
}

// load gives the bars what history had of the minutes that are over.
func (j *judge) load() {
	for _, token := range slices.Sorted(maps.Keys(j.history)) {
		minutes := j.history[token]
		from := j.loaded[token]
		to := from
		for to < len(minutes) && minutes[to].Start().Add(2*time.Minute).Before(j.next) {
			to++
		}
		if to > from {
			j.loaded[token] = to
			j.bars.Receive(messages.HistoryAnswered{InstrumentToken: token, From: minutes[from].Start(), Asked: j.next, Generation: 1, Minutes: minutes[from:to]})
		}
	}
}

func (j *judge) note(r messages.Reading) {
	text, err := json.Marshal(r)
	if err != nil {
		text = []byte(err.Error()) // a value that is no number; the same each time
	}
	if j.kinds[r.Kind] == nil {
		j.kinds[r.Kind] = sha256.New()
	}
	for _, h := range []hash.Hash{j.all, j.kinds[r.Kind]} {
		h.Write([]byte(j.next.In(ist.Zone).Format(time.RFC3339)))
		h.Write(text)
	}
	j.count++
	if j.each != nil {
		j.each(j.next, r)
	}
}

// Send implements actors.Self: what bars send goes to every analysis.
func (j *judge) Send(_ *actor.PID, msg any) {
	for _, cores := range j.cores {
		for _, core := range cores {
			core.Update(msg)
		}
	}
}

// The rest of actors.Self and actors.Clock.
func (j *judge) Now() time.Time                               { return j.now }
func (j *judge) Name() string                                 { return "bars" }
func (j *judge) Epoch() uint64                                { return 1 }
func (j *judge) PID() *actor.PID                              { return supervisor.PIDOf("bars") }
func (j *judge) Tell(msg any)                                 { j.bars.Receive(msg) }
func (j *judge) After(time.Duration, any) (stop func())       { return func() {} }
func (j *judge) Every(_ time.Duration, msg any) (stop func()) { j.every = msg; return func() {} }
func (j *judge) Go(string, func(ctx context.Context) error)   {}
func (j *judge) Fail(error)                                   {}
func (j *judge) Beat()                                        {}
func (j *judge) Log() *slog.Logger                            { return slog.New(slog.DiscardHandler) }

// noTokens is a source without a token: what is recorded needs none.
type noTokens struct{}

func (noTokens) Current() actors.TokenView        { return actors.TokenView{} }
func (noTokens) Used(string, messages.Generation) {}
