package wire

import (
	"encoding/binary"
	"errors"
	"testing"

	"kitestring/messages"
)

func FuzzDecode(f *testing.F) {
	p := samplePackets()
	f.Add([]byte{0})
	f.Add([]byte{})
	f.Add([]byte{0, 1, 0x7f, 0xff})
	f.Add(AppendFrame(nil, p[184], p[184], p[184]))
	f.Add(AppendFrame(nil, p[184], p[8], p[44], p[28], p[32], make([]byte, 20)))
	f.Add(AppendFrame(nil, p[184], p[8])[:150])
	f.Fuzz(func(t *testing.T, frame []byte) {
		var d Decoder
		first := messages.Tick{InstrumentToken: 42}
		got, err := d.Decode(frame, []messages.Tick{first})
		if (err == nil) != (WellFormed(frame) || Heartbeat(frame)) {
			t.Fatalf("decoded with %v, the check alone says otherwise", err)
		}
		if got[0] != first {
			t.Fatal("the tick that was there has changed")
		}
		if err != nil {
			var bad *FrameError
			if !errors.As(err, &bad) || len(got) != 1 || d.Stats != (Stats{}) {
				t.Fatalf("a bad frame left %d ticks, %+v, %v", len(got)-1, d.Stats, err)
			}
			return
		}
		ticks := got[1:]
		if len(frame) > 1 {
			if n := int(binary.BigEndian.Uint16(frame)); d.Packets != n || len(ticks)+d.UnknownLength != n {
				t.Fatalf("%d packets announced, counted %+v, %d ticks", n, d.Stats, len(ticks))
			}
		}
		end := uint32(2)
		for i := range ticks {
			k := &ticks[i]
			packet := PacketOf(frame, k)
			if packet == nil || k.Offset < end+2 {
				t.Fatalf("tick %d lies outside the frame or in another: %+v", i, k)
			}
			end = k.Offset + uint32(k.Length)
			if again := decodeOne(t, packet); !sameButOffset(again, *k) {
				t.Fatalf("tick %d: alone it is %+v, was %+v", i, again, *k)
			}
			if plain := fieldByField(packet); !sameButOffset(plain, *k) {
				t.Fatalf("tick %d: field by field it is %+v, was %+v", i, plain, *k)
			}
		}
	})
}

// fieldByField decodes a packet as the table in the package's doc has it.
func fieldByField(p []byte) messages.Tick {
	u := func(at int) uint32 { return binary.BigEndian.Uint32(p[at:]) }
	i := func(at int) int32 { return int32(u(at)) }
	t := messages.Tick{InstrumentToken: u(0), LastPrice: i(4), Length: uint8(len(p)), Mode: messages.ModeLTP}
	switch len(p) {
	case 28, 32:
		t.High, t.Low, t.Open, t.Close, t.Mode = i(8), i(12), i(16), i(20), messages.ModeQuote
		if len(p) == 32 {
			t.ExchangeTime, t.Mode = u(28), messages.ModeFull
		}
	case 44, 184:
		t.LastQuantity, t.AveragePrice, t.Volume, t.BuyQuantity, t.SellQuantity = u(8), i(12), u(16), u(20), u(24)
		t.Open, t.High, t.Low, t.Close, t.Mode = i(28), i(32), i(36), i(40), messages.ModeQuote
		if len(p) == 184 {
			t.LastTradeTime, t.OI, t.ExchangeTime, t.Mode = u(44), u(48), u(60), messages.ModeFull
		}
	}
	return t
}

func sameButOffset(a, b messages.Tick) bool {
	a.Offset, b.Offset = 0, 0
	return a == b
}
