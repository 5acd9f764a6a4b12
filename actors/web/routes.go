package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"kitestring/actors/web/api"
	"kitestring/messages"
)

// route is one line of the API: what /api/v1/openapi.json describes is made of
// the same table, so that the description cannot drift.
type route struct {
	method, path string
	summary      string
	handle       http.HandlerFunc
	shape
}

// shape is what goes in and what comes out.
type shape struct {
	admin bool
	code  int                 // of a success; 0: 200
	takes any                 // a value of the body's type; nil: no body
	gives any                 // a value of a success' type; nil: no JSON
	media string              // of a success that is no JSON
	query map[string][]string // parameters, with what they may be; nil: anything
}

func (s *server) table() []route {
	const accepted, nothing = http.StatusAccepted, http.StatusNoContent
	return []route{
		{"GET", "/healthz", "200 while the process serves", s.healthz, shape{gives: map[string]string{}}},
		{"GET", "/readyz", "200 only while the token is valid and the feed live, else 503; the body says which is not", s.readyz, shape{gives: api.Ready{}}},
		{"GET", "/metrics", "Prometheus exposition", s.Metrics.ServeHTTP, shape{media: "text/plain"}},
		{"GET", "/login", "sends the browser to Kite's login", s.Login.Login, shape{code: http.StatusSeeOther, media: "text/html"}},
		{"GET", "/callback", "where Kite sends the browser back", s.Login.Callback, shape{code: http.StatusSeeOther, media: "text/html"}},
		{"GET", "/api/v1/status", "one screen: token, feed, actors, market", always(s.status), shape{gives: api.Status{}}},
		{"GET", "/api/v1/token", "the token's state and who uses which generation", always(s.token), shape{gives: api.Token{}}},
		{"GET", "/api/v1/rotations", "receipts of the last 100 rotations, newest first", all(s.Feed.Rotations), shape{gives: []messages.Rotation{}}},
		{"GET", "/api/v1/actors", "the supervision tree, in its order", all(s.Tree.Actors), shape{gives: []api.Actor{}}},
		{"GET", "/api/v1/actors/{name}", "one actor", s.actor, shape{gives: api.Actor{}}},
		{"GET", "/api/v1/readings", "every reading; its parameters are those that the configuration chose, of \"kitestring assets print parameters\"", s.readings, shape{gives: []messages.Reading{}}},
		{"GET", "/api/v1/readings/{underlying}", "the readings of an underlying", s.readings, shape{gives: []messages.Reading{}}},
		{"GET", "/api/v1/readings/{underlying}/{kind}", "one reading", s.reading, shape{gives: messages.Reading{}}},
		{"GET", "/api/v1/bars/{underlying}", "bars, oldest first, the running one last", s.bars, shape{gives: []api.Bar{}, query: map[string][]string{"interval": intervalNames(), "source": {"index", "future"}}}},
		{"GET", "/api/v1/gaps", "blind spans of the feed, newest first", all(s.Feed.Gaps), shape{gives: []api.Gap{}}},
		{"GET", "/api/v1/events", "the last 500 events, newest first", all(s.Board.eventsNewestFirst), shape{gives: []api.Event{}}},
		{"GET", "/api/v1/reminders", "who is told that a login is due", always(s.Reminders), shape{gives: api.Reminders{}}},
		{"GET", "/api/v1/instruments", "index, future and option chain of each underlying", s.instruments, shape{gives: []messages.Underlying{}}},
		{"GET", "/api/v1/stream", "server-sent events: what is true now, then each change; topics is a list with commas of " + strings.Join(topics, ", "), s.stream, shape{media: "text/event-stream", query: map[string][]string{"topics": nil}}},
		{"GET", "/api/v1/openapi.json", "this description", s.openapi, shape{gives: map[string]any{}}},
		{"POST", "/api/v1/actors/{name}/restart", "restart an actor; reinstates a quarantined one", s.restart, shape{admin: true, code: accepted, gives: map[string]string{}}},
		{"POST", "/api/v1/chaos", "inject a fault into an actor; answers before it strikes", s.chaos, shape{admin: true, code: accepted, takes: api.Chaos{}, gives: api.Chaos{}}},
		{"POST", "/api/v1/session", "open an admin session of a browser: the admin token for a cookie", s.openSession, shape{code: nothing, takes: api.AdminSession{}}},
		{"POST", "/api/v1/login/start", "make a login address", s.startLogin, shape{admin: true, gives: api.LoginStarted{}}},
		{"POST", "/api/v1/login/complete", "finish a login with the pasted address or request token", s.completeLogin, shape{admin: true, takes: api.LoginPasted{}, gives: api.LoginCompleted{}}},
		{"POST", "/api/v1/readings/{underlying}/direct", "ask Kite over REST now; the answer comes as the reading of kind direct", s.askDirect, shape{admin: true, code: accepted, gives: map[string]string{}}},
		{"POST", "/api/v1/token/validate", "ask Kite about the token now", s.validate, shape{admin: true, code: accepted, gives: map[string]string{}}},
		{"POST", "/api/v1/debug/trace", "write the execution trace of the last seconds into the state directory, once a minute at most", s.trace, shape{admin: true, code: http.StatusCreated, gives: api.Trace{}}},
		{"POST", "/api/v1/exchange/faults", "sim only: make the simulated exchange misbehave", s.simulated(s.exchangeFault), shape{admin: true, code: accepted, takes: api.ExchangeFault{}, gives: api.ExchangeFault{}}},
		{"DELETE", "/api/v1/exchange/faults", "sim only: make it behave again", s.simulated(s.exchangeLift), shape{admin: true, code: nothing}},
		{"POST", "/api/v1/exchange/rotate", "sim only: kill the token and write a new one into the file", s.simulated(s.exchangeRotate), shape{admin: true, code: accepted, gives: api.ExchangeRotated{}}},
	}
}

