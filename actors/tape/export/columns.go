package export

import (
	"encoding/binary"
	"math"

	"kitestring/messages"
	"kitestring/messages/wire"
)

// kind is what a column holds.
type kind int

const (
	instant kind = iota // microseconds since 1970, UTC
	date                // days since 1970
	number              // int64
	price               // float64, as its bits
	text
	flag
)

// column is one column of rows of type R.
type column[R any] struct {
	name     string
	kind     kind
	optional bool // null where the mode does not carry it, or it is not known
	full     bool // with Config.Full only
	value    func(*R) (v int64, ok bool)
	text     func(*R) string // of text; "": null
}

// tickColumns are the columns of ticks, in their order. Prices are rupees;
// quantities are units, not lots; volume is of the day.
var tickColumns = append([]column[tick]{
	{name: "received", kind: instant, value: func(t *tick) (int64, bool) { return floorDiv(t.received, 1000), true }},
	{name: "ist_date", kind: date, value: func(t *tick) (int64, bool) { return istDate(t.received), true }},
	{name: "exchange_time", kind: instant, optional: true, value: func(t *tick) (int64, bool) { return seconds(t.ExchangeTime) }},
	{name: "instrument_token", kind: number, value: func(t *tick) (int64, bool) { return int64(t.InstrumentToken), true }},
	{name: "tradingsymbol", kind: text, optional: true, text: func(t *tick) string { return t.instrument.symbol }},
	{name: "mode", kind: text, text: func(t *tick) string { return t.Mode.String() }},
	{name: "last_price", kind: price, value: func(t *tick) (int64, bool) { return t.rupees(t.LastPrice), true }},
	{name: "last_quantity", kind: number, optional: true, value: traded(func(t *tick) uint32 { return t.LastQuantity })},
	{name: "volume", kind: number, optional: true, value: traded(func(t *tick) uint32 { return t.Volume })},
	{name: "oi", kind: number, optional: true, value: func(t *tick) (int64, bool) { return int64(t.OI), t.Length == packetBytes }},

	{name: "average_price", kind: price, optional: true, full: true, value: func(t *tick) (int64, bool) { return t.rupees(t.AveragePrice), t.hasVolume() }},
	{name: "buy_quantity", kind: number, optional: true, full: true, value: traded(func(t *tick) uint32 { return t.BuyQuantity })},
	{name: "sell_quantity", kind: number, optional: true, full: true, value: traded(func(t *tick) uint32 { return t.SellQuantity })},
	{name: "open", kind: price, optional: true, full: true, value: func(t *tick) (int64, bool) { return t.rupees(t.Open), t.Length > 8 }},
	{name: "high", kind: price, optional: true, full: true, value: func(t *tick) (int64, bool) { return t.rupees(t.High), t.Length > 8 }},
	{name: "low", kind: price, optional: true, full: true, value: func(t *tick) (int64, bool) { return t.rupees(t.Low), t.Length > 8 }},
	{name: "close", kind: price, optional: true, full: true, value: func(t *tick) (int64, bool) { return t.rupees(t.Close), t.Length > 8 }},
	{name: "last_trade_time", kind: instant, optional: true, full: true, value: func(t *tick) (int64, bool) { return seconds(t.LastTradeTime) }},
	{name: "oi_day_high", kind: number, optional: true, full: true, value: func(t *tick) (int64, bool) { return t.word(52) }},
	{name: "oi_day_low", kind: number, optional: true, full: true, value: func(t *tick) (int64, bool) { return t.word(56) }},
	{name: "shard", kind: number, full: true, value: func(t *tick) (int64, bool) { return int64(t.shard), true }},
	{name: "socket", kind: number, full: true, value: func(t *tick) (int64, bool) { return int64(t.socket), true }},
	{name: "generation", kind: number, full: true, value: func(t *tick) (int64, bool) { return int64(t.generation), true }},
}, depthColumns()...)

// depthColumns are bid_price_1 … ask_orders_5.
func depthColumns() (all []column[tick]) {
	for i, side := range []string{"bid", "ask"} {
		for level := range 5 {
			at := func(t *tick) *wire.DepthLevel {
				if i == 0 {
					return &t.depth.Buy[level]
				}
				return &t.depth.Sell[level]
			}
			suffix := "_" + string(rune('1'+level))
			all = append(
				all,
				column[tick]{name: side + "_price" + suffix, kind: price, optional: true, full: true, value: func(t *tick) (int64, bool) { return t.rupees(at(t).Price), t.hasDepth }},
				column[tick]{name: side + "_quantity" + suffix, kind: number, optional: true, full: true, value: func(t *tick) (int64, bool) { return int64(at(t).Quantity), t.hasDepth }},
				column[tick]{name: side + "_orders" + suffix, kind: number, optional: true, full: true, value: func(t *tick) (int64, bool) { return int64(at(t).Orders), t.hasDepth }},
			)
		}
	}
	return all
}

