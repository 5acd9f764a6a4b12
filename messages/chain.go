package messages

import "time"

// Chain is the option chain of one underlying and expiry at one moment. A number
// that cannot be had is nil, and Reason, or the option's Reasons, say why; none is
// invented. Prices are in rupees, open interest and volume in contracts' units
// as Kite sends them, volatilities and rates are shares of a year (0.13 is 13 %).
type Chain struct {
	Underlying string      `json:"underlying"`
	Expiry     string      `json:"expiry"`   // of its options, YYYY-MM-DD; "": none is known
	Expiries   []string    `json:"expiries"` // that can be asked for, the nearest first
	Rows       []ChainRow  `json:"rows"`     // strikes round the money, rising
	At         time.Time   `json:"at"`       // exchange time at which it was made
	AsOf       *time.Time  `json:"as_of"`    // exchange time of the newest packet of an option; nil: none yet
	AgeSeconds *float64    `json:"age_seconds"`
	Session    string      `json:"session"` // day of the newest packet, YYYY-MM-DD; "": none yet
	Current    bool        `json:"current"` // the session is today's
	Reason     string      `json:"reason"`  // what is missing and why; "": nothing
	Generation Generation  `json:"generation"`
	Spot       ChainPrice  `json:"spot"`    // of the index or share
	Future     ChainPrice  `json:"future"`  // of the near future
	Pricing    ChainModel  `json:"pricing"` // what volatilities and deltas are reckoned with
	Summary    ChainTotals `json:"summary"` // what all rows together say
}

// ChainPrice is a price with its age.
type ChainPrice struct {
	Tradingsymbol string     `json:"tradingsymbol"`
	LastPrice     *float64   `json:"last_price"`
	At            *time.Time `json:"at"` // exchange time of its packet
	AgeSeconds    *float64   `json:"age_seconds"`
}

// ChainModel is what the volatilities and deltas are computed with.
type ChainModel struct {
	Model         string    `json:"model"`          // black_76
	Forward       *float64  `json:"forward"`        // price of the underlying for the expiry, in rupees
	ForwardFrom   string    `json:"forward_from"`   // parity: implied by calls and puts; future: the future of the same expiry; "": none
	ParityStrikes []float64 `json:"parity_strikes"` // strikes whose calls and puts imply the forward, in rupees
	Rate          float64   `json:"rate"`           // that premiums are discounted at, a year
	ExpiresAt     time.Time `json:"expires_at"`     // end of the expiry's last session
	Years         float64   `json:"years"`          // until then, of 365 days
	Reason        string    `json:"reason"`         // why there is no forward; "": there is one
}

// ChainTotals sums the chain up. Open interest counts of options whose packet
// is fresh enough.
type ChainTotals struct {
	ATM          *float64 `json:"atm"`           // strike nearest to the spot, in rupees
	Straddle     *float64 `json:"straddle"`      // last prices of call and put there together, in rupees
	ATMVol       *float64 `json:"atm_iv"`        // mean of the volatilities there, a year: 0.12 is 12 percent
	MaxPain      *float64 `json:"max_pain"`      // strike at which the options would pay out least, in rupees
	CallWall     *float64 `json:"call_wall"`     // strike of the calls' largest open interest, in rupees
	PutWall      *float64 `json:"put_wall"`      // strike of the puts' largest open interest, in rupees
	PCR          *float64 `json:"pcr"`           // ratio of the open interest: puts / calls
	PCRVolume    *float64 `json:"pcr_volume"`    // ratio of the volume of the day: puts / calls
	PCRChange    *float64 `json:"pcr_oi_change"` // ratio of the change of the open interest since the open: puts / calls
	CallOI       *float64 `json:"call_oi"`
	PutOI        *float64 `json:"put_oi"`
	CallOIChange *float64 `json:"call_oi_change"` // change of the calls' open interest since the open, in units
	PutOIChange  *float64 `json:"put_oi_change"`  // change of the puts' open interest since the open, in units
	Coverage     float64  `json:"coverage"`       // share of the options with a fresh packet, 0-1
	Reason       string   `json:"reason"`         // why totals are missing; "": none is
}

// ChainRow is a strike.
type ChainRow struct {
	Strike float64      `json:"strike"`
	ATM    bool         `json:"atm"`  // whether it is the strike nearest to the spot
	Call   *ChainOption `json:"call"` // nil: there is none at this strike
	Put    *ChainOption `json:"put"`  // nil: there is none at this strike
}

