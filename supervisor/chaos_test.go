package supervisor

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"kitestring/actors"
)

// A step of chaos: after a pause, something happens to one actor.
type step struct {
	After time.Duration
	Actor string
	Do    string // a kind of fault, or rotate, restart, reinstate, push
	For   time.Duration
}

var (
	chaosActors = []string{"source", "solo", "p1", "p2", "c1", "c2", "c3"}
	chaosDeeds  = []string{"rotate", "restart", "reinstate"}
)

func stepFrom(r *rand.Rand) step {
	s := step{Actor: chaosActors[r.IntN(len(chaosActors))], For: time.Duration(r.IntN(10_000)) * time.Millisecond}
	if r.IntN(4) > 0 { // bursts: the rest strikes at once
		s.After = time.Duration(r.ExpFloat64() * 400 * float64(time.Second))
	}
	if k := r.IntN(len(Kinds()) + 1); k < len(Kinds()) {
		s.Do = string(Kinds()[k])
	} else {
		s.Do = chaosDeeds[r.IntN(len(chaosDeeds))]
	}
	return s
}

var stepGen = rapid.Custom(func(t *rapid.T) step {
	s := step{
		Actor: rapid.SampledFrom(chaosActors).Draw(t, "actor"),
		After: time.Duration(rapid.IntRange(0, 600_000).Draw(t, "after_ms")) * time.Millisecond,
		For:   time.Duration(rapid.IntRange(0, 10_000).Draw(t, "for_ms")) * time.Millisecond,
	}
	deeds := append([]string(nil), chaosDeeds...)
	for _, k := range Kinds() {
		deeds = append(deeds, string(k))
	}
	s.Do = rapid.SampledFrom(deeds).Draw(t, "do")
	return s
})

// chaos is what outlives the actors of a chaotic tree, and what it has seen.
type chaos struct {
	s          *Supervisor
	generation atomic.Uint64 // the token's, the truth
	seq        map[string]*atomic.Int64
	pushed     int

	mu       sync.Mutex
	held     map[string]uint64 // by each actor
	received map[string]int64  // last number from source
	batches  map[string]int    // end of the last batch
	dropping map[string]bool   // token messages
	silent   map[string]bool   // all messages
	answered map[string]time.Time
	struck   time.Time
	starts   int
	wrong    []string
}

type rotated struct{ generation uint64 }

func (rotated) Key() string { return "token" }

type (
	question struct{}
	counted  struct{ n int64 }
)

func (c *chaos) fault(format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
}

func (c *chaos) actor(name string) Spec {
	w := worker(name, func(self actors.Self, msg any) {
		c.mu.Lock()
		defer c.mu.Unlock()
		switch m := msg.(type) {
		case actors.Started:
			c.starts++
			c.held[name] = c.generation.Load()
			c.dropping[name], c.silent[name] = false, false
			if name == "source" {
				self.Every(10*time.Second, counted{})
			}
		case rotated:
			if m.generation < c.held[name] {
				c.fault("%s was sent %d and holds %d", name, m.generation, c.held[name])
			}
			c.held[name] = m.generation
		case question:
			c.answered[name] = time.Now()
		case counted:
			if name == "source" {
				for to, seq := range c.seq {
					self.Send(PIDOf(to), counted{seq.Add(1)})
				}
				return
			}
			if m.n <= c.received[name] {
				c.fault("%s received %d after %d", name, m.n, c.received[name])
			}
			c.received[name] = m.n
		case *fakeBatch:
			c.batch(name, m.first, m.first+m.n)
		case *span:
			c.batch(name, m.first, m.last)
		}
	})
	w.Mailbox = testMailbox()
	return w
}

func (c *chaos) batch(name string, first, last int) {
	if first < c.batches[name] {
		c.fault("%s got batch %d after %d", name, first, c.batches[name])
	}
	c.batches[name] = last
}

func (c *chaos) observe(e Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.Kind == Struck {
		c.struck = e.At
		switch e.Reason {
		case string(FaultDropTokenMessages):
			c.dropping[e.Actor] = true
		case string(FaultDropMessages):
			c.dropping[e.Actor], c.silent[e.Actor] = true, true
		}
	}
}

