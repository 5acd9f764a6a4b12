package simulator_test

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	kiteconnect "github.com/zerodha/gokiteconnect/v4"
	"github.com/zerodha/gokiteconnect/v4/models"
	kiteticker "github.com/zerodha/gokiteconnect/v4/ticker"

	"kitestring/actors/actorstest"
	"kitestring/actors/simulator"
)

// The official REST client goes through a whole day's work.
func TestOfficialClient(t *testing.T) {
	t.Parallel()
	e := open(t, false, nil)
	client := e.kite("")
	response, _ := e.get("/connect/login?v=3&api_key=simkey&redirect_params=" + url.QueryEscape("state=abc&more=1"))
	back, err := response.Location()
	if response.StatusCode != http.StatusFound || err != nil {
		t.Fatalf("login: %d, %v", response.StatusCode, err)
	}
	query := back.Query()
	for k, want := range map[string]string{"action": "login", "type": "login", "status": "success", "state": "abc", "more": "1"} {
		if query.Get(k) != want {
			t.Errorf("redirect: %s = %q, want %q", k, query.Get(k), want)
		}
	}
	session, err := client.GenerateSession(query.Get("request_token"), "simsecret")
	if err != nil {
		t.Fatal(err)
	}
	if len(session.AccessToken) != 32 || session.UserID != "SIM001" || session.LoginTime.IsZero() || session.RefreshToken != "" {
		t.Errorf("session: user %q, token of %d, login time %v", session.UserID, len(session.AccessToken), session.LoginTime)
	}
	profile, err := client.GetUserProfile()
	if err != nil || profile.UserID != "SIM001" || len(profile.Exchanges) == 0 {
		t.Errorf("profile: %+v, %v", profile, err)
	}

	instruments, err := client.GetInstruments()
	if err != nil {
		t.Fatal(err)
	}
	byKey := map[string]kiteconnect.Instrument{}
	tokens := map[int]bool{}
	for _, in := range instruments {
		byKey[in.Exchange+":"+in.Tradingsymbol] = in
		if tokens[in.InstrumentToken] {
			t.Errorf("instrument token %d is repeated", in.InstrumentToken)
		}
		tokens[in.InstrumentToken] = true
		if in.InstrumentToken>>8 != in.ExchangeToken {
			t.Errorf("%s: exchange token %d", in.Tradingsymbol, in.ExchangeToken)
		}
	}
	for key, token := range map[string]int{"NSE:NIFTY 50": 256265, "NSE:NIFTY BANK": 260105, "BSE:SENSEX": 265, "NSE:INDIA VIX": 264969, "NSE:INFY": 408065} {
		if byKey[key].InstrumentToken != token {
			t.Errorf("%s has the instrument token %d, want %d", key, byKey[key].InstrumentToken, token)
		}
	}
	near := byKey["NFO:NIFTY26JUNFUT"]
	if near.Segment != "NFO-FUT" || near.LotSize != 65 || near.Expiry.Format(time.DateOnly) != "2026-06-30" {
		t.Errorf("near future: %+v", near)
	}
	for _, exchange := range []string{"NSE", "NFO", "BSE", "BFO"} {
		part, err := client.GetInstrumentsByExchange(exchange)
		if err != nil || len(part) == 0 {
			t.Fatalf("%s: %d rows, %v", exchange, len(part), err)
		}
		for _, in := range part {
			if in.Exchange != exchange {
				t.Fatalf("%s: a row of %s", exchange, in.Exchange)
			}
		}
	}

	quotes, err := client.GetQuote("NSE:NIFTY 50", "NFO:NIFTY26JUNFUT", "NSE:NOSUCH", "408065")
	if err != nil || len(quotes) != 3 {
		t.Fatalf("quotes: %d, %v", len(quotes), err)
	}
	q := quotes["NFO:NIFTY26JUNFUT"]
	if q.Volume == 0 || q.OI == 0 || q.Depth.Buy[4].Quantity == 0 || q.Depth.Buy[0].Price >= q.Depth.Sell[0].Price || q.OHLC.High < q.OHLC.Low || q.LastTradeTime.After(start) {
		t.Errorf("quote of the future: %+v", q)
	}
	if spot := quotes["NSE:NIFTY 50"].LastPrice; q.LastPrice < spot*0.99 || q.LastPrice > spot*1.02 {
		t.Errorf("the future at %v with the index at %v", q.LastPrice, spot)
	}

	candles, err := client.GetHistoricalData(near.InstrumentToken, "minute", start.AddDate(0, 0, -59), start, false, true)
	if err != nil || len(candles) < 39*375 {
		t.Fatalf("historical: %d candles, %v", len(candles), err)
	}
	if first := candles[0].Date.In(start.Location()).Format("15:04"); first != "10:00" {
		t.Errorf("first candle at %s", first)
	}
	for i, c := range candles {
		if c.High < max(c.Open, c.Close) || c.Low > min(c.Open, c.Close) || c.OI == 0 || i > 0 && !c.Date.After(candles[i-1].Date.Time) {
			t.Fatalf("candle %d: %+v", i, c)
		}
	}
	for _, interval := range []string{"3minute", "5minute", "10minute"} {
		actorstest.Until(t, "the rate limit lets "+interval+" pass", func() bool {
			list, err := client.GetHistoricalData(256265, interval, start.Add(-time.Hour), start, false, false)
			return err == nil && len(list) > 0 && list[0].OI == 0
		})
	}
	if orders, err := client.GetOrders(); err != nil || len(orders) != 0 {
		t.Errorf("orders: %v, %v", orders, err)
	}
	if ok, err := client.InvalidateAccessToken(); err != nil || !ok {
		t.Errorf("logout: %v, %v", ok, err)
	}
	if _, err := client.GetUserProfile(); !isError(err, "TokenException", http.StatusForbidden) {
		t.Errorf("after the logout: %v", err)
	}
}

