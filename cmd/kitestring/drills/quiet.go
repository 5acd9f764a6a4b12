package drills

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kitestring/actors/simulator"
	"kitestring/messages"
	"kitestring/messages/ist"
)

func muteSocket(ctx context.Context, r *Rig) error {
	if err := r.ticked(ctx); err != nil {
		return err
	}
	stale, err := r.metric("feed_disconnects_total", `reason="stale"`)
	if err != nil {
		return err
	}
	cut := time.Now()
	if err := r.fault(simulator.Fault{Kind: simulator.FaultMute}); err != nil {
		return err
	}
	err = r.within(ctx, 15*time.Second, "the mute socket is given up", func() (bool, string) {
		n, err := r.metric("feed_disconnects_total", `reason="stale"`)
		return err == nil && n > stale, fmt.Sprintf("%v sockets given up, %v", n, err)
	})
	if err != nil {
		return err
	}
	r.note("found after %s", time.Since(cut).Round(10*time.Millisecond))
	if err := r.lift(); err != nil {
		return err
	}
	if _, err := r.redialled(ctx, 10*time.Second, cut, wholeHouse); err != nil {
		return err
	}
	if err := r.live(ctx); err != nil {
		return err
	}
	r.recovery(time.Since(cut))
	return r.within(ctx, 10*time.Second, "the gap is recorded", func() (bool, string) {
		gaps, err := r.blind(cut)
		return err == nil && len(gaps) > 100, fmt.Sprintf("%d gaps, %v", len(gaps), err)
	})
}

func heartbeatOnly(ctx context.Context, r *Rig) error {
	begin := time.Now()
	if err := r.fault(simulator.Fault{Kind: simulator.FaultHeartbeatOnly}); err != nil {
		return err
	}
	if err := r.remedied(ctx, begin); err != nil {
		return err
	}
	start := time.Now()
	if err := r.lift(); err != nil {
		return err
	}
	if err := r.live(ctx); err != nil {
		return err
	}
	r.recovery(time.Since(start))
	// Now the same in a market that is closed, where it is no fault.
	if err := r.closeMarket(ctx); err != nil {
		return err
	}
	upgrades, err := r.upgrades()
	if err != nil {
		return err
	}
	return r.during(ctx, 12*time.Second, "nothing is done in a closed market", func() (bool, string) {
		st, err := r.status()
		if err != nil {
			return false, err.Error()
		}
		n, err := r.upgrades()
		if err != nil {
			return false, err.Error()
		}
		return st.Live && !st.Feed.Stale && n == upgrades, fmt.Sprintf("%+v, %d upgrades (before: %d)", st, n, upgrades)
	})
}

// remedied waits until silence in an open market has been called stale,
// subscriptions have been sent again, and a new connection has been tried.
func (r *Rig) remedied(ctx context.Context, since time.Time) error {
	err := r.within(ctx, 25*time.Second, "stale, and not live", func() (bool, string) {
		st, err := r.status()
		return err == nil && st.Feed.Stale && !st.Live && strings.Contains(st.Message, "no tick"), fmt.Sprintf("%+v, %v", st, err)
	})
	if err != nil {
		return err
	}
	_, err = r.redialled(ctx, 50*time.Second, since.Add(2*time.Second), 3) // without a spot there is no chain
	if err != nil {
		return err
	}
	again, found := r.loggedAt("no ticks in an open market, subscribing again")
	anew, too := r.loggedAt("no ticks in an open market, connecting anew")
	if !found || !too || anew.Before(again) {
		return errors.New("the log does not tell of a new subscription, then a new connection")
	}
	r.note("connected anew %s after the last tick", anew.Sub(since).Round(100*time.Millisecond))
	return nil
}

// closeMarket sets the exchange's clock to after the close, and waits until
// the last ticks have come.
func (r *Rig) closeMarket(ctx context.Context) error {
	if _, err := r.redialled(ctx, 20*time.Second, time.Time{}, wholeHouse); err != nil {
		return err
	}
	st, err := r.status()
	if err != nil {
		return err
	}
	day := st.Market.ExchangeTime.In(ist.Zone)
	if err := r.clock(map[string]any{"now": at(day.Year(), day.Month(), day.Day(), 15, 45, 0), "speed": 1, "skip_nights": false}); err != nil {
		return err
	}
	err = r.within(ctx, 10*time.Second, "the market is closed", func() (bool, string) {
		st, err := r.status()
		return err == nil && st.Market.Phase == messages.Closing, fmt.Sprintf("%+v, %v", st.Market, err)
	})
	if err != nil {
		return err
	}
	// The closing price of every instrument, once; what comes behind it on the
	// same socket tells that the feed has read it all.
	if err := r.fault(simulator.Fault{Kind: simulator.FaultDuplicateSnapshot}); err != nil {
		return err
	}
	last, err := r.lastEvent()
	if err != nil {
		return err
	}
	const mark = "behind-the-last-tick"
	if err := r.fault(simulator.Fault{Kind: simulator.FaultOrderUpdate, Order: map[string]any{"order_id": mark}}); err != nil {
		return err
	}
	return r.happens(ctx, 20*time.Second, "order", last, mark)
}

