package feed

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"kitestring/actors/actorstest"
	"kitestring/messages"
	"kitestring/messages/wire"
)

func TestMain(m *testing.M) { actorstest.Main(m) }

func TestColdStart(t *testing.T) {
	r := newRig(t)
	tokens := instruments(3)
	r.venue.tick(tokens...)
	r.want(messages.ModeFull, tokens...)
	r.until("waiting for a token", func() bool { return r.state.Stats().State == messages.AwaitingToken })
	r.offer(1, "A")
	live := actorstest.Await[messages.FeedLive](r.actor, nil)
	if live.Generation != 1 || r.state.Live() != 1 {
		t.Fatalf("live on %d", live.Generation)
	}
	r.adopt(1, "A")
	r.streaming(1)
	r.until("full mode", func() bool { return r.venue.subscribed("A", messages.ModeFull) == len(tokens) })
	r.caughtUp(tokens...)
	r.venue.tick(tokens...)
	r.caughtUp(tokens...)
	r.exact()
	r.until("a complete receipt", func() bool {
		rs := r.state.Rotations()
		return len(rs) == 1 && rs[0].Result == adopted && rs[0].FirstTickMS != nil && rs[0].ValidatedMS != nil
	})
	if rs := r.state.Rotations(); rs[0].RetiredMS != nil || rs[0].TotalMS == nil || rs[0].Shards != 1 {
		t.Errorf("%+v", rs[0])
	}
	if used := r.tokens.LastUsed(Name); used != 1 {
		t.Errorf("used %d", used)
	}
}

// adoptedRig is a rig that streams with token A of generation 1.
func adoptedRig(t testing.TB, tokens []uint32, adjust ...func(*rig)) *rig {
	r := newRig(t, adjust...)
	r.venue.tick(tokens...)
	r.want(messages.ModeFull, tokens...)
	r.offer(1, "A")
	r.adopt(1, "A")
	r.streaming(1)
	r.caughtUp(tokens...)
	return r
}

// The heart of it: 100 changes of the token at 1000 ticks/s.
func TestHundredSwaps(t *testing.T) {
	for _, delay := range []time.Duration{0, 20 * time.Millisecond} {
		t.Run(fmt.Sprint(delay), func(t *testing.T) {
			tokens := instruments(10)
			r := adoptedRig(t, tokens)
			r.venue.set(func(v *venue) { v.delay = delay })
			stop := r.flow(10*time.Millisecond, tokens...) // 1000 ticks/s
			for g := messages.Generation(2); g <= 101; g++ {
				token := fmt.Sprint("T", g)
				sent := r.state.Stats().Ticks
				r.until("a few ticks", func() bool { return r.state.Stats().Ticks >= sent+20 })
				r.offer(g, token)
				r.until("the swap", func() bool {
					rs := r.state.Rotations()
					return rs[0].Generation == g && rs[0].Result == adopted
				})
				r.adopt(g, token)
			}
			stop()
			r.caughtUp(tokens...)
			r.exact()
			var lost, repeated, overlapped int64
			var slowest float64
			for _, x := range r.state.Rotations() {
				if x.Result != adopted || x.RetiredMS == nil {
					t.Fatalf("%+v", x)
				}
				lost += *x.Lost
				repeated += *x.Repeated
				overlapped += x.Overlapped
				slowest = max(slowest, *x.TotalMS)
			}
			if lost != 0 || repeated != 0 {
				t.Errorf("receipts say %d lost, %d repeated", lost, repeated)
			}
			// The venue learns of the last close a moment later.
			r.until("one open socket, of T101", func() bool { return slices.Equal(r.venue.holders(), []string{"T101"}) })
			t.Logf("100 swaps, %d ticks: 0 lost, 0 repeated, %d overlapped, slowest swap %.1f ms", r.state.Stats().Ticks, overlapped, slowest)
		})
	}
}

