package feed

import (
	"net"
	"testing"
	"time"

	"kitestring/actors/actorstest"
	"kitestring/messages"
)

func TestStaleness(t *testing.T) {
	begin := time.Unix(1_700_000_000, 0)
	at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
	var s staleness
	var got []remedy
	var when []int
	lastTick := time.Time{}
	for i := range 40 {
		if i == 2 {
			lastTick = at(2)
		}
		var r remedy
		if s, r = s.next(at(i), lastTick, true, true, 5*time.Second); r != nothing {
			got, when = append(got, r), append(when, i)
		}
		if i == 11 && !s.stale {
			t.Error("not stale while no tick comes")
		}
	}
	if len(got) < 3 || got[0] != subscribeAgain || got[1] != connectAgain || got[2] != subscribeAgain {
		t.Fatalf("%v at %v", got, when)
	}
	if when[0] < 7 || when[0] > 9 || when[1]-when[0] > 6 || when[2]-when[1] < 9 {
		t.Errorf("%v at %v", got, when)
	}
	if s, r := s.next(at(40), lastTick, true, false, 5*time.Second); !s.stale || r != nothing {
		t.Error("forgets while it connects")
	}
	if s, _ = s.next(at(41), at(41), true, true, 5*time.Second); s.stale {
		t.Error("stale although ticks come again")
	}
	if s, r := s.next(at(500), at(41), false, true, 5*time.Second); s.stale || r != nothing {
		t.Error("a closed market is no reason to do anything")
	}
}

// A machine that stands still reads no ticks; that is not the exchange's silence.
func TestAStandstillIsNotStale(t *testing.T) {
	begin := time.Unix(1_700_000_000, 0)
	var s staleness
	look := func(second int) (r remedy) {
		s, r = s.next(begin.Add(time.Duration(second)*time.Second), begin, true, true, 5*time.Second)
		return r
	}
	for _, second := range []int{1, 2, 3, 63, 64} { // nobody looks for a minute
		if r := look(second); r != nothing {
			t.Fatalf("remedy %d at %d s", r, second)
		}
	}
	if r := look(65); r != subscribeAgain {
		t.Errorf("remedy %d after 5 s of silence that were looked at", r)
	}
}

// Heartbeats without ticks in an open market: subscribed again, and when that
// does not help connected again; in a closed one nothing happens.
func TestHeartbeatsOnly(t *testing.T) {
	t.Parallel()
	tokens := instruments(2)
	r := adoptedRig(t, tokens, func(r *rig) { r.cfg.timeouts.stale = time.Second })
	r.venue.set(func(v *venue) { v.noTicks = true })
	r.actor.Tell(messages.PhaseChanged{Phase: messages.Open, TradingDay: true})
	changed := actorstest.Await(r.actor, func(m messages.FeedChanged) bool { return m.Stale })
	if changed.Reason == "" {
		t.Errorf("%+v", changed)
	}
	r.until("a new connection", func() bool { return len(r.venue.dials()) >= 2 })
	r.venue.set(func(v *venue) { v.noTicks = false })
	r.streaming(1)
	r.venue.tick(tokens...)
	r.caughtUp(tokens...)
	r.venue.tick(tokens...)
	actorstest.Await(r.actor, func(m messages.FeedChanged) bool { return !m.Stale && m.At.After(changed.At) })
}

// openMarket is what the market's store says in the middle of a trading day.
type openMarket struct{}

func (openMarket) Phase() (messages.PhaseChanged, bool) {
	return messages.PhaseChanged{Phase: messages.Open, TradingDay: true}, true
}

// A restarted feed watches for ticks at once: the next change of the phase may
// be hours away.
func TestRestartedFeedKnowsThePhase(t *testing.T) {
	t.Parallel()
	tokens := instruments(2)
	r := adoptedRig(t, tokens, func(r *rig) {
		r.cfg.timeouts.stale = time.Second
		r.cfg.Market = openMarket{}
	})
	r.venue.set(func(v *venue) { v.noTicks = true })
	r.actor.Stop()
	r.start()
	actorstest.Await(r.actor, func(m messages.FeedChanged) bool { return m.Stale })
}

// A feed that starts subscribes to what its owners want by now, whatever it was
// sent before.
func TestAFeedThatStartsAsksWhatIsWanted(t *testing.T) {
	t.Parallel()
	tokens := instruments(3)
	r := adoptedRig(t, tokens[:1])
	r.actor.Stop()
	r.cfg.Wanted = func() []messages.WantInstruments {
		w := messages.WantInstruments{Owner: "test"}
		for _, token := range tokens[1:] {
			w.Wants = append(w.Wants, messages.Want{InstrumentToken: token, Mode: messages.ModeFull})
		}
		return []messages.WantInstruments{w}
	}
	r.venue.tick(tokens...)
	r.start()
	r.until("both are subscribed, and they alone", func() bool { return r.venue.subscribed("A", messages.ModeFull) == 2 })
	r.caughtUp(tokens[1:]...)
}

// A socket whose reader has no processor time is not drained: what the kernel holds
// for it comes before a newer socket may lead.
func TestDrained(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	s := &stream{}
	socket, err := in.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	s.socket.Store(&socket)
	if s.drained() {
		t.Error("drained while its reader is busy")
	}
	s.reading.Store(true)
	if !s.drained() {
		t.Error("not drained although nothing has come")
	}
	if _, err := out.Write([]byte("a packet")); err != nil {
		t.Fatal(err)
	}
	actorstest.Until(t, "the packet is in the socket", func() bool { return !s.drained() })
	if _, err := in.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if !s.drained() {
		t.Error("not drained although all was read")
	}
}
