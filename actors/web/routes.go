package web

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/pprof" // also registers on http.DefaultServeMux, which nothing serves
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"kitestring/actors/kinds"
	"kitestring/actors/web/api"
	"kitestring/actors/web/csv"
	"kitestring/actors/web/history"
	"kitestring/messages"
	"kitestring/messages/ist"
)

// route is one line of the API: what /api/v1/openapi.json describes is made of
// the same table, so that the description cannot drift.
type route struct {
	method, path string
	summary      string
	handle       http.HandlerFunc
	shape
}

// shape is the request and the response.
type shape struct {
	admin  bool
	code   int                 // of a success; 0: 200
	takes  any                 // a value of the body's type; nil: no body
	gives  any                 // a value of a success' type; nil: no JSON
	media  string              // of a success that is no JSON
	query  map[string][]string // parameters, with what they may be; nil: anything
	events map[string]any      // of an event stream: what each topic carries
	csv    bool                // a list that is also to be had as CSV
	free   bool                // takes whatever parameters Kite or a browser sends
}

func (s *server) table() []route {
	const accepted, nothing = http.StatusAccepted, http.StatusNoContent
	return []route{
		{"GET", "/healthz", "200 while the process serves", always(healthz), shape{gives: map[string]string{}}},
		{"GET", "/readyz", "200 only while the token is valid and the feed live, else 503; the body says which is not", s.readyz, shape{gives: api.Ready{}}},
		{"GET", "/metrics", "Prometheus exposition", s.Metrics.ServeHTTP, shape{media: "text/plain", free: true}},
		{"GET", "/runbook", "what to do when an alert fires, as Markdown", s.runbook, shape{media: "text/plain"}},
		{"GET", "/runbook/{alert}", "its section about an alert: where the alert's runbook_url leads", s.runbook, shape{media: "text/plain"}},
		{"GET", "/login", "sends the browser to Kite's login", fromHere(s.Login.Login), shape{code: http.StatusSeeOther, media: "text/html", free: true}},
		{"GET", "/callback", "where Kite sends the browser back", s.callback(), shape{code: http.StatusSeeOther, media: "text/html", free: true}},
		{"GET", "/api/v1/status", "one screen: token, feed, actors, market; causes: what is wrong, the gravest first, then what is left out; missing: data that Kite refuses or does not have, with the reason", always(s.status), shape{gives: api.Status{}}},
		{"GET", "/api/v1/token", "the token's state and the generation that each actor last used", always(s.token), shape{gives: api.Token{}}},
		{"GET", "/api/v1/rotations", "receipts of the last 100 rotations, newest first", all(s.Feed.Rotations), shape{gives: []messages.Rotation{}}},
		{"GET", "/api/v1/actors", "the supervision tree, in its order", all(s.Tree.Actors), shape{gives: []api.Actor{}}},
		{"GET", "/api/v1/actors/{name}", "one actor", s.actor, shape{gives: api.Actor{}}},
		{"GET", "/api/v1/readings", "every reading; its parameters are those that the configuration sets, of \"kitestring assets print parameters\"", s.readings, shape{gives: []messages.Reading{}, csv: true}},
		{"GET", "/api/v1/readings/{underlying}", "the readings of an underlying", s.readings, shape{gives: []messages.Reading{}, csv: true}},
		{"GET", "/api/v1/readings/{underlying}/{kind}", "one reading", s.reading, shape{gives: messages.Reading{}}},
		{"GET", "/api/v1/readings/{underlying}/{kind}/history", "what an analysis said in its newest session: a point a minute, oldest first, and the last 20 signals, newest first, with what the index did 15 minutes later and to the close; as CSV the points", s.history, shape{gives: history.Session{}, csv: true}},
		{"GET", "/api/v1/kinds", "each analysis in words: what it is, and label, unit and help text of each field of its values", all(kinds.All), shape{gives: []kinds.Kind{}}},
		{"GET", "/api/v1/bars/{underlying}", "bars, oldest first, the running one last; from and to (RFC 3339, or a day in IST) bound their starts, to is left out itself; limit takes the newest ones", s.bars, shape{gives: []api.Bar{}, csv: true, query: map[string][]string{"interval": intervals, "source": {"index", "future"}, "from": nil, "to": nil, "limit": nil}}},
		{"GET", "/api/v1/chain/{underlying}", "the option chain: strikes round the money, volatilities, open interest and totals, with ages; another expiry than the nearest is subscribed to when it is asked for, and kept for ten minutes", s.chain, shape{gives: messages.Chain{}, csv: true, query: map[string][]string{"expiry": nil}}},
		{"GET", "/api/v1/chain/{underlying}/day", "totals of the nearest expiry's chain for each minute of the newest session, oldest first", s.chainDay, shape{gives: []messages.ChainPoint{}, csv: true}},
		{"GET", "/api/v1/ready", "what the trading day needs, check by check: state is ok, warning, missing, waiting, not_due or off; ready while none is missing or waiting; shown while the page shows it", always(s.Store.readiness), shape{gives: messages.Readiness{}}},
		{"GET", "/api/v1/assumptions", "what is assumed of Kite, with its source, what was seen for and against it since the start, and what is done when it is false; verdict is open, seen or contradicted", all(s.Assumptions), shape{gives: []messages.AssumptionStatus{}}},
		{"GET", "/api/v1/gaps", "blind spans of the feed, newest first", all(s.Feed.Gaps), shape{gives: []messages.GapDetected{}}},
		{"GET", "/api/v1/events", "the last 500 events, newest first", all(s.Store.eventsNewestFirst), shape{gives: []api.Event{}}},
		{"GET", "/api/v1/reminders", "the channels that remind of a due login, and what they last did", always(s.Reminders), shape{gives: api.Reminders{}}},
		{"GET", "/api/v1/alerts", "the alerts of the configuration, and what came of their messages", always(s.Alerts.Alerts), shape{gives: api.Alerts{}}},
		{"GET", "/api/v1/instruments", "index, future and option chain of each underlying", all(s.Store.allUnderlyings), shape{gives: []messages.Underlying{}}},
		{"GET", "/api/v1/ticks", "the last tick of every subscribed instrument, by exchange and tradingsymbol; instruments is a list with commas of instrument tokens and EXCHANGE:TRADINGSYMBOL", s.ticks, shape{gives: []api.Tick{}, csv: true, query: map[string][]string{"instruments": nil}}},
		{"GET", "/api/v1/recorded", "what the recording has of a span of ten minutes at most, each packet once, in the order of receipt: the time (Unix nanoseconds, 8 bytes), the shard (4), a length (4) and as many bytes of a message in Kite's form, big-endian, again and again; from and to (RFC 3339, or Unix nanoseconds as in the bus' header Ks-Received) are included; what came in the last 100 ms may not be there yet", s.recorded, shape{media: "application/octet-stream", query: map[string][]string{"from": nil, "to": nil, "shard": {"0", "1", "2"}}}},
		{"GET", "/api/v1/clients", "the programs that may use the gateway, with what they use", s.gated(s.clients), shape{gives: []api.Client{}}},
		{"GET", "/api/v1/clients/{name}", "one program", s.gated(s.oneClient), shape{gives: api.Client{}}},
		{"GET", "/api/v1/peer", "the second server that shares the login: whether both work with one token, and if not, why", always(s.Peers.Status), shape{gives: api.Peer{}}},
		{"GET", "/api/v1/stream", "server-sent events: what is true now, then each change, at most ten times a second; topics is a list with commas of " + strings.Join(topics, ", ") + ", without it each but chain, which is large; instruments (a list as for /api/v1/ticks, or all) makes topic tick carry their ticks in place of the underlyings' prices; underlying and expiry choose the one option chain that topic chain shows, without them it is the nearest of each underlying", s.stream, shape{media: "text/event-stream", events: streamed, query: map[string][]string{"topics": nil, "instruments": nil, "underlying": nil, "expiry": nil}}},
		{"GET", "/api/v1/openapi.json", "this description", s.openapi, shape{gives: map[string]any{}}},
		{"POST", "/api/v1/actors/{name}/restart", "restart an actor; reinstates a quarantined one", s.restart, shape{admin: true, code: accepted, gives: map[string]string{}}},
		{"POST", "/api/v1/chaos", "inject a fault into an actor; answers before it strikes", s.chaos, shape{admin: true, code: accepted, takes: api.Chaos{}, gives: api.Chaos{}}},
		{"POST", "/api/v1/alerts/test", "send the message of an alert now", s.testAlert, shape{admin: true, code: accepted, takes: api.AlertTest{}, gives: api.AlertTested{}}},
		{"POST", "/api/v1/clients", "let a program use the gateway; the answer holds its key, which is shown this once", s.gated(s.addClient), shape{admin: true, code: http.StatusCreated, takes: api.ClientAdd{}, gives: api.ClientKey{}}},
		{"DELETE", "/api/v1/clients/{name}", "take a program's key away and drop its sockets", s.gated(s.revokeClient), shape{admin: true, gives: map[string]string{}}},
		{"POST", "/api/v1/peer/invite", "make a code with which another server becomes the peer; it is good once, for ten minutes, and is shown this once", s.invitePeer, shape{admin: true, code: http.StatusCreated, takes: api.PeerInvite{}, gives: api.PeerInvitation{}}},
		{"POST", "/api/v1/peer/join", "become the peer of the server that made a code", s.joinPeer, shape{admin: true, takes: api.PeerJoin{}, gives: api.Peer{}}},
		{"DELETE", "/api/v1/peer", "forget the peer; no token goes to it or comes from it any more", s.removePeer, shape{admin: true, gives: map[string]string{}}},
		{"POST", "/api/v1/session", "open an admin session of a browser: the admin token for a cookie", s.openSession, shape{code: nothing, takes: api.AdminSession{}}},
		{"POST", "/api/v1/login/start", "make a login address", s.startLogin, shape{admin: true, gives: api.LoginStarted{}}},
		{"POST", "/api/v1/login/complete", "finish a login with the pasted address or request token", s.completeLogin, shape{admin: true, takes: api.LoginPasted{}, gives: api.LoginCompleted{}}},
		{"POST", "/api/v1/readings/{underlying}/direct", "ask Kite over REST now; the answer comes as the reading of kind direct", s.askDirect, shape{admin: true, code: accepted, gives: map[string]string{}}},
		{"POST", "/api/v1/token/validate", "ask Kite about the token now", s.validate, shape{admin: true, code: accepted, gives: map[string]string{}}},
		{"POST", "/api/v1/debug/trace", "write the execution trace of the last seconds into the state directory, once a minute at most", s.trace, shape{admin: true, code: http.StatusCreated, gives: api.Trace{}}},
		{"POST", "/api/v1/exchange/faults", "sim only: make the simulated exchange misbehave", s.simulated(s.exchangeFault), shape{admin: true, code: accepted, takes: api.ExchangeFault{}, gives: api.ExchangeFault{}}},
		{"DELETE", "/api/v1/exchange/faults", "sim only: make it behave again", s.simulated(s.exchangeLift), shape{admin: true, code: nothing}},
		{"POST", "/api/v1/replay", "in a replay only: change its speed", s.replaySpeed, shape{admin: true, takes: api.ReplaySpeed{}, gives: api.StatusReplay{}}},
		{"POST", "/api/v1/exchange/rotate", "sim only: kill the token and write a new one into the file", s.simulated(s.exchangeRotate), shape{admin: true, code: accepted, gives: api.ExchangeRotated{}}},
	}
}

