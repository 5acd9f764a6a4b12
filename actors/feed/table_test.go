package feed

import (
	"bytes"
	"context"
	"testing"
	"time"

	"kitestring/messages"
	"kitestring/messages/wire"
)

// checker is a subscriber that panics at a tick that was not asked for, or
// whose packet does not lie in the batch.
type checker struct{ ticks int }

func (c *checker) Push(b *messages.Ticks) bool {
	for i := range b.Ticks {
		tick := &b.Ticks[i]
		var again messages.Tick
		if tick.InstrumentToken != 257 && tick.InstrumentToken != 265 {
			panic("a tick of an instrument that nobody wants")
		}
		if p := wire.PacketOf(b.Raw, tick); len(p) != int(tick.Length) || !wire.DecodePacket(p, &again) || again.LastPrice != tick.LastPrice {
			panic("a tick without its packet")
		}
		c.ticks++
	}
	return false
}

func testTable(mode messages.Mode, tokens ...uint32) (*Store, *table, *checker) {
	state, sink := NewStore(), &checker{}
	state.Attach("checker", sink)
	w := messages.WantInstruments{Owner: "test"}
	for _, token := range tokens {
		w.Wants = append(w.Wants, messages.Want{InstrumentToken: token, Mode: mode})
	}
	state.want(w, MaxShards, 3000)
	t := state.tables[0]
	t.reset(true, nil, nil)
	t.join(context.Background(), 1, 1, aDay)
	return state, t, sink
}

// aDay begins with the first packet.
var aDay = time.Unix(1_700_000_000, 0)

func packet(mode messages.Mode, token, n uint32) []byte {
	return wire.AppendPacket(nil, &wire.Packet{Tick: messages.Tick{
		InstrumentToken: token, LastPrice: int32(n), LastQuantity: n, Volume: n, ExchangeTime: 1_700_000_000 + n,
	}}, mode)
}

// No bytes on any of a swap's two sockets make the table panic or hand on a
// tick that nobody asked for.
func FuzzTake(f *testing.F) {
	good := wire.AppendFrame(nil, packet(messages.ModeFull, 257, 1), packet(messages.ModeQuote, 257, 2), packet(messages.ModeFull, 265, 3))
	f.Add(good, good)
	f.Add(good, []byte{0})
	f.Add([]byte{0, 1, 0x7f, 0xff}, good)
	f.Add(wire.AppendFrame(nil, packet(messages.ModeLTP, 257, 1)), wire.AppendFrame(nil, packet(messages.ModeFull, 999, 1)))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		_, table, _ := testTable(messages.ModeFull, 257, 265)
		now := time.Unix(1_700_000_000, 0)
		for range 2 {
			_, _ = takeRaw(table, 1, one, now)
		}
		table.join(context.Background(), 2, 2, aDay)
		for range 2 {
			_, _ = takeRaw(table, 2, two, now)
			_, _ = takeRaw(table, 1, one, now)
			_, _ = takeRaw(table, 2, one, now)
			_, _ = takeRaw(table, 1, two, now)
		}
		table.settle(2, true, true, now)
		_, _ = takeRaw(table, 2, two, now)
		_, _ = takeRaw(table, 1, two, now)
	})
}

// takeRaw takes a message as a reader that has to wait for the next one.
func takeRaw(t *table, from uint64, raw []byte, now time.Time) (taken, error) {
	f := t.frame(len(raw))
	defer f.release()
	r, err := takeBehind(t, from, f, raw, now)
	t.pause()
	return r, err
}

// takeBehind puts a message behind what the frame has.
func takeBehind(t *table, from uint64, f *frame, raw []byte, now time.Time) (taken, error) {
	begin := len(f.raw)
	end := begin + copy(f.raw[begin:cap(f.raw)], raw)
	return t.take(from, f, begin, end, now)
}

