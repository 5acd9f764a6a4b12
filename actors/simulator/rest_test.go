package simulator_test

import (
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"kitestring/actors/actorstest"
	"kitestring/actors/simulator"
)

func authorisation(token string) http.Header {
	return http.Header{"Authorization": {"token simkey:" + token}, "X-Kite-Version": {"3"}}
}

func TestEnvelope(t *testing.T) {
	t.Parallel()
	e := open(t, false, nil)
	token := e.token()
	for _, c := range []struct {
		name, method, path string
		header             http.Header
		status             int
		kind               string
	}{
		{"no token", "GET", "/user/profile", nil, 403, "TokenException"},
		{"another key", "GET", "/user/profile", http.Header{"Authorization": {"token other:" + token}}, 403, "TokenException"},
		{"another scheme", "GET", "/user/profile", http.Header{"Authorization": {"Bearer " + token}}, 403, "TokenException"},
		{"wrong token", "GET", "/orders", authorisation("x"), 403, "TokenException"},
		{"unknown route", "GET", "/nowhere", nil, 404, "GeneralException"},
		{"wrong method", "PUT", "/user/profile", authorisation(token), 405, "GeneralException"},
		{"refresh", "POST", "/session/refresh_token", nil, 403, "TokenException"},
		{"unknown order", "GET", "/orders/1", authorisation(token), 400, "InputException"},
		{"logout with another key", "DELETE", "/session/token?api_key=other&access_token=" + token, nil, 400, "InputException"},
		{"logout of an invalid token", "DELETE", "/session/token?api_key=simkey&access_token=x", nil, 403, "TokenException"},
	} {
		response, text := e.do(c.method, c.path, "", c.header)
		var body struct {
			Status, Message string
			Type            string `json:"error_type"`
		}
		if err := json.Unmarshal([]byte(text), &body); err != nil {
			t.Fatalf("%s: %s: %v", c.name, text, err)
		}
		if response.StatusCode != c.status || body.Type != c.kind || body.Status != "error" || body.Message == "" || response.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", c.name, response.StatusCode, text)
		}
	}
	if response, _ := e.do("GET", "/user/profile", "", authorisation(token)); response.StatusCode != 200 {
		t.Errorf("the profile: %d", response.StatusCode)
	}
	if refused := e.State().Requests.Refused; refused["token"] != 4 {
		t.Errorf("refused: %v", refused)
	}
}

// Quotes 1, historical 3, everything else 10 a second.
func TestRateLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path  string
		limit int
	}{
		{"/quote/ltp?i=NSE:INFY", 1},
		{"/instruments/historical/408065/minute?from=2026-06-15+09:15:00&to=2026-06-15+09:20:00", 3},
		{"/user/profile", 10},
	} {
		e := open(t, false, nil)
		header := authorisation(e.token())
		began := time.Now()
		ok, refused := 0, 0
		for range c.limit + 5 {
			response, text := e.do("GET", c.path, "", header)
			switch response.StatusCode {
			case 200:
				ok++
			case http.StatusTooManyRequests:
				refused++
				if !strings.Contains(text, "NetworkException") {
					t.Errorf("%s: %s", c.path, text)
				}
			default:
				t.Fatalf("%s: %d %s", c.path, response.StatusCode, text)
			}
		}
		seconds := int(time.Since(began)/time.Second) + 1
		if ok < c.limit || ok > c.limit*(seconds+1) || refused == 0 && seconds == 1 {
			t.Errorf("%s: %d answered, %d refused within %d s", c.path, ok, refused, seconds)
		}
		actorstest.Until(t, "the limit passes", func() bool {
			response, _ := e.do("GET", c.path, "", header)
			return response.StatusCode == 200
		})
	}
}

func TestQuoteLimits(t *testing.T) {
	t.Parallel()
	e := open(t, false, nil)
	header := authorisation(e.token())
	many := func(n int) string { return strings.Repeat("i=NSE:INFY&", n) }
	status := func(path string) int {
		t.Helper()
		var status int
		actorstest.Until(t, "an answer", func() bool {
			response, _ := e.do("GET", path, "", header)
			status = response.StatusCode
			return status != http.StatusTooManyRequests
		})
		return status
	}
	for path, want := range map[string]int{
		"/quote?" + many(500): 200, "/quote?" + many(501): 400,
		"/quote/ltp?" + many(1000): 200, "/quote/ohlc?" + many(1001): 400,
	} {
		if got := status(path); got != want {
			t.Errorf("%s...: %d", path[:12], got)
		}
	}
}

