package simulator

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"kitestring/messages"
)

// Whatever stands in a file of bars, what is taken of it is a bar in a session.
func FuzzReadBars(f *testing.F) {
	f.Add("time_ist,open,high,low,close,volume,chain_oi\n2026-03-02 09:15:00,24659.25,24948.45,24659.25,24892.95,0,0\n")
	f.Add("volume,close,low,high,open,time_ist\n65,1,1,2,1,2026-03-02 15:25:00\n")
	f.Add("time_ist,open,high,low,close,volume\n2026-03-02 09:15:00,NaN,Inf,-1,1e99,x\n")
	f.Fuzz(func(t *testing.T, text string) {
		var last time.Time
		cal := plain()
		_ = readBars(strings.NewReader(text), cal, func(start time.Time, b bar) {
			s := cal.session(start)
			if !start.After(last) || !s.running(start) || !s.running(start.Add(barLength-time.Second)) {
				t.Errorf("a bar at %v", start)
			}
			last = start
			if b.prices[1] < b.prices[2] || b.prices[2] <= 0 || b.share(0)+b.share(1)+b.share(2)+b.share(3) != b.volume {
				t.Errorf("%+v", b)
			}
		})
	})
}

// A token that the exchange did not issue is refused, and reading it is harmless.
func FuzzCertify(f *testing.F) {
	e, err := New(Config{APISecret: messages.NewSecret("of this test alone")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("075kdG6NnbF8pnKrWUlyGJlmqKRCO8Cn") // of a like shape
	f.Add(strings.Repeat("0", tokenLength))
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if _, _, ok := e.sessions.certify(text); ok {
			t.Errorf("%q certifies itself", text)
		}
		if raw, ok := decodeToken(text); ok && encodeToken(raw) != text {
			t.Errorf("%q is not what it encodes to", text)
		}
	})
}

// No request makes the exchange fail.
func FuzzRequests(f *testing.F) {
	e, err := New(Config{RedirectURL: "http://127.0.0.1:1/callback"})
	if err != nil {
		f.Fatal(err)
	}
	token, err := e.Rotate()
	if err != nil {
		f.Fatal(err)
	}
	f.Add("GET", "/quote", "i=NSE:INFY&i=256265&i=%ff", "")
	f.Add("GET", "/instruments/historical/256265/5minute", "from=2026-06-15 09:15:00&to=2026-06-15 10:15:00&oi=1", "")
	f.Add("GET", "/connect/login", "api_key=simkey&redirect_params=a%3Db%26status%3Dx", "")
	f.Add("POST", "/session/token", "", "api_key=simkey&request_token=x&checksum=y")
	f.Add("POST", "/sim/v1/faults", "", `{"kind":"order_update","order":{"order_id":"1","x":null}}`)
	f.Add("POST", "/sim/v1/clock", "", `{"now":"2026-06-15T10:00:00+05:30"}`)
	f.Add("DELETE", "/session/token", "api_key=simkey&access_token=z", "")
	f.Add("GET", "/orders/77", "", "")
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		if strings.Contains(body, "rest_") { // a fault that is wanted is no failure
			return
		}
		request := httptest.NewRequest("GET", "/", strings.NewReader(body))
		request.Method, request.URL = method, &url.URL{Path: "/" + strings.TrimPrefix(path, "/"), RawQuery: query}
		request.Header.Set("Authorization", "token simkey:"+token.Reveal())
		if method == "POST" && !strings.HasPrefix(body, "{") {
			request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		e.limits.past = [classes][]time.Time{}
		answer := httptest.NewRecorder()
		e.Handler().ServeHTTP(answer, request)
		if answer.Code >= 500 {
			t.Errorf("%s %s?%s: %d %s", method, path, query, answer.Code, answer.Body)
		}
	})
}
