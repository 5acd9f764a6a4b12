package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"
	"unsafe"

	"kitestring/messages"
)

func decodeOne(t testing.TB, packet []byte) messages.Tick {
	t.Helper()
	var d Decoder
	ticks, err := d.Decode(AppendFrame(nil, packet), nil)
	if err != nil || len(ticks) != 1 {
		t.Fatalf("Decode: %d ticks, %v", len(ticks), err)
	}
	return ticks[0]
}

// The published packets decode to the published values.
func TestPublishedPackets(t *testing.T) {
	compared := 0
	equal := func(file, what string, got, want any) {
		t.Helper()
		compared++
		if got != want {
			t.Errorf("%s: %s: got %v, want %v", file, what, got, want)
		}
	}
	for _, name := range []string{"ticker_full", "ticker_quote"} {
		packet := mockPacket(t, name+".packet")
		var want struct {
			Mode     string
			Tradable bool
			Token    uint32  `json:"instrument_token"`
			Last     float64 `json:"last_price"`
			LastQty  uint32  `json:"last_quantity"`
			Average  float64 `json:"average_price"`
			Volume   uint32
			Buy      uint32 `json:"buy_quantity"`
			Sell     uint32 `json:"sell_quantity"`
			OHLC     struct{ Open, High, Low, Close float64 }
			Traded   time.Time `json:"last_trade_time"`
			OI       uint32    `json:"oi"`
			OIHigh   uint32    `json:"oi_day_high"`
			OILow    uint32    `json:"oi_day_low"`
			Time     time.Time `json:"timestamp"`
			Depth    struct {
				Buy, Sell []struct {
					Price    float64
					Quantity uint32
					Orders   uint16
				}
			}
		}
		if err := json.Unmarshal(mock(t, name+".json"), &want); err != nil {
			t.Fatal(err)
		}
		k := decodeOne(t, packet)
		equal(name, "mode", k.Mode.String(), want.Mode)
		equal(name, "tradable", messages.SegmentOf(k.InstrumentToken) != messages.Indices, want.Tradable)
		equal(name, "instrument_token", k.InstrumentToken, want.Token)
		equal(name, "last_price", k.Price(k.LastPrice), want.Last)
		equal(name, "last_quantity", k.LastQuantity, want.LastQty)
		equal(name, "average_price", k.Price(k.AveragePrice), want.Average)
		equal(name, "volume", k.Volume, want.Volume)
		equal(name, "buy_quantity", k.BuyQuantity, want.Buy)
		equal(name, "sell_quantity", k.SellQuantity, want.Sell)
		equal(name, "open", k.Price(k.Open), want.OHLC.Open)
		equal(name, "high", k.Price(k.High), want.OHLC.High)
		equal(name, "low", k.Price(k.Low), want.OHLC.Low)
		equal(name, "close", k.Price(k.Close), want.OHLC.Close)
		// "change" was copied from the full packet into the quote mock: there
		// last price - close is 5.35. It is not sent with either.
		packetOut := Packet{Tick: k}
		if name == "ticker_full" {
			high, low, ok := OIExtremes(packet)
			depth, okDepth := DepthOf(packet)
			if !ok || !okDepth {
				t.Fatal("a full packet without extremes or depth")
			}
			equal(name, "last_trade_time", int64(k.LastTradeTime), want.Traded.Unix())
			equal(name, "timestamp", int64(k.ExchangeTime), want.Time.Unix())
			equal(name, "oi", k.OI, want.OI)
			equal(name, "oi_day_high", high, want.OIHigh)
			equal(name, "oi_day_low", low, want.OILow)
			for i := range want.Depth.Buy {
				for _, side := range []struct {
					name string
					got  DepthLevel
					want struct {
						Price    float64
						Quantity uint32
						Orders   uint16
					}
				}{{"buy", depth.Buy[i], want.Depth.Buy[i]}, {"sell", depth.Sell[i], want.Depth.Sell[i]}} {
					equal(name, side.name+" price", k.Price(side.got.Price), side.want.Price)
					equal(name, side.name+" quantity", side.got.Quantity, side.want.Quantity)
					equal(name, side.name+" orders", side.got.Orders, side.want.Orders)
				}
			}
			packetOut.OIDayHigh, packetOut.OIDayLow, packetOut.Depth = high, low, depth
		}
		compared++
		if again := AppendPacket(nil, &packetOut, k.Mode); !bytes.Equal(again, packet) {
			t.Errorf("%s: written again it is\n%x, was\n%x", name, again, packet)
		}
	}

	frame := mock(t, "js_ltpMode_binary.packet")
	var d Decoder
	ticks, err := d.Decode(frame, nil)
	if err != nil || len(ticks) != 1 {
		t.Fatalf("the ltp frame: %d ticks, %v", len(ticks), err)
	}
	k := ticks[0]
	equal("js_ltp", "instrument_token", k.InstrumentToken, uint32(884737))
	equal("js_ltp", "last_price", k.Price(k.LastPrice), 392.95)
	equal("js_ltp", "mode", k.Mode, messages.ModeLTP)
	equal("js_ltp", "frame", string(AppendFrame(nil, AppendPacket(nil, &Packet{Tick: k}, k.Mode))), string(frame))
	t.Logf("%d published values compared", compared)
}

