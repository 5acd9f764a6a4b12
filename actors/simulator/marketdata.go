package simulator

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"kitestring/messages/ist"
	"kitestring/messages/wire"
)

// Kite's limits of instruments in one request.
const (
	maxQuotes = 500  // docs, Market quotes
	maxLTPs   = 1000 // likewise
)

func parseToken(text string) (uint32, bool) {
	token, err := strconv.ParseUint(text, 10, 32)
	return uint32(token), err == nil
}

func rupees(paise int32) float64 { return float64(paise) / 100 }

func stamp(unix uint32) string { return time.Unix(int64(unix), 0).In(ist.Zone).Format(ist.Layout) }

// collect answers what a request names by i=, up to a limit. What is unknown or
// expired is absent.
func (e *Exchange) collect(r *http.Request, limit int, describe func(in *instrument, now time.Time) map[string]any) (any, *apiError) {
	names := r.URL.Query()["i"]
	if len(names) > limit {
		return nil, badInput("Maximum " + strconv.Itoa(limit) + " instruments are allowed in a request.")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.clock.Now()
	session := e.cal.sessionAt(now)
	e.list(now)
	data := map[string]any{}
	held := time.Now()
	for _, name := range names {
		if time.Since(held) > longHold {
			held = e.yield()
		}
		if in := e.listing.find(name); in != nil && (e.tape == nil || in.raw != nil) {
			e.settle(in, session, now)
			data[name] = describe(in, now)
		}
	}
	return data, nil
}

func (e *Exchange) quoteLTP(r *http.Request) (any, *apiError) {
	return e.collect(r, maxLTPs, func(in *instrument, _ time.Time) map[string]any {
		return map[string]any{"instrument_token": in.Token, "last_price": rupees(in.packet.LastPrice)}
	})
}

func ohlc(p *wire.Packet) map[string]float64 {
	return map[string]float64{"open": rupees(p.Open), "high": rupees(p.High), "low": rupees(p.Low), "close": rupees(p.Close)}
}

func (e *Exchange) quoteOHLC(r *http.Request) (any, *apiError) {
	return e.collect(r, maxLTPs, func(in *instrument, _ time.Time) map[string]any {
		return map[string]any{"instrument_token": in.Token, "last_price": rupees(in.packet.LastPrice), "ohlc": ohlc(&in.packet)}
	})
}

func (e *Exchange) quote(r *http.Request) (any, *apiError) {
	return e.collect(r, maxQuotes, func(in *instrument, now time.Time) map[string]any {
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

// interval is a candle's length and Kite's limit of days in one request.
type interval struct {
	minutes int // 0: a day
	days    int
}

var intervals = map[string]interval{
	"minute": {1, 60}, "3minute": {3, 100}, "5minute": {5, 100}, "10minute": {10, 100},
	"15minute": {15, 200}, "30minute": {30, 200}, "60minute": {60, 400}, "day": {0, 2000},
}

// historyDays is how far back there are candles.
const historyDays = 400

// historical answers /instruments/historical/{token}/{interval}.
func (e *Exchange) historical(r *http.Request) (any, *apiError) {
	span, ok := intervals[r.PathValue("interval")]
	if !ok {
		return nil, badInput("invalid interval")
	}
	query := r.URL.Query()
	from, err := time.ParseInLocation(ist.Layout, query.Get("from"), ist.Zone)
	if err != nil {
		return nil, badInput("invalid from date")
	}
	to, err := time.ParseInLocation(ist.Layout, query.Get("to"), ist.Zone)
	if err != nil {
		return nil, badInput("invalid to date")
	}
	switch {
	case to.Before(from):
		return nil, badInput("from date cannot be after to date")
	case to.Sub(from) > time.Duration(span.days)*24*time.Hour:
		return nil, badInput("interval exceeds max limit: " + r.PathValue("interval"))
	}
	token, ok := parseToken(r.PathValue("token"))
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.clock.Now()
	e.list(now)
	in := e.listing.tokens[token]
	if !ok || in == nil {
		return nil, badInput("invalid token")
	}
	return map[string]any{"candles": e.candles(in, span, from, to, now, query.Get("oi") == "1")}, nil
}

const candleTime = "2006-01-02T15:04:05-0700"

// candles whose start lies within [from, to], the running one included.
func (e *Exchange) candles(in *instrument, span interval, from, to, now time.Time, withOI bool) [][]any {
	list := [][]any{} // not null
	if oldest := now.AddDate(0, 0, -historyDays); from.Before(oldest) {
		from = oldest
	}
	if to.After(now) {
		to = now
	}
	current := e.cal.sessionAt(now)
	e.settle(in, current, now)
	length := span.minutes
	if length == 0 {
		length = 24 * 60 // more than a session
	}
	for day := ist.Day(from); !day.After(to); day = day.AddDate(0, 0, 1) {
		if !e.cal.trading(day) || dayNumber(day) > current.day {
			continue
		}
		s := e.cal.session(day)
		start := func(m minute) time.Time {
			if span.minutes == 0 {
				return day
			}
			return s.open.Add(time.Duration(m.at) * time.Minute)
		}
		for _, m := range merge(e.minutesOf(in, s), int32(length)) {
			if at := start(m); at.Before(from) || at.After(to) {
				continue
			}
			candle := []any{start(m).Format(candleTime), rupees(m.open), rupees(m.high), rupees(m.low), rupees(m.close), m.volume}
			if withOI {
				candle = append(candle, m.oi)
			}
			list = append(list, candle)
		}
	}
	return list
}

// minutesOf is what was traded on a day: as it was recorded, else made up.
func (e *Exchange) minutesOf(in *instrument, s *session) []minute {
	if e.tape != nil {
		return e.recordedMinutes(in, s)
	}
	for i := len(in.days) - 1; i >= 0; i-- {
		if in.days[i].day == s.day {
			return in.days[i].minutes
		}
	}
	if in.session != nil && in.session.day == s.day {
		return nil // nothing traded yet
	}
	if e.bars != nil {
		if !s.open.Before(e.bars.slots[0].session.open) {
			return nil // not in the file
		}
		defer e.prices.walkAgain()()
	}
	if in.expired(s) {
		return nil
	}
	list := make([]minute, 0, s.length/60)
	for at := 0; at < s.length; at += virtualSeconds {
		if !s.trades(in, at) {
			continue
		}
		m := at / 60
		list = addToMinutes(list, int32(m), e.prices.of(in, s, float64(at)),
			e.prices.minuteVolume(in, s, m)/(60/virtualSeconds), 0)
		if at%60 == 60-virtualSeconds {
			list[len(list)-1].oi = e.prices.openInterest(in, s, float64(at))
		}
	}
	return list
}

// merge makes candles of a length from minutes, aligned to the open.
func merge(list []minute, length int32) []minute {
	if length == 1 {
		return list
	}
	var merged []minute
	for _, m := range list {
		at := m.at / length * length
		n := len(merged)
		if n == 0 || merged[n-1].at != at {
			m.at = at
			merged = append(merged, m)
			continue
		}
		last := &merged[n-1]
		last.high, last.low, last.close = max(last.high, m.high), min(last.low, m.low), m.close
		last.volume += m.volume
		last.oi = m.oi
	}
	return merged
}

// instrumentsFile is the day's CSV of one exchange, plain and packed.
type instrumentsFile struct{ plain, packed []byte }

const instrumentsHeader = "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange\n"

// etag names the version of the file.
func (e *Exchange) etag() string {
	return fmt.Sprintf(`W/"%s-%d"`, e.listing.day.Format("20060102"), e.listing.version)
}

// serveInstruments is /instruments and /instruments/NSE. As with Kite, no
// token is needed.
func (e *Exchange) serveInstruments(w http.ResponseWriter, r *http.Request) {
	if e.restFault(w, r) {
		e.refused("fault")
		return
	}
	if !e.limits.allow(classOther, time.Now()) {
		e.refused("rate_limit")
		writeError(w, &apiError{http.StatusTooManyRequests, networkException, "Too many requests"})
		return
	}
	e.mu.Lock()
	e.list(e.clock.Now())
	file, etag := e.file(strings.ToUpper(r.PathValue("exchange"))), e.etag()
	e.counts.requests["instruments"]++
	e.mu.Unlock()
	h := w.Header()
	h.Set("ETag", etag)
	h.Set("Vary", "Accept-Encoding")
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", "text/csv") // exactly this: the JavaScript client compares
	body := file.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = file.packed
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client went away
}

// file makes the CSV of an exchange, "" for all, once a day. Prices in it are
// those of the day before, as in Kite's.
func (e *Exchange) file(exchange string) *instrumentsFile {
	if f := e.listing.files[exchange]; f != nil {
		return f
	}
	known := exchange == ""
	if e.tape != nil {
		return e.pack(exchange, e.tapeFile(exchange), true)
	}
	session := e.cal.session(e.cal.previous(e.listing.day))
	var b bytes.Buffer
	b.WriteString(instrumentsHeader)
	for _, in := range e.listing.list {
		if exchange != "" && in.Exchange != exchange {
			continue
		}
		known = true
		expiry := ""
		if !in.Expiry.IsZero() {
			expiry = in.Expiry.Format(time.DateOnly)
		}
		fmt.Fprintf(&b, "%d,%d,%s,%s,%v,%s,%v,%v,%d,%s,%s,%s\n",
			in.Token, in.Token>>8, in.Tradingsymbol, in.Name, rupees(e.prices.of(in, session, session.lastTrade(in))),
			expiry, in.Strike, in.TickSize, in.LotSize, in.Type, in.Segment, in.Exchange)
	}
	return e.pack(exchange, b.Bytes(), known)
}

// pack makes a file, and keeps it when its exchange is known: an endless number
// of unknown ones must not be kept.
func (e *Exchange) pack(exchange string, plain []byte, known bool) *instrumentsFile {
	f := &instrumentsFile{plain: plain}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(f.plain) // into memory
	_ = z.Close()
	f.packed = packed.Bytes()
	if known {
		e.listing.files[exchange] = f
	}
	return f
}
