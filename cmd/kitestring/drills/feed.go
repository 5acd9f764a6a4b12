package drills

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kitestring/actors/simulator"
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
	ticks, err := r.metric("feed_ticks_total")
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
		return st.Feed.State == messages.Streaming && n == upgrades, fmt.Sprintf("%+v, %d upgrades (before: %d)", st.Feed, n, upgrades)
	})
	if err != nil {
		return err
	}
	// Counted, not by the age of the last one: a busy machine holds ticks up.
	err = r.within(ctx, 10*time.Second, "a thousand ticks have come over it", func() (bool, string) {
		n, err := r.metric("feed_ticks_total")
		return err == nil && n-ticks >= 1000, fmt.Sprintf("%v, %v", n-ticks, err)
	})
	if err != nil {
		return err
	}
	if n, err := r.upgrades(); err != nil || n != upgrades {
		return errors.Join(err, fmt.Errorf("%d dials with a dead token", n-upgrades))
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
	// Before, there may be no chains yet.
	if err := r.ticked(ctx); err != nil {
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
	// Both must know what came last, the server and the observer.
	if err := r.ticked(ctx); err != nil {
		return err
	}
	err = r.within(ctx, 30*time.Second, "the observer has seen every instrument", func() (bool, string) {
		n := before.instruments()
		return n == len(watched), fmt.Sprintf("%d of %d", n, len(watched))
	})
	if err != nil {
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
	err = r.within(ctx, 30*time.Second, "every instrument that traded has its gap", func() (bool, string) {
		gaps, err = r.blind(cut)
		return err == nil && len(gaps) == len(watched), fmt.Sprintf("%d of %d, %v", len(gaps), len(watched), err)
	})
	if err != nil {
		return err
	}
	volume := int64(0)
	for _, gap := range gaps {
		// The observer may read the same frames later than the server.
		err := r.within(ctx, 10*time.Second, "the gap is what was sent", func() (bool, string) {
			return proves(before, after, gap), fmt.Sprintf("%+v: before %+v, after %+v", gap, before.at(gap.InstrumentToken, gap.From), after.at(gap.InstrumentToken, gap.To))
		})
		if err != nil {
			return err
		}
		volume += gap.VolumeWhile
	}
	r.note("%d gaps exact, volume %d while blind", len(gaps), volume)
	return nil
}
