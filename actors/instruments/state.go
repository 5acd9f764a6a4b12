package instruments

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"kitestring/actors/hours"
	"kitestring/actors/kite"
	"kitestring/messages"
	"kitestring/messages/ist"
)

// state is what the actor knows. All of memory outlives it.
type state struct {
	memory
	configured []messages.Want  // in addition to those of the underlyings
	session    messages.Session // taken up; zero: none yet
	pending    messages.Session // adopted while a fetch of the older one runs
	fetching   bool
	waiting    bool   // for the retry
	wait       int    // counts the waits
	failures   int    // in a row
	looks      int    // for a whole file, since the last whole one
	fault      string // of the last fetch
	hours      *hours.Table
	until      time.Time
	resolved   time.Time // exchange time of the last resolution; zero: none by this incarnation
}

// memory is the part of the state that a restarted actor continues with.
type memory struct {
	specs       []UnderlyingSpec // that it belongs to
	table       *table
	spots       []float64 // by spec; 0: unknown
	middles     []float64
	futures     []messages.Instrument // last near contract, by spec
	wants       []messages.Want
	underlyings []messages.Underlying
	notices     []string        // published last
	checked     []messages.Want // instruments of the configuration that are in the file
}

// event is what the state answers.
//
//sumtype:decl
type event interface{ event() }

type (
	// adopted is a session to work with from now on.
	adopted struct{ session messages.Session }
	// observed is the exchange's time and the spots, 0: no tick yet.
	observed struct {
		now   time.Time
		hours *hours.Table
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
	retry struct{ wait int }
)

func (adopted) event()  {}
func (observed) event() {}
func (fetched) event()  {}
func (retry) event()    {}

// effect is what the actor is to do.
//
//sumtype:decl
type effect interface{ effect() }

type (
	takeUp      struct{ session messages.Session }
	fetch       struct{}
	cancelFetch struct{}
	retryAfter  struct {
		pause time.Duration
		wait  int
	}
	// want is sent to the feed.
	want messages.WantInstruments
	// publish is what the store is to keep, and what the listeners get.
	publish struct {
		memory   memory
		resolved messages.InstrumentsResolved
	}
	// rolled is sent to the listeners.
	rolled messages.FuturesRolled
)

func (takeUp) effect()      {}
func (fetch) effect()       {}
func (cancelFetch) effect() {}
func (retryAfter) effect()  {}
func (want) effect()        {}
func (publish) effect()     {}
func (rolled) effect()      {}

// fileDay is the day whose instruments file is in force: a new one is made
// about 08:30 IST.
func fileDay(now time.Time) time.Time { return ist.Day(now.Add(-8*time.Hour - 30*time.Minute)) }

// next is the whole behaviour.
func next(specs []UnderlyingSpec, s state, ev event) (state, []effect) {
	var effects []effect
	switch e := ev.(type) {
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
			return s, []effect{cancelFetch{}}
		}
		s.session = e.session
		return s, []effect{takeUp(e)}
	case retry:
		if e.wait == s.wait {
			s.waiting = false
		}
		return s, nil
	case fetched:
		return ended(specs, s, e)
	case observed:
		s.spots, s.hours = e.spots, e.hours
		if s.table != nil && s.fault == "" && !s.table.day.Equal(fileDay(e.now)) {
			s.waiting = false // it was for a whole file of the day before
		}
		if s.due(e.now) && !s.session.IsZero() && !s.fetching && !s.waiting {
			s.fetching = true
			effects = append(effects, fetch{})
		}
		if s.table != nil && s.moved(specs, e.now) {
			return s.resolve(specs, e.now, effects)
		}
	}
	return s, effects
}

// due reports whether a file is to be fetched: the day's first, or another one
// in place of one that is not whole.
func (s *state) due(now time.Time) bool {
	return s.table == nil || !s.table.day.Equal(fileDay(now)) || !s.answers() || len(s.table.gaps) > 0 && s.looks < mostLooks
}

// answers reports whether the file was read for the instruments that are
// configured now.
func (s *state) answers() bool { return slices.Equal(s.table.asked, s.configured) }