func TestTickIsACacheLine(t *testing.T) {
	if size := unsafe.Sizeof(messages.Tick{}); size != 64 {
		t.Fatalf("a tick has %d bytes", size)
	}
}

// samplePackets holds one packet of every length, by length.
func samplePackets() map[int][]byte {
	p := &Packet{
		Tick: messages.Tick{
			InstrumentToken: 408065, LastPrice: -12, Open: 1, High: 2, Low: -3, Close: 4, AveragePrice: 5,
			LastQuantity: 6, Volume: 1<<32 - 1, BuyQuantity: 8, SellQuantity: 9, OI: 10, ExchangeTime: 11, LastTradeTime: 12,
		},
		OIDayHigh: 13, OIDayLow: 14, Change: -15,
	}
	for i := range p.Depth.Buy {
		p.Depth.Buy[i] = DepthLevel{uint32(100 + i), -int32(200 + i), uint16(300 + i)}
		p.Depth.Sell[i] = DepthLevel{uint32(400 + i), int32(500 + i), uint16(600 + i)}
	}
	index := *p
	index.InstrumentToken = 256265
	packets := map[int][]byte{}
	for _, made := range [][]byte{
		AppendPacket(nil, p, messages.ModeLTP), AppendPacket(nil, p, messages.ModeQuote), AppendPacket(nil, p, messages.ModeFull),
		AppendPacket(nil, &index, messages.ModeQuote), AppendPacket(nil, &index, messages.ModeFull),
	} {
		packets[len(made)] = made
	}
	return packets
}

func TestEveryLength(t *testing.T) {
	packets := samplePackets()
	base := messages.Tick{InstrumentToken: 408065, LastPrice: -12}
	quoted := messages.Tick{
		InstrumentToken: 408065, LastPrice: -12, Open: 1, High: 2, Low: -3, Close: 4, AveragePrice: 5,
		LastQuantity: 6, Volume: 1<<32 - 1, BuyQuantity: 8, SellQuantity: 9,
	}
	fullTick := quoted
	fullTick.OI, fullTick.ExchangeTime, fullTick.LastTradeTime = 10, 11, 12
	index := messages.Tick{InstrumentToken: 256265, LastPrice: -12, Open: 1, High: 2, Low: -3, Close: 4}
	indexFull := index
	indexFull.ExchangeTime = 11
	for length, c := range map[int]struct {
		want messages.Tick
		mode messages.Mode
	}{
		8:   {base, messages.ModeLTP},
		28:  {index, messages.ModeQuote},
		32:  {indexFull, messages.ModeFull},
		44:  {quoted, messages.ModeQuote},
		184: {fullTick, messages.ModeFull},
	} {
		c.want.Mode, c.want.Length, c.want.Offset = c.mode, uint8(length), 4
		// Memory that was used before must not shine through.
		dst := make([]messages.Tick, 1)
		fillWithOnes(dst)
		var d Decoder
		got, err := d.Decode(AppendFrame(nil, packets[length]), dst[:0])
		if err != nil || len(got) != 1 || got[0] != c.want {
			t.Errorf("%d bytes: got %+v, %v, want %+v", length, got, err, c.want)
		}
		change, ok := IndexChange(packets[length])
		if index := length == 28 || length == 32; ok != index || index && change != -15 {
			t.Errorf("%d bytes: change %d, %v", length, change, ok)
		}
		depth, ok := DepthOf(packets[length])
		if ok != (length == 184) || ok && (depth.Buy[4] != DepthLevel{104, -204, 304} || depth.Sell[0] != DepthLevel{400, 500, 600}) {
			t.Errorf("%d bytes: depth %+v, %v", length, depth, ok)
		}
		high, low, ok := OIExtremes(packets[length])
		if ok != (length == 184) || ok && (high != 13 || low != 14) {
			t.Errorf("%d bytes: OI extremes %d %d, %v", length, high, low, ok)
		}
	}
}

func fillWithOnes(ticks []messages.Tick) {
	for i := range ticks {
		v := reflect.ValueOf(&ticks[i]).Elem()
		for f := range v.NumField() {
			switch field := v.Field(f); {
			case field.CanInt():
				if field.CanSet() {
					field.SetInt(-1)
				}
			case field.CanUint():
				if field.CanSet() {
					field.SetUint(1)
				}
			}
		}
	}
}