// always answers with what ask returns.
func always[T any](ask func() T) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, ask()) }
}

// all answers with a list, [] when there is nothing.
func all[T any](ask func() []T) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, orEmpty(ask())) }
}

// pages are the addresses of the dashboard's pages; each is the same document.
var pages = []string{"/chain", "/analyses", "/actors", "/clients", "/events", "/drills"}

func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.table() {
		h := r.allowed(r.handle)
		if r.path != "/api/v1/login/start" { // whose address holds the login's own state
			h = s.scrubbed(h)
		}
		if r.admin {
			h = s.admin.admit(h)
		}
		if r.path != "/api/v1/stream" {
			h = s.Instrument.timed(r.path, h)
		}
		mux.HandleFunc(r.method+" "+r.path, h)
	}
	for _, path := range pages {
		mux.HandleFunc("GET "+path, s.Instrument.timed("/", page))
	}
	mux.HandleFunc("GET /{$}", s.Instrument.timed("/", s.firstPage))
	mux.HandleFunc("GET /callback/{$}", s.Instrument.timed("/callback", s.callback()))
	mux.HandleFunc("GET /debug/pprof/{profile...}", s.Instrument.timed("/debug/pprof", s.admin.admit(s.profiles)))
	mux.HandleFunc("GET /assets/{file}", s.Instrument.timed("/assets", asset))
	mux.HandleFunc("/", s.scrubbed(func(w http.ResponseWriter, r *http.Request) {
		if others := methods(mux, r); others != nil {
			w.Header().Set("Allow", strings.Join(others, ", "))
			writeProblem(w, http.StatusMethodNotAllowed, "wrong method", quoted(r.URL.Path)+" does not answer "+quoted(r.Method)+".", others)
			return
		}
		writeProblem(w, http.StatusNotFound, "no such page", "There is nothing at "+quoted(r.URL.Path)+" for "+r.Method+".", s.paths())
	}))
	return s.guard(mux)
}

