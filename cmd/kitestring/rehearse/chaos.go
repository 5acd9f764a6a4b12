package rehearse

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"kitestring/actors/simulator"
	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/supervisor"
)

const (
	chaosFor = 3 * time.Minute
	// unanswered is how long the page may be away: the web actor gets faults too.
	unanswered = 15 * time.Second
	// downFor is how long an actor may be down in one go: 8 s, with slack.
	downFor = 40 * time.Second
	// settleWithin is the longest pause after chaos: a slot backoff, a probe of
	// a refused token, a quarantined actor's next try.
	settleWithin = 90 * time.Second
)

var _ = register(Drill{
	Name: "chaos", Topic: Chaos, Limit: chaosFor + settleWithin + time.Minute,
	Inject: "faults of all kinds at random, in actors, exchange and file, for 3 minutes or --for; --seed repeats them",
	Hold:   "the page answers at every time, no actor stays down, the generation only rises; in the end everything runs, live and coherent on the newest token",
	Steps: func(r *Rig) {
		lasts := cmp.Or(r.options.For, chaosFor)
		c := &chaosRun{Rig: r, rng: r.random(), workers: r.workers(), done: map[string]int{}, over: map[string]time.Time{}}
		stop := r.meanwhile((*Rig).watch)
		for end := time.Now().Add(lasts); time.Now().Before(end); {
			c.inject()
			r.pause(50*time.Millisecond + time.Duration(c.rng.Int64N(int64(500*time.Millisecond))))
		}
		// A goroutine that hangs for three seconds outlasts the grace of the stop
		// that ends the drill.
		for _, over := range c.over {
			r.pause(time.Until(over))
		}
		stop()
		total := 0
		for _, n := range c.done {
			total += n
		}
		r.note("%d faults in %s: %v", total, lasts, c.done)
		r.settle()
	},
})

// chaosRun injects faults at random.
type chaosRun struct {
	*Rig
	rng     *rand.Rand
	workers []api.Actor
	done    map[string]int
	over    map[string]time.Time // by actor: when its last fault ends, which waits for those before it
}

// watch demands that the page answers, but for short whiles, that no actor
// stays down unless it is quarantined, and that the generation never goes back.
// Time in which the machine stood still does not count.
func (r *Rig) watch() {
	began := time.Now()
	running := func() time.Duration { return time.Since(began) - r.still.SoFar() } // the machine's clock without its standstills
	answered := running()
	down := map[string]time.Duration{}
	var newest messages.Generation
	r.during(time.Hour, "the server answers and no actor stays down", func() (bool, any) {
		var st api.Status
		var actors []api.Actor
		if err := attempt(func() { st, actors = r.status(), get[[]api.Actor](r, "/api/v1/actors") }); err != nil {
			silent := running() - answered
			return silent < unanswered, fmt.Sprintf("no answer for %s: %v", silent, err)
		}
		answered = running()
		if st.Token.Generation < newest {
			return false, fmt.Sprintf("generation %d after %d", st.Token.Generation, newest)
		}
		newest = st.Token.Generation
		for _, a := range actors {
			if a.State == "running" || a.State == "quarantined" {
				delete(down, a.Name)
				continue
			}
			if _, ok := down[a.Name]; !ok {
				down[a.Name] = answered
			}
			if since := answered - down[a.Name]; since > downFor {
				return false, fmt.Sprintf("%s is %s for %s", a.Name, a.State, since)
			}
		}
		return true, nil
	})
}

// inject injects one fault. One that cannot be injected because an earlier one
// prevents it is no failure.
func (c *chaosRun) inject() {
	var kind string
	var do func()
	switch c.rng.IntN(10) {
	case 0, 1, 2:
		kind, do = "actors", c.actorFault()
	case 3, 4, 5, 6, 7:
		f := c.exchangeFault()
		kind, do = "exchange", func() { c.fault(f) }
	default:
		kind, do = "file", c.fileChange()
	}
	if attempt(do) == nil {
		c.done[kind]++
	}
}

