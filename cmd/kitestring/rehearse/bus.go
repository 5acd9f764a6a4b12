package rehearse

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"kitestring/actors/simulator"
	"kitestring/actors/web/api"
	"kitestring/supervisor/tree"
)

// onBus makes the server publish to a NATS server of the drill.
func onBus(r *Rig) { r.config.Reloadable.Bus.URL = r.newNATS().url() }

// onEmbeddedBus makes the server publish on one of its own.
func onEmbeddedBus(r *Rig) {
	r.config.Reloadable.Bus = tree.BusConfig{URL: tree.BusEmbedded, Listen: "127.0.0.1:0"}
}

// bus is the server's in its status.
func (r *Rig) bus() api.StatusBus {
	b := r.status().Bus
	if b == nil {
		failf("the status has no bus")
	}
	return *b
}

func (r *Rig) busIs(d time.Duration, state string) (b api.StatusBus) {
	r.within(d, "the bus is "+state, func() (bool, any) {
		b = r.bus()
		return b.State == state, b
	})
	return b
}

var _ = register(Drill{
	Name: "bus-down-at-start", Topic: Bus, Short: true, Setup: Setup{Gateway: true, Prepare: onBus},
	Inject: "the NATS server that the server publishes to is not there at its start",
	Hold:   "the server is live at once, the status names the reason, what is not published is counted; all of it comes from the recording, and the bus works when it is there",
	Steps: func(r *Rig) {
		p := r.program("beside")
		var b api.StatusBus
		r.within(10*time.Second, "the reason says what happened and what to do", func() (bool, any) {
			b = r.bus()
			return b.State == "connecting" && strings.Contains(b.Reason, "connection refused") && strings.Contains(b.Reason, "start it"), b
		})
		r.within(10*time.Second, "what is lost is counted", func() (bool, any) {
			b = r.bus()
			return b.Lost["down"] > 0, b
		})
		r.pause(2 * time.Second)
		start := time.Now()
		r.nats.start()
		r.busIs(10*time.Second, "publishing")
		r.recovery(start)
		c := r.consumer(r.nats.url())
		c.gets(r, 2000)
		if newest, sent := c.newestSequence(), int64(r.bus().Published["frame"]); newest < sent+10 {
			failf("the newest message has the number %d and %d were sent: what was lost before them has no numbers", newest, sent)
		}
		c.whole(r)
		nothingLost(r.receipt(r.rotated(15 * time.Second))) // its events are on the bus, and no token
		r.pause(time.Second)
		c.whole(r)
		r.untroubledBy(p)
		c.mu.Lock()
		defer c.mu.Unlock()
		r.note("%d messages looked through for a secret", c.looked)
	},
})

var _ = register(Drill{
	Name: "bus-down-midway", Topic: Bus, Setup: Setup{Gateway: true, Rate: 10_000, Prepare: func(r *Rig) {
		onBus(r)
		r.nats.start()
		r.relay = r.newRelay(r.nats.addr)
		r.config.Reloadable.Bus.URL = "nats://" + r.relay.addr
	}}, Limit: 2 * time.Minute,
	Inject: "at 10,000 ticks/s the bus takes less than half of what comes, then stands still without a word, dies, and comes back",
	Hold:   "the feed never waits, not for a full queue either, and loses nothing; what the bus does not take is counted; the consumer counts the hole and gets all of it from the recording",
	Steps: func(r *Rig) {
		p := r.program("beside")
		r.busIs(10*time.Second, "publishing")
		c := r.consumer(r.nats.url())
		c.gets(r, 20_000)
		p.LongestSilence()
		r.relay.slow.Store(true)
		r.within(30*time.Second, "the queue is full, and what comes is counted and not waited for", func() (bool, any) {
			b := r.bus()
			return b.Lost["queue_full"] > 100, b
		})
		r.relay.freeze()
		r.within(20*time.Second, "the status says that the bus does not answer", func() (bool, any) {
			b := r.bus()
			return b.State == "connecting", b
		})
		r.pause(4 * time.Second)
		r.nats.stop()
		r.relay.slow.Store(false)
		r.relay.thaw()
		r.pause(time.Second)
		start := time.Now()
		r.nats.start()
		b := r.busIs(10*time.Second, "publishing")
		r.recovery(start)
		if b.Lost["queue_full"]+b.Lost["down"] == 0 {
			failf("nothing is counted as lost: %+v", b)
		}
		before := c.ticks()
		r.within(20*time.Second, "the consumer gets ticks again", func() (bool, any) { return c.ticks() > before+20_000, c.ticks() })
		if silence := p.LongestSilence(); silence > 3*time.Second {
			failf("a program beside got nothing for %s: the feed waited", silence)
		}
		if c.holes() == 0 {
			failf("the consumer sees no hole")
		}
		c.whole(r)
		r.untroubledBy(p)
		r.note("%d messages lost, all of them in the recording", b.Lost["queue_full"]+b.Lost["down"])
	},
})

