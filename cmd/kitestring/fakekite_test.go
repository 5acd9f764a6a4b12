package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"kitestring/messages/ist"
)

// fakeKite looks like Kite on loopback: REST, WebSocket and the clock of a
// simulator. It is written from Kite's public documentation and shares no code
// with the simulator or with messages/wire: a mistake in them does not show in a
// test against the simulator, which makes the same mistake.
//
// The fields are settings; change them by set.
type fakeKite struct {
	t    *testing.T
	url  string
	rows []fakeRow

	mu          sync.Mutex
	real, there time.Time // the clock: both stood so at the same moment
	speed       float64
	tokens      []string                              // access tokens that are good; nil: any
	over        map[string]http.HandlerFunc           // by the prefix of a path: an answer of its own
	history     func(candles [][]any) []any           // nil: as they are
	spans       map[string][][2]string                // sessions of history by date; "": of any weekday
	orders      []any                                 // of /orders
	ticks       bool                                  // packets are sent; heartbeats always are
	tickAt      map[uint32]time.Time                  // the exchange time in an instrument's packets
	left        func(r fakeRow) bool                  // rows that the instruments file leaves out
	asked       []string                              // paths with queries, in order
	sockets     map[*websocket.Conn]map[uint32]string // instrument -> mode
	volume      uint32
}

// fakeRow is an instrument.
type fakeRow struct {
	token                        uint32
	symbol, name, expiry, strike string
	kind, segment, exchange      string
	lot                          int
}

// startFake starts a fake whose clock stands at a time in IST and runs at a speed.
func startFake(t *testing.T, now string, speed float64) *fakeKite {
	t.Helper()
	there, err := time.ParseInLocation(time.DateTime, now, ist.Zone)
	if err != nil {
		t.Fatal(err)
	}
	k := &fakeKite{
		t: t, real: time.Now(), there: there, speed: speed, ticks: true, over: map[string]http.HandlerFunc{}, tickAt: map[uint32]time.Time{},
		spans: map[string][][2]string{"": {{"09:15", "15:30"}}}, sockets: map[*websocket.Conn]map[uint32]string{}, orders: []any{},
	}
	k.rows = fakeInstruments(there)
	server := httptest.NewServer(k)
	k.url = server.URL
	t.Cleanup(func() {
		k.set(func() {
			for conn := range k.sockets {
				conn.Close()
			}
		})
		server.CloseClientConnections()
		server.Close()
	})
	return k
}

// set changes settings.
func (k *fakeKite) set(change func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change()
}

// now is the exchange's time; the caller holds the lock.
func (k *fakeKite) now() time.Time {
	return k.there.Add(time.Duration(float64(time.Since(k.real)) * k.speed)).In(ist.Zone)
}

// token is the instrument token of "EXCHANGE:SYMBOL".
func (k *fakeKite) token(key string) uint32 {
	k.t.Helper()
	for _, r := range k.rows {
		if r.exchange+":"+r.symbol == key {
			return r.token
		}
	}
	k.t.Fatalf("the fake has no %s", key)
	return 0
}

// subscribed are the instruments of all sockets.
func (k *fakeKite) subscribed() map[uint32]string {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := map[uint32]string{}
	for _, modes := range k.sockets {
		for token, mode := range modes {
			all[token] = mode
		}
	}
	return all
}

// requests are the requests whose path and query hold a text.
func (k *fakeKite) requests(text string) (found []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range k.asked {
		if strings.Contains(r, text) {
			found = append(found, r)
		}
	}
	return found
}

// hangUp closes every socket.
func (k *fakeKite) hangUp() {
	k.set(func() {
		for conn := range k.sockets {
			conn.Close()
		}
	})
}

// refusing answers with an error of Kite.
func refusing(status int, errorType, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"status": "error", "message": message, "error_type": errorType, "data": nil})
	}
}

