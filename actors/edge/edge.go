// Package edge makes one stream of ticks of two gateways: what one of two
// servers cannot bring, the other has brought.
//
// Promise: each packet that both upstreams send goes on once, in order, from
// whichever brings it first; one of them may die, stand still or be cut off,
// and nothing is lost or repeated. Order updates and texts go on once. REST is
// asked of the first upstream, and of the second where the first does not
// answer a read; a write goes to the first alone, at most once.
//
// Limits: two upstreams, one socket of 3000 instruments to each. Exact only as
// far as Kite sends both servers byte-equal packets; the merger's comment says
// what holds otherwise.
package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/gorilla/websocket"

	"kitestring/actors"
	"kitestring/actors/merger"
	"kitestring/messages"
	"kitestring/messages/ist"
	"kitestring/messages/scrub"
	"kitestring/messages/wire"
)

// Name is the actor's name.
const Name = "edge"

// MostInstruments is what one socket to a gateway carries.
const MostInstruments = 3000

// How long a link may be silent (a gateway sends a heartbeat each second), and
// how long it waits before it connects again, at first and at most.
const (
	dead       = 3 * time.Second
	lookEvery  = 100 * time.Millisecond
	redialBase = 50 * time.Millisecond
	redialCap  = 2 * time.Second
	healthy    = 10 * time.Second // a connection this long ends the growth of the pauses
)

// Upstream is a server's gateway.
type Upstream struct {
	Addr string          // host:port
	Key  messages.Secret // of the client that the edge is there
}

// Config is what an edge needs.
type Config struct {
	Upstreams []Upstream // one or two; the first is asked for REST first
	Sink      actors.Sink
	Gateway   *actor.PID // gets OrderUpdated and ExchangeTexted
	Board     *Board
	// Wanted is asked at the start for what the gateway's clients want: its message
	// comes only when that changes. nil: nobody is asked.
	Wanted func() (wants messages.WantInstruments, some bool)
}

// New makes the producer of the edge actor.
func New(cfg Config) actors.Producer {
	return func(self actors.Self) actors.Actor {
		e := &Edge{self: self, cfg: cfg, index: map[uint32]int{}, recent: map[uint64]bool{}}
		for i, up := range cfg.Upstreams {
			e.links = append(e.links, &link{edge: e, at: i, up: up, changed: make(chan struct{}, 1)})
		}
		return e
	}
}

// Edge is one incarnation.
type Edge struct {
	self  actors.Self
	cfg   Config
	links []*link

	mu     sync.Mutex
	wants  []messages.Want // in the order of their tokens
	index  map[uint32]int
	slots  []slot
	merger *merger.Merger // nil: no upstream has connected yet
	older  int            // the link that is the merger's older side
	newest uint32         // exchange time
	recent map[uint64]bool
	order  []uint64 // of recent, oldest first
}

// slot is the newest packet of an instrument that went on.
type slot struct {
	token  uint32
	has    bool
	hash   uint64
	moment merger.Moment
	recent [recentPackets]uint64 // hashes of the last ones, a ring: some of one moment differ in their depth only
	next   int
}

// recentPackets is how many of an instrument's packets are remembered: more than
// Kite sends of one moment.
const recentPackets = 16

var seed = maphash.MakeSeed()

// Receive implements actors.Actor.
func (e *Edge) Receive(msg any) {
	switch m := msg.(type) {
	case actors.Started:
		if e.cfg.Wanted != nil {
			if wants, some := e.cfg.Wanted(); some {
				e.want(wants)
			}
		}
		for _, l := range e.links {
			e.self.Go("upstream "+l.up.Addr, l.run)
		}
		e.self.Every(merger.LeadAfter, leadDue{})
	case actors.Stopped:
	case messages.WantInstruments:
		e.want(m)
	case leadDue:
		e.lead()
	case messages.TokenDoubted: // a gateway refuses the key: its links say so
	default:
		e.self.Log().Warn("unexpected message", "type", fmt.Sprintf("%T", msg))
	}
}