// do carries a step out.
func (c *chaos) do(st step) error {
	switch st.Do {
	case "rotate":
		g := c.generation.Add(1)
		for _, name := range chaosActors {
			c.s.engine.Send(PIDOf(name), rotated{g})
		}
		return nil
	case "restart": // may have to wait for a leak's grace, as a fault may
		c.observe(Event{At: time.Now(), Kind: Struck})
		return c.s.Restart(st.Actor)
	case "reinstate":
		return c.s.Reinstate(st.Actor)
	}
	return c.s.Inject(Fault{Actor: st.Actor, Kind: Kind(st.Do), For: st.For})
}

func (c *chaos) push() {
	for range 3 {
		b := newBatch(c.pushed, 1+c.pushed%60)
		c.pushed += b.n
		for _, name := range chaosActors {
			c.s.Inlet(name).Push(b)
		}
		b.Release()
	}
}

// calm waits until 8 s have passed since the last fault struck; then every actor
// must answer, with the current generation.
func (c *chaos) calm() {
	for {
		c.mu.Lock()
		rest := 7*time.Second - time.Since(c.struck)
		c.mu.Unlock()
		if rest <= 0 {
			break
		}
		after(rest)
	}
	asked := time.Now()
	for _, name := range chaosActors {
		c.s.engine.Send(PIDOf(name), question{})
	}
	c.push()
	after(time.Second)
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.struck) < 8*time.Second {
		return // a waiting fault has struck meanwhile
	}
	for _, name := range chaosActors {
		if c.answered[name].Before(asked) && !c.silent[name] {
			c.fault("%s does not answer 8 s after a fault", name)
		}
		if g := c.generation.Load(); c.held[name] != g && !c.dropping[name] {
			c.fault("%s holds generation %d, not %d", name, c.held[name], g)
		}
	}
}

// unleash runs the steps and reports what was wrong.
func unleash(t *testing.T, steps []step, jitter func() float64) (c *chaos, err error) {
	synctest.Test(t, func(t *testing.T) {
		c = &chaos{
			seq: map[string]*atomic.Int64{}, held: map[string]uint64{}, received: map[string]int64{}, batches: map[string]int{},
			dropping: map[string]bool{}, silent: map[string]bool{}, answered: map[string]time.Time{},
		}
		c.generation.Store(1)
		for _, name := range chaosActors[1:] {
			c.seq[name] = &atomic.Int64{}
		}
		isToken := func(msg any) bool { _, is := msg.(rotated); return is }
		c.s = New(Options{Watch: 500 * time.Millisecond, Observe: c.observe, IsTokenMessage: isToken, jitter: jitter})
		err = c.s.Start(context.Background(), group("root", c.actor("source"), c.actor("solo"),
			group("pair", c.actor("p1"), c.actor("p2")),
			group("chain", c.actor("c1"), c.actor("c2"), c.actor("c3"))))
		for i, st := range steps {
			if err != nil {
				break
			}
			after(st.After)
			c.push()
			if err = c.do(st); err == nil {
				if i+1 == len(steps) || steps[i+1].After > 10*time.Second {
					c.calm()
				}
				c.mu.Lock()
				if len(c.wrong) > 0 {
					err = fmt.Errorf("after step %d, %+v: %s", i, st, c.wrong[0])
				}
				c.mu.Unlock()
			}
		}
		_ = c.s.Stop(context.Background()) // it names those that leak or hang at this moment
	})
	return c, err
}

var chaosSeed = flag.Uint64("chaos.seed", 0, "replay a week of chaos; 0: a new one")

// A week of faults in fake time. The seed is printed; a failure names the step.
func TestChaosWeek(t *testing.T) {
	seed := *chaosSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	r := rand.New(rand.NewPCG(seed, 0))
	var steps []step
	var week time.Duration
	faults := 0
	for week < 7*24*time.Hour {
		st := stepFrom(r)
		steps = append(steps, st)
		week += st.After
		if slices.Contains(Kinds(), Kind(st.Do)) {
			faults++
		}
	}
	began := time.Now()
	c, err := unleash(t, steps, r.Float64)
	if err != nil {
		t.Fatalf("-chaos.seed=%d: %v", seed, err)
	}
	if faults < 1500 {
		t.Errorf("seed %d: only %d faults", seed, faults)
	}
	t.Logf("seed %d: %d faults, %d starts in %.1f days, in %v", seed, faults, c.starts, week.Hours()/24, time.Since(began).Round(time.Millisecond))
}

// The same in short histories, which rapid makes shorter when one fails.
func TestChaosShrinks(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(stepGen, 1, 30).Draw(rt, "steps")
		if _, err := unleash(t, steps, func() float64 { return 1 }); err != nil {
			rt.Fatal(err)
		}
	})
}
