package rehearse

import (
	"syscall"
	"time"

	"kitestring/actors/simulator"
)

// untroubled demands that the programs behind the edge have noticed nothing, and
// that no server was refused a socket.
func (p *pair) untroubled() {
	for _, c := range p.programs {
		c.untroubled()
	}
	if n := p.refused(); n != 0 {
		failf("the exchange has refused a socket %d times: a fourth one", n)
	}
}

// edgeDrill hurts one of two servers three times, each time the one that leads:
// what the other one brings counts only then. hurt does it and answers how long
// the programs were silent while it was hurt.
func edgeDrill(name, inject string, victim int, hurt func(p *pair) time.Duration) Drill {
	return Drill{
		Name: name, Topic: TwoServers, Setup: Setup{Cold: true, ManualLogin: true}, Limit: 3 * time.Minute,
		Inject: inject, Hold: "a program behind an edge loses no tick, gets none again and is not closed; never a fourth socket",
		Steps: func(r *Rig) {
			r.close()
			ex, token := r.serveExchange(simulator.Config{Rate: 2000})
			r.sim = ex.Addr()
			p := r.openPair(token.Reveal(), nil, nil, 1)
			well, silence := p.silent(2*time.Second), time.Duration(0)
			before, _, _, _ := p.missed()
			for range 3 {
				p.leads(victim)
				silence = max(silence, hurt(p))
				p.whole()
				p.untroubled()
			}
			p.pause(time.Second)
			p.untroubled()
			if silence > 3*time.Second {
				failf("the longest silence was %s", silence)
			}
			after, _, _, _ := p.missed()
			p.note("3 times, %d ticks, the longest silence %d ms, %d ms before", after-before, silence.Milliseconds(), well.Milliseconds())
		},
	}
}

func killed(victim int) func(p *pair) time.Duration {
	return func(p *pair) time.Duration {
		p.killed(victim)
		silence := p.silent(time.Second)
		p.restarted(victim)
		return silence
	}
}

// cut cuts a link of the first server's for longer than it takes to find out.
func cut(of func(p *pair) *link) func(p *pair) time.Duration {
	return func(p *pair) time.Duration {
		of(p).cut(false)
		silence := p.silent(5 * time.Second)
		of(p).mend()
		return silence
	}
}

var (
	_ = register(edgeDrill("primary-kill", "SIGKILL of the first of two servers, which starts again", 0, killed(0)))
	_ = register(edgeDrill("standby-kill", "SIGKILL of the second of two servers, which starts again", 1, killed(1)))
	_ = register(edgeDrill("primary-pause", "the first of two servers stands still for 5 s", 0, func(p *pair) time.Duration {
		p.signal(0, syscall.SIGSTOP)
		silence := p.silent(5 * time.Second)
		p.signal(0, syscall.SIGCONT)
		return silence
	}))
	_ = register(edgeDrill("partition-edge", "nothing passes between the edge and the first of two servers for 5 s", 0, cut(func(p *pair) *link { return p.toServer[0] })))
	_ = register(edgeDrill("partition-kite", "nothing passes between the exchange and the first of two servers for 5 s", 0, cut(func(p *pair) *link { return p.toKite[0] })))
	_ = register(edgeDrill("edge-pause", "the edge stands still for 4 s, longer than a link may be silent", 0, func(p *pair) time.Duration {
		const still = 4 * time.Second
		p.silence()
		check(p.edge.process.cmd.Process.Signal(syscall.SIGSTOP))
		p.pause(still)
		check(p.edge.process.cmd.Process.Signal(syscall.SIGCONT))
		return max(0, p.silent(time.Second)-still)
	}))
	_ = register(edgeDrill("fourth-slot", "both servers get a new token at once, and dial; the ends of their old sockets take 100 ms to the exchange", 0, func(p *pair) time.Duration {
		for _, l := range p.toKite {
			l.slow(100 * time.Millisecond)
		}
		p.silence()
		stood := p.still.SoFar()
		p.rotatedBoth()
		return max(0, p.silence()-(p.still.SoFar()-stood))
	}))
)
