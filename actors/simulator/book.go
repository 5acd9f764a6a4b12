package simulator

import (
	"slices"
	"time"

	"kitestring/messages"
)

// book is what is listed today.
type book struct {
	day     time.Time // of the instruments file; zero: none yet
	version int       // changes with the file
	list    []*instrument
	symbols map[string]*instrument // by exchange:tradingsymbol
	tokens  map[uint32]*instrument
	files   map[string]*instrumentsFile // by exchange, "" for all
}

func newBook() book {
	return book{symbols: map[string]*instrument{}, tokens: map[uint32]*instrument{}}
}

// listingDay is the day of the instruments file that stands at now: Kite makes
// a new one at 08:30 of a trading day.
func (e *Exchange) listingDay(now time.Time) time.Time {
	return e.cal.latest(now.Add(-(8*time.Hour + 30*time.Minute)))
}

// list makes the book of the day. Instruments that stay keep their trading;
// subscriptions stay with their instrument token, whatever it means today.
func (e *Exchange) list(now time.Time) {
	day := e.listingDay(now)
	if e.book.day.Equal(day) {
		return
	}
	old := e.book
	b := newBook()
	b.day, b.version, b.files = day, old.version+1, map[string]*instrumentsFile{}
	add := func(in *instrument) {
		b.list = append(b.list, in)
		b.symbols[symbolKey(in.Instrument)] = in
		b.tokens[in.Token] = in
	}
	for _, c := range e.prices.contracts(day, e.cfg.Instruments) {
		in := old.symbols[symbolKey(c.Instrument)]
		if in == nil {
			in = e.prices.newInstrument(c)
		}
		in.setToken(c.Token) // a fault may have given it another one
		add(in)
	}
	// The money has moved on, but what was listed once is traded to its end.
	for _, in := range old.list {
		if !in.impostor && b.symbols[symbolKey(in.Instrument)] == nil && !in.Expiry.IsZero() && !in.Expiry.Before(day) {
			add(in)
		}
	}
	e.faults.changeBook(e, &b)
	e.book = b
	for token, t := range e.topics {
		e.bind(t, b.tokens[token])
	}
}

// relist makes the book of the same day again, after a fault changed it.
func (e *Exchange) relist() {
	e.book.day = time.Time{}
	e.list(e.clock.Now())
}

// find resolves what a quote was asked for: exchange:symbol or an instrument
// token.
func (b *book) find(asked string) *instrument {
	if in := b.symbols[asked]; in != nil {
		return in
	}
	if token, ok := parseToken(asked); ok {
		return b.tokens[token]
	}
	return nil
}

// recycle gives the instrument token of one contract to another one.
func (b *book) recycle(e *Exchange, token uint32, symbol string) {
	was := b.tokens[token]
	if was == nil {
		return
	}
	other := e.prices.newInstrument(contract{
		Instrument: messages.Instrument{
			Token: token, Exchange: was.Exchange, Tradingsymbol: symbol, Name: symbol,
			Type: was.Type, Segment: was.Segment, Expiry: was.Expiry, Strike: was.Strike,
			TickSize: was.TickSize, LotSize: was.LotSize,
		},
		kind: equity, share: share{price: 800, beta: 1}, volume: 2_000,
	})
	other.expiry, other.impostor = was.expiry, true
	was.setToken(token ^ 1<<31)
	b.tokens[was.Token] = was
	b.list = append(b.list, other)
	b.symbols[symbolKey(other.Instrument)] = other
	b.tokens[token] = other
}

// remove takes a contract out of the file and the market.
func (b *book) remove(symbol string) {
	for i, in := range b.list {
		if in.Tradingsymbol == symbol {
			delete(b.symbols, symbolKey(in.Instrument))
			delete(b.tokens, in.Token)
			b.list = slices.Delete(b.list, i, i+1)
			return
		}
	}
}

func (in *instrument) setToken(token uint32) { in.Token, in.packet.InstrumentToken = token, token }
