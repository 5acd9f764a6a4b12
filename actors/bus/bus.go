// Package bus gives what this server has to other machines over NATS: Kite's
// frames, bars, signals and events. It is a way out only: no actor of this
// server gets anything through it.
//
// Promise: the feed never waits for it. What comes is put into a bounded queue
// (65,536 ticks); what finds no room there, or comes while the bus does not
// answer, is counted and lost to the consumers, who see the hole in the
// sequence and can ask the recording for it (GET /api/v1/recorded). Neither a
// token nor an order is on the bus. Without a bus there is no actor, no
// goroutine and no memory of this package.
//
// # Subjects
//
// ENV is the profile: sim, sandbox or live.
//
//	ks.ENV.md.frame.SHARD               packets as Kite sent them, in Kite's binary form; each once, also while a token changes
//	ks.ENV.md.tick.EXCHANGE.TOKEN       one packet, for the instruments that the configuration names
//	ks.ENV.bar.INTERVAL.SOURCE.UNDERLYING   a closed bar (1m, 3m, 5m, 15m; index or future), JSON
//	ks.ENV.sig.KIND.UNDERLYING          what an analysis says, JSON
//	ks.ENV.evt.NAME                     gap, rotation, phase, JSON
//
// # Headers
//
//	Ks-Schema    1
//	Ks-Server    which server published it
//	Ks-Epoch     when that server began to publish: another one, and sequences begin again
//	Ks-Sequence  1, 2, 3, ... of the subject within the epoch; what is missing was lost
//	Ks-Received  when it came from Kite, Unix nanoseconds by the exchange's clock
//
// # Two servers on one bus
//
// With Shared, one of them publishes at a time: the holder of a lease in a
// bucket of the bus's JetStream (time to live 2 s, one revision). The lease is
// made only where there is none, renewed only at the revision that its holder
// wrote, and never put. How old it is tells CLOCK_BOOTTIME, which goes on while
// the machine sleeps or the process stands still; a holder whose lease is too
// old sends nothing, not even what it had written already.
//
// Limits: at a change of the holder, up to 2 s of frames are in no sequence; the
// recording of the next holder has them. The embedded server listens on loopback
// only, keeps nothing and lets everybody on the machine read.
package bus

import (
	"fmt"
	"strconv"
	"time"

	"kitestring/actors"
	"kitestring/messages"
)

// Name is the actor's name in the tree, and that of its subscription.
const Name = "bus"

// Embedded is the URL of a server in this process.
const Embedded = "embedded"

// Config is what the bus needs.
type Config struct {
	Store  *Store
	URL    string // Embedded, or of a NATS server; without a password
	Listen string // where the embedded server listens; loopback
	Access Access
	Shared bool              // another server publishes to the same bus: a lease says which
	Note   func(text string) // of what a person should know, for the timeline; nil: nobody
}

// Access is how a NATS server is reached that asks for it. Files are read at each
// connection.
type Access struct {
	Credentials      string // file with a user's JWT and key, a seed of an NKey, "user:password", or a token; "": none
	CA               string // file with the certificates that the server's is checked against; "": the system's
	Certificate, Key string // files of this client's own; "": none
}

// New makes the producer of the actor. It sends nothing.
func New(cfg Config) actors.Producer {
	return func(self actors.Self) actors.Actor { return &bus{cfg: cfg, self: self} }
}

// bus is one incarnation.
type bus struct {
	cfg  Config
	self actors.Self
}

// Receive implements actors.Actor.
func (b *bus) Receive(msg any) {
	switch m := msg.(type) {
	case actors.Started:
		p := &publisher{cfg: b.cfg, store: b.cfg.Store, self: b.self}
		b.self.Go("publish", p.run)
	case messages.BarClosed:
		b.cfg.Store.put(kindBar, "bar."+minutes(m.Bar.Interval)+"."+m.Bar.Source.String()+"."+part(m.Bar.Underlying), barOf(m.Bar))
	case messages.Reading:
		b.cfg.Store.put(kindSignal, "sig."+part(m.Kind)+"."+part(m.Underlying), m)
	case messages.GapDetected:
		b.cfg.Store.put(kindEvent, "evt.gap", m)
	case messages.RotationRecorded:
		b.cfg.Store.put(kindEvent, "evt.rotation", m.Rotation)
	case messages.PhaseChanged:
		b.cfg.Store.put(kindEvent, "evt.phase", phase{m.Phase, m.Next})
	case messages.BarUpdated, messages.BarsLoaded, messages.GenerationReached, messages.DataState: // come to all that get bars
	case actors.Stopped:
	default:
		b.self.Log().Warn("unexpected message", "type", fmt.Sprintf("%T", msg))
	}
}

func minutes(d time.Duration) string { return strconv.Itoa(int(d/time.Minute)) + "m" }

// bar is a closed bar on the bus, in rupees.
type bar struct {
	Underlying string              `json:"underlying"`
	Source     messages.BarSource  `json:"source"`
	Interval   string              `json:"interval"`
	Start      time.Time           `json:"start"`
	Open       float64             `json:"open"`
	High       float64             `json:"high"`
	Low        float64             `json:"low"`
	Close      float64             `json:"close"`
	Volume     int64               `json:"volume"`
	OI         int64               `json:"oi"`
	Partial    bool                `json:"partial"`
	Gapped     bool                `json:"gapped"`
	Generation messages.Generation `json:"generation"`
}

func barOf(b messages.Bar) bar {
	return bar{
		Underlying: b.Underlying, Source: b.Source, Interval: minutes(b.Interval), Start: b.Start.UTC(),
		Open: b.Price(b.Open), High: b.Price(b.High), Low: b.Price(b.Low), Close: b.Price(b.Close), Volume: b.Volume, OI: b.OI,
		Partial: b.Partial, Gapped: b.Gapped, Generation: b.Generation,
	}
}

// phase is the exchange's day on the bus.
type phase struct {
	Phase messages.Phase `json:"phase"`
	Next  time.Time      `json:"next_change_at"`
}