type leadDue struct{}

func (e *Edge) want(m messages.WantInstruments) {
	wants := slices.Clone(m.Wants)
	slices.SortFunc(wants, func(a, b messages.Want) int { return int(int64(a.InstrumentToken) - int64(b.InstrumentToken)) })
	e.mu.Lock()
	e.wants = wants
	e.mu.Unlock()
	for _, l := range e.links {
		select {
		case l.changed <- struct{}{}:
		default:
		}
	}
}

// side is a link's part in the merger.
func (e *Edge) side(l *link) merger.Side {
	if l.at == e.older {
		return merger.Older
	}
	return merger.Newer
}

// join makes a link that has connected one side of a new merger, which begins
// with what went on last.
func (e *Edge) join(l *link) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l.live = true
	alone := true
	e.older = l.at
	for _, other := range e.links {
		other.begun = map[int]bool{} // the new merger knows only the last packet that went on
		if other != l && other.live {
			alone, e.older = false, other.at
		}
	}
	today := uint32(0)
	if e.newest != 0 {
		today = uint32(ist.Day(time.Unix(int64(e.newest), 0)).Unix())
	}
	before := e.merger
	var last merger.Joins
	if before != nil {
		last = before.Shown()
	}
	e.merger = merger.New(today, len(e.slots), last)
	for at := range e.slots {
		if s := &e.slots[at]; s.has {
			e.merger.Known(at, s.hash, s.moment, before)
		} else {
			e.merger.Expect(at)
		}
	}
	if alone {
		e.merger.Leave(merger.Newer, nil)
	}
}

// leave takes a link's side out.
func (e *Edge) leave(l *link) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l.live = false
	if slices.ContainsFunc(e.links, func(other *link) bool { return other.live }) {
		e.release(func(emit func(int, []merger.Held)) { e.merger.Leave(e.side(l), emit) })
	}
}

// lead lets the side that joined last lead where the other one does not bring
// the same packets.
func (e *Edge) lead() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.merger != nil {
		e.release(func(emit func(int, []merger.Held)) { e.merger.Lead(time.Now(), emit) })
	}
}

// release sends on what was held back until now.
func (e *Edge) release(from func(emit func(int, []merger.Held))) {
	var packets [][]byte
	from(func(_ int, flush []merger.Held) {
		for _, h := range flush {
			packets = append(packets, h.Packet)
		}
	})
	e.send(packets, time.Now())
}

// take merges a frame of a link's.
func (e *Edge) take(l *link, frame []byte, at time.Time) error {
	ticks, err := l.decoder.Decode(frame, l.ticks[:0])
	l.ticks = ticks
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.merger.Now = at
	var packets [][]byte
	for i := range ticks {
		t := &ticks[i]
		packet := frame[t.Offset : t.Offset+uint32(t.Length)]
		slot := e.slotOf(t.InstrumentToken)
		a := merger.Arrival{Hash: maphash.Bytes(seed, packet), Moment: merger.MomentOf(t), Packet: packet}
		if !l.begun[slot] {
			// A server that stood still begins with what is old: the merger gets its
			// packets from the last one on that went on.
			if s := &e.slots[slot]; s.has && (a.Moment.Before(s.moment) || a.Hash != s.hash && slices.Contains(s.recent[:], a.Hash)) {
				continue
			}
			l.begun[slot] = true
		}
		keep, flush := e.merger.Offer(slot, e.side(l), a)
		if keep {
			packets = append(packets, packet)
		}
		for _, h := range flush {
			packets = append(packets, h.Packet)
		}
	}
	e.send(packets, at)
	return nil
}

func (e *Edge) slotOf(token uint32) int {
	at, has := e.index[token]
	if !has {
		at = len(e.slots)
		e.index[token] = at
		e.slots = append(e.slots, slot{token: token})
	}
	return at
}

