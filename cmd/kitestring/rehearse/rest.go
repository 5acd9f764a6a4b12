package rehearse

import (
	"fmt"
	"time"

	"kitestring/actors/simulator"
	"kitestring/messages"
)

var _ = register(Drill{
	Name: "rest-429-html", Topic: REST, Limit: 6 * time.Minute,
	Inject: "429 and 502 with HTML, no answer, refused connections, on all of REST, and a rotation during each",
	Hold:   "the token unknown, never rejected; adopted by a frame, 0 lost; few requests; readings keep their value and age, never zeros",
	Steps: func(r *Rig) {
		r.within(20*time.Second, "there is a reading that needs REST", func() (bool, any) { return true, r.direct() })
		for _, kind := range []simulator.FaultKind{
			simulator.FaultRESTTooMany, simulator.FaultRESTBadGateway, simulator.FaultRESTTimeout, simulator.FaultRESTRefuse,
		} {
			r.step(string(kind), func() { r.withoutREST(kind) })
		}
		r.live()
	},
})

// withoutREST rotates while REST is down in one way, and waits until everything
// is right again when it is up.
func (r *Rig) withoutREST(kind simulator.FaultKind) {
	direct, before := r.direct(), r.metric("kitestring_rest_requests_total")
	r.fault(simulator.Fault{Kind: kind})
	start := time.Now()
	g := r.generation() + 1
	r.byRename(r.rotate())
	r.adopted(g, 10*time.Second)
	r.validate()
	r.within(20*time.Second, "the token's state is unknown", func() (bool, any) {
		t := r.token()
		return t.State == messages.Suspect && t.Reason != "", t
	})
	r.during(4*time.Second, "the feed streams, nothing is rejected, no reading is made up", func() (bool, any) {
		r.honest(direct)
		st := r.status()
		return st.Feed.State == messages.Streaming && st.Token.State == messages.Suspect && st.Token.Generation == g, st
	})
	lasted, asked := time.Since(start), r.metric("kitestring_rest_requests_total")-before
	if asked > 10+3*lasted.Seconds() {
		failf("%v requests in %s to an exchange that cannot answer", asked, lasted)
	}
	start = time.Now()
	r.lift()
	r.within(50*time.Second, "the token is valid again by itself", func() (bool, any) {
		t := r.status().Token
		return t.State == messages.Valid, t
	})
	r.recovery(start)
	r.note("%s: %v requests in %s", kind, asked, lasted.Round(100*time.Millisecond))
	rotations := r.rotations()
	if len(rotations) == 0 || rotations[0].Generation != g || rotations[0].TotalMS == nil {
		failf("no complete receipt of the rotation")
	}
	nothingLost(rotations[0])
}

// direct is the reading that needs REST.
func (r *Rig) direct() messages.Reading {
	return get[messages.Reading](r, "/api/v1/readings/NIFTY/direct")
}

// honest demands that a reading over REST keeps what was there with its age,
// or says why it is unavailable; and that no reading is made of nothing.
func (r *Rig) honest(before messages.Reading) {
	if now := r.direct(); now.AsOf.Before(before.AsOf) {
		failf("the direct reading has lost its value: %+v, before: %+v", now, before)
	}
	for _, reading := range get[[]messages.Reading](r, "/api/v1/readings") {
		switch {
		case reading.Status == messages.Unavailable && reading.Reason == "":
			failf("%s of %s is unavailable and does not say why", reading.Kind, reading.Underlying)
		case reading.Status != messages.Unavailable && (reading.AsOf.IsZero() || reading.Coverage <= 0 || reading.Values["price"] == 0.0):
			failf("a reading of nothing: %+v", reading)
		}
	}
}

var _ = register(Drill{
	Name: "latched-client", Topic: REST, Short: true, Setup: Setup{Cold: true, ManualLogin: true, Sampling: simulator.SamplingIndependent},
	Inject: "a login, then a rotation, while only logins and checks of the token are answered; then every REST user makes its call",
	Hold:   "every call carries the new token",
	Steps: func(r *Rig) {
		for _, path := range []string{"/instruments", "/quote"} { // historical ones are below the first
			r.fault(simulator.Fault{Kind: simulator.FaultRESTBadGateway, Path: path})
		}
		r.login() // every user makes its client of this token
		r.adopted(1, 10*time.Second)
		r.rotated(10 * time.Second)
		before := r.exchange().Requests
		r.lift()
		start := time.Now()
		r.live()
		r.validate()
		r.within(30*time.Second, "every REST user has its answer", func() (bool, any) {
			now := r.exchange().Requests
			for _, name := range []string{"instruments", "historical", "quote", "profile"} {
				if now.Answered[name] == before.Answered[name] {
					return false, fmt.Sprintf("%s: %v", name, now)
				}
			}
			return true, nil
		})
		r.recovery(start)
		if n := r.exchange().Requests.Refused["token"] - before.Refused["token"]; n != 0 {
			failf("%d requests with the dead token after the rotation", n)
		}
	},
})
