package simulator

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"kitestring/messages"
	"kitestring/messages/ist"
)

// The error types of Kite that we answer with.
const (
	tokenException   = "TokenException"
	inputException   = "InputException"
	networkException = "NetworkException"
	generalException = "GeneralException"
)

// apiError is Kite's error envelope.
type apiError struct {
	Status  int
	Type    string
	Message string
}

func badInput(message string) *apiError {
	return &apiError{http.StatusBadRequest, inputException, message}
}

func badToken(message string) *apiError {
	return &apiError{http.StatusForbidden, tokenException, message}
}

// endpoint makes the data of Kite's envelope, or an error.
type endpoint func(r *http.Request) (any, *apiError)

// class is a group of requests with a limit of its own.
type class int

const (
	classQuote class = iota
	classHistorical
	classOther
	classes
)

// perSecond are Kite's limits for one API key (docs, Exceptions; forum 52882).
var perSecond = [classes]int{classQuote: 1, classHistorical: 3, classOther: 10}

// limits counts requests in a sliding second. A request that comes a little
// early passes: the client has another clock.
type limits struct {
	mu   sync.Mutex
	past [classes][]time.Time
}

const limitWindow = 950 * time.Millisecond

func (l *limits) allow(c class, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	past := l.past[c]
	for len(past) > 0 && now.Sub(past[0]) >= limitWindow {
		past = past[1:]
	}
	ok := len(past) < perSecond[c]
	if ok {
		past = append(past, now)
	}
	l.past[c] = past
	return ok
}

func (e *Exchange) routes() http.Handler {
	mux := http.NewServeMux()
	api := func(pattern, name string, c class, public bool, a endpoint) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { e.serve(w, r, name, c, public, a) })
	}
	api("POST /session/token", "session", classOther, true, e.exchangeSession)
	api("DELETE /session/token", "session", classOther, true, e.deleteSession)
	api("POST /session/refresh_token", "session", classOther, true, e.refreshSession)
	api("GET /user/profile", "profile", classOther, false, e.profile)
	api("GET /quote", "quote", classQuote, false, e.quote)
	api("GET /quote/ohlc", "quote", classQuote, false, e.quoteOHLC)
	api("GET /quote/ltp", "quote", classQuote, false, e.quoteLTP)
	api("GET /instruments/historical/{token}/{interval}", "historical", classHistorical, false, e.historical)
	api("GET /orders", "orders", classOther, false, e.listOrders)
	api("GET /orders/{id}", "orders", classOther, false, e.orderHistory)
	mux.HandleFunc("POST /orders/{variety}", func(w http.ResponseWriter, r *http.Request) {
		e.countOrder(r.PostFormValue("tag")) // before any fault: it has arrived
		e.serve(w, r, "place_order", classOther, false, e.placeOrder)
	})
	mux.HandleFunc("GET /instruments", e.serveInstruments)
	mux.HandleFunc("GET /instruments/{exchange}", e.serveInstruments)
	mux.HandleFunc("GET /connect/login", e.loginPage)
	mux.HandleFunc("POST /connect/login", e.loginAnswer)
	e.adminRoutes(mux)
	for _, path := range []string{"/session/token", "/session/refresh_token", "/user/profile", "/quote", "/quote/ohlc", "/quote/ltp", "/orders", "/instruments"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			writeError(w, &apiError{http.StatusMethodNotAllowed, generalException, "Method not allowed"})
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" && websocket.IsWebSocketUpgrade(r) {
			e.serveSocket(w, r)
			return
		}
		writeError(w, &apiError{http.StatusNotFound, generalException, "Route not found"})
	})
	// A page of another site may read prices, not change anything.
	return http.NewCrossOriginProtection().Handler(mux)
}

// serve is what stands before every JSON endpoint: faults, limits, the token.
func (e *Exchange) serve(w http.ResponseWriter, r *http.Request, name string, c class, public bool, a endpoint) {
	if e.restFault(w, r) {
		e.refused("fault")
		return
	}
	if !e.limits.allow(c, time.Now()) {
		e.refused("rate_limit")
		writeError(w, &apiError{http.StatusTooManyRequests, networkException, "Too many requests"})
		return
	}
	if !public && !e.authorised(r) {
		e.refused("token")
		writeError(w, badToken("Incorrect `api_key` or `access_token`."))
		return
	}
	data, no := a(r)
	if no != nil {
		e.refused(name)
		writeError(w, no)
		return
	}
	e.mu.Lock()
	e.counts.requests[name]++
	e.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{"status": "success", "data": data})
}

