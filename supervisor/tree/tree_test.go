package tree

import (
	"testing"
	"testing/synctest"
	"time"

	"kitestring/actors/actorstest"
	"kitestring/actors/chain"
	"kitestring/actors/feed"
	"kitestring/actors/instruments"
	"kitestring/actors/market"
	"kitestring/actors/web"
	"kitestring/messages"
	"kitestring/supervisor"
)

func newTestServer() *Server {
	return &Server{
		feed: feed.NewStore(), instruments: instruments.NewStore(), chains: &chain.Store{}, phases: &market.PhaseStore{}, webStore: web.NewStore(),
		clock: wallClock{}, tree: supervisor.New(supervisor.Options{}),
	}
}

// Token, feed and bars, and no other actor, have a heartbeat.
func TestHeartbeatsAreWired(t *testing.T) {
	s := newTestServer()
	type heartbeat struct {
		each      time.Duration
		condition bool
	}
	want := map[string]heartbeat{"token": {10 * time.Second, false}, "feed": {time.Minute, true}, "bars": {30 * time.Second, true}}
	for _, spec := range append(s.core(), s.analyses()...) {
		if got := (heartbeat{spec.Heartbeat, spec.HeartbeatWhile != nil}); got != want[spec.Name] {
			t.Errorf("%s has heartbeat %+v, want %+v", spec.Name, got, want[spec.Name])
		}
		delete(want, spec.Name)
	}
	if len(want) > 0 {
		t.Errorf("not in the tree: %v", want)
	}
}

// day shows one phase.
type day struct{ phase messages.Phase }

func (d *day) Phase() (messages.PhaseChanged, bool) {
	return messages.PhaseChanged{Phase: d.phase, At: time.Now()}, true
}

func TestFramesAreDueWithATokenInAnOpenMarket(t *testing.T) {
	tokens, today := actorstest.NewTokens(), &day{messages.Open}
	due := feedDue(tokens, today)
	for _, c := range []struct {
		what string
		do   func()
		want bool
	}{
		{"without a token", func() {}, false},
		{"with a candidate", func() { tokens.Write(actorstest.Session(1), messages.ChangeAtStart) }, false},
		{"with an adopted token", func() { tokens.Adopt(1) }, true},
		{"in a closed market", func() { today.phase = messages.Closed }, false},
		{"in an open market", func() { today.phase = messages.Open }, true},
		{"with a rejected token", func() { tokens.Reject(1, "expired") }, false},
		{"with a new token", func() { tokens.WriteAdopted(actorstest.Session(2)) }, true},
	} {
		if c.do(); due() != c.want {
			t.Errorf("%s: due is %t", c.what, !c.want)
		}
	}
}

// nifty is resolved, and ticks when a test says so.
type nifty struct {
	underlyings []messages.Underlying
	ticks       map[uint32]time.Time
}

func (n *nifty) Resolved() (messages.InstrumentsResolved, bool) {
	return messages.InstrumentsResolved{Underlyings: n.underlyings}, true
}

func (n *nifty) LastTick(instrumentToken uint32) (messages.Tick, bool) {
	if at, ok := n.ticks[instrumentToken]; ok {
		return messages.Tick{ExchangeTime: uint32(at.Unix())}, true
	}
	return messages.Tick{}, false
}

func TestBarsAreDueWhileAnIndexOrAFutureTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &nifty{ticks: map[uint32]time.Time{}}
		due := barsDue(n, n, wallClock{})
		expect := func(what string, want bool) {
			t.Helper()
			if due() != want {
				t.Errorf("%s: due is %t", what, !want)
			}
		}
		n.ticks[3] = time.Now()
		expect("an option ticks and nothing is resolved", false)
		n.underlyings = []messages.Underlying{{Index: messages.Instrument{Token: 1}, Future: messages.Instrument{Token: 2}}}
		expect("an option ticks", false)
		n.ticks[2] = time.Now()
		expect("the future ticks", true)
		time.Sleep(barsRecent + time.Second)
		expect("it has ticked", false)
		n.ticks[1] = time.Now()
		expect("the index ticks", true)
	})
}
