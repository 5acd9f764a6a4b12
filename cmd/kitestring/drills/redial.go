package drills

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kitestring/actors/simulator"
	"kitestring/messages"
)

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
		cut, before := time.Now(), r.still.SoFar()
		if err := r.fault(simulator.Fault{Kind: simulator.FaultDrop, Variant: variant}); err != nil {
			return err
		}
		took, err := r.redialled(ctx, 5*time.Second, cut, st.Feed.Instruments)
		if err != nil {
			return fmt.Errorf("%s: %w", variant, err)
		}
		if took > 250*time.Millisecond+r.still.SoFar()-before {
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
	cut, still := time.Now(), r.still.SoFar()
	if err := r.fault(simulator.Fault{Kind: simulator.FaultDrop}); err != nil {
		return err
	}
	took, err := r.redialled(ctx, 5*time.Second, cut, st.Feed.Instruments)
	if err != nil {
		return err
	}
	if took > 250*time.Millisecond+r.still.SoFar()-still {
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