func isError(err error, kind string, status int) bool {
	e, ok := err.(kiteconnect.Error)
	return ok && e.ErrorType == kind && e.Code == status
}

// The official ticker gets ticks in every mode.
func TestOfficialTicker(t *testing.T) {
	t.Parallel()
	e := open(t, true, func(c *simulator.Config) { c.QuietOpen = false })
	root, err := url.Parse("ws" + e.url[len("http"):])
	if err != nil {
		t.Fatal(err)
	}
	ticker := kiteticker.New(e.APIKey(), e.token())
	ticker.SetRootURL(*root)
	type key struct {
		token uint32
		mode  string
	}
	var mu sync.Mutex
	seen := map[key]models.Tick{}
	counts := map[key]int{}
	ticker.OnTick(func(tick models.Tick) {
		mu.Lock()
		defer mu.Unlock()
		k := key{tick.InstrumentToken, tick.Mode}
		seen[k] = tick
		counts[k]++
	})
	var near uint32
	for _, in := range e.Instruments() {
		if in.Type == "FUT" && in.Name == "NIFTY" {
			near = in.Token
			break
		}
	}
	ticker.OnConnect(func() {
		for _, err := range []error{
			ticker.Subscribe([]uint32{256265, 408065}),
			ticker.SetMode(kiteticker.ModeFull, []uint32{near, 260105}),
			ticker.SetMode(kiteticker.ModeLTP, []uint32{265, 779521}),
		} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	var failures []error
	ticker.OnError(func(err error) {
		mu.Lock()
		defer mu.Unlock()
		failures = append(failures, err)
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker.ServeWithContext(ctx)
	}()
	wanted := []key{{256265, "quote"}, {408065, "quote"}, {near, "full"}, {260105, "full"}, {265, "ltp"}, {779521, "ltp"}}
	actorstest.Until(t, "three ticks of everything", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for _, k := range wanted {
			if counts[k] < 3 {
				return false
			}
		}
		return true
	})
	mu.Lock()
	full := seen[key{near, "full"}]
	if full.OI == 0 || full.VolumeTraded == 0 || full.Depth.Sell[4].Price <= full.Depth.Sell[0].Price || full.Timestamp.Before(start) || full.OHLC.Close == 0 {
		t.Errorf("full tick: %+v", full)
	}
	if index := seen[key{260105, "full"}]; !index.IsIndex || index.IsTradable || index.Timestamp.Before(start) || index.OHLC.High < index.OHLC.Low {
		t.Errorf("index tick: %+v", index)
	}
	if len(failures) > 0 {
		t.Errorf("the ticker complained: %v", failures)
	}
	mu.Unlock()
	cancel()
	e.CloseSockets() // its reader waits for a message otherwise
	<-done
}