func (k *fakeKite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if websocket.IsWebSocketUpgrade(r) {
		k.stream(w, r)
		return
	}
	k.mu.Lock()
	k.asked = append(k.asked, r.Method+" "+r.URL.String())
	answer, longest := http.HandlerFunc(nil), -1
	for prefix, f := range k.over {
		if strings.HasPrefix(r.URL.Path, prefix) && len(prefix) > longest {
			answer, longest = f, len(prefix)
		}
	}
	_, access, _ := strings.Cut(r.Header.Get("Authorization"), ":")
	good := k.tokens == nil || slices.Contains(k.tokens, access)
	k.mu.Unlock()
	path := r.URL.Path
	switch {
	case answer != nil:
		answer(w, r)
	case strings.HasPrefix(path, "/sim/v1/"):
		k.mu.Lock()
		clock := map[string]any{"now": k.now().UTC(), "speed": k.speed, "skip_nights": false}
		k.mu.Unlock()
		if path == "/sim/v1/state" {
			clock = map[string]any{"clock": clock, "sequence": false}
		}
		_ = json.NewEncoder(w).Encode(clock)
	case strings.HasPrefix(path, "/instruments") && !strings.Contains(path, "historical"):
		k.mu.Lock()
		file := k.file()
		k.mu.Unlock()
		w.Header().Set("Content-Type", "text/csv")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(file)
	case !good:
		refusing(http.StatusForbidden, "TokenException", "Incorrect `api_key` or `access_token`.")(w, r)
	default:
		k.mu.Lock()
		data := k.data(path, r.URL.Query())
		k.mu.Unlock()
		if data == nil {
			refusing(http.StatusNotFound, "GeneralException", "Route not found")(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": data})
	}
}

// data is an answer inside Kite's envelope; the caller holds the lock.
func (k *fakeKite) data(path string, q url.Values) any {
	switch {
	case path == "/user/profile":
		return map[string]any{
			"user_id": "AB1234", "user_type": "individual/ind_with_nom", "email": "x@example.com", "user_name": "N", "user_shortname": "N", "broker": "ZERODHA",
			"exchanges": []string{"NSE", "NFO", "BSE", "BFO"}, "products": []string{"CNC"}, "order_types": []string{"MARKET"}, "avatar_url": nil, "meta": map[string]any{"demat_consent": "consent"},
		}
	case path == "/orders":
		return k.orders
	case strings.HasPrefix(path, "/instruments/historical/"):
		token, _ := strconv.ParseUint(strings.Split(path, "/")[3], 10, 32)
		candles := k.candles(uint32(token), q)
		if k.history != nil {
			return map[string]any{"candles": k.history(candles)}
		}
		return map[string]any{"candles": candles}
	case strings.HasPrefix(path, "/quote"):
		quotes := map[string]any{}
		for _, key := range q["i"] {
			for _, r := range k.rows {
				if r.exchange+":"+r.symbol == key {
					p := r.price()
					quotes[key] = map[string]any{
						"instrument_token": r.token, "timestamp": k.now().Format(time.DateTime), "last_price": p, "volume": 0, "oi": 0,
						"ohlc": map[string]any{"open": p, "high": p + 10, "low": p - 10, "close": p - 50},
					}
				}
			}
		}
		return quotes
	}
	return nil
}

// candles are minutes up to now; the caller holds the lock.
func (k *fakeKite) candles(token uint32, q url.Values) [][]any {
	from, _ := time.ParseInLocation(time.DateTime, q.Get("from"), ist.Zone)
	to, _ := time.ParseInLocation(time.DateTime, q.Get("to"), ist.Zone)
	if now := k.now(); to.After(now) {
		to = now
	}
	candles := [][]any{}
	for day := from; !day.After(to) && to.Sub(from) < 100*24*time.Hour; day = day.AddDate(0, 0, 1) {
		spans, special := k.spans[day.Format(time.DateOnly)]
		if !special && day.Weekday() != time.Saturday && day.Weekday() != time.Sunday {
			spans = k.spans[""]
		}
		for _, span := range spans {
			at, _ := time.ParseInLocation("2006-01-02 15:04", day.Format(time.DateOnly)+" "+span[0], ist.Zone)
			end, _ := time.ParseInLocation("2006-01-02 15:04", day.Format(time.DateOnly)+" "+span[1], ist.Zone)
			for ; at.Before(end); at = at.Add(time.Minute) {
				if at.Before(from) || at.After(to) {
					continue
				}
				volume := 1000 + rand.IntN(500)
				if token&0xff == 9 {
					volume = 0
				}
				candles = append(candles, []any{at.Format("2006-01-02T15:04:05-0700"), 25000.0, 25003.0, 24997.0, 25001.0, volume, 100000})
			}
		}
	}
	return candles
}

// stream is one socket: it takes commands, and sends packets four times a
// second, or a heartbeat.
func (k *fakeKite) stream(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	good := k.tokens == nil || slices.Contains(k.tokens, r.URL.Query().Get("access_token"))
	k.mu.Unlock()
	if !good {
		http.Error(w, "Authentication failed", http.StatusForbidden)
		return
	}
	conn, err := (&websocket.Upgrader{WriteBufferSize: 64 << 10}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	k.set(func() { k.sockets[conn] = map[uint32]string{} })
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer conn.Close()
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			k.mu.Lock()
			modes, open := k.sockets[conn]
			frames := [][]byte{{0}} // a heartbeat
			if k.ticks {
				frames = append(frames, k.frames(modes)...)
			}
			k.mu.Unlock()
			if !open {
				return
			}
			for _, frame := range frames {
				if conn.WriteMessage(websocket.BinaryMessage, frame) != nil {
					return
				}
			}
		}
	}()
	for {
		var command struct {
			Action string          `json:"a"`
			Value  json.RawMessage `json:"v"`
		}
		if conn.ReadJSON(&command) != nil {
			break
		}
		k.mu.Lock()
		modes := k.sockets[conn]
		var list []uint32
		switch command.Action {
		case "mode":
			var pair [2]json.RawMessage
			var mode string
			if json.Unmarshal(command.Value, &pair) == nil && json.Unmarshal(pair[0], &mode) == nil && json.Unmarshal(pair[1], &list) == nil {
				for _, token := range list {
					modes[token] = mode
				}
			}
		case "subscribe", "unsubscribe":
			_ = json.Unmarshal(command.Value, &list)
			for _, token := range list {
				if modes[token] = "quote"; command.Action == "unsubscribe" {
					delete(modes, token)
				}
			}
		}
		k.mu.Unlock()
	}
	k.set(func() { delete(k.sockets, conn) })
	<-done
}

// frames are packets of all instruments, 200 a frame: 2 bytes number of
// packets, then 2 bytes length and the packet. The caller holds the lock.
func (k *fakeKite) frames(modes map[uint32]string) (frames [][]byte) {
	k.volume += 75
	var body []byte
	n := 0
	flush := func() {
		if n > 0 {
			frames = append(frames, append(binary.BigEndian.AppendUint16(nil, uint16(n)), body...))
		}
		n, body = 0, nil
	}
	for _, r := range k.rows {
		mode, wanted := modes[r.token]
		if !wanted {
			continue
		}
		p := k.packet(r, mode)
		body = append(binary.BigEndian.AppendUint16(body, uint16(len(p))), p...)
		if n++; n == 200 {
			flush()
		}
	}
	flush()
	return frames
}

// packet is one instrument as Kite documents it: prices in hundredths, big
// endian; an index has 8, 28 or 32 bytes, another instrument 8, 44 or 184.
func (k *fakeKite) packet(r fakeRow, mode string) []byte {
	at := k.now()
	if fixed, ok := k.tickAt[r.token]; ok {
		at = fixed
	}
	price := uint32(100*r.price()) + uint32(5*rand.IntN(20))
	field := func(p []byte, values ...uint32) []byte {
		for _, v := range values {
			p = binary.BigEndian.AppendUint32(p, v)
		}
		return p
	}
	p := field(nil, r.token, price)
	switch index := r.token&0xff == 9; {
	case mode == "ltp":
		return p
	case index:
		if p = field(p, price+500, price-500, price, price-100, 100); mode == "full" { // high, low, open, close, change
			p = field(p, uint32(at.Unix()))
		}
		return p
	}
	p = field(p, 75, price, k.volume, 1000, 1000, price, price+500, price-500, price-100) // last quantity, average, volume, buy, sell, OHLC
	if mode != "full" {
		return p
	}
	p = field(p, uint32(at.Unix()), 100000, 100000, 100000, uint32(at.Unix())) // last trade, OI, its high and low, exchange time
	for range 10 {
		p = append(field(p, 75, price), 0, 1, 0, 0) // quantity, price, orders, padding
	}
	return p
}

func (r fakeRow) price() float64 {
	if r.kind == "CE" || r.kind == "PE" {
		return 120
	}
	return 25000
}

// file is the instruments file; the caller holds the lock.
func (k *fakeKite) file() []byte {
	var text bytes.Buffer
	zip := gzip.NewWriter(&text)
	fmt.Fprintln(zip, "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange")
	for _, r := range k.rows {
		if k.left == nil || !k.left(r) {
			fmt.Fprintf(zip, "%d,%d,%s,%s,0,%s,%s,0.05,%d,%s,%s,%s\n", r.token, r.token>>8, r.symbol, r.name, r.expiry, r.strike, r.lot, r.kind, r.segment, r.exchange)
		}
	}
	// Kite's file has some hundred thousand rows; a short one is suspicious.
	for i := range uint32(5000) {
		fmt.Fprintf(zip, "%d,%d,FILL%d,FILLER,0,,0,0.05,1,EQ,BSE,BSE\n", (900000+i)<<8|4, 900000+i, i)
	}
	_ = zip.Close()
	return text.Bytes()
}

// fakeInstruments are the indices, two stocks, and the derivatives of all of
// them: three monthly futures, and options around the money of the months and,
// where it has them, of the next weeks.
func fakeInstruments(today time.Time) []fakeRow {
	var rows []fakeRow
	index := func(token uint32, symbol, exchange string) {
		rows = append(rows, fakeRow{token: token, symbol: symbol, name: symbol, strike: "0", kind: "EQ", segment: "INDICES", exchange: exchange})
	}
	index(256265, "NIFTY 50", "NSE")
	index(260105, "NIFTY BANK", "NSE")
	index(265, "SENSEX", "BSE")
	next := map[uint32]uint32{}
	token := func(segment uint32) uint32 {
		next[segment]++
		return (5000+next[segment])<<8 | segment
	}
	derivatives := func(name, exchange string, segment uint32, weekday time.Weekday, weekly bool, step int) {
		var months []time.Time
		for first := time.Date(today.Year(), today.Month(), 1, 0, 0, 0, 0, ist.Zone); len(months) < 3; first = first.AddDate(0, 1, 0) {
			last := first.AddDate(0, 1, -1)
			for last.Weekday() != weekday {
				last = last.AddDate(0, 0, -1)
			}
			if last.Format(time.DateOnly) >= today.Format(time.DateOnly) {
				months = append(months, last)
			}
		}
		expiries := slices.Clone(months)
		for day := today; weekly && day.Before(today.AddDate(0, 0, 28)); day = day.AddDate(0, 0, 1) {
			if day.Weekday() == weekday && !slices.ContainsFunc(months, func(m time.Time) bool { return m.Format(time.DateOnly) == day.Format(time.DateOnly) }) {
				expiries = append(expiries, day)
			}
		}
		for _, m := range months {
			rows = append(rows, fakeRow{token(segment), strings.ToUpper(name + m.Format("06Jan") + "FUT"), name, m.Format(time.DateOnly), "0", "FUT", exchange + "-FUT", exchange, 65})
		}
		for _, e := range expiries {
			for i := -30; i <= 30; i++ {
				strike := 25000 + i*step
				for _, kind := range []string{"CE", "PE"} {
					rows = append(rows, fakeRow{token(segment), fmt.Sprintf("%s%s%d%s", name, e.Format("060102"), strike, kind), name, e.Format(time.DateOnly), strconv.Itoa(strike), kind, exchange + "-OPT", exchange, 65})
				}
			}
		}
	}
	derivatives("NIFTY", "NFO", 2, time.Tuesday, true, 50)
	derivatives("BANKNIFTY", "NFO", 2, time.Tuesday, false, 100)
	derivatives("SENSEX", "BFO", 5, time.Thursday, true, 100)
	for _, stock := range []string{"INFY", "M&M"} {
		rows = append(rows, fakeRow{token(1), stock, stock + " LTD", "", "0", "EQ", "NSE", "NSE", 1})
		derivatives(stock, "NFO", 2, time.Tuesday, false, 50)
	}
	return rows
}
