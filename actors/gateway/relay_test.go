package gateway

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kitestring/messages"
	"kitestring/messages/wire"
)

func testClient(name string) *client {
	return &client{name: name, out: newOutbox(), modes: map[uint32]messages.Mode{}}
}

// packetOf is a packet of an instrument whose bytes tell which one it is:
// count stands in the last price, and in the depth when it has one.
func packetOf(token uint32, mode messages.Mode, price, depth uint32) []byte {
	p := wire.AppendPacket(nil, &wire.Packet{Tick: messages.Tick{InstrumentToken: token, LastPrice: int32(price), ExchangeTime: 1_700_000_000}}, mode)
	if len(p) == packetMax {
		binary.BigEndian.PutUint32(p[64:], depth)
	}
	return p
}

func batchOf(t testing.TB, packets ...[]byte) *messages.Ticks {
	frame := wire.AppendFrame(nil, packets...)
	ticks, err := new(wire.Decoder).Decode(frame, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &messages.Ticks{Generation: 1, Received: time.Now(), Ticks: ticks, Raw: frame}
}

// framesOf reads what waits for a client as a WebSocket client would, and
// empties it.
func framesOf(t testing.TB, c *client) (packets [][]byte, texts []string) {
	buf, _ := c.out.take(nil)
	for len(buf) > 0 {
		op, size, head := buf[0], int(buf[1]), 2
		if size == 126 {
			size, head = int(binary.BigEndian.Uint16(buf[2:])), 4
			if size < 126 {
				t.Fatalf("a length of %d in the long form", size)
			}
		}
		payload := buf[head : head+size]
		buf = buf[head+size:]
		if op == opText {
			texts = append(texts, string(payload))
			continue
		}
		if wire.Heartbeat(payload) {
			continue
		}
		ticks, err := new(wire.Decoder).Decode(payload, nil)
		if err != nil || len(ticks) == 0 || len(ticks) > framePacks {
			t.Fatalf("a frame of %d packets: %v", len(ticks), err)
		}
		for _, tick := range ticks {
			packets = append(packets, payload[tick.Offset:tick.Offset+uint32(tick.Length)])
		}
	}
	return packets, texts
}

// Whatever clients command, the union is the highest mode that any of them
// asked for, and each gets packets of the mode that it asked for and of no
// other instrument; a full client gets each packet.
func TestUnionAndViews(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		now := time.Now()
		r := newRelay(100)
		clients := []*client{testClient("a"), testClient("b"), testClient("c")}
		model := make([]map[uint32]messages.Mode, len(clients))
		for i := range model {
			model[i] = map[uint32]messages.Mode{}
		}
		tokens := []uint32{256265, 408065, 11<<8 | 2, 12<<8 | 2}
		known := map[uint32]messages.Mode{} // mode of the newest packet
		for step := range rapid.IntRange(1, 40).Draw(rt, "steps") {
			if rapid.Bool().Draw(rt, "packet") {
				token := rapid.SampledFrom(tokens).Draw(rt, "token")
				mode := messages.ModeNone
				for _, m := range model {
					mode = max(mode, m[token])
				}
				if mode == messages.ModeNone {
					continue // upstream sends nothing of it
				}
				packet := packetOf(token, mode, uint32(step), uint32(step))
				r.take(batchOf(t, packet))
				known[token] = mode
				for i, c := range clients {
					got, _ := framesOf(t, c)
					want := model[i][token]
					if want == messages.ModeNone {
						if len(got) != 0 {
							rt.Fatalf("client %d got %d packets and asked for none", i, len(got))
						}
						continue
					}
					if len(got) != 1 || string(got[0]) != string(cut(packet, want)) {
						rt.Fatalf("client %d in %s got %x of a packet in %s", i, want, got, mode)
					}
				}
				continue
			}
			i := rapid.IntRange(0, len(clients)-1).Draw(rt, "client")
			cmd := wire.Command{
				Action:           rapid.SampledFrom([]string{wire.ActionSubscribe, wire.ActionUnsubscribe, wire.ActionMode}).Draw(rt, "action"),
				Mode:             rapid.SampledFrom([]messages.Mode{messages.ModeLTP, messages.ModeQuote, messages.ModeFull}).Draw(rt, "mode"),
				InstrumentTokens: rapid.SliceOfN(rapid.SampledFrom(tokens), 1, 3).Draw(rt, "tokens"),
			}
			r.apply(clients[i], cmd, now)
			for _, token := range cmd.InstrumentTokens {
				switch _, has := model[i][token]; {
				case cmd.Action == wire.ActionUnsubscribe:
					delete(model[i], token)
				case cmd.Action == wire.ActionMode:
					model[i][token] = cmd.Mode
				case !has:
					model[i][token] = messages.ModeQuote
				}
			}
			got, _ := framesOf(t, clients[i]) // cached packets
			for _, p := range got {
				token := binary.BigEndian.Uint32(p)
				if want := model[i][token]; want == messages.ModeNone && cmd.Action != wire.ActionUnsubscribe || known[token] == messages.ModeNone {
					rt.Fatalf("a cached packet of %d, which is %s here", token, want)
				}
			}
		}
		if wants, changed := r.wants(now); changed {
			union := map[uint32]messages.Mode{}
			for _, m := range model {
				for token, mode := range m {
					union[token] = max(union[token], mode)
				}
			}
			for _, w := range wants {
				if mode, is := union[w.InstrumentToken]; is && mode != w.Mode {
					rt.Fatalf("%d is wanted in %s, the highest mode is %s", w.InstrumentToken, w.Mode, mode)
				}
				delete(union, w.InstrumentToken)
			}
			if len(union) != 0 {
				rt.Fatalf("not wanted upstream: %v", union)
			}
		}
	})
}

