package rehearse

import (
	"fmt"
	"time"

	"kitestring/actors/simulator"
	"kitestring/actors/web/api"
	"kitestring/messages"
)

var _ = register(Drill{
	Name: "panic-each", Topic: Actors, Short: true,
	Inject: "a panic of every actor in turn: in a handler, in a goroutine, in its start, at its end",
	Hold:   "back within 5 s with the current generation; siblings untouched: no socket dropped by another's restart",
	Steps: func(r *Rig) {
		workers := r.workers()
		kinds := []string{"panic", "goroutine", "panic-start", "panic-stop"}
		for _, kind := range kinds {
			for _, victim := range workers {
				r.step(kind+" in "+victim.Name, func() {
					r.restartsForgotten()
					r.crash(victim.Name, kind, 5*time.Second)
					r.within(10*time.Second, "the server is live and coherent again", func() (bool, any) {
						st := r.status()
						return st.Live && st.Token.Coherent && st.Token.State == messages.Valid, st.Message
					})
				})
			}
		}
		r.note("%d actors, %d faults each", len(workers), len(kinds))
		r.live()
	},
})

// restartsForgotten waits until two more restarts of any actor concern that
// actor alone: more in the period would quarantine it or restart its group.
func (r *Rig) restartsForgotten() {
	r.within(30*time.Second, "the restarts of before are forgotten", func() (bool, any) {
		for _, a := range get[[]api.Actor](r, "/api/v1/actors") {
			if a.RestartsInWindow+2 > a.RestartsAllowed || a.Kind != "worker" && a.ChildrenInWindow+2 > a.ChildrenAllowed {
				return false, fmt.Sprintf("%s: %d of %d, children %d of %d", a.Name, a.RestartsInWindow, a.RestartsAllowed, a.ChildrenInWindow, a.ChildrenAllowed)
			}
		}
		return true, nil
	})
}

// crash injects a fault, waits for the next incarnation and demands that no
// other actor was restarted.
func (r *Rig) crash(name, kind string, d time.Duration) {
	before := r.epochs()
	start := time.Now()
	r.chaos(api.Chaos{Actor: name, Kind: kind})
	r.within(d, name+" is replaced", func() (bool, any) {
		a := r.actor(name)
		return a.State == "running" && a.Epoch > before[name], a
	})
	r.recovery(start)
	r.onlyRestarted(name, before)
}

func (r *Rig) epochs() map[string]uint64 {
	epochs := map[string]uint64{}
	for _, w := range r.workers() {
		epochs[w.Name] = w.Epoch
	}
	return epochs
}

func (r *Rig) onlyRestarted(victim string, before map[string]uint64) {
	for name, epoch := range r.epochs() {
		if name != victim && epoch != before[name] {
			failf("%s was restarted with %s", name, victim)
		}
	}
}

var _ = register(Drill{
	Name: "panic-while-rotating", Topic: Actors, Short: true, Setup: Setup{Sampling: simulator.SamplingIndependent},
	Inject: "each actor panics, and once more when it starts, and the token changes at once: the actor is down or has just come back",
	Hold:   "it is restarted and works with the new generation: the store says it, the message waits for the actor, or auth sends it again",
	Steps: func(r *Rig) {
		workers := r.workers()
		for _, victim := range workers {
			r.step(victim.Name, func() {
				r.restartsForgotten()
				g, value := r.generation()+1, r.rotate()
				r.chaos(api.Chaos{Actor: victim.Name, Kind: "panic-start"})
				start := time.Now()
				r.byRename(value)
				r.adopted(g, 10*time.Second)
				r.within(10*time.Second, "the victim runs with the new generation", func() (bool, any) {
					a := r.actor(victim.Name)
					// An actor that uses no token shows 0.
					return a.State == "running" && a.Epoch > victim.Epoch && (a.Generation == g || a.Generation == 0), a
				})
				r.recovery(start)
			})
		}
		r.note("%d actors, %d rotations", len(workers), len(workers))
		r.live()
	},
})

var _ = register(Drill{
	Name: "hang-each", Topic: Actors,
	Inject: "each actor blocks for ever",
	Hold:   "replaced within 12.5 s; no other actor restarted",
	Steps: func(r *Rig) {
		workers := r.workers()
		for _, victim := range workers {
			r.step(victim.Name, func() {
				r.crash(victim.Name, "hang", 12500*time.Millisecond)
				r.live()
			})
		}
		r.note("%d actors hung", len(workers))
	},
})

var _ = register(Drill{
	Name: "restart-storm", Topic: Actors,
	Inject: "an actor that panics again and again",
	Hold:   "quarantined in place, the rest lives, a restart by hand reinstates it",
	Steps: func(r *Rig) {
		const victim = "pcr"
		before := r.epochs()
		start, a := time.Now(), r.actor(victim)
		for n := 0; a.State != "quarantined"; n++ {
			if n > 100 {
				failf("not quarantined after %d panics: %+v", n, a)
			}
			r.chaos(api.Chaos{Actor: victim, Kind: "panic"})
			restarts := a.Restarts
			r.within(10*time.Second, "the panic happened", func() (bool, any) {
				a = r.actor(victim)
				return a.Restarts > restarts || a.State == "quarantined", a
			})
		}
		r.note("quarantined after %d restarts in %s", a.Restarts, time.Since(start).Round(time.Millisecond))
		if st := r.status(); !st.Live {
			failf("one quarantined analysis took the server down: %s", st.Message)
		}
		r.onlyRestarted(victim, before)
		start = time.Now()
		r.restart(victim)
		r.within(5*time.Second, victim+" is reinstated", func() (bool, any) {
			a = r.actor(victim)
			return a.State == "running" && a.RestartsInWindow == 0, a
		})
		r.recovery(start)
	},
})

var _ = register(Drill{
	Name: "slow-consumer", Topic: Actors, Setup: Setup{Rate: 20_000, Speed: 10},
	Inject: "bars is blocked for a second, again and again, at 20 k ticks/s; then it hangs",
	Hold:   "the feed streams on, no other actor is restarted or loses a tick, conflated bars equal the exchange's",
	Steps: func(r *Rig) {
		const victim = "bars"
		before, start := r.workers(), time.Now()
		// Blocked for less than a hang, so that its mailbox must conflate.
		for time.Since(start) < 20*time.Second {
			r.chaos(api.Chaos{Actor: victim, Kind: "hang", ForMS: 1000})
			r.streams(1300 * time.Millisecond)
		}
		compared := r.barsEqualHistory(false)
		conflated := r.untouched(before, victim).Mailbox.Conflated
		if conflated == 0 {
			failf("nothing was conflated: bars was not slow enough to prove anything")
		}
		r.note("%d ticks conflated, %d bars equal to the exchange's history", conflated, compared)
		r.chaos(api.Chaos{Actor: victim, Kind: "hang", ForMS: 10_000})
		r.streams(10 * time.Second)
		r.untouched(before, victim)
		r.live()
	},
})
