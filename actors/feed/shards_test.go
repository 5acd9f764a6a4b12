package feed

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kitestring/actors/actorstest"
	"kitestring/messages"
)

// Two shards leave a slot free: each moves with both its sockets open.
func TestTwoShardsSwapWithoutAGap(t *testing.T) {
	tokens := instruments(8)
	r := adoptedRig(t, tokens, func(r *rig) { r.cfg.timeouts.shardMost = 4; r.venue.set(func(v *venue) { v.most = 3 }) })
	r.until("two sockets", func() bool { return len(r.venue.holders()) == 2 })
	stop := r.flow(2*time.Millisecond, tokens...)
	began := time.Now()
	r.offer(2, "B")
	r.adopt(2, "B")
	r.until("both on B", func() bool { return slices.Equal(r.venue.holders(), []string{"B", "B"}) })
	r.streaming(2)
	stop()
	r.caughtUp(tokens...)
	r.exact()
	r.until("the receipt", func() bool { x := r.state.Rotations()[0]; return x.Result == adopted && x.Shards == 2 })
	// The venue may take its time to forget what we have closed: at each of the
	// two moves we ask after 10, 40, 160 and 640 ms, and then once a second.
	if n, most := r.state.Stats().Connects["too_many"], 10+uint64(time.Since(began)/time.Second); n > most {
		t.Errorf("%d dials met three full slots, want %d at most", n, most)
	}
}

// Three shards fill the slots: one after the other closes and connects again,
// and what was missed is in the ledger.
func TestThreeShardsRoll(t *testing.T) {
	tokens := instruments(12)
	r := adoptedRig(t, tokens, func(r *rig) {
		r.cfg.timeouts.shardMost = 4
		r.venue.set(func(v *venue) { v.most = 3 })
	})
	r.until("three sockets", func() bool { return len(r.venue.holders()) == 3 })
	r.offer(2, "typo")
	r.reject(2)
	stop := r.flow(2*time.Millisecond, tokens...)
	r.offer(3, "B")
	r.adopt(3, "B")
	r.until("all on B", func() bool { return slices.Equal(r.venue.holders(), []string{"B", "B", "B"}) })
	r.streaming(3)
	stop()
	r.caughtUp(tokens...)
	_, repeated := r.sink.check()
	if repeated != 0 {
		t.Errorf("%d repeated", repeated)
	}
	x := r.state.Rotations()[0]
	r.until("the receipt", func() bool { x = r.state.Rotations()[0]; return x.Result == adopted && x.Shards == 3 })
	t.Logf("three full shards: %d ticks lost while each connected again, %.1f ms in all", *x.Lost, *x.TotalMS)
	if slices.Contains(r.venue.dials(), "typo") {
		t.Error("dialled an unproven token without a free slot")
	}
}

// An instrument keeps its shard; a shard without instruments closes.
func TestShardsAreStable(t *testing.T) {
	s := NewStore()
	want := func(tokens ...uint32) []int {
		w := messages.WantInstruments{Owner: "a"}
		for _, token := range tokens {
			w.Wants = append(w.Wants, messages.Want{InstrumentToken: token, Mode: messages.ModeFull})
		}
		changed, _ := s.want(w, MaxShards, 2)
		return changed
	}
	if got := want(1, 2, 3, 4, 5); !slices.Equal(got, []int{0, 1, 2}) {
		t.Fatalf("changed %v", got)
	}
	where := func() (out [MaxShards][]uint32) {
		for i := range out {
			for _, sub := range s.subscriptions(i) {
				out[i] = append(out[i], sub.token)
			}
		}
		return out
	}
	if got := where(); !slices.Equal(got[0], []uint32{1, 2}) || !slices.Equal(got[2], []uint32{5}) {
		t.Fatalf("%v", got)
	}
	if got := want(2, 3, 4, 5, 6); !slices.Equal(got, []int{0}) {
		t.Fatalf("changed %v", got)
	}
	if got := where(); !slices.Equal(got[0], []uint32{2, 6}) || !slices.Equal(got[1], []uint32{3, 4}) {
		t.Fatalf("%v", got)
	}
	if got := want(2, 6); !slices.Equal(got, []int{1, 2}) {
		t.Fatalf("changed %v", got)
	}
	// Beyond what Kite streams.
	_, refused := s.want(messages.WantInstruments{Owner: "b", Wants: []messages.Want{{InstrumentToken: 11}, {InstrumentToken: 12}, {InstrumentToken: 13}, {InstrumentToken: 14}, {InstrumentToken: 15}}}, MaxShards, 2)
	if len(refused) != 1 || refused[0].InstrumentToken != 15 {
		t.Errorf("%+v", refused)
	}
}

// openConn counts how many connections the feed holds at a time, dials
// included.
type openConn struct {
	net.Conn
	ended func()
}

func (c openConn) Close() error {
	c.ended()
	return c.Conn.Close()
}

