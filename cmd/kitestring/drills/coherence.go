package drills

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"time"

	"kitestring/actors/web/api"
	"kitestring/messages"
)

// deaf plants a holder that goes on with an old token, first one that works
// over REST, then the feed itself: one that misses the word and hears again,
// then one that hears no more.
func deaf(ctx context.Context, r *Rig) error {
	// A token that is overtaken before all have used it is never adopted by all.
	err := r.within(ctx, 10*time.Second, "the first token is adopted by all", func() (bool, string) {
		return r.logged("token adopted by all", `"generation":1,`), "the log does not say so"
	})
	if err != nil {
		return err
	}
	for _, name := range []string{"instruments", "feed"} {
		if err := r.deafenFor(ctx, name); err != nil {
			return fmt.Errorf("%s, deaf for a while: %w", name, err)
		}
		if err := r.deafen(ctx, name); err != nil {
			return fmt.Errorf("deaf %s: %w", name, err)
		}
	}
	// Once a generation: neither a recovery nor a restart says it again.
	last, err := r.generation()
	if err != nil {
		return err
	}
	for g := messages.Generation(1); g <= last; g++ {
		if n := r.countLogged("token adopted by all", fmt.Sprintf(`"generation":%d,`, g)); n != 1 {
			return fmt.Errorf("the log says %d times that generation %d is adopted by all", n, g)
		}
	}
	return nil
}

