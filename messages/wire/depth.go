package wire

import (
	"encoding/binary"

	"kitestring/messages"
)

// DepthLevel is one price level of the order book; Price is an integer with
// the segment's divisor.
type DepthLevel struct {
	Quantity uint32
	Price    int32
	Orders   uint16
}

// Depth is five levels each way, the best first.
type Depth struct{ Buy, Sell [5]DepthLevel }

// PacketOf is the packet that a tick was decoded from, inside the frame (the
// batch's Raw); nil when raw does not hold it.
func PacketOf(raw []byte, t *messages.Tick) []byte {
	from, to := uint64(t.Offset), uint64(t.Offset)+uint64(t.Length)
	if t.Length == 0 || to > uint64(len(raw)) {
		return nil
	}
	return raw[from:to:to]
}

// DepthOf reads the depth of a full packet; false for any other packet.
func DepthOf(packet []byte) (Depth, bool) {
	var d Depth
	if len(packet) != lenFull {
		return d, false
	}
	for i := range d.Buy {
		d.Buy[i] = level(packet[64+12*i:])
		d.Sell[i] = level(packet[124+12*i:])
	}
	return d, true
}

func level(p []byte) DepthLevel {
	return DepthLevel{
		Quantity: binary.BigEndian.Uint32(p),
		Price:    price(p[4:]),
		Orders:   binary.BigEndian.Uint16(p[8:]),
	}
}
