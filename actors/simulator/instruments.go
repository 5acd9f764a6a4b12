package simulator

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"kitestring/messages"
)

type kind uint8

const (
	index kind = iota
	volatility
	equity
	future
	option
)

// underlying is an index with futures and options on it.
type underlying struct {
	name         string // of its contracts: NIFTY
	index        messages.Instrument
	derivatives  string // exchange of its contracts
	segment      messages.Segment
	slot         uint32 // keeps the instrument tokens of the underlyings apart
	step, lot    int
	expiryDay    time.Weekday
	weekly       bool
	base         float64 // index points round which the walk goes
	paise        int32   // smallest step of the index
	futureVolume float64 // a minute
	optionVolume float64 // a minute, at the money
	optionOI     float64 // at the money

	own, basis, sentiment *walk
	scale                 float64 // brings the walk to the first price of a playback
	played                int32   // the playback's price; 0: none
	refDay                int64   // reference belongs to it
	refSpot               float64
}

func indexInstrument(token uint32, exchange, symbol string) messages.Instrument {
	return messages.Instrument{Token: token, Exchange: exchange, Tradingsymbol: symbol, Name: symbol, Type: "EQ", Segment: "INDICES"}
}

func underlyings() []*underlying {
	return []*underlying{
		{
			name: "NIFTY", index: indexInstrument(256265, "NSE", "NIFTY 50"),
			derivatives: "NFO", segment: messages.NFO, slot: 0, step: 50, lot: 65,
			expiryDay: time.Tuesday, weekly: true, base: 25600, paise: 5,
			futureVolume: 11_000, optionVolume: 900_000, optionOI: 9_000_000,
		},
		{
			name: "BANKNIFTY", index: indexInstrument(260105, "NSE", "NIFTY BANK"),
			derivatives: "NFO", segment: messages.NFO, slot: 1, step: 100, lot: 30,
			expiryDay: time.Tuesday, base: 57800, paise: 5,
			futureVolume: 4_500, optionVolume: 120_000, optionOI: 1_500_000,
		},
		{
			name: "SENSEX", index: indexInstrument(265, "BSE", "SENSEX"),
			derivatives: "BFO", segment: messages.BFO, slot: 2, step: 100, lot: 20,
			expiryDay: time.Thursday, weekly: true, base: 83600, paise: 1,
			futureVolume: 150, optionVolume: 350_000, optionOI: 1_200_000,
		},
	}
}

// share is a stock; its instrument token is exchange token << 8 | segment.
type share struct {
	exchange, symbol, name string
	token                  uint32
	price, beta            float64
	volume                 float64 // a minute
}

var shares = []share{
	{"NSE", "RELIANCE", "RELIANCE INDUSTRIES", 738561, 1450, 1.1, 28_000},
	{"NSE", "HDFCBANK", "HDFC BANK", 341249, 985, 1.0, 40_000},
	{"NSE", "ICICIBANK", "ICICI BANK", 1270529, 1380, 1.1, 30_000},
	{"NSE", "INFY", "INFOSYS", 408065, 1480, 0.8, 20_000},
	{"NSE", "TCS", "TATA CONSULTANCY SERV LT", 2953217, 3050, 0.7, 7_000},
	{"NSE", "SBIN", "STATE BANK OF INDIA", 779521, 930, 1.2, 26_000},
	{"NSE", "AXISBANK", "AXIS BANK", 1510401, 1220, 1.2, 18_000},
	{"NSE", "KOTAKBANK", "KOTAK MAHINDRA BANK", 492033, 2110, 0.9, 9_000},
	{"NSE", "ITC", "ITC", 424961, 410, 0.6, 36_000},
	{"NSE", "LT", "LARSEN & TOUBRO", 2939649, 3900, 1.1, 5_000},
	{"NSE", "BHARTIARTL", "BHARTI AIRTEL", 2714625, 2050, 0.8, 14_000},
	{"NSE", "HINDUNILVR", "HINDUSTAN UNILEVER", 356865, 2450, 0.5, 4_000},
	{"BSE", "RELIANCE", "RELIANCE INDUSTRIES", 128083204, 1450, 1.1, 900},
}

