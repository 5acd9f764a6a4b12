package kite

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kitestring/actors/actorstest"
	"kitestring/messages"
	"kitestring/messages/ist"
)

func TestMain(m *testing.M) { actorstest.Main(m) }

const (
	canaryToken   = "canaryAccessToken0123456789abcde"
	canarySecret  = "canaryApiSecret0123456789abcdefg"
	canaryRequest = "canaryRequestToken0123456789abcd"
)

var session = messages.Session{Generation: 7, APIKey: "key1", Token: messages.NewAccessToken(canaryToken)}

func exchangeAt(t *testing.T, base string) Exchange {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return Exchange{APIURL: base, Transport: transport, Budget: NewBudget()}
}

func serve(t *testing.T, h http.HandlerFunc) Exchange {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return exchangeAt(t, s.URL)
}

// mock is one of the exchange's published answers.
func mock(t *testing.T, name string) []byte {
	t.Helper()
	return actorstest.ReadShared(t, "mocks", name)
}

func unused(messages.Generation) {}

func TestProfile(t *testing.T) {
	profile := mock(t, "profile.json")
	var uses []messages.Generation
	var observed string
	ex := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for header, want := range map[string]string{"X-Kite-Version": "3", "Authorization": "token key1:" + canaryToken} {
			if got := r.Header.Values(header); len(got) != 1 || got[0] != want {
				t.Errorf("%s = %q, want %q once", header, got, want)
			}
		}
		if ua := r.Header.Get("User-Agent"); !strings.HasPrefix(ua, "kitestring/") {
			t.Errorf("User-Agent = %q", ua)
		}
		if r.URL.Path != "/user/profile" || r.URL.RawQuery != "" {
			t.Errorf("asked %s", r.URL)
		}
		_, _ = w.Write(profile)
	})
	ex.Observe = func(class Class, code int, took time.Duration) {
		observed += fmt.Sprintf("%s %d %t;", class, code, took > 0)
	}
	c := New(ex, session, func(g messages.Generation) { uses = append(uses, g) })
	if len(uses) != 1 || c.Generation() != 7 {
		t.Errorf("a new client has noted %d uses, want 1", len(uses))
	}
	p, err := c.Profile(t.Context())
	if err != nil || p.UserID != "AB1234" {
		t.Fatalf("Profile = %q, %v", p.UserID, err)
	}
	if len(uses) != 2 || uses[1] != 7 {
		t.Errorf("uses = %v, want one more of generation 7", uses)
	}
	if observed != "profile 200 true;" {
		t.Errorf("observed %q", observed)
	}
}

func TestErrorKinds(t *testing.T) {
	const html = "<html><body>Too many requests</body></html>"
	envelope := func(kind, message string) string {
		return fmt.Sprintf(`{"status":"error","message":%q,"error_type":%q,"data":null}`, message, kind)
	}
	tests := []struct {
		name   string
		status int
		body   string
		kind   Kind
	}{
		{"expired token", 403, envelope("TokenException", "Incorrect `api_key` or `access_token`."), TokenRefused},
		{"permission", 403, envelope("PermissionException", "Insufficient permission for that call."), Forbidden},
		{"two factor", 403, envelope("TwoFAException", "2FA"), Forbidden},
		{"403 page of a proxy", 403, "<html>TokenException</html>", Forbidden},
		{"401", 401, envelope("TokenException", "x"), Forbidden},
		{"token exception with another status", 400, envelope("TokenException", "x"), Input},
		{"429 in JSON", 429, envelope("NetworkException", "Too many requests"), RateLimited},
		{"429 in HTML", 429, html, RateLimited},
		{"429 empty", 429, "", RateLimited},
		{"400", 400, envelope("InputException", "Missing `i`."), Input},
		{"404", 404, html, Input},
		{"500", 500, envelope("GeneralException", "oops"), Server},
		{"502 in HTML", 502, html, Server},
		{"503", 503, envelope("NetworkException", "OMS is down"), Server},
		{"504 that claims the token", 504, envelope("TokenException", "x"), Server},
		{"a redirect", 302, "", Malformed},
		{"204", 204, "", Malformed},
		{"200 in HTML", 200, "<html>Welcome to the hotel</html>", Malformed},
		{"200 without data", 200, `{"status":"success"}`, Malformed},
		{"200 without user", 200, `{"status":"success","data":{}}`, Malformed},
		{"200 cut", 200, `{"status":"success","data":{"user_id":"AB`, Malformed},
		{"200 of another shape", 200, `{"data":[1]}`, Malformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ex := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			})
			code := -1
			ex.Observe = func(_ Class, c int, _ time.Duration) { code = c }
			_, err := New(ex, session, unused).Profile(t.Context())
			var e *Error
			if !errors.As(err, &e) || e.Kind != test.kind || KindOf(fmt.Errorf("ask: %w", err)) != test.kind {
				t.Fatalf("error = %v, want kind %v", err, test.kind)
			}
			if e.Status != test.status || code != test.status {
				t.Errorf("status %d, observed %d, want %d", e.Status, code, test.status)
			}
			if strings.Contains(err.Error(), "127.0.0.1") {
				t.Errorf("error shows an address: %v", err)
			}
		})
	}
	if KindOf(nil) != NoError || KindOf(io.EOF) != NoError {
		t.Error("a foreign error has a kind")
	}
}