// mostLooks is how often a day's file is fetched while it is not whole; with
// pauses that double from half a minute to a quarter of an hour this takes some
// two hours. What is missing then is missing in Kite's file.
const mostLooks = 12

func lookAgain(looks int) time.Duration {
	return min(30*time.Second<<min(looks, 10), 15*time.Minute)
}

// ended takes the result of a fetch.
func ended(specs []UnderlyingSpec, s state, e fetched) (state, []effect) {
	var effects []effect
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
		s.fault = kite.Reason(e.err)
		effects = append(effects, s.pause(min(pause, time.Minute)))
		return s.resolve(specs, e.now, effects)
	}
	if s.table == nil || !s.table.day.Equal(e.table.day) || len(e.table.gaps) == 0 {
		s.looks = 0
	}
	s.table, s.failures, s.fault = e.table, 0, ""
	if len(e.table.gaps) > 0 && !superseded {
		effects = append(effects, s.pause(lookAgain(s.looks)))
		s.looks++
	}
	return s.resolve(specs, e.now, effects)
}

func (s *state) pause(d time.Duration) effect {
	s.waiting = true
	s.wait++
	return retryAfter{d, s.wait}
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

// resolve resolves all underlyings and publishes what has changed.
func (s state) resolve(specs []UnderlyingSpec, now time.Time, effects []effect) (state, []effect) {
	first := s.resolved.IsZero()
	before := s.memory
	s.resolved, s.until = now, time.Time{}
	s.middles, s.futures = slices.Clone(s.middles), slices.Clone(s.futures)
	s.underlyings = make([]messages.Underlying, len(specs))
	var rolls []effect
	unfetched := s.unfetched(now)
	for i := range specs {
		if s.table == nil {
			s.underlyings[i] = messages.Underlying{Name: specs[i].Name, Reason: unfetched}
			continue
		}
		r := resolve(&specs[i], &s.table.contracts[i], now, s.hours, s.spots[i], s.middles[i])
		if r.Reason != "" && unfetched != "" {
			r.Reason += "; "
		}
		r.Reason += unfetched
		s.underlyings[i], s.middles[i] = r.Underlying, r.middle
		if !r.until.IsZero() && (s.until.IsZero() || r.until.Before(s.until)) {
			s.until = r.until
		}
		if to := r.Future; to.Token != 0 {
			if from := s.futures[i]; from.Token != 0 && from.Tradingsymbol != to.Tradingsymbol {
				rolls = append(rolls, rolled{Underlying: specs[i].Name, From: from, To: to, At: now.UTC()})
			}
			s.futures[i] = to
		}
	}
	s.wants = wantsOf(s.underlyings)
	if first && len(s.wants) > 0 || !slices.Equal(s.wants, before.wants) {
		effects = append(effects, want{Owner: owner, Wants: s.wants})
	}
	if s.table != nil && s.answers() {
		checked, refused := s.table.check(s.configured)
		if first && len(checked) > 0 || !slices.Equal(checked, s.checked) {
			s.checked = checked
			effects = append(effects, want{Owner: configuration, Wants: checked})
		}
		s.notices = append(s.table.notices(s.looks), refused...)
	} else if s.table == nil {
		s.notices = nil
	}
	if unfetched != "" && !slices.Contains(s.notices, unfetched) {
		s.notices = append([]string{unfetched}, s.notices...)
	}
	if first || !slices.Equal(s.notices, before.notices) || !slices.Equal(s.checked, before.checked) || !reflect.DeepEqual(s.underlyings, before.underlyings) {
		out := messages.InstrumentsResolved{Underlyings: s.underlyings, Notices: s.notices, At: now.UTC()}
		if s.table != nil {
			out.Generation = s.table.generation
			for _, w := range s.checked {
				if in, listed := s.table.configured[w.InstrumentToken]; listed {
					out.Configured = append(out.Configured, in)
				}
			}
		}
		effects = append(effects, publish{s.memory, out})
	}
	return s, append(effects, rolls...)
}

// unfetched says that today's file cannot be fetched; "": it was.
func (s *state) unfetched(now time.Time) string {
	switch {
	case s.table == nil:
		return "the instruments file cannot be fetched, it is being retried: " + s.fault
	case s.fault != "" && !s.table.day.Equal(fileDay(now)):
		return fmt.Sprintf("the instruments file of %s serves, today's cannot be fetched, it is being retried: %s", s.table.day.Format(time.DateOnly), s.fault)
	}
	return ""
}

// notices are what a person must know of a file that is not whole.
func (t *table) notices(looks int) []string {
	if len(t.gaps) == 0 {
		return nil
	}
	again := "it is fetched again"
	if looks >= mostLooks {
		again = "it was fetched again without success; restart the actor instruments to try once more"
	}
	return []string{fmt.Sprintf("the instruments file of %s is not whole, %s: %s", t.day.Format(time.DateOnly), again, strings.Join(t.gaps, "; "))}
}

// check finds the configuration's instruments in the file: which are
// subscribed to, and in words which are not.
func (t *table) check(configured []messages.Want) (good []messages.Want, refused []string) {
	for _, w := range configured {
		switch in, listed := t.configured[w.InstrumentToken]; {
		case !listed:
			refused = append(refused, fmt.Sprintf("instrument token %d (%s) of the configuration is not in the instruments file of %s: it is not subscribed",
				w.InstrumentToken, cmp.Or(w.Tradingsymbol, "no tradingsymbol"), t.day.Format(time.DateOnly)))
		case w.Tradingsymbol != "" && w.Tradingsymbol != in.Tradingsymbol:
			refused = append(refused, fmt.Sprintf("instrument token %d of the configuration is %s in the instruments file of %s, not %s: it is not subscribed",
				w.InstrumentToken, in.Tradingsymbol, t.day.Format(time.DateOnly), w.Tradingsymbol))
		default:
			w.Tradingsymbol = in.Tradingsymbol
			good = append(good, w)
		}
	}
	return good, refused
}

// Store keeps what outlives an incarnation: the day's table, where each chain
// stands, and what was published last. Safe for concurrent use.
type Store struct {
	mu       sync.Mutex
	memory   memory
	resolved messages.InstrumentsResolved
	filled   bool
}

// NewStore makes an empty one.
func NewStore() *Store { return &Store{} }

// Resolved is what was published last, for an actor that has just started;
// false before the first time. It must not be changed.
func (s *Store) Resolved() (messages.InstrumentsResolved, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.resolved, s.filled
}

// File is the day of the instruments file in use, zero for none, the day of the
// one that should be in use at a time of the exchange, what is missing of it, and
// which of the configuration's instruments it refuses.
func (s *Store) File(now time.Time) (day, want time.Time, gaps, refused []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.memory.table; t != nil {
		day, gaps = t.day, slices.Clone(t.gaps)
		_, refused = t.check(t.asked)
	}
	return day, fileDay(now), gaps, refused
}

// Chain is the options of an expiry of an underlying round the middle of its
// nearest chain, by strike, then type; none for an expiry that has none.
func (s *Store) Chain(underlying string, expiry time.Time) []messages.Instrument {
	s.mu.Lock()
	m := s.memory
	s.mu.Unlock()
	i := slices.IndexFunc(m.specs, func(u UnderlyingSpec) bool { return u.Name == underlying })
	if i < 0 || m.table == nil || m.middles[i] <= 0 {
		return nil
	}
	return round(ofExpiry(m.table.contracts[i].options, expiry), m.middles[i])
}

// Wants are the sets of wants that the feed should have now.
func (s *Store) Wants() []messages.WantInstruments {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.memory.wants) == 0 {
		return nil
	}
	return []messages.WantInstruments{{Owner: owner, Wants: s.memory.wants}, {Owner: configuration, Wants: s.memory.checked}}
}

func (s *Store) load() memory {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.memory
}

func (s *Store) save(m memory, resolved messages.InstrumentsResolved) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory, s.resolved, s.filled = m, resolved, true
}
