package gateway

import (
	"net/http"
	"regexp"
	"strings"
	"time"

	"kitestring/actors/gateway/clients"
	"kitestring/actors/kite"
)

// route is what the gateway knows of one of Kite's routes.
type route struct {
	method  string
	pattern *regexp.Regexp
	class   kite.Class
	scope   clients.Scope
	// cached is how long an equal question is answered without Kite; 0: never.
	cached func(r *http.Request, now time.Time) time.Duration
	local  local // answered here; nil: by Kite
}

// local answers a route without Kite.
type local func(g *Gateway, w http.ResponseWriter, r *http.Request, id identity)

// table is Kite Connect v3's API, as its documentation and the official clients
// have it. What is not in it and reads is account, anything else orders.
var table = []route{
	{"POST", at(`/session/token`), kite.ClassSession, clients.ScopeData, nil, (*Gateway).startSession},
	{"DELETE", at(`/session/token`), kite.ClassSession, clients.ScopeData, nil, (*Gateway).endSession},
	{"POST", at(`/session/refresh_token`), kite.ClassSession, clients.ScopeData, nil, (*Gateway).refreshSession},
	{"DELETE", at(`/session/refresh_token`), kite.ClassSession, clients.ScopeData, nil, (*Gateway).endSession},

	{"GET", at(`/user/profile`), kite.ClassProfile, clients.ScopeData, always(5 * time.Second), nil},
	{"GET", at(`/instruments`), kite.ClassInstruments, clients.ScopeData, untilTomorrow, nil},
	{"GET", at(`/instruments/[A-Z]+`), kite.ClassInstruments, clients.ScopeData, untilTomorrow, nil},
	{"GET", at(`/mf/instruments`), kite.ClassInstruments, clients.ScopeData, untilTomorrow, nil},
	{"GET", at(`/instruments/historical/[0-9]+/[0-9a-z]+`), kite.ClassHistorical, clients.ScopeData, history, nil},
	{"GET", at(`/instruments/[^/]+/[^/]+/trigger_range`), kite.ClassQuote, clients.ScopeData, nil, nil},
	{"GET", at(`/instruments/trigger_range/[a-z]+`), kite.ClassQuote, clients.ScopeData, nil, nil},
	{"GET", at(`/quote`), kite.ClassQuote, clients.ScopeData, always(time.Second), nil},
	{"GET", at(`/quote/(ltp|ohlc)`), kite.ClassQuote, clients.ScopeData, always(time.Second), nil},

	{"GET", at(`/user/(profile/full|margins|margins/[a-z]+)`), kite.ClassOther, clients.ScopeAccount, nil, nil},
	{"GET", at(`/(orders|trades)`), kite.ClassOther, clients.ScopeAccount, nil, nil},
	{"GET", at(`/orders/[^/]+(/trades)?`), kite.ClassOther, clients.ScopeAccount, nil, nil},
	{"GET", at(`/portfolio/(positions|holdings|holdings/[a-z]+)`), kite.ClassOther, clients.ScopeAccount, nil, nil},
	{"GET", at(`/gtt/triggers(/[0-9]+)?`), kite.ClassOther, clients.ScopeAccount, nil, nil},
	{"GET", at(`/mf/(orders|sips|holdings|allotments)(/[^/]+)?`), kite.ClassOther, clients.ScopeAccount, nil, nil},
	{"GET", at(`/alerts(/[^/]+)?(/history)?`), kite.ClassOther, clients.ScopeAccount, nil, nil},
	// Calculators: POSTs that change nothing.
	{"POST", at(`/margins/(orders|basket)`), kite.ClassOther, clients.ScopeAccount, nil, nil},
	{"POST", at(`/charges/orders`), kite.ClassOther, clients.ScopeAccount, nil, nil},

	{"POST", at(`/orders/[^/]+`), kite.ClassOrder, clients.ScopeOrders, nil, nil},
	{"PUT", at(`/orders/[^/]+/[^/]+`), kite.ClassOrder, clients.ScopeOrders, nil, nil},
	{"DELETE", at(`/orders/[^/]+/[^/]+`), kite.ClassOrder, clients.ScopeOrders, nil, nil},
}

func at(pattern string) *regexp.Regexp { return regexp.MustCompile(`^` + pattern + `$`) }

// routeOf finds a request's route; the path has no trailing slash.
func routeOf(method, path string) route {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	path = strings.TrimSuffix(path, "/")
	for _, r := range table {
		if r.method == method && r.pattern.MatchString(path) {
			return r
		}
	}
	if method == http.MethodGet {
		return route{method: method, class: kite.ClassOther, scope: clients.ScopeAccount}
	}
	return route{method: method, class: kite.ClassOrder, scope: clients.ScopeOrders}
}

// repeatable reports whether a question may be asked again: a write reaches
// Kite at most once, whatever fails.
func (r route) repeatable() bool { return r.method == http.MethodGet }

func always(d time.Duration) func(*http.Request, time.Time) time.Duration {
	return func(*http.Request, time.Time) time.Duration { return d }
}
