package drills

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/messages/ist"
	"kitestring/supervisor/tree"
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
		Setup:  Setup{Rate: 20_000, Speed: 10},
		Inject: "bars is blocked for a second, again and again, at 20 k ticks/s; then it hangs",
		Hold:   "the feed streams on, nobody else is restarted or loses a tick, conflated bars equal the exchange's",
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

// slowConsumer blocks bars again and again for less than a hang, so that its
// mailbox must conflate, and compares the bars with the exchange's own
// history; then it blocks for good.
func slowConsumer(ctx context.Context, r *Rig) error {
	const victim = "bars"
	before, err := r.workers()
	if err != nil {
		return err
	}
	start := time.Now()
	for time.Since(start) < 20*time.Second {
		if err := r.post("/api/v1/chaos", api.Chaos{Actor: victim, Kind: "hang", ForMS: 1000}); err != nil {
			return err
		}
		if err := r.streams(ctx, 1300*time.Millisecond); err != nil {
			return err
		}
	}
	compared, err := r.barsEqualHistory(ctx, false)
	if err != nil {
		return err
	}
	after, err := r.untouched(before, victim)
	if err != nil {
		return err
	}
	if after.Mailbox.Conflated == 0 {
		return errors.New("nothing was conflated: bars was not slow enough to prove anything")
	}
	r.note("%d ticks conflated, %d bars equal to the exchange's history", after.Mailbox.Conflated, compared)
	if err := r.post("/api/v1/chaos", api.Chaos{Actor: victim, Kind: "hang", ForMS: 10_000}); err != nil {
		return err
	}
	if err := r.streams(ctx, 10*time.Second); err != nil {
		return err
	}
	if _, err := r.untouched(before, victim); err != nil {
		return err
	}
	return r.live(ctx)
}

// streams demands that ticks go on for a while.
func (r *Rig) streams(ctx context.Context, d time.Duration) error {
	return r.during(ctx, d, "ticks go on", func() (bool, string) {
		var st api.Status
		if err := r.get("/api/v1/status", &st); err != nil {
			return false, err.Error()
		}
		return st.Feed.State == messages.Streaming && st.Feed.LastTickAgeSeconds != nil && *st.Feed.LastTickAgeSeconds < 5, fmt.Sprintf("%+v", st.Feed)
	})
}

// untouched demands that no actor but the victim was restarted or lost
// anything; it answers the victim.
func (r *Rig) untouched(before []api.Actor, victim string) (found api.Actor, err error) {
	after, err := r.workers()
	if err != nil {
		return found, err
	}
	for i, a := range after {
		switch {
		case a.Name == victim:
			found = a
		case a.Epoch != before[i].Epoch:
			return found, fmt.Errorf("%s was restarted because %s was slow", a.Name, victim)
		case a.Mailbox.Dropped != before[i].Mailbox.Dropped:
			return found, fmt.Errorf("%s lost %d ticks because %s was slow", a.Name, a.Mailbox.Dropped-before[i].Mailbox.Dropped, victim)
		}
	}
	return found, nil
}

// barsEqualHistory compares the whole minutes of this session, of index and
// future of every underlying, with what the exchange says they were; those
// that were made of ticks from first to last, and at will the others too.
func (r *Rig) barsEqualHistory(ctx context.Context, others bool) (compared int, err error) {
	underlyings, err := r.underlyings()
	if err != nil {
		return 0, err
	}
	for _, u := range underlyings {
		for source, instrument := range map[string]uint32{"index": u.Index.Token, "future": u.Future.Token} {
			var bars []api.Bar
			if err := r.get("/api/v1/bars/"+u.Name+"?interval=1m&source="+source, &bars); err != nil {
				return compared, err
			}
			history, err := r.history(ctx, instrument)
			if err != nil {
				return compared, err
			}
			for _, b := range bars {
				want, ok := history[b.Start.Unix()]
				if !ok || !b.Closed || !others && (b.Partial || b.Gapped || b.Backfilled) {
					continue
				}
				if got := [5]float64{b.Open, b.High, b.Low, b.Close, float64(b.Volume)}; got != want {
					return compared, fmt.Errorf("%s %s bar of %s is %v, the exchange says %v", u.Name, source, b.Start.Format(time.TimeOnly), got, want)
				}
				compared++
			}
		}
	}
	if compared == 0 {
		return 0, errors.New("no whole minute to compare")
	}
	return compared, nil
}

// history is the exchange's own record of today's minutes, by start: open,
// high, low, close, volume.
func (r *Rig) history(ctx context.Context, instrument uint32) (map[int64][5]float64, error) {
	value, err := r.fileToken()
	if err != nil {
		return nil, err
	}
	var st api.Status
	if err := r.get("/api/v1/status", &st); err != nil {
		return nil, err
	}
	day := st.Market.ExchangeTime.In(ist.Zone).Format(time.DateOnly)
	query := url.Values{"from": {day + " 09:15:00"}, "to": {day + " 15:30:00"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/instruments/historical/%d/minute?%s", r.sims, instrument, query.Encode()), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "token "+tree.SimAPIKey+":"+value)
	req.Header.Set("X-Kite-Version", "3")
	var answer struct {
		Data struct {
			Candles [][]any `json:"candles"`
		} `json:"data"`
	}
	// The exchange allows three such requests a second, and ours is not the only one.
	err = r.within(ctx, 20*time.Second, "the exchange tells its history", func() (bool, string) {
		resp, err := r.http.Do(req)
		if err != nil {
			return false, err.Error()
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK && json.NewDecoder(resp.Body).Decode(&answer) == nil, resp.Status
	})
	if err != nil {
		return nil, err
	}
	minutes := map[int64][5]float64{}
	for _, c := range answer.Data.Candles {
		start, err := time.Parse("2006-01-02T15:04:05-0700", c[0].(string))
		if err != nil {
			return nil, err
		}
		minutes[start.Unix()] = [5]float64{c[1].(float64), c[2].(float64), c[3].(float64), c[4].(float64), c[5].(float64)}
	}
	return minutes, nil
}
