package instruments

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"kitestring/messages"
	"kitestring/messages/ist"
)

// state is what the actor knows. All of memory outlives it.
type state struct {
	memory
	session  messages.Session // taken up; zero: none yet
	pending  messages.Session // adopted while a fetch of the older one runs
	fetching bool
	waiting  bool   // for the retry
	failures int    // in a row
	fault    string // of the last fetch
	until    time.Time
	resolved time.Time // exchange time of the last resolution; zero: none by this incarnation
}

// memory is the part of the state that a restarted actor goes on with.
type memory struct {
	specs       []UnderlyingSpec // that it is of
	table       *table
	spots       []float64 // by spec; 0: unknown
	middles     []float64
	futures     []messages.Instrument // last near contract, by spec
	wants       []messages.Want
	underlyings []messages.Underlying
}

// The events.
type (
	// adopted is a session to work with from now on.
	adopted struct{ session messages.Session }
	// observed is the exchange's time and the spots, 0: no tick yet.
	observed struct {
		now   time.Time
		spots []float64
	}
	// fetched ends a fetch.
	fetched struct {
		table    *table
		err      error
		throttle bool // Kite says that we ask too often
		now      time.Time
	}
	// retry ends a wait.
	retry struct{}
)

// The effects, beside the messages to tell.
type (
	takeUp      struct{ session messages.Session }
	fetch       struct{}
	cancelFetch struct{}
	retryAfter  struct{ pause time.Duration }
	// remember is what the store is to keep.
	remember struct {
		memory memory
		told   messages.InstrumentsResolved
	}
)

// fileDay is the day whose instruments file is in force: a new one is made
// about 08:30 IST.
func fileDay(now time.Time) time.Time { return ist.Day(now.Add(-8*time.Hour - 30*time.Minute)) }

// next is the whole behaviour.
func next(specs []UnderlyingSpec, s state, event any) (state, []any) {
	var effects []any
	switch e := event.(type) {
	case adopted:
		if e.session.Generation <= max(s.session.Generation, s.pending.Generation) {
			return s, nil
		}
		// Whatever failed, failed with another session.
		s.waiting, s.failures = false, 0
		if s.fetching {
			// The running fetch may still note a use of the older token: the
			// new one is taken up when it has ended.
			s.pending = e.session
			return s, []any{cancelFetch{}}
		}
		s.session = e.session
		return s, []any{takeUp(e)}
	case retry:
		s.waiting = false
		return s, nil
	case fetched:
		return ended(specs, s, e)
	case observed:
		s.spots = e.spots
		if due := s.table == nil || !s.table.day.Equal(fileDay(e.now)); due && !s.session.IsZero() && !s.fetching && !s.waiting {
			s.fetching = true
			effects = append(effects, fetch{})
		}
		if s.table != nil && s.moved(specs, e.now) {
			return s.publish(specs, e.now, effects)
		}
	}
	return s, effects
}

// ended takes the result of a fetch.
func ended(specs []UnderlyingSpec, s state, e fetched) (state, []any) {
	var effects []any
	s.fetching = false
	superseded := !s.pending.IsZero()
	if superseded {
		s.session, s.pending = s.pending, messages.Session{}
		effects = append(effects, takeUp{s.session})
	}
	if e.err != nil {
		if superseded {
			return s, effects // it was cancelled: the next look starts another
		}
		pause := time.Second << min(s.failures, 6)
		if e.throttle {
			pause = max(pause, 5*time.Second)
		}
		s.failures++
		s.waiting = true
		s.fault = e.err.Error()
		effects = append(effects, retryAfter{min(pause, time.Minute)})
		return s.publish(specs, e.now, effects)
	}
	s.table, s.failures, s.fault = e.table, 0, ""
	return s.publish(specs, e.now, effects)
}

// moved reports whether time or a spot calls for another resolution.
func (s *state) moved(specs []UnderlyingSpec, now time.Time) bool {
	if s.resolved.IsZero() || now.Before(s.resolved) || !s.until.IsZero() && !now.Before(s.until) {
		return true
	}
	for i := range specs {
		if s.spots[i] > 0 && s.underlyings[i].Step > 0 {
			if d := s.spots[i] - s.middles[i]; max(d, -d) < recentreAfter*s.underlyings[i].Step {
				continue
			}
		} else if s.spots[i] <= 0 || s.underlyings[i].Expiry.IsZero() || s.middles[i] > 0 {
			continue
		}
		return true
	}
	return false
}

// publish resolves anew and tells what has changed.
func (s state) publish(specs []UnderlyingSpec, now time.Time, effects []any) (state, []any) {
	first := s.resolved.IsZero()
	before := s.memory
	s.resolved, s.until = now, time.Time{}
	s.middles, s.futures = slices.Clone(s.middles), slices.Clone(s.futures)
	s.underlyings = make([]messages.Underlying, len(specs))
	var rolled []any
	for i := range specs {
		if s.table == nil {
			s.underlyings[i] = messages.Underlying{Name: specs[i].Name}
			s.underlyings[i].Reason = "the instruments file cannot be fetched, it is being retried: " + s.fault
			continue
		}
		r := resolve(&specs[i], &s.table.contracts[i], now, s.spots[i], s.middles[i])
		if s.fault != "" && !s.table.day.Equal(fileDay(now)) {
			stale := fmt.Sprintf("the instruments file of %s serves, today's cannot be fetched, it is being retried: %s", s.table.day.Format(time.DateOnly), s.fault)
			if r.Reason != "" {
				stale = r.Reason + "; " + stale
			}
			r.Reason = stale
		}
		s.underlyings[i], s.middles[i] = r.Underlying, r.middle
		if !r.until.IsZero() && (s.until.IsZero() || r.until.Before(s.until)) {
			s.until = r.until
		}
		if to := r.Future; to.Token != 0 {
			if from := s.futures[i]; from.Token != 0 && from.Tradingsymbol != to.Tradingsymbol {
				rolled = append(rolled, messages.FuturesRolled{Underlying: specs[i].Name, From: from, To: to, At: now.UTC()})
			}
			s.futures[i] = to
		}
	}
	s.wants = wantsOf(s.underlyings)
	if first && len(s.wants) > 0 || !slices.Equal(s.wants, before.wants) {
		effects = append(effects, messages.WantInstruments{Owner: owner, Wants: s.wants})
	}
	if first || before.table != s.table || !reflect.DeepEqual(s.underlyings, before.underlyings) {
		told := messages.InstrumentsResolved{Underlyings: s.underlyings, At: now.UTC()}
		if s.table != nil {
			told.Generation = s.table.generation
		}
		effects = append(effects, remember{s.memory, told}, told)
	}
	return s, append(effects, rolled...)
}
