package rehearse

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"kitestring/actors/simulator"
	"kitestring/actors/web/api"
	"kitestring/messages"
)

var _ = register(Drill{
	Name: "rotate-valid", Topic: Token, Short: true,
	Inject: "a new token while streaming 1000 ticks/s, by mv and by echo >",
	Hold:   "0 lost, 0 repeated, every holder on it within 5 s, a complete receipt, no actor restarted",
	Steps: func(r *Rig) {
		before, g := r.workers(), r.generation()
		rotate := func(name string, write func(token string)) {
			r.step(name, func() {
				value := r.rotate()
				start := time.Now()
				write(value)
				g++
				r.adopted(g, 5*time.Second)
				r.recovery(start)
				receipt := r.receipt(g)
				nothingLost(receipt)
				r.note("%s: detected %.2f ms, first frame %.2f ms, old closed %.2f ms, %d overlapped, 0 lost, 0 repeated",
					name, *receipt.DetectedMS, *receipt.FirstFrameMS, *receipt.RetiredMS, receipt.Overlapped)
			})
		}
		rotate("mv", r.byRename)
		rotate("echo >", r.inPlace)
		r.untouched(before, "")
		generation := fmt.Sprintf(`"generation":%d`, g)
		// One line a generation and holder; which actors hold one is the tree's business.
		for _, a := range r.workers() {
			r.within(5*time.Second, fmt.Sprintf("the log says once that %s has taken generation %d up", a.Name, g), func() (bool, any) {
				n := len(r.logged("token taken up", fmt.Sprintf(`"actor":%q`, a.Name), generation))
				return a.Generation != g || n == 1, fmt.Sprintf("it says so %d times", n)
			})
		}
		r.within(5*time.Second, "the log says that the token is adopted by all", func() (bool, any) {
			return len(r.logged("token adopted by all", generation)) > 0, "no such line"
		})
	},
})

var _ = register(Drill{
	Name: "rotate-sampled", Topic: Token, Limit: 5 * time.Minute, Setup: Setup{Start: ordinary, Sampling: simulator.SamplingIndependent},
	Inject: "100 new tokens, one after the other, at an exchange that sends each socket its packets at moments of its own",
	Hold:   "each is adopted by all without a warning, the median within 100 ms (verdict: 500 ms); no gap, nothing restarted",
	Steps:  sampledRotations(100),
})

// sampledRotations makes the steps of rotations whose two sockets never bring the
// same packets. What was lost cannot be counted then, as at Kite: gaps and the log
// say whether anything was.
func sampledRotations(n int) func(*Rig) {
	return func(r *Rig) {
		before, since := r.workers(), time.Now()
		var took []float64
		for range n {
			receipt := r.receipt(r.rotated(10 * time.Second))
			// The first one takes 0.7 s longer. A token that is replaced before all have
			// used it is never adopted by all.
			r.adoptedByAll(receipt.Generation)
			if receipt.Lost != nil || receipt.Repeated != nil {
				failf("generation %d: %v lost, %v repeated: of packets that are samples neither is known", receipt.Generation, *receipt.Lost, *receipt.Repeated)
			}
			took = append(took, *receipt.TotalMS)
		}
		slices.Sort(took)
		median := took[len(took)/2]
		if median > 500 {
			failf("the median rotation took %.0f ms", median)
		}
		for g := messages.Generation(1); g <= r.generation(); g++ {
			r.adoptedByAll(g)
		}
		if gaps := r.gapsSince(since); len(gaps) > 0 {
			failf("%d gaps, the first %+v", len(gaps), gaps[0])
		}
		r.untouched(before, "")
		r.note("%d rotations: median %.1f ms, slowest %.1f ms", n, median, took[len(took)-1])
	}
}

// adoptedByAll demands that the log says once that a generation is adopted by all,
// and never that it is not.
func (r *Rig) adoptedByAll(g messages.Generation) {
	generation := fmt.Sprintf(`"generation":%d,`, g)
	r.within(5*time.Second, fmt.Sprintf("the log says once that generation %d is adopted by all", g), func() (bool, any) {
		all := len(r.logged("token adopted by all", generation))
		return all == 1, fmt.Sprintf("it says so %d times", all)
	})
	if len(r.logged("token not adopted by all", generation)) > 0 {
		failf("the log warns that generation %d is not adopted by all", g)
	}
}

var _ = register(Drill{
	Name: "rotate-twice", Topic: Token, Short: true, Setup: Setup{Sampling: simulator.SamplingIndependent},
	Inject: "two rotations within 100 ms; two more, while the dial with the first token gets no answer",
	Hold:   "ends on the newest, which does not wait for that dial; no socket of an older one survives 5 s",
	Steps: func(r *Rig) {
		r.rotatePair(10 * time.Second)
		// A dial without an answer is given up after 5 s.
		r.fault(simulator.Fault{Kind: simulator.FaultSlowUpgrade, Count: 1, LatencyMS: 20_000})
		r.rotatePair(4 * time.Second)
		r.lift()
	},
})