func TestHistoricalLimits(t *testing.T) {
	t.Parallel()
	e := open(t, false, nil)
	header := authorisation(e.token())
	for _, c := range []struct {
		path   string
		status int
	}{
		{"408065/minute?from=2026-04-16+09:15:00&to=2026-06-15+09:15:00", 200},
		{"408065/minute?from=2026-04-16+09:15:00&to=2026-06-15+09:16:00", 400},
		{"408065/3minute?from=2026-03-01+09:15:00&to=2026-06-15+09:16:00", 400},
		{"408065/day?from=2021-06-01+09:15:00&to=2026-06-15+09:16:00", 200},
		{"408065/2minute?from=2026-06-01+09:15:00&to=2026-06-15+09:16:00", 400},
		{"408065/minute?from=2026-06-15&to=2026-06-15+09:16:00", 400},
		{"408065/minute?from=2026-06-15+09:15:00&to=soon", 400},
		{"408065/minute?from=2026-06-15+09:15:00&to=2026-06-14+09:15:00", 400},
		{"17/minute?from=2026-06-15+09:15:00&to=2026-06-15+09:16:00", 400},
		{"x/minute?from=2026-06-15+09:15:00&to=2026-06-15+09:16:00", 400},
		// The official clients repeat the path's parameters in the query.
		{"408065/minute?from=2026-06-15+09:15:00&to=2026-06-15+09:16:00&instrument_token=408065&interval=minute&continuous=0&oi=1", 200},
	} {
		actorstest.Until(t, "an answer to "+c.path, func() bool {
			response, text := e.do("GET", "/instruments/historical/"+c.path, "", header)
			if response.StatusCode == http.StatusTooManyRequests {
				return false
			}
			if response.StatusCode != c.status {
				t.Errorf("%s: %d %s", c.path, response.StatusCode, text)
			}
			return true
		})
	}
}

func TestInstrumentsFile(t *testing.T) {
	t.Parallel()
	e := open(t, false, func(c *simulator.Config) { c.Instruments = 250 })
	plain, text := e.do("GET", "/instruments", "", http.Header{"Accept-Encoding": {"identity"}})
	if got := plain.Header.Get("Content-Type"); got != "text/csv" {
		t.Errorf("content type %q", got)
	}
	if plain.Header.Get("Content-Encoding") != "" {
		t.Error("packed without being asked")
	}
	request, err := http.NewRequest("GET", e.url+"/instruments", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept-Encoding", "gzip")
	response, err := browser().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	z, err := gzip.NewReader(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := io.ReadAll(z)
	if err != nil || string(unpacked) != text {
		t.Errorf("packed and plain differ: %v", err)
	}
	etag := plain.Header.Get("ETag")
	if again, body := e.do("GET", "/instruments", "", http.Header{"If-None-Match": {etag}}); etag == "" || again.StatusCode != 304 || body != "" {
		t.Errorf("with the ETag %s: %d", etag, again.StatusCode)
	}
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) < 1500+250 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if response, body := e.get("/instruments/MOON"); response.StatusCode != 200 || strings.Count(body, "\n") != 1 {
		t.Errorf("an unknown exchange: %d %q", response.StatusCode, body)
	}
	// The chains hold 20 strikes each side of the money, and more.
	spot := map[string]float64{}
	var quotes struct {
		Data map[string]struct {
			Last float64 `json:"last_price"`
		}
	}
	_, body := e.do("GET", "/quote/ltp?"+url.Values{"i": {"NSE:NIFTY 50", "NSE:NIFTY BANK", "BSE:SENSEX"}}.Encode(), "", authorisation(e.token()))
	if err := json.Unmarshal([]byte(body), &quotes); err != nil {
		t.Fatal(err)
	}
	spot["NIFTY"], spot["BANKNIFTY"], spot["SENSEX"] = quotes.Data["NSE:NIFTY 50"].Last, quotes.Data["NSE:NIFTY BANK"].Last, quotes.Data["BSE:SENSEX"].Last
	for name, step := range map[string]float64{"NIFTY": 50, "BANKNIFTY": 100, "SENSEX": 100} {
		nearest := time.Time{}
		strikes := map[float64]int{}
		for _, in := range e.Instruments() {
			if in.Name != name || in.Strike == 0 {
				continue
			}
			if nearest.IsZero() || in.Expiry.Before(nearest) {
				nearest, strikes = in.Expiry, map[float64]int{}
			}
			if in.Expiry.Equal(nearest) {
				strikes[in.Strike]++
			}
		}
		money := float64(int(spot[name]/step)) * step
		for i := -20.0; i <= 20; i++ {
			if strikes[money+i*step] != 2 {
				t.Errorf("%s %v: %d contracts at %v", name, nearest, strikes[money+i*step], money+i*step)
			}
		}
	}
}