// deafenFor makes a holder miss the word of a new token: told again, it moves
// without anybody's help.
func (r *Rig) deafenFor(ctx context.Context, name string) error {
	before, err := r.workers()
	if err != nil {
		return err
	}
	for range 5 { // on a machine that stands still, the deafness may be over too soon
		g, err := r.generation()
		if err != nil {
			return err
		}
		if err := r.post("/api/v1/chaos", api.Chaos{Actor: name, Kind: "drop_token_messages", ForMS: 1000}); err != nil {
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
		if err := r.adopted(ctx, g+1, 30*time.Second); err != nil {
			return err
		}
		generation := fmt.Sprintf(`"generation":%d,`, g+1)
		err = r.within(ctx, 10*time.Second, "the log says that all have adopted the token", func() (bool, string) {
			return r.logged("token adopted by all", generation), "it does not"
		})
		if err != nil {
			return err
		}
		if r.logged("token not adopted by all", generation, fmt.Sprintf("%q", name)) {
			r.note("%s, deaf for a second: healed after %s", name, time.Since(start).Round(time.Millisecond))
			_, err := r.untouched(before, "")
			return err
		}
	}
	return fmt.Errorf("%s heard of five new tokens while it was deaf", name)
}

func (r *Rig) deafen(ctx context.Context, name string) error {
	g, err := r.generation()
	if err != nil {
		return err
	}
	if err := r.post("/api/v1/chaos", api.Chaos{Actor: name, Kind: "drop_token_messages"}); err != nil {
		return err
	}
	if err := r.happens(ctx, 5*time.Second, "actor", 0, "fault deaf injected into "+name); err != nil {
		return err
	}
	value, err := r.rotate()
	if err != nil {
		return err
	}
	if err := r.byRename(value); err != nil {
		return err
	}
	err = r.within(ctx, 10*time.Second, "the new token is adopted, and the deaf holder is shown as lagging", func() (bool, string) {
		var t api.Token
		if err := r.get("/api/v1/token", &t); err != nil {
			return false, err.Error()
		}
		return t.Generation == g+1 && !t.Coherent && holds(t, name) == g && holds(t, "auth") == g+1, fmt.Sprintf("adopted %d, coherent %t, holders %+v", t.Generation, t.Coherent, t.Holders)
	})
	if err != nil {
		return err
	}
	generation := fmt.Sprintf(`"generation":%d,`, g+1)
	err = r.within(ctx, 10*time.Second, "the alarm is given", func() (bool, string) {
		coherent, err := r.metric("token_coherent")
		if err != nil {
			return false, err.Error()
		}
		shown, err := r.metric("token_generation", fmt.Sprintf("actor=%q", name))
		if err != nil {
			return false, err.Error()
		}
		warned := r.logged("token not adopted by all", generation)
		return coherent == 0 && shown == float64(g) && warned, fmt.Sprintf("token_coherent %v, token_generation %v, warned %t", coherent, shown, warned)
	})
	if err != nil {
		return err
	}
	// The first time: a slow answer to a later check makes it valid once more.
	adopted, warned := r.allLogged("token valid", `"actor":"auth"`, generation), r.allLogged("token not adopted by all", generation)
	if len(adopted) == 0 || len(warned) == 0 {
		return errors.New("the log does not tell of the adoption and the warning")
	}
	after := warned[0].Sub(adopted[0])
	if after < 950*time.Millisecond {
		return fmt.Errorf("warned %s after the adoption, want a second's patience", after)
	}
	if r.logged("token adopted by all", generation) {
		return errors.New("the log says that all have adopted the token")
	}
	start := time.Now()
	if err := r.post("/api/v1/actors/"+name+"/restart", nil); err != nil {
		return err
	}
	if err := r.adopted(ctx, g+1, 10*time.Second); err != nil {
		return err
	}
	r.recovery(time.Since(start))
	err = r.within(ctx, 10*time.Second, "the alarm is over", func() (bool, string) {
		coherent, err := r.metric("token_coherent")
		said := r.countLogged("token adopted by all", generation)
		return err == nil && coherent == 1 && said == 1, fmt.Sprintf("token_coherent %v, %v, %d times adopted by all", coherent, err, said)
	})
	r.note("deaf %s: warned after %s", name, after.Round(time.Millisecond))
	return err
}

// holds is the generation that a holder used last, 0 when it used none.
func holds(t api.Token, actor string) messages.Generation {
	for _, h := range t.Holders {
		if h.Actor == actor {
			return h.Generation
		}
	}
	return 0
}

// countLogged counts the log lines that hold all parts.
func (r *Rig) countLogged(parts ...string) (n int) {
	for line := range bytes.Lines(r.log.bytes()) {
		if containsAll(line, parts) {
			n++
		}
	}
	return n
}

// footprint is what a process holds on to.
type footprint struct {
	goroutines, files int
	heap              int // bytes in use after a collection, without the captured log
}

func (f footprint) String() string {
	return fmt.Sprintf("%d goroutines, %d files, %.1f MB", f.goroutines, f.files, float64(f.heap)/1e6)
}

// least is the smallest footprint seen for a while: what only comes and goes
// (a request under way) is not counted. The heap is looked at once, at the end:
// collections are events too, and many of them fill the flight recorder.
func (r *Rig) least(ctx context.Context, d time.Duration) (least footprint, err error) {
	least = footprint{math.MaxInt, math.MaxInt, 0}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return least, ctx.Err()
		case <-tick.C:
		}
		files, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			return least, skip("open files cannot be counted here: %v", err)
		}
		least.goroutines, least.files = min(least.goroutines, runtime.NumGoroutine()), min(least.files, len(files))
	}
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	least.heap = int(m.HeapAlloc) - r.log.size()
	return least, nil
}

// receiptsKept is how many receipts the ring holds.
const receiptsKept = 100

// Idle connections to the exchange, of which the transport keeps up to four for
// a minute and a half, come and go with questions that are asked at once. Both
// ends are in this process: two files, and three goroutines.
const (
	idleConnections = 4
	idleFiles       = 2 * idleConnections
	idleGoroutines  = 3 * idleConnections
)

// calm is how long the flight recorder needs to forget the haste of rotations:
// the more happens, the more megabytes it keeps of its last seconds.
const calm = 7 * time.Second

