package feed

import (
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/gorilla/websocket"

	"kitestring/actors/actorstest"
	"kitestring/actors/kite"
	"kitestring/actors/merger"
	"kitestring/messages"
	"kitestring/messages/wire"
)

// venue is a small exchange: Kite's side of the socket as far as the feed can
// see it, with the faults that these tests need. LastQuantity counts the
// ticks of each instrument.
type venue struct {
	t      testing.TB
	server *httptest.Server

	mu       sync.Mutex
	sockets  map[*venueSocket]bool
	seq      map[uint32]uint32
	now      uint32 // exchange time
	traded   map[uint32]uint32
	answer   func(token string) int
	most     int           // sockets at once; 0: any number
	forgets  time.Duration // from a socket's close until it is ended and counts no more
	mute     bool          // new sockets bring nothing at all
	noTicks  bool          // subscriptions bring nothing
	delay    time.Duration // of everything that is sent
	late     string        // a token whose sockets get everything lateBy later still
	lateBy   time.Duration
	upgrades []string     // tokens, in order
	quiet    bool         // no heartbeats
	beat     venueMessage // the heartbeat

	hijacked sync.WaitGroup // what the server does not wait for
}

type venueSocket struct {
	token string
	conn  *websocket.Conn
	subs  map[uint32]messages.Mode
	out   chan venueMessage
	done  chan struct{}
	mute  bool
}

type venueMessage struct {
	kind int
	data []byte
	at   time.Time
}

// rawBytes is the kind of a message that is written as it is.
const rawBytes = -1

func newVenue(t testing.TB) *venue {
	v := &venue{t: t, sockets: map[*venueSocket]bool{}, seq: map[uint32]uint32{}, traded: map[uint32]uint32{}, now: uint32(aDay.Unix()), answer: func(string) int { return 0 }}
	v.beat = venueMessage{kind: websocket.BinaryMessage, data: wire.HeartbeatFrame()}
	v.server = httptest.NewServer(http.HandlerFunc(v.serve))
	stop := make(chan struct{})
	var beats sync.WaitGroup
	beats.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				v.mu.Lock()
				if !v.quiet {
					for s := range v.sockets {
						v.send(s, v.beat.kind, v.beat.data)
					}
				}
				v.mu.Unlock()
			}
		}
	})
	t.Cleanup(func() {
		close(stop)
		beats.Wait()
		v.drop()
		v.server.Close()
		v.hijacked.Wait()
	})
	return v
}

func (v *venue) url() string { return "ws" + strings.TrimPrefix(v.server.URL, "http") }

func (v *venue) serve(w http.ResponseWriter, r *http.Request) {
	v.hijacked.Add(1)
	defer v.hijacked.Done()
	token := r.URL.Query().Get("access_token")
	v.mu.Lock()
	v.upgrades = append(v.upgrades, token)
	status := v.answer(token)
	if status == 0 && v.most > 0 && len(v.sockets) >= v.most {
		status = http.StatusTooManyRequests
	}
	v.mu.Unlock()
	if status != 0 {
		http.Error(w, "Authentication failed", status)
		return
	}
	upgrader := websocket.Upgrader{WriteBufferSize: 64 << 10}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	v.mu.Lock()
	s := &venueSocket{token: token, conn: conn, subs: map[uint32]messages.Mode{}, out: make(chan venueMessage, 1<<12), done: make(chan struct{}), mute: v.mute}
	v.sockets[s] = true
	v.mu.Unlock()
	conn.SetPingHandler(func(data string) error {
		v.mu.Lock()
		mute := s.mute
		v.mu.Unlock()
		if mute {
			return nil
		}
		return conn.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
	})
	v.hijacked.Go(s.write)
	defer func() {
		v.mu.Lock()
		forgets := v.forgets
		v.mu.Unlock()
		<-time.After(forgets)
		v.mu.Lock()
		delete(v.sockets, s)
		v.mu.Unlock()
		close(s.done)
		_ = conn.Close()
	}()
	for {
		_, text, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if c, err := wire.ParseCommand(text); err == nil {
			v.command(s, c)
		}
	}
}