// A segment that is lost on the way comes a few hundred milliseconds later: what the
// older socket has on its way is waited for.
func TestALateOlderSocketLosesNothing(t *testing.T) {
	tokens := instruments(10)
	r := adoptedRig(t, tokens)
	stop := r.flow(10*time.Millisecond, tokens...)
	r.venue.set(func(v *venue) { v.late, v.lateBy = "A", 300*time.Millisecond })
	sent := r.state.Stats().Ticks
	r.until("a few late ticks", func() bool { return r.state.Stats().Ticks >= sent+20 })
	for g := messages.Generation(2); g <= 5; g++ {
		r.offer(g, fmt.Sprint("T", g))
		r.until("the swap", func() bool {
			rs := r.state.Rotations()
			return len(rs) > 0 && rs[0].Generation == g && rs[0].Result == adopted
		})
		r.adopt(g, fmt.Sprint("T", g))
		r.venue.set(func(v *venue) { v.late, v.lateBy = fmt.Sprint("T", g), 300*time.Millisecond })
		sent := r.state.Stats().Ticks
		r.until("a few late ticks", func() bool { return r.state.Stats().Ticks >= sent+20 })
	}
	stop()
	r.caughtUp(tokens...)
	r.exact()
}

func TestGarbageTokenKeepsStreaming(t *testing.T) {
	tokens := instruments(5)
	r := adoptedRig(t, tokens)
	r.venue.set(func(v *venue) {
		v.answer = func(token string) int {
			if token == "typo" {
				return http.StatusForbidden
			}
			return 0
		}
	})
	stop := r.flow(5*time.Millisecond, tokens...)
	r.offer(2, "typo")
	actorstest.Await(r.actor, func(m messages.TokenDoubted) bool { return m.Generation == 2 })
	r.reject(2)
	r.until("the receipt", func() bool { return r.state.Rotations()[0].Result == rejected })
	if s := r.state.Stats(); s.State != messages.Streaming || s.Generation != 1 {
		t.Fatalf("%v on %d", s.State, s.Generation)
	}
	r.offer(3, "B")
	r.adopt(3, "B")
	r.streaming(3)
	stop()
	r.caughtUp(tokens...)
	r.exact()
	if want := []string{"A", "typo", "B"}; !slices.Equal(r.venue.dials(), want) {
		t.Errorf("dialled %v, want %v", r.venue.dials(), want)
	}
}

// The old socket dies while the new one has only just begun.
func TestOldSocketDiesInMidSwap(t *testing.T) {
	tokens := instruments(5)
	r := adoptedRig(t, tokens)
	r.venue.tick(tokens...)
	r.caughtUp(tokens...)
	// The newer socket brings frames but, not subscribed, cannot take over.
	r.venue.set(func(v *venue) { v.noTicks = true })
	r.offer(2, "B")
	r.until("both sockets", func() bool { return len(r.venue.holders()) == 2 && r.venue.subscribed("B", messages.ModeFull) == 5 })
	actorstest.Await(r.actor, func(m messages.FeedLive) bool { return m.Generation == 2 })
	r.venue.drop("A")
	r.streaming(2)
	r.venue.set(func(v *venue) { v.noTicks = false })
	r.venue.tick(tokens...)
	r.caughtUp(tokens...)
	r.exact()
	if n := len(r.venue.dials()); n != 2 {
		t.Errorf("%d dials, want 2: the new socket takes over, nothing is dialled", n)
	}
}

// An instrument that the new socket never brings is waited for 2 s at most.
func TestSwapDeadline(t *testing.T) {
	tokens := instruments(5)
	r := adoptedRig(t, tokens, func(r *rig) { r.cfg.timeouts.overlap = 200 * time.Millisecond })
	r.venue.set(func(v *venue) { v.noTicks = true })
	r.offer(2, "B")
	r.streaming(2)
	r.until("the old socket closed", func() bool { return slices.Equal(r.venue.holders(), []string{"B"}) })
	r.venue.set(func(v *venue) { v.noTicks = false })
	r.venue.tick(tokens...)
	r.caughtUp(tokens...)
	r.exact()
}

