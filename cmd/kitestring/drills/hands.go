package drills

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"kitestring/actors/simulator"
	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/messages/ist"
)

// at is a moment of the exchange's.
func at(year int, month time.Month, day, hour, minute, second int) time.Time {
	return time.Date(year, month, day, hour, minute, second, 0, ist.Zone)
}

// ordinary is a Wednesday on which nothing expires.
var ordinary = at(2026, time.March, 11, 10, 0, 0)

// evening is shortly before its close: prices do not jump when a drill ends
// the session, and option chains stay.
var evening = at(2026, time.March, 11, 15, 20, 0)

// fault makes something go wrong at the exchange.
func (r *Rig) fault(f simulator.Fault) error { return r.sim(http.MethodPost, "/faults", f, nil) }

// lift ends the faults of some kinds, all when none is named.
func (r *Rig) lift(kinds ...simulator.FaultKind) error {
	query := url.Values{}
	for _, k := range kinds {
		query.Add("kind", string(k))
	}
	return r.sim(http.MethodDelete, "/faults?"+query.Encode(), nil, nil)
}

// clock sets the exchange's clock: fields are now, speed, skip_nights.
func (r *Rig) clock(set map[string]any) error { return r.sim(http.MethodPost, "/clock", set, nil) }

// exchange is what the simulated exchange counts.
func (r *Rig) exchange() (st simulator.State, err error) {
	err = r.sim(http.MethodGet, "/state", nil, &st)
	return st, err
}

func (r *Rig) status() (st api.Status, err error) {
	err = r.get("/api/v1/status", &st)
	return st, err
}

// metric sums the series of a metric whose labels hold all parts.
func (r *Rig) metric(name string, labels ...string) (float64, error) {
	body, err := r.raw(http.MethodGet, "/metrics", nil)
	if err != nil {
		return 0, err
	}
	sum, found := 0.0, false
	for line := range strings.Lines(string(body)) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if bare, rest, _ := strings.Cut(series, "{"); bare != "kitestring_"+name || !containsAll([]byte(rest), labels) {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("metric %s: %w", name, err)
		}
		sum, found = sum+n, true
	}
	if !found {
		return 0, fmt.Errorf("there is no metric kitestring_%s with %q", name, labels)
	}
	return sum, nil
}

// events are those of a kind (all when empty) since an id, oldest first.
func (r *Rig) events(kind string, since uint64) ([]api.Event, error) {
	var all, found []api.Event
	if err := r.get("/api/v1/events", &all); err != nil {
		return nil, err
	}
	for _, e := range slices.Backward(all) {
		if e.ID > since && (kind == "" || e.Kind == kind) {
			found = append(found, e)
		}
	}
	return found, nil
}

// lastEvent is the id of the newest event.
func (r *Rig) lastEvent() (uint64, error) {
	all, err := r.events("", 0)
	if err != nil || len(all) == 0 {
		return 0, err
	}
	return all[len(all)-1].ID, nil
}

// happens waits for an event whose text holds all parts.
func (r *Rig) happens(ctx context.Context, d time.Duration, kind string, since uint64, parts ...string) error {
	return r.within(ctx, d, fmt.Sprintf("an event of kind %s that says %q", kind, parts), func() (bool, string) {
		events, err := r.events(kind, since)
		if err != nil {
			return false, err.Error()
		}
		return slices.ContainsFunc(events, func(e api.Event) bool { return containsAll([]byte(e.Text), parts) }), fmt.Sprintf("%+v", events)
	})
}

// feedIs waits for a state of the feed.
func (r *Rig) feedIs(ctx context.Context, d time.Duration, state messages.FeedState) (st api.Status, err error) {
	err = r.within(ctx, d, "the feed is "+state.String(), func() (bool, string) {
		if st, err = r.status(); err != nil {
			return false, err.Error()
		}
		return st.Feed.State == state, fmt.Sprintf("%+v", st.Feed)
	})
	return st, err
}

// blind are the gaps of tradable instruments that were found after a moment,
// the newest of each.
func (r *Rig) blind(since time.Time) (map[uint32]messages.Gap, error) {
	var all []messages.GapDetected
	if err := r.get("/api/v1/gaps", &all); err != nil {
		return nil, err
	}
	found := map[uint32]messages.Gap{}
	for _, g := range slices.Backward(all) {
		if g.At.Before(since) {
			continue
		}
		for _, one := range g.Gaps {
			if messages.SegmentOf(one.InstrumentToken) != messages.Indices {
				found[one.InstrumentToken] = one
			}
		}
	}
	return found, nil
}

// ticked waits until every option of every chain has had a tick: an instrument
// that is subscribed to and has had none has nothing to miss.
func (r *Rig) ticked(ctx context.Context) error {
	underlyings, err := r.underlyings()
	if err != nil {
		return err
	}
	for _, u := range underlyings {
		err := r.within(ctx, 30*time.Second, "every option of "+u.Name+" has had a tick", func() (bool, string) {
			var reading messages.Reading
			err := r.get("/api/v1/readings/"+u.Name+"/pcr", &reading)
			return err == nil && reading.Coverage == 1, fmt.Sprintf("coverage %.2f, %s, %v", reading.Coverage, reading.Reason, err)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// underlyings are what the server works on today.
func (r *Rig) underlyings() (all []messages.Underlying, err error) {
	err = r.get("/api/v1/instruments", &all)
	return all, err
}
