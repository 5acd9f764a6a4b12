// Package feed keeps Kite's WebSocket streaming while the access token
// changes: nothing lost, nothing repeated, and a receipt for each change.
//
// Promise: a new token is dialled while the running socket streams on, and takes
// over instrument by instrument; a token that Kite refuses leaves the old socket
// streaming. The reader never waits for a subscriber, a dead peer is found in
// 3 s, a dropped connection is dialled again at once, and a stop takes 100 ms
// at most, whatever the peer does. No input makes it panic or gives a tick
// that was not sent.
//
// Limits: a swap is exact where Kite sends both sockets the same packets (see
// merger). Three shards of 3000 instruments fill Kite's three slots: then a
// shard moves by closing first, and what it misses is in the gap ledger; as
// Kite forgets a closed socket within moments, the slot is asked for again after
// 10 ms, 40 ms and so on up to 1 s. Order
// updates that Kite sends while no socket is open are found in GET /orders
// afterwards: the last state of each order, not the states between.
//
// The package is larger than others because one decision about a socket (dial,
// swap, close, subscribe again, what was missed) needs all of it: states, streams,
// the table of what is wanted and the gap ledger change together.
//
// Ticks go to the sinks of [Store.Attach], mostly on the reader's goroutine; a
// batch is what one read of the socket brought, so that many small frames at
// once cost one push and none waits for another. It carries the generation of
// its socket, and while a swap lasts batches of both alternate: a receiver takes
// the highest as its own and drops none.
//
// What a full tick costs from a socket to ten actors, in percent of the processor
// time of BenchmarkEndToEnd, whose sender is in it, at 50 / 300 / 3000 packets a
// frame; one percent is about a nanosecond:
//
//	sender, all of it the kernel's     22 / 19 / 26
//	read, nearly all the kernel's      19 / 26 / 21
//	validate and decode, one pass       8 /  5 / 12
//	table: compare, count, keep        17 / 16 / 16
//	push to ten mailboxes, with wakes   8 /  5 /  2
//	ten actors' turns                  17 / 18 / 12
//	scheduler and the rest              9 / 11 / 11
//
// A message is decoded where the kernel has put it (wire.Reader): gorilla's
// buffer cost a copy of 10 to 20 ns a tick in frames of up to 300 packets.
package feed

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
	"kitestring/actors/kite"
	"kitestring/messages"
	"kitestring/messages/scrub"
)

// Name is the actor's name in the tree, and the holder that it notes its use
// of tokens under.
const Name = "feed"

// Config is what a feed needs.
type Config struct {
	Exchange kite.Exchange
	Tokens   actors.TokenSource
	Clock    actors.Clock
	State    *Store
	Market   Market // nil: the phase is known from its next change on
	// Wanted is asked at the start for the newest set of each owner: a message comes
	// only when a set changes. nil: nobody is asked.
	Wanted    func() []messages.WantInstruments
	Sequenced bool         // the source counts ticks in LastQuantity (the simulator's sequence mode)
	Auth      *actor.PID   // gets FeedLive and TokenDoubted
	Web       *actor.PID   // gets FeedChanged, RotationRecorded, OrderUpdated; nil: nobody
	Gateway   *actor.PID   // gets OrderUpdated, ExchangeTexted, InstrumentsRefused; nil: nobody
	Clients   func() int   // open sockets of the gateway, for receipts; nil: there is no gateway
	Receipts  []*actor.PID // get RotationRecorded, as Web does
	Gaps      []*actor.PID // get GapDetected
	Metrics   *Metrics     // nil: none
	Sockets   int          // this server's share of Kite's sockets, dials included; 0: all
	// Assume counts what speaks for and against an assumption about Kite; nil: not
	// wanted. It is called by readers, too.
	Assume   func(a messages.Assumption, held bool, n uint64)
	Recorder Recorder // nil: nothing is recorded
	// Dial opens TCP connections; nil: the operating system's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	timeouts *timeouts                             // tests only; nil: the defaults
	roots    *x509.CertPool                        // tests only; nil: the operating system's
	proxy    func(*http.Request) (*url.URL, error) // tests only; nil: the environment's
}

// Market is asked for the phase of the day at the start: a message comes only
// when it changes, and that may be hours away.
type Market interface {
	// Phase is the newest phase, false before the first.
	Phase() (messages.PhaseChanged, bool)
}

// Recorder gets what the sockets bring, before it is decoded, and what becomes
// of them. Readers and writers of sockets call it: its methods never wait, and
// keep nothing of their arguments.
type Recorder interface {
	// Frame is a binary message, whatever is in it.
	Frame(s messages.Socket, message []byte)
	// Order is a text message with an order update.
	Order(s messages.Socket, message []byte)
	Socket(s messages.Socket, f messages.SocketFact)
}

// unrecorded is the recorder where there is none.
type unrecorded struct{}