// cutOff is what both drills about a consumer that takes too little demand: the
// embedded server cuts it off, everybody else gets everything, and when it has
// come back it finds what it lost in the recording.
func cutOff(r *Rig, read func(c *rawConsumer) (stop func())) {
	p := r.program("beside")
	b := r.busIs(10*time.Second, "publishing")
	quick := r.consumer("nats://" + b.Addr)
	quick.gets(r, 20_000)
	poor := newConsumer()
	slow := r.rawConsumer(b.Addr, poor)
	slow.reads(64)
	start := time.Now()
	stop := read(slow)
	r.within(40*time.Second, "the server cuts it off", func() (bool, any) {
		b := r.bus()
		return b.Cut == 1, b
	})
	took, newest := time.Since(start), quick.newestSequence()
	stop()
	slow.rest()
	r.rawConsumer(b.Addr, poor).reads(64)
	if n := poor.holes(); n != 1 {
		failf("the consumer that was cut off sees %d holes", n)
	}
	poor.whole(r)
	b = r.bus()
	if lost := b.Lost["queue_full"] + b.Lost["down"] + b.Lost["refused"]; lost != 0 {
		failf("%d messages were lost to all because one consumer took too little: %+v", lost, b)
	}
	quick.whole(r)
	if quick.holes() != 0 {
		failf("%d holes at the consumer that kept up", quick.holes())
	}
	r.untroubledBy(p)
	behind := (newest - poor.lastBeforeHole()) * quick.bytesEach()
	r.note("cut off after %.1f s, %.1f MB behind; %d ticks to the other one", took.Seconds(), float64(behind)/mb, quick.ticks())
}

var _ = register(Drill{
	Name: "bus-slow-consumer", Topic: Bus, Setup: Setup{Gateway: true, Rate: 20_000, Prepare: onEmbeddedBus}, Limit: 2 * time.Minute,
	Inject: "a consumer of the embedded bus reads a tenth of what comes",
	Hold:   "it is cut off with 16 MB that wait for it at most; the other consumer and the feed lose nothing; back again, it finds the hole in the recording",
	Steps: func(r *Rig) {
		before := must(kernelOf(os.Getpid()))
		cutOff(r, func(c *rawConsumer) (stop func()) {
			return r.meanwhile(func(r *Rig) {
				for {
					c.read(40 << 10)
					r.pause(100 * time.Millisecond)
				}
			})
		})
		if grown := must(kernelOf(os.Getpid())).rss - before.rss; grown > 200<<20 {
			failf("the process has grown by %d MB", grown>>20)
		}
	},
})

var _ = register(Drill{
	Name: "bus-stopped-consumer", Topic: Bus, Setup: Setup{Gateway: true, Rate: 2000, Prepare: onEmbeddedBus}, Limit: 2 * time.Minute,
	Inject: "a consumer of the embedded bus stops reading, while so little comes that 16 MB would be a minute's",
	Hold:   "it is cut off after some seconds; the other consumer and the feed lose nothing; back again, it finds the hole in the recording",
	Steps:  func(r *Rig) { cutOff(r, func(*rawConsumer) (stop func()) { return func() {} }) },
})

var _ = register(Drill{
	Name: "lease-stale-put", Topic: Bus, Setup: Setup{Cold: true, ManualLogin: true}, Limit: 2 * time.Minute,
	Inject: "of two servers on one bus the one that publishes stands still for 5 s and then goes on, three times",
	Hold:   "the other one takes over; the first sends nothing that it had kept, takes the lease from nobody, and waits; no tick comes from both",
	Steps: func(r *Rig) {
		r.close()
		n := r.newNATS("-js", filepath.Join(r.Dir, "jetstream"))
		n.start()
		ex, token := r.serveExchange(simulator.Config{Rate: 1000})
		var servers [2]*Rig
		for i, name := range []string{"a", "b"} {
			s := r.folder(name)
			s.configure(ex, token)
			config := filepath.Join(s.Dir, "config.json")
			check(os.WriteFile(config, fmt.Appendf(nil, `{"feed": {"sockets": 1}, "record": "off", "bus": {"url": %q, "server": %q, "shared": true}}`, n.url(), name), 0o600))
			s.startServer(nil, "--config", config, "--gateway-addr", "off")
			s.live()
			servers[i] = s
			s.busIs(15*time.Second, []string{"publishing", "standby"}[i])
		}
		c := r.consumer(n.url())
		c.gets(r, 2000)
		for round := range 3 {
			holder, other := servers[round%2], servers[1-round%2]
			before := other.bus().Epoch
			check(holder.process.cmd.Process.Signal(syscall.SIGSTOP))
			start := time.Now()
			other.busIs(5*time.Second, "publishing")
			r.recovery(start)
			if other.bus().Epoch <= before {
				failf("the new holder began no new epoch")
			}
			r.pause(time.Until(start.Add(5 * time.Second)))
			check(holder.process.cmd.Process.Signal(syscall.SIGCONT))
			b := holder.busIs(10*time.Second, "standby")
			ticks := c.ticks()
			r.during(2*time.Second, "the new holder publishes and the old one waits", func() (bool, any) {
				now, was := other.bus(), holder.bus()
				return now.State == "publishing" && was.State == "standby", []api.StatusBus{now, was}
			})
			r.within(5*time.Second, "ticks come", func() (bool, any) { return c.ticks() > ticks, c.ticks() })
			r.within(5*time.Second, "the old holder names the new one", func() (bool, any) {
				b = holder.bus()
				return strings.Contains(b.Reason, "the server "+other.bus().Server+" publishes"), b
			})
			if stale := c.staleFrames(); stale != 0 {
				failf("%d messages of a server whose time was over", stale)
			}
		}
		if again := c.repeatedTicks(); again != 0 {
			failf("%d ticks came again", again)
		}
		epochs := c.epochs()
		if !slices.IsSorted(epochs) || len(epochs) != 4 {
			failf("epochs %v: four, each later than the one before", epochs)
		}
		r.note("3 changes of the holder, %d ticks, none stale", c.ticks())
	},
})

// untroubledBy demands that the bus has cost a program of the gateway nothing.
func (r *Rig) untroubledBy(p *client) {
	p.untroubled()
	if lost, found := r.metrics().sum("kitestring_actor_messages_dropped_total", "reason", "full"); found && lost != 0 {
		failf("actors lost %v messages", lost)
	}
}