func TestLowerModesGetWhatChanged(t *testing.T) {
	r, c := newRelay(10), testClient("a")
	const token = 11<<8 | 2
	r.apply(c, wire.Command{Action: wire.ActionMode, Mode: messages.ModeQuote, InstrumentTokens: []uint32{token}}, time.Now())
	steps := []struct {
		price, depth uint32
		packets      int
	}{{1, 1, 1}, {1, 2, 0}, {1, 3, 0}, {2, 3, 1}}
	for _, s := range steps {
		r.take(batchOf(t, packetOf(token, messages.ModeFull, s.price, s.depth)))
		if got, _ := framesOf(t, c); len(got) != s.packets {
			t.Errorf("price %d, depth %d: %d packets, want %d", s.price, s.depth, len(got), s.packets)
		}
	}
}

// A client that asks for more than is upstream gets no packet of the lower
// mode for a second, and what there is after it.
func TestRisingModeWaits(t *testing.T) {
	r, low, high := newRelay(10), testClient("low"), testClient("high")
	const token = 11<<8 | 2
	now := time.Now()
	r.apply(low, wire.Command{Action: wire.ActionSubscribe, InstrumentTokens: []uint32{token}}, now)
	r.take(batchOf(t, packetOf(token, messages.ModeQuote, 1, 0)))
	r.apply(high, wire.Command{Action: wire.ActionMode, Mode: messages.ModeFull, InstrumentTokens: []uint32{token}}, now)
	r.take(batchOf(t, packetOf(token, messages.ModeQuote, 2, 0)))
	if got, _ := framesOf(t, high); len(got) != 0 {
		t.Fatalf("got %d packets of the lower mode", len(got))
	}
	r.take(batchOf(t, packetOf(token, messages.ModeFull, 3, 0)))
	if got, _ := framesOf(t, high); len(got) != 1 || len(got[0]) != packetMax {
		t.Fatalf("the first full packet did not come: %x", got)
	}
	r.apply(high, wire.Command{Action: wire.ActionUnsubscribe, InstrumentTokens: []uint32{token}}, now)
	r.take(batchOf(t, packetOf(token, messages.ModeQuote, 4, 0)))
	r.apply(high, wire.Command{Action: wire.ActionMode, Mode: messages.ModeFull, InstrumentTokens: []uint32{token}}, now)
	r.settle(now.Add(riseWait))
	if got, _ := framesOf(t, high); len(got) != 1 || len(got[0]) != 44 {
		t.Fatalf("after the wait the newest quote comes, got %x", got)
	}
}