func TestNoAnswerIsNetwork(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := exchangeAt(t, "http://"+l.Addr().String())
	_ = l.Close()
	codes := make(chan int, 1)
	refused.Observe = func(_ Class, code int, _ time.Duration) { codes <- code }
	if _, err := New(refused, session, unused).Profile(t.Context()); KindOf(err) != Network {
		t.Errorf("refused connection: %v", err)
	}
	if code := <-codes; code != 0 {
		t.Errorf("observed code %d for no answer", code)
	}

	cut := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"status":`)
	})
	if _, err := New(cut, session, unused).Profile(t.Context()); KindOf(err) != Network {
		t.Errorf("half an answer: %v", err)
	}

	requested := make(chan struct{})
	mute := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		close(requested)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-requested; cancel() }()
	if _, err := New(mute, session, unused).Profile(ctx); KindOf(err) != Network || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// silent is a transport that never answers.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, context.Cause(r.Context())
}

func TestSilenceEndsAfterSevenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ex := Exchange{APIURL: "http://kite.test", Transport: silent{}, Budget: NewBudget()}
		began := time.Now()
		_, err := New(ex, session, unused).Profile(t.Context())
		if KindOf(err) != Network || time.Since(began) != 7*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		began = time.Now()
		if _, err = New(ex, session, unused).Instruments(t.Context(), "NFO"); KindOf(err) != Network || time.Since(began) != 7*time.Second {
			t.Errorf("instruments after %v: %v", time.Since(began), err)
		}
	})
}

func TestBudgetHoldsQuotesToOneASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ex := Exchange{APIURL: "http://kite.test", Budget: NewBudget(), Transport: answering(`{"data":{}}`)}
		c, began := New(ex, session, unused), time.Now()
		for range 3 {
			if _, err := c.Quote(t.Context(), "NSE:INFY"); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 2100*time.Millisecond {
			t.Errorf("3 quotes took %v, want 2.1s", took)
		}
		// No time left for our turn: said at once, and not sent.
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := c.Quote(ctx, "NSE:INFY"); KindOf(err) != RateLimited {
			t.Errorf("error = %v, want rate_limited", err)
		}
	})
}

// answering is a transport that gives the same answer to everything.
type answering string

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(a))), Request: r}, nil
}

func TestMarketDataFromTheMocks(t *testing.T) {
	files := map[string]string{"/quote": "quote.json", "/orders": "orders.json"}
	mock(t, "quote.json")
	ex := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/quote") && fmt.Sprint(r.URL.Query()["i"]) != "[NSE:INFY 408065]" {
			t.Errorf("asked for %v", r.URL.Query())
		}
		_, _ = w.Write(mock(t, files[r.URL.Path]))
	})
	ex.Budget = NewBudget()
	c := New(ex, session, unused)
	quotes, err := c.Quote(t.Context(), "NSE:INFY", "408065")
	if q := quotes["NSE:INFY"]; err != nil || q.LastPrice != 1412.95 || q.Volume != 7360198 || q.Timestamp.UTC().Format(time.RFC3339) != "2021-06-08T10:15:56Z" {
		t.Errorf("Quote = %+v, %v", q, err)
	}
	orders, err := c.Orders(t.Context())
	if err != nil || len(orders) == 0 || orders[0].OrderID == "" || !bytes.Contains(orders[0].Raw, []byte(orders[0].OrderID)) {
		t.Errorf("Orders = %d, %v", len(orders), err)
	}
	t.Logf("compared a quote and %d orders with the published mocks", len(orders))
}

func TestTooManyKeysAreNotSent(t *testing.T) {
	c := New(Exchange{APIURL: "http://kite.test", Transport: silent{}, Budget: NewBudget()}, session, unused)
	if _, err := c.Quote(t.Context(), make([]string, MostQuotes+1)...); KindOf(err) != Input {
		t.Errorf("Quote: %v", err)
	}
}

func TestHistorical(t *testing.T) {
	for file, oi := range map[string]bool{"historical_minute.json": false, "historical_oi.json": true} {
		body := mock(t, file)
		ex := serve(t, func(w http.ResponseWriter, r *http.Request) {
			want := url.Values{"from": {"2026-03-02 09:15:00"}, "to": {"2026-03-02 15:30:00"}, "continuous": {"0"}, "oi": {flag(oi)}}
			if r.URL.Path != "/instruments/historical/256265/minute" || r.URL.Query().Encode() != want.Encode() {
				t.Errorf("asked %s", r.URL)
			}
			_, _ = w.Write(body)
		})
		// Asked in UTC, sent in IST.
		from := time.Date(2026, 3, 2, 3, 45, 0, 0, time.UTC)
		candles, err := New(ex, session, unused).Historical(t.Context(), 256265, "minute", from, from.Add(6*time.Hour+15*time.Minute), false, oi)
		if err != nil || len(candles) == 0 {
			t.Fatalf("%s: %d candles, %v", file, len(candles), err)
		}
		if !oi {
			want := Candle{Start: time.Date(2017, 12, 15, 3, 45, 0, 0, time.UTC), Open: 1704.5, High: 1705, Low: 1699.25, Close: 1702.8, Volume: 2499}
			if candles[0] != want {
				t.Errorf("first candle = %+v, want %+v", candles[0], want)
			}
		} else if candles[0].OI == 0 {
			t.Errorf("no OI in %+v", candles[0])
		}
		t.Logf("%s: %d candles", file, len(candles))
	}
}

// TestUnreadableItems has answers with items of another shape than documented: each
// costs itself, and is counted and named.
func TestUnreadableItems(t *testing.T) {
	const good = `["2017-12-15T09:15:00+0530",1,2,3,4,5]`
	for _, test := range []struct {
		name, body    string
		read, skipped int
		why           string
	}{
		{"a null row", `[` + good + `,null,` + good + `]`, 2, 1, "candle 2 of 3 of instrument token 1"},
		{"a short row", `[["2017-12-15T09:15:00+0530",1,2,3,4],` + good + `]`, 1, 1, "row of six"},
		{"the zone with a colon", `[["2017-12-15T09:15:00+05:30",1,2,3,4,5]]`, 1, 0, ""},
		{"no zone", `[["2017-12-15 09:15:00",1,2,3,4,5]]`, 1, 0, ""},
		{"a number as text", `[["2017-12-15T09:15:00+0530",1,2,3,"4","5"]]`, 1, 0, ""},
		{"no volume", `[["2017-12-15T09:15:00+0530",1,2,3,4,null]]`, 1, 0, ""},
		{"a fraction of volume", `[["2017-12-15T09:15:00+0530",1,2,3,4,4.6]]`, 1, 0, ""},
		{"no price", `[["2017-12-15T09:15:00+0530",null,2,3,4,5],` + good + `]`, 1, 1, "value 2 is not a number"},
		{"a price that is none", `[["2017-12-15T09:15:00+0530",1,2,{},4,5],` + good + `]`, 1, 1, "value 4 is not a number"},
		{"no time", `[["x",1,2,3,4,5],[1,1,2,3,4,5],{"open":1},` + good + `]`, 1, 3, "time cannot be read"},
		{"empty", `[]`, 0, 0, ""},
		{"null", `null`, 0, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var items int
			var why string
			ex := Exchange{
				APIURL: "http://kite.test", Budget: NewBudget(), Transport: answering(`{"data":{"candles":` + test.body + `}}`),
				Skipped: func(class Class, n int, first string) { items, why = n, string(class)+": "+first },
			}
			candles, err := New(ex, session, unused).Historical(t.Context(), 1, "day", time.Now(), time.Now(), false, false)
			if err != nil || len(candles) != test.read || items != test.skipped || !strings.Contains(why, test.why) {
				t.Fatalf("%d candles, %d skipped (%s), %v; want %d and %d (%s)", len(candles), items, why, err, test.read, test.skipped, test.why)
			}
			for _, c := range candles {
				if !c.Start.Equal(time.Date(2017, 12, 15, 3, 45, 0, 0, time.UTC)) || c.Open != 1 || c.Close != 4 || c.Volume != 5 && test.name != "no volume" {
					t.Errorf("candle %+v", c)
				}
			}
		})
	}
	// Nothing that can be read is an error.
	for _, rows := range []string{`[[]]`, `[{"open":1}]`, `7`} {
		ex := Exchange{APIURL: "http://kite.test", Budget: NewBudget(), Transport: answering(`{"data":{"candles":` + rows + `}}`)}
		if candles, err := New(ex, session, unused).Historical(t.Context(), 1, "day", time.Now(), time.Now(), false, false); KindOf(err) != Malformed {
			t.Errorf("%s: %v, %v", rows, candles, err)
		}
	}
}

func TestUnreadableOrdersAndQuotes(t *testing.T) {
	var items int
	var why string
	ask := func(body string) *Client {
		items, why = 0, ""
		return New(Exchange{
			APIURL: "http://kite.test", Budget: NewBudget(), Transport: answering(body),
			Skipped: func(_ Class, n int, first string) { items, why = n, first },
		}, session, unused)
	}
	orders, err := ask(`{"data":[{"order_id":"1","meta":[],"tags":{}},{"order_id":2,"quantity":"65"},{"status":"OPEN"},null,[]]}`).Orders(t.Context())
	if err != nil || len(orders) != 2 || orders[0].OrderID != "1" || orders[1].OrderID != "2" || items != 3 || !strings.Contains(why, "order 3 of 5") {
		t.Errorf("orders %+v, %d skipped (%s), %v", orders, items, why, err)
	}
	quotes, err := ask(`{"data":{"NSE:A":{"last_price":1,"volume":"12","oi":1.5,"ohlc":null,"timestamp":"","depth":7,"market_protection":{}},"NSE:B":{"last_price":null},"NSE:C":[]}}`).Quote(t.Context(), "NSE:A")
	if q := quotes["NSE:A"]; err != nil || len(quotes) != 1 || q.LastPrice != 1 || q.Volume != 12 || !q.Timestamp.IsZero() || items != 2 || !strings.Contains(why, "quote NSE:") {
		t.Errorf("quotes %+v, %d skipped (%s), %v", quotes, items, why, err)
	}
	profile, err := ask(`{"data":{"user_id":"AB1","exchanges":"NSE","meta":[],"email":5}}`).Profile(t.Context())
	if err != nil || profile.UserID != "AB1" {
		t.Errorf("profile %+v, %v", profile, err)
	}
	ex := Exchange{APIURL: "http://kite.test", Budget: NewBudget(), Transport: answering(
		`{"data":{"access_token":"T","user_id":7,"user_name":null,"login_time":"2021-01-01T16:15:14+05:30","meta":"x","exchanges":{}}}`)}
	info, err := ExchangeRequestToken(t.Context(), ex, "key1", messages.NewSecret(canarySecret), messages.NewSecret(canaryRequest))
	if err != nil || info.Token.Reveal() != "T" || info.UserID != "7" || !info.LoginTime.Equal(time.Date(2021, 1, 1, 16, 15, 14, 0, ist.Zone)) {
		t.Errorf("session %+v, %v", info, err)
	}
}

// A 200 with an error in it is an error, in Kite's words.
func TestErrorEnvelopeWithA200(t *testing.T) {
	const refused = `{"status":"error","message":"Insufficient permission for that call.","error_type":"PermissionException","data":{"candles":[]}}`
	c := New(Exchange{APIURL: "http://kite.test", Budget: NewBudget(), Transport: answering(refused)}, session, unused)
	_, history := c.Historical(t.Context(), 1, "day", time.Now(), time.Now(), false, false)
	_, profile := c.Profile(t.Context())
	_, file := c.Instruments(t.Context(), "")
	for _, err := range []error{history, profile, file} {
		var e *Error
		if !errors.As(err, &e) || e.Kind != Malformed || e.Type != "PermissionException" || e.Detail != "Insufficient permission for that call." {
			t.Errorf("error = %v", err)
		}
	}
	c = New(Exchange{APIURL: "http://kite.test", Budget: NewBudget(), Transport: answering("<html>maintenance</html>")}, session, unused)
	if _, err := c.Instruments(t.Context(), ""); KindOf(err) != Malformed {
		t.Errorf("a page as instruments file: %v", err)
	}
}

func TestInstrumentsStream(t *testing.T) {
	csv := mock(t, "instruments_all.csv")
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(csv)
	_ = z.Close()
	var path atomic.Value
	ex := serve(t, func(w http.ResponseWriter, r *http.Request) {
		path.Store(r.URL.Path)
		w.Header().Set("Content-Type", "text/csv")
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Etag", `W/"today"`)
		_, _ = w.Write(zipped.Bytes())
	})
	// With and without net/http's own inflating.
	for _, plain := range []bool{false, true} {
		ex.Transport.(*http.Transport).DisableCompression = plain
		for exchange, want := range map[string]string{"": "/instruments", "NFO": "/instruments/NFO"} {
			f, err := New(ex, session, unused).Instruments(t.Context(), exchange)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(f)
			if err != nil || !bytes.Equal(got, csv) || f.ETag != `W/"today"` || path.Load() != want {
				t.Errorf("%q: %d bytes of %d, etag %q, path %v, %v", exchange, len(got), len(csv), f.ETag, path.Load(), err)
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	t.Logf("%d bytes of the published instruments file compared", len(csv))
}

func TestInstrumentsElsewhereAndRefused(t *testing.T) {
	ex := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/instruments/BSE" {
			t.Errorf("path %s", r.URL.Path)
		}
		w.WriteHeader(403)
		_, _ = io.WriteString(w, `{"status":"error","error_type":"TokenException","message":"x"}`)
	})
	ex.InstrumentsURL = ex.APIURL + "/instruments"
	ex.APIURL += "/oms"
	if _, err := New(ex, session, unused).Instruments(t.Context(), "BSE"); KindOf(err) != TokenRefused {
		t.Errorf("error = %v", err)
	}
	noGzip := Exchange{APIURL: "http://kite.test", Budget: NewBudget(), Transport: lying{}}
	if _, err := New(noGzip, session, unused).Instruments(t.Context(), ""); KindOf(err) != Malformed {
		t.Errorf("gzip that is none: %v", err)
	}
}

// lying says gzip and sends text.
type lying struct{}

func (lying) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Encoding": {"gzip"}}, Body: io.NopCloser(strings.NewReader("instrument_token,")), Request: r}, nil
}

func TestInstrumentsCutInTheMiddle(t *testing.T) {
	ex := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, "instrument_token,\n")
	})
	f, err := New(ex, session, unused).Instruments(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := io.ReadAll(f); KindOf(err) != Network {
		t.Errorf("error = %v", err)
	}
}

func TestExchangeRequestToken(t *testing.T) {
	body := mock(t, "generate_session.json")
	ex := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		sum := sha256.Sum256([]byte("key1" + canaryRequest + canarySecret))
		if r.Method != http.MethodPost || r.URL.Path != "/session/token" || r.URL.RawQuery != "" ||
			r.PostForm.Get("api_key") != "key1" || r.PostForm.Get("request_token") != canaryRequest || r.PostForm.Get("checksum") != hex.EncodeToString(sum[:]) {
			t.Errorf("asked %s %s with %v", r.Method, r.URL, r.PostForm)
		}
		if r.Header.Get("Authorization") != "" {
			t.Error("a session exchange carries an Authorization")
		}
		_, _ = w.Write(body)
	})
	info, err := ExchangeRequestToken(t.Context(), ex, "key1", messages.NewSecret(canarySecret), messages.NewSecret(canaryRequest))
	if err != nil {
		t.Fatal(err)
	}
	want := time.Date(2021, 1, 1, 16, 15, 14, 0, ist.Zone)
	if info.Token.Reveal() != "XXXXXX" || info.UserID != "XX0000" || !info.LoginTime.Equal(want) {
		t.Errorf("session = %+v", info)
	}
}

// TestNoSecretInErrors lets Kite and the network repeat every secret.
func TestNoSecretInErrors(t *testing.T) {
	echo := canaryToken + " " + canaryRequest + " " + canarySecret
	ex := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(403)
		_, _ = fmt.Fprintf(w, `{"error_type":"TokenException","message":"Invalid checksum for %s at https://api.kite.trade/?access_token=%s"}`, echo, canaryToken)
	})
	_, refused := New(ex, session, unused).Profile(t.Context())
	_, exchange := ExchangeRequestToken(t.Context(), ex, "key1", messages.NewSecret(canarySecret), messages.NewSecret(canaryRequest))
	broken := ex
	broken.Transport = failing{errors.New("dial " + canaryToken + ": " + canaryRequest + canarySecret)}
	_, network := New(broken, session, unused).Historical(t.Context(), 1, "day", time.Now(), time.Now(), false, false)
	badURL := ex
	badURL.APIURL = "http://[::1/" + canaryToken
	_, parse := New(badURL, session, unused).Quote(t.Context(), "NSE:INFY")
	_, parse2 := New(badURL, session, unused).Profile(t.Context())
	for _, err := range []error{refused, exchange, network, parse, parse2} {
		if err == nil {
			t.Fatal("no error")
		}
		for _, format := range []string{"%v", "%+v", "%#v", "%q"} {
			text := fmt.Sprintf(format, err)
			for _, canary := range []string{canaryToken, canarySecret, canaryRequest} {
				if strings.Contains(text, canary) {
					t.Errorf("%s shows a secret: %s", format, text)
				}
			}
			if strings.Contains(strings.ReplaceAll(text, "https://api.kite.trade", "Kite's own words"), "://") {
				t.Errorf("%s shows an address: %s", format, text)
			}
		}
	}
	var e *Error
	if !errors.As(exchange, &e) || !e.BadChecksum {
		t.Errorf("the checksum was not noticed: %v", exchange)
	}
	c := New(ex, session, unused)
	if text := fmt.Sprintf("%v %+v %#v", c, c, c); strings.Contains(text, canaryToken) {
		t.Error("the client shows its token")
	}
}

type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

// counting counts the requests that go out.
type counting struct {
	http.RoundTripper
	sent *int
}

func (c counting) RoundTrip(req *http.Request) (*http.Response, error) {
	*c.sent++
	return c.RoundTripper.RoundTrip(req)
}

// TestARetiredClientUsesNothing lets a request wait for its turn while the
// client is retired: it must not go out, and no use may be noted.
func TestARetiredClientUsesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent, uses := 0, 0
		ex := Exchange{APIURL: "http://kite.test", Budget: NewBudget(), Transport: counting{answering(`{"data":{}}`), &sent}}
		c := New(ex, session, func(messages.Generation) { uses++ })
		if _, err := c.Quote(t.Context(), "NSE:INFY"); err != nil {
			t.Fatal(err)
		}
		waiting := make(chan error)
		go func() { // the budget gives this one its turn after a second
			_, err := c.Quote(t.Context(), "NSE:INFY")
			waiting <- err
		}()
		synctest.Wait()
		before := uses
		c.Retire()
		if err := <-waiting; KindOf(err) != Retired {
			t.Errorf("error = %v, want retired", err)
		}
		if sent != 1 || uses != before {
			t.Errorf("%d requests, %d uses after the client was retired", sent-1, uses-before)
		}
	})
}

// The reason of a refusal that is not about the token is Kite's own words.
func TestReasonOfARefusal(t *testing.T) {
	for _, test := range []struct {
		status int
		body   string
		want   string
	}{
		{403, `{"status":"error","message":"Insufficient permission for that call.","error_type":"PermissionException"}`, "Kite refuses it: PermissionException: Insufficient permission for that call; what the app's plan"},
		{401, `{"status":"error","message":"Api key is invalid"}`, "Kite refuses it: Api key is invalid; "},
		{403, "<html>", "Kite refuses it: status 403 without a reason; "},
		{403, `{"status":"error","message":"Incorrect","error_type":"TokenException"}`, "kite quote: token_refused: status 403 TokenException: Incorrect"},
		{500, "", "kite quote: server: status 500"},
	} {
		ex := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(test.status)
			_, _ = io.WriteString(w, test.body)
		})
		if _, err := New(ex, session, unused).Quote(t.Context(), "NSE:INFY"); err == nil || !strings.HasPrefix(Reason(err), test.want) {
			t.Errorf("status %d %s: %v, want %q", test.status, test.body, err, test.want)
		}
	}
}

func TestUsageIsOfTheLastMinute(t *testing.T) {
	u := &usage{limit: 60}
	for _, step := range []struct {
		second, add, want int
	}{{0, 1, 1}, {0, 2, 3}, {30, 1, 4}, {59, 0, 4}, {60, 0, 1}, {89, 0, 1}, {90, 0, 0}, {500, 1, 1}} {
		if got := u.count(step.add, time.Duration(step.second)*time.Second); got != step.want {
			t.Errorf("second %d: %d, want %d", step.second, got, step.want)
		}
	}
}
