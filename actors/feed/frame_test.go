package feed

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	"kitestring/messages"
	"kitestring/messages/wire"
)

// batches counts what checker looks at.
type batches struct {
	checker
	n int
}

func (b *batches) Push(batch *messages.Ticks) bool {
	b.n++
	return b.checker.Push(batch)
}

// put takes a message of one packet as a reader that has more in its buffer.
func put(t *testing.T, table *table, f *frame, n uint32) {
	t.Helper()
	raw := wire.AppendFrame(nil, packet(messages.ModeFull, 257, n))
	if r, err := takeBehind(table, 1, f, raw, time.Now()); err != nil || r.ticks != 1 {
		t.Fatal(r, err)
	}
}

// Frames that came together are one batch, and nobody who looks at the table
// sees a tick that has not been pushed.
func TestBurst(t *testing.T) {
	state, table, _ := testTable(messages.ModeFull, 257)
	sink := &batches{}
	state.Attach("checker", sink)
	f := table.frame(1)
	put(t, table, f, 1) // the first of its generation waits for nothing
	if sink.n != 2 || sink.ticks != 1 {
		t.Fatalf("%d batches, %d ticks after the first", sink.n, sink.ticks)
	}
	for n := range uint32(5) {
		put(t, table, f, 2+n)
	}
	if sink.n != 2 {
		t.Fatal("a batch within the burst")
	}
	table.pause()
	if sink.n != 3 || sink.ticks != 6 {
		t.Fatalf("%d batches, %d ticks after the pause", sink.n, sink.ticks)
	}
	put(t, table, f, 7)
	if tick, ok := state.LastTick(257); !ok || tick.LastPrice != 7 || sink.n != 4 || sink.ticks != 7 {
		t.Fatalf("%+v seen, %d batches, %d ticks pushed", tick, sink.n, sink.ticks)
	}
	for n := range uint32(chunkTicks) {
		if cap(f.raw)-len(f.raw) < packetMax+4 {
			f.release()
			f = table.frame(1)
		}
		put(t, table, f, 8+n)
	}
	table.pause()
	if sink.ticks != 7+chunkTicks || table.counts.Lost+table.counts.Repeated != 0 {
		t.Errorf("%d ticks", sink.ticks)
	}
	f.release()
}

// A burst without a pause is pushed when it fills a batch.
func TestBurstIsBounded(t *testing.T) {
	state, table, _ := testTable(messages.ModeFull, 257)
	sink := &batches{}
	state.Attach("checker", sink)
	f := table.frame(frameClasses[2])
	for n := range uint32(1 + chunkTicks) {
		put(t, table, f, 1+n)
	}
	if sink.n != 3 || sink.ticks != 1+chunkTicks {
		t.Errorf("%d batches, %d ticks", sink.n, sink.ticks)
	}
	f.release()
}

// Small frames that one read brings are one batch, which waits neither for the
// rest of a frame nor for the answer to a ping.
func TestSmallFramesShareABatch(t *testing.T) {
	r := adoptedRig(t, []uint32{257}, func(r *rig) { r.venue.set(func(v *venue) { v.quiet = true }) })
	frames := func(n int) (sent []byte) {
		r.venue.set(func(v *venue) {
			for range n {
				v.trade(257, 1)
				frame := wire.AppendFrame(nil, v.packet(257, messages.ModeFull))
				sent = append(append(sent, 0x82, 126, 0, byte(len(frame))), frame...)
			}
		})
		return sent
	}
	say := func(part []byte) {
		r.venue.set(func(v *venue) {
			for s := range v.sockets {
				if _, err := s.conn.NetConn().Write(part); err != nil {
					t.Error(err)
				}
			}
		})
	}
	// Who looks at the table ends the burst, and the feed looks now and then: of
	// several bursts one at least is left in peace.
	n := 0
	for tries := 0; n != 1 && tries < 10; tries++ {
		ticks, batches := r.sink.count(257), r.sink.batches()
		say(frames(3))
		r.until("three ticks", func() bool { return r.sink.count(257) == ticks+3 })
		n = r.sink.batches() - batches
	}
	if n != 1 {
		t.Errorf("three frames were %d batches", n)
	}
	ticks, sent := r.sink.count(257), frames(4)
	at := len(sent) * 3 / 4
	sent = slices.Insert(sent, at, 0x89, 0) // a ping
	say(sent[:at+100])
	r.until("three ticks", func() bool { return r.sink.count(257) == ticks+3 })
	say(sent[at+100:])
	r.until("the last tick", func() bool { return r.sink.count(257) == ticks+4 })
	if lost, repeated := r.sink.check(); lost != 0 || repeated != 0 {
		t.Errorf("%d lost, %d repeated", lost, repeated)
	}
}

