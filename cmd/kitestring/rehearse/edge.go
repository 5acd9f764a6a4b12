package rehearse

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"kitestring/actors/simulator"
	"kitestring/actors/web/api"
	"kitestring/cmd/kitestring/rehearse/program"
	"kitestring/messages"
)

// pair is two servers on one exchange, as processes, an edge in front of them
// and a program behind it.
type pair struct {
	*Rig
	exchange *simulator.Exchange
	token    messages.AccessToken
	servers  [2]*Rig
	program  *client
}

// sockets are the servers' shares of Kite's three.
var sockets = [2]int{2, 1}

// openPair starts everything and waits until the program streams from both.
func (r *Rig) openPair() *pair {
	r.close()
	p := &pair{Rig: r}
	p.exchange, p.token = r.serveExchange(simulator.Config{Rate: 1000})
	r.sim = p.exchange.Addr()
	keys := make([]string, 2)
	args := []string{"edge", "--addr", "127.0.0.1:0", "--state-dir", filepath.Join(r.Dir, "edge"), "--client", "program", "--keys", filepath.Join(r.Dir, "keys")}
	for i := range p.servers {
		s := p.start(i, freeAddr(), freeAddr())
		s.live()
		keys[i] = s.addClient("edge", "data", "account")
		args = append(args, "--upstream", "http://"+s.gateway)
	}
	check(os.WriteFile(filepath.Join(r.Dir, "keys"), []byte(strings.Join(keys, "\n")+"\n"), 0o600))
	edge := r.start("edge", nil, nil, args...)
	var line struct {
		Addr   string
		Client api.ClientKey
	}
	if err := json.Unmarshal([]byte(edge.firstLine()), &line); err != nil || line.Client.Key == "" {
		failf("the edge printed %q", edge.firstLine())
	}
	r.secret(line.Client.Key)
	o := program.Options{Addr: line.Addr, APIKey: "program", AccessToken: messages.NewSecret(line.Client.Key)}
	for _, in := range p.servers[0].underlying("NIFTY").Chain {
		o.Instruments = append(o.Instruments, in.Token)
	}
	p.program = &client{must(program.Start(r.ctx, o)), "program", line.Client.Key}
	r.cleanup(p.program.Close)
	p.both()
	return p
}

// start starts a server, the second time where it was before.
func (p *pair) start(i int, web, gateway string) *Rig {
	s := p.folder(fmt.Sprint("server", i))
	s.configure(p.exchange, p.token)
	config := filepath.Join(s.Dir, "config.json")
	check(os.WriteFile(config, fmt.Appendf(nil, `{"feed": {"sockets": %d}, "record": "off"}`, sockets[i]), 0o600))
	s.startServer(nil, "--config", config, "--addr", web, "--gateway-addr", gateway)
	s.gateway = gateway
	p.servers[i] = s
	return s
}

// both waits until both servers stream to the edge.
func (p *pair) both() {
	for i, s := range p.servers {
		p.within(20*time.Second, fmt.Sprintf("the edge streams from server %d", i), func() (bool, any) {
			before := s.gatewayClient("edge")
			p.pause(200 * time.Millisecond)
			after := s.gatewayClient("edge")
			return after.Sockets == 1 && after.Packets > before.Packets, after
		})
	}
}

// untroubled demands that the program behind the edge has noticed nothing, and
// that no server was refused a socket.
func (p *pair) untroubled() {
	p.program.untroubled()
	for i, s := range p.servers {
		if n, _ := s.metrics().sum("kitestring_feed_connects_total", "result", "too_many"); n != 0 {
			failf("server %d was refused a socket %v times: a fourth one", i, n)
		}
	}
}

func edgeDrill(name, inject string, victim int, hurt func(p *pair, s *Rig)) Drill {
	return Drill{
		Name: name, Topic: TwoServers, Setup: Setup{Cold: true, ManualLogin: true}, Limit: 2 * time.Minute,
		Inject: inject, Hold: "a program behind an edge loses no tick, gets none again and is not closed; never a fourth socket",
		Steps: func(r *Rig) {
			p := r.openPair()
			p.program.LongestSilence()
			before := p.program.Ticks()
			for range 3 {
				hurt(p, p.servers[victim])
				p.both()
				p.untroubled()
			}
			p.pause(time.Second)
			p.untroubled()
			silence := p.program.LongestSilence()
			if silence > 3*time.Second {
				failf("the longest silence was %s", silence)
			}
			p.note("3 times, %d ticks, the longest silence %d ms", p.program.Ticks()-before, silence.Milliseconds())
		},
	}
}

// killed ends a server as a power failure does, and starts it again.
func (p *pair) killed(s *Rig, i int) {
	web, gateway := s.web, s.gateway
	s.process.kill()
	p.pause(time.Second)
	p.start(i, web, gateway).live()
}

var (
	_ = register(edgeDrill("primary-kill", "SIGKILL of the first of two servers, which starts again", 0, func(p *pair, s *Rig) { p.killed(s, 0) }))
	_ = register(edgeDrill("standby-kill", "SIGKILL of the second of two servers, which starts again", 1, func(p *pair, s *Rig) { p.killed(s, 1) }))
	_ = register(edgeDrill("primary-pause", "the first of two servers stands still for 5 s", 0, func(p *pair, s *Rig) {
		check(s.process.cmd.Process.Signal(syscall.SIGSTOP))
		p.pause(5 * time.Second)
		check(s.process.cmd.Process.Signal(syscall.SIGCONT))
	}))
)