func (unrecorded) Frame(messages.Socket, []byte)               {}
func (unrecorded) Order(messages.Socket, []byte)               {}
func (unrecorded) Socket(messages.Socket, messages.SocketFact) {}

// New makes the producer of the feed actor.
func New(cfg Config) actors.Producer {
	if cfg.proxy == nil {
		cfg.proxy = http.ProxyFromEnvironment
	}
	if cfg.timeouts == nil {
		t := defaultTimeouts()
		cfg.timeouts = &t
	}
	if cfg.Recorder == nil {
		cfg.Recorder = unrecorded{}
	}
	cfg.Sockets = min(cmp.Or(cfg.Sockets, MaxShards), MaxShards)
	return func(self actors.Self) actors.Actor {
		return &Feed{
			self: self, cfg: cfg, streams: map[uint64]*stream{}, shards: make([]shard, 1),
			panics: logBudget{most: 5, per: time.Minute}, texts: logBudget{most: 5, per: time.Minute},
			refused: true, // by the last incarnation
		}
	}
}

// Feed is one incarnation.
type Feed struct {
	self    actors.Self
	cfg     Config
	shards  []shard
	stale   [MaxShards]staleness
	timers  [MaxShards]func()
	streams map[uint64]*stream
	changed messages.Session // of the newest TokenChanged
	adopted messages.Session // of the newest TokenAdopted
	phase   messages.PhaseChanged
	shown   messages.FeedChanged
	frames  uint64 // at the last beat
	decided bool   // a shard has changed or planned something since then
	witness witness
	panics  logBudget
	texts   logBudget // error texts of the sockets
	refused bool      // the gateway may know of instruments that are not streamed

	connected      bool // a socket is live: no order update can be missed
	reconciling    bool
	reconcileAgain bool
	missing        atomic.Bool // order updates were left to GET /orders
}

// What the tasks and timers send to the actor.
type (
	socketEvent struct {
		shard int
		event event
		at    time.Time
	}
	socketTicked struct {
		generation messages.Generation
		at         time.Time
	}
	shardDue     struct{ shard int }
	secondDue    struct{}
	recountDue   struct{ generation messages.Generation }
	reconciled   struct{ generation messages.Generation }
	ordersMissed struct{ generation messages.Generation }
)

// Receive implements actors.Actor.
func (f *Feed) Receive(msg any) {
	switch m := msg.(type) {
	case actors.Started:
		f.start()
	case actors.Stopped:
		f.stop()
	case messages.ToFeed:
		f.receive(m)
	case socketEvent:
		f.socketEvent(m)
	case socketTicked:
		f.reach(m.generation, m.at, func(r *messages.Rotation) **float64 { return &r.FirstTickMS })
	case shardDue:
		f.timers[m.shard] = nil
		f.step(m.shard, looked{})
	case secondDue:
		f.second()
	case reconciled:
		f.reconciling = false
		if f.reconcileAgain {
			f.reconcileAgain = false
			f.reconcile(m.generation)
		}
	case ordersMissed:
		f.missing.Store(false)
		f.reconcile(m.generation)
	case recountDue:
		f.record(f.cfg.State.recount(m.generation, f.cfg.Sequenced))
	default:
		f.self.Log().Warn("unexpected message", "type", fmt.Sprintf("%T", msg))
	}
}

// receive answers the other actors.
func (f *Feed) receive(msg messages.ToFeed) {
	switch m := msg.(type) {
	case messages.TokenChanged:
		f.tokenChanged(m)
	case messages.TokenVerdict:
		f.verdict(m)
	case messages.TokenAdopted:
		if m.Session.Generation > f.adopted.Generation {
			f.adopted = m.Session
		}
		f.look()
	case messages.WantInstruments:
		f.want(m)
	case messages.PhaseChanged:
		f.phase = m
	}
}

func (f *Feed) start() {
	for _, t := range f.cfg.State.tables {
		t.reset(f.cfg.Sequenced, f.observe, f.sinkPanicked)
	}
	if f.cfg.Market != nil {
		f.phase, _ = f.cfg.Market.Phase()
	}
	f.self.Every(lookEvery, secondDue{})
	if f.cfg.Wanted != nil {
		for _, wants := range f.cfg.Wanted() {
			f.want(wants)
		}
	}
	for i := range MaxShards {
		if len(f.cfg.State.subscriptions(i)) > 0 {
			f.grow(i)
		}
	}
	if view := f.cfg.Tokens.Current(); !view.Candidate.IsZero() && view.Changed.Session.Generation == view.Candidate.Generation {
		f.tokenChanged(view.Changed)
	}
	f.look()
}

// observe is called by the readers.
func (f *Feed) observe(newest uint32, received time.Time) {
	f.cfg.Metrics.burst(newest, f.cfg.Clock, received)
}

