package wire

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
	_ "unsafe" // for linkname

	"github.com/zerodha/gokiteconnect/v4/models"
	kiteticker "github.com/zerodha/gokiteconnect/v4/ticker"

	"kitestring/actors/actorstest"
	"kitestring/messages"
)

// officialDecode is what the official client runs on every binary message; it
// is not exported, and its client hands ticks out one callback at a time.
//
//go:linkname officialDecode github.com/zerodha/gokiteconnect/v4/ticker.(*Ticker).parseBinary
func officialDecode(t *kiteticker.Ticker, frame []byte) ([]models.Tick, error)

var (
	segments = []messages.Segment{
		messages.NSE, messages.NFO, messages.CDS, messages.BSE, messages.BFO, messages.BCD,
		messages.MCX, messages.MCXSX, messages.Indices, messages.NCO, 0, 10, 11, 13, 255,
	}
	lengths = []int{lenLTP, lenIndexQuote, lenIndexFull, lenQuote, lenFull}
)

// officialDivisor is what v4.4.0 divides by: it does not know NCO.
func officialDivisor(s messages.Segment) float64 {
	switch s {
	case messages.CDS:
		return 1e7
	case messages.BCD:
		return 1e4
	default:
		return 100
	}
}

// known counts where the official decoder is wrong, so that a version of it
// that is right makes the test fail and us look again.
type known struct {
	negative, divisor, quoteChange int
}

// randomFrame fills frame with packets of random bytes. Kite sends index
// lengths for indices only and the others for everything else; the decoders
// go by length alone, so every pair is tried.
func randomFrame(rng *rand.Rand, frame []byte, packets int) []byte {
	frame = binary.BigEndian.AppendUint16(frame[:0], uint16(packets))
	for range packets {
		length := lengths[rng.IntN(len(lengths))]
		frame = binary.BigEndian.AppendUint16(frame, uint16(length))
		at := len(frame)
		for len(frame) < at+length {
			v := rng.Uint32()
			switch v % 8 {
			case 0:
				v = 0
			case 1:
				v = 1<<32 - 1
			case 2, 3, 4, 5:
				v >>= 1 // mostly prices that are not negative
			}
			frame = binary.BigEndian.AppendUint32(frame, v)
		}
		frame[at+3] = byte(segments[rng.IntN(len(segments))])
	}
	return frame
}

// Same frames, same ticks, except where the official decoder is known to be
// wrong; there it must be wrong in the known way.
func TestOfficialDecoderAgrees(t *testing.T) {
	const packets = 500
	frames := 2400
	if actorstest.Race || testing.Short() {
		frames = 100
	}
	rng := rand.New(rand.NewPCG(20260302, 184))
	official := kiteticker.New("key", "token")
	var (
		d     Decoder
		frame []byte
		ticks []messages.Tick
		k     known
	)
	for range frames {
		frame = randomFrame(rng, frame, packets)
		var err error
		if ticks, err = d.Decode(frame, ticks[:0]); err != nil {
			t.Fatal(err)
		}
		want, err := officialDecode(official, frame)
		if err != nil {
			t.Fatal(err)
		}
		if len(ticks) != len(want) {
			t.Fatalf("%d ticks, the official decoder has %d", len(ticks), len(want))
		}
		for i := range ticks {
			if diff := k.compare(frame, &ticks[i], &want[i]); diff != "" {
				t.Fatalf("%s\nours     %+v\nofficial %+v", diff, ticks[i], want[i])
			}
		}
	}
	if k.negative == 0 || k.divisor == 0 || k.quoteChange == 0 {
		t.Errorf("a known error of the official decoder was not met: %+v", k)
	}
	t.Logf("%d packets compared; the official decoder's known errors: %d packets with negative prices unsigned, %d of NCO 100 times too high, %d quotes with change 0",
		d.Packets, k.negative, k.divisor, k.quoteChange)
}