// rotations makes the drill of many rotations: n are judged, after some that
// fill what fills once. The heap may grow by slack bytes.
func rotations(n, slack int) func(context.Context, *Rig) error {
	return func(ctx context.Context, r *Rig) error {
		const warm = 20
		if err := r.rotateMany(ctx, warm); err != nil {
			return err
		}
		before, err := r.least(ctx, calm)
		if err != nil {
			return err
		}
		start := time.Now()
		if err := r.rotateMany(ctx, n); err != nil {
			return err
		}
		took := time.Since(start)
		var after footprint
		err = r.within(ctx, time.Minute, "the server is about as small as before: "+before.String(), func() (bool, string) {
			if after, err = r.least(ctx, time.Second); err != nil {
				return false, err.Error()
			}
			return after.goroutines <= before.goroutines+idleGoroutines && after.files <= before.files+idleFiles && after.heap <= before.heap+slack, after.String()
		})
		if err != nil {
			return err
		}
		for _, what := range []string{"feed_sequence_lost_total", "feed_sequence_repeated_total"} {
			if count, err := r.metric(what); err != nil || count != 0 {
				return errors.Join(err, fmt.Errorf("%s is %v", what, count))
			}
		}
		var ring []messages.Rotation
		if err := r.get("/api/v1/rotations", &ring); err != nil {
			return err
		}
		if want := min(n+warm+1, receiptsKept); len(ring) != want {
			return fmt.Errorf("the ring holds %d receipts, want %d", len(ring), want)
		}
		r.note("%d rotations in %s, 0 lost, 0 twice; before: %s; after: %s", n, took.Round(time.Millisecond), before, after)
		return nil
	}
}

// withHistory runs a drill when every series has its back-filled history.
func withHistory(run func(context.Context, *Rig) error) func(context.Context, *Rig) error {
	return func(ctx context.Context, r *Rig) error {
		underlyings, err := r.underlyings()
		if err != nil {
			return err
		}
		const most = 60 // five-minute bars of the day so far: there are fewer
		for _, u := range underlyings {
			for _, source := range []string{"index", "future"} {
				err := r.within(ctx, 90*time.Second, "the history of "+u.Name+" is back-filled", func() (bool, string) {
					var bars []api.Bar
					err := r.get("/api/v1/bars/"+u.Name+"?source="+source, &bars)
					return len(bars) > most, fmt.Sprintf("%d bars of the %s, %v", len(bars), source, err)
				})
				if err != nil {
					return err
				}
			}
		}
		return run(ctx, r)
	}
}

// rotateMany rotates n times, each when nothing of the generation before is
// left. The profile, which Kite lets us ask seven times a second, is not
// waited for: a frame proves a token too.
func (r *Rig) rotateMany(ctx context.Context, n int) error {
	g, err := r.generation()
	if err != nil {
		return err
	}
	for range n {
		value, err := r.rotate()
		if err != nil {
			return err
		}
		// Hundreds of secrets make the last look at the log slow; the last few
		// stand for all.
		r.secrets = r.secrets[max(0, len(r.secrets)-20):]
		if err := r.byRename(value); err != nil {
			return err
		}
		g++
		var receipt messages.Rotation
		err = r.within(ctx, 30*time.Second, fmt.Sprintf("the receipt of generation %d is closed", g), func() (bool, string) {
			var ring []messages.Rotation
			if err := r.get("/api/v1/rotations", &ring); err != nil || len(ring) == 0 {
				return false, fmt.Sprintf("%d receipts, %v", len(ring), err)
			}
			if receipt = ring[0]; receipt.Generation != g {
				return false, fmt.Sprintf("the newest is of generation %d", receipt.Generation)
			}
			return receipt.Result == "adopted" && receipt.TotalMS != nil, receipt.Result + " " + receipt.Reason
		})
		if err != nil {
			return err
		}
		if err := nothingLost(receipt); err != nil {
			return fmt.Errorf("generation %d: %w", g, err)
		}
		if err := r.adopted(ctx, g, 30*time.Second); err != nil {
			return err
		}
	}
	return nil
}