// methods are those that a path does answer.
func methods(mux *http.ServeMux, r *http.Request) (allowed []string) {
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := mux.Handler(other); pattern != "/" && pattern != "" {
			allowed = append(allowed, method)
		}
	}
	return allowed
}

func (s *server) callback() http.HandlerFunc { return byKite(s.Login.Callback) }

// firstPage is the dashboard, or the end of a login: an app at Kite may be
// registered with "/" as its redirect URL.
func (s *server) firstPage(w http.ResponseWriter, r *http.Request) {
	if q := r.URL.Query(); q.Has("request_token") || q.Has("status") {
		s.callback()(w, r)
		return
	}
	page(w, r)
}

func (s *server) paths() []string {
	var paths []string
	for _, r := range s.table() {
		paths = append(paths, r.method+" "+r.path)
	}
	return paths
}

func healthz() map[string]string { return map[string]string{"status": "ok"} }

func (s *server) readyz(w http.ResponseWriter, _ *http.Request) {
	ready := s.ready()
	code := http.StatusOK
	if !ready.Ready {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, ready)
}

func (s *server) actor(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	all := s.Tree.Actors()
	names := make([]string, len(all))
	for i, a := range all {
		if a.Name == name {
			writeJSON(w, http.StatusOK, a)
			return
		}
		names[i] = a.Name
	}
	writeError(w, &NameError{What: "actor", Name: name, Known: names})
}

