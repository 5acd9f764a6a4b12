package wire

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"kitestring/messages"
)

func drawPacket(t *rapid.T) Packet {
	u := rapid.Uint32()
	i := rapid.Int32()
	var p Packet
	segment := rapid.SampledFrom(segments).Draw(t, "segment")
	p.InstrumentToken = u.Draw(t, "instrument token")&^0xff | uint32(segment)
	for _, f := range []*int32{&p.LastPrice, &p.Open, &p.High, &p.Low, &p.Close, &p.AveragePrice, &p.Change} {
		*f = i.Draw(t, "price")
	}
	for _, f := range []*uint32{
		&p.LastQuantity, &p.Volume, &p.BuyQuantity, &p.SellQuantity, &p.OI, &p.ExchangeTime, &p.LastTradeTime,
		&p.OIDayHigh, &p.OIDayLow,
	} {
		*f = u.Draw(t, "number")
	}
	for n := range p.Depth.Buy {
		for _, l := range []*DepthLevel{&p.Depth.Buy[n], &p.Depth.Sell[n]} {
			*l = DepthLevel{u.Draw(t, "quantity"), i.Draw(t, "price"), rapid.Uint16().Draw(t, "orders")}
		}
	}
	return p
}

// carried is what a packet of a mode carries of p.
func carried(p Packet, mode messages.Mode) Packet {
	index := messages.SegmentOf(p.InstrumentToken) == messages.Indices
	c := Packet{Tick: messages.Tick{InstrumentToken: p.InstrumentToken, LastPrice: p.LastPrice, Mode: mode, Length: lenLTP}}
	if mode == messages.ModeLTP {
		return c
	}
	c.Open, c.High, c.Low, c.Close = p.Open, p.High, p.Low, p.Close
	if index {
		c.Change, c.Length = p.Change, lenIndexQuote
		if mode == messages.ModeFull {
			c.ExchangeTime, c.Length = p.ExchangeTime, lenIndexFull
		}
		return c
	}
	c.AveragePrice, c.LastQuantity, c.Volume = p.AveragePrice, p.LastQuantity, p.Volume
	c.BuyQuantity, c.SellQuantity, c.Length = p.BuyQuantity, p.SellQuantity, lenQuote
	if mode == messages.ModeFull {
		c.OI, c.ExchangeTime, c.LastTradeTime = p.OI, p.ExchangeTime, p.LastTradeTime
		c.OIDayHigh, c.OIDayLow, c.Depth, c.Length = p.OIDayHigh, p.OIDayLow, p.Depth, lenFull
	}
	return c
}

// What is written is read: every packet of a frame, whatever its neighbours.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		modes := []messages.Mode{messages.ModeLTP, messages.ModeQuote, messages.ModeFull}
		var (
			raw  [][]byte
			want []Packet
		)
		for range rapid.IntRange(0, 6).Draw(t, "packets") {
			p, mode := drawPacket(t), rapid.SampledFrom(modes).Draw(t, "mode")
			raw = append(raw, AppendPacket(nil, &p, mode))
			want = append(want, carried(p, mode))
		}
		frame := AppendFrame(nil, raw...)
		var d Decoder
		ticks, err := d.Decode(frame, nil)
		if err != nil || len(ticks) != len(want) {
			t.Fatalf("%d ticks of %d, %v", len(ticks), len(want), err)
		}
		for i := range ticks {
			packet := PacketOf(frame, &ticks[i])
			got := Packet{Tick: ticks[i]}
			got.Offset = 0
			got.OIDayHigh, got.OIDayLow, _ = OIExtremes(packet)
			got.Depth, _ = DepthOf(packet)
			got.Change, _ = IndexChange(packet)
			if got != want[i] {
				t.Fatalf("packet %d:\ngot  %+v\nwant %+v", i, got, want[i])
			}
		}
	})
}

func TestWriterLimits(t *testing.T) {
	if p := AppendPacket(nil, &Packet{}, messages.ModeNone); len(p) != 0 {
		t.Error("a mode without a packet left something")
	}
	p := AppendPacket(nil, &Packet{}, messages.ModeLTP)
	var d Decoder
	if ticks, err := d.Decode(AppendFrame(nil, slices.Repeat([][]byte{p}, 65535)...), nil); err != nil || len(ticks) != 65535 {
		t.Errorf("the fullest frame: %d ticks, %v", len(ticks), err)
	}
	for _, packets := range [][][]byte{slices.Repeat([][]byte{nil}, 65536), {make([]byte, 65536)}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("AppendFrame wrote what the format cannot hold")
				}
			}()
			AppendFrame(nil, packets...)
		}()
	}
}
