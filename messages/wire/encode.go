package wire

import (
	"encoding/binary"
	"fmt"
	"math"

	"kitestring/messages"
)

// HeartbeatFrame is what Kite sends about once a second when there is nothing
// else to send. A copy for each caller: nobody can spoil the next one's.
func HeartbeatFrame() []byte { return []byte{0} }

// Packet is everything that a packet of any mode can carry. Tick's Offset,
// Length and Mode are ignored when it is written.
type Packet struct {
	messages.Tick
	OIDayHigh, OIDayLow uint32
	Change              int32 // of an index: last price - close
	Depth               Depth
}

// AppendPacket writes p as Kite would in a mode: 28 or 32 bytes for an index
// (segment Indices) in quote and full, 44 or 184 for everything else, 8 in
// ltp. A mode that is none of the three writes nothing.
func AppendPacket(dst []byte, p *Packet, mode messages.Mode) []byte {
	index := messages.SegmentOf(p.InstrumentToken) == messages.Indices
	switch mode {
	case messages.ModeLTP:
		return appendLTP(dst, p)
	case messages.ModeQuote:
		if index {
			return appendIndex(dst, p)
		}
		return appendQuote(dst, p)
	case messages.ModeFull:
		if index {
			return u32(appendIndex(dst, p), p.ExchangeTime)
		}
		return appendFull(dst, p)
	default:
		return dst
	}
}

func u32(dst []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(dst, v) }
func i32(dst []byte, v int32) []byte  { return u32(dst, uint32(v)) }

func appendLTP(dst []byte, p *Packet) []byte {
	return i32(u32(dst, p.InstrumentToken), p.LastPrice)
}

func appendIndex(dst []byte, p *Packet) []byte {
	dst = appendLTP(dst, p)
	for _, v := range [...]int32{p.High, p.Low, p.Open, p.Close, p.Change} {
		dst = i32(dst, v)
	}
	return dst
}

func appendQuote(dst []byte, p *Packet) []byte {
	dst = appendLTP(dst, p)
	dst = u32(dst, p.LastQuantity)
	dst = i32(dst, p.AveragePrice)
	dst = u32(dst, p.Volume)
	dst = u32(dst, p.BuyQuantity)
	dst = u32(dst, p.SellQuantity)
	for _, v := range [...]int32{p.Open, p.High, p.Low, p.Close} {
		dst = i32(dst, v)
	}
	return dst
}

func appendFull(dst []byte, p *Packet) []byte {
	dst = appendQuote(dst, p)
	for _, v := range [...]uint32{p.LastTradeTime, p.OI, p.OIDayHigh, p.OIDayLow, p.ExchangeTime} {
		dst = u32(dst, v)
	}
	for _, side := range [...]*[5]DepthLevel{&p.Depth.Buy, &p.Depth.Sell} {
		for _, l := range side {
			dst = i32(u32(dst, l.Quantity), l.Price)
			dst = binary.BigEndian.AppendUint16(dst, l.Orders)
			dst = append(dst, 0, 0)
		}
	}
	return dst
}

// AppendFrame writes one frame of ready packets. It panics when Kite's format
// cannot hold them: more than 65,535 packets, or a packet that long.
func AppendFrame(dst []byte, packets ...[]byte) []byte {
	if len(packets) > math.MaxUint16 {
		panic(fmt.Sprintf("wire: %d packets in a frame", len(packets)))
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(packets)))
	for _, p := range packets {
		if len(p) > math.MaxUint16 {
			panic(fmt.Sprintf("wire: packet of %d bytes", len(p)))
		}
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(p)))
		dst = append(dst, p...)
	}
	return dst
}