func TestTwoChangesAtOnce(t *testing.T) {
	tokens := instruments(5)
	r := adoptedRig(t, tokens)
	stop := r.flow(5*time.Millisecond, tokens...)
	r.offer(2, "B")
	r.offer(3, "C")
	r.adopt(3, "C")
	r.streaming(3)
	r.until("one socket", func() bool { return slices.Equal(r.venue.holders(), []string{"C"}) })
	stop()
	r.caughtUp(tokens...)
	r.exact()
	rs := r.state.Rotations()
	r.until("the receipt", func() bool { rs = r.state.Rotations(); return rs[0].Result == adopted })
	if rs[0].Generation != 3 || (rs[1].Result != superseded && rs[1].Result != adopted) {
		t.Errorf("%+v", rs[:2])
	}
}

func TestDropIsRedialledAtOnce(t *testing.T) {
	tokens := instruments(5)
	// Any pause at all would outlast the test.
	r := adoptedRig(t, tokens, func(r *rig) {
		r.cfg.timeouts.redialBase, r.cfg.timeouts.redialCap, r.cfg.timeouts.healthy = time.Hour, time.Hour, 0
	})
	r.venue.tick(tokens...)
	r.caughtUp(tokens...)
	at := time.Now()
	r.venue.drop()
	r.until("a second dial", func() bool { return len(r.venue.dials()) == 2 })
	r.until("subscriptions", func() bool { return r.venue.subscribed("A", messages.ModeFull) == 5 })
	r.until("streaming again", func() bool {
		s := r.state.Stats().Shards[0]
		return s.State == messages.Streaming && s.Since.After(at)
	})
	// One instrument traded while the line was down, the others did not.
	r.venue.set(func(v *venue) { v.cut(); v.now += 7; v.trade(tokens[0], 3) })
	r.until("subscriptions", func() bool { return len(r.venue.dials()) >= 3 && r.venue.subscribed("A", messages.ModeFull) == 5 })
	gap := actorstest.Await[messages.GapDetected](r.actor, nil)
	if len(gap.Gaps) != 1 || gap.Gaps[0].InstrumentToken != tokens[0] || gap.Gaps[0].VolumeWhile != 30 || gap.Gaps[0].BlindSeconds != 7 {
		t.Errorf("%+v", gap)
	}
	if gap.Reason != messages.GapReconnect || len(r.state.Gaps()) != 1 {
		t.Errorf("%+v, ledger %+v", gap, r.state.Gaps())
	}
	r.venue.tick(tokens...)
	r.caughtUp(tokens...)
	if lost, repeated := r.sink.check(); lost != 2 || repeated != 0 {
		t.Errorf("%d lost (want the 2 of the gap), %d repeated", lost, repeated)
	}
}

func TestForbiddenParks(t *testing.T) {
	r := newRig(t, func(r *rig) {
		r.venue.set(func(v *venue) { v.answer = func(string) int { return http.StatusForbidden } })
		r.cfg.timeouts.probe = 300 * time.Millisecond
	})
	r.offer(1, "A")
	actorstest.Await(r.actor, func(m messages.TokenDoubted) bool { return m.Generation == 1 })
	r.until("unauthorised", func() bool { return r.state.Stats().State == messages.Unauthorised })
	// REST says the token is fine: a probe now and then, nothing more.
	r.actor.Tell(messages.TokenVerdict{Generation: 1, Verdict: messages.VerdictValid, At: time.Now()})
	r.until("a probe", func() bool { return len(r.venue.dials()) >= 2 })
	r.tokens.Adopt(1)
	r.reject(1)
	r.until("the verdict", func() bool { return r.state.isRejected(1) })
	r.actor.Stop()
	// A rejected generation is not dialled again, not even by the next incarnation.
	r.venue.set(func(v *venue) { v.answer = func(string) int { return 0 } })
	r.start()
	r.actor.Tell(messages.TokenVerdict{Generation: 1, Verdict: messages.VerdictUnknown, At: time.Now()})
	r.offer(2, "B")
	r.streaming(2)
	if got := slices.DeleteFunc(r.venue.dials(), func(token string) bool { return token == "A" }); !slices.Equal(got, []string{"B"}) {
		t.Errorf("dialled %v, want B alone", got)
	}
}

