package simulator

import (
	"net/http"
	"strconv"
	"time"

	"kitestring/messages/ist"
	"kitestring/messages/wire"
)

// Kite's limits of instruments in one request.
const (
	maxQuotes = 500
	maxLTPs   = 1000
)

func parseToken(text string) (uint32, bool) {
	token, err := strconv.ParseUint(text, 10, 32)
	return uint32(token), err == nil
}

func rupees(paise int32) float64 { return float64(paise) / 100 }

func stamp(unix uint32) string { return time.Unix(int64(unix), 0).In(ist.Zone).Format(ist.Layout) }

// ask collects what a request asked for by i=, up to a limit. What is unknown
// or expired is simply absent.
func (e *Exchange) ask(r *http.Request, limit int, tell func(in *instrument, now time.Time) map[string]any) (any, *apiError) {
	asked := r.URL.Query()["i"]
	if len(asked) > limit {
		return nil, badInput("Maximum " + strconv.Itoa(limit) + " instruments are allowed in a request.")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.clock.Now()
	session := e.cal.sessionAt(now)
	e.list(now)
	data := map[string]any{}
	held := time.Now()
	for _, name := range asked {
		if time.Since(held) > longHold {
			held = e.breathe()
		}
		if in := e.book.find(name); in != nil {
			e.settle(in, session, now)
			data[name] = tell(in, now)
		}
	}
	return data, nil
}

func (e *Exchange) quoteLTP(r *http.Request) (any, *apiError) {
	return e.ask(r, maxLTPs, func(in *instrument, _ time.Time) map[string]any {
		return map[string]any{"instrument_token": in.Token, "last_price": rupees(in.packet.LastPrice)}
	})
}

func ohlc(p *wire.Packet) map[string]float64 {
	return map[string]float64{"open": rupees(p.Open), "high": rupees(p.High), "low": rupees(p.Low), "close": rupees(p.Close)}
}

func (e *Exchange) quoteOHLC(r *http.Request) (any, *apiError) {
	return e.ask(r, maxLTPs, func(in *instrument, _ time.Time) map[string]any {
		return map[string]any{"instrument_token": in.Token, "last_price": rupees(in.packet.LastPrice), "ohlc": ohlc(&in.packet)}
	})
}

func (e *Exchange) quote(r *http.Request) (any, *apiError) {
	return e.ask(r, maxQuotes, func(in *instrument, now time.Time) map[string]any {
		p := &in.packet
		return map[string]any{
			"instrument_token": in.Token, "timestamp": now.In(ist.Zone).Format(ist.Layout), "last_trade_time": stamp(p.LastTradeTime),
			"last_price": rupees(p.LastPrice), "last_quantity": p.LastQuantity, "buy_quantity": p.BuyQuantity, "sell_quantity": p.SellQuantity,
			"volume": p.Volume, "average_price": rupees(p.AveragePrice), "oi": p.OI, "oi_day_high": p.OIDayHigh, "oi_day_low": p.OIDayLow,
			"net_change": rupees(p.LastPrice - p.Close), "lower_circuit_limit": rupees(round(0.9*rupees(p.Close), in.paise)),
			"upper_circuit_limit": rupees(round(1.1*rupees(p.Close), in.paise)), "ohlc": ohlc(p),
			"depth": map[string]any{"buy": levels(&p.Depth.Buy), "sell": levels(&p.Depth.Sell)},
		}
	})
}

func levels(side *[5]wire.DepthLevel) []map[string]any {
	list := make([]map[string]any, len(side))
	for i, l := range side {
		list[i] = map[string]any{"price": rupees(l.Price), "quantity": l.Quantity, "orders": l.Orders}
	}
	return list
}