// sinkPanicked is called by the readers.
func (f *Feed) sinkPanicked(sink string, p any) {
	if ok, held := f.panics.take(time.Now()); ok {
		f.self.Log().Error("a subscriber panicked and has lost a batch of ticks", "subscriber", sink,
			"panic", scrub.Text(fmt.Sprint(p)), "not_logged", held, "stack", string(debug.Stack()))
	}
}

func (f *Feed) stop() {
	for _, s := range f.streams {
		s.end(byUs, "the feed stops")
	}
	for i := range f.shards {
		f.shards[i].to(messages.Stopped, "the feed has stopped", time.Now())
	}
	f.show()
}

func (f *Feed) tokenChanged(m messages.TokenChanged) {
	f.begin(m)
	f.look()
}

// begin opens the receipt of a change, the first time that it is known.
func (f *Feed) begin(m messages.TokenChanged) {
	if m.Session.Generation <= f.changed.Generation {
		return
	}
	f.changed = m.Session
	f.noteChange(m.Session.Generation, time.Now())
	replaces := slices.ContainsFunc(f.shards, func(s shard) bool { return s.leads() != 0 && s.leads() < m.Session.Generation })
	for _, r := range f.cfg.State.openReceipt(m, replaces) {
		f.record(r, true)
	}
}

func (f *Feed) verdict(m messages.TokenVerdict) {
	f.decided = true
	f.noteVerdict(m)
	switch m.Verdict {
	case messages.VerdictRejected:
		f.cfg.State.judge(m.Generation, true)
		f.record(f.cfg.State.rejectReceipt(m.Generation, m.Reason))
	case messages.VerdictValid:
		f.cfg.State.judge(m.Generation, false)
		f.reach(m.Generation, m.At, func(r *messages.Rotation) **float64 { return &r.ValidatedMS })
	case messages.VerdictUnknown:
	}
	f.look()
}

// socketEvent passes on what happened to a socket, with its stage on the
// receipt.
func (f *Feed) socketEvent(m socketEvent) {
	switch e := m.event.(type) {
	case upgraded:
		f.noteUpgrade()
		if s := f.streams[e.id]; s != nil {
			f.reach(s.session.Generation, m.at, func(r *messages.Rotation) **float64 { return &r.DialledMS })
		}
	case framed:
		if s := f.streams[e.id]; s != nil {
			if r, first := f.reach(s.session.Generation, m.at, func(r *messages.Rotation) **float64 { return &r.FirstFrameMS }); first {
				f.cfg.Metrics.live(r)
			}
		}
	case ended:
		f.noteEnd(m.shard, e, m.at)
		delete(f.streams, e.id)
	case moved:
		f.note(messages.OldSocketLives, true, 1)
	case kept, looked, replace, halted, needed:
	}
	f.step(m.shard, m.event)
}

// reach stamps a stage of a generation's receipt, the first time.
func (f *Feed) reach(g messages.Generation, at time.Time, stage func(*messages.Rotation) **float64) (r messages.Rotation, first bool) {
	r, first = f.cfg.State.stamp(g, at, stage)
	f.record(r, first)
	return r, first
}

// record publishes a receipt that has changed.
func (f *Feed) record(r messages.Rotation, changed bool) {
	if !changed {
		return
	}
	for _, pid := range append(f.cfg.Receipts[:len(f.cfg.Receipts):len(f.cfg.Receipts)], f.cfg.Web) {
		if pid != nil {
			f.self.Send(pid, messages.RotationRecorded{Rotation: r})
		}
	}
}

func (f *Feed) want(m messages.WantInstruments) {
	changed, refused := f.cfg.State.want(m, f.cfg.Sockets, f.cfg.timeouts.shardMost)
	for _, r := range refused {
		f.self.Log().Warn("subscription refused", "owner", r.Owner, "instrument_token", r.InstrumentToken, "tradingsymbol", r.Tradingsymbol, "reason", r.Reason)
	}
	if f.cfg.Gateway != nil && (len(refused) > 0 || f.refused) {
		f.refused = len(refused) > 0
		reasons := make(map[uint32]string, len(refused))
		for _, r := range refused {
			reasons[r.InstrumentToken] = r.Reason
		}
		f.self.Send(f.cfg.Gateway, messages.InstrumentsRefused{Reasons: reasons})
	}
	for _, i := range changed {
		f.grow(i)
		for _, id := range [...]uint64{f.shards[i].main.id, f.shards[i].next.id} {
			if s := f.streams[id]; s != nil {
				s.resubscribe(false)
			}
		}
		if i > 0 && len(f.cfg.State.subscriptions(i)) == 0 {
			f.step(i, halted{})
		} else {
			f.step(i, needed{})
		}
	}
}

// grow makes room for a shard. The first one's socket proves tokens, with or
// without instruments; any other needs instruments.
func (f *Feed) grow(i int) {
	for n := len(f.shards); n <= i; n++ {
		f.shards = append(f.shards, shard{stopped: len(f.cfg.State.subscriptions(n)) == 0})
	}
}
