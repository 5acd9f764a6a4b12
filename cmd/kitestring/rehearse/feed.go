package rehearse

import (
	"fmt"
	"strings"
	"time"

	"kitestring/actors/simulator"
	"kitestring/messages"
)

var _ = register(Drill{
	Name: "old-socket-lives", Topic: Feed, Short: true,
	Inject: "a login elsewhere kills the token, open sockets live on; the new token comes 3 s later",
	Hold:   "the old socket streams on, nothing dials with the dead token; then 0 lost, 0 repeated",
	Steps: func(r *Rig) {
		g, value := r.generation()+1, r.rotate()
		r.validate()
		r.within(10*time.Second, "the dead token is noticed", func() (bool, any) {
			t := r.status().Token
			return t.State == messages.Rejected, t
		})
		upgrades, ticks := r.upgrades(), r.metric("kitestring_feed_ticks_total")
		r.during(3*time.Second, "the old socket streams on and nothing dials", func() (bool, any) {
			f, n := r.status().Feed, r.upgrades()
			return f.State == messages.Streaming && n == upgrades, fmt.Sprintf("%+v, %d upgrades (before: %d)", f, n, upgrades)
		})
		// Counted, not by the age of the last one: a busy machine delays ticks.
		r.within(10*time.Second, "a thousand ticks have come over it", func() (bool, any) {
			n := r.metric("kitestring_feed_ticks_total") - ticks
			return n >= 1000, n
		})
		if n := r.upgrades(); n != upgrades {
			failf("%d dials with a dead token", n-upgrades)
		}
		start := time.Now()
		r.byRename(value)
		r.adopted(g, 10*time.Second)
		r.recovery(start)
		receipt := r.receipt(g)
		nothingLost(receipt)
		r.note("%d overlapped, 0 lost, 0 repeated", receipt.Overlapped)
	},
})

var _ = register(Drill{
	Name: "old-socket-cut", Topic: Feed, Short: true, Setup: Setup{OldSockets: simulator.OldSocketsCut},
	Inject: "a login elsewhere kills the token and cuts the socket; the new token comes later",
	Hold:   "parked after one refused dial; the gap ledger is exact: times and volumes as an observer saw them",
	Steps: func(r *Rig) {
		g := r.generation() + 1
		before, watched := r.observeAll()
		last, cut := r.lastEvent(), time.Now()
		value := r.rotate()
		after := r.observe(value, watched)
		// The refused dial alone parks: auth doubts a first refusal for 2 s.
		r.happens(10*time.Second, "feed", last, "unauthorised", "refused the connection (403); the token is being checked")
		r.parked()
		start := time.Now()
		r.byRename(value)
		r.adopted(g, 10*time.Second)
		r.live()
		r.recovery(start)
		r.gapsExact(cut, watched, before, after)
	},
})

// parked waits until the token is known to be dead, and demands that nothing
// dials with it then.
func (r *Rig) parked() {
	// By the rejection: a refused connection alone would let it dial half a minute later.
	r.within(10*time.Second, "the feed is parked because the token is rejected", func() (bool, any) {
		st := r.status()
		return st.Token.State == messages.Rejected && st.Feed.State == messages.Unauthorised && strings.Contains(st.Feed.Reason, "rejected the access token"), st
	})
	upgrades := r.upgrades()
	r.during(2*time.Second, "nothing dials with a dead token", func() (bool, any) {
		n := r.upgrades()
		return n == upgrades, fmt.Sprintf("%d upgrades (before: %d)", n, upgrades)
	})
}

var _ = register(Drill{
	Name: "forbidden-storm", Topic: Feed,
	Inject: "403 at every upgrade for 20 s while REST is fine",
	Hold:   "parked with the cause in words, the profile asked, one probe in 30 s, healed by it",
	Steps: func(r *Rig) {
		before, cut := r.exchange(), time.Now()
		r.fault(simulator.Fault{Kind: simulator.FaultForbidden})
		r.fault(simulator.Fault{Kind: simulator.FaultDrop})
		r.note("the status says: %s", r.feedIs(5*time.Second, messages.Unauthorised).Feed.Reason)
		r.within(15*time.Second, "the profile is asked", func() (bool, any) {
			answered := r.exchange().Requests.Answered
			return answered["profile"] > before.Requests.Answered["profile"], answered
		})
		r.during(20*time.Second-time.Since(cut), "parked, the token not blamed, one dial", func() (bool, any) {
			refused, st := r.exchange().Upgrades.Refused["fault_forbidden"], r.status()
			return refused == 1 && st.Token.State == messages.Valid && !st.Live, fmt.Sprintf("%d refused, %+v", refused, st)
		})
		start := time.Now()
		r.lift()
		r.feedIs(45*time.Second, messages.Streaming)
		r.recovery(start)
		if waited := time.Since(cut); waited < 29*time.Second {
			failf("probed again after %s, one probe in 30 s is allowed", waited)
		}
		r.live()
	},
})

