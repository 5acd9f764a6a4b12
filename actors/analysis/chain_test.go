package analysis

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
	"kitestring/messages"
)

// street is bars and every analysis on one goroutine, wired as the tree wires
// them: what one sends the other receives at once, and time is set by hand.
type street struct {
	now      time.Time
	series   Store
	actors   map[string]actors.Actor
	readings map[string]messages.Reading // kind/underlying
	tokens   *book
}

// resident is the hold of one actor on the street.
type resident struct {
	street *street
	name   string
}

func (s *street) Now() time.Time { return s.now }

func (r *resident) Name() string    { return r.name }
func (r *resident) Epoch() uint64   { return 7 }
func (r *resident) PID() *actor.PID { return pidOf(r.name) }
func (r *resident) Send(to *actor.PID, msg any) {
	if m, ok := msg.(messages.Reading); ok && to.Equals(webPID) {
		r.street.readings[m.Kind+"/"+m.Underlying] = m
	}
	for name, a := range r.street.actors {
		if to.Equals(pidOf(name)) {
			a.Receive(msg)
		}
	}
}

func (r *resident) Tell(msg any)                               { r.street.actors[r.name].Receive(msg) }
func (r *resident) After(time.Duration, any) func()            { return func() {} }
func (r *resident) Every(time.Duration, any) func()            { return func() {} }
func (r *resident) Go(string, func(ctx context.Context) error) {}
func (r *resident) Fail(err error)                             { panic(err) }
func (r *resident) Beat()                                      {}
func (r *resident) Log() *slog.Logger                          { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func pidOf(name string) *actor.PID { return actor.NewPID(actor.LocalLookupAddr, name+"/main") }

func newStreet(t testing.TB, from string, underlyings []messages.Underlying) *street {
	s := &street{
		now: time.Unix(clockTime(t, from), 0), actors: map[string]actors.Actor{},
		readings: map[string]messages.Reading{}, tokens: &book{},
	}
	listeners := []*actor.PID{webPID}
	for _, a := range All() {
		listeners = append(listeners, pidOf(a.Kind))
	}
	s.actors["bars"] = NewBars(BarsConfig{Clock: s, Tokens: s.tokens, Series: &s.series, Listeners: listeners})(&resident{s, "bars"})
	for _, a := range All() {
		to := []*actor.PID{webPID}
		for _, other := range All() {
			for _, kind := range other.Needs.Readings {
				if kind == a.Kind {
					to = append(to, pidOf(other.Kind))
				}
			}
		}
		s.actors[a.Kind] = New(Config{Analysis: a, Clock: s, Tokens: s.tokens, History: &s.series, Listeners: to})(&resident{s, a.Kind})
	}
	s.all(actors.Started{})
	s.all(messages.InstrumentsResolved{Underlyings: underlyings})
	s.all(messages.PhaseChanged{Phase: messages.Open})
	return s
}

func (s *street) all(msg any) {
	s.actors["bars"].Receive(msg)
	for _, a := range All() {
		s.actors[a.Kind].Receive(msg)
	}
}

// frame hands ticks to those who subscribe to them.
func (s *street) frame(b *messages.Ticks) {
	s.actors["bars"].Receive(b)
	for _, a := range All() {
		if a.Needs.Ticks() {
			s.actors[a.Kind].Receive(b)
		}
	}
}

// indices are NIFTY, BANKNIFTY and SENSEX with 82 options each.
func indices(t testing.TB) []messages.Underlying {
	var all []messages.Underlying
	for n, name := range goldenSymbols {
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
	s := newStreet(t, "2026-03-02 09:14:50", underlyings)
	// Ten hours of session: enough for windows of 100 bars. A tick in 10 s.
	n := 0
	run := func(to string, options bool) {
		for end := time.Unix(clockTime(t, to), 0); s.now.Before(end); s.now = s.now.Add(10 * time.Second) {
			s.frame(second(underlyings, s.now, n, options))
			n++
			pass(10 * time.Second)
			if n%30 == 0 {
				s.all(paced{})
			}
		}
		for range 2 { // outlook hears the others
			pass(repeat)
			s.all(paced{})
		}
	}
	run("2026-03-02 15:30:10", true)
	pass(18 * time.Hour)
	s.now = time.Unix(clockTime(t, "2026-03-03 09:14:50"), 0)
	run("2026-03-03 13:30:00", true)
	for _, u := range underlyings {
		for _, a := range All() {
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

	run("2026-03-03 13:40:00", false) // the option feed is cut off
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
	s := newStreet(b, "2026-03-02 09:14:50", underlyings)
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
				s.all(paced{})
			}
		}
		s.all(paced{})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e7, "%core")
}
