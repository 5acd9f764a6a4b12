package rehearse

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"kitestring/actors/simulator"
)

var _ = register(Drill{
	Name: "mute", Topic: Feed, Short: true,
	Inject: "the socket stays open and not a byte comes",
	Hold:   "found by the watch for silence within 3 s (verdict: 15 s) and reconnected",
	Steps: func(r *Rig) {
		r.ticked()
		last, cut := r.lastEvent(), time.Now()
		r.fault(simulator.Fault{Kind: simulator.FaultMute})
		// The reason, because other watches find such a socket too, later.
		r.happens(15*time.Second, "feed", last, "silent for 3 s")
		r.note("found after %s", time.Since(cut).Round(10*time.Millisecond))
		r.lift()
		r.redialled(10*time.Second, cut, allInstruments)
		r.live()
		r.recovery(cut)
		r.within(10*time.Second, "the gap is recorded", func() (bool, any) {
			n := len(r.gapsSince(cut))
			return n > 100, fmt.Sprintf("%d gaps", n)
		})
	},
})

var _ = register(Drill{
	Name: "heartbeat-only", Topic: Feed, Setup: Setup{Start: evening},
	Inject: "heartbeats without ticks, in an open and in a closed market",
	Hold:   "open: stale, not live, subscribed again, then reconnected; closed: nothing",
	Steps: func(r *Rig) {
		begin := time.Now()
		r.fault(simulator.Fault{Kind: simulator.FaultHeartbeatOnly})
		r.staleRemedied(begin)
		start := time.Now()
		r.lift()
		r.live()
		r.recovery(start)
		// Now the same in a market that is closed, where it is no fault.
		r.closeMarket()
		upgrades := r.upgrades()
		r.during(12*time.Second, "nothing is done in a closed market", func() (bool, any) {
			st, n := r.status(), r.upgrades()
			return st.Live && !st.Feed.Stale && n == upgrades, fmt.Sprintf("%+v, %d upgrades (before: %d)", st, n, upgrades)
		})
	},
})

// staleRemedied waits until silence in an open market has been called stale,
// subscriptions have been sent again, and a new connection has been tried.
func (r *Rig) staleRemedied(since time.Time) {
	r.within(25*time.Second, "stale, and not live", func() (bool, any) {
		st := r.status()
		return st.Feed.Stale && !st.Live && strings.Contains(st.Message, "no tick"), st
	})
	r.redialled(50*time.Second, since.Add(2*time.Second), 3) // without a spot there is no chain
	all, again := r.logged("no ticks in an open market"), r.logged("no ticks in an open market, subscribing again")
	if len(again) == 0 || len(all) == len(again) || !all[0].Equal(again[0]) {
		failf("the log does not report a new subscription, then a new connection")
	}
	r.note("reconnected %s after the last tick", all[len(all)-1].Sub(since).Round(100*time.Millisecond))
}

var _ = register(Drill{
	Name: "no-first-tick", Topic: Feed, Setup: Setup{Cold: true, ManualLogin: true},
	Inject: "connected and subscribed after the login, and never a tick",
	Hold:   "never live; subscribed again, then reconnected; live with the first tick",
	Steps: func(r *Rig) {
		r.fault(simulator.Fault{Kind: simulator.FaultNoFirstTick})
		begin := time.Now()
		r.login()
		stop := r.meanwhile(func(r *Rig) {
			r.during(time.Hour, "it is never called live", func() (bool, any) {
				st := r.status()
				return !st.Live, st
			})
		})
		r.staleRemedied(begin)
		stop()
		start := time.Now()
		r.lift()
		r.live()
		r.recovery(start)
	},
})

// harmless are the variants of a malformed frame that are none: a byte of any
// value is a heartbeat, and Kite may send well-formed texts of any kind.
var harmless = []string{"nonzero_byte", "text_error_object", "text_error_null", "text_error_number", "text_no_data", "text_unknown_type", "text_no_type"}

var _ = register(Drill{
	Name: "malformed", Topic: Feed, Short: true, Setup: Setup{Start: evening},
	Inject: "every kind of bad frame and bad text in a market that is closed",
	Hold:   "no tick from any, no panic, each counted, no reconnect before 10 in 10 s",
	Steps: func(r *Rig) {
		r.closeMarket()
		ticks, upgrades := r.metric("kitestring_feed_ticks_total"), r.upgrades()
		inject := func(variants []string) {
			for _, variant := range variants {
				before := r.metric("kitestring_feed_malformed_total")
				r.fault(simulator.Fault{Kind: simulator.FaultMalformed, Variant: variant})
				if slices.Contains(harmless, variant) {
					continue
				}
				r.within(5*time.Second, variant+" is counted", func() (bool, any) {
					n := r.metric("kitestring_feed_malformed_total")
					return n > before, fmt.Sprintf("%v, before %v", n, before)
				})
			}
			if n := r.metric("kitestring_feed_ticks_total"); n != ticks {
				failf("%v ticks were made of bad frames", n-ticks)
			}
		}
		var frames, texts []string
		for _, variant := range simulator.MalformedVariants() {
			if strings.HasPrefix(variant, "text") {
				texts = append(texts, variant)
			} else {
				frames = append(frames, variant)
			}
		}
		const burst = 10
		few := frames[:min(burst-1, len(frames))]
		inject(slices.Concat(few, texts))
		if n := r.upgrades() - upgrades; n != 0 {
			failf("%d new dials before there was a burst", n)
		}
		start := time.Now()
		r.fault(simulator.Fault{Kind: simulator.FaultMalformed, Variant: "truncated", Count: burst})
		r.step("after a burst", func() { r.redialled(10*time.Second, start, allInstruments) })
		r.recovery(start)
		r.live()
		// The cached ticks of the new socket are repeats.
		inject(frames[len(few):])
		r.note("%d kinds of bad frames and texts, 0 ticks", len(frames)+len(texts))
	},
})

var _ = register(Drill{
	Name: "duplicate-snapshot", Topic: Feed, Setup: Setup{Start: evening, Speed: 10},
	Inject: "the cached ticks once more, again and again, in an open and in a closed market",
	Hold:   "open: bars equal the exchange's history, no volume added; closed: counted as repeats, not as ticks",
	Steps: func(r *Rig) {
		r.fault(simulator.Fault{Kind: simulator.FaultDuplicateSnapshot, EveryMS: 500})
		r.streams(20 * time.Second)
		r.note("%d bars equal to the exchange's history", r.barsEqualHistory(false))
		r.lift()
		r.closeMarket()
		ticks, repeats := r.metric("kitestring_feed_ticks_total"), r.metric("kitestring_feed_duplicates_total")
		before := r.status().Feed
		r.fault(simulator.Fault{Kind: simulator.FaultDuplicateSnapshot, Count: 3})
		r.within(5*time.Second, "the repeats are counted", func() (bool, any) {
			n := r.metric("kitestring_feed_duplicates_total") - repeats
			return n >= 3*float64(before.Instruments), n
		})
		if n := r.metric("kitestring_feed_ticks_total") - ticks; n != 0 {
			failf("%v repeats were handed on as ticks", n)
		}
		if age := r.status().Feed.LastTickAgeSeconds; age == nil || *age < *before.LastTickAgeSeconds {
			failf("a repeat made the last tick look newer")
		}
	},
})