// instrument is one contract and what the exchange knows of its trading.
type instrument struct {
	messages.Instrument
	kind      kind
	under     *underlying
	expiry    time.Time // close of trading on the last day; zero: never
	key       uint64
	paise     int32 // smallest price step
	base      float64
	beta      float64
	perMinute float64 // volume of an ordinary minute; 0: none
	own       *walk
	recycled  bool // holds the instrument token of another contract, by a fault

	trading
}

// contract is what is listed for a day; the instrument behind it is made when
// its symbol is new.
type contract struct {
	messages.Instrument
	kind   kind
	under  *underlying
	share  share
	volume float64
}

// symbolKey names an instrument as quotes do: NSE:INFY.
func symbolKey(i messages.Instrument) string { return i.Exchange + ":" + i.Tradingsymbol }

// strikesEachSide of the money are listed. A day's walk moves a few.
const strikesEachSide = 40

// contracts lists what is traded on a day, in the order of the instruments
// file: indices, shares, extra shares, then futures and options by underlying.
func (p *prices) contracts(day time.Time, extra int) []contract {
	var list []contract
	for _, u := range p.unders {
		list = append(list, contract{Instrument: u.index, kind: index, under: u})
	}
	vix := indexInstrument(264969, "NSE", "INDIA VIX")
	list = append(list, contract{Instrument: vix, kind: volatility})
	for _, s := range shares {
		list = append(list, shareContract(s))
	}
	for i := range extra {
		symbol := fmt.Sprintf("SIM%05d", i+1)
		list = append(list, shareContract(share{
			exchange: "NSE", symbol: symbol, name: "SIMULATED " + strconv.Itoa(i+1),
			token: uint32(100_001+i)<<8 | uint32(messages.NSE),
			price: 100 + float64(hash(p.seed, uint64(i), 9)%2900), beta: 1, volume: 3_000,
		}))
	}
	for _, u := range p.unders {
		list = append(list, p.futures(u, day)...)
		list = append(list, p.options(u, day)...)
	}
	return list
}

func shareContract(s share) contract {
	return contract{
		Instrument: messages.Instrument{
			Token: s.token, Exchange: s.exchange, Tradingsymbol: s.symbol, Name: s.name,
			Type: "EQ", Segment: s.exchange, TickSize: 0.05, LotSize: 1,
		},
		kind: equity, share: s, volume: s.volume,
	}
}

func (p *prices) futures(u *underlying, day time.Time) []contract {
	var list []contract
	for i, e := range p.cal.monthlies(day, u.expiryDay, 3) {
		months := uint32(e.day.Year())*12 + uint32(e.day.Month())
		list = append(list, contract{
			Instrument: messages.Instrument{
				Token:    (36_000+u.slot*64+months%64)<<8 | uint32(u.segment),
				Exchange: u.derivatives, Name: u.name, Type: "FUT", Segment: u.derivatives + "-FUT",
				Tradingsymbol: u.name + strings.ToUpper(e.day.Format("06Jan")) + "FUT",
				Expiry:        e.day, TickSize: 0.05, LotSize: u.lot,
			},
			kind: future, under: u, volume: u.futureVolume * math.Pow(0.15, float64(i)),
		})
	}
	return list
}

// options lists the chains: three weeklies where there are any, and the next
// monthlies.
func (p *prices) options(u *underlying, day time.Time) []contract {
	expiries := p.cal.monthlies(day, u.expiryDay, 2)
	if u.weekly {
		weeklies := p.cal.weeklies(day, u.expiryDay, 3)
		for _, m := range expiries {
			if m.day.After(weeklies[len(weeklies)-1].day) {
				weeklies = append(weeklies, m)
			}
		}
		expiries = weeklies
	}
	money := int(math.Round(p.reference(u, p.cal.session(p.cal.latest(day)))/float64(u.step))) * u.step
	var list []contract
	for i, e := range expiries {
		volume := u.optionVolume * math.Pow(0.2, float64(i))
		for strike := money - strikesEachSide*u.step; strike <= money+strikesEachSide*u.step; strike += u.step {
			for side, typ := range [...]string{"CE", "PE"} {
				list = append(list, contract{
					Instrument: messages.Instrument{
						Token:    optionToken(u, e.day, strike, uint32(side)),
						Exchange: u.derivatives, Name: u.name, Type: typ, Segment: u.derivatives + "-OPT",
						Tradingsymbol: u.name + expiryCode(e) + strconv.Itoa(strike) + typ,
						Expiry:        e.day, Strike: float64(strike), TickSize: 0.05, LotSize: u.lot,
					},
					kind: option, under: u, volume: volume,
				})
			}
		}
	}
	return list
}