// always answers what ask gives.
func always[T any](ask func() T) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, ask()) }
}

// all answers a list, [] when there is nothing.
func all[T any](ask func() []T) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, orEmpty(ask())) }
}

// pages are the addresses of the dashboard's pages; each is the same document.
var pages = []string{"/{$}", "/analyses", "/actors", "/events", "/drills"}

func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.table() {
		h := r.handle
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
	mux.HandleFunc("GET /debug/pprof/{profile...}", s.Instrument.timed("/debug/pprof", s.admin.admit(s.profiles)))
	mux.HandleFunc("GET /assets/{file}", s.Instrument.timed("/assets", asset))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		problem(w, http.StatusNotFound, "no such page", "There is nothing at "+quoted(r.URL.Path)+" for "+r.Method+".", s.paths())
	})
	return s.guard(mux)
}

func (s *server) paths() []string {
	var paths []string
	for _, r := range s.table() {
		paths = append(paths, r.method+" "+r.path)
	}
	return paths
}

func (s *server) healthz(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]string{"status": "ok"})
}

func (s *server) readyz(w http.ResponseWriter, _ *http.Request) {
	ready := s.ready()
	code := http.StatusOK
	if !ready.Ready {
		code = http.StatusServiceUnavailable
	}
	answer(w, code, ready)
}

func (s *server) actor(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	all := s.Tree.Actors()
	names := make([]string, len(all))
	for i, a := range all {
		if a.Name == name {
			answer(w, http.StatusOK, a)
			return
		}
		names[i] = a.Name
	}
	failed(w, &NameError{What: "actor", Name: name, Known: names})
}

func (s *server) readings(w http.ResponseWriter, r *http.Request) {
	u := r.PathValue("underlying")
	found := s.Board.readingsOf(u, "")
	if u != "" && len(found) == 0 && !contains(s.Board.underlyingNames(), u) {
		failed(w, &NameError{What: "underlying", Name: u, Known: s.Board.underlyingNames()})
		return
	}
	answer(w, http.StatusOK, found)
}

