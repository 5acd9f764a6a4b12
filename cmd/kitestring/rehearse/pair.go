package rehearse

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kitestring/actors/web/api"
	"kitestring/cmd/kitestring/rehearse/program"
	"kitestring/messages"
	"kitestring/supervisor/tree"
)

// pair is two servers on one exchange, as processes, an edge in front of them
// and programs behind it. Links carry what the parts say to each other.
type pair struct {
	*Rig
	servers  [2]*Rig
	toKite   [2]*link // of each server
	toServer [2]*link // of the edge
	edge     *Rig     // its process and its page
	programs []*client
	watched  []uint32 // what the programs stream

	config map[string]any // of both servers
}

// shares are the servers' shares of Kite's three sockets.
var shares = [2]int{2, 1}

// openPair starts the servers with a token of the rig's exchange, the edge and
// programs, and waits until the programs stream from both. config is of both
// servers; instruments nil: those of the near option chain of NIFTY.
func (r *Rig) openPair(token string, config map[string]any, instruments []uint32, programs int) *pair {
	p := &pair{Rig: r, config: config}
	r.secret(token)
	keys := make([]string, 2)
	args := []string{"edge", "--addr", "127.0.0.1:0", "--gateway-addr", "127.0.0.1:0", "--state-dir", filepath.Join(r.Dir, "edge"), "--client", "program", "--scope", "data,account", "--keys", filepath.Join(r.Dir, "keys")}
	for i := range p.servers {
		p.toKite[i] = r.link(r.sim)
		s := r.folder(fmt.Sprint("server", i))
		s.writeEnv(fmt.Sprintf("KITESTRING_PROFILE=sim\nZERODHA_API_KEY=%s\nZERODHA_API_SECRET=%s\nKITE_API_URL=http://%s\nZERODHA_ACCESS_TOKEN=%s\n", tree.SimAPIKey, simSecret, p.toKite[i].addr(), token))
		p.run(i, freeAddr(), freeAddr())
		keys[i] = p.servers[i].addClient("edge", "data", "account")
		p.toServer[i] = r.link(p.servers[i].gateway)
		args = append(args, "--upstream", "http://"+p.toServer[i].addr())
	}
	check(os.WriteFile(filepath.Join(r.Dir, "keys"), []byte(strings.Join(keys, "\n")+"\n"), 0o600))
	p.edge = r.sibling(r.Dir)
	p.edge.process = r.start("edge", nil, nil, args...)
	var line struct {
		Addr        string
		GatewayAddr string `json:"gateway_addr"`
		Client      api.ClientKey
	}
	if err := json.Unmarshal([]byte(p.edge.process.firstLine()), &line); err != nil || line.Client.Key == "" {
		failf("the edge printed %q", p.edge.process.firstLine())
	}
	r.secret(line.Client.Key)
	p.edge.web, p.edge.gateway = line.Addr, line.GatewayAddr
	if p.watched = instruments; instruments == nil {
		p.servers[0].live() // the chain is known
		for _, in := range p.servers[0].underlying("NIFTY").Chain {
			p.watched = append(p.watched, in.Token)
		}
	}
	o := program.Options{Addr: line.GatewayAddr, APIKey: "program", AccessToken: messages.NewSecret(line.Client.Key), Instruments: p.watched}
	for i := range programs {
		c := &client{must(program.Start(r.ctx, o)), fmt.Sprint("program", i), line.Client.Key}
		r.cleanup(c.Close)
		p.programs = append(p.programs, c)
	}
	p.whole()
	return p
}

// run runs a server, the second time where it was before.
func (p *pair) run(i int, web, gateway string) {
	s := p.sibling(filepath.Join(p.Dir, fmt.Sprint("server", i)))
	config := map[string]any{"feed": map[string]any{"sockets": shares[i]}, "record": "off"}
	for key, value := range p.config {
		config[key] = value
	}
	file := filepath.Join(s.Dir, "config.json")
	check(os.WriteFile(file, must(json.Marshal(config)), 0o600))
	s.startServer(nil, "--config", file, "--addr", web, "--gateway-addr", gateway)
	s.gateway, s.sim = gateway, p.sim
	s.ready(time.Minute)
	p.servers[i] = s
}

// whole waits until both servers bring the edge every instrument.
func (p *pair) whole() {
	for i, s := range p.servers {
		p.within(time.Minute, fmt.Sprintf("the edge streams everything from server %d", i), func() (bool, any) {
			before := s.gatewayClient("edge")
			p.pause(200 * time.Millisecond)
			after := s.gatewayClient("edge")
			return after.Sockets == 1 && after.Packets > before.Packets && after.Instruments["full"] == len(p.watched), after
		})
	}
	p.within(time.Minute, "both servers have a socket with every instrument", func() (bool, any) {
		p.pause(50 * time.Millisecond)
		subscribed := p.exchange().Subscriptions
		for _, token := range p.watched {
			if n := subscribed[fmt.Sprint(token)]; n < 2 {
				return false, fmt.Sprintf("instrument %d is subscribed on %d sockets", token, n)
			}
		}
		return true, nil
	})
}

// leads ends the connection of the edge to the server that is not i, and waits
// until it has come again: the edge then goes by server i's packets, and the other
// one has to be joined to them.
func (p *pair) leads(i int) {
	other := p.servers[1-i]
	before := other.gatewayClient("edge").Since
	p.toServer[1-i].drop()
	p.within(time.Minute, fmt.Sprintf("the edge has connected to server %d again", 1-i), func() (bool, any) {
		now := other.gatewayClient("edge")
		return now.Sockets == 1 && !now.Since.Equal(*before), now
	})
	p.whole()
}

// missed adds up what the programs missed.
func (p *pair) missed() (ticks, lost, repeated int64, closed int) {
	for _, c := range p.programs {
		l, r := c.Missed()
		ticks, lost, repeated = ticks+c.Ticks(), lost+l, repeated+r
		if c.Closed() {
			closed++
		}
	}
	return ticks, lost, repeated, closed
}

// silence is the longest time between two frames with ticks of any program
// since the last call.
func (p *pair) silence() (longest time.Duration) {
	for _, c := range p.programs {
		longest = max(longest, c.LongestSilence())
	}
	return longest
}

// killed ends a server as a power failure does.
func (p *pair) killed(i int) { p.servers[i].process.kill() }

// restarted starts it again.
func (p *pair) restarted(i int) { p.run(i, p.servers[i].web, p.servers[i].gateway) }

// signal sends a signal to a server.
func (p *pair) signal(i int, s os.Signal) { check(p.servers[i].process.cmd.Process.Signal(s)) }

// rotatedBoth gives both servers a new token, as a login on either does, and
// waits until both work with it.
func (p *pair) rotatedBoth() {
	var next [2]messages.Generation
	p.within(time.Minute, "both servers name their generation", func() (bool, any) {
		for i, s := range p.servers {
			next[i] = s.generation() + 1
		}
		return true, nil
	})
	value := p.rotate()
	for _, s := range p.servers {
		s.byRename(value)
	}
	for i, s := range p.servers {
		s.adopted(next[i], time.Minute)
	}
	p.whole()
}

// refused counts the sockets that the exchange has refused because three were
// open: a fourth one.
func (p *pair) refused() int64 { return p.exchange().Upgrades.Refused["too_many"] }

// silent waits and answers the longest silence of a program meanwhile, without
// what this machine stood still.
func (p *pair) silent(d time.Duration) time.Duration {
	p.silence()
	stood := p.still.SoFar()
	p.pause(d)
	return max(0, p.silence()-(p.still.SoFar()-stood))
}
