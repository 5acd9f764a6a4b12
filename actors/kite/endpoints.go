package kite

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"time"

	kiteconnect "github.com/zerodha/gokiteconnect/v4"

	"kitestring/messages"
	"kitestring/messages/ist"
)

// MostQuotes is how many keys one Quote may have (Kite Connect v3, market quotes).
const MostQuotes = 500

// Profile is the owner of a token.
type Profile struct{ UserID string }

// Profile asks for the owner of the token: the one check of a token. A 200
// without a user id is Malformed, no proof.
func (c *Client) Profile(ctx context.Context) (Profile, error) {
	var data struct {
		UserID text `json:"user_id"`
	}
	err := c.get(ctx, ClassProfile, kiteconnect.URIUserProfile, nil, &data)
	if err == nil && data.UserID == "" {
		err = c.failure(ClassProfile, Malformed, http.StatusOK, errNoData)
	}
	return Profile{string(data.UserID)}, err
}

// SessionInfo is what a login brings.
type SessionInfo struct {
	Token     messages.AccessToken
	UserID    string
	UserName  string
	LoginTime time.Time // exchange time of the login; zero: unknown
}

// ExchangeRequestToken turns the request token of a finished login into an
// access token. A request token is good for one exchange within a few minutes;
// used or late, it gives [TokenRefused], as does a wrong checksum (with
// BadChecksum set: API key and API secret do not belong together).
func ExchangeRequestToken(ctx context.Context, ex Exchange, apiKey string, secret, requestToken messages.Secret) (SessionInfo, error) {
	c := newClient(ex, messages.Session{APIKey: apiKey}, func(messages.Generation) {}, secret, requestToken)
	sum := sha256.Sum256([]byte(apiKey + requestToken.Reveal() + secret.Reveal()))
	form := url.Values{"api_key": {apiKey}, "request_token": {requestToken.Reveal()}, "checksum": {hex.EncodeToString(sum[:])}}
	var data struct {
		AccessToken string `json:"access_token"`
		UserID      text   `json:"user_id"`
		UserName    text   `json:"user_name"`
		LoginTime   moment `json:"login_time"`
	}
	if err := c.ask(ctx, ClassSession, http.MethodPost, kiteconnect.URIUserSession, form, &data); err != nil {
		return SessionInfo{}, err
	}
	if data.AccessToken == "" {
		return SessionInfo{}, c.failure(ClassSession, Malformed, http.StatusOK, errNoData)
	}
	return SessionInfo{
		Token: messages.NewAccessToken(data.AccessToken), UserID: string(data.UserID), UserName: string(data.UserName),
		LoginTime: data.LoginTime.Time,
	}, nil
}

// Quote is the part of a full quote that is needed. Prices are rupees.
type Quote struct {
	LastPrice, AveragePrice float64
	OHLC                    struct{ Open, High, Low, Close float64 }
	Volume, OI              int64
	Timestamp               time.Time // zero: unknown
}

// Quote asks for full quotes of at most [MostQuotes] keys: "NSE:INFY" or an
// instrument token in decimal. Keys that Kite does not know are absent.
func (c *Client) Quote(ctx context.Context, keys ...string) (map[string]Quote, error) {
	if len(keys) > MostQuotes {
		return nil, c.failure(ClassQuote, Input, 0, fmt.Errorf("%d keys in one request", len(keys)))
	}
	var data map[string]json.RawMessage
	if err := c.get(ctx, ClassQuote, kiteconnect.URIGetQuote, url.Values{"i": keys}, &data); err != nil {
		return nil, err
	}
	quotes := make(map[string]Quote, len(data))
	var skipped skips
	for key, raw := range data {
		var q struct {
			LastPrice    number `json:"last_price"`
			AveragePrice number `json:"average_price"`
			Volume       number `json:"volume"`
			OI           number `json:"oi"`
			Timestamp    moment `json:"timestamp"`
			OHLC         struct{ Open, High, Low, Close number }
		}
		if err := json.Unmarshal(raw, &q); err != nil || !q.LastPrice.given {
			skipped.add("quote %s: %s", key, reason(err, "no last_price"))
			continue
		}
		out := Quote{
			LastPrice: q.LastPrice.value, AveragePrice: q.AveragePrice.value, Timestamp: q.Timestamp.Time,
			Volume: q.Volume.whole(), OI: q.OI.whole(),
		}
		out.OHLC.Open, out.OHLC.High, out.OHLC.Low, out.OHLC.Close = q.OHLC.Open.value, q.OHLC.High.value, q.OHLC.Low.value, q.OHLC.Close.value
		quotes[key] = out
	}
	return quotes, c.report(ClassQuote, skipped, len(quotes))
}

