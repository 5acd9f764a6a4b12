package optionchain

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"kitestring/messages"
	"kitestring/messages/ist"
)

// Rate is what premiums are discounted at, continuous, a year: near the yield of
// India's treasury bills. A point more or less moves the volatility of an option of
// a month by less than 0.1 % of itself.
const Rate = 0.06

const (
	// parityStrikes is how many strikes the forward is the median of.
	parityStrikes = 5
	// farForward is how far the forward may be from the spot, as a share.
	farForward = 0.1
	// recentTrade is how old a last trade may be to be a price of now.
	recentTrade = time.Minute
)

// Limits are what a packet must be to count.
type Limits struct {
	Fresh    time.Duration // age of a packet up to which it counts
	Coverage float64       // share of options with such a packet below which there are no totals
}

// Option is one option with its newest packet, in rupees.
type Option struct {
	Instrument messages.Instrument
	Last       float64
	Close      float64 // of the previous day; 0: unknown
	Bid, Ask   float64 // 0: none
	BidQuantity, AskQuantity,
	Volume, OI int64
	Full                 bool      // the packet carries open interest and depth
	At, TradedAt, BookAt time.Time // zero: none yet
	OpenOI               int64
	HasOpen              bool
}

func (o *Option) put() bool { return o.Instrument.Type == "PE" }

// Mid is the middle of a book that is two-sided and not crossed, else why there
// is none.
func (o *Option) Mid() (mid float64, reason string) {
	bid, ask := o.Bid > 0 && o.BidQuantity > 0, o.Ask > 0 && o.AskQuantity > 0
	switch {
	case !bid && !ask:
		return 0, "no bid and no ask"
	case !bid:
		return 0, "no bid"
	case !ask:
		return 0, "no ask"
	case o.Bid > o.Ask:
		return 0, fmt.Sprintf("crossed: bid %.2f above ask %.2f", o.Bid, o.Ask)
	}
	return (o.Bid + o.Ask) / 2, ""
}

// price is what an option is valued by at a moment, and where it is from: "mid",
// or "last" when the book gives none.
func (o *Option) price(now time.Time) (price float64, from, reason string) {
	if price, reason = o.Mid(); reason == "" {
		return price, "mid", ""
	}
	if o.Last > 0 && !o.TradedAt.IsZero() && now.Sub(o.TradedAt) <= recentTrade {
		return o.Last, "last", ""
	}
	return 0, "", reason + ", no trade within " + recentTrade.String()
}

// Price is a price with its time; zero: none yet.
type Price struct {
	Symbol string
	Last   float64
	At     time.Time
	Expiry time.Time // of a future
}

func (p Price) shown() messages.ChainPrice {
	shown := messages.ChainPrice{Tradingsymbol: p.Symbol}
	if p.Last > 0 {
		shown.LastPrice, shown.At = ptr(p.Last), known(p.At)
	}
	return shown
}

// Table is what a chain is made of.
type Table struct {
	Underlying string
	Expiry     time.Time   // midnight IST; zero: none
	Expiries   []time.Time // rising
	ExpiresAt  time.Time   // end of the expiry's last session
	Options    []Option    // by strike, calls before puts
	Spot       Price
	Future     Price
	Reason     string // what is missing of the instruments
	Generation messages.Generation
}

// Chain is the table at the exchange's time now; open says that the market is.
// Out of market hours the last packets of the session are the newest there are:
// what is fresh counts from them, ages do not.
func (t *Table) Chain(now time.Time, open bool, limits Limits) messages.Chain {
	c := messages.Chain{
		Underlying: t.Underlying, Expiries: []string{}, Rows: []messages.ChainRow{}, At: now.UTC().Truncate(time.Millisecond), Reason: t.Reason,
		Generation: t.Generation, Spot: t.Spot.shown(), Future: t.Future.shown(),
		Pricing: messages.ChainModel{Model: "black_76", Rate: Rate, ParityStrikes: []float64{}, ExpiresAt: t.ExpiresAt.UTC()},
	}
	for _, e := range t.Expiries {
		c.Expiries = append(c.Expiries, day(e))
	}
	if len(t.Options) == 0 {
		c.Reason = cmp.Or(c.Reason, "no option of "+t.Underlying+" is known")
		c.Pricing.Reason, c.Summary.Reason = c.Reason, c.Reason
		c.Date(now)
		return c
	}
	c.Expiry = day(t.Expiry)
	m := moment{Table: t, limits: limits, now: now, newest: t.newest()}
	m.reference = now
	if !open && !m.newest.IsZero() {
		m.reference = m.newest
	}
	m.years = max(0, t.ExpiresAt.Sub(m.reference).Seconds()) / (365 * 24 * 60 * 60)
	c.Pricing.Years = m.years
	if c.AsOf = known(m.newest); c.AsOf != nil {
		c.Session = day(m.newest)
		if c.Current = c.Session == day(now); !c.Current {
			c.Reason = join(c.Reason, "from the close of "+c.Session)
		}
	}
	m.price(&c.Pricing)
	m.rows(&c)
	m.total(&c)
	c.Date(now)
	return c
}

