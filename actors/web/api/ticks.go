package api

import (
	"time"

	"kitestring/messages"
)

// Tick is an entry of GET /api/v1/ticks, and topic "tick" of a stream that
// names instruments: the last packet of an instrument. Prices are rupees. null
// is what the mode does not carry, or what has not come.
type Tick struct {
	InstrumentToken uint32        `json:"instrument_token"`
	Exchange        string        `json:"exchange"`      // "": not known, of an index that only a client of the gateway wants
	Tradingsymbol   string        `json:"tradingsymbol"` // "": only a client of the gateway wants it
	Mode            messages.Mode `json:"mode"`          // that is subscribed: ltp, quote, full
	LastPrice       *float64      `json:"last_price"`    // null: no packet has come yet
	Change          *float64      `json:"change"`        // rupees, from the previous day's close
	ChangePercent   *float64      `json:"change_percent"`
	Open            *float64      `json:"open"`          // first price of the day, in rupees
	High            *float64      `json:"high"`          // highest price of the day, in rupees
	Low             *float64      `json:"low"`           // lowest price of the day, in rupees
	Close           *float64      `json:"close"`         // close of the previous day, in rupees
	AveragePrice    *float64      `json:"average_price"` // volume-weighted average price of the day, in rupees
	LastQuantity    *int64        `json:"last_quantity"` // units of the newest trade
	Volume          *int64        `json:"volume"`        // units that were traded so far in the day
	BuyQuantity     *int64        `json:"buy_quantity"`  // units that all open orders would buy
	SellQuantity    *int64        `json:"sell_quantity"` // units that all open orders would sell
	OI              *int64        `json:"oi"`
	Bid             *float64      `json:"bid"` // the best one; null: none, or not in mode full
	BidQuantity     *int64        `json:"bid_quantity"`
	Ask             *float64      `json:"ask"`
	AskQuantity     *int64        `json:"ask_quantity"`
	LastTradeAt     *time.Time    `json:"last_trade_at"` // the exchange's time of the newest trade
	ExchangeAt      *time.Time    `json:"exchange_at"`   // the exchange's time of the packet
	Packets         uint64        `json:"packets"`       // number of packets since it is subscribed; a step of more than one between two events: newer ones replaced the others
}
