package rehearse

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"kitestring/actors/ready"
	"kitestring/actors/simulator"
	"kitestring/actors/web/api"
	"kitestring/messages"
)

// loginPair is two servers on one exchange, as processes, that share a login
// over a way that the drill can cut.
type loginPair struct {
	*Rig
	exchange *simulator.Exchange
	servers  [2]*Rig // the first listens, the second connects
	way      *link   // from the second server to the first
}

// openLoginPair starts both, enrols them and waits until both work with one
// token.
func (r *Rig) openLoginPair() *loginPair {
	r.close()
	p := &loginPair{Rig: r}
	var token messages.AccessToken
	p.exchange, token = r.serveExchange(simulator.Config{Rate: 1000, RedirectURL: "http://127.0.0.1/callback", Login: simulator.LoginManual})
	r.sim = p.exchange.Addr()
	for i := range p.servers {
		s := r.folder(fmt.Sprint("server", i))
		s.configure(p.exchange, token)
		config := filepath.Join(s.Dir, "config.json")
		check(os.WriteFile(config, fmt.Appendf(nil, `{"feed": {"sockets": %d}, "record": "off"}`, 2-i), 0o600))
		args := []string{"--config", config, "--gateway-addr", "off"}
		if i == 0 {
			args = append(args, "--peer-addr", "127.0.0.1:0")
		}
		s.startServer(nil, args...)
		s.live()
		p.servers[i] = s
	}
	p.way = r.link(p.servers[0].peer().Addr)
	var made api.PeerInvitation
	check(api.Decode(p.servers[0].post("/api/v1/peer/invite", api.PeerInvite{Addr: p.way.addr()}), &made))
	r.secret(made.Code)
	p.servers[1].post("/api/v1/peer/join", api.PeerJoin{Code: made.Code})
	p.coherent(15*time.Second, true)
	return p
}

func (r *Rig) peer() api.Peer { return get[api.Peer](r, "/api/v1/peer") }

// coherent waits until both say that they are, or are not.
func (p *loginPair) coherent(d time.Duration, want bool) {
	for i, s := range p.servers {
		s.within(d, fmt.Sprintf("server %d says that both work with one token: %t", i, want), func() (bool, any) {
			peer := s.peer()
			n, _ := s.metrics().sum("kitestring_peer_coherent")
			return peer.Coherent == want && (n == 1) == want, fmt.Sprintf("%+v", peer)
		})
	}
}

// oneToken waits until both files hold a token that the exchange accepts, and
// both servers work with it.
func (p *loginPair) oneToken(d time.Duration, start time.Time) {
	p.within(d, "both servers work with one token that the exchange accepts", func() (bool, any) {
		a, b := p.servers[0].token(), p.servers[1].token()
		held, other := p.servers[0].fileToken(), p.servers[1].fileToken()
		p.secret(held, other)
		one := a.Fingerprint == b.Fingerprint && fingerprint(held) == a.Fingerprint && held == other
		return one && a.Coherent && b.Coherent && a.State == messages.Valid && b.State == messages.Valid && p.exchange.Valid(messages.NewAccessToken(held)),
			fmt.Sprintf("server 0: %s %s, server 1: %s %s", a.Fingerprint, a.State, b.Fingerprint, b.State)
	})
	p.recovery(start)
	p.coherent(d, true)
}

// nothingLost demands that the server with a socket to spare has lost nothing at
// its last token.
func (p *loginPair) nothingLost() {
	first := p.servers[0]
	nothingLost(first.receipt(first.generation()))
}

const loginServesBoth = 10 * time.Second

func loginDrill(name, inject, hold string, steps func(p *loginPair)) Drill {
	return Drill{
		Name: name, Topic: TwoServers, Setup: Setup{Cold: true, ManualLogin: true}, Limit: 3 * time.Minute, Inject: inject, Hold: hold,
		Steps: func(r *Rig) { steps(r.openLoginPair()) },
	}
}

var _ = register(loginDrill("login-serves-both", "a login on one of two servers that share it, then on the other",
	"within 10 s both work with the new token, the first without a lost tick", func(p *loginPair) {
		for i, s := range p.servers {
			p.step(fmt.Sprint("a login on server ", i), func() {
				start := time.Now()
				s.login()
				p.oneToken(loginServesBoth, start)
				p.note("login on server %d: both after %d ms", i, time.Since(start).Milliseconds())
				p.nothingLost()
			})
		}
	}))