// moment is a table at one time.
type moment struct {
	*Table
	limits         Limits
	now, reference time.Time // ages and freshness count from them
	newest         time.Time
	years          float64
	forward        float64 // 0: none
	atm            float64 // 0: none
}

func (t *Table) newest() (newest time.Time) {
	for i := range t.Options {
		if o := &t.Options[i]; o.At.After(newest) {
			newest = o.At
		}
	}
	return newest
}

func (m *moment) fresh(at time.Time) bool {
	return !at.IsZero() && m.reference.Sub(at) <= m.limits.Fresh
}

// pair is the call and the put of a strike.
type pair struct{ call, put *Option }

// strikes walks the strikes in order.
func (t *Table) strikes(each func(strike float64, p pair)) {
	for i := 0; i < len(t.Options); {
		strike := t.Options[i].Instrument.Strike
		var p pair
		for ; i < len(t.Options) && t.Options[i].Instrument.Strike == strike; i++ {
			if o := &t.Options[i]; o.put() {
				p.put = o
			} else {
				p.call = o
			}
		}
		each(strike, p)
	}
}

// price finds the forward: the median of what the strikes nearest to the money
// imply by put-call parity, each from two whole books; else the future of the
// same expiry.
func (m *moment) price(model *messages.ChainModel) {
	type implied struct{ strike, forward, gap float64 }
	var found []implied
	growth := math.Exp(Rate * m.years)
	m.strikes(func(strike float64, p pair) {
		if p.call == nil || p.put == nil || !m.fresh(p.call.At) || !m.fresh(p.put.At) {
			return
		}
		call, why := p.call.Mid()
		put, not := p.put.Mid()
		if why == "" && not == "" {
			found = append(found, implied{strike, strike + growth*(call-put), math.Abs(call - put)})
		}
	})
	slices.SortStableFunc(found, func(a, b implied) int { return cmp.Compare(a.gap, b.gap) })
	found = found[:min(len(found), parityStrikes)]
	slices.SortFunc(found, func(a, b implied) int { return cmp.Compare(a.forward, b.forward) })
	switch n := len(found); {
	case n > 0:
		forward := (found[(n-1)/2].forward + found[n/2].forward) / 2
		if m.fresh(m.Spot.At) && math.Abs(forward-m.Spot.Last) > farForward*m.Spot.Last || forward <= 0 {
			model.Reason = fmt.Sprintf("calls and puts imply a forward of %.2f, more than %.0f %% away from the spot", forward, 100*farForward)
			return
		}
		m.forward, model.ForwardFrom = forward, "parity"
		for _, f := range found {
			model.ParityStrikes = append(model.ParityStrikes, f.strike)
		}
		slices.Sort(model.ParityStrikes)
	case m.Future.Last > 0 && m.Future.Expiry.Equal(m.Expiry) && m.fresh(m.Future.At):
		m.forward, model.ForwardFrom = m.Future.Last, "future"
	default:
		model.Reason = "no strike has whole books of call and put, and no future expires with the options"
		return
	}
	model.Forward = ptr(rounded(m.forward))
}

func (m *moment) rows(c *messages.Chain) {
	m.atm = m.nearest()
	m.strikes(func(strike float64, p pair) {
		row := messages.ChainRow{Strike: strike, ATM: m.atm != 0 && strike == m.atm}
		row.Call, row.Put = m.option(p.call), m.option(p.put)
		c.Rows = append(c.Rows, row)
	})
}

// nearest is the strike nearest to the spot, the lower of two; 0 for none.
func (m *moment) nearest() (atm float64) {
	if !m.fresh(m.Spot.At) || m.Spot.Last <= 0 {
		return 0
	}
	least := math.Inf(1)
	m.strikes(func(strike float64, _ pair) {
		if d := math.Abs(strike - m.Spot.Last); d < least {
			atm, least = strike, d
		}
	})
	return atm
}

// kept is an option for JSON with what it points at, in one piece of memory.
type kept struct {
	messages.ChainOption
	numbers [8]float64
	counts  [5]int64
	times   [3]time.Time
	have    struct{ numbers, counts, times int }
}

func (k *kept) number(v float64) *float64 {
	p := &k.numbers[k.have.numbers]
	k.have.numbers++
	*p = v
	return p
}

func (k *kept) count(v int64) *int64 {
	p := &k.counts[k.have.counts]
	k.have.counts++
	*p = v
	return p
}

func (k *kept) time(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	p := &k.times[k.have.times]
	k.have.times++
	*p = t.UTC()
	return p
}

