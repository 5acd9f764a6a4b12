package readings

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
	"kitestring/actors/actorstest"
	"kitestring/actors/analysis"
	"kitestring/actors/bars"
	"kitestring/messages"
)

// market is bars and every analysis on one goroutine, wired as the tree wires
// them: what one sends the other receives at once, and time is set by hand.
type market struct {
	now      time.Time
	series   bars.Store
	actors   map[string]actors.Actor
	timers   map[string]*holder
	readings map[string]messages.Reading // kind/underlying
	tokens   *actorstest.Tokens
}

// holder is the hold of one actor.
type holder struct {
	market *market
	name   string
	every  any // the message of its timer
}

func (s *market) Now() time.Time { return s.now }

func (r *holder) Name() string    { return r.name }
func (r *holder) Epoch() uint64   { return 7 }
func (r *holder) PID() *actor.PID { return pidOf(r.name) }
func (r *holder) Send(to *actor.PID, msg any) {
	if m, ok := msg.(messages.Reading); ok && to.Equals(webPID) {
		r.market.readings[m.Kind+"/"+m.Underlying] = m
	}
	for name, a := range r.market.actors {
		if to.Equals(pidOf(name)) {
			a.Receive(msg)
		}
	}
}

func (r *holder) Tell(msg any)                               { r.market.actors[r.name].Receive(msg) }
func (r *holder) After(time.Duration, any) func()            { return func() {} }
func (r *holder) Every(_ time.Duration, msg any) func()      { r.every = msg; return func() {} }
func (r *holder) Go(string, func(ctx context.Context) error) {}
func (r *holder) Fail(err error)                             { panic(err) }
func (r *holder) Beat()                                      {}
func (r *holder) Log() *slog.Logger                          { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func pidOf(name string) *actor.PID { return actor.NewPID(actor.LocalLookupAddr, name+"/main") }

func newMarket(t testing.TB, from string, underlyings []messages.Underlying) *market {
	s := &market{
		now: time.Unix(clockTime(t, from), 0), actors: map[string]actors.Actor{}, timers: map[string]*holder{},
		readings: map[string]messages.Reading{}, tokens: actorstest.NewTokens(),
	}
	listeners := []*actor.PID{webPID}
	for _, a := range analysis.All() {
		listeners = append(listeners, pidOf(a.Kind))
	}
	s.actors["bars"] = bars.New(bars.Config{Clock: s, Tokens: s.tokens, Series: &s.series, Listeners: listeners})(s.holder("bars"))
	for _, a := range analysis.All() {
		to := []*actor.PID{webPID}
		for _, other := range analysis.All() {
			for _, kind := range other.Needs.Readings {
				if kind == a.Kind {
					to = append(to, pidOf(other.Kind))
				}
			}
		}
		s.actors[a.Kind] = New(Config{Analysis: a, Clock: s, Tokens: s.tokens, History: &s.series, Listeners: to})(s.holder(a.Kind))
	}
	s.all(actors.Started{})
	s.all(messages.InstrumentsResolved{Underlyings: underlyings})
	s.all(messages.PhaseChanged{Phase: messages.Open})
	return s
}

func (s *market) holder(name string) *holder {
	s.timers[name] = &holder{market: s, name: name}
	return s.timers[name]
}

// pace is a moment at which all timers are due: bars first.
func (s *market) pace() {
	s.actors["bars"].Receive(s.timers["bars"].every)
	for _, a := range analysis.All() {
		s.actors[a.Kind].Receive(s.timers[a.Kind].every)
	}
}

func (s *market) all(msg any) {
	s.actors["bars"].Receive(msg)
	for _, a := range analysis.All() {
		s.actors[a.Kind].Receive(msg)
	}
}

// frame hands ticks to those who subscribe to them.
func (s *market) frame(b *messages.Ticks) {
	s.actors["bars"].Receive(b)
	for _, a := range analysis.All() {
		if a.Needs.Ticks() {
			s.actors[a.Kind].Receive(b)
		}
	}
}

// indices are NIFTY, BANKNIFTY and SENSEX with 82 options each.
func indices(t testing.TB) []messages.Underlying {
	var all []messages.Underlying
	for n, name := range []string{"NIFTY", "BANKNIFTY", "SENSEX"} {
		u := niftyToday(t)
		u.Name = name
		u.Index.Token = []uint32{256265, 260105, 265}[n]
		u.Future.Token = uint32(n+1)<<20 + 2
		u.Chain = nil
		for i := range uint32(41) {
			for side, kind := range []string{"CE", "PE"} {
				u.Chain = append(u.Chain, messages.Instrument{Token: uint32(n+4)<<20 + i<<9 + uint32(side)<<8 + 2, Strike: 23000 + 50*float64(i), Type: kind})
			}
		}
		all = append(all, u)
	}
	return all
}

// second is one tick of each instrument; options only if asked for.
func second(underlyings []messages.Underlying, at time.Time, n int, options bool) *messages.Ticks {
	var ticks []messages.Tick
	wave := int32(n%700)*3 - int32(n%90)*11 + int32(n%7)*40
	for _, u := range underlyings {
		ticks = append(ticks, tickOf(u.Index.Token, at, 24_000_00+wave, 0), tickOf(u.Future.Token, at, 24_050_00+wave, uint32(n)*65+uint32(n%50)*130))
		if options {
			for _, o := range u.Chain {
				ticks = append(ticks, tickOf(o.Token, at, 100_00, uint32(n)))
			}
		}
	}
	return batch(1, ticks...)
}

func TestTicksBecomeReadingsOfEveryKind(t *testing.T) {
	synctest.Test(t, testReadingsOfEveryKind)
}

func testReadingsOfEveryKind(t *testing.T) {
	underlyings := indices(t)
	s := newMarket(t, "2026-03-02 09:14:50", underlyings)
	// Ten hours of session: enough for windows of 100 bars. A tick in 10 s.
	n := 0
	run := func(to string, options bool) {
		for end := time.Unix(clockTime(t, to), 0); s.now.Before(end); s.now = s.now.Add(10 * time.Second) {
			s.frame(second(underlyings, s.now, n, options))
			n++
			pass(10 * time.Second)
			if n%30 == 0 {
				s.pace()
			}
		}
		for range 2 { // outlook gets the others' readings
			pass(repeat)
			s.pace()
		}
	}
	run("2026-03-02 15:30:10", true)
	pass(18 * time.Hour)
	s.now = time.Unix(clockTime(t, "2026-03-04 09:14:50"), 0)
	run("2026-03-04 13:30:00", true)
	for _, u := range underlyings {
		for _, a := range analysis.All() {
			r, ok := s.readings[a.Kind+"/"+u.Name]
			switch {
			case !ok:
				t.Errorf("%s of %s: no reading", a.Kind, u.Name)
			case a.Kind == "direct":
				if r.Status != messages.Unavailable {
					t.Errorf("direct answers without having asked: %+v", r)
				}
			case r.Status == messages.Unavailable:
				t.Errorf("%s of %s is unavailable: %s", a.Kind, u.Name, r.Reason)
			case r.AsOf.IsZero() || r.OldestInput.IsZero() || r.Generation != 1 || r.Epoch != 7 || r.Coverage <= 0 || s.now.Sub(r.AsOf) > 6*time.Minute:
				t.Errorf("%s of %s: %+v", a.Kind, u.Name, r)
			}
		}
	}
	if r := s.readings["outlook/NIFTY"]; r.Coverage < 0.99 {
		t.Errorf("outlook covers %g", r.Coverage)
	}

	run("2026-03-04 13:40:00", false) // the option feed is cut off
	cut := s.readings["pcr/NIFTY"]
	if age := s.now.Sub(cut.AsOf); cut.Status != messages.Unavailable || age < 9*time.Minute || cut.Reason == "" {
		t.Errorf("pcr without options: %+v", cut)
	}
	r := s.readings["outlook/NIFTY"]
	if r.Status == messages.Unavailable || r.Coverage < 0.93 || r.Coverage > 0.95 {
		t.Errorf("outlook without pcr: %+v", r)
	}
	for _, e := range r.Values["inputs"].([]map[string]any) {
		if e["input"] == "pcr" && (e["vote"] != nil || e["age_seconds"] == nil || e["reason"] == nil) {
			t.Errorf("%v", e)
		}
	}
	if i := s.readings["instant/NIFTY"]; i.Status == messages.Unavailable || i.Values["pcr"] != nil {
		t.Errorf("instant without pcr: %+v", i)
	}
}

// BenchmarkMarketSecond is a second of the market at ten times Kite's usual
// rate (each of 252 instruments 10 times) through bars and every analysis, with
// four rounds of readings: 1e8 ns are a tenth of a core.
func BenchmarkMarketSecond(b *testing.B) {
	underlyings := indices(b)
	s := newMarket(b, "2026-03-02 09:14:50", underlyings)
	n := 0
	for end := time.Unix(clockTime(b, "2026-03-02 14:00:00"), 0); s.now.Before(end); s.now = s.now.Add(10 * time.Second) {
		s.frame(second(underlyings, s.now, n, n%6 == 0))
		n++
	}
	b.ResetTimer()
	for range b.N {
		s.now = s.now.Add(time.Second)
		for k := range 10 {
			n++
			s.frame(second(underlyings, s.now, n, true))
			if k%3 == 2 {
				s.pace()
			}
		}
		s.pace()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e7, "%core")
}
