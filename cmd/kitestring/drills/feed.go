package drills

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kitestring/actors/simulator"
	"kitestring/actors/web/api"
	"kitestring/messages"
)

var feedDrills = []Drill{
	{
		Name: "old-socket-lives", Short: true,
		Inject: "a login elsewhere kills the token, open sockets live on; the new token comes 3 s later",
		Hold:   "the old socket streams on, nobody dials with the dead token; then 0 lost, 0 twice",
		run:    oldSocketLives,
	},
	{
		Name: "old-socket-cut", Short: true, Setup: Setup{OldSockets: simulator.OldSocketsCut},
		Inject: "a login elsewhere kills the token and cuts the socket; the new token comes later",
		Hold:   "parked after one refused dial; the gap ledger is exact: times and volumes as an observer saw them",
		run:    oldSocketCut,
	},
	{
		Name:   "forbidden-storm",
		Inject: "403 at every upgrade for 20 s while REST is fine",
		Hold:   "parked with the cause in words, the profile asked, one probe in 30 s, healed by it",
		run:    forbiddenStorm,
	},
	{
		Name: "fourth-socket", Limit: 5 * time.Minute,
		Inject: "ghosts hold two slots at a rotation; then all three after a drop",
		Hold:   "the running socket streams on; when the ghosts stay, the swap breaks before it makes; after the drop no dial for 30 s",
		run:    fourthSocket,
	},
	{
		Name: "mute", Short: true,
		Inject: "the socket stays open and not a byte comes",
		Hold:   "found within 3 s (verdict: 15 s) and reconnected",
		run:    muteSocket,
	},
	{
		Name: "heartbeat-only", Setup: Setup{Start: evening},
		Inject: "heartbeats without ticks, in an open and in a closed market",
		Hold:   "open: stale, not live, subscribed again, then reconnected; closed: nothing",
		run:    heartbeatOnly,
	},
	{
		Name: "no-first-tick", Setup: Setup{Cold: true, ManualLogin: true},
		Inject: "connected and subscribed after the login, and never a tick",
		Hold:   "never live; subscribed again, then reconnected; live with the first tick",
		run:    noFirstTick,
	},
	{
		Name: "drop-mid-frame", Setup: Setup{Rate: 5000}, Limit: 5 * time.Minute,
		Inject: "a reset inside a frame, a reset, an end without and with a close frame; then a drop every 2 s for a minute",
		Hold:   "redialled within 250 ms, all subscriptions restored, gaps recorded; backoff doubles, and is forgotten after 30 s of health",
		run:    dropMidFrame,
	},
	{
		Name: "malformed", Short: true, Setup: Setup{Start: evening},
		Inject: "every kind of bad frame and bad text in a market that is closed",
		Hold:   "no tick from any, no panic, each counted, no reconnect before 10 in 10 s",
		run:    malformedFrames,
	},
	{
		Name: "duplicate-snapshot", Setup: Setup{Start: evening, Speed: 10},
		Inject: "the cached ticks once more, again and again, in an open and in a closed market",
		Hold:   "open: bars equal the exchange's history, no volume added; closed: counted as repeats, not as ticks",
		run:    duplicateSnapshot,
	},
	{
		Name: "recycled-instrument", Setup: Setup{Start: ordinary},
		Inject: "next morning the instrument token of the near future means another symbol",
		Hold:   "the stranger is not subscribed to, that is reported, and the future is followed under its new token",
		run:    recycledInstrument,
	},
	{
		Name: "order-updates-lost", Short: true,
		Inject: "order updates while the socket is down",
		Hold:   "each order's last state is told once after the reconnect, nothing else",
		run:    orderUpdatesLost,
	},
}

