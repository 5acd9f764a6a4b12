package gateway

import (
	"testing"
	"time"

	"kitestring/actors/kite"
)

// Only what is whole is kept for the day.
func TestGoodFor(t *testing.T) {
	const header, row = "instrument_token,exchange_token,tradingsymbol,name\n", "1,2,INFY,INFOSYS\n"
	for name, c := range map[string]struct {
		status     int
		kind, body string
		want       time.Duration
	}{
		"quotes":                       {200, "application/json", `{"status":"success","data":{"NSE:INFY":{"last_price":1}}}`, 24 * time.Hour},
		"orders, a list":               {200, "application/json", `{"status":"success","data":[]}`, 24 * time.Hour},
		"history":                      {200, "application/json", `{"status":"success","data":{"candles":[["2026-11-23T09:15:00+0530",1,1,1,1,0]]}}`, 24 * time.Hour},
		"history without a candle":     {200, "application/json", `{"status":"success","data":{"candles":[]}}`, 5 * time.Second},
		"an error with a 200":          {200, "application/json", `{"status":"error","message":"try later","error_type":"GeneralException"}`, 0},
		"an error":                     {400, "application/json", `{"status":"success"}`, 0},
		"a page":                       {200, "text/html", "<html>log in</html>", 0},
		"nothing":                      {200, "application/json", "", 0},
		"instruments":                  {200, "text/csv", header + row, 24 * time.Hour},
		"instruments without a row":    {200, "text/csv", header, 0},
		"instruments, cut off":         {200, "text/csv", header + row + "3,4", 0},
		"a page that calls itself CSV": {200, "text/csv", "<html>\n<body>\n", 0},
		"instruments, broken gzip":     {200, "text/csv", "gzip", 0},
	} {
		a := kite.Answer{Status: c.status, ContentType: c.kind, Body: []byte(c.body)}
		if c.body == "gzip" {
			a.Encoding = "gzip"
		}
		if got := goodFor(a); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