// A server holds no more of Kite's sockets than its share: not in a swap, not
// when instruments need another socket meanwhile, not after a drop.
func TestAShareOfTheSockets(t *testing.T) {
	for _, c := range []struct{ share, instruments, shards int }{{1, 4, 1}, {2, 4, 1}, {2, 8, 2}, {3, 12, 3}} {
		t.Run(fmt.Sprint(c.share, " sockets, ", c.shards, " full"), func(t *testing.T) {
			tokens := instruments(c.instruments)
			var mu sync.Mutex
			var held, peak int
			r := adoptedRig(t, tokens[:4], func(r *rig) {
				r.cfg.timeouts.shardMost, r.cfg.Sockets = 4, c.share
				r.cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					mu.Lock()
					held++
					peak = max(peak, held)
					mu.Unlock()
					ended := sync.OnceFunc(func() { mu.Lock(); held--; mu.Unlock() })
					conn, err := new(net.Dialer).DialContext(ctx, network, address)
					if err != nil {
						ended()
						return nil, err
					}
					return openConn{conn, ended}, nil
				}
			})
			stop := r.flow(2*time.Millisecond, tokens...)
			defer stop()
			r.offer(2, "B")
			r.want(messages.ModeFull, tokens...) // a socket more may be needed in the middle of the swap
			r.adopt(2, "B")
			r.until("all on B", func() bool { return slices.Equal(r.venue.holders(), slices.Repeat([]string{"B"}, c.shards)) })
			r.streaming(2)
			r.venue.drop()
			r.offer(3, "C")
			r.adopt(3, "C")
			r.until("all on C", func() bool { return slices.Equal(r.venue.holders(), slices.Repeat([]string{"C"}, c.shards)) })
			r.streaming(3)
			mu.Lock()
			defer mu.Unlock()
			if peak > c.share {
				t.Errorf("%d sockets at a time, the share is %d", peak, c.share)
			}
		})
	}
}

func TestAShareRefusesWhatItCannotCarry(t *testing.T) {
	s := NewStore()
	w := messages.WantInstruments{Owner: "a"}
	for _, token := range instruments(5) {
		w.Wants = append(w.Wants, messages.Want{InstrumentToken: token, Mode: messages.ModeFull})
	}
	_, refused := s.want(w, 2, 2)
	if len(refused) != 1 || !strings.Contains(refused[0].Reason, "2 of Kite's 3 sockets, which carry 4 instruments") {
		t.Errorf("%+v", refused)
	}
}

// The gateway learns what its clients want and Kite does not stream, and when
// all of it is streamed again; a receipt counts its sockets.
func TestTheGatewayLearnsOfRefusals(t *testing.T) {
	tokens := instruments(5)
	r := adoptedRig(t, tokens[:2], func(r *rig) {
		r.cfg.timeouts.shardMost = 1
		r.cfg.Gateway, r.cfg.Clients = barsPID, func() int { return 7 }
	})
	r.want(messages.ModeFull, tokens...)
	m := actorstest.Await(r.actor, func(m messages.InstrumentsRefused) bool { return len(m.Reasons) == 2 })
	if why := m.Reasons[tokens[4]]; !strings.Contains(why, "at most 3 instruments") {
		t.Errorf("%+v", m)
	}
	r.want(messages.ModeFull, tokens[:3]...)
	newest := func() (m messages.InstrumentsRefused, n int) {
		for _, s := range r.actor.Sent() {
			if got, ok := s.Msg.(messages.InstrumentsRefused); ok {
				m = got
				n++
			}
		}
		return m, n
	}
	r.until("all of it is streamed", func() bool { m, _ := newest(); return len(m.Reasons) == 0 })
	r.until("the receipt", func() bool {
		x := r.state.Rotations()
		return len(x) == 1 && x[0].Clients != nil && *x[0].Clients == 7
	})
	r.cfg.Wanted = func() []messages.WantInstruments {
		return []messages.WantInstruments{{Owner: "test", Wants: []messages.Want{{InstrumentToken: tokens[0], Mode: messages.ModeFull}}}}
	}
	r.actor.Stop()
	r.start() // it does not know what the last one has sent to the gateway
	r.until("it is sent again", func() bool { m, n := newest(); return n == 1 && len(m.Reasons) == 0 })
}

// An instrument token that means two contracts is refused for the later one.
func TestRecycledInstrument(t *testing.T) {
	s := NewStore()
	want := func(owner, symbol string) []Refusal {
		_, refused := s.want(messages.WantInstruments{Owner: owner, Wants: []messages.Want{{InstrumentToken: 258, Mode: messages.ModeQuote, Tradingsymbol: symbol}}}, MaxShards, 3000)
		return refused
	}
	if refused := want("a", "NIFTY26JANFUT"); refused != nil {
		t.Fatalf("%+v", refused)
	}
	refused := want("b", "NIFTY25DECFUT")
	if len(refused) != 1 || refused[0].Owner != "b" || refused[0].Tradingsymbol != "NIFTY25DECFUT" {
		t.Fatalf("%+v", refused)
	}
	if got := s.Stats().Refused; len(got) != 1 {
		t.Errorf("%+v", got)
	}
	// The same owner's list of a new day: another contract, nothing of the old one stays.
	slot := &s.tables[0].slots[s.tables[0].index.find(258)]
	slot.length = 44
	want("b", "")
	want("a", "NIFTY26FEBFUT")
	if slot := &s.tables[0].slots[s.tables[0].index.find(258)]; slot.length != 0 {
		t.Error("the last packet of another contract stayed")
	}
}

func TestIndex(t *testing.T) {
	var x index
	want := map[uint32]int{}
	for i := range 3000 {
		token := uint32(i*i) << 4
		x.set(token, i)
		want[token] = i
	}
	for i := 0; i < 3000; i += 3 {
		token := uint32(i*i) << 4
		x.remove(token)
		delete(want, token)
	}
	x.remove(1)
	for i := range 3000 {
		token := uint32(i*i) << 4
		slot, ok := want[token]
		if !ok {
			slot = -1
		}
		if got := x.find(token); got != slot {
			t.Fatalf("%d: %d, want %d", token, got, slot)
		}
	}
	if x.n != len(want) {
		t.Errorf("%d, want %d", x.n, len(want))
	}
}