// oldSocketLives: somebody else has logged in, e.g. another program with a
// file of its own.
func oldSocketLives(ctx context.Context, r *Rig) error {
	g, err := r.generation()
	if err != nil {
		return err
	}
	value, err := r.rotate()
	if err != nil {
		return err
	}
	if err := r.post("/api/v1/token/validate", nil); err != nil {
		return err
	}
	err = r.within(ctx, 10*time.Second, "the dead token is noticed", func() (bool, string) {
		st, err := r.status()
		return err == nil && st.Token.State == messages.Rejected, fmt.Sprintf("%+v, %v", st.Token, err)
	})
	if err != nil {
		return err
	}
	upgrades, err := r.upgrades()
	if err != nil {
		return err
	}
	err = r.during(ctx, 3*time.Second, "the old socket streams on and nobody dials", func() (bool, string) {
		st, err := r.status()
		if err != nil {
			return false, err.Error()
		}
		n, err := r.upgrades()
		if err != nil {
			return false, err.Error()
		}
		age := st.Feed.LastTickAgeSeconds
		return st.Feed.State == messages.Streaming && age != nil && *age < 1 && n == upgrades, fmt.Sprintf("%+v, %d upgrades (before: %d)", st.Feed, n, upgrades)
	})
	if err != nil {
		return err
	}
	start := time.Now()
	if err := r.byRename(value); err != nil {
		return err
	}
	if err := r.adopted(ctx, g+1, 10*time.Second); err != nil {
		return err
	}
	r.recovery(time.Since(start))
	receipt, err := r.receipt(ctx, g+1)
	if err != nil {
		return err
	}
	r.note("%d overlapped, 0 lost, 0 twice", receipt.Overlapped)
	return nothingLost(receipt)
}

func oldSocketCut(ctx context.Context, r *Rig) error {
	old, err := r.fileToken()
	if err != nil {
		return err
	}
	underlyings, err := r.underlyings()
	if err != nil {
		return err
	}
	var watched []uint32
	for _, u := range underlyings {
		watched = append(watched, u.Future.Token)
		if u.Next != nil {
			watched = append(watched, u.Next.Token)
		}
		for _, in := range u.Chain {
			watched = append(watched, in.Token)
		}
	}
	g, err := r.generation()
	if err != nil {
		return err
	}
	before, err := r.observe(ctx, old, watched)
	if err != nil {
		return err
	}
	defer before.close()
	// A moment's ticks, so that the observer knows what came last.
	if err := r.streams(ctx, 1500*time.Millisecond); err != nil {
		return err
	}
	cut := time.Now()
	value, err := r.rotate()
	if err != nil {
		return err
	}
	after, err := r.observe(ctx, value, watched)
	if err != nil {
		return err
	}
	defer after.close()
	if err := r.parked(ctx); err != nil {
		return err
	}
	start := time.Now()
	if err := r.byRename(value); err != nil {
		return err
	}
	if err := r.adopted(ctx, g+1, 10*time.Second); err != nil {
		return err
	}
	if err := r.live(ctx); err != nil {
		return err
	}
	r.recovery(time.Since(start))
	var gaps map[uint32]messages.Gap
	err = r.within(ctx, 10*time.Second, "every instrument that traded has its gap", func() (bool, string) {
		gaps, err = r.blind(cut)
		return err == nil && len(gaps) == len(watched), fmt.Sprintf("%d of %d, %v", len(gaps), len(watched), err)
	})
	if err != nil {
		return err
	}
	volume := int64(0)
	for _, gap := range gaps {
		if !proves(before, after, gap) {
			return fmt.Errorf("the gap %+v is not what was sent: before %+v, after %+v", gap, before.at(gap.InstrumentToken, gap.From), after.at(gap.InstrumentToken, gap.To))
		}
		volume += gap.VolumeWhile
	}
	r.note("%d gaps exact, volume %d while blind", len(gaps), volume)
	return nil
}

// parked waits until the token is known to be dead, and demands that nobody
// dials with it then.
func (r *Rig) parked(ctx context.Context) error {
	err := r.within(ctx, 10*time.Second, "the feed is parked and the token rejected", func() (bool, string) {
		st, err := r.status()
		return err == nil && st.Token.State == messages.Rejected && st.Feed.State == messages.Unauthorised, fmt.Sprintf("%+v, %+v, %v", st.Token, st.Feed, err)
	})
	if err != nil {
		return err
	}
	upgrades, err := r.upgrades()
	if err != nil {
		return err
	}
	return r.during(ctx, 2*time.Second, "nobody dials with a dead token", func() (bool, string) {
		n, err := r.upgrades()
		return err == nil && n == upgrades, fmt.Sprintf("%d upgrades (before: %d), %v", n, upgrades, err)
	})
}