func (s *server) reading(w http.ResponseWriter, r *http.Request) {
	u, kind := r.PathValue("underlying"), r.PathValue("kind")
	if found := s.Board.readingsOf(u, kind); len(found) == 1 {
		answer(w, http.StatusOK, found[0])
		return
	}
	var kinds []string
	for _, rd := range s.Board.readingsOf(u, "") {
		kinds = append(kinds, rd.Kind)
	}
	if kinds == nil {
		failed(w, &NameError{What: "underlying", Name: u, Known: s.Board.underlyingNames()})
		return
	}
	failed(w, &NameError{What: "kind of reading", Name: kind, Known: kinds})
}

func (s *server) askDirect(w http.ResponseWriter, r *http.Request) {
	u := r.PathValue("underlying")
	if known := s.Board.underlyingNames(); !contains(known, u) {
		failed(w, &NameError{What: "underlying", Name: u, Known: known})
		return
	}
	s.AskDirect(u)
	answer(w, http.StatusAccepted, map[string]string{"asking": "Kite about " + u + "; see /api/v1/readings/" + u + "/direct"})
}

var intervals = []struct {
	name string
	d    time.Duration
}{{"1m", time.Minute}, {"3m", 3 * time.Minute}, {"5m", 5 * time.Minute}, {"15m", 15 * time.Minute}}

func intervalNames() []string {
	names := make([]string, len(intervals))
	for i, in := range intervals {
		names[i] = in.name
	}
	return names
}

func intervalName(d time.Duration) string { return strconv.Itoa(int(d/time.Minute)) + "m" }

func (s *server) bars(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	interval, source := 5*time.Minute, messages.FromIndex
	if name := q.Get("interval"); name != "" {
		at := slices.IndexFunc(intervals, func(i struct {
			name string
			d    time.Duration
		},
		) bool {
			return i.name == name
		})
		if at < 0 {
			problem(w, http.StatusBadRequest, "unknown interval", "There are no bars of "+quoted(name)+".", intervalNames())
			return
		}
		interval = intervals[at].d
	}
	switch q.Get("source") {
	case "", "index":
	case "future":
		source = messages.FromFuture
	default:
		problem(w, http.StatusBadRequest, "unknown source", "Bars are made of the index or of the future, not of "+quoted(q.Get("source"))+".", []string{"index", "future"})
		return
	}
	u := r.PathValue("underlying")
	closed, ok := s.Bars(u, source, interval)
	if !ok {
		failed(w, &NameError{What: "underlying", Name: u, Known: s.Board.underlyingNames()})
		return
	}
	bars := make([]api.Bar, 0, len(closed)+1)
	for _, b := range closed {
		bars = append(bars, apiBar(b, true))
	}
	s.Board.mu.RLock()
	running, ok := s.Board.running[series{u, source, interval}]
	s.Board.mu.RUnlock()
	if ok && (len(closed) == 0 || running.Start.After(closed[len(closed)-1].Start)) {
		bars = append(bars, apiBar(running, false))
	}
	answer(w, http.StatusOK, bars)
}

func apiBar(b messages.Bar, closed bool) api.Bar {
	return api.Bar{
		Start: b.Start.UTC(), Open: b.Price(b.Open), High: b.Price(b.High), Low: b.Price(b.Low), Close: b.Price(b.Close),
		Volume: b.Volume, OI: b.OI, Closed: closed, Partial: b.Partial, Gapped: b.Gapped, Backfilled: b.Backfilled, Generation: b.Generation,
	}
}

func (s *server) instruments(w http.ResponseWriter, _ *http.Request) {
	s.Board.mu.RLock()
	underlyings := s.Board.underlyings
	s.Board.mu.RUnlock()
	answer(w, http.StatusOK, orEmpty(underlyings))
}