func noFirstTick(ctx context.Context, r *Rig) error {
	if err := r.fault(simulator.Fault{Kind: simulator.FaultNoFirstTick}); err != nil {
		return err
	}
	begin := time.Now()
	if err := r.login(ctx); err != nil {
		return err
	}
	watch, stop := context.WithCancel(ctx)
	lied := make(chan error, 1)
	go func() {
		lied <- r.during(watch, time.Hour, "it is never called live", func() (bool, string) {
			st, err := r.status()
			return err == nil && !st.Live, fmt.Sprintf("%+v, %v", st, err)
		})
	}()
	err := r.remedied(ctx, begin)
	stop()
	if e := <-lied; !errors.Is(e, context.Canceled) {
		err = errors.Join(err, e)
	}
	if err != nil {
		return err
	}
	start := time.Now()
	if err := r.lift(); err != nil {
		return err
	}
	if err := r.live(ctx); err != nil {
		return err
	}
	r.recovery(time.Since(start))
	return nil
}

func malformedFrames(ctx context.Context, r *Rig) error {
	if err := r.closeMarket(ctx); err != nil {
		return err
	}
	ticks, err := r.metric("feed_ticks_total")
	if err != nil {
		return err
	}
	upgrades, err := r.upgrades()
	if err != nil {
		return err
	}
	inject := func(variants []string) error {
		for _, variant := range variants {
			if err := r.malformed(ctx, variant); err != nil {
				return err
			}
		}
		n, err := r.metric("feed_ticks_total")
		if err == nil && n != ticks {
			err = fmt.Errorf("%v ticks were made of bad frames", n-ticks)
		}
		return err
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
	if err := inject(slices.Concat(few, texts)); err != nil {
		return err
	}
	n, err := r.upgrades()
	if err != nil {
		return err
	}
	if n != upgrades {
		return fmt.Errorf("%d new dials before there was a burst", n-upgrades)
	}
	start := time.Now()
	if err := r.fault(simulator.Fault{Kind: simulator.FaultMalformed, Variant: "truncated", Count: burst}); err != nil {
		return err
	}
	if _, err := r.redialled(ctx, 10*time.Second, start, wholeHouse); err != nil {
		return fmt.Errorf("after a burst: %w", err)
	}
	r.recovery(time.Since(start))
	if err := r.live(ctx); err != nil {
		return err
	}
	// The cached ticks of the new socket are repeats.
	r.note("%d kinds of bad frames and texts, 0 ticks", len(frames)+len(texts))
	return inject(frames[len(few):])
}

// malformed sends a bad frame and waits until it is counted.
func (r *Rig) malformed(ctx context.Context, variant string) error {
	before, err := r.metric("feed_malformed_total")
	if err != nil {
		return err
	}
	if err := r.fault(simulator.Fault{Kind: simulator.FaultMalformed, Variant: variant}); err != nil {
		return err
	}
	// A byte of any value is a heartbeat; a well-formed text of any kind is no fault.
	if slices.Contains([]string{"nonzero_byte", "text_error_object", "text_error_null", "text_error_number", "text_no_data", "text_unknown_type", "text_no_type"}, variant) {
		return nil
	}
	return r.within(ctx, 5*time.Second, variant+" is counted", func() (bool, string) {
		n, err := r.metric("feed_malformed_total")
		return err == nil && n > before, fmt.Sprintf("%v, before %v, %v", n, before, err)
	})
}

func duplicateSnapshot(ctx context.Context, r *Rig) error {
	if err := r.fault(simulator.Fault{Kind: simulator.FaultDuplicateSnapshot, EveryMS: 500}); err != nil {
		return err
	}
	if err := r.streams(ctx, 20*time.Second); err != nil {
		return err
	}
	compared, err := r.barsEqualHistory(ctx, false)
	if err != nil {
		return err
	}
	if err := r.lift(); err != nil {
		return err
	}
	if err := r.closeMarket(ctx); err != nil {
		return err
	}
	ticks, err := r.metric("feed_ticks_total")
	if err != nil {
		return err
	}
	repeats, err := r.metric("feed_duplicates_total")
	if err != nil {
		return err
	}
	st, err := r.status()
	if err != nil {
		return err
	}
	if err := r.fault(simulator.Fault{Kind: simulator.FaultDuplicateSnapshot, Count: 3}); err != nil {
		return err
	}
	err = r.within(ctx, 5*time.Second, "the repeats are counted", func() (bool, string) {
		n, err := r.metric("feed_duplicates_total")
		return err == nil && n >= repeats+3*float64(st.Feed.Instruments), fmt.Sprintf("%v, before %v, %v", n, repeats, err)
	})
	if err != nil {
		return err
	}
	after, err := r.metric("feed_ticks_total")
	if err != nil {
		return err
	}
	if after != ticks {
		return fmt.Errorf("%v repeats were handed on as ticks", after-ticks)
	}
	now, err := r.status()
	if err != nil {
		return err
	}
	if now.Feed.LastTickAgeSeconds == nil || *now.Feed.LastTickAgeSeconds < *st.Feed.LastTickAgeSeconds {
		return errors.New("a repeat made the last tick look newer")
	}
	r.note("%d bars equal to the exchange's history", compared)
	return nil
}
