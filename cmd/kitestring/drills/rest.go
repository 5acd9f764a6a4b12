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

var restDrills = []Drill{
	{
		Name: "rest-429-html", Limit: 6 * time.Minute,
		Inject: "429 and 502 with HTML, no answer, refused connections, on all of REST, and a rotation during each",
		Hold:   "the token unknown, never rejected; adopted by a frame, 0 lost; few requests; readings keep their value and age, never zeros",
		run:    restDown,
	},
}

func restDown(ctx context.Context, r *Rig) error {
	err := r.within(ctx, 20*time.Second, "there is a reading that lives on REST", func() (bool, string) {
		_, err := r.direct()
		return err == nil, fmt.Sprint(err)
	})
	if err != nil {
		return err
	}
	for _, kind := range []simulator.FaultKind{
		simulator.FaultRESTTooMany, simulator.FaultRESTBadGateway, simulator.FaultRESTTimeout, simulator.FaultRESTRefuse,
	} {
		if err := r.withoutREST(ctx, kind); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	return r.live(ctx)
}

// withoutREST rotates while REST is down in one way, and waits until all is
// well again when it is up.
func (r *Rig) withoutREST(ctx context.Context, kind simulator.FaultKind) error {
	g, err := r.generation()
	if err != nil {
		return err
	}
	direct, err := r.direct()
	if err != nil {
		return err
	}
	before, err := r.metric("rest_requests_total")
	if err != nil {
		return err
	}
	if err := r.fault(simulator.Fault{Kind: kind}); err != nil {
		return err
	}
	start := time.Now()
	value, err := r.rotate()
	if err != nil {
		return err
	}
	if err := r.byRename(value); err != nil {
		return err
	}
	if err := r.adopted(ctx, g+1, 10*time.Second); err != nil {
		return err
	}
	if err := r.post("/api/v1/token/validate", nil); err != nil {
		return err
	}
	err = r.within(ctx, 20*time.Second, "the token's state is unknown", func() (bool, string) {
		var t api.Token
		err := r.get("/api/v1/token", &t)
		return err == nil && t.State == messages.Suspect && t.Reason != "", fmt.Sprintf("%+v, %v", t, err)
	})
	if err != nil {
		return err
	}
	err = r.during(ctx, 4*time.Second, "the feed streams, nothing is rejected, no reading is made up", func() (bool, string) {
		st, err := r.status()
		if err != nil {
			return false, err.Error()
		}
		ok := st.Feed.State == messages.Streaming && st.Token.State == messages.Suspect && st.Token.Generation == g+1
		if err := r.honest(direct); err != nil {
			return false, err.Error()
		}
		return ok, fmt.Sprintf("%+v", st)
	})
	if err != nil {
		return err
	}
	now, err := r.metric("rest_requests_total")
	if err != nil {
		return err
	}
	lasted, asked := time.Since(start), now-before
	if asked > 10+3*lasted.Seconds() {
		return fmt.Errorf("%v requests in %s to an exchange that cannot answer", asked, lasted)
	}
	start = time.Now()
	if err := r.lift(); err != nil {
		return err
	}
	err = r.within(ctx, 50*time.Second, "the token is valid again by itself", func() (bool, string) {
		st, err := r.status()
		return err == nil && st.Token.State == messages.Valid, fmt.Sprintf("%+v, %v", st.Token, err)
	})
	if err != nil {
		return err
	}
	r.recovery(time.Since(start))
	r.note("%s: %v requests in %s", kind, asked, lasted.Round(100*time.Millisecond))
	var rotations []messages.Rotation
	if err := r.get("/api/v1/rotations", &rotations); err != nil {
		return err
	}
	if len(rotations) == 0 || rotations[0].Generation != g+1 || rotations[0].TotalMS == nil {
		return errors.New("no complete receipt of the rotation")
	}
	return nothingLost(rotations[0])
}

// direct is the reading that lives on REST.
func (r *Rig) direct() (reading messages.Reading, err error) {
	err = r.get("/api/v1/readings/NIFTY/direct", &reading)
	return reading, err
}

// honest demands that a reading over REST keeps what was there with its age,
// or says why it is unavailable; and that no reading stands on nothing.
func (r *Rig) honest(before messages.Reading) error {
	now, err := r.direct()
	if err != nil {
		return err
	}
	if now.AsOf.Before(before.AsOf) {
		return fmt.Errorf("the direct reading has lost its value: %+v, before: %+v", now, before)
	}
	var all []messages.Reading
	if err := r.get("/api/v1/readings", &all); err != nil {
		return err
	}
	for _, reading := range all {
		switch {
		case reading.Status == messages.Unavailable && reading.Reason == "":
			return fmt.Errorf("%s of %s is unavailable and does not say why", reading.Kind, reading.Underlying)
		case reading.Status != messages.Unavailable && (reading.AsOf.IsZero() || reading.Coverage <= 0 || reading.Values["price"] == 0.0):
			return fmt.Errorf("a reading of nothing: %+v", reading)
		}
	}
	return nil
}
