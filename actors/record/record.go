// Package record writes what Kite sends to disk, exactly, while the market
// feed goes on as if nobody did.
//
// Promise: each binary message is on the tape as it came, with the time of its
// receipt, within 100 ms; a crash of the process costs no more than that. The
// feed never waits: its readers copy into 16 MB of memory a shard, and what
// finds no room there is counted, in the status and on the tape. A disk that is
// full, read-only, slow or broken costs the recording only: it is tried again
// each 5 s, as a new segment, and nothing that is whole is touched. Neither a
// token nor an API key is on the tape; order texts only where the configuration
// asks for them.
//
// Times on the tape are the exchange's, as the server's clock has them: in live
// the machine's. In between stand events: sockets and what they were asked for,
// receipts of token changes, gaps, what was dropped, what the analyses watch
// and what Kite's history had of it, the state of the disk, and
// once a minute how far the two clocks are apart.
//
// Limits: two servers on one directory do not both record: the second says so
// and takes over when the first has ended. Readiness (/readyz) does not depend
// on the recorder. [Store] outlives the actor: a restart of it loses nothing that
// fits into the memory.
package record

import (
	"fmt"

	"kitestring/actors"
	"kitestring/actors/tape"
	"kitestring/messages"
)

// Name is the actor's name in the tree.
const Name = "record"

// Config is what the recorder needs.
type Config struct {
	Store *Store
	Dir   string // of the tapes
	Off   bool   // nothing is recorded

	Orders bool           // order texts are recorded too
	Keep   tape.Retention // zero fields: tape.DefaultRetention

	// History is that of a recorded day which is recorded once more: it goes onto the
	// tape at the start, for what a replay asks for depends on its speed.
	History []messages.HistoryAnswered

	Boot    string // names this start of the program: up to 16 letters and digits
	Version string
	Profile string
	Note    func(text string) // of what a person should know, for the timeline; nil: nobody
	Metrics *Metrics          // nil: none
	Disk    Disk
}

// Disk is what the recorder uses of the operating system, for drills; the zero
// value is the system's own.
type Disk struct {
	Create func(path string) (tape.File, error)
	Space  func(dir string) (free, size int64, err error)
}

func (d Disk) space(dir string) (free, size int64, err error) {
	if d.Space != nil {
		return d.Space(dir)
	}
	return tape.Space(dir)
}

// New makes the producer of the recorder. It answers RotationRecorded,
// GapDetected, InstrumentsResolved, FuturesRolled and HistoryAnswered, and sends
// nothing.
func New(cfg Config) actors.Producer {
	return func(self actors.Self) actors.Actor { return &recorder{cfg: cfg, self: self} }
}

// recorder is one incarnation.
type recorder struct {
	cfg  Config
	self actors.Self
}

// Receive implements actors.Actor.
func (r *recorder) Receive(msg any) {
	switch m := msg.(type) {
	case actors.Started:
		r.start()
	case messages.RotationRecorded:
		if m.Rotation.TotalMS != nil || m.Rotation.Reason != "" { // complete
			r.cfg.Store.put(messages.Socket{}, tape.RotationDone, m.Rotation)
		}
	case messages.GapDetected:
		r.cfg.Store.put(messages.Socket{}, tape.GapFound, m)
	case messages.HistoryAnswered:
		if r.cfg.History != nil {
			return
		}
		r.cfg.Store.put(messages.Socket{}, tape.HistoryCame, m)
	case messages.InstrumentsResolved:
		m.Configured, m.Notices = nil, nil // the sockets' subscriptions say it
		r.cfg.Store.put(messages.Socket{}, tape.Resolved, m)
	case messages.FuturesRolled:
		// It goes with an InstrumentsResolved.
	case actors.Stopped:
	default:
		r.self.Log().Warn("unexpected message", "type", fmt.Sprintf("%T", msg))
	}
}

func (r *recorder) start() {
	r.cfg.Store.change(func(s *Status) {
		s.State, s.Reason, s.Dir = Starting, "", r.cfg.Dir
		if r.cfg.Off {
			s.State, s.Reason, s.Dir = Off, "the configuration says so, or a recorded day is replayed", ""
		}
	})
	r.cfg.Store.accepts.Store(!r.cfg.Off)
	r.cfg.Store.orders.Store(r.cfg.Orders)
	if r.cfg.Off {
		return
	}
	w := &writer{cfg: r.cfg, store: r.cfg.Store, self: r.self}
	r.self.Go("write the tape", w.run)
}

// note tells a person.
func (c *Config) note(s State, reason string) {
	if c.Note == nil || s == Stopped {
		return
	}
	text := "the recorder is " + s.String()
	if reason != "" {
		text += ": " + reason
	}
	c.Note(text)
}