func (s *venueSocket) write() {
	for {
		select {
		case <-s.done:
			return
		case m := <-s.out:
			if wait := time.Until(m.at); wait > 0 {
				select {
				case <-time.After(wait):
				case <-s.done:
					return
				}
			}
			var err error
			switch m.kind {
			case websocket.PingMessage, websocket.PongMessage:
				err = s.conn.WriteControl(m.kind, m.data, time.Now().Add(time.Second))
			case rawBytes:
				_, err = s.conn.NetConn().Write(m.data)
			default:
				err = s.conn.WriteMessage(m.kind, m.data)
			}
			if err != nil {
				return
			}
		}
	}
}

// room reports whether every socket can be sent to: on a busy machine a flow
// waits rather than fills a queue.
func (v *venue) room() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for s := range v.sockets {
		if len(s.out) > cap(s.out)/2 {
			return false
		}
	}
	return true
}

// send queues a message; mu is held.
func (v *venue) send(s *venueSocket, kind int, data []byte) {
	if s.mute {
		return
	}
	at := time.Now().Add(v.delay)
	if s.token == v.late {
		at = at.Add(v.lateBy)
	}
	select {
	case s.out <- venueMessage{kind, data, at}:
	default:
		v.t.Error("the venue's queue is full")
	}
}

func (v *venue) command(s *venueSocket, c wire.Command) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var packets [][]byte
	for _, token := range c.InstrumentTokens {
		switch c.Action {
		case wire.ActionSubscribe:
			s.subs[token] = messages.ModeQuote
		case wire.ActionMode:
			s.subs[token] = c.Mode
		case wire.ActionUnsubscribe:
			delete(s.subs, token)
			continue
		}
		if v.seq[token] > 0 && !v.noTicks {
			packets = append(packets, v.packet(token, s.subs[token]))
		}
	}
	if len(packets) > 0 {
		v.send(s, websocket.BinaryMessage, wire.AppendFrame(nil, packets...))
	}
}

// packet is the instrument's last tick.
func (v *venue) packet(token uint32, mode messages.Mode) []byte {
	n := v.seq[token]
	return wire.AppendPacket(nil, &wire.Packet{Tick: messages.Tick{
		InstrumentToken: token, LastPrice: int32(10000 + n%100), LastQuantity: n, Volume: 10 * n,
		ExchangeTime: v.traded[token], LastTradeTime: v.traded[token], OI: 5,
	}}, mode)
}

// tick trades each instrument once, one frame for all.
func (v *venue) tick(tokens ...uint32) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, token := range tokens {
		v.trade(token, 1)
	}
	if v.noTicks {
		return
	}
	for s := range v.sockets {
		var packets [][]byte
		for _, token := range tokens {
			if mode, ok := s.subs[token]; ok {
				packets = append(packets, v.packet(token, mode))
			}
		}
		if len(packets) > 0 {
			v.send(s, websocket.BinaryMessage, wire.AppendFrame(nil, packets...))
		}
	}
}

// trade is n ticks that no socket brings; mu is held.
func (v *venue) trade(token, n uint32) {
	v.seq[token] += n
	v.traded[token] = v.now
}

// all sends the same message on every socket.
func (v *venue) all(kind int, data []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for s := range v.sockets {
		v.send(s, kind, data)
	}
}

// drop cuts every socket without a word; those of the given tokens, if any.
func (v *venue) drop(tokens ...string) {
	v.set(func(v *venue) { v.cut(tokens...) })
}

// cut is drop; mu is held. What was cut is no socket from now on, however long
// its reader takes to find out.
func (v *venue) cut(tokens ...string) {
	for s := range v.sockets {
		if len(tokens) == 0 || slices.Contains(tokens, s.token) {
			_ = s.conn.NetConn().Close()
			delete(v.sockets, s)
		}
	}
}

func (v *venue) set(change func(v *venue)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change(v)
}

// holders are the tokens of the open sockets, sorted.
func (v *venue) holders() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []string
	for s := range v.sockets {
		out = append(out, s.token)
	}
	slices.Sort(out)
	return out
}

func (v *venue) dials() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.upgrades)
}

