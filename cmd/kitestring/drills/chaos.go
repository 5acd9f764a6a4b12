package drills

import (
	"context"
	"errors"
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

var chaosDrills = []Drill{
	{
		Name: "chaos", Limit: chaosFor + settleWithin + time.Minute,
		Inject: "faults of all kinds at random, in actors, exchange and file, for 3 minutes or --for; --seed repeats them",
		Hold:   "the page answers at every time, nobody stays down, the generation only rises; in the end everything runs, live and coherent on the newest token",
		run:    chaos,
	},
}

const (
	chaosFor = 3 * time.Minute
	// unanswered is how long the page may be away: the web actor is hit too.
	unanswered = 15 * time.Second
	// downFor is how long an actor may be down in one go: 8 s, with slack.
	downFor = 40 * time.Second
	// settleWithin is the longest pause after chaos: a slot backoff, a probe of
	// a refused token, a quarantined actor's next try.
	settleWithin = 90 * time.Second
)

// chance is what a drill goes by; its verdict names the seed.
func (r *Rig) chance() *rand.Rand {
	seed := r.options.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	r.note("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// mischief makes faults by chance.
type mischief struct {
	*Rig
	rng     *rand.Rand
	workers []api.Actor
	done    map[string]int
	over    map[string]time.Time // by actor: when its last fault has ended, which waits for those before it
}

func chaos(ctx context.Context, r *Rig) error {
	lasts := r.options.For
	if lasts == 0 {
		lasts = chaosFor
	}
	workers, err := r.workers()
	if err != nil {
		return err
	}
	m := &mischief{Rig: r, rng: r.chance(), workers: workers, done: map[string]int{}, over: map[string]time.Time{}}
	watching, stop := context.WithCancel(ctx)
	watched := make(chan error, 1)
	go func() { watched <- r.watch(watching) }()
	end := time.Now().Add(lasts)
	for err == nil && time.Now().Before(end) {
		m.strike()
		err = pause(ctx, 50*time.Millisecond+time.Duration(m.rng.Int64N(int64(500*time.Millisecond))))
	}
	// A goroutine that was told to hang on for three seconds outlasts the grace of
	// the stop that ends the drill.
	for _, over := range m.over {
		err = errors.Join(err, pause(ctx, time.Until(over)))
	}
	stop()
	err = errors.Join(err, <-watched)
	total := 0
	for _, n := range m.done {
		total += n
	}
	r.note("%d faults in %s: %v", total, lasts, m.done)
	return errors.Join(err, r.settle(ctx))
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// watch demands until ctx ends that the page answers, but for short whiles,
// that nobody stays down unless he is quarantined, and that the generation
// never goes back.
func (r *Rig) watch(ctx context.Context) error {
	answered := time.Now()
	down := map[string]time.Time{}
	var newest messages.Generation
	err := r.during(ctx, time.Hour, "the server answers and nobody stays down", func() (bool, string) {
		var actors []api.Actor
		st, err := r.status()
		if err == nil {
			err = r.get("/api/v1/actors", &actors)
		}
		if err != nil {
			return time.Since(answered) < unanswered, fmt.Sprintf("no answer for %s: %v", time.Since(answered), err)
		}
		answered = time.Now()
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
			if answered.Sub(down[a.Name]) > downFor {
				return false, fmt.Sprintf("%s is %s since %s", a.Name, a.State, down[a.Name].Format(time.TimeOnly))
			}
		}
		return true, ""
	})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// strike does one thing. A fault that cannot be injected because its way is
// struck already is no failure.
func (m *mischief) strike() {
	name, err := m.one()
	if err == nil {
		m.done[name]++
	}
}

func (m *mischief) one() (name string, err error) {
	switch m.rng.IntN(10) {
	case 0, 1, 2:
		kinds := supervisor.Kinds()
		kind := kinds[m.rng.IntN(len(kinds))]
		victim := m.workers[m.rng.IntN(len(m.workers))].Name
		lasts := 1 + m.rng.Int64N(3000)
		from := time.Now()
		if m.over[victim].After(from) {
			from = m.over[victim]
		}
		m.over[victim] = from.Add(time.Duration(lasts) * time.Millisecond)
		return "actors", m.post("/api/v1/chaos", api.Chaos{Actor: victim, Kind: string(kind), ForMS: lasts})
	case 3, 4, 5, 6, 7:
		return "exchange", m.fault(m.misfortune())
	default:
		return "file", m.scribble()
	}
}

// misfortune is a fault of the exchange that ends by itself.
func (m *mischief) misfortune() simulator.Fault {
	drops := []string{"tcp", "reset", "mid_frame", "close_frame"}
	frames := simulator.MalformedVariants()
	f := []simulator.Fault{
		{Kind: simulator.FaultForbidden},
		{Kind: simulator.FaultTooMany},
		{Kind: simulator.FaultServerError},
		{Kind: simulator.FaultSlowUpgrade, LatencyMS: 1000},
		{Kind: simulator.FaultGhosts, Sockets: 1 + m.rng.IntN(3)},
		{Kind: simulator.FaultMute},
		{Kind: simulator.FaultHeartbeatOnly},
		{Kind: simulator.FaultNoFirstTick},
		{Kind: simulator.FaultDrop, Variant: drops[m.rng.IntN(len(drops))]},
		{Kind: simulator.FaultDrop, Variant: drops[m.rng.IntN(len(drops))]},
		{Kind: simulator.FaultMalformed, Variant: frames[m.rng.IntN(len(frames))], Count: 1 + m.rng.IntN(12)},
		{Kind: simulator.FaultDuplicateSnapshot},
		{Kind: simulator.FaultOrderUpdate},
		{Kind: simulator.FaultRESTTooMany},
		{Kind: simulator.FaultRESTBadGateway},
		{Kind: simulator.FaultRESTTimeout},
		{Kind: simulator.FaultRESTRefuse},
		{Kind: simulator.FaultRESTSlow, LatencyMS: 500},
		{Kind: simulator.FaultRESTError},
	}[m.rng.IntN(19)]
	f.ForMS = 1 + m.rng.IntN(3000)
	return f
}

// scribble changes the file as writers do.
func (m *mischief) scribble() error {
	switch m.rng.IntN(6) {
	case 0:
		typo := strings.Repeat(string(rune('a'+m.rng.IntN(26))), 32)
		m.secrets = append(m.secrets, typo)
		return m.byRename(typo)
	case 1:
		now := time.Now()
		return os.Chtimes(m.EnvFile, now, now)
	case 2:
		return m.post("/api/v1/token/validate", nil)
	case 3:
		value, err := m.rotate()
		if err != nil {
			return err
		}
		return m.inPlace(value)
	default:
		value, err := m.rotate()
		if err != nil {
			return err
		}
		return m.byRename(value)
	}
}

// settle ends every fault and demands that all is well in a while.
func (r *Rig) settle(ctx context.Context) error {
	start := time.Now()
	var value string
	err := r.within(ctx, 30*time.Second, "the faults are lifted and a last token issued", func() (bool, string) {
		err := r.lift()
		if err == nil {
			value, err = r.rotate()
		}
		return err == nil, fmt.Sprint(err)
	})
	if err == nil {
		err = r.byRename(value)
	}
	if err != nil {
		return err
	}
	err = r.within(ctx, settleWithin, "all actors run, live and coherent on the newest token", func() (bool, string) {
		st, err := r.status()
		if err != nil {
			return false, err.Error()
		}
		ok := st.Actors.Running == st.Actors.Total && st.Live && st.Token.Coherent && st.Token.State == messages.Valid && st.Token.Fingerprint == fingerprint(value)
		return ok, fmt.Sprintf("%+v", st)
	})
	r.recovery(time.Since(start))
	if err != nil {
		return err
	}
	if err := r.live(ctx); err != nil {
		return err
	}
	return r.pcrAfter(ctx, time.Now())
}
