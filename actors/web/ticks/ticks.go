// Package ticks shows the last packet of each subscribed instrument to
// programs that do not speak Kite's protocol: as a list, and as what has
// changed since the last look.
//
// It promises that nothing here makes the feed wait for a reader: a look
// copies packets and leaves, and a packet that a newer one replaced between two
// looks is counted, not kept. A program that wants every packet connects to the
// gateway.
package ticks

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/messages/wire"
)

// Feed is where packets are.
type Feed interface {
	// EachInstrument calls see with every instrument that is subscribed: the
	// mode asked for, its last packet (empty: none yet; valid during the call)
	// and how many have come. see must be quick.
	EachInstrument(see func(instrumentToken uint32, mode messages.Mode, packet []byte, packets uint64))
}

// Names are the instruments that are known by name, by instrument token. Never
// changed: another set replaces it.
type Names map[uint32]messages.Instrument

// NamesOf are those of the underlyings and of the configuration.
func NamesOf(m messages.InstrumentsResolved) Names {
	names := Names{}
	add := func(list ...messages.Instrument) {
		for _, in := range list {
			if in.Token != 0 {
				names[in.Token] = in
			}
		}
	}
	add(m.Configured...)
	for _, u := range m.Underlyings {
		add(u.Index, u.Future)
		add(u.Chain...)
		if u.Next != nil {
			add(*u.Next)
		}
	}
	return names
}

// look is an instrument at one moment.
type look struct {
	token   uint32
	mode    messages.Mode
	packet  []byte
	packets uint64
}

// All are the ticks of the instruments that the choice has, by exchange and
// tradingsymbol.
func All(feed Feed, names Names, choice Choice) []api.Tick {
	var seen []look
	feed.EachInstrument(func(token uint32, mode messages.Mode, packet []byte, packets uint64) {
		if choice.Has(token) {
			seen = append(seen, look{token, mode, slices.Clone(packet), packets})
		}
	})
	list := make([]api.Tick, len(seen))
	for i, l := range seen {
		list[i] = l.tick(names)
	}
	slices.SortFunc(list, func(a, b api.Tick) int {
		return cmp.Or(strings.Compare(a.Exchange, b.Exchange), strings.Compare(a.Tradingsymbol, b.Tradingsymbol), cmp.Compare(a.InstrumentToken, b.InstrumentToken))
	})
	return list
}

// Event is a tick for the streams.
type Event struct {
	InstrumentToken uint32
	New             bool   // a packet has come since the last look
	Replaced        uint64 // packets before it that no look has seen
	Data            []byte // the JSON of an api.Tick
}

// Watch looks at the feed again and again. Not safe for concurrent use.
type Watch struct{ seen map[uint32]uint64 }

// Look gives what has come since the last look; with all, the other
// instruments that have a packet, too. The first look has nothing new.
func (w *Watch) Look(feed Feed, names Names, all bool) []Event {
	first := w.seen == nil
	before := w.seen
	w.seen = make(map[uint32]uint64, len(before))
	var seen []look
	feed.EachInstrument(func(token uint32, mode messages.Mode, packet []byte, packets uint64) {
		w.seen[token] = packets
		if packets > 0 && (all || !first && packets != before[token]) {
			seen = append(seen, look{token, mode, slices.Clone(packet), packets})
		}
	})
	events := make([]Event, 0, len(seen))
	for _, l := range seen {
		data, err := json.Marshal(l.tick(names))
		if err != nil {
			continue // a value that cannot be encoded is caught by the tests
		}
		e := Event{InstrumentToken: l.token, Data: data, New: !first && l.packets != before[l.token]}
		if known := before[l.token]; e.New && l.packets > known+1 && known > 0 {
			e.Replaced = l.packets - known - 1
		}
		events = append(events, e)
	}
	return events
}