func (e *Exchange) refused(reason string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.counts.refusedRequests[reason]++
}

// authorised checks "Authorization: token api_key:access_token".
func (e *Exchange) authorised(r *http.Request) bool {
	credentials, ok := strings.CutPrefix(r.Header.Get("Authorization"), "token ")
	key, token, both := strings.Cut(credentials, ":")
	return ok && both && e.isKey(key) && e.sessions.valid(messages.NewAccessToken(token))
}

func (e *Exchange) isKey(key string) bool {
	return subtle.ConstantTimeCompare([]byte(key), []byte(e.cfg.APIKey)) == 1
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"status":"error","message":"not marshalled","error_type":"GeneralException"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text) // the client went away
}

func writeError(w http.ResponseWriter, no *apiError) {
	writeJSON(w, no.Status, map[string]any{"status": "error", "message": no.Message, "error_type": no.Type, "data": nil})
}

// The one user of this exchange.
const (
	userID   = "SIM001"
	userName = "Simulated Trader"
)

func userFields() map[string]any {
	return map[string]any{
		"user_id": userID, "user_type": "individual", "email": "trader@simulator.invalid",
		"user_name": userName, "user_shortname": "Trader", "broker": "ZERODHA",
		"exchanges": []string{"NSE", "BSE", "NFO", "BFO"}, "products": []string{"CNC", "NRML", "MIS"},
		"order_types": []string{"MARKET", "LIMIT", "SL", "SL-M"}, "avatar_url": nil,
		"meta": map[string]string{"demat_consent": "physical"},
	}
}

func (e *Exchange) profile(*http.Request) (any, *apiError) { return userFields(), nil }

// exchangeSession turns a request token into an access token.
func (e *Exchange) exchangeSession(r *http.Request) (any, *apiError) {
	key, request, sum := r.PostFormValue("api_key"), r.PostFormValue("request_token"), r.PostFormValue("checksum")
	switch {
	case key == "" || request == "" || sum == "":
		return nil, badInput("Missing or empty field `api_key`, `request_token` or `checksum`")
	case !e.isKey(key):
		return nil, badInput("Invalid `api_key`.")
	case e.take(FaultChecksum, "") != nil:
		return nil, badToken("Invalid `checksum`.")
	}
	switch err := e.sessions.redeem(request, sum); {
	case errors.Is(err, errChecksum):
		return nil, badToken("Invalid `checksum`.")
	case err != nil:
		return nil, badToken("Token is invalid or has expired.")
	}
	token, err := e.login(e.cfg.Relogin)
	if err != nil {
		e.log.Error("simulator could not keep a token", "error", err)
		return nil, &apiError{http.StatusInternalServerError, generalException, "Something went wrong"}
	}
	data := userFields()
	for k, v := range map[string]any{
		"api_key": e.cfg.APIKey, "access_token": token.Reveal(), "public_token": encodeToken(e.sessions.mac(3, []byte(token.Reveal()))[:23]),
		"enctoken": "", "refresh_token": "", "silo": "", "login_time": e.clock.Now().In(ist.Zone).Format(ist.Layout),
	} {
		data[k] = v
	}
	return data, nil
}

func (e *Exchange) deleteSession(r *http.Request) (any, *apiError) {
	query := r.URL.Query()
	if !e.isKey(query.Get("api_key")) {
		return nil, badInput("Invalid `api_key`.")
	}
	if query.Has("refresh_token") {
		return true, nil // retail has none to lose
	}
	gone, err := e.Logout(messages.NewAccessToken(query.Get("access_token")))
	if err != nil {
		e.log.Error("simulator could not keep a logout", "error", err)
	}
	if !gone {
		return nil, badToken("Incorrect `api_key` or `access_token`.")
	}
	return true, nil
}

// refreshSession is for approved platforms only.
func (e *Exchange) refreshSession(*http.Request) (any, *apiError) {
	return nil, badToken("Token is invalid or has expired.")
}