func forbiddenStorm(ctx context.Context, r *Rig) error {
	before, err := r.exchange()
	if err != nil {
		return err
	}
	cut := time.Now()
	if err := r.fault(simulator.Fault{Kind: simulator.FaultForbidden}); err != nil {
		return err
	}
	if err := r.fault(simulator.Fault{Kind: simulator.FaultDrop}); err != nil {
		return err
	}
	st, err := r.feedIs(ctx, 5*time.Second, messages.Unauthorised)
	if err != nil {
		return err
	}
	r.note("said: %s", st.Feed.Reason)
	err = r.within(ctx, 15*time.Second, "the profile is asked", func() (bool, string) {
		now, err := r.exchange()
		return err == nil && now.Requests.Answered["profile"] > before.Requests.Answered["profile"], fmt.Sprintf("%v, %v", now.Requests.Answered, err)
	})
	if err != nil {
		return err
	}
	err = r.during(ctx, 20*time.Second-time.Since(cut), "parked, the token not blamed, one dial", func() (bool, string) {
		now, err := r.exchange()
		if err != nil {
			return false, err.Error()
		}
		st, err := r.status()
		if err != nil {
			return false, err.Error()
		}
		refused := now.Upgrades.Refused["fault_forbidden"]
		return refused == 1 && st.Token.State == messages.Valid && !st.Live, fmt.Sprintf("%d refused, %+v", refused, st)
	})
	if err != nil {
		return err
	}
	start := time.Now()
	if err := r.lift(); err != nil {
		return err
	}
	if _, err := r.feedIs(ctx, 45*time.Second, messages.Streaming); err != nil {
		return err
	}
	r.recovery(time.Since(start))
	if waited := time.Since(cut); waited < 29*time.Second {
		return fmt.Errorf("probed again after %s, one probe in 30 s is allowed", waited)
	}
	return r.live(ctx)
}

func fourthSocket(ctx context.Context, r *Rig) error {
	g, err := r.generation()
	if err != nil {
		return err
	}
	if err := r.fault(simulator.Fault{Kind: simulator.FaultGhosts, Sockets: 2}); err != nil {
		return err
	}
	value, err := r.rotate()
	if err != nil {
		return err
	}
	start := time.Now()
	if err := r.byRename(value); err != nil {
		return err
	}
	tooMany := func() (int64, error) {
		st, err := r.exchange()
		return st.Upgrades.Refused["too_many"], err
	}
	err = r.during(ctx, 25*time.Second, "the running socket streams on, one dial has met a 429", func() (bool, string) {
		n, err := tooMany()
		if err != nil {
			return false, err.Error()
		}
		st, err := r.status()
		return err == nil && n <= 1 && st.Feed.State == messages.Streaming && st.Live, fmt.Sprintf("%d refused, %+v, %v", n, st, err)
	})
	if err != nil {
		return err
	}
	// Waiting has not helped: then the running socket is given up for its slot.
	if err := r.adopted(ctx, g+1, 90*time.Second); err != nil {
		return err
	}
	if err := r.live(ctx); err != nil {
		return err
	}
	r.recovery(time.Since(start))
	refused, err := tooMany()
	if err != nil {
		return err
	}
	if refused == 0 || refused > 4 {
		return fmt.Errorf("%d dials met a 429 at the rotation; one is needed to learn of it, one to see that it lasts", refused)
	}
	rotated := time.Since(start)
	cut := time.Now()
	if err := r.fault(simulator.Fault{Kind: simulator.FaultGhosts}); err != nil {
		return err
	}
	if err := r.fault(simulator.Fault{Kind: simulator.FaultDrop}); err != nil {
		return err
	}
	if _, err := r.feedIs(ctx, 5*time.Second, messages.Backoff); err != nil {
		return err
	}
	// For a while the ghost may be our own, and a dial each second is allowed.
	err = r.during(ctx, 13*time.Second, "no more than a dial a second", func() (bool, string) {
		n, err := tooMany()
		return err == nil && float64(n-refused) <= time.Since(cut).Seconds()+2, fmt.Sprintf("%d dials in %s, %v", n, time.Since(cut), err)
	})
	if err != nil {
		return err
	}
	dials, err := tooMany()
	if err != nil {
		return err
	}
	err = r.during(ctx, 22*time.Second, "nobody dials while the slots are taken", func() (bool, string) {
		n, err := tooMany()
		return err == nil && n == dials, fmt.Sprintf("%d dials (before: %d), %v", n, dials, err)
	})
	if err != nil {
		return err
	}
	if err := r.lift(); err != nil {
		return err
	}
	if _, err := r.feedIs(ctx, 40*time.Second, messages.Streaming); err != nil {
		return err
	}
	r.note("rotated in %s with one slot; %d dials without a slot, then none for 22 s", rotated.Round(100*time.Millisecond), dials-refused)
	return r.live(ctx)
}

