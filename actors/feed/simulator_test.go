package feed

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kitestring/actors/actorstest"
	"kitestring/actors/kite"
	"kitestring/actors/merger"
	"kitestring/actors/simulator"
	"kitestring/messages"
	"kitestring/messages/ist"
)

// simRig is a feed against the product's own simulator, 1000 ticks/s.
type simRig struct {
	exchange *simulator.Exchange
	r        *rig
	tokens   []uint32
	g        messages.Generation
}

func newSimRig(t *testing.T, cfg simulator.Config) *simRig {
	t.Helper()
	cfg.Rate, cfg.Sequence = 1000, true
	cfg.Start = time.Date(2026, 11, 18, 10, 0, 0, 0, ist.Zone) // a Wednesday
	exchange, err := simulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(exchange.Handler())
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = exchange.Run(ctx) })
	s := &simRig{exchange: exchange}
	t.Cleanup(func() {
		stop()
		running.Wait()
		exchange.CloseSockets()
		server.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	l := patientTimeouts()
	l.redialBase = 50 * time.Millisecond
	l.overlap = time.Hour // a swap ends when every instrument has moved, or not at all
	s.r = &rig{t: t, tokens: actorstest.NewTokens(), state: NewStore(), sink: newRecorder()}
	s.r.cfg = Config{
		Exchange: kite.Exchange{
			APIURL: server.URL, WSURL: "ws" + strings.TrimPrefix(server.URL, "http"),
			Budget: kite.NewBudget(), Transport: http.DefaultTransport,
		},
		Tokens: s.r.tokens, Clock: exchange.Clock(), State: s.r.state, Sequenced: true, Auth: authPID, Web: webPID, timeouts: &l,
	}
	s.r.state.Attach("recorder", s.r.sink)
	s.r.start()
	actorstest.Await[messages.FeedChanged](s.r.actor, nil) // it has looked for a token of before
	for _, i := range exchange.Instruments() {
		if messages.SegmentOf(i.Token) != messages.Indices && len(s.tokens) < 300 {
			s.tokens = append(s.tokens, i.Token)
		}
	}
	s.r.want(messages.ModeFull, s.tokens...)
	s.rotate(t)
	s.r.until("ticks", func() bool { return s.r.state.Stats().Ticks > 1000 })
	return s
}

// rotate logs in again and waits until the feed has moved.
func (s *simRig) rotate(t *testing.T) {
	t.Helper()
	token, err := s.exchange.Rotate()
	if err != nil {
		t.Fatal(err)
	}
	s.g++
	session := messages.Session{Generation: s.g, APIKey: s.exchange.APIKey(), Token: token}
	s.r.actor.Tell(s.r.tokens.Write(session, messages.ChangeByEvent))
	s.r.until("the move", func() bool {
		x := s.r.state.Rotations()
		return len(x) > 0 && x[0].Generation == s.g && x[0].Result == adopted
	})
	s.r.tokens.Adopt(s.g)
	s.r.actor.Tell(messages.TokenAdopted{Session: session, At: time.Now()})
}

func TestSimulatorSwaps(t *testing.T) {
	s := newSimRig(t, simulator.Config{Instruments: 300, OldSockets: simulator.OldSocketsLive})
	for range 20 {
		seen := s.r.state.Stats().Ticks
		s.r.until("ticks", func() bool { return s.r.state.Stats().Ticks > seen+50 })
		s.rotate(t)
	}
	s.r.exact()
	stats := s.r.state.Stats()
	if stats.Lost != 0 || stats.Repeated != 0 || stats.Sockets != 1 || stats.Generation != s.g {
		t.Errorf("%d lost, %d repeated, %d sockets, generation %d", stats.Lost, stats.Repeated, stats.Sockets, stats.Generation)
	}
	var slowest float64
	for _, x := range s.r.state.Rotations() {
		slowest = max(slowest, *x.TotalMS)
	}
	t.Logf("20 swaps, %d ticks, %d overlapped, slowest %.1f ms", stats.Ticks, stats.Overlapped, slowest)
}

// Each socket samples at its own moments: a packet that both bring is rare. The
// newer socket leads all the same, nothing goes back, and nobody is alarmed.
func TestSimulatorSwapsWithIndependentSampling(t *testing.T) {
	t.Parallel()
	s := newSimRig(t, simulator.Config{Instruments: 300, OldSockets: simulator.OldSocketsLive, Sampling: simulator.SamplingIndependent})
	const swaps = 25 // the drill rotate-sampled makes a hundred
	for range swaps {
		seen := s.r.state.Stats().Ticks
		s.r.until("ticks", func() bool { return s.r.state.Stats().Ticks > seen+50 })
		s.rotate(t)
	}
	// Kite's packets have no sequence: what is older is known by time, volume and
	// trade. Of packets of the same age the simulator's sequence may go back.
	_, back := s.r.sink.check()
	if s.r.sink.older != 0 || s.r.sink.same != 0 || s.r.sink.fault != "" {
		t.Errorf("%d ticks came after newer ones, %d came again; %s", s.r.sink.older, s.r.sink.same, s.r.sink.fault)
	}
	for _, g := range s.r.state.Gaps() {
		t.Errorf("a gap where none was: %+v", g)
	}
	var took []float64
	var sum merger.Joins
	for _, x := range s.r.state.Rotations()[:swaps-1] {
		took = append(took, *x.TotalMS)
		sum.Add(merger.Joins{Matched: uint64(x.Matched), Ordered: uint64(x.Ordered), Unmatched: uint64(x.Unmatched)})
		if x.Matched+x.Ordered+x.Unmatched != int64(len(s.tokens)) {
			t.Errorf("%d instruments: %d matched, %d ordered, %d unmatched", len(s.tokens), x.Matched, x.Ordered, x.Unmatched)
		}
	}
	slices.Sort(took)
	median := took[len(took)/2]
	if median > 100 && !actorstest.Race {
		t.Errorf("the median swap took %.1f ms", median)
	}
	t.Logf("%d swaps: median %.1f ms, slowest %.1f ms; %+v; %d of the same age in another order", swaps, median, took[len(took)-1], sum, back)
}

// The morning's login next to a socket that slept through the rest of
// yesterday: nothing ticks, and what the exchange tells about each instrument
// has never come on the older one.
func TestSimulatorSwapsBeforeTheOpen(t *testing.T) {
	t.Parallel()
	s := newSimRig(t, simulator.Config{Instruments: 300, OldSockets: simulator.OldSocketsLive})
	set := func(hour, minute int) {
		if err := s.exchange.SetClock(time.Date(2026, 11, 19, hour, minute, 0, 0, ist.Zone)); err != nil {
			t.Fatal(err)
		}
	}
	set(8, 45)
	s.rotate(t)
	s.rotate(t)
	set(9, 15)
	seen := s.r.state.Stats().Ticks
	s.r.until("ticks of today", func() bool { return s.r.state.Stats().Ticks > seen+500 })
	if stats := s.r.state.Stats(); stats.Lost != 0 || stats.Sockets != 1 {
		t.Errorf("%d lost, %d sockets", stats.Lost, stats.Sockets)
	}
}

// Kite's other behaviour: a login cuts the sockets of the older token.
func TestSimulatorCutsOldSockets(t *testing.T) {
	t.Parallel()
	s := newSimRig(t, simulator.Config{Instruments: 300, OldSockets: simulator.OldSocketsCut})
	s.rotate(t)
	seen := s.r.state.Stats().Ticks
	s.r.until("ticks", func() bool { return s.r.state.Stats().Ticks > seen+500 })
	stats := s.r.state.Stats()
	if stats.Repeated != 0 {
		t.Errorf("%d repeated", stats.Repeated)
	}
	s.r.until("the ledger", func() bool { return len(s.r.state.Gaps()) > 0 || stats.Lost == 0 })
	t.Logf("%d lost while the old socket was cut and the new one not yet there", stats.Lost)
}

func TestSimulatorFaults(t *testing.T) {
	t.Parallel()
	s := newSimRig(t, simulator.Config{Instruments: 300})
	inject := func(f simulator.Fault) {
		t.Helper()
		if err := s.exchange.InjectFault(f); err != nil {
			t.Fatal(err)
		}
	}
	flows := func(what string) {
		t.Helper()
		seen := s.r.state.Stats().Ticks
		s.r.until("ticks after "+what, func() bool { return s.r.state.Stats().Ticks > seen+200 })
	}
	inject(simulator.Fault{Kind: simulator.FaultDuplicateSnapshot})
	flows("a duplicate snapshot")
	s.r.exact()
	for _, variant := range simulator.MalformedVariants() {
		inject(simulator.Fault{Kind: simulator.FaultMalformed, Variant: variant})
		flows("malformed " + variant)
	}
	for _, variant := range []string{"tcp", "reset", "mid_frame", "close_frame"} {
		inject(simulator.Fault{Kind: simulator.FaultDrop, Variant: variant})
		flows("drop " + variant)
	}
	if stats := s.r.state.Stats(); stats.Repeated != 0 {
		t.Errorf("%d repeated", stats.Repeated)
	}
	inject(simulator.Fault{Kind: simulator.FaultForbidden, Count: 1})
	inject(simulator.Fault{Kind: simulator.FaultDrop})
	actorstest.Await(s.r.actor, func(m messages.TokenDoubted) bool { return m.Generation == s.g })
	s.rotate(t)
	flows("a new token after a 403")
	t.Logf("malformed %v, disconnects %v", s.r.state.Stats().Malformed, s.r.state.Stats().Disconnects)
}

// Order updates that came while no socket was open are found in the order
// book; those that came on the socket are not news again.
func TestSimulatorOrdersAreReconciled(t *testing.T) {
	t.Parallel()
	s := newSimRig(t, simulator.Config{Instruments: 300})
	inject := func(f simulator.Fault) {
		t.Helper()
		if err := s.exchange.InjectFault(f); err != nil {
			t.Fatal(err)
		}
	}
	order := func(id, status string) simulator.Fault {
		return simulator.Fault{Kind: simulator.FaultOrderUpdate, Order: map[string]any{"order_id": id, "status": status, "quantity": 5}}
	}
	s.r.until("the first look at the order book", func() bool {
		s.r.state.orders.mu.Lock()
		defer s.r.state.orders.mu.Unlock()
		return s.r.state.orders.started
	})
	inject(order("1", "OPEN"))
	actorstest.Await(s.r.actor, func(m messages.OrderUpdated) bool { return m.OrderID == "1" && m.Status == "OPEN" })
	inject(simulator.Fault{Kind: simulator.FaultServerError})
	inject(simulator.Fault{Kind: simulator.FaultDrop})
	s.r.until("no socket", func() bool { return s.r.state.Stats().State == messages.Backoff })
	inject(order("1", "COMPLETE"))
	inject(order("2", "REJECTED"))
	s.exchange.ClearFaults()
	for id, status := range map[string]string{"1": "COMPLETE", "2": "REJECTED"} {
		actorstest.Await(s.r.actor, func(m messages.OrderUpdated) bool { return m.OrderID == id && m.Status == status })
	}
	updates := 0
	for _, sent := range s.r.actor.Sent() {
		if _, ok := sent.Msg.(messages.OrderUpdated); ok {
			updates++
		}
	}
	if updates != 3 {
		t.Errorf("%d order updates, want 3", updates)
	}
}
