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
		}
	})
}

func sameButOffset(a, b messages.Tick) bool {
	a.Offset, b.Offset = 0, 0
	return a == b
}