func TestMuteSocket(t *testing.T) {
	t.Parallel()
	tokens := instruments(2)
	r := adoptedRig(t, tokens, func(r *rig) { r.cfg.timeouts.dead = defaultTimeouts().dead })
	r.venue.set(func(v *venue) {
		for s := range v.sockets {
			s.mute = true // not even a pong
		}
	})
	r.until("replaced", func() bool { return len(r.venue.dials()) >= 2 })
	r.streaming(1)
	if r.state.Stats().Disconnects["stale"] == 0 {
		t.Errorf("no stale disconnect: %v", r.state.Stats().Disconnects)
	}
}

// A peer that answers, but streams nothing, is replaced whatever the market
// does: Kite sends heartbeats when there is nothing else.
func TestSocketWithoutMessages(t *testing.T) {
	for name, beat := range map[string]venueMessage{
		"pongs":     {kind: websocket.PongMessage},
		"pings":     {kind: websocket.PingMessage},
		"fragments": {kind: rawBytes, data: []byte{0x00, 0x00}}, // of a message that never ends
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tokens := instruments(2)
			r := adoptedRig(t, tokens, func(r *rig) { r.cfg.timeouts.noData = 500 * time.Millisecond })
			r.venue.set(func(v *venue) {
				v.beat = beat
				if beat.kind == rawBytes {
					for s := range v.sockets {
						v.send(s, rawBytes, []byte{0x01, 0x00}) // its first piece
					}
				}
			})
			r.until("replaced", func() bool { return len(r.venue.dials()) >= 2 })
			r.venue.set(func(v *venue) { v.beat = venueMessage{kind: websocket.BinaryMessage, data: wire.HeartbeatFrame()} })
			r.streaming(1)
			if n := r.state.Stats().Disconnects["stale"]; n == 0 {
				t.Errorf("no stale disconnect: %v", r.state.Stats().Disconnects)
			}
		})
	}
}

// When a silence is called one, to the tenth of a second.
func TestSilence(t *testing.T) {
	l := defaultTimeouts()
	start := time.Unix(1_700_000_000, 0)
	at := func(d float64) time.Time { return start.Add(time.Duration(d * float64(time.Second))) }
	type look struct {
		at                       float64
		bytes, payload, messages int64
		want                     int
	}
	const still = 1000 // added to the time of a look before which there was none
	for name, looks := range map[string][]look{
		"nothing":              {{1.4, 0, 0, 0, alive}, {1.5, 0, 0, 0, pingDue}, {1.6, 0, 0, 0, alive}, {2.8, 0, 0, 0, alive}, {2.9, 0, 0, 0, noByte}},
		"heartbeats":           {{1, 3, 1, 1, alive}, {2, 6, 2, 2, alive}, {4, 9, 3, 3, alive}, {5, 12, 4, 4, alive}},
		"pongs":                {{2, 2, 0, 0, alive}, {3.5, 4, 0, 0, alive}, {4.9, 6, 0, 0, alive}, {5, 8, 0, 0, noMessage}},
		"a long message":       {{2, 9, 9, 0, alive}, {4, 18, 18, 0, alive}, {6, 27, 27, 0, alive}, {8, 30, 30, 1, alive}},
		"one that never ends":  {{2, 9, 9, 0, alive}, {4.5, 18, 18, 0, alive}, {7, 27, 27, 0, alive}, {7.8, 30, 30, 0, alive}, {7.9, 31, 31, 0, noMessage}},
		"empty pieces of one":  {{2, 2, 0, 0, alive}, {4, 4, 0, 0, alive}, {5.1, 6, 0, 0, noMessage}},
		"a pong after silence": {{1.5, 0, 0, 0, pingDue}, {1.6, 2, 0, 0, alive}, {3.1, 2, 0, 0, pingDue}, {4.6, 2, 0, 0, noByte}},
		// What came in its standstill is read after the look.
		"the machine stood still": {{1, 3, 1, 1, alive}, {still + 9, 3, 1, 1, alive}, {9.1, 99, 9, 9, alive}, {11.9, 99, 9, 9, alive}, {12, 99, 9, 9, noByte}},
	} {
		s := newSilence(&l, start)
		var last look
		for _, k := range looks {
			if k.at >= still {
				k.at -= still
				last.at = k.at
			}
			for last.at += 0.1; last.at < k.at-0.05; last.at += 0.1 { // one each pulse
				s.look(at(last.at), last.bytes, last.payload, last.messages)
			}
			last = k
			if got := s.look(at(k.at), k.bytes, k.payload, k.messages); got != k.want {
				t.Errorf("%s, after %.1f s: %d, want %d", name, k.at, got, k.want)
			}
		}
	}
}

