package kite

import (
	"net/http"
	"net/url"
	"time"
)

// Exchange is how to reach Kite, the same for every generation of the token.
type Exchange struct {
	APIURL string // REST, without a trailing slash, e.g. https://api.kite.trade
	// InstrumentsURL is where the instruments file lies when it is not under
	// APIURL: the sandbox serves it without the prefix of the rest. "": there.
	InstrumentsURL string
	WSURL          string     // e.g. wss://ws.kite.trade
	LoginURL       string     // e.g. https://kite.zerodha.com/connect/login
	WSExtra        url.Values // extra query parameters of the WebSocket (the sandbox wants user_id)
	Transport      http.RoundTripper
	Budget         *Budget
	// Observe is told of every request; nil: nobody listens. code is 0 when no
	// answer came, class one of the budget's.
	Observe func(class Class, code int, took time.Duration)
}