// Candle is a bar of Kite's history. Prices are rupees.
type Candle struct {
	Start                  time.Time // UTC
	Open, High, Low, Close float64
	Volume                 int64
	OI                     int64 // 0: not asked for, or none
}

// Historical asks for candles, oldest first. interval is minute, 3minute,
// 5minute, 10minute, 15minute, 30minute, 60minute or day; the span that one
// request may have depends on it (minute: 60 days). from and to are instants
// in any zone. No candles without an error means that Kite has none.
func (c *Client) Historical(ctx context.Context, instrumentToken uint32, interval string, from, to time.Time, continuous, oi bool) ([]Candle, error) {
	query := url.Values{
		"from":       {from.In(ist.Zone).Format(ist.Layout)},
		"to":         {to.In(ist.Zone).Format(ist.Layout)},
		"continuous": {flag(continuous)},
		"oi":         {flag(oi)},
	}
	var data struct {
		Candles []json.RawMessage `json:"candles"`
	}
	path := fmt.Sprintf(kiteconnect.URIGetHistorical, instrumentToken, url.PathEscape(interval))
	if err := c.get(ctx, ClassHistorical, path, query, &data); err != nil {
		return nil, err
	}
	candles := make([]Candle, 0, len(data.Candles))
	var skipped skips
	for i, raw := range data.Candles {
		candle, err := parseCandle(raw)
		if err != nil {
			skipped.add("candle %d of %d of instrument token %d: %v", i+1, len(data.Candles), instrumentToken, err)
			continue
		}
		candles = append(candles, candle)
	}
	return candles, c.report(ClassHistorical, skipped, len(candles))
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// parseCandle reads a row of history: [time, open, high, low, close, volume, oi?].
// An index has no volume, so null is one; a price must be there.
func parseCandle(raw json.RawMessage) (Candle, error) {
	var cells []json.RawMessage
	if json.Unmarshal(raw, &cells) != nil || len(cells) < 6 {
		return Candle{}, errors.New("it is not a row of six or seven values")
	}
	var start moment
	var numbers [6]number
	if json.Unmarshal(cells[0], &start) != nil || start.IsZero() {
		return Candle{}, errors.New("its time cannot be read")
	}
	for i := range min(len(cells)-1, len(numbers)) {
		if json.Unmarshal(cells[i+1], &numbers[i]) != nil || i < 4 && !numbers[i].given {
			return Candle{}, fmt.Errorf("its value %d is not a number", i+2)
		}
	}
	return Candle{
		Start: start.UTC(), Open: numbers[0].value, High: numbers[1].value, Low: numbers[2].value, Close: numbers[3].value,
		Volume: numbers[4].whole(), OI: numbers[5].whole(),
	}, nil
}

// Order is an order of the day: its id and its JSON.
type Order struct {
	OrderID string
	Raw     json.RawMessage
}

// Orders asks for all orders of the day.
func (c *Client) Orders(ctx context.Context) ([]Order, error) {
	var data []json.RawMessage
	if err := c.get(ctx, ClassOther, kiteconnect.URIGetOrders, nil, &data); err != nil {
		return nil, err
	}
	orders := make([]Order, 0, len(data))
	var skipped skips
	for i, raw := range data {
		var o struct {
			ID text `json:"order_id"`
		}
		if err := json.Unmarshal(raw, &o); err != nil || o.ID == "" {
			skipped.add("order %d of %d: %s", i+1, len(data), reason(err, "no order_id"))
			continue
		}
		orders = append(orders, Order{string(o.ID), raw})
	}
	return orders, c.report(ClassOther, skipped, len(orders))
}

// skips are the items of an answer that could not be read.
type skips struct {
	items int
	first string
}

func (s *skips) add(format string, args ...any) {
	if s.items++; s.items == 1 {
		s.first = fmt.Sprintf(format, args...)
	}
}

// reason does not repeat a decoder's words: they quote what was read.
func reason(err error, otherwise string) string {
	if err != nil {
		return "it has another shape than documented"
	}
	return otherwise
}

// report names what was skipped; an answer of which nothing could be read is
// an error.
func (c *Client) report(class Class, s skips, read int) error {
	if s.items == 0 {
		return nil
	}
	why := c.scrub(s.first)
	if c.exchange.Skipped != nil {
		c.exchange.Skipped(class, s.items, why)
	}
	if read == 0 {
		return c.failure(class, Malformed, http.StatusOK, fmt.Errorf("none of the %d items could be read, the first: %s", s.items, why))
	}
	return nil
}

// text is a JSON string, or a number where Kite documents a string. Whatever
// else stands there is no text.
type text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	var n json.Number
	switch {
	case json.Unmarshal(b, &s) == nil:
		*t = text(s)
	case json.Unmarshal(b, &n) == nil:
		*t = text(n)
	}
	return nil
}