// rotatePair rotates two times at once, and demands the newest token of every
// holder within d.
func (r *Rig) rotatePair(d time.Duration) {
	g, first := r.generation(), r.rotate()
	start := time.Now()
	r.byRename(first)
	r.within(5*time.Second, "the first of two tokens is known", func() (bool, any) {
		t := r.token()
		return t.Generation > g || t.Candidate != nil && t.Candidate.Generation > g, t
	})
	second := r.rotate()
	r.byRename(second)
	r.note("two tokens within %s", time.Since(start).Round(time.Millisecond))
	r.within(d, "the newest token is adopted by all", func() (bool, any) {
		t := r.token()
		return t.Fingerprint == fingerprint(second) && t.Coherent && t.Generation == g+2, t
	})
	r.recovery(start)
	r.within(5*time.Second, "only sockets of the newest token are left", func() (bool, any) {
		sockets := r.sockets()
		for _, s := range sockets {
			if s != fingerprint(second) {
				return false, sockets
			}
		}
		return len(sockets) > 0, "no socket at all"
	})
}

var _ = register(Drill{
	Name: "rotate-same", Topic: Token, Short: true,
	Inject: "the file rewritten with the same token, another key changed, chmod, touch",
	Hold:   "no reconnect, no new generation",
	Steps: func(r *Rig) {
		g, value, upgrades := r.generation(), r.fileToken(), r.upgrades()
		change := func(name string, write func()) {
			r.step(name, func() {
				write()
				// Longer than the slow poll, so that events and polls both had a chance.
				r.during(1300*time.Millisecond, "no new generation and no dial", func() (bool, any) {
					now, n := r.generation(), r.upgrades()
					return now == g && n == upgrades, fmt.Sprintf("generation %d, %d upgrades (before: %d, %d)", now, n, g, upgrades)
				})
			})
		}
		change("same token by mv", func() { r.byRename(value) })
		change("same token in place", func() { r.inPlace(value) })
		change("another key", func() {
			f := must(os.OpenFile(r.EnvFile, os.O_APPEND|os.O_WRONLY, 0))
			must(f.WriteString("SOMEBODY_ELSES=1\n"))
			check(f.Close())
		})
		change("chmod", func() { check(os.Chmod(r.EnvFile, 0o640)) })
		change("touch", func() { now := time.Now(); check(os.Chtimes(r.EnvFile, now, now)) })
		r.note("no dial, generation still %d", g)
	},
})

var _ = register(Drill{
	Name: "rotate-1000", Topic: Token, Limit: 10 * time.Minute,
	Inject: "1000 new tokens, one after the other, while streaming 1000 ticks/s",
	Hold:   "0 lost, 0 repeated, no goroutine and no open file more than before but of idle connections, a flat heap, 100 receipts",
	Steps:  rotations(1000, 2_500_000),
})

var _ = register(Drill{
	Name: "drop-token-messages", Topic: Token, Short: true, Setup: Setup{Sampling: simulator.SamplingIndependent},
	Inject: "the messages about a new token do not reach an actor that works over REST, then the feed, for a second or for good",
	Hold:   "the API and the metrics show which actor lags, auth warns after a second and sends the message again; an actor that gets none needs a restart; all work with the token then, logged once a generation",
	Steps: func(r *Rig) {
		// A token that is replaced before all have used it is never adopted by all.
		r.within(10*time.Second, "the first token is adopted by all", func() (bool, any) {
			return len(r.logged("token adopted by all", `"generation":1,`)) > 0, "the log does not say so"
		})
		for _, name := range []string{"instruments", "feed"} {
			r.step(name+", for a second", func() { r.dropFor(name) })
			r.step(name+", for good", func() { r.drop(name) })
		}
		// Once a generation: neither a recovery nor a restart logs it again.
		for g := messages.Generation(1); g <= r.generation(); g++ {
			if n := len(r.logged("token adopted by all", fmt.Sprintf(`"generation":%d,`, g))); n != 1 {
				failf("the log says %d times that generation %d is adopted by all", n, g)
			}
		}
	},
})