func (c *chaosRun) actorFault() func() {
	kinds := supervisor.Kinds()
	f := api.Chaos{
		Kind:  string(kinds[c.rng.IntN(len(kinds))]),
		Actor: c.workers[c.rng.IntN(len(c.workers))].Name,
		ForMS: 1 + c.rng.Int64N(3000),
	}
	from := time.Now()
	if c.over[f.Actor].After(from) {
		from = c.over[f.Actor]
	}
	c.over[f.Actor] = from.Add(time.Duration(f.ForMS) * time.Millisecond)
	return func() { c.post("/api/v1/chaos", f) }
}

// exchangeFault is a fault of the exchange that ends by itself.
func (c *chaosRun) exchangeFault() simulator.Fault {
	drops := []string{"tcp", "reset", "mid_frame", "close_frame"}
	frames, echoes, pongs := simulator.MalformedVariants(), simulator.EchoVariants(), []string{"pong", "ping", "fragments"}
	faults := []simulator.Fault{
		{Kind: simulator.FaultForbidden},
		{Kind: simulator.FaultTooMany},
		{Kind: simulator.FaultServerError},
		{Kind: simulator.FaultSlowUpgrade, LatencyMS: 1000},
		{Kind: simulator.FaultGhosts, Sockets: 1 + c.rng.IntN(3)},
		{Kind: simulator.FaultMute},
		{Kind: simulator.FaultHeartbeatOnly},
		{Kind: simulator.FaultNoFirstTick},
		{Kind: simulator.FaultPongOnly, Variant: pongs[c.rng.IntN(len(pongs))]},
		{Kind: simulator.FaultEndlessUpgrade},
		{Kind: simulator.FaultEchoUpgrade, Variant: echoes[c.rng.IntN(len(echoes))]},
		{Kind: simulator.FaultTextFlood},
		{Kind: simulator.FaultOrderFlood},
		{Kind: simulator.FaultFalseRejection, Count: 1},
		{Kind: simulator.FaultProfile502, Count: 1},
		{Kind: simulator.FaultDrop, Variant: drops[c.rng.IntN(len(drops))]},
		{Kind: simulator.FaultDrop, Variant: drops[c.rng.IntN(len(drops))]},
		{Kind: simulator.FaultMalformed, Variant: frames[c.rng.IntN(len(frames))], Count: 1 + c.rng.IntN(12)},
		{Kind: simulator.FaultDuplicateSnapshot},
		{Kind: simulator.FaultOrderUpdate},
		{Kind: simulator.FaultRESTTooMany},
		{Kind: simulator.FaultRESTBadGateway},
		{Kind: simulator.FaultRESTTimeout},
		{Kind: simulator.FaultRESTRefuse},
		{Kind: simulator.FaultRESTSlow, LatencyMS: 500},
		{Kind: simulator.FaultRESTError},
	}
	f := faults[c.rng.IntN(len(faults))]
	f.ForMS = 1 + c.rng.IntN(3000)
	return f
}

// fileChange changes the file as writers do.
func (c *chaosRun) fileChange() func() {
	switch c.rng.IntN(6) {
	case 0:
		typo := strings.Repeat(string(rune('a'+c.rng.IntN(26))), 32)
		c.secret(typo)
		return func() { c.byRename(typo) }
	case 1:
		return func() { now := time.Now(); check(os.Chtimes(c.EnvFile, now, now)) }
	case 2:
		return c.validate
	case 3:
		return func() { c.inPlace(c.rotate()) }
	default:
		return func() { c.byRename(c.rotate()) }
	}
}

// settle ends every fault and demands that everything is right in a while.
func (r *Rig) settle() {
	start, value := time.Now(), ""
	r.within(30*time.Second, "the faults are lifted and a last token issued", func() (bool, any) {
		r.lift()
		value = r.rotate()
		return true, nil
	})
	r.byRename(value)
	r.within(settleWithin, "all actors run, live and coherent on the newest token", func() (bool, any) {
		st := r.status()
		return st.Actors.Running == st.Actors.Total && st.Live && st.Token.Coherent && st.Token.State == messages.Valid && st.Token.Fingerprint == fingerprint(value), st
	})
	r.recovery(start)
	r.live()
	r.newPCR()
}