// Messages of any length arrive whole, wherever they begin in a frame and
// whatever parts they come in; too long ones are cut. What has been published of
// a frame never changes.
func TestInbox(t *testing.T) {
	_, table, _ := testTable(messages.ModeFull, 257)
	sizes := []int{1, 0, 9302, 1, 60 << 10, 9302, 9302, 300 << 10, wire.MaxFrame, 40, wire.MaxFrame + 1, 40 << 10, wire.MaxFrame + 9, 70 << 10, 70 << 10, 70 << 10}
	for name, source := range map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "halves": iotest.HalfReader,
	} {
		t.Run(name, func(t *testing.T) {
			var stream []byte
			var sent [][]byte
			for i, size := range sizes {
				message := bytes.Repeat([]byte{byte(i), 1, 2, 3, 5, 7, 11}, size/7+1)[:size]
				sent = append(sent, message)
				stream = append(stream, 0x82, 127)
				stream = append(binary.BigEndian.AppendUint64(stream, uint64(size)), message...)
			}
			in := inbox{table: table}
			in.reader = wire.Reader{
				Source: io.MultiReader(source(bytes.NewReader(stream)), iotest.ErrReader(iotest.ErrTimeout)), Room: in.room, Limit: readLimit, Most: wire.MaxFrame,
				Payload: func(int) {}, Answer: func(int, []byte) error { return nil },
			}
			var held []*frame
			var seen [][]byte
			for i, message := range sent {
				kind, from, to, err := in.reader.Next()
				if err != nil || kind != wire.OpBinary {
					t.Fatal(kind, err)
				}
				if want := min(len(message), wire.MaxFrame+1); to-from != want || !bytes.Equal(in.memory[from:to], message[:want]) {
					t.Fatalf("message %d: %d of %d bytes, or others", i, to-from, want)
				}
				in.frame.open.Add(1) // as if it brought ticks
				held, seen = append(held, in.frame), append(seen, in.memory[from:to])
			}
			if _, _, _, err := in.reader.Next(); err != iotest.ErrTimeout {
				t.Error(err)
			}
			for i, got := range seen {
				if !bytes.Equal(got, sent[i][:len(got)]) {
					t.Errorf("message %d has changed", i)
				}
			}
			in.close()
			for _, f := range held {
				f.release()
			}
		})
	}
}

// clumsy is a sink that panics when it is asked to.
type clumsy struct{ panics bool }

func (c *clumsy) Push(*messages.Ticks) bool {
	if c.panics {
		panic("a sink's panic")
	}
	return false
}