func (s *server) readings(w http.ResponseWriter, r *http.Request) {
	u := r.PathValue("underlying")
	found := s.Store.readingsOf(u, "")
	if u != "" && len(found) == 0 && !slices.Contains(s.Store.underlyingNames(), u) {
		writeError(w, &NameError{What: "underlying", Name: u, Known: s.Store.underlyingNames()})
		return
	}
	writeList(w, r, found)
}

func (s *server) reading(w http.ResponseWriter, r *http.Request) {
	u, kind := r.PathValue("underlying"), r.PathValue("kind")
	if found := s.Store.readingsOf(u, kind); len(found) == 1 {
		writeJSON(w, http.StatusOK, found[0])
		return
	}
	var kinds []string
	for _, rd := range s.Store.readingsOf(u, "") {
		kinds = append(kinds, rd.Kind)
	}
	if kinds == nil {
		writeError(w, &NameError{What: "underlying", Name: u, Known: s.Store.underlyingNames()})
		return
	}
	writeError(w, &NameError{What: "kind of reading", Name: kind, Known: kinds})
}

// history is GET /api/v1/readings/{underlying}/{kind}/history.
func (s *server) history(w http.ResponseWriter, r *http.Request) {
	u, kind := r.PathValue("underlying"), r.PathValue("kind")
	names := []string{}
	for _, k := range kinds.All() {
		names = append(names, k.Kind)
	}
	bars, known := s.Bars(u, messages.FromIndex, time.Minute)
	switch {
	case !known:
		writeError(w, &NameError{What: "underlying", Name: u, Known: s.Store.underlyingNames()})
		return
	case !slices.Contains(names, kind):
		writeError(w, &NameError{What: "kind of reading", Name: kind, Known: names})
		return
	}
	session := s.Store.history.Session(u, kind, bars, s.over)
	if r.URL.Query().Get("format") == "csv" {
		writeList(w, r, session.History)
		return
	}
	writeJSON(w, http.StatusOK, session)
}