func (k *known) compare(frame []byte, got *messages.Tick, want *models.Tick) string {
	segment := messages.SegmentOf(got.InstrumentToken)
	divisor := officialDivisor(segment)
	negative := false
	price := func(what string, ours int32, official float64) string {
		// The official decoder reads prices unsigned.
		if float64(uint32(ours))/divisor != official {
			return fmt.Sprintf("%s %d is not %v", what, ours, official)
		}
		negative = negative || ours < 0
		right := got.Price(ours)
		switch {
		case ours < 0:
			if right == official {
				return what + ": negative, and yet the same"
			}
		case segment == messages.NCO:
			if ours > 0 && (right == official || float64(ours)/100 != official) {
				return what + ": NCO, and yet the same"
			}
		case right != official:
			return fmt.Sprintf("%s: %v, official %v", what, right, official)
		}
		return ""
	}
	number := func(what string, ours, official uint32) string {
		if ours != official {
			return fmt.Sprintf("%s: %d, official %d", what, ours, official)
		}
		return ""
	}
	moment := func(what string, ours uint32, official models.Time, sent bool) string {
		if !sent {
			if ours != 0 || !official.IsZero() {
				return what + ": not sent, and yet there"
			}
		} else if !official.Equal(time.Unix(int64(ours), 0)) {
			return fmt.Sprintf("%s: %d, official %v", what, ours, official)
		}
		return ""
	}
	packet := PacketOf(frame, got)
	full := got.Length == lenFull
	checks := []string{
		number("instrument token", got.InstrumentToken, want.InstrumentToken),
		price("last price", got.LastPrice, want.LastPrice),
		price("open", got.Open, want.OHLC.Open),
		price("high", got.High, want.OHLC.High),
		price("low", got.Low, want.OHLC.Low),
		price("close", got.Close, want.OHLC.Close),
		price("average price", got.AveragePrice, want.AverageTradePrice),
		number("last quantity", got.LastQuantity, want.LastTradedQuantity),
		number("volume", got.Volume, want.VolumeTraded),
		number("buy quantity", got.BuyQuantity, want.TotalBuyQuantity),
		number("sell quantity", got.SellQuantity, want.TotalSellQuantity),
		number("OI", got.OI, want.OI),
		moment("exchange time", got.ExchangeTime, want.Timestamp, full || got.Length == lenIndexFull),
		moment("last trade time", got.LastTradeTime, want.LastTradeTime, full),
	}
	if got.Mode.String() != want.Mode {
		checks = append(checks, "mode")
	}
	if index := segment == messages.Indices; index != want.IsIndex || index == want.IsTradable {
		checks = append(checks, "index or tradable")
	}
	if high, low, _ := OIExtremes(packet); high != want.OIDayHigh || low != want.OIDayLow {
		checks = append(checks, "OI extremes")
	}
	depth, _ := DepthOf(packet)
	for i := range depth.Buy {
		for _, side := range [...]struct {
			ours     DepthLevel
			official models.DepthItem
		}{{depth.Buy[i], want.Depth.Buy[i]}, {depth.Sell[i], want.Depth.Sell[i]}} {
			checks = append(checks, price("depth", side.ours.Price, side.official.Price),
				number("depth quantity", side.ours.Quantity, side.official.Quantity),
				number("depth orders", uint32(side.ours.Orders), side.official.Orders))
		}
	}
	// Its change is absolute, and missing from quotes that are no index.
	change := want.LastPrice - want.OHLC.Close
	if got.Length == lenQuote || got.Length == lenLTP {
		if got.Length == lenQuote && change != 0 {
			k.quoteChange++
		}
		change = 0
	}
	if want.NetChange != change {
		checks = append(checks, fmt.Sprintf("change: official %v, expected %v", want.NetChange, change))
	}
	if negative {
		k.negative++
	}
	if segment == messages.NCO {
		k.divisor++
	}
	for _, c := range checks {
		if c != "" {
			return c
		}
	}
	return ""
}

// Where the official decoder makes ticks of what is none, we do not.
func TestOfficialDecoderInventsTicks(t *testing.T) {
	p := samplePackets()
	official := kiteticker.New("key", "token")
	decode := func(frame []byte) (ticks []models.Tick, panicked any) {
		defer func() { panicked = recover() }()
		ticks, err := officialDecode(official, frame)
		if err != nil {
			t.Fatal(err)
		}
		return ticks, nil
	}
	roomy := func(frame []byte) []byte { return append(make([]byte, 0, len(frame)+512), frame...) }

	unknown := roomy(AppendFrame(nil, make([]byte, 20)))
	if ticks, _ := decode(unknown); len(ticks) != 1 || ticks[0].Mode != "quote" || ticks[0].LastPrice != 0 {
		t.Errorf("an unknown length is no quote any more: %+v", ticks)
	}
	var d Decoder
	if ticks, err := d.Decode(unknown, nil); len(ticks) != 0 || err != nil || d.UnknownLength != 1 {
		t.Errorf("an unknown length gave us %d ticks, %v, %+v", len(ticks), err, d.Stats)
	}

	// A frame cut short, in a buffer with room behind it.
	cut := roomy(AppendFrame(nil, p[184], p[184])[:2+186+100])
	if ticks, _ := decode(cut); len(ticks) != 2 {
		t.Errorf("a cut frame gives no ghost any more: %d ticks", len(ticks))
	}
	if ticks, err := d.Decode(cut, nil); len(ticks) != 0 || err == nil {
		t.Errorf("a cut frame gave us %d ticks, %v", len(ticks), err)
	}

	beyond := []byte{0, 1, 0x7f, 0xff, 1, 2}
	if _, panicked := decode(beyond); panicked == nil {
		t.Error("a length beyond the buffer is no panic any more")
	}
	if ticks, err := d.Decode(beyond, nil); len(ticks) != 0 || err == nil {
		t.Errorf("a length beyond the buffer gave us %d ticks, %v", len(ticks), err)
	}
}