// send gives packets to the gateway.
func (e *Edge) send(packets [][]byte, at time.Time) {
	if len(packets) == 0 {
		return
	}
	raw := wire.AppendFrame(nil, packets...)
	ticks, err := new(wire.Decoder).Decode(raw, nil)
	if err != nil {
		e.self.Log().Error("merged packets cannot be read", "error", err)
		return
	}
	for i := range ticks {
		t := &ticks[i]
		s := &e.slots[e.slotOf(t.InstrumentToken)]
		s.has, s.hash, s.moment = true, maphash.Bytes(seed, raw[t.Offset:t.Offset+uint32(t.Length)]), merger.MomentOf(t)
		s.recent[s.next] = s.hash
		s.next = (s.next + 1) % recentPackets
		e.newest = max(e.newest, t.ExchangeTime)
	}
	b := messages.NewTicks(nil)
	b.Generation, b.Received, b.Ticks, b.Raw = generation, at, ticks, raw
	b.Retain(1)
	e.cfg.Sink.Push(b)
}

// recentTexts is how many texts are remembered, to send each on once.
const recentTexts = 4096

// text sends an order update or a message on, the first time that it comes.
func (e *Edge) text(data []byte) {
	text, err := wire.ParseText(data)
	if err != nil {
		return
	}
	hash := maphash.Bytes(seed, data)
	e.mu.Lock()
	known := e.recent[hash]
	if !known {
		e.recent[hash] = true
		if e.order = append(e.order, hash); len(e.order) > recentTexts {
			delete(e.recent, e.order[0])
			e.order = e.order[1:]
		}
	}
	e.mu.Unlock()
	if known {
		return
	}
	switch text.Type {
	case wire.TextOrder:
		e.self.Send(e.cfg.Gateway, messages.OrderUpdated{Raw: text.Data, At: time.Now()})
	case wire.TextError:
		e.self.Log().Warn("an upstream says", "text", scrub.Text(string(text.Data)))
	default:
	}
}

// link is the connection to one upstream.
type link struct {
	edge    *Edge
	at      int
	up      Upstream
	changed chan struct{} // the wants have changed
	live    bool          // guarded by edge.mu
	begun   map[int]bool  // slots of which the merger has had a packet of this link; guarded by edge.mu
	decoder wire.Decoder
	ticks   []messages.Tick
}

// run keeps the link connected until ctx ends.
func (l *link) run(ctx context.Context) error {
	log := l.edge.self.Log().With("upstream", l.up.Addr)
	wait := redialBase
	for ctx.Err() == nil {
		var since time.Time
		err := l.stream(ctx, func() {
			since = time.Now()
			l.edge.cfg.Board.connected(l.at, true)
			log.Info("upstream connected")
		})
		if !since.IsZero() && time.Since(since) >= healthy {
			wait = redialBase
		}
		l.edge.cfg.Board.connected(l.at, false)
		if ctx.Err() != nil {
			break
		}
		log.Warn("upstream lost; connecting again", "error", scrub.Text(err.Error()), "after_ms", wait.Milliseconds())
		pause := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
		wait = min(2*wait, redialCap)
	}
	return ctx.Err()
}

// stream is one connection.
func (l *link) stream(ctx context.Context, connected func()) error {
	address := url.URL{Scheme: "ws", Host: l.up.Addr, Path: "/", RawQuery: url.Values{"api_key": {Name}, "access_token": {l.up.Key.Reveal()}}.Encode()}
	dialer := websocket.Dialer{HandshakeTimeout: dead, ReadBufferSize: 64 << 10}
	conn, resp, err := dialer.DialContext(ctx, address.String(), nil)
	if resp != nil {
		defer resp.Body.Close()
	}
	if err != nil {
		if resp != nil {
			return refused(resp)
		}
		var u *url.Error // it repeats the address, with the key in it
		if errors.As(err, &u) {
			err = u.Err
		}
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	l.edge.join(l)
	defer l.edge.leave(l)
	connected()
	ended := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() { l.subscribe(conn, ended) })
	defer writing.Wait()
	defer close(ended)
	var reads atomic.Int64
	var silent atomic.Bool
	writing.Go(func() {
		if watch(&reads, ended) {
			silent.Store(true)
			_ = conn.Close()
		}
	})
	for {
		kind, frame, err := conn.ReadMessage()
		if err != nil {
			if silent.Load() {
				err = errSilent
			}
			return err
		}
		reads.Add(1)
		switch {
		case kind == websocket.TextMessage:
			l.edge.text(frame)
		case !wire.Heartbeat(frame):
			if err := l.edge.take(l, frame, time.Now()); err != nil {
				return err
			}
		}
	}
}