func take(t *testing.T, table *table, from uint64, packets ...[]byte) taken {
	t.Helper()
	r, err := takeRaw(table, from, wire.AppendFrame(nil, packets...), time.Unix(1_700_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRepeatsAreNotHandedOn(t *testing.T) {
	state, table, sink := testTable(messages.ModeFull, 257)
	a, b := packet(messages.ModeFull, 257, 1), packet(messages.ModeFull, 257, 2)
	depth := bytes.Clone(b)
	depth[70]++ // a depth-only change: same time, price and volume
	for _, step := range []struct {
		packet []byte
		want   int
	}{{a, 1}, {a, 0}, {b, 1}, {b, 0}, {depth, 1}, {depth, 0}} {
		if r := take(t, table, 1, step.packet); r.ticks != step.want {
			t.Fatalf("%d ticks, want %d", r.ticks, step.want)
		}
	}
	if s := state.Stats(); s.Duplicates != 3 || s.Ticks != 3 || sink.ticks != 3 {
		t.Errorf("%d duplicates, %d ticks, %d at the subscriber", s.Duplicates, s.Ticks, sink.ticks)
	}
}

// The answer to a subscription, in quote, before the full mode has acted.
func TestLowerModesAreIgnoredAtFirst(t *testing.T) {
	state, table, _ := testTable(messages.ModeFull, 257)
	if r := take(t, table, 1, packet(messages.ModeQuote, 257, 1)); r.ticks != 0 {
		t.Fatal("a quote packet passed as full")
	}
	if r := take(t, table, 1, packet(messages.ModeFull, 257, 1)); r.ticks != 1 {
		t.Fatal("the full packet did not pass")
	}
	// A server that knows no better is believed in the end.
	passed := 0
	for n := range uint32(2 * distrustAfter) {
		passed += take(t, table, 1, packet(messages.ModeQuote, 257, 10+n)).ticks
	}
	if passed != distrustAfter+1 || state.Stats().Ignored != distrustAfter {
		t.Errorf("%d passed, %d ignored", passed, state.Stats().Ignored)
	}
}

func TestUnwantedInstruments(t *testing.T) {
	state, table, sink := testTable(messages.ModeLTP, 257)
	take(t, table, 1, packet(messages.ModeLTP, 257, 1), packet(messages.ModeLTP, 999, 1))
	state.want(messages.WantInstruments{Owner: "test"}, MaxShards, 3000)
	take(t, table, 1, packet(messages.ModeLTP, 257, 2))
	if s := state.Stats(); s.Unwanted != 2 || sink.ticks != 1 || s.Instruments != 0 {
		t.Errorf("%d unwanted, %d ticks, %d instruments", s.Unwanted, sink.ticks, s.Instruments)
	}
}

// Instruments that come and go in the middle of a swap do not hold it up.
func TestWantsChangeInMidSwap(t *testing.T) {
	state, table, _ := testTable(messages.ModeFull, 257, 265)
	take(t, table, 1, packet(messages.ModeFull, 257, 1), packet(messages.ModeFull, 265, 1))
	table.join(context.Background(), 2, 2, aDay)
	if r := take(t, table, 2, packet(messages.ModeFull, 257, 1)); r.moved {
		t.Fatal("moved without the second instrument")
	}
	state.want(messages.WantInstruments{Owner: "test", Wants: []messages.Want{{InstrumentToken: 257, Mode: messages.ModeFull}, {InstrumentToken: 513, Mode: messages.ModeFull}}}, MaxShards, 3000)
	if r := take(t, table, 2, packet(messages.ModeFull, 257, 2)); r.moved || r.ticks != 1 {
		t.Fatalf("%+v: the new instrument has not been seen on either socket", r)
	}
	if !table.settle(2, true, false, time.Now()) {
		t.Fatal("an instrument that never ticked holds the swap up for ever")
	}
	if _, err := takeRaw(table, 1, []byte{0}, time.Now()); err != errFenced {
		t.Errorf("the old socket still counts: %v", err)
	}
}

// What the newer socket brings while a candidate is withdrawn stays out, and
// the older one goes on without a hole.
func TestWithdraw(t *testing.T) {
	_, table, _ := testTable(messages.ModeFull, 257, 265)
	take(t, table, 1, packet(messages.ModeFull, 257, 1), packet(messages.ModeFull, 265, 1))
	table.join(context.Background(), 2, 2, aDay)
	take(t, table, 2, packet(messages.ModeFull, 257, 1))
	if r := take(t, table, 2, packet(messages.ModeFull, 257, 2), packet(messages.ModeFull, 265, 7)); r.ticks != 1 {
		t.Fatalf("%+v", r)
	}
	ended := false
	if !table.withdraw(2, func() { ended = true }) || !ended {
		t.Fatal("not withdrawn")
	}
	if r := take(t, table, 1, packet(messages.ModeFull, 257, 2)); r.ticks != 0 {
		t.Fatal("a tick repeated")
	}
	for n := uint32(2); n < 9; n++ {
		if r := take(t, table, 1, packet(messages.ModeFull, 265, n)); r.ticks != 1 {
			t.Fatal("a tick lost")
		}
	}
	if table.counts.Lost != 0 || table.counts.Repeated != 0 || table.swapping() {
		t.Errorf("%d lost, %d repeated", table.counts.Lost, table.counts.Repeated)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	table.join(ctx, 3, 3, aDay)
	if table.standby != 0 {
		t.Error("a withdrawn socket joined")
	}
	if table.withdraw(1, func() { t.Error("the leader was ended") }) {
		t.Error("the leader was withdrawn")
	}
}

func TestChunks(t *testing.T) {
	state, sink := NewStore(), newRecorder()
	state.Attach("recorder", sink)
	tokens := instruments(1200)
	w := messages.WantInstruments{Owner: "test"}
	for _, token := range tokens {
		w.Wants = append(w.Wants, messages.Want{InstrumentToken: token, Mode: messages.ModeQuote})
	}
	state.want(w, MaxShards, 3000)
	table := state.tables[0]
	table.join(context.Background(), 1, 4, aDay)
	var packets [][]byte
	for _, token := range tokens {
		packets = append(packets, packet(messages.ModeQuote, token, 1))
	}
	if r := take(t, table, 1, packets...); r.ticks != 1200 || !r.first || !r.firstTick {
		t.Fatalf("%+v", r)
	}
	// The announcement, then 512 + 512 + 176.
	if len(sink.generations) != 4 || sink.newest != 4 || len(sink.seen) != 1200 {
		t.Errorf("%d batches, generation %d, %d instruments", len(sink.generations), sink.newest, len(sink.seen))
	}
}

// In ltp the new socket's first packets are quotes: they have no twins.
func TestSwapInLTP(t *testing.T) {
	_, table, _ := testTable(messages.ModeLTP, 257)
	take(t, table, 1, packet(messages.ModeLTP, 257, 1))
	table.join(context.Background(), 2, 2, aDay)
	if r := take(t, table, 2, packet(messages.ModeQuote, 257, 1)); r.moved || r.ticks != 0 {
		t.Fatalf("%+v", r)
	}
	if r := take(t, table, 2, packet(messages.ModeLTP, 257, 1)); !r.moved || r.ticks != 0 {
		t.Fatalf("%+v", r)
	}
	if r := take(t, table, 2, packet(messages.ModeLTP, 257, 2)); r.ticks != 1 {
		t.Fatalf("%+v", r)
	}
}

// A tick far ahead of the clock does not move the newest exchange time, which
// decides about the phase and the age of the data; three instruments that agree
// prove the clock wrong.
func TestNewestIgnoresATickFarAhead(t *testing.T) {
	state, table, _ := testTable(messages.ModeFull, 257, 265, 513)
	state.Attach("checker", nil) // it knows two instruments only
	for _, step := range []struct {
		token, seconds uint32
		want           uint32
	}{{257, 1, 1}, {265, 3600, 1}, {257, 5, 5}, {513, 3601, 5}, {265, 3602, 5}, {257, 3603, 3603}} {
		if _, err := takeRaw(table, 1, wire.AppendFrame(nil, packet(messages.ModeFull, step.token, step.seconds)), aDay); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if got, want := state.Newest(aDay), aDay.Add(time.Duration(step.want)*time.Second); !got.Equal(want) {
				t.Errorf("after a tick of %d at second %d the newest is %v, want %v", step.token, step.seconds, got, want)
			}
		}
	}
}

// The rate is of whole seconds, but in the first one, of what has come in it.
func TestRateOfTheFirstSecond(t *testing.T) {
	var r rate
	start := time.Unix(1000, 0)
	if got := r.perSecond(start); got != 0 {
		t.Errorf("%v ticks/s before the first", got)
	}
	for _, c := range []struct {
		after time.Duration
		want  float64
	}{{100 * time.Millisecond, 30}, {1100 * time.Millisecond, 10}, {2100 * time.Millisecond, 20}, {3100 * time.Millisecond, 30}} {
		now := start.Add(c.after)
		r.add(now, 30)
		if got := r.perSecond(now); got != c.want {
			t.Errorf("%v ticks/s after %s, want %v", got, c.after, c.want)
		}
	}
}
