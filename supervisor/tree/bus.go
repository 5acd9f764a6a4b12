package tree

import (
	"cmp"
	"os"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors/bus"
	"kitestring/actors/replay"
	"kitestring/actors/tape"
	"kitestring/actors/web/api"
	"kitestring/supervisor"
)

// BusConfig is what is configured of the bus. The zero value is none.
type BusConfig struct {
	URL    string // BusEmbedded, or of a NATS server, without a password; "": there is no bus
	Listen string // of the embedded server; loopback, port 0: any; "": DefaultBusListen
	Server string // its name on the bus; "": that of the machine
	Shared bool   // another server publishes to the same bus: a lease says which

	Ticks []uint32 // instruments with a message of their own for each packet
	All   bool     // each instrument has

	Credentials, CA, Certificate, Key string // files
}

// BusEmbedded is the URL of a server in this process, DefaultBusListen where it
// listens.
const (
	BusEmbedded      = bus.Embedded
	DefaultBusListen = "127.0.0.1:4222"
)

// String is the bus for a log.
func (c BusConfig) String() string { return cmp.Or(c.URL, "off") }

// openBus makes what outlives the bus' actor.
func (s *Server) openBus() {
	c := s.cfg.Reloadable.Bus
	if c.URL == "" {
		return
	}
	s.bus = bus.NewStore(bus.StoreConfig{
		Clock: s.clock, Env: s.profile, Server: cmp.Or(c.Server, hostname()), Where: c.URL, Ticks: c.Ticks, All: c.All,
	})
	bus.Metrics(s.registry, s.bus)
	s.feed.Attach(bus.Name, s.bus)
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "kitestring"
	}
	return name
}

// busSpec is the bus' child of the root.
func (s *Server) busSpec() supervisor.Spec {
	c := s.cfg.Reloadable.Bus
	return supervisor.Spec{Name: bus.Name, Produce: bus.New(bus.Config{
		Store: s.bus, URL: c.URL, Listen: cmp.Or(c.Listen, DefaultBusListen), Shared: c.Shared,
		Access: bus.Access{Credentials: c.Credentials, CA: c.CA, Certificate: c.Certificate, Key: c.Key},
		Note:   func(text string) { s.webStore.Note("bus", "%s", text) },
	})}
}

// present leaves the bus out where there is none.
func (s *Server) present(pids []*actor.PID) []*actor.PID {
	if s.bus != nil {
		return pids
	}
	var list []*actor.PID
	for _, pid := range pids {
		if !pid.Equals(pidBus) {
			list = append(list, pid)
		}
	}
	return list
}

// webBus is nil without a bus.
func (s *Server) webBus() func() api.StatusBus {
	if s.bus == nil {
		return nil
	}
	return func() api.StatusBus {
		st := s.bus.Status()
		return api.StatusBus{
			State: st.State.String(), Reason: st.Reason, Since: st.Since.UTC(), Bus: st.Where, Addr: st.Addr, Server: st.Server, Epoch: st.Epoch,
			Shared: s.cfg.Reloadable.Bus.Shared, Published: st.Published, Bytes: st.Bytes, Lost: st.Lost, Queue: st.Queue,
			Connects: st.Connects, Consumers: st.Consumers, Cut: st.Cut,
		}
	}
}

// recorded gives what the recording has of a span.
func (s *Server) recorded(from, to time.Time, shard int, each func(at time.Time, shard int, frame []byte) error) error {
	return replay.Range(tape.Folder(s.cfg.StateDir, s.profile), from, to, func(b replay.Batch) error {
		if shard >= 0 && b.Shard != shard {
			return nil
		}
		return each(b.At, b.Shard, b.Frame())
	})
}
