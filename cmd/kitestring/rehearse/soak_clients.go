package rehearse

import (
	"fmt"
	"strings"
	"time"

	"kitestring/cmd/kitestring/rehearse/program"
	"kitestring/messages"
	"kitestring/supervisor/tree"
)

// Clients is what the programs behind the gateway have seen in a soak.
type Clients struct {
	Programs       int     `json:"programs"`
	Instruments    int     `json:"instruments"` // of each
	Ticks          int64   `json:"ticks"`       // to all programs together
	Lost           int64   `json:"ticks_lost"`
	Repeated       int64   `json:"ticks_duplicated"`
	Conflated      int64   `json:"ticks_conflated"` // for programs that this machine was too busy to run
	Closed         int     `json:"closed"`          // sockets that ended
	Asked          int     `json:"requests"`
	Refused        int     `json:"requests_refused"`
	TokenException int     `json:"token_exceptions"`
	BaseCPU        float64 `json:"base_cpu_percent"` // of the server before the programs connected, of one core
	CPU            float64 `json:"cpu_percent"`      // of what the programs cost
	NSPacket       float64 `json:"ns_a_packet"`      // the same, of each packet to each program
	KBClient       float64 `json:"kb_a_client"`      // by which the server's live heap has grown, for each program
	// AddedP50 and AddedP99 are how much later a packet came through the gateway
	// than on a socket to the exchange itself, which was read by the same process
	// meanwhile; null where Kite's three sockets leave none for it.
	AddedP50 *float64 `json:"added_p50_ms"`
	AddedP99 *float64 `json:"added_p99_ms"`
}

// onOneSocket is what one of Kite's sockets carries.
const onOneSocket = 3000

// baseline is how long the server is measured before programs connect.
const baseline = 15 * time.Second

// loadPrograms are the programs of a soak; nil: there are none.
type loadPrograms struct {
	*soak
	found    Clients
	before   Figures
	direct   *program.Program
	arrivals program.Arrivals
	all      []*client
	from     int64 // ticks at the beginning
	stop     func() (asked int, refused []string)
}

// openPrograms measures the server without programs, and connects them.
func (s *soak) openPrograms(o LoadOptions) *loadPrograms {
	if o.Clients == 0 {
		return nil
	}
	p := &loadPrograms{soak: s}
	from := s.sample()
	s.pause(min(baseline, o.For))
	p.before = span(from, s.sample(), 0)
	options := program.Options{Arrivals: &p.arrivals}
	for _, w := range s.load {
		options.Instruments = append(options.Instruments, w.InstrumentToken)
	}
	options.Instruments = options.Instruments[:min(len(options.Instruments), onOneSocket)]
	if o.Instruments <= onOneSocket { // one socket streams, one is for the swap
		direct := options
		direct.Addr, direct.APIKey, direct.AccessToken, direct.Direct = s.sim, tree.SimAPIKey, messages.NewSecret(s.fileToken()), true
		p.direct = must(program.Start(s.ctx, direct))
		s.cleanup(p.direct.Close)
	}
	p.found.Programs, p.found.Instruments = o.Clients, len(options.Instruments)
	options.Addr = s.gatewayAddr()
	for i := range o.Clients {
		name := fmt.Sprint("program", i)
		c := &client{name: name, key: s.addClient(name, "data", "account")}
		options.APIKey, options.AccessToken = name, messages.NewSecret(c.key)
		c.Program = must(program.Start(s.ctx, options))
		s.cleanup(c.Close)
		p.all = append(p.all, c)
	}
	for _, c := range p.all {
		s.within(time.Minute, c.name+" streams", func() (bool, any) { return c.Ticks() > int64(p.found.Instruments), c.Ticks() })
	}
	return p
}

// begin starts the count.
func (p *loadPrograms) begin() {
	if p != nil {
		p.from = total(p.all)
		p.stop = p.asking(p.all[0].key, "/orders", 200*time.Millisecond)
	}
}

// end answers what was seen since the beginning.
func (p *loadPrograms) end(whole Minute) *Clients {
	if p == nil {
		return nil
	}
	f := &p.found
	var refused []string
	f.Asked, refused = p.stop()
	f.Refused = len(refused)
	for _, text := range refused {
		if strings.Contains(text, "TokenException") {
			f.TokenException++
		}
	}
	f.Ticks = total(p.all) - p.from
	for _, c := range p.all {
		lost, repeated := c.Missed()
		f.Lost += lost
		f.Repeated += repeated
		if c.Closed() {
			f.Closed++
		}
		f.Conflated += int64(p.gatewayClient(c.name).Conflated)
	}
	f.BaseCPU, f.CPU = p.before.CPU, whole.CPU-p.before.CPU
	f.NSPacket = f.CPU / 100 * whole.Seconds * 1e9 / float64(max(1, f.Ticks))
	f.KBClient = (whole.Live - p.before.Live) * 1024 / float64(f.Programs)
	if p50, p99, n := p.arrivals.Added(); n > 0 {
		p50, p99 := 1000*p50.Seconds(), 1000*p99.Seconds()
		f.AddedP50, f.AddedP99 = &p50, &p99
	}
	return f
}

func judgeClients(f *Clients) []Verdict {
	if f == nil {
		return nil
	}
	mostP50, mostP99 := 0.3, 2.0
	if f.Programs > 10 {
		mostP50, mostP99 = 2, 5
	}
	verdicts := []Verdict{
		verdict(f.Lost == 0 && f.Repeated == 0, "0 ticks lost or repeated by a program", "%d lost (%d were conflated: the programs read too slowly), %d repeated of %d to %d programs", f.Lost, f.Conflated, f.Repeated, f.Ticks, f.Programs),
		verdict(f.Closed == 0, "no program is closed", "%d", f.Closed),
		verdict(f.TokenException == 0 && f.Refused == 0, "no request is refused", "%d of %d, %d TokenExceptions", f.Refused, f.Asked, f.TokenException),
		verdict(f.CPU <= 50, "programs cost <= 50 % of one core", "%.1f %% above %.1f %% without them, %.0f ns a packet", f.CPU, f.BaseCPU, f.NSPacket),
		verdict(f.KBClient <= 256, "a program takes <= 256 KB", "%.0f KB of live heap", f.KBClient),
	}
	if f.AddedP50 != nil {
		verdicts = append(verdicts, verdict(*f.AddedP50 <= mostP50 && *f.AddedP99 <= mostP99, fmt.Sprintf("the gateway adds p50 %.1f, p99 %.0f ms", mostP50, mostP99),
			"p50 %.2f ms, p99 %.2f ms against a socket to the exchange", *f.AddedP50, *f.AddedP99))
	}
	return verdicts
}