func (m *moment) option(o *Option) *messages.ChainOption {
	if o == nil {
		return nil
	}
	shown := &kept{}
	shown.InstrumentToken, shown.Tradingsymbol, shown.Reasons = o.Instrument.Token, o.Instrument.Tradingsymbol, []string{}
	missing := func(format string, args ...any) { shown.Reasons = append(shown.Reasons, fmt.Sprintf(format, args...)) }
	if o.At.IsZero() {
		missing("no packet yet")
		return &shown.ChainOption
	}
	shown.At, shown.TradedAt, shown.BookAt = shown.time(o.At), shown.time(o.TradedAt), shown.time(o.BookAt)
	shown.AgeSeconds = shown.number(messages.Age(o.At, m.now))
	shown.Volume = shown.count(o.Volume)
	if o.Last > 0 {
		shown.LastPrice = shown.number(o.Last)
		if o.Close > 0 {
			shown.Change, shown.ChangePercent = shown.number(paise(o.Last-o.Close)), shown.number(paise((o.Last-o.Close)/o.Close*100))
		}
	}
	if !o.Full {
		missing("no open interest and no depth in this mode")
	} else {
		shown.OI = shown.count(o.OI)
		if o.HasOpen {
			shown.OIChange = shown.count(o.OI - o.OpenOI)
		} else {
			missing("the open was not seen: no change of the open interest")
		}
	}
	if o.Bid > 0 && o.BidQuantity > 0 {
		shown.Bid, shown.BidQuantity = shown.number(o.Bid), shown.count(o.BidQuantity)
	}
	if o.Ask > 0 && o.AskQuantity > 0 {
		shown.Ask, shown.AskQuantity = shown.number(o.Ask), shown.count(o.AskQuantity)
	}
	price, from, reason := o.price(m.reference)
	switch {
	case !m.fresh(o.At):
		missing("no volatility: the packet is %v old", m.now.Sub(o.At).Round(time.Second))
	case reason != "":
		missing("no volatility: %s", reason)
	case m.years == 0:
		missing("no volatility: %v", ErrExpired)
	case m.forward == 0:
		missing("no volatility: no forward")
	default:
		contract := Contract{Put: o.put(), Strike: o.Instrument.Strike, Forward: m.forward, Years: m.years, Rate: Rate}
		volatility, err := contract.Volatility(price)
		if err != nil {
			missing("no volatility: %v", err)
			break
		}
		shown.IV, shown.Delta, shown.IVFrom = shown.number(fine(volatility)), shown.number(fine(contract.Delta(volatility))), from
	}
	return &shown.ChainOption
}

func (m *moment) total(c *messages.Chain) {
	s := &c.Summary
	if m.newest.IsZero() {
		s.Reason = "no option has had a packet yet"
		return
	}
	positions := make([]Position, 0, len(m.Options))
	for i := range m.Options {
		o := &m.Options[i]
		if o.Full && m.fresh(o.At) {
			positions = append(positions, Position{o.Instrument.Strike, o.put(), o.OI, o.Volume, o.OpenOI, o.HasOpen})
		}
	}
	s.Coverage = float64(len(positions)) / float64(len(m.Options))
	if m.atm != 0 {
		s.ATM = ptr(m.atm)
	} else {
		s.Reason = join(s.Reason, "no fresh price of "+cmp.Or(m.Spot.Symbol, "the index"))
	}
	m.straddle(c)
	if s.Coverage < m.limits.Coverage {
		s.Reason = join(s.Reason, fmt.Sprintf("%d of %d options have a packet newer than %v", len(positions), len(m.Options), m.limits.Fresh))
		return
	}
	calls, puts := Sum(positions)
	s.CallOI, s.PutOI = ptr(calls.OI), ptr(puts.OI)
	s.PCR, s.PCRVolume, s.MaxPain = Ratio(puts.OI, calls.OI), Ratio(puts.Volume, calls.Volume), MaxPain(positions)
	if calls.OI+puts.OI == 0 {
		s.MaxPain = nil
	}
	if calls.LargestOI > 0 {
		s.CallWall = ptr(calls.Largest)
	}
	if puts.LargestOI > 0 {
		s.PutWall = ptr(puts.Largest)
	}
	if float64(calls.With+puts.With) >= m.limits.Coverage*float64(len(m.Options)) {
		s.CallOIChange, s.PutOIChange, s.PCRChange = ptr(calls.Change), ptr(puts.Change), Ratio(puts.Change, calls.Change)
	}
}

// straddle is what stands at the money.
func (m *moment) straddle(c *messages.Chain) {
	for _, r := range c.Rows {
		if !r.ATM || r.Call == nil || r.Put == nil {
			continue
		}
		if r.Call.LastPrice != nil && r.Put.LastPrice != nil && m.fresh(*r.Call.At) && m.fresh(*r.Put.At) {
			c.Summary.Straddle = ptr(rounded(*r.Call.LastPrice + *r.Put.LastPrice))
		}
		if r.Call.IV != nil && r.Put.IV != nil {
			c.Summary.ATMVol = ptr(fine((*r.Call.IV + *r.Put.IV) / 2))
		}
	}
}

// paise is to two decimals.
func paise(x float64) float64 { return math.Round(x*100) / 100 }

// fine is to eight decimals: below what any quote tells.
func fine(x float64) float64 { return math.Round(x*1e8) / 1e8 }

// known is a time for JSON; nil: it is not known.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return ptr(t.UTC())
}

func day(t time.Time) string { return t.In(ist.Zone).Format(time.DateOnly) }

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}
