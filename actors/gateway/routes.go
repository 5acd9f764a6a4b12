package gateway

import (
	"net/http"
	"regexp"
	"strings"
	"time"

	"kitestring/actors/kite"
)

// Scope is what a client may do.
type Scope string

// The scopes. Each names what it allows and nothing of the others.
const (
	ScopeData    Scope = "data"    // ticks, quotes, instruments, history, the profile without name and e-mail
	ScopeAccount Scope = "account" // order updates; reading orders, trades, positions, holdings, margins, GTT, funds
	ScopeOrders  Scope = "orders"  // everything that writes; only where the configuration says so as well
)

// Scopes is a set of scopes.
type Scopes []Scope

// Has reports whether s is in the set.
func (s Scopes) Has(scope Scope) bool {
	for _, have := range s {
		if have == scope {
			return true
		}
	}
	return false
}

// route is what the gateway knows of one of Kite's routes.
type route struct {
	method  string
	pattern *regexp.Regexp
	class   kite.Class
	scope   Scope
	// cached is how long an equal question is answered without Kite; 0: never.
	cached func(r *http.Request, now time.Time) time.Duration
	local  local // answered here; nil: by Kite
}

// local answers a route without Kite.
type local func(g *Gateway, w http.ResponseWriter, r *http.Request, id identity)

// table is Kite Connect v3's API, as its documentation and the official clients
// have it. What is not in it and reads is account, anything else orders.
var table = []route{
	{"POST", at(`/session/token`), kite.ClassSession, ScopeData, nil, (*Gateway).startSession},
	{"DELETE", at(`/session/token`), kite.ClassSession, ScopeData, nil, (*Gateway).endSession},
	{"POST", at(`/session/refresh_token`), kite.ClassSession, ScopeData, nil, (*Gateway).refreshSession},
	{"DELETE", at(`/session/refresh_token`), kite.ClassSession, ScopeData, nil, (*Gateway).endSession},

	{"GET", at(`/user/profile`), kite.ClassProfile, ScopeData, always(5 * time.Second), nil},
	{"GET", at(`/instruments`), kite.ClassInstruments, ScopeData, untilTomorrow, nil},
	{"GET", at(`/instruments/[A-Z]+`), kite.ClassInstruments, ScopeData, untilTomorrow, nil},
	{"GET", at(`/mf/instruments`), kite.ClassInstruments, ScopeData, untilTomorrow, nil},
	{"GET", at(`/instruments/historical/[0-9]+/[0-9a-z]+`), kite.ClassHistorical, ScopeData, history, nil},
	{"GET", at(`/instruments/[^/]+/[^/]+/trigger_range`), kite.ClassQuote, ScopeData, nil, nil},
	{"GET", at(`/instruments/trigger_range/[a-z]+`), kite.ClassQuote, ScopeData, nil, nil},
	{"GET", at(`/quote`), kite.ClassQuote, ScopeData, always(time.Second), nil},
	{"GET", at(`/quote/(ltp|ohlc)`), kite.ClassQuote, ScopeData, always(time.Second), nil},

	{"GET", at(`/user/(profile/full|margins|margins/[a-z]+)`), kite.ClassOther, ScopeAccount, nil, nil},
	{"GET", at(`/(orders|trades)`), kite.ClassOther, ScopeAccount, nil, nil},
	{"GET", at(`/orders/[^/]+(/trades)?`), kite.ClassOther, ScopeAccount, nil, nil},
	{"GET", at(`/portfolio/(positions|holdings|holdings/[a-z]+)`), kite.ClassOther, ScopeAccount, nil, nil},
	{"GET", at(`/gtt/triggers(/[0-9]+)?`), kite.ClassOther, ScopeAccount, nil, nil},
	{"GET", at(`/mf/(orders|sips|holdings|allotments)(/[^/]+)?`), kite.ClassOther, ScopeAccount, nil, nil},
	{"GET", at(`/alerts(/[^/]+)?(/history)?`), kite.ClassOther, ScopeAccount, nil, nil},
	// Calculators: POSTs that change nothing.
	{"POST", at(`/margins/(orders|basket)`), kite.ClassOther, ScopeAccount, nil, nil},
	{"POST", at(`/charges/orders`), kite.ClassOther, ScopeAccount, nil, nil},

	{"POST", at(`/orders/[^/]+`), kite.ClassOrder, ScopeOrders, nil, nil},
	{"PUT", at(`/orders/[^/]+/[^/]+`), kite.ClassOrder, ScopeOrders, nil, nil},
	{"DELETE", at(`/orders/[^/]+/[^/]+`), kite.ClassOrder, ScopeOrders, nil, nil},
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
		return route{method: method, class: kite.ClassOther, scope: ScopeAccount}
	}
	return route{method: method, class: kite.ClassOrder, scope: ScopeOrders}
}

// repeatable reports whether a question may be asked again: a write reaches
// Kite at most once, whatever fails.
func (r route) repeatable() bool { return r.method == http.MethodGet }

func always(d time.Duration) func(*http.Request, time.Time) time.Duration {
	return func(*http.Request, time.Time) time.Duration { return d }
}