func TestFrames(t *testing.T) {
	p := samplePackets()
	mixed := AppendFrame(nil, p[184], p[8], p[44], p[28], p[32], p[184])
	unknown := AppendFrame(nil, p[184], make([]byte, 20), nil, p[8], make([]byte, 400))
	segment := bytes.Clone(p[8])
	segment[3] = 200
	for _, c := range []struct {
		name   string
		frame  []byte
		ticks  int
		reason FrameReason
		stats  Stats
	}{
		{"heartbeat", HeartbeatFrame(), 0, "", Stats{}},
		{"one byte that is not zero", []byte{7}, 0, "", Stats{}},
		{"no packets", []byte{0, 0}, 0, "", Stats{}},
		{"mixed", mixed, 6, "", Stats{Packets: 6}},
		{"unknown lengths", unknown, 2, "", Stats{Packets: 5, UnknownLength: 3}},
		{"unknown segment", AppendFrame(nil, segment), 1, "", Stats{Packets: 1, UnknownSegment: 1}},
		{"nothing", nil, 0, FrameShort, Stats{}},
		{"count without packets", []byte{0, 1}, 0, FrameCount, Stats{}},
		{"half a length", []byte{0, 1, 0}, 0, FrameTruncated, Stats{}},
		{"length beyond the frame", []byte{0, 1, 0x7f, 0xff, 1, 2, 3}, 0, FrameTruncated, Stats{}},
		{"count too big", append([]byte{0xff, 0xff}, mixed[2:]...), 0, FrameCount, Stats{}},
		{"count too small", append([]byte{0, 5}, mixed[2:]...), 0, FrameCount, Stats{}},
		{"bytes after the last packet", append(slices.Clone(mixed), 0), 0, FrameCount, Stats{}},
		{"oversized", make([]byte, MaxFrame+1), 0, FrameOversized, Stats{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d Decoder
			before := []messages.Tick{{InstrumentToken: 1}}
			got, err := d.Decode(c.frame, before)
			var bad *FrameError
			if errors.As(err, &bad); (bad == nil) != (c.reason == "") || bad != nil && bad.Reason != c.reason {
				t.Fatalf("error %v, want reason %q", err, c.reason)
			}
			if bad != nil && !slices.Contains(FrameReasons[:], bad.Reason) {
				t.Errorf("%q is not in FrameReasons", bad.Reason)
			}
			if len(got) != 1+c.ticks || got[0] != before[0] {
				t.Errorf("%d ticks after one that was there, want %d", len(got)-1, c.ticks)
			}
			if d.Stats != c.stats {
				t.Errorf("counted %+v, want %+v", d.Stats, c.stats)
			}
		})
	}
}

// Whatever the length at which a frame is cut, nothing of it becomes a tick,
// not even when the buffer behind it still holds the rest.
func TestCutFrames(t *testing.T) {
	p := samplePackets()
	frame := AppendFrame(nil, p[184], p[8], p[44], p[28], p[32], p[184])
	for n := 2; n < len(frame); n++ {
		var d Decoder
		got, err := d.Decode(frame[:n], nil)
		var bad *FrameError
		if !errors.As(err, &bad) || len(got) != 0 {
			t.Fatalf("cut at %d of %d: %d ticks, %v", n, len(frame), len(got), err)
		}
	}
}

func TestPacketOf(t *testing.T) {
	p := samplePackets()
	frame := AppendFrame(nil, p[184], p[8])
	var d Decoder
	ticks, err := d.Decode(frame, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, length := range []int{184, 8} {
		if got := PacketOf(frame, &ticks[i]); !bytes.Equal(got, p[length]) {
			t.Errorf("tick %d: packet %x", i, got)
		}
	}
	if got := PacketOf(frame[:100], &ticks[0]); got != nil {
		t.Errorf("a packet of bytes that are gone: %x", got)
	}
	if got := PacketOf(frame, &messages.Tick{}); got != nil {
		t.Errorf("a packet of no tick: %x", got)
	}
}

// OIExtremes reads the day's highest and lowest open interest of a full
// packet; false for any other packet.
func OIExtremes(packet []byte) (high, low uint32, ok bool) {
	if len(packet) != lenFull {
		return 0, 0, false
	}
	return binary.BigEndian.Uint32(packet[52:]), binary.BigEndian.Uint32(packet[56:]), true
}

// IndexChange reads the absolute price change that Kite sends with an index;
// false for any other packet.
func IndexChange(packet []byte) (int32, bool) {
	if len(packet) != lenIndexQuote && len(packet) != lenIndexFull {
		return 0, false
	}
	return price(packet[24:]), true
}