// subscribed counts the instruments that every socket of a token is
// subscribed to in a mode.
func (v *venue) subscribed(token string, mode messages.Mode) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := 0
	for s := range v.sockets {
		if s.token == token {
			for _, m := range s.subs {
				if m == mode {
					n++
				}
			}
		}
	}
	return n
}

// venueClock stands at the beginning of the venue's day.
type venueClock struct{}

func (venueClock) Now() time.Time { return aDay }

// recorder is a subscriber that keeps the sequence of each instrument.
type recorder struct {
	mu          sync.Mutex
	seen        map[uint32][]uint32 // LastQuantity
	modes       map[uint32]messages.Mode
	generations []messages.Generation
	newest      messages.Generation
	changed     chan struct{}
	fault       string

	last        map[uint32]messages.Tick
	older, same int // ticks that are certainly older than the one before them, or equal it
}

func newRecorder() *recorder {
	return &recorder{seen: map[uint32][]uint32{}, last: map[uint32]messages.Tick{}, modes: map[uint32]messages.Mode{}, changed: make(chan struct{})}
}

func (r *recorder) Push(b *messages.Ticks) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range b.Ticks {
		t := &b.Ticks[i]
		if more := r.modes[t.InstrumentToken] < t.Mode; more && len(r.seen[t.InstrumentToken]) > 0 {
			// The same tick once more, with what the higher mode adds to it.
			seen := r.seen[t.InstrumentToken]
			if seen[len(seen)-1] == t.LastQuantity {
				r.seen[t.InstrumentToken] = seen[:len(seen)-1]
			}
		}
		now := *t
		now.Offset = 0
		if last, has := r.last[t.InstrumentToken]; has {
			if merger.MomentOf(&now).Before(merger.MomentOf(&last)) {
				r.older++
			}
			if now == last {
				r.same++
			}
		}
		r.last[t.InstrumentToken] = now
		r.modes[t.InstrumentToken] = t.Mode
		r.seen[t.InstrumentToken] = append(r.seen[t.InstrumentToken], t.LastQuantity)
		if p := wire.PacketOf(b.Raw, t); len(p) != int(t.Length) {
			r.fault = "a tick's packet is not in the batch"
		}
	}
	r.generations = append(r.generations, b.Generation)
	r.newest = max(r.newest, b.Generation)
	close(r.changed)
	r.changed = make(chan struct{})
	return false
}

func (r *recorder) count(token uint32) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen[token])
}

func (r *recorder) batches() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.generations)
}

// check counts what was lost and what was repeated, from the first tick on.
func (r *recorder) check() (lost, repeated int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, seen := range r.seen {
		for i := 1; i < len(seen); i++ {
			switch step := int(seen[i]) - int(seen[i-1]); {
			case step > 1:
				lost += step - 1
			case step < 1:
				repeated++
			}
		}
	}
	return lost, repeated
}

var (
	authPID = actor.NewPID(actor.LocalLookupAddr, "auth/main")
	webPID  = actor.NewPID(actor.LocalLookupAddr, "web/main")
	barsPID = actor.NewPID(actor.LocalLookupAddr, "bars/main")
)

// rig is a feed against a venue.
type rig struct {
	t      testing.TB
	venue  *venue
	tokens *actorstest.Tokens
	state  *Store
	sink   *recorder
	actor  *actorstest.Harness
	cfg    Config
}

// patientTimeouts are the product's, but for those that a machine which stands
// still for seconds would reach: what they cut is tested with timeouts of its own.
func patientTimeouts() timeouts {
	l := defaultTimeouts()
	l.dial, l.dead, l.noData, l.firstFrame, l.overlap = time.Minute, time.Minute, time.Minute, time.Minute, time.Minute
	return l
}

func newRig(t testing.TB, adjust ...func(*rig)) *rig {
	r := &rig{t: t, venue: newVenue(t), tokens: actorstest.NewTokens(), state: NewStore(), sink: newRecorder()}
	l := patientTimeouts()
	r.cfg = Config{
		Exchange: kite.Exchange{WSURL: r.venue.url()}, Tokens: r.tokens, Clock: venueClock{}, State: r.state,
		Sequenced: true, Auth: authPID, Web: webPID, Gaps: []*actor.PID{barsPID}, timeouts: &l,
	}
	r.state.Attach("recorder", r.sink)
	for _, f := range adjust {
		f(r)
	}
	r.start()
	return r
}