// dropFor makes a holder miss the message about a new token: auth sends it
// again, and the holder moves without anybody's help.
func (r *Rig) dropFor(name string) {
	before := r.workers()
	for range 5 { // on a machine that stands still, the fault may end too soon
		g := r.generation() + 1
		r.chaos(api.Chaos{Actor: name, Kind: "drop_token_messages", ForMS: 1000})
		start := time.Now()
		r.byRename(r.rotate())
		r.adopted(g, 30*time.Second)
		generation := fmt.Sprintf(`"generation":%d,`, g)
		r.within(10*time.Second, "the log says that all have adopted the token", func() (bool, any) {
			return len(r.logged("token adopted by all", generation)) > 0, "it does not"
		})
		if len(r.logged("token not adopted by all", generation, fmt.Sprintf("%q", name))) > 0 {
			r.note("%s, for a second: healed after %s", name, time.Since(start).Round(time.Millisecond))
			r.untouched(before, "")
			return
		}
	}
	failf("%s got the messages about five new tokens although they were dropped", name)
}

func (r *Rig) drop(name string) {
	g := r.generation()
	r.chaos(api.Chaos{Actor: name, Kind: "drop_token_messages"})
	r.happens(5*time.Second, "actor", 0, "fault drop_token_messages injected into "+name)
	r.byRename(r.rotate())
	r.within(10*time.Second, "the new token is adopted, and the holder is shown as lagging", func() (bool, any) {
		t := r.token()
		return t.Generation == g+1 && !t.Coherent && holds(t, name) == g && holds(t, "auth") == g+1, fmt.Sprintf("adopted %d, coherent %t, holders %+v", t.Generation, t.Coherent, t.Holders)
	})
	generation := fmt.Sprintf(`"generation":%d,`, g+1)
	r.within(10*time.Second, "metrics and log warn", func() (bool, any) {
		coherent, shown := r.metric("kitestring_token_coherent"), r.metric("kitestring_token_generation", "actor", name)
		warned := len(r.logged("token not adopted by all", generation))
		return coherent == 0 && shown == float64(g) && warned > 0, fmt.Sprintf("coherent %v, generation %v, warned %d times", coherent, shown, warned)
	})
	// The first time: a slow answer to a later check makes it valid once more.
	adopted, warned := r.logged("token valid", `"actor":"auth"`, generation), r.logged("token not adopted by all", generation)
	if len(adopted) == 0 {
		failf("the log does not contain the adoption")
	}
	after := warned[0].Sub(adopted[0])
	if after < 950*time.Millisecond {
		failf("warned %s after the adoption, want a second's patience", after)
	}
	if len(r.logged("token adopted by all", generation)) > 0 {
		failf("the log says that all have adopted the token")
	}
	// The adoption was sent again when the log warned, and comes again after 10 s:
	// until then only the store can say what to work with.
	start := time.Now()
	r.restart(name)
	r.adopted(g+1, 6*time.Second)
	r.recovery(start)
	r.within(10*time.Second, "the warning is over", func() (bool, any) {
		coherent, n := r.metric("kitestring_token_coherent"), len(r.logged("token adopted by all", generation))
		return coherent == 1 && n == 1, fmt.Sprintf("coherent %v, %d times adopted by all", coherent, n)
	})
	r.note("%s, for good: warned after %s", name, after.Round(time.Millisecond))
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

var _ = register(Drill{
	Name: "garbage-token", Topic: Token, Short: true,
	Inject: "a typo is written while streaming",
	Hold:   "the old socket streams on, the typo is rejected and reported, the next good token heals",
	Steps: func(r *Rig) {
		g := r.generation()
		typo := strings.Repeat("x", len(r.fileToken()))
		r.secret(typo)
		before := r.exchange().Sockets
		r.byRename(typo)
		r.within(10*time.Second, "the typo is rejected", func() (bool, any) {
			t := r.token()
			return t.Candidate != nil && t.Candidate.State == messages.Rejected && t.Generation == g, t
		})
		if after := r.exchange().Sockets; len(before) != 1 || len(after) != 1 || !after[0].OpenedAt.Equal(before[0].OpenedAt) {
			failf("the old socket did not stream on: before %+v, after %+v", before, after)
		}
		upgrades := r.upgrades()
		r.during(2*time.Second, "the old socket streams on and nothing dials", func() (bool, any) {
			st, n := r.status(), r.upgrades()
			return st.Live && st.Token.Coherent && n == upgrades, fmt.Sprintf("%+v, %d upgrades", st, n)
		})
		value := r.rotate()
		start := time.Now()
		r.byRename(value)
		r.adopted(g+2, 10*time.Second)
		r.recovery(start)
		nothingLost(r.receipt(g + 2))
	},
})

var _ = register(Drill{
	Name: "yesterdays-token", Topic: Token, Short: true, Setup: Setup{Cold: true, ManualLogin: true, Prepare: withDeadToken},
	Inject: "a start with a dead token in the file",
	Hold:   "the profile rejects the token in at most two calls; at most one upgrade, then no dial until a new token; live within 10 s of it",
	Steps: func(r *Rig) {
		r.within(10*time.Second, "the dead token is rejected", func() (bool, any) {
			t := r.token()
			return t.Candidate != nil && t.Candidate.State == messages.Rejected && t.Generation == 0, t
		})
		r.within(10*time.Second, "the feed is parked because the token is rejected", func() (bool, any) {
			f := r.status().Feed
			return f.State == messages.Unauthorised && strings.Contains(f.Reason, "rejected the access token"), f
		})
		st := r.exchange()
		r.during(3*time.Second, "at most one dial and two profile calls", func() (bool, any) {
			st = r.exchange()
			return dials(st) <= 1 && st.Requests.Refused["token"] <= 2, fmt.Sprintf("%d dials, refused requests %v", dials(st), st.Requests.Refused)
		})
		r.note("%d dials; refused: %v", dials(st), st.Requests.Refused)
		start := time.Now()
		r.login()
		r.live()
		r.recovery(start)
	},
})

// footprint is what a process holds on to.
type footprint struct {
	goroutines, files int
	heap              int // bytes in use after a collection, without the captured log
}

func (f footprint) String() string {
	return fmt.Sprintf("%d goroutines, %d files, %.1f MB", f.goroutines, f.files, float64(f.heap)/1e6)
}

// least is the smallest footprint seen for a while: what only comes and goes
// (a request under way) is not counted. The heap is read once, at the end:
// collections are events too, and many of them fill the flight recorder.
func (r *Rig) least(d time.Duration) footprint {
	least := footprint{math.MaxInt, math.MaxInt, 0}
	for end := time.Now().Add(d); time.Now().Before(end); {
		r.pause(100 * time.Millisecond)
		files, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			skipf("open files cannot be counted here: %v", err)
		}
		least.goroutines, least.files = min(least.goroutines, runtime.NumGoroutine()), min(least.files, len(files))
	}
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	least.heap = int(m.HeapAlloc) - r.log.size()
	return least
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

// recorderSpan is how long the flight recorder needs to drop the events of many
// rotations: the more happens, the more megabytes it keeps of its last seconds.
const recorderSpan = 7 * time.Second

// rotations makes the steps of many rotations: n are judged, after some that
// fill what fills once. The heap may grow by slack bytes.
func rotations(n, slack int) func(*Rig) {
	return func(r *Rig) {
		const warm = 20
		r.backfilled()
		r.rotateMany(warm)
		before := r.least(recorderSpan)
		start := time.Now()
		r.rotateMany(n)
		took := time.Since(start)
		var after footprint
		r.within(time.Minute, "the server is about as small as before: "+before.String(), func() (bool, any) {
			after = r.least(time.Second)
			return after.goroutines <= before.goroutines+idleGoroutines && after.files <= before.files+idleFiles && after.heap <= before.heap+slack, after
		})
		if lost, repeated := r.metric("kitestring_feed_sequence_lost_total"), r.metric("kitestring_feed_sequence_repeated_total"); lost != 0 || repeated != 0 {
			failf("%v ticks lost, %v repeated", lost, repeated)
		}
		if kept, want := len(r.rotations()), min(n+warm+1, receiptsKept); kept != want {
			failf("the ring holds %d receipts, want %d", kept, want)
		}
		r.note("%d rotations in %s, 0 lost, 0 repeated; before: %s; after: %s", n, took.Round(time.Millisecond), before, after)
	}
}

// backfilled waits until every series has its history.
func (r *Rig) backfilled() {
	const most = 60 // five-minute bars of the day so far: there are fewer
	for _, u := range r.underlyings() {
		for _, source := range []string{"index", "future"} {
			r.within(90*time.Second, "the history of "+u.Name+" is back-filled", func() (bool, any) {
				n := len(get[[]api.Bar](r, "/api/v1/bars/"+u.Name+"?source="+source))
				return n > most, fmt.Sprintf("%d bars of the %s", n, source)
			})
		}
	}
}

// rotateMany rotates n times, each when nothing of the generation before is
// left. The profile, which Kite lets a client ask seven times a second, is not
// waited for: a frame proves a token too.
func (r *Rig) rotateMany(n int) {
	g := r.generation()
	for range n {
		value := r.rotate()
		// Hundreds of secrets make the last check of the log slow; the last few
		// stand for all.
		r.secrets = r.secrets[max(0, len(r.secrets)-20):]
		r.byRename(value)
		g++
		var receipt messages.Rotation
		r.within(30*time.Second, fmt.Sprintf("the receipt of generation %d is closed", g), func() (bool, any) {
			ring := r.rotations()
			if len(ring) == 0 || ring[0].Generation != g {
				return false, "there is none"
			}
			receipt = ring[0]
			return receipt.Result == "adopted" && receipt.TotalMS != nil, receipt.Result + " " + receipt.Reason
		})
		r.step(fmt.Sprintf("generation %d", g), func() { nothingLost(receipt) })
		r.adopted(g, 30*time.Second)
	}
}