// ChainOption is an option with its newest packet.
type ChainOption struct {
	InstrumentToken uint32     `json:"instrument_token"`
	Tradingsymbol   string     `json:"tradingsymbol"`
	LastPrice       *float64   `json:"last_price"`
	Change          *float64   `json:"change"` // since the previous close, in rupees
	ChangePercent   *float64   `json:"change_percent"`
	Bid             *float64   `json:"bid"`
	BidQuantity     *int64     `json:"bid_quantity"`
	Ask             *float64   `json:"ask"`
	AskQuantity     *int64     `json:"ask_quantity"`
	Volume          *int64     `json:"volume"` // units that were traded in the day
	OI              *int64     `json:"oi"`
	OIChange        *int64     `json:"oi_change"` // since the open, in units
	IV              *float64   `json:"iv"`
	Delta           *float64   `json:"delta"`     // to the forward: rupees that the premium moves with one rupee of it
	IVFrom          string     `json:"iv_from"`   // mid: of bid and ask; last: of a trade of the last minute; "": none
	At              *time.Time `json:"at"`        // exchange time of the newest packet; nil: none yet
	TradedAt        *time.Time `json:"traded_at"` // of the last trade: the age of last_price
	BookAt          *time.Time `json:"book_at"`   // of bid and ask
	AgeSeconds      *float64   `json:"age_seconds"`
	Reasons         []string   `json:"reasons"` // why numbers are missing
}

// ChainPoint is a minute of the chain of the nearest expiry.
type ChainPoint struct {
	At       time.Time `json:"at"`     // exchange time, start of the minute
	Expiry   string    `json:"expiry"` // of the options, YYYY-MM-DD
	Spot     *float64  `json:"spot"`   // price of the index or share, in rupees
	ATM      *float64  `json:"atm"`
	Straddle *float64  `json:"straddle"`
	ATMVol   *float64  `json:"atm_iv"`
	PCR      *float64  `json:"pcr"`
	MaxPain  *float64  `json:"max_pain"`
	CallOI   *float64  `json:"call_oi"`
	PutOI    *float64  `json:"put_oi"`
	Coverage float64   `json:"coverage"`
}

// ChainUpdated carries a chain that has changed.
// Sent by chain; received by web.
type ChainUpdated struct {
	Chain   Chain
	Nearest bool // it is the chain of the nearest expiry
}

// Key implements latest-wins per underlying and expiry; the nearest is without
// its expiry.
func (c ChainUpdated) Key() string {
	if c.Nearest {
		return "chain/" + c.Chain.Underlying
	}
	return "chain/" + c.Chain.Underlying + "/" + c.Chain.Expiry
}

// AskChain asks for the chain of an expiry that is not the nearest; it is subscribed
// to for some minutes. Sent by web; received by chain.
type AskChain struct{ Underlying, Expiry string }

// Key implements latest-wins per underlying and expiry.
func (a AskChain) Key() string { return "ask_chain/" + a.Underlying + "/" + a.Expiry }

// Aged is the chain with its ages as of the exchange's time now. It shares
// nothing that it changes.
func (c Chain) Aged(now time.Time) Chain {
	c.Date(now)
	rows := make([]ChainRow, len(c.Rows))
	for i, r := range c.Rows {
		rows[i] = ChainRow{r.Strike, r.ATM, r.Call.aged(now), r.Put.aged(now)}
	}
	c.Rows = rows
	return c
}

// Date sets the ages of the chain itself, not those of its options.
func (c *Chain) Date(now time.Time) {
	c.AgeSeconds, c.Spot.AgeSeconds, c.Future.AgeSeconds = age(c.AsOf, now), age(c.Spot.At, now), age(c.Future.At, now)
}

func (o *ChainOption) aged(now time.Time) *ChainOption {
	if o == nil {
		return nil
	}
	aged := *o
	aged.AgeSeconds = age(o.At, now)
	return &aged
}

func age(at *time.Time, now time.Time) *float64 {
	if at == nil {
		return nil
	}
	seconds := Age(*at, now)
	return &seconds
}

// Age is how old a time is, in seconds; one that is ahead is 0 old.
func Age(at, now time.Time) float64 {
	return max(0, now.Sub(at).Truncate(100*time.Millisecond).Seconds())
}