// optionToken packs a contract into an exchange token that is unique within
// 64 weeks and 512 strikes, and is used again after that, as Kite's are.
func optionToken(u *underlying, day time.Time, strike int, side uint32) uint32 {
	week := uint32(dayNumber(day)/7) & 63
	position := uint32(strike/u.step) & 511
	return (40_000+(u.slot<<16|week<<10|position<<1|side))<<8 | uint32(u.segment)
}

// expiryCode is the middle of an option's symbol: 26NOV for the last expiry of
// a month, 26N17 (year, month 1-9 O N D, day) for the others.
func expiryCode(e expiry) string {
	if e.monthly {
		return strings.ToUpper(e.day.Format("06Jan"))
	}
	return e.day.Format("06") + "123456789OND"[e.day.Month()-1:e.day.Month()] + e.day.Format("02")
}

func (p *prices) newInstrument(c contract) *instrument {
	in := &instrument{
		Instrument: c.Instrument, kind: c.kind, under: c.under, perMinute: c.volume,
		key: hash(p.seed, hashString(symbolKey(c.Instrument)), 5), paise: 5, base: c.share.price, beta: c.share.beta,
	}
	switch c.kind {
	case index:
		in.paise = c.under.paise
	case volatility:
		in.paise, in.base, in.own = 1, 13.2, newWalk(in.key, 0.035, 0.1)
	case equity:
		in.own = newWalk(in.key, 0.008, 0.03)
	case future, option:
		in.own = newWalk(in.key, 0.04, 0.25) // of the open interest
		last := p.cal.session(c.Expiry)
		in.expiry = last.at(last.end(c.Token))
	}
	in.away = true
	return in
}

func hashString(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// listing is what is listed today.
type listing struct {
	day     time.Time // of the instruments file; zero: none yet
	version int       // changes with the file
	list    []*instrument
	symbols map[string]*instrument // by exchange:tradingsymbol
	tokens  map[uint32]*instrument
	files   map[string]*instrumentsFile // by exchange, "" for all
}

func newListing() listing {
	return listing{symbols: map[string]*instrument{}, tokens: map[uint32]*instrument{}}
}

// listingDay is the day of the instruments file that stands at now: Kite makes
// a new one at 08:30 of a trading day.
func (e *Exchange) listingDay(now time.Time) time.Time {
	return e.cal.latest(now.Add(-(8*time.Hour + 30*time.Minute)))
}

// list makes the listing of the day. Instruments that stay keep their trading;
// subscriptions stay with their instrument token, whatever it means today.
func (e *Exchange) list(now time.Time) {
	day := e.listingDay(now)
	if e.listing.day.Equal(day) || e.tape != nil {
		return
	}
	old := e.listing
	b := newListing()
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
		if !in.recycled && b.symbols[symbolKey(in.Instrument)] == nil && !in.Expiry.IsZero() && !in.Expiry.Before(day) {
			add(in)
		}
	}
	e.faults.changeListing(e, &b)
	e.listing = b
	for token, t := range e.topics {
		e.bind(t, b.tokens[token])
	}
}

// relist makes the listing of the same day again, after a fault changed it.
func (e *Exchange) relist() {
	e.listing.day = time.Time{}
	e.list(e.clock.Now())
}

// find resolves what a quote was asked for: exchange:symbol or an instrument
// token.
func (b *listing) find(asked string) *instrument {
	if in := b.symbols[asked]; in != nil {
		return in
	}
	if token, ok := parseToken(asked); ok {
		return b.tokens[token]
	}
	return nil
}

// recycle gives the instrument token of one contract to another one.
func (b *listing) recycle(e *Exchange, token uint32, symbol string) {
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
	other.expiry, other.recycled = was.expiry, true
	was.setToken(token ^ 1<<31)
	b.tokens[was.Token] = was
	b.list = append(b.list, other)
	b.symbols[symbolKey(other.Instrument)] = other
	b.tokens[token] = other
}

// remove takes a contract out of the file and the market.
func (b *listing) remove(symbol string) {
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