func seconds(v uint32) (int64, bool) { return int64(v) * 1e6, v != 0 }

// traded is a field that quote and full carry, of what is traded.
func traded(field func(*tick) uint32) func(*tick) (int64, bool) {
	return func(t *tick) (int64, bool) { return int64(field(t)), t.hasVolume() }
}

func (t *tick) hasVolume() bool {
	return t.Mode != messages.ModeLTP && messages.SegmentOf(t.InstrumentToken) != messages.Indices
}

func (t *tick) rupees(p int32) int64 {
	return int64(math.Float64bits(float64(p) / t.instrument.divisor))
}

// word is a field of a full packet that a Tick does not carry.
func (t *tick) word(at int) (int64, bool) {
	if len(t.packet) != packetBytes {
		return 0, false
	}
	return int64(binary.BigEndian.Uint32(t.packet[at:])), true
}

// bar is a minute of an instrument.
type bar struct {
	start                  int64 // Unix seconds
	open, high, low, close int64 // bits of a float64
	volume                 int64
	hasVolume              bool
	oi                     int64
	hasOI                  bool
	ticks                  int64
	gap                    bool
	instrument             *instrument
}

var barColumns = []column[bar]{
	{name: "start", kind: instant, value: func(b *bar) (int64, bool) { return b.start * 1e6, true }},
	{name: "ist_date", kind: date, value: func(b *bar) (int64, bool) { return istDate(b.start * 1e9), true }},
	{name: "instrument_token", kind: number, value: func(b *bar) (int64, bool) { return int64(b.instrument.token), true }},
	{name: "tradingsymbol", kind: text, optional: true, text: func(b *bar) string { return b.instrument.symbol }},
	{name: "open", kind: price, value: func(b *bar) (int64, bool) { return b.open, true }},
	{name: "high", kind: price, value: func(b *bar) (int64, bool) { return b.high, true }},
	{name: "low", kind: price, value: func(b *bar) (int64, bool) { return b.low, true }},
	{name: "close", kind: price, value: func(b *bar) (int64, bool) { return b.close, true }},
	{name: "volume", kind: number, optional: true, value: func(b *bar) (int64, bool) { return b.volume, b.hasVolume }},
	{name: "oi", kind: number, optional: true, value: func(b *bar) (int64, bool) { return b.oi, b.hasOI }},
	{name: "ticks", kind: number, value: func(b *bar) (int64, bool) { return b.ticks, true }},
	{name: "gap", kind: flag, value: func(b *bar) (int64, bool) { return map[bool]int64{true: 1}[b.gap], true }},
}

// bars gives the minutes of an instrument, by exchange time, or by the time of
// receipt where the mode carries none. The volume of a bar is what the day's
// volume grew by since the bar before. gap marks a bar that may not be the whole
// minute or no more than it: the recording or the instrument began in it, or
// something between the bar before and its end is missing.
func (c *collector) bars(token uint32, each func(*bar) error) error {
	var b bar
	var lastVolume int64
	var volumeKnown bool
	var lastAt int64 // of the tick before, ns
	emit := func() error {
		if b.ticks == 0 {
			return nil
		}
		return each(&b)
	}
	err := c.rows(token, func(t *tick) error {
		at := t.received
		if t.ExchangeTime != 0 {
			at = int64(t.ExchangeTime) * 1e9
		}
		minute := floorDiv(at, 60e9) * 60
		p := t.rupees(t.LastPrice)
		if b.ticks == 0 || minute > b.start {
			if err := emit(); err != nil {
				return err
			}
			first := b.ticks == 0
			b = bar{start: minute, open: p, high: p, low: p, close: p, instrument: t.instrument}
			since := minute * 1e9
			if lastAt != 0 {
				since = min(since, lastAt)
			}
			b.gap = first || c.x.blind.within(token, since, (minute+60)*1e9)
		}
		less := func(a, b int64) bool { return math.Float64frombits(uint64(a)) < math.Float64frombits(uint64(b)) }
		if less(b.high, p) {
			b.high = p
		}
		if less(p, b.low) {
			b.low = p
		}
		b.close = p
		b.ticks++
		if t.hasVolume() {
			volume := int64(t.Volume)
			if volumeKnown && volume > lastVolume {
				b.volume += volume - lastVolume
			}
			if !volumeKnown || volume > lastVolume {
				lastVolume, volumeKnown = volume, true
			}
			b.hasVolume = true
		}
		if t.Length == packetBytes {
			b.oi, b.hasOI = int64(t.OI), true
		}
		lastAt = max(lastAt, at)
		return nil
	})
	if err != nil {
		return err
	}
	return emit()
}