// number is a JSON number, also one in quotes; null is none.
type number struct {
	value float64
	given bool
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(b []byte) error {
	b = bytes.Trim(b, `"`)
	if string(b) == "null" || len(b) == 0 {
		return nil
	}
	n.given = true
	return json.Unmarshal(b, &n.value)
}

// whole is the nearest integer, bounded so that it is one.
func (n number) whole() int64 {
	const most = 1 << 53
	return int64(math.Round(min(max(n.value, -most), most)))
}

// moment is a time as Kite writes it, in one of its spellings; what cannot be
// read is zero.
type moment struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (m *moment) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) != nil {
		return nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05-0700", time.RFC3339, ist.Layout, "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, ist.Zone); err == nil {
			m.Time = t
			break
		}
	}
	return nil
}

// InstrumentsFile is the instruments CSV as it comes from the wire, inflated.
// The reader closes it. An error of Read is an [*Error].
type InstrumentsFile struct {
	io.ReadCloser
	ETag string // names the content; "": Kite sent none
}

// Instruments opens the instruments file of one exchange ("NFO"), or of all
// (""): up to 100,000 rows with a header line.
func (c *Client) Instruments(ctx context.Context, exchange string) (InstrumentsFile, error) {
	const class = ClassInstruments
	base := c.exchange.InstrumentsURL
	if base == "" {
		base = c.exchange.APIURL + kiteconnect.URIGetInstruments
	}
	if exchange != "" {
		base += "/" + url.PathEscape(exchange)
	}
	req, err := http.NewRequest(http.MethodGet, base, nil)
	if err != nil {
		return InstrumentsFile{}, c.failure(class, Input, 0, err)
	}
	if err := c.wait(ctx, class); err != nil {
		return InstrumentsFile{}, err
	}
	// A long file may take longer than 7 s; silence may not.
	ctx, cancel := context.WithCancelCause(ctx)
	silence := time.AfterFunc(timeout, func() { cancel(errTimeout) })
	resp, err := c.send(ctx, class, req)
	if err != nil {
		silence.Stop()
		cancel(nil)
		return InstrumentsFile{}, err
	}
	s := &stream{client: c, body: resp.Body, silence: silence, cancel: cancel}
	s.text = bufio.NewReader(readerFunc(s.read))
	if err := s.check(); err != nil {
		_ = s.Close()
		return InstrumentsFile{}, err
	}
	return InstrumentsFile{ETag: resp.Header.Get("Etag"), ReadCloser: s}, nil
}

// stream ends a body after 7 s without a byte.
type stream struct {
	client  *Client
	body    io.ReadCloser
	text    *bufio.Reader // of read
	silence *time.Timer
	cancel  context.CancelCauseFunc
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// check refuses what is not a CSV, in Kite's words where there are any.
func (s *stream) check() error {
	if first, _ := s.text.Peek(1); len(first) == 0 || first[0] != '{' && first[0] != '<' {
		return nil // an error of the stream shows when it is read
	}
	body, _ := io.ReadAll(io.LimitReader(s.text, 64<<10))
	var answer envelope
	if json.Unmarshal(body, &answer) == nil && answer.failed() {
		return s.client.said(&Error{Class: ClassInstruments, Kind: Malformed, Status: http.StatusOK}, answer)
	}
	return s.client.failure(ClassInstruments, Malformed, http.StatusOK, errNotCSV)
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) { return s.text.Read(p) }

func (s *stream) read(p []byte) (int, error) {
	n, err := s.body.Read(p)
	s.silence.Reset(timeout)
	if err != nil && !errors.Is(err, io.EOF) {
		err = s.client.failure(ClassInstruments, Network, http.StatusOK, err)
	}
	return n, err
}

// Close implements io.Closer.
func (s *stream) Close() error {
	s.silence.Stop()
	s.cancel(nil)
	return s.body.Close()
}

// gunzip inflates a body that net/http has left compressed, as it does when
// the server compresses without having been asked.
func gunzip(resp *http.Response) error {
	if resp.Header.Get("Content-Encoding") != "gzip" {
		return nil
	}
	z, err := gzip.NewReader(resp.Body)
	if err != nil {
		return errNotGzip
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{z, resp.Body}
	return nil
}
