package kite

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"time"

	kiteconnect "github.com/zerodha/gokiteconnect/v4"

	"kitestring/messages/ist"
)

// What one request may ask for (Kite Connect v3, market quotes).
const (
	MostQuotes = 500  // keys of one Quote
	MostPrices = 1000 // keys of one LTP or OHLC
)

// judged hands gokiteconnect an answer that has already been understood.
type judged struct {
	client *Client
	ctx    context.Context
	class  Class
	err    error
}

// RoundTrip implements http.RoundTripper. It never returns an error, which the
// library would print together with the URL.
func (j *judged) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := j.client.fetch(j.ctx, j.class, req)
	status := http.StatusOK
	if err != nil {
		j.err, status = err, http.StatusInternalServerError
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(bytes.NewReader(body)), Request: req}, nil
}

// call lets gokiteconnect ask, within ctx.
func (c *Client) call(ctx context.Context, class Class, ask func(*kiteconnect.Client) error) error {
	// The library prints an address that it cannot parse.
	if _, err := url.Parse(c.exchange.APIURL); err != nil {
		return c.failure(class, Input, 0, err)
	}
	library, j := *c.library, &judged{client: c, ctx: ctx, class: class}
	library.SetHTTPClient(&http.Client{Transport: j})
	err := ask(&library)
	switch {
	case j.err != nil:
		return j.err
	case err != nil:
		return c.failure(class, Malformed, http.StatusOK, errOtherShape)
	}
	return nil
}

// Profile asks who the token belongs to: the one check of a token. A 200
// without a user id is Malformed, no proof.
func (c *Client) Profile(ctx context.Context) (kiteconnect.UserProfile, error) {
	var profile kiteconnect.UserProfile
	err := c.call(ctx, ClassProfile, func(k *kiteconnect.Client) (err error) {
		profile, err = k.GetUserProfile()
		return err
	})
	if err == nil && profile.UserID == "" {
		err = c.failure(ClassProfile, Malformed, http.StatusOK, errNoData)
	}
	return profile, err
}

// Quote asks for full quotes of at most [MostQuotes] keys: "NSE:INFY" or an
// instrument token in decimal. Keys that Kite does not know are absent.
func (c *Client) Quote(ctx context.Context, keys ...string) (kiteconnect.Quote, error) {
	if len(keys) > MostQuotes {
		return nil, c.failure(ClassQuote, Input, 0, fmt.Errorf("%d keys in one request", len(keys)))
	}
	var quotes kiteconnect.Quote
	err := c.call(ctx, ClassQuote, func(k *kiteconnect.Client) (err error) {
		quotes, err = k.GetQuote(keys...)
		return err
	})
	return quotes, err
}

// LTP asks for last prices of at most [MostPrices] keys, as Quote.
func (c *Client) LTP(ctx context.Context, keys ...string) (kiteconnect.QuoteLTP, error) {
	var quotes kiteconnect.QuoteLTP
	return quotes, c.prices(ctx, kiteconnect.URIGetLTP, keys, &quotes)
}

// OHLC asks for last prices and the day's open, high, low and the previous
// day's close of at most [MostPrices] keys, as Quote.
func (c *Client) OHLC(ctx context.Context, keys ...string) (kiteconnect.QuoteOHLC, error) {
	var quotes kiteconnect.QuoteOHLC
	return quotes, c.prices(ctx, kiteconnect.URIGetOHLC, keys, &quotes)
}

func (c *Client) prices(ctx context.Context, path string, keys []string, quotes any) error {
	if len(keys) > MostPrices {
		return c.failure(ClassQuote, Input, 0, fmt.Errorf("%d keys in one request", len(keys)))
	}
	return c.get(ctx, ClassQuote, path, url.Values{"i": keys}, quotes)
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
// in any zone.
func (c *Client) Historical(ctx context.Context, instrumentToken uint32, interval string, from, to time.Time, continuous, oi bool) ([]Candle, error) {
	query := url.Values{
		"from":       {from.In(ist.Zone).Format(ist.Layout)},
		"to":         {to.In(ist.Zone).Format(ist.Layout)},
		"continuous": {flag(continuous)},
		"oi":         {flag(oi)},
	}
	var data struct {
		Candles []row `json:"candles"`
	}
	path := fmt.Sprintf(kiteconnect.URIGetHistorical, instrumentToken, url.PathEscape(interval))
	if err := c.get(ctx, ClassHistorical, path, query, &data); err != nil {
		return nil, err
	}
	candles := make([]Candle, len(data.Candles))
	for i, r := range data.Candles {
		candles[i] = Candle(r)
	}
	return candles, nil
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// row is a candle as Kite sends it: [time, open, high, low, close, volume, oi?].
type row Candle

// UnmarshalJSON implements json.Unmarshaler.
func (r *row) UnmarshalJSON(b []byte) error {
	var cells []json.RawMessage
	if err := json.Unmarshal(b, &cells); err != nil {
		return err
	}
	if len(cells) < 6 {
		return errOtherShape
	}
	var start string
	var numbers [6]float64
	if err := json.Unmarshal(cells[0], &start); err != nil {
		return err
	}
	for i := range min(len(cells)-1, len(numbers)) {
		if err := json.Unmarshal(cells[i+1], &numbers[i]); err != nil {
			return err
		}
	}
	t, err := time.Parse("2006-01-02T15:04:05-0700", start)
	if err != nil {
		return err
	}
	*r = row{
		Start: t.UTC(), Open: numbers[0], High: numbers[1], Low: numbers[2], Close: numbers[3],
		Volume: int64(math.Round(numbers[4])), OI: int64(math.Round(numbers[5])),
	}
	return nil
}

// Order is an order of the day with its own JSON beside what the library reads
// of it.
type Order struct {
	kiteconnect.Order
	Raw json.RawMessage
}

// Orders asks for all orders of the day.
func (c *Client) Orders(ctx context.Context) ([]Order, error) {
	var raw []json.RawMessage
	if err := c.get(ctx, ClassOther, kiteconnect.URIGetOrders, nil, &raw); err != nil {
		return nil, err
	}
	orders := make([]Order, len(raw))
	for i, r := range raw {
		if json.Unmarshal(r, &orders[i].Order) != nil {
			return nil, c.failure(ClassOther, Malformed, http.StatusOK, errOtherShape)
		}
		orders[i].Raw = r
	}
	return orders, nil
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
	return InstrumentsFile{ETag: resp.Header.Get("Etag"), ReadCloser: &stream{
		client: c, body: resp.Body, silence: silence, cancel: cancel,
	}}, nil
}

// stream ends a body after 7 s without a byte.
type stream struct {
	client  *Client
	body    io.ReadCloser
	silence *time.Timer
	cancel  context.CancelCauseFunc
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
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