// A panic in a sink costs that sink its batch, on whatever path the batch goes
// out: nothing stays locked, and every other sink gets its ticks.
func TestSinkPanics(t *testing.T) {
	ctx := context.Background()
	for name, path := range map[string]func(state *Store, table *table){
		"pause":     func(_ *Store, table *table) { table.pause() },
		"frame":     func(_ *Store, table *table) { table.frame(1).release() },
		"stats":     func(state *Store, _ *table) { state.Stats() },
		"last tick": func(state *Store, _ *table) { state.LastTick(257) },
		"newest":    func(state *Store, _ *table) { state.Newest(time.Now()) },
		"sequence":  func(state *Store, _ *table) { state.sequence() },
		"seed":      func(state *Store, _ *table) { state.Seed("x", func() {}) },
		"attach":    func(state *Store, _ *table) { state.Attach("x", &batches{}) },
		"wants": func(state *Store, _ *table) {
			state.want(messages.WantInstruments{Owner: "more", Wants: []messages.Want{{InstrumentToken: 513, Mode: messages.ModeFull}}}, MaxShards, 3000)
		},
		"gaps":   func(_ *Store, table *table) { table.takeGaps() },
		"vitals": func(_ *Store, table *table) { table.vitals() },
		"leave":  func(_ *Store, table *table) { table.leave(1, messages.GapReconnect, time.Now()) },
		"reset":  func(_ *Store, table *table) { table.reset(true, nil, table.panicked) },
		"swap": func(_ *Store, table *table) {
			table.join(ctx, 2, 2, aDay)
			raw := wire.AppendFrame(nil, packet(messages.ModeFull, 257, 2), packet(messages.ModeFull, 265, 1))
			_, _ = takeRaw(table, 2, raw, time.Now())
			table.settle(2, true, true, time.Now())
		},
		"the older socket dies": func(_ *Store, table *table) {
			table.join(ctx, 2, 2, aDay)
			_, _ = takeRaw(table, 2, wire.AppendFrame(nil, packet(messages.ModeFull, 257, 9)), time.Now())
			table.leave(1, messages.GapReconnect, time.Now())
		},
		"withdraw": func(_ *Store, table *table) {
			table.join(ctx, 2, 2, aDay)
			table.withdraw(2, func() {})
		},
		"write": func(_ *Store, table *table) {
			a, b := net.Pipe()
			_ = b.Close()
			_, _ = (&meteredConn{Conn: a, stream: &stream{table: table}}).Write([]byte("x"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			state, table, _ := testTable(messages.ModeFull, 257, 265)
			bad, good := &clumsy{}, &batches{}
			state.Attach("bad", bad)
			state.Attach("good", good)
			panics := 0
			table.panicked = func(sink string, _ any) {
				if sink != "bad" {
					t.Errorf("the panic of %s", sink)
				}
				panics++
			}
			f := table.frame(1)
			put(t, table, f, 1) // the first one waits for nothing
			put(t, table, f, 2)
			bad.panics = true
			path(state, table)
			if panics == 0 || good.ticks < 2 {
				t.Errorf("%d panics, %d ticks at the other sink", panics, good.ticks)
			}
			f.release()
			for i, table := range state.tables {
				if !table.mu.TryLock() {
					t.Fatalf("table %d is still locked", i)
				}
				table.mu.Unlock()
			}
		})
	}
}

// A panic of the table's own goes up, and leaves nothing locked.
func TestPanicInAFlush(t *testing.T) {
	state, table, _ := testTable(messages.ModeFull, 257, 265)
	f := table.frame(1)
	defer f.release()
	for name, path := range map[string]func(){
		"pause": func() { table.pause() }, "stats": func() { state.Stats() }, "last tick": func() { state.LastTick(257) },
		"seed": func() { state.Seed("x", func() {}) }, "write": func() { _, _ = (&meteredConn{stream: &stream{table: table}}).Write(nil) },
	} {
		table.observe = nil
		put(t, table, f, 1+uint32(len(f.ticks)))
		table.pause()
		put(t, table, f, 1+uint32(len(f.ticks)))
		table.observe = func(uint32, time.Time) { panic("a panic in the flush") }
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			path()
		}()
		for i, table := range state.tables {
			if !table.mu.TryLock() {
				t.Fatalf("%s: table %d is still locked", name, i)
			}
			table.mu.Unlock()
		}
	}
}