func TestStopIsPrompt(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(r *rig)
	}{
		{"silent peer", func(r *rig) {
			r.venue.set(func(v *venue) { v.mute, v.quiet = true, true })
			r.offer(1, "A")
			r.until("connected", func() bool { return len(r.venue.holders()) == 1 })
		}},
		{"backoff", func(r *rig) {
			r.venue.set(func(v *venue) { v.answer = func(string) int { return 503 } })
			r.offer(1, "A")
			r.until("backoff", func() bool { return len(r.venue.dials()) >= 2 })
		}},
		{"upgrade without an answer", func(r *rig) {
			release := make(chan struct{})
			r.t.Cleanup(func() { close(release) })
			asked := make(chan struct{})
			r.venue.set(func(v *venue) {
				var once sync.Once
				v.server.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
					once.Do(func() { close(asked) })
					<-release
				})
			})
			r.offer(1, "A")
			<-asked
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			c.prepare(r)
			at := time.Now()
			stopped := make(chan struct{})
			go func() {
				defer close(stopped)
				r.actor.Stop()
			}()
			// 100 ms is the target. What a stop could wait for in vain, a peer's
			// answer or a sign of life, has a minute.
			select {
			case <-stopped:
				t.Logf("stopped after %v", time.Since(at))
			case <-time.After(20 * time.Second):
				t.Fatal("the stop waits for the peer")
			}
		})
	}
}

func TestTooManySockets(t *testing.T) {
	tokens := instruments(3)
	r := adoptedRig(t, tokens, func(r *rig) {
		r.cfg.timeouts.lingerWait = 50 * time.Millisecond
		r.cfg.timeouts.slotWait = 200 * time.Millisecond
	})
	r.venue.set(func(v *venue) { v.most = 1 })
	r.offer(2, "B")
	r.until("two refused dials", func() bool { return r.state.Stats().Connects["too_many"] == 2 })
	if got := r.venue.holders(); !slices.Equal(got, []string{"A"}) {
		t.Fatalf("an unproven token must not cost the running socket: %v", got)
	}
	r.adopt(2, "B")
	r.streaming(2)
	r.until("B alone", func() bool { return slices.Equal(r.venue.holders(), []string{"B"}) })
	r.venue.tick(tokens...)
	r.caughtUp(tokens...)
	r.until("the receipt", func() bool { return r.state.Rotations()[0].Result == adopted })
}

// Two servers share the exchange's sockets, and none is free for a second one: the
// old socket is closed first. Until the exchange has ended it, it counts, and a dial
// would be refused.
func TestASlotIsFreeWhenTheExchangeEndsTheSocket(t *testing.T) {
	tokens := instruments(3)
	r := adoptedRig(t, tokens, func(r *rig) { r.cfg.Sockets = 1 })
	r.venue.set(func(v *venue) { v.most, v.forgets = 1, 100*time.Millisecond })
	for g := messages.Generation(2); g <= 4; g++ {
		token := fmt.Sprint("T", g)
		r.offer(g, token)
		r.adopt(g, token)
		r.streaming(g)
		r.until("the receipt", func() bool { return r.state.Rotations()[0].Result == adopted })
	}
	if s := r.state.Stats(); s.Connects["too_many"] != 0 {
		t.Errorf("the exchange refused: %v", s.Connects)
	}
}