var _ = register(Drill{
	Name: "fourth-socket", Topic: Feed, Limit: 5 * time.Minute,
	Inject: "ghosts hold two slots at a rotation; then all three after a drop",
	Hold:   "the running socket streams on; when the ghosts stay, the swap breaks before it makes; after the drop no dial for 30 s",
	Steps: func(r *Rig) {
		refusedDials := func() int64 { return r.exchange().Upgrades.Refused["too_many"] }
		g := r.generation() + 1
		r.fault(simulator.Fault{Kind: simulator.FaultGhosts, Sockets: 2})
		value := r.rotate()
		start := time.Now()
		r.byRename(value)
		r.during(25*time.Second, "the running socket streams on, one dial has met a 429", func() (bool, any) {
			n, st := refusedDials(), r.status()
			return n <= 1 && st.Feed.State == messages.Streaming && st.Live, fmt.Sprintf("%d refused, %+v", n, st)
		})
		// Waiting has not helped: then the running socket is given up for its slot.
		r.adopted(g, 90*time.Second)
		r.live()
		r.recovery(start)
		refused, took := refusedDials(), time.Since(start)
		if refused == 0 || refused > 4 {
			failf("%d dials met a 429 at the rotation; one is needed to learn of it, one to see that it lasts", refused)
		}
		cut := time.Now()
		r.fault(simulator.Fault{Kind: simulator.FaultGhosts})
		r.fault(simulator.Fault{Kind: simulator.FaultDrop})
		r.feedIs(5*time.Second, messages.Backoff)
		// For a while the ghost may be the server's own, and a dial each second is allowed.
		r.during(13*time.Second, "no more than a dial a second", func() (bool, any) {
			n := refusedDials() - refused
			return float64(n) <= time.Since(cut).Seconds()+2, fmt.Sprintf("%d dials in %s", n, time.Since(cut))
		})
		dials := refusedDials()
		r.during(22*time.Second, "nothing dials while the slots are taken", func() (bool, any) {
			n := refusedDials()
			return n == dials, fmt.Sprintf("%d dials (before: %d)", n, dials)
		})
		r.lift()
		r.feedIs(40*time.Second, messages.Streaming)
		r.note("rotated in %s with one slot; %d dials without a slot, then none for 22 s", took.Round(100*time.Millisecond), dials-refused)
		r.live()
	},
})

var _ = register(Drill{
	Name: "drop-mid-frame", Topic: Feed, Setup: Setup{Rate: 5000}, Limit: 5 * time.Minute,
	Inject: "a reset inside a frame, a reset, an end without and with a close frame; then a drop every 2 s for a minute",
	Hold:   "redialled within 250 ms, all subscriptions restored, gaps recorded; backoff doubles, and is forgotten after 30 s of health",
	Steps: func(r *Rig) {
		instruments, begin := r.status().Feed.Instruments, time.Now()
		// Each of these sessions is young: a pause of 250 ms is allowed from the second on.
		for i, variant := range []string{"mid_frame", "reset", "tcp", "close_frame"} {
			r.step(variant, func() {
				if i > 0 {
					r.healthy()
				}
				took := r.dropped(variant, instruments)
				r.recoveryOf(took)
				r.note("%s %.1f ms", variant, float64(took)/float64(time.Millisecond))
				r.live()
			})
		}
		r.newPCR()
		before := r.upgrades()
		r.fault(simulator.Fault{Kind: simulator.FaultDrop, EveryMS: 2000, ForMS: 60_000})
		r.within(80*time.Second, "the minute of drops is over", func() (bool, any) {
			faults := r.exchange().Faults
			return len(faults) == 0, faults
		})
		n := r.upgrades() - before
		if n < 4 || n > 16 {
			failf("%d dials in a minute of drops: with a doubling backoff there are about 10", n)
		}
		r.note("%d dials in a minute of drops every 2 s", n)
		r.feedIs(40*time.Second, messages.Streaming)
		gaps := r.gapsSince(begin)
		if len(gaps) == 0 {
			failf("no gap was recorded")
		}
		r.note("%d instruments in the gap ledger", len(gaps))
		r.healthy()
		r.step("after a healthy session", func() { r.dropped("", instruments) })
		r.live()
	},
})