// over reports whether the trading of a day is.
func (s *server) over(day time.Time) bool {
	s.Store.mu.RLock()
	defer s.Store.mu.RUnlock()
	return ist.Day(s.Clock.Now()).After(day) || s.Store.phase.Phase == messages.Closing || s.Store.phase.Phase == messages.Closed
}

func (s *server) askDirect(w http.ResponseWriter, r *http.Request) {
	u := r.PathValue("underlying")
	if known := s.Store.underlyingNames(); !slices.Contains(known, u) {
		writeError(w, &NameError{What: "underlying", Name: u, Known: known})
		return
	}
	s.AskDirect(u)
	writeJSON(w, http.StatusAccepted, map[string]string{"asking": "Kite about " + u + "; see /api/v1/readings/" + u + "/direct"})
}

var intervals = []string{"1m", "3m", "5m", "15m"}

func intervalName(d time.Duration) string { return strconv.Itoa(int(d/time.Minute)) + "m" }

func (s *server) bars(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	source := messages.FromIndex
	interval, _ := time.ParseDuration(cmp.Or(q.Get("interval"), "5m")) // both are among the allowed ones
	_ = source.UnmarshalText([]byte(cmp.Or(q.Get("source"), "index")))
	var from, to time.Time
	if !timeOf(w, q, "from", &from) || !timeOf(w, q, "to", &to) {
		return
	}
	limit, err := strconv.Atoi(cmp.Or(q.Get("limit"), strconv.Itoa(mostBars)))
	if err != nil || limit < 1 || limit > mostBars {
		writeProblem(w, http.StatusBadRequest, "limit out of range", fmt.Sprintf("limit is a whole number from 1 to %d.", mostBars), nil)
		return
	}
	u := r.PathValue("underlying")
	closed, ok := s.Bars(u, source, interval)
	if !ok {
		writeError(w, &NameError{What: "underlying", Name: u, Known: s.Store.underlyingNames()})
		return
	}
	bars := make([]api.Bar, 0, len(closed)+1)
	for _, b := range closed {
		bars = append(bars, apiBar(b, true))
	}
	running, ok := s.Store.runningBar(series{u, source, interval})
	if ok && (len(closed) == 0 || running.Start.After(closed[len(closed)-1].Start)) {
		bars = append(bars, apiBar(running, false))
	}
	bars = slices.DeleteFunc(bars, func(b api.Bar) bool {
		return b.Start.Before(from) || !to.IsZero() && !b.Start.Before(to)
	})
	writeList(w, r, bars[max(0, len(bars)-limit):])
}

// mostBars is more than are kept of the shortest interval.
const mostBars = messages.BarMinutes + 1

// timeOf reads a time of the query: RFC 3339, or a day, which begins at
// midnight IST. One that is not there leaves the value as it is.
func timeOf(w http.ResponseWriter, q url.Values, name string, into *time.Time) bool {
	text := q.Get(name)
	if text == "" {
		return true
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.ParseInLocation(layout, text, ist.Zone); err == nil {
			*into = at
			return true
		}
	}
	writeProblem(w, http.StatusBadRequest, "no time", "The parameter "+name+" is "+quoted(text)+". It is a time like 2026-11-23T09:15:00+05:30 (in an address + is %2B) or a day like 2026-11-23.", nil)
	return false
}

func apiBar(b messages.Bar, closed bool) api.Bar {
	return api.Bar{
		Start: b.Start.UTC(), Open: b.Price(b.Open), High: b.Price(b.High), Low: b.Price(b.Low), Close: b.Price(b.Close),
		Volume: b.Volume, OI: b.OI, Closed: closed, Partial: b.Partial, Gapped: b.Gapped, Backfilled: b.Backfilled, Generation: b.Generation,
	}
}