var errSilent = fmt.Errorf("it brought nothing for %s, not even a heartbeat", dead)

// watch waits until a connection is silent; false: it has ended before. A read's
// deadline would count a standstill of this process too, and end both connections
// at once with all that had come meanwhile.
func watch(reads *atomic.Int64, ended <-chan struct{}) bool {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	s := silence{lookedAt: time.Now()}
	for {
		select {
		case <-ended:
			return false
		case now := <-look.C:
			if s.look(now, reads.Load()) >= dead {
				return true
			}
		}
	}
}

// silence is how long a connection has brought nothing that could be read.
type silence struct {
	reads    int64
	lookedAt time.Time
	lasts    time.Duration
}

// look is given the messages so far. Between two looks counts what a look may be
// late: in a longer time nobody could read.
func (s *silence) look(now time.Time, reads int64) time.Duration {
	s.lasts += min(now.Sub(s.lookedAt), 2*lookEvery)
	s.lookedAt = now
	if reads != s.reads {
		s.reads, s.lasts = reads, 0
	}
	return s.lasts
}

// refused is what was answered instead of an upgrade, in the words of the gateway
// if it was one.
func refused(resp *http.Response) error {
	var answer struct {
		Message string `json:"message"`
	}
	if json.NewDecoder(io.LimitReader(resp.Body, 4<<10)).Decode(&answer) != nil || answer.Message == "" {
		return fmt.Errorf("it answered %d, not as the gateway of a kitestring: is --upstream the address that its server prints as gateway_addr?", resp.StatusCode)
	}
	return fmt.Errorf("the gateway answered %d: %s", resp.StatusCode, answer.Message)
}

// subscribe keeps the connection subscribed to what is wanted.
func (l *link) subscribe(conn *websocket.Conn, ended <-chan struct{}) {
	have := map[uint32]messages.Mode{}
	for {
		l.edge.mu.Lock()
		wants := l.edge.wants
		l.edge.mu.Unlock()
		for _, cmd := range commands(have, wants) {
			_ = conn.SetWriteDeadline(time.Now().Add(dead))
			if conn.WriteMessage(websocket.TextMessage, wire.AppendCommand(nil, cmd)) != nil {
				_ = conn.Close()
				return
			}
		}
		select {
		case <-ended:
			return
		case <-l.changed:
		}
	}
}

// commands brings a socket from what it has to what is wanted, and have with it.
func commands(have map[uint32]messages.Mode, wants []messages.Want) (out []wire.Command) {
	var gone []uint32
	modes := map[messages.Mode][]uint32{}
	wanted := make(map[uint32]bool, len(wants))
	for _, w := range wants {
		wanted[w.InstrumentToken] = true
		if have[w.InstrumentToken] != w.Mode {
			have[w.InstrumentToken] = w.Mode
			modes[w.Mode] = append(modes[w.Mode], w.InstrumentToken)
		}
	}
	for token := range have {
		if !wanted[token] {
			delete(have, token)
			gone = append(gone, token)
		}
	}
	if len(gone) > 0 {
		out = append(out, wire.Command{Action: wire.ActionUnsubscribe, InstrumentTokens: gone})
	}
	for _, mode := range []messages.Mode{messages.ModeFull, messages.ModeQuote, messages.ModeLTP} {
		for part := range slices.Chunk(modes[mode], 500) {
			out = append(out, wire.Command{Action: wire.ActionMode, Mode: mode, InstrumentTokens: part})
		}
	}
	return out
}