func (l look) tick(names Names) api.Tick {
	in := names[l.token]
	out := api.Tick{
		InstrumentToken: l.token, Exchange: cmp.Or(in.Exchange, exchanges[messages.SegmentOf(l.token)]), Tradingsymbol: in.Tradingsymbol, Mode: l.mode, Packets: l.packets,
	}
	var t messages.Tick
	if len(l.packet) == 0 || !wire.DecodePacket(l.packet, &t) {
		return out
	}
	price := func(p int32) *float64 { v := t.Price(p); return &v }
	count := func(n uint32) *int64 { v := int64(n); return &v }
	out.LastPrice = price(t.LastPrice)
	if t.Mode == messages.ModeLTP {
		return out
	}
	out.Open, out.High, out.Low = price(t.Open), price(t.High), price(t.Low)
	if t.Close != 0 {
		percent := 100 * float64(t.LastPrice-t.Close) / float64(t.Close)
		out.Close, out.Change, out.ChangePercent = price(t.Close), price(t.LastPrice-t.Close), &percent
	}
	out.ExchangeAt, out.LastTradeAt = known(t.ExchangeTime), known(t.LastTradeTime)
	if messages.SegmentOf(l.token) == messages.Indices {
		return out // an index is not traded
	}
	out.AveragePrice, out.LastQuantity, out.Volume = price(t.AveragePrice), count(t.LastQuantity), count(t.Volume)
	out.BuyQuantity, out.SellQuantity = count(t.BuyQuantity), count(t.SellQuantity)
	if depth, ok := wire.DepthOf(l.packet); ok {
		out.OI = count(t.OI)
		if best := depth.Buy[0]; best.Quantity > 0 {
			out.Bid, out.BidQuantity = price(best.Price), count(best.Quantity)
		}
		if best := depth.Sell[0]; best.Quantity > 0 {
			out.Ask, out.AskQuantity = price(best.Price), count(best.Quantity)
		}
	}
	return out
}

func known(unix uint32) *time.Time {
	if unix == 0 {
		return nil
	}
	at := time.Unix(int64(unix), 0).UTC()
	return &at
}

// exchanges by segment. An index is of NSE or BSE: its instrument token does
// not say which.
var exchanges = map[messages.Segment]string{
	messages.NSE: "NSE", messages.NFO: "NFO", messages.CDS: "CDS", messages.BSE: "BSE", messages.BFO: "BFO",
	messages.BCD: "BCD", messages.MCX: "MCX", messages.MCXSX: "MCXSX", messages.NCO: "NCO",
}

// Choice is a set of instruments. The zero value has none.
type Choice struct {
	all    bool
	tokens map[uint32]bool
}

// Everything is every instrument, those that are subscribed later, too.
var Everything = Choice{all: true}

// Has reports whether an instrument is in the choice.
func (c Choice) Has(instrumentToken uint32) bool { return c.all || c.tokens[instrumentToken] }

// IsZero reports whether nothing was chosen.
func (c Choice) IsZero() bool { return !c.all && c.tokens == nil }

// Len is how many instruments are named, 0 for all.
func (c Choice) Len() int { return len(c.tokens) }

// Choose reads a list with commas of instrument tokens and of
// EXCHANGE:TRADINGSYMBOL, or the word all. unknown is the first that is not
// subscribed, "" when each is.
func Choose(list string, feed Feed, names Names) (c Choice, unknown string) {
	if list == "all" {
		return Everything, ""
	}
	subscribed := map[uint32]bool{}
	feed.EachInstrument(func(token uint32, _ messages.Mode, _ []byte, _ uint64) { subscribed[token] = true })
	byName := map[string]uint32{}
	for token, in := range names {
		byName[in.Exchange+":"+in.Tradingsymbol] = token
	}
	c.tokens = map[uint32]bool{}
	for name := range strings.SplitSeq(list, ",") {
		token, ok := byName[name]
		if n, err := strconv.ParseUint(name, 10, 32); err == nil {
			token, ok = uint32(n), true
		}
		if !ok || !subscribed[token] {
			return Choice{}, name
		}
		c.tokens[token] = true
	}
	return c, ""
}