func (s *server) restart(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	do := s.Tree.Restart
	for _, a := range s.Tree.Actors() {
		if a.Name == name && a.State == "quarantined" {
			do = s.Tree.Reinstate
		}
	}
	s.Store.Note("actor", "restart of %s requested", printable(name, 60))
	if err := do(name); err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusAccepted, map[string]string{"restarting": name})
}

func (s *server) chaos(w http.ResponseWriter, r *http.Request) {
	var c api.Chaos
	if !decodeBody(w, r, &c) || !durationAllowed(w, c.ForMS) {
		return
	}
	if err := s.Tree.Inject(c.Actor, c.Kind, time.Duration(c.ForMS)*time.Millisecond); err != nil {
		writeError(w, err)
		return
	}
	s.Store.Note("actor", "fault %s injected into %s", c.Kind, c.Actor)
	writeJSON(w, http.StatusAccepted, c)
}

func durationAllowed(w http.ResponseWriter, ms int64) bool {
	if ms < 0 || ms > int64(time.Hour/time.Millisecond) {
		writeProblem(w, http.StatusBadRequest, "for_ms out of range", "for_ms is between 0 (the kind's default) and 3600000 (an hour).", nil)
		return false
	}
	return true
}

func (s *server) startLogin(w http.ResponseWriter, _ *http.Request) {
	u, err := s.Login.Start()
	if err != nil {
		writeProblem(w, http.StatusConflict, "login not possible", err.Error(), nil)
		return
	}
	writeJSON(w, http.StatusOK, api.LoginStarted{LoginURL: u})
}

func (s *server) completeLogin(w http.ResponseWriter, r *http.Request) {
	var in api.LoginPasted
	if !decodeBody(w, r, &in) {
		return
	}
	result, reason := s.Login.Complete(r.Context(), in.Pasted)
	if result != messages.LoginOK {
		writeProblem(w, http.StatusUnprocessableEntity, "login "+string(result), reason, nil)
		return
	}
	writeJSON(w, http.StatusOK, api.LoginCompleted{Result: result, Reason: reason})
}

func (s *server) validate(w http.ResponseWriter, _ *http.Request) {
	s.Validate()
	writeJSON(w, http.StatusAccepted, map[string]string{"validating": "the token; see /api/v1/token"})
}

// simulated guards the routes that only the sim profile has.
func (s *server) simulated(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.Exchange == nil {
			writeProblem(w, http.StatusConflict, "no simulated exchange", "This server talks to a real exchange, which accepts no faults. Run it without credentials (profile sim), or run \"kitestring drill all\": that uses a server of its own.", nil)
			return
		}
		next(w, r)
	}
}

func (s *server) exchangeFault(w http.ResponseWriter, r *http.Request) {
	var f api.ExchangeFault
	if !decodeBody(w, r, &f) || !durationAllowed(w, f.ForMS) {
		return
	}
	if err := s.Exchange.Inject(f.Kind, time.Duration(f.ForMS)*time.Millisecond); err != nil {
		writeError(w, err)
		return
	}
	s.Store.Note("drill", "the simulated exchange: %s", printable(f.Kind, 60))
	writeJSON(w, http.StatusAccepted, f)
}

func (s *server) exchangeLift(w http.ResponseWriter, _ *http.Request) {
	s.Exchange.Lift()
	s.Store.Note("drill", "the simulated exchange behaves again")
	w.WriteHeader(http.StatusNoContent)
}

func (s *server) exchangeRotate(w http.ResponseWriter, r *http.Request) {
	s.Store.Note("drill", "the simulated exchange issues a new token, and another program writes it into the file")
	fingerprint, err := s.Exchange.Rotate(r.Context())
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusAccepted, api.ExchangeRotated{Fingerprint: fingerprint})
}

// profiles are those of net/http/pprof: the list of them, and each by its name.
func (s *server) profiles(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // a profile takes as long as it is asked to
	switch r.PathValue("profile") {
	case "cmdline":
		pprof.Cmdline(w, r)
	case "profile":
		pprof.Profile(w, r)
	case "symbol":
		pprof.Symbol(w, r)
	case "trace":
		pprof.Trace(w, r)
	default:
		pprof.Index(w, r)
	}
}