func (s *server) restart(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	do := s.Tree.Restart
	for _, a := range s.Tree.Actors() {
		if a.Name == name && a.State == "quarantined" {
			do = s.Tree.Reinstate
		}
	}
	s.Board.Note("actor", "restart of %s requested", printable(name))
	if err := do(name); err != nil {
		failed(w, err)
		return
	}
	answer(w, http.StatusAccepted, map[string]string{"restarting": name})
}

func (s *server) chaos(w http.ResponseWriter, r *http.Request) {
	var c api.Chaos
	if !body(w, r, &c) {
		return
	}
	if !spanAllowed(w, c.ForMS) {
		return
	}
	if err := s.Tree.Inject(c.Actor, c.Kind, time.Duration(c.ForMS)*time.Millisecond); err != nil {
		failed(w, err)
		return
	}
	s.Board.Note("actor", "fault %s injected into %s", c.Kind, c.Actor)
	answer(w, http.StatusAccepted, c)
}

func spanAllowed(w http.ResponseWriter, ms int64) bool {
	if ms < 0 || ms > int64(time.Hour/time.Millisecond) {
		problem(w, http.StatusBadRequest, "for_ms out of range", "for_ms is between 0 (the kind's default) and 3600000 (an hour).", nil)
		return false
	}
	return true
}

func (s *server) startLogin(w http.ResponseWriter, _ *http.Request) {
	u, err := s.Login.Start()
	if err != nil {
		problem(w, http.StatusConflict, "login not possible", err.Error(), nil)
		return
	}
	answer(w, http.StatusOK, api.LoginStarted{LoginURL: u})
}

func (s *server) completeLogin(w http.ResponseWriter, r *http.Request) {
	var in api.LoginPasted
	if !body(w, r, &in) {
		return
	}
	result, reason := s.Login.Complete(r.Context(), in.Pasted)
	if result != messages.LoginOK {
		problem(w, http.StatusUnprocessableEntity, "login "+string(result), reason, nil)
		return
	}
	answer(w, http.StatusOK, api.LoginCompleted{Result: result, Reason: reason})
}

func (s *server) validate(w http.ResponseWriter, _ *http.Request) {
	s.Validate()
	answer(w, http.StatusAccepted, map[string]string{"validating": "the token; see /api/v1/token"})
}

// body decodes a request's JSON, naming what is wrong with it.
func body(w http.ResponseWriter, r *http.Request, into any) bool {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil {
		return true
	}
	var tooLarge *http.MaxBytesError
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &tooLarge):
		problem(w, http.StatusRequestEntityTooLarge, "body too large", "At most 64 KB.", nil)
	case errors.As(err, &wrong):
		problem(w, http.StatusBadRequest, "wrong type", fmt.Sprintf("Field %s must be a %s, not a %s.", wrong.Field, wrong.Type, wrong.Value), nil)
	default:
		problem(w, http.StatusBadRequest, "body is not the JSON expected", err.Error(), nil)
	}
	return false
}

func answer(w http.ResponseWriter, code int, value any) {
	data, err := json.Marshal(value)
	if err != nil {
		problem(w, http.StatusInternalServerError, "answer could not be encoded", err.Error(), nil)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(append(data, '\n'))
}

// failed answers an error of the tree.
func failed(w http.ResponseWriter, err error) {
	var name *NameError
	if errors.As(err, &name) {
		problem(w, http.StatusNotFound, "unknown "+name.What, "There is no "+name.What+" "+quoted(name.Name)+".", name.Known)
		return
	}
	problem(w, http.StatusConflict, "not possible now", err.Error(), nil)
}

func problem(w http.ResponseWriter, code int, title, detail string, names []string) {
	data, _ := json.Marshal(api.Problem{Type: "about:blank", Title: title, Status: code, Detail: detail, Names: names})
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(append(data, '\n'))
}

func contains(list []string, s string) bool { return slices.Contains(list, s) }

// quoted is a word of the client's, made harmless and short.
func quoted(s string) string { return strconv.Quote(printable(s)) }

func printable(s string) string {
	if len(s) > 60 {
		s = s[:60] + "…"
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