// dropped cuts the socket and demands a new one within 250 ms.
func (r *Rig) dropped(variant string, instruments int) (took time.Duration) {
	cut, before := time.Now(), r.still.SoFar()
	r.fault(simulator.Fault{Kind: simulator.FaultDrop, Variant: variant})
	took = r.redialled(5*time.Second, cut, instruments)
	if took > 250*time.Millisecond+r.still.SoFar()-before {
		failf("redialled after %s", took)
	}
	return took
}

// healthy waits until the socket is old enough for its backoff to be forgotten.
func (r *Rig) healthy() { r.streams(31 * time.Second) }

// newPCR waits for a reading that needs the open interest, which only comes in
// full mode, of ticks from now on.
func (r *Rig) newPCR() {
	since := r.status().Market.ExchangeTime.Truncate(time.Second)
	r.within(20*time.Second, "the modes are restored: PCR of newer ticks", func() (bool, any) {
		reading := get[messages.Reading](r, "/api/v1/readings/NIFTY/pcr")
		return reading.Status != messages.Unavailable && !reading.AsOf.Before(since) && reading.Coverage > 0.9, fmt.Sprintf("%+v (since %s)", reading, since)
	})
}

var _ = register(Drill{
	Name: "recycled-instrument", Topic: Feed, Setup: Setup{Start: ordinary},
	Inject: "next morning the instrument token of the near future means another symbol",
	Hold:   "that other symbol is not subscribed to, which is reported, and the future is followed under its new token",
	Steps: func(r *Rig) {
		before := r.workers()
		name, was := r.underlyings()[0].Name, r.underlyings()[0].Future
		r.fault(simulator.Fault{Kind: simulator.FaultRecycled, InstrumentToken: was.Token})
		start := time.Now()
		r.clock(map[string]any{"now": at(2026, time.March, 12, 9, 14, 55)})
		r.within(20*time.Second, "the future is followed under its new token", func() (bool, any) {
			is := r.underlying(name).Future
			return is.Tradingsymbol == was.Tradingsymbol && is.Token != was.Token, is
		})
		r.within(20*time.Second, "the other symbol is not subscribed to, the future is", func() (bool, any) {
			subscriptions := r.exchange().Subscriptions
			return subscriptions[fmt.Sprint(was.Token)] == 0 && subscriptions[fmt.Sprint(r.underlying(name).Future.Token)] > 0, subscriptions
		})
		r.recovery(start)
		if len(r.logged("instrument token recycled", fmt.Sprint(was.Token), "RECYCLED", was.Tradingsymbol)) == 0 {
			failf("the log does not report the recycled instrument token")
		}
		r.live()
		r.untouched(before, "")
	},
})

var _ = register(Drill{
	Name: "order-updates-lost", Topic: Feed, Short: true,
	Inject: "order updates while the socket is down",
	Hold:   "each order's last state is reported once after the reconnect, nothing else",
	Steps: func(r *Rig) {
		last := r.lastEvent()
		place := func(id, status string) {
			r.fault(simulator.Fault{Kind: simulator.FaultOrderUpdate, Order: map[string]any{"order_id": id, "status": status, "filled_quantity": len(status)}})
		}
		place("A", "OPEN")
		r.happens(5*time.Second, "order", last, "order A", "OPEN")
		// Until the orders are placed, however long that takes: no socket may see them.
		r.fault(simulator.Fault{Kind: simulator.FaultServerError})
		r.fault(simulator.Fault{Kind: simulator.FaultDrop})
		r.feedIs(5*time.Second, messages.Backoff)
		place("A", "COMPLETE")
		place("B", "OPEN")
		place("B", "CANCELLED")
		place("C", "REJECTED")
		start := time.Now()
		r.lift()
		want := []string{"order A: OPEN", "order A: COMPLETE", "order B: CANCELLED", "order C: REJECTED", "order D: OPEN"}
		r.within(15*time.Second, "the orders are reconciled", func() (bool, any) {
			reported := r.events("order", last)
			return len(reported) >= len(want)-1, reported
		})
		r.recovery(start)
		place("D", "OPEN")
		r.happens(5*time.Second, "order", last, "order D", "OPEN")
		reported := r.events("order", last)
		for i, e := range reported {
			if i >= len(want) || e.Text != want[i] {
				failf("reported %+v, want %q", reported, want)
			}
		}
		if len(reported) != len(want) {
			failf("reported %+v, want %q", reported, want)
		}
		r.live()
	},
})
