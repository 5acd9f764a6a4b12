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
	admin        bool
	summary      string
	handle       http.HandlerFunc
	code         int // of a success
	takes        any // a value of the body's type; nil: no body
	gives        any // a value of a success' type; nil: no JSON
}

func (s *server) table() []route {
	const ok, accepted = http.StatusOK, http.StatusAccepted
	return []route{
		{"GET", "/healthz", false, "200 while the process serves", s.healthz, ok, nil, map[string]string{}},
		{"GET", "/readyz", false, "200 only while the token is valid and the feed live, else 503; the body says which is not", s.readyz, ok, nil, api.Ready{}},
		{"GET", "/metrics", false, "Prometheus exposition", s.Metrics.ServeHTTP, ok, nil, nil},
		{"GET", "/login", false, "sends the browser to Kite's login", s.Login.Login, http.StatusSeeOther, nil, nil},
		{"GET", "/callback", false, "where Kite sends the browser back", s.Login.Callback, http.StatusSeeOther, nil, nil},
		{"GET", "/api/v1/status", false, "one screen: token, feed, actors, market", s.always(func() any { return s.status() }), ok, nil, api.Status{}},
		{"GET", "/api/v1/token", false, "the token's state and who uses which generation", s.always(func() any { return s.token() }), ok, nil, api.Token{}},
		{"GET", "/api/v1/rotations", false, "receipts of the last 100 rotations, newest first", s.always(func() any { return orEmpty(s.Feed.Rotations()) }), ok, nil, []messages.Rotation{}},
		{"GET", "/api/v1/actors", false, "the supervision tree, in its order", s.always(func() any { return orEmpty(s.Tree.Actors()) }), ok, nil, []api.Actor{}},
		{"GET", "/api/v1/actors/{name}", false, "one actor", s.actor, ok, nil, api.Actor{}},
		{"GET", "/api/v1/readings", false, "every reading", s.readings, ok, nil, []messages.Reading{}},
		{"GET", "/api/v1/readings/{underlying}", false, "the readings of an underlying", s.readings, ok, nil, []messages.Reading{}},
		{"GET", "/api/v1/readings/{underlying}/{kind}", false, "one reading", s.reading, ok, nil, messages.Reading{}},
		{"GET", "/api/v1/bars/{underlying}", false, "bars, oldest first; interval=1m|3m|5m|15m, source=index|future", s.bars, ok, nil, []api.Bar{}},
		{"GET", "/api/v1/gaps", false, "blind spans of the feed, newest first", s.always(func() any { return orEmpty(s.Feed.Gaps()) }), ok, nil, []api.Gap{}},
		{"GET", "/api/v1/events", false, "the last 500 events, newest first", s.always(func() any { return orEmpty(s.Board.eventsNewestFirst()) }), ok, nil, []api.Event{}},
		{"GET", "/api/v1/instruments", false, "index, future and option chain of each underlying", s.instruments, ok, nil, []messages.Underlying{}},
		{"GET", "/api/v1/stream", false, "server-sent events; topics=" + strings.Join(topics, ","), s.stream, ok, nil, nil},
		{"GET", "/api/v1/openapi.json", false, "this description", s.openapi, ok, nil, map[string]any{}},
		{"POST", "/api/v1/actors/{name}/restart", true, "restart an actor; reinstates a quarantined one", s.restart, accepted, nil, map[string]string{}},
		{"POST", "/api/v1/chaos", true, "inject a fault into an actor; 202 before it strikes", s.chaos, accepted, api.Chaos{}, api.Chaos{}},
		{"POST", "/api/v1/session", false, "open an admin session of a browser: the admin token for a cookie", s.openSession, http.StatusNoContent, api.AdminSession{}, nil},
		{"POST", "/api/v1/login/start", true, "make a login address", s.startLogin, ok, nil, api.LoginStarted{}},
		{"POST", "/api/v1/login/complete", true, "finish a login with the pasted address or request token", s.completeLogin, ok, api.LoginPasted{}, api.LoginCompleted{}},
		{"POST", "/api/v1/token/validate", true, "ask Kite about the token now", s.validate, accepted, nil, map[string]string{}},
		{"POST", "/api/v1/exchange/faults", true, "sim only: make the simulated exchange misbehave", s.simulated(s.exchangeFault), accepted, api.ExchangeFault{}, api.ExchangeFault{}},
		{"DELETE", "/api/v1/exchange/faults", true, "sim only: make it behave again", s.simulated(s.exchangeLift), http.StatusNoContent, nil, nil},
		{"POST", "/api/v1/exchange/rotate", true, "sim only: kill the token and write a new one into the file", s.simulated(s.exchangeRotate), accepted, nil, api.ExchangeRotated{}},
	}
}

// always answers what ask gives.
func (s *server) always(ask func() any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, ask()) }
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

var intervals = []struct {
	name string
	d    time.Duration
}{{"1m", time.Minute}, {"3m", 3 * time.Minute}, {"5m", 5 * time.Minute}, {"15m", 15 * time.Minute}}

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
			problem(w, http.StatusBadRequest, "unknown interval", "There are no bars of "+quoted(name)+".", []string{"1m", "3m", "5m", "15m"})
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
