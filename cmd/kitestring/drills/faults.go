package drills

import (
	"context"
	"fmt"
	"time"

	"kitestring/actors/web/api"
)

var faultDrills = []Drill{
	{
		Name:   "hang-each",
		Inject: "each actor blocks for ever",
		Hold:   "replaced within 12.5 s; nobody else restarted",
		run:    hangEach,
	},
	{
		Name:   "restart-storm",
		Inject: "an actor that panics again and again",
		Hold:   "quarantined in place, the rest lives, a restart by hand reinstates it",
		run:    restartStorm,
	},
	{
		Name:   "slow-consumer",
		Setup:  Setup{Rate: 2000},
		Inject: "bars takes 5 ms longer a batch for 10 s; then it hangs for 10 s",
		Hold:   "the feed streams on, other subscribers lose and conflate nothing, memory is bounded",
		run:    slowConsumer,
	},
}

// hangEach hangs every actor but the web actor, through which it looks; that
// one is hung last and looked at after its replacement.
func hangEach(ctx context.Context, r *Rig) error {
	workers, err := r.workers()
	if err != nil {
		return err
	}
	for _, victim := range workers {
		before, err := r.epochs()
		if err != nil {
			return err
		}
		start := time.Now()
		if err := r.post("/api/v1/chaos", api.Chaos{Actor: victim.Name, Kind: "hang"}); err != nil {
			return err
		}
		err = r.within(ctx, 12500*time.Millisecond, victim.Name+" is replaced", func() (bool, string) {
			var a api.Actor
			if err := r.get("/api/v1/actors/"+victim.Name, &a); err != nil {
				return false, err.Error()
			}
			return a.State == "running" && a.Epoch > before[victim.Name], fmt.Sprintf("%+v", a)
		})
		if err != nil {
			return err
		}
		r.recovery(time.Since(start))
		after, err := r.epochs()
		if err != nil {
			return err
		}
		for name, epoch := range after {
			if name != victim.Name && epoch != before[name] {
				return fmt.Errorf("%s was restarted when %s hung", name, victim.Name)
			}
		}
		if err := r.live(ctx); err != nil {
			return fmt.Errorf("after %s hung: %w", victim.Name, err)
		}
	}
	r.note("%d actors hung", len(workers))
	return nil
}

func restartStorm(ctx context.Context, r *Rig) error {
	const victim = "pcr"
	others, err := r.epochs()
	if err != nil {
		return err
	}
	var a api.Actor
	look := func() error { return r.get("/api/v1/actors/"+victim, &a) }
	start := time.Now()
	for strikes := 0; a.State != "quarantined"; strikes++ {
		if strikes > 100 {
			return fmt.Errorf("not quarantined after %d panics: %+v", strikes, a)
		}
		if err := r.post("/api/v1/chaos", api.Chaos{Actor: victim, Kind: "panic"}); err != nil {
			return err
		}
		restarts := a.Restarts
		err := r.within(ctx, 10*time.Second, "the panic struck", func() (bool, string) {
			if err := look(); err != nil {
				return false, err.Error()
			}
			return a.Restarts > restarts || a.State == "quarantined", fmt.Sprintf("%+v", a)
		})
		if err != nil {
			return err
		}
	}
	r.note("quarantined after %d restarts in %s", a.Restarts, time.Since(start).Round(time.Millisecond))
	var st api.Status
	if err := r.get("/api/v1/status", &st); err != nil {
		return err
	}
	if !st.Live {
		return fmt.Errorf("one quarantined analysis took the house down: %s", st.Message)
	}
	after, err := r.epochs()
	if err != nil {
		return err
	}
	for name, epoch := range after {
		if name != victim && epoch != others[name] {
			return fmt.Errorf("%s was restarted by the storm in %s", name, victim)
		}
	}
	start = time.Now()
	if err := r.post("/api/v1/actors/"+victim+"/restart", nil); err != nil {
		return err
	}
	err = r.within(ctx, 5*time.Second, victim+" is reinstated", func() (bool, string) {
		if err := look(); err != nil {
			return false, err.Error()
		}
		return a.State == "running" && a.RestartsInWindow == 0, fmt.Sprintf("%+v", a)
	})
	r.recovery(time.Since(start))
	return err
}

func slowConsumer(ctx context.Context, r *Rig) error {
	const victim = "bars"
	before, err := r.workers()
	if err != nil {
		return err
	}
	for _, fault := range []api.Chaos{{Actor: victim, Kind: "slow", ForMS: 10_000}, {Actor: victim, Kind: "hang", ForMS: 10_000}} {
		if err := r.post("/api/v1/chaos", fault); err != nil {
			return err
		}
		err := r.during(ctx, 10*time.Second, "data stays live while bars is "+fault.Kind, func() (bool, string) {
			var st api.Status
			if err := r.get("/api/v1/status", &st); err != nil {
				return false, err.Error()
			}
			return st.Feed.State.String() == "streaming" && st.Feed.LastTickAgeSeconds != nil && *st.Feed.LastTickAgeSeconds < 5, fmt.Sprintf("%+v", st.Feed)
		})
		if err != nil {
			return err
		}
	}
	after, err := r.workers()
	if err != nil {
		return err
	}
	for i, a := range after {
		if a.Name == victim {
			r.note("bars: %d ticks conflated, %d dropped while it was being replaced", a.Mailbox.Conflated-before[i].Mailbox.Conflated, a.Mailbox.Dropped-before[i].Mailbox.Dropped)
			continue
		}
		if lost := a.Mailbox.Dropped - before[i].Mailbox.Dropped; lost > 0 {
			return fmt.Errorf("%s lost %d ticks because bars was slow", a.Name, lost)
		}
		if a.Epoch != before[i].Epoch {
			return fmt.Errorf("%s was restarted because bars was slow", a.Name)
		}
	}
	return r.live(ctx)
}