// redialled waits for a socket that was opened after a moment and has every
// subscription; it answers how long after.
func (r *Rig) redialled(ctx context.Context, d time.Duration, since time.Time, instruments int) (took time.Duration, err error) {
	err = r.within(ctx, d, "a new socket with every subscription", func() (bool, string) {
		st, err := r.exchange()
		if err != nil {
			return false, err.Error()
		}
		for _, s := range st.Sockets {
			if s.OpenedAt.After(since) && s.Instruments >= instruments {
				took = s.OpenedAt.Sub(since)
				return true, ""
			}
		}
		return false, fmt.Sprintf("%+v", st.Sockets)
	})
	return took, err
}

func dropMidFrame(ctx context.Context, r *Rig) error {
	st, err := r.status()
	if err != nil {
		return err
	}
	begin := time.Now()
	// Each of these sessions is young: a pause of 250 ms is allowed from the second on.
	for i, variant := range []string{"mid_frame", "reset", "tcp", "close_frame"} {
		if i > 0 {
			if err := r.healthy(ctx); err != nil {
				return err
			}
		}
		cut := time.Now()
		if err := r.fault(simulator.Fault{Kind: simulator.FaultDrop, Variant: variant}); err != nil {
			return err
		}
		took, err := r.redialled(ctx, 5*time.Second, cut, st.Feed.Instruments)
		if err != nil {
			return fmt.Errorf("%s: %w", variant, err)
		}
		if took > 250*time.Millisecond {
			return fmt.Errorf("%s: redialled after %s", variant, took)
		}
		r.recovery(took)
		r.note("%s %.1f ms", variant, float64(took)/float64(time.Millisecond))
		if err := r.live(ctx); err != nil {
			return fmt.Errorf("%s: %w", variant, err)
		}
	}
	if err := r.pcrAfter(ctx, time.Now()); err != nil {
		return err
	}
	before, err := r.upgrades()
	if err != nil {
		return err
	}
	if err := r.fault(simulator.Fault{Kind: simulator.FaultDrop, EveryMS: 2000, ForMS: 60_000}); err != nil {
		return err
	}
	err = r.within(ctx, 80*time.Second, "the minute of drops is over", func() (bool, string) {
		st, err := r.exchange()
		return err == nil && len(st.Faults) == 0, fmt.Sprintf("%+v, %v", st.Faults, err)
	})
	if err != nil {
		return err
	}
	after, err := r.upgrades()
	if err != nil {
		return err
	}
	if n := after - before; n < 4 || n > 16 {
		return fmt.Errorf("%d dials in a minute of drops: with a doubling backoff there are about 10", n)
	}
	r.note("%d dials in a minute of drops every 2 s", after-before)
	if _, err := r.feedIs(ctx, 40*time.Second, messages.Streaming); err != nil {
		return err
	}
	gaps, err := r.blind(begin)
	if err != nil {
		return err
	}
	if len(gaps) == 0 {
		return errors.New("no gap was recorded")
	}
	r.note("%d instruments in the gap ledger", len(gaps))
	if err := r.healthy(ctx); err != nil {
		return err
	}
	cut := time.Now()
	if err := r.fault(simulator.Fault{Kind: simulator.FaultDrop}); err != nil {
		return err
	}
	took, err := r.redialled(ctx, 5*time.Second, cut, st.Feed.Instruments)
	if err != nil {
		return err
	}
	if took > 250*time.Millisecond {
		return fmt.Errorf("redialled after %s although the session was healthy", took)
	}
	return r.live(ctx)
}

// healthy waits until the socket is old enough for its backoff to be forgotten.
func (r *Rig) healthy(ctx context.Context) error { return r.streams(ctx, 31*time.Second) }

// pcrAfter waits for a reading that needs the open interest, which only comes
// in full mode, of after a moment.
func (r *Rig) pcrAfter(ctx context.Context, since time.Time) error {
	st, err := r.status()
	if err != nil {
		return err
	}
	return r.within(ctx, 20*time.Second, "the modes are restored: PCR of newer ticks", func() (bool, string) {
		var reading messages.Reading
		if err := r.get("/api/v1/readings/NIFTY/pcr", &reading); err != nil {
			return false, err.Error()
		}
		return reading.Status != messages.Unavailable && !reading.AsOf.Before(st.Market.ExchangeTime.Truncate(time.Second)) && reading.Coverage > 0.9,
			fmt.Sprintf("%+v (since %s)", reading, since.Format(time.TimeOnly))
	})
}