// peerLine waits until a server's line about the other one says whether they
// reach each other.
func (r *Rig) peerLine(want messages.ReadyState) (line messages.ReadyCheck) {
	r.within(45*time.Second, fmt.Sprintf("the line %s says %s", ready.Peer, want), func() (bool, any) {
		checks := r.readiness().Checks
		i := slices.IndexFunc(checks, func(c messages.ReadyCheck) bool { return c.Name == ready.Peer })
		if i < 0 {
			return false, checks
		}
		line = checks[i]
		return line.State == want && (want == messages.ReadyOK || line.Fix != ""), line
	})
	return line
}

var _ = register(loginDrill("ready-peer", "the way between two servers is cut",
	"the line peer warns on both, with a fix, and stands again when the way is back", func(p *loginPair) {
		for _, s := range p.servers {
			s.peerLine(messages.ReadyOK)
		}
		start := time.Now()
		p.way.cut(false)
		for i, s := range p.servers {
			line := s.peerLine(messages.ReadyWarning)
			p.note("server %d: %s. Fix: %s", i, line.Detail, line.Fix)
		}
		p.recovery(start)
		p.way.mend()
		for _, s := range p.servers {
			s.peerLine(messages.ReadyOK)
		}
	}))

var _ = register(loginDrill("partition-peers", "the way between two servers is cut, and a login on each of them before it is mended",
	"both stream all the time; both say so and alarm; within 10 s of the end both work with the newest token", func(p *loginPair) {
		p.way.cut(false)
		p.coherent(30*time.Second, false)
		p.servers[0].login()
		p.servers[1].login() // the exchange refuses the first one's from now on
		ticks := [2]float64{}
		for i, s := range p.servers {
			ticks[i] = s.status().Feed.TicksPerSecond
			s.ready(15 * time.Second)
			if peer := s.peer(); peer.Coherent || peer.Reason == "" {
				failf("server %d does not say what is wrong: %+v", i, peer)
			}
		}
		start := time.Now()
		p.way.mend()
		p.oneToken(loginServesBoth, start)
		p.note("both streamed (%.0f and %.0f ticks/s); one token %d ms after the end", ticks[0], ticks[1], time.Since(start).Milliseconds())
	}))

var _ = register(loginDrill("both-login-at-once", "a login on each of two servers at the same moment, three times",
	"within 10 s both work with the one that the exchange accepts", func(p *loginPair) {
		for i := range 3 {
			p.step(fmt.Sprint("round ", i), func() {
				start := time.Now()
				var logins sync.WaitGroup
				failed := make([]error, len(p.servers))
				for n, s := range p.servers {
					logins.Go(func() { failed[n] = attempt(s.login) })
				}
				logins.Wait()
				for _, err := range failed {
					check(err)
				}
				p.oneToken(loginServesBoth, start)
				p.note("round %d: both after %d ms", i, time.Since(start).Milliseconds())
			})
		}
	}))

var _ = register(loginDrill("peer-token-lost", "the connection between two servers is cut in the middle of the sealed token, for 12 s",
	"neither file is damaged, and within 10 s of the end both work with the new token", func(p *loginPair) {
		p.within(15*time.Second, "a comparison over the way is over", func() (bool, any) { return p.way.sentLast() > 0, p.way.sentLast() })
		p.way.limit(p.way.sentLast() + 64) // what is sent when there is nothing to give; figures have more or fewer digits
		p.servers[0].login()
		p.within(12*time.Second, "a token is cut off on its way", func() (bool, any) { return p.way.brokenOff() >= 2, p.way.brokenOff() })
		if a, b := p.servers[0].fileToken(), p.servers[1].fileToken(); a == b || len(b) < 32 {
			failf("the second file holds the token although it was cut off, or is damaged")
		}
		start := time.Now()
		p.way.limit(0)
		p.oneToken(loginServesBoth, start)
		p.note("cut off %d times; one token %d ms after the end", p.way.brokenOff(), time.Since(start).Milliseconds())
	}))