// trace writes what the flight recorder holds to disk.
func (s *server) trace(w http.ResponseWriter, _ *http.Request) {
	written, err := s.Trace()
	if err != nil {
		writeError(w, err)
		return
	}
	s.Store.Note("actor", "a trace of the last seconds was written on request: %s", written.File)
	writeJSON(w, http.StatusCreated, written)
}

// decodeBody decodes a request's JSON, naming what is wrong with it.
func decodeBody(w http.ResponseWriter, r *http.Request, into any) bool {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil {
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // the body has come; the handler takes its own time
		return true
	}
	var tooLarge *http.MaxBytesError
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &tooLarge):
		writeProblem(w, http.StatusRequestEntityTooLarge, "body too large", "At most 64 KB.", nil)
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		writeProblem(w, http.StatusRequestTimeout, "body too slow", "The body of the request did not come within 5 s.", nil)
	case errors.As(err, &wrong):
		writeProblem(w, http.StatusBadRequest, "wrong type", fmt.Sprintf("Field %s must be a %s, not a %s.", wrong.Field, wrong.Type, wrong.Value), nil)
	default:
		writeProblem(w, http.StatusBadRequest, "body is not the JSON expected", err.Error(), nil)
	}
	return false
}

func writeJSON(w http.ResponseWriter, code int, value any) {
	write(w, code, "application/json", value)
}

// writeList answers a list, as JSON or with format=csv as CSV.
func writeList[T any](w http.ResponseWriter, r *http.Request, list []T) {
	if r.URL.Query().Get("format") != "csv" {
		writeJSON(w, http.StatusOK, orEmpty(list))
		return
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_ = csv.Write(w, list) // the client has gone
}

// allowed refuses a query that the route does not know, naming what it knows: a
// misspelt parameter would otherwise change nothing, without a word.
func (r route) allowed(next http.HandlerFunc) http.HandlerFunc {
	if r.free {
		return next
	}
	queries := r.queries()
	return func(w http.ResponseWriter, req *http.Request) {
		for name, values := range req.URL.Query() {
			may, known := queries[name]
			switch {
			case !known:
				writeProblem(w, http.StatusBadRequest, "unknown parameter", "There is no parameter "+quoted(name)+" here.", slices.Sorted(maps.Keys(queries)))
				return
			case len(values) > 1:
				writeProblem(w, http.StatusBadRequest, "repeated parameter", "The parameter "+name+" stands here more than once.", nil)
				return
			case may != nil && values[0] != "" && !slices.Contains(may, values[0]):
				writeProblem(w, http.StatusBadRequest, "unknown "+name, "The parameter "+name+" is not "+quoted(values[0])+".", may)
				return
			}
		}
		next(w, req)
	}
}

// queries are the parameters with what they may be; nil: anything.
func (r route) queries() map[string][]string {
	if !r.csv {
		return r.query
	}
	all := map[string][]string{"format": {"json", "csv"}}
	maps.Copy(all, r.query)
	return all
}

// writeError answers an error of the tree.
func writeError(w http.ResponseWriter, err error) {
	var name *NameError
	if errors.As(err, &name) {
		writeProblem(w, http.StatusNotFound, "unknown "+name.What, "There is no "+name.What+" "+quoted(name.Name)+".", name.Known)
		return
	}
	writeProblem(w, http.StatusConflict, "not possible now", err.Error(), nil)
}

func writeProblem(w http.ResponseWriter, code int, title, detail string, names []string) {
	write(w, code, "application/problem+json", api.Problem{Type: "about:blank", Title: title, Status: code, Detail: detail, Names: names})
}

func write(w http.ResponseWriter, code int, kind string, value any) {
	data, err := json.Marshal(value)
	if err != nil {
		http.Error(w, "the response could not be encoded: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(append(data, '\n'))
}

// quoted is a word of the client's, made harmless and short.
func quoted(s string) string { return strconv.Quote(printable(s, 60)) }

// printable is a text without control characters, at most length bytes of it.
func printable(s string, length int) string {
	if len(s) > length {
		s = strings.ToValidUTF8(s[:length], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