// Beyond its bound a slow client is conflated: what waits stays in order, and
// the newest packet of each instrument follows; nobody else notices.
func TestSlowClientResumesWithTheNewest(t *testing.T) {
	r, slow, fast := newRelay(10), testClient("slow"), testClient("fast")
	const token = 11<<8 | 2
	cmd := wire.Command{Action: wire.ActionMode, Mode: messages.ModeLTP, InstrumentTokens: []uint32{token}}
	r.apply(slow, cmd, time.Now())
	r.apply(fast, cmd, time.Now())
	const sent = mostWaiting + 1000
	for i := range uint32(sent) {
		r.take(batchOf(t, packetOf(token, messages.ModeLTP, i+1, 0)))
		if got, _ := framesOf(t, fast); len(got) != 1 {
			t.Fatalf("packet %d: the fast client got %d", i, len(got))
		}
	}
	var prices []uint32
	for {
		got, _ := framesOf(t, slow)
		for _, p := range got {
			prices = append(prices, binary.BigEndian.Uint32(p[4:]))
		}
		if len(got) == 0 {
			if _, behind := slow.out.take(nil); !behind {
				break
			}
			r.resume(slow)
		}
	}
	if len(prices) != mostWaiting+1 || prices[mostWaiting-1] != mostWaiting || prices[mostWaiting] != sent {
		t.Errorf("%d packets, the last %v; want the first %d in order and then %d", len(prices), prices[len(prices)-2:], mostWaiting, sent)
	}
	if _, conflated, _ := slow.out.counts(); conflated != sent-mostWaiting {
		t.Errorf("%d conflated, want %d", conflated, sent-mostWaiting)
	}
}

func TestLimits(t *testing.T) {
	r := newRelay(3500)
	a, b := testClient("a"), testClient("b")
	list := func(from, n uint32) (tokens []uint32) {
		for i := range n {
			tokens = append(tokens, (from+i)<<8|2)
		}
		return tokens
	}
	if no := r.apply(a, wire.Command{Action: wire.ActionSubscribe, InstrumentTokens: list(1, 3001)}, time.Now()); !reflect.DeepEqual(no, refused{socket: 1}) {
		t.Errorf("3001 instruments of a socket: %+v", no)
	}
	if no := r.apply(b, wire.Command{Action: wire.ActionSubscribe, InstrumentTokens: list(3001, 600)}, time.Now()); !reflect.DeepEqual(no, refused{capacity: 100}) {
		t.Errorf("more than the gateway's: %+v", no)
	}
	r.leave(a, time.Now())
	if no := r.apply(b, wire.Command{Action: wire.ActionSubscribe, InstrumentTokens: list(4001, 100)}, time.Now()); !reflect.DeepEqual(no, refused{}) {
		t.Errorf("what lingers must make room: %+v", no)
	}
	if used := r.capacity(); used != 3500 {
		t.Errorf("%d instruments are wanted", used)
	}
	if _, changed := r.wants(time.Now().Add(linger)); !changed {
		t.Error("nothing changed")
	}
	if used := r.capacity(); used != 600 {
		t.Errorf("%d instruments are wanted after the linger", used)
	}
}

func BenchmarkRelay(b *testing.B) {
	for _, clients := range []int{1, 10, 50} {
		b.Run(fmt.Sprint(clients, "-clients"), func(b *testing.B) {
			r := newRelay(5000)
			var all []*client
			var packets [][]byte
			cmd := wire.Command{Action: wire.ActionMode, Mode: messages.ModeFull}
			for i := range uint32(300) {
				cmd.InstrumentTokens = append(cmd.InstrumentTokens, (i+1)<<8|2)
				packets = append(packets, packetOf((i+1)<<8|2, messages.ModeFull, 1, 1))
			}
			for i := range clients {
				all = append(all, testClient(fmt.Sprint(i)))
				r.apply(all[i], cmd, time.Now())
			}
			batch := batchOf(b, packets...)
			spare := make([][]byte, clients)
			b.ReportAllocs()
			for b.Loop() {
				r.take(batch)
				for i, c := range all {
					spare[i], _ = c.out.take(spare[i])
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*300*clients), "ns/packet")
		})
	}
}