// overTLS has the feed reach its venue over TLS, and counts the connections that
// resume a session.
func overTLS(resumed *atomic.Int64) func(*rig) {
	return func(r *rig) {
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.TLS.DidResume {
				resumed.Add(1)
			}
			r.venue.serve(w, req)
		}))
		r.t.Cleanup(server.Close)
		r.cfg.Exchange.WSURL = "wss" + strings.TrimPrefix(server.URL, "https")
		r.cfg.roots = x509.NewCertPool()
		r.cfg.roots.AddCert(server.Certificate())
	}
}

func (r *rig) start() { r.actor = actorstest.Start(r.t, Name, New(r.cfg)) }

func session(g messages.Generation, token string) messages.Session {
	return messages.Session{Generation: g, APIKey: "key", Token: messages.NewAccessToken(token)}
}

// offer makes a token the candidate.
func (r *rig) offer(g messages.Generation, token string) {
	r.actor.Tell(r.tokens.Write(session(g, token), messages.ChangeByEvent))
}

// adopt makes a token the adopted one, as auth does.
func (r *rig) adopt(g messages.Generation, token string) {
	if r.tokens.Current().Candidate.Generation != g {
		r.tokens.Write(session(g, token), messages.ChangeByEvent)
	}
	r.tokens.Adopt(g)
	r.actor.Tell(messages.TokenVerdict{Generation: g, Verdict: messages.VerdictValid, At: time.Now()})
	r.actor.Tell(messages.TokenAdopted{Session: session(g, token), Proof: messages.ProofProfile, At: time.Now()})
}

func (r *rig) reject(g messages.Generation) {
	r.tokens.Reject(g, "Kite refused it")
	r.actor.Tell(messages.TokenVerdict{Generation: g, Verdict: messages.VerdictRejected, Reason: "Kite refused it", At: time.Now()})
}

func (r *rig) want(mode messages.Mode, tokens ...uint32) {
	w := messages.WantInstruments{Owner: "test"}
	for _, token := range tokens {
		w.Wants = append(w.Wants, messages.Want{InstrumentToken: token, Mode: mode})
	}
	r.actor.Tell(w)
}

func (r *rig) until(what string, holds func() bool) {
	r.t.Helper()
	actorstest.Until(r.t, what, holds)
}

func (r *rig) streaming(g messages.Generation) {
	r.t.Helper()
	r.until("streaming", func() bool {
		s := r.state.Stats()
		return s.State == messages.Streaming && s.Generation == g
	})
}

// flow ticks instruments at a steady pace until stop is called.
func (r *rig) flow(every time.Duration, tokens ...uint32) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if r.venue.room() {
					r.venue.tick(tokens...)
				}
			}
		}
	})
	var once sync.Once
	stop = func() { once.Do(func() { close(done); wg.Wait() }) }
	r.t.Cleanup(stop)
	return stop
}

// caughtUp waits until the subscriber has everything that was sent.
func (r *rig) caughtUp(tokens ...uint32) {
	r.t.Helper()
	r.until("everything that was sent", func() bool {
		for _, token := range tokens {
			r.venue.mu.Lock()
			sent := r.venue.seq[token]
			r.venue.mu.Unlock()
			r.sink.mu.Lock()
			seen := r.sink.seen[token]
			r.sink.mu.Unlock()
			if len(seen) == 0 || seen[len(seen)-1] != sent {
				return false
			}
		}
		return true
	})
}

func (r *rig) exact() {
	r.t.Helper()
	if r.sink.fault != "" {
		r.t.Error(r.sink.fault)
	}
	if lost, repeated := r.sink.check(); lost != 0 || repeated != 0 {
		r.t.Errorf("%d lost, %d repeated", lost, repeated)
	}
}

func instruments(n int) []uint32 {
	out := make([]uint32, n)
	for i := range out {
		out[i] = uint32(i+1)<<8 | uint32(messages.NFO)
	}
	return out
}