func TestMalformedBurstReplacesTheConnection(t *testing.T) {
	tokens := instruments(2)
	r := adoptedRig(t, tokens)
	before := r.sink.count(tokens[0])
	for range malformedBurst {
		r.venue.all(websocket.BinaryMessage, []byte{0, 1, 0x7f, 0xff, 1, 2, 3})
	}
	r.until("a new connection", func() bool { return len(r.venue.dials()) == 2 })
	r.streaming(1)
	s := r.state.Stats()
	if s.Malformed["truncated"] != malformedBurst || s.Disconnects["malformed"] != 1 {
		t.Errorf("%v, %v", s.Malformed, s.Disconnects)
	}
	if n := r.sink.count(tokens[0]); n != before {
		t.Errorf("%d phantom ticks", n-before)
	}
}

func TestSingleBadMessagesAreSurvived(t *testing.T) {
	tokens := instruments(2)
	r := adoptedRig(t, tokens)
	for _, bad := range [][]byte{
		{0}, {}, {0, 2, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8}, make([]byte, 3<<20), {0, 1, 0, 20, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
	} {
		r.venue.all(websocket.BinaryMessage, bad)
	}
	for _, text := range []string{
		`{"type":"error","data":{"x":1}}`, `{"type":"error","data":null}`, `{"type":"error"`, `{"type":"error"}`, `[]`, ``,
		`{"type":"message","data":"hello"}`, `{"type":"instruments_meta","data":{"count":1}}`, `{"type":"app_code","timestamp":"x"}`, `{"type":"new"}`,
		`{"type":"order","data":{"order_id":"42","status":"COMPLETE"}}`, `{"type":"order","data":"x"}`,
	} {
		r.venue.all(websocket.TextMessage, []byte(text))
	}
	order := actorstest.Await[messages.OrderUpdated](r.actor, nil)
	if order.OrderID != "42" || order.Status != "COMPLETE" {
		t.Errorf("%+v", order)
	}
	r.venue.tick(tokens...)
	r.caughtUp(tokens...)
	r.exact()
	s := r.state.Stats()
	if len(r.venue.dials()) != 1 {
		t.Errorf("%d dials", len(r.venue.dials()))
	}
	for reason, n := range map[string]uint64{"short": 1, "count": 1, "oversized": 1, "unknown_length": 1, "text": 3} {
		if s.Malformed[reason] != n {
			t.Errorf("%s: %d, want %d", reason, s.Malformed[reason], n)
		}
	}
	if s.Texts != 9 {
		t.Errorf("%d texts, want 9", s.Texts)
	}
}

func TestSubscriptionsFollowTheWants(t *testing.T) {
	tokens := instruments(4)
	r := adoptedRig(t, tokens)
	r.want(messages.ModeQuote, tokens[1:]...)
	r.until("the diff", func() bool {
		return r.venue.subscribed("A", messages.ModeQuote) == 3 && r.venue.subscribed("A", messages.ModeFull) == 0
	})
	// Another owner needs more of one of them.
	r.actor.Tell(messages.WantInstruments{Owner: "other", Wants: []messages.Want{{InstrumentToken: tokens[1], Mode: messages.ModeFull}}})
	r.until("the higher mode", func() bool {
		return r.venue.subscribed("A", messages.ModeQuote) == 2 && r.venue.subscribed("A", messages.ModeFull) == 1
	})
	r.venue.tick(tokens...)
	r.caughtUp(tokens[1:]...)
	r.exact()
	if s := r.state.Stats(); s.Instruments != 3 || s.ByMode[messages.ModeFull] != 1 {
		t.Errorf("%d instruments, %v", s.Instruments, s.ByMode)
	}
}

// A restarted feed starts with the newest token and loses nothing that it
// remembers.
func TestRestart(t *testing.T) {
	tokens := instruments(3)
	r := adoptedRig(t, tokens)
	r.actor.Stop()
	r.until("closed", func() bool { return len(r.venue.holders()) == 0 })
	r.tokens.WriteAdopted(session(2, "B"))
	r.start()
	r.streaming(2)
	r.until("subscriptions", func() bool { return r.venue.subscribed("B", messages.ModeFull) == 3 })
	r.venue.tick(tokens...)
	r.caughtUp(tokens...)
	r.exact()
	if got := r.venue.dials(); !slices.Equal(got, []string{"A", "B"}) {
		t.Errorf("dialled %v", got)
	}
}

// A subscriber that joins in mid-stream gets each tick in the snapshot or
// after it.
func TestSeedIsAtomic(t *testing.T) {
	tokens := instruments(50)
	r := adoptedRig(t, tokens)
	stop := r.flow(time.Millisecond, tokens...)
	var joined []*recorder
	for i := range 50 {
		late := newRecorder()
		snapshot := r.state.Seed("late", func() {
			// The supervisor opens a mailbox here; the tables are ours, so the
			// test may attach by hand.
			for _, table := range r.state.tables {
				table.sinks = append(slices.Clone(table.sinks), attached{fmt.Sprint("late", i), late})
			}
		})
		late.mu.Lock()
		for j := range snapshot.Ticks {
			tick := &snapshot.Ticks[j]
			if p := wire.PacketOf(snapshot.Raw, tick); len(p) != 184 {
				t.Fatalf("no packet for the snapshot's tick %d", j)
			}
			late.seen[tick.InstrumentToken] = append([]uint32{tick.LastQuantity}, late.seen[tick.InstrumentToken]...)
		}
		late.mu.Unlock()
		if !snapshot.Snapshot || snapshot.Generation != 1 || len(snapshot.Ticks) != 50 {
			t.Fatalf("%+v", snapshot)
		}
		snapshot.Release()
		joined = append(joined, late)
	}
	stop()
	r.caughtUp(tokens...)
	for i, late := range joined {
		if lost, repeated := late.check(); lost != 0 || repeated != 0 {
			t.Errorf("subscriber %d: %d lost, %d repeated", i, lost, repeated)
		}
	}
}

// A loss shows when the instrument's next tick comes, which may be after the
// receipt was closed: it is counted again a second later.
func TestReceiptIsCountedAgain(t *testing.T) {
	r := adoptedRig(t, instruments(1))
	r.offer(2, "B")
	r.until("the swap", func() bool {
		x := r.state.Rotations()[0]
		return x.Generation == 2 && x.Result == adopted
	})
	r.state.tables[0].locked(func() { r.state.tables[0].counts.Lost += 3 })
	r.until("the loss is on the receipt", func() bool {
		lost := r.state.Rotations()[0].Lost
		return lost != nil && *lost == 3
	})
}

// The feed sees a new token in the store before the message about it comes, and
// auth may have adopted it by then: its receipt counts all the same what both
// sockets bring.
func TestASwapBeforeItsMessageIsCounted(t *testing.T) {
	for _, early := range []bool{false, true} {
		t.Run(fmt.Sprint("adopted ", early), func(t *testing.T) {
			tokens := instruments(10)
			r := adoptedRig(t, tokens)
			stop := r.flow(10*time.Millisecond, tokens...)
			defer stop()
			change := r.tokens.Write(session(2, "B"), messages.ChangeByEvent)
			if early {
				r.tokens.Adopt(2)
			}
			r.actor.Tell(messages.TokenVerdict{Generation: 1, Verdict: messages.VerdictValid, At: time.Now()}) // anything that has it look
			r.streaming(2)
			r.actor.Tell(change)
			r.until("the receipt is closed", func() bool {
				rs := r.state.Rotations()
				return len(rs) > 0 && rs[0].Generation == 2 && rs[0].Result == adopted
			})
			if got := r.state.Rotations()[0]; got.Overlapped == 0 || got.Matched == 0 || got.DialledMS == nil || got.FirstFrameMS == nil {
				t.Errorf("%+v", got)
			}
		})
	}
}