func recycledInstrument(ctx context.Context, r *Rig) error {
	underlyings, err := r.underlyings()
	if err != nil {
		return err
	}
	was := underlyings[0].Future
	before, err := r.workers()
	if err != nil {
		return err
	}
	if err := r.fault(simulator.Fault{Kind: simulator.FaultRecycled, InstrumentToken: was.Token}); err != nil {
		return err
	}
	start := time.Now()
	if err := r.clock(map[string]any{"now": at(2026, time.March, 12, 9, 14, 55)}); err != nil {
		return err
	}
	err = r.within(ctx, 20*time.Second, "the future is followed under its new token", func() (bool, string) {
		if underlyings, err = r.underlyings(); err != nil {
			return false, err.Error()
		}
		is := underlyings[0].Future
		return is.Tradingsymbol == was.Tradingsymbol && is.Token != was.Token, fmt.Sprintf("%+v", is)
	})
	if err != nil {
		return err
	}
	err = r.within(ctx, 20*time.Second, "the stranger is not subscribed to, the future is", func() (bool, string) {
		st, err := r.exchange()
		if err != nil {
			return false, err.Error()
		}
		return st.Subscriptions[fmt.Sprint(was.Token)] == 0 && st.Subscriptions[fmt.Sprint(underlyings[0].Future.Token)] > 0, fmt.Sprintf("%v", st.Subscriptions)
	})
	if err != nil {
		return err
	}
	r.recovery(time.Since(start))
	if !r.logged("instrument token recycled", fmt.Sprint(was.Token), "RECYCLED", was.Tradingsymbol) {
		return errors.New("the log does not tell of the recycled instrument token")
	}
	if err := r.live(ctx); err != nil {
		return err
	}
	_, err = r.untouched(before, "")
	return err
}

func orderUpdatesLost(ctx context.Context, r *Rig) error {
	last, err := r.lastEvent()
	if err != nil {
		return err
	}
	place := func(id, status string) error {
		return r.fault(simulator.Fault{Kind: simulator.FaultOrderUpdate, Order: map[string]any{"order_id": id, "status": status, "filled_quantity": len(status)}})
	}
	if err := place("A", "OPEN"); err != nil {
		return err
	}
	if err := r.happens(ctx, 5*time.Second, "order", last, "order A", "OPEN"); err != nil {
		return err
	}
	if err := r.fault(simulator.Fault{Kind: simulator.FaultServerError, ForMS: 1500}); err != nil {
		return err
	}
	if err := r.fault(simulator.Fault{Kind: simulator.FaultDrop}); err != nil {
		return err
	}
	if _, err := r.feedIs(ctx, 5*time.Second, messages.Backoff); err != nil {
		return err
	}
	for _, o := range [][2]string{{"A", "COMPLETE"}, {"B", "OPEN"}, {"B", "CANCELLED"}, {"C", "REJECTED"}} {
		if err := place(o[0], o[1]); err != nil {
			return err
		}
	}
	start := time.Now()
	want := []string{"order A: OPEN", "order A: COMPLETE", "order B: CANCELLED", "order C: REJECTED"}
	var told []api.Event
	err = r.within(ctx, 15*time.Second, "the orders are reconciled", func() (bool, string) {
		told, err = r.events("order", last)
		return err == nil && len(told) >= len(want), fmt.Sprintf("%+v, %v", told, err)
	})
	if err != nil {
		return err
	}
	r.recovery(time.Since(start))
	if err := place("D", "OPEN"); err != nil {
		return err
	}
	if err := r.happens(ctx, 5*time.Second, "order", last, "order D", "OPEN"); err != nil {
		return err
	}
	if told, err = r.events("order", last); err != nil {
		return err
	}
	for i, text := range append(want, "order D: OPEN") {
		if len(told) <= i || told[i].Text != text {
			return fmt.Errorf("told %+v, want %q at %d", told, text, i)
		}
	}
	if len(told) != len(want)+1 {
		return fmt.Errorf("told too much: %+v", told)
	}
	return r.live(ctx)
}
