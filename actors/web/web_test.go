package web_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"kitestring/actors/actorstest"
	"kitestring/actors/web"
	"kitestring/actors/web/api"
	"kitestring/actors/web/live"
	"kitestring/messages"
	"kitestring/messages/ist"
)

func TestMain(m *testing.M) { actorstest.Main(m) }

// fakes fills the interfaces that the web actor declares.
type fakes struct {
	actors    []api.Actor
	restarted []string
	injected  []string
	stats     live.Stats
	coherent  bool
	validated int
	asked     []string
	untraced  error
	packets   atomic.Uint64
	admin     messages.Secret
}

func (h *fakes) Actors() []api.Actor { return h.actors }

func (h *fakes) Restart(name string) error {
	if name != "feed" {
		return &web.NameError{What: "actor", Name: name, Known: []string{"feed"}}
	}
	h.restarted = append(h.restarted, name)
	return nil
}

func (h *fakes) Reinstate(name string) error { return errors.New("not quarantined") }

func (h *fakes) Inject(name, kind string, d time.Duration) error {
	if name != "feed" {
		return &web.NameError{What: "actor", Name: name, Known: []string{"feed", "auth"}}
	}
	h.injected = append(h.injected, fmt.Sprint(name, " ", kind, " ", d))
	return nil
}

func (h *fakes) Holders() []messages.Holder     { return []messages.Holder{{Actor: "feed", Generation: 2}} }
func (h *fakes) Coherent() bool                 { return h.coherent }
func (h *fakes) Stats() live.Stats              { return h.stats }
func (h *fakes) Rotations() []messages.Rotation { return nil }
func (h *fakes) Gaps() []messages.GapDetected   { return nil }
func (h *fakes) LastTick(uint32) (messages.Tick, bool) {
	return messages.Tick{InstrumentToken: 256265, LastPrice: 2_500_000, Close: 2_475_000, ExchangeTime: 1_700_000_000}, true
}

func (h *fakes) EachInstrument(see func(uint32, messages.Mode, []byte, uint64)) {
	see(256265, messages.ModeLTP, binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 256265), 2_500_000), h.packets.Load())
	see(408065, messages.ModeFull, nil, 0)
}

func (h *fakes) Alerts() api.Alerts {
	now := time.Now()
	return api.Alerts{
		Alerts:   []api.Alert{{Name: "high", Kind: "pcr", Condition: "pcr is above 1.3", Channels: []string{"ntfy"}, Watches: []api.AlertWatch{{Underlying: "NIFTY", LastFiredAt: &now}}}},
		Channels: []string{"ntfy"}, Deliveries: []api.AlertDelivery{{ID: 1, Alert: "high", Channel: "ntfy", Arrived: true, At: now}},
	}
}

func (h *fakes) Test(name string) api.AlertTested {
	h.asked = append(h.asked, "test of "+name)
	return api.AlertTested{ID: 7, Channels: []string{"ntfy"}}
}

func (h *fakes) Login(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "https://kite.example/", http.StatusSeeOther)
}

func (h *fakes) Callback(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (h *fakes) Start() (string, error) { return "https://kite.example/connect/login", nil }

func (h *fakes) Complete(_ context.Context, pasted string) (messages.LoginResult, string) {
	if pasted == "good" {
		return messages.LoginOK, "the token is live"
	}
	return messages.LoginBadState, "this address belongs to another login"
}

type clock struct{}

func (clock) Now() time.Time { return time.Unix(1_700_000_000, 0) }

// open starts a web actor and answers its store and address.
func open(t *testing.T, h *fakes, change ...func(*web.Config)) (*web.Store, *actorstest.Harness, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	store := web.NewStore()
	registry := prometheus.NewRegistry()
	cfg := web.Config{
		Listen: func() (net.Listener, error) { return l, nil },
		Store:  store, Tree: h, Tokens: h, Feed: h, Login: h, Clock: clock{},
		Bars: func(u string, source messages.BarSource, interval time.Duration) ([]messages.Bar, bool) {
			return []messages.Bar{{Underlying: u, Interval: interval, Open: 100, High: 200, Low: 50, Close: 150, Divisor: 100, Start: time.Unix(1_700_000_100, 0)}}, u == "NIFTY"
		},
		Validate: func() { h.validated++ }, AskDirect: func(u string) { h.asked = append(h.asked, u) },
		AskChain: func(u, expiry string) { h.asked = append(h.asked, u+" "+expiry) },
		ChainDay: func(string) []messages.ChainPoint {
			return []messages.ChainPoint{{At: time.Unix(1_700_000_040, 0).UTC(), Expiry: "2023-11-16", PCR: ptr(1.25), Coverage: 1}}
		},
		Reminders: func() api.Reminders {
			return api.Reminders{Channels: []string{"ntfy"}, Warnings: []string{}, Last: []api.ReminderResult{}}
		},
		Alerts:  h,
		Runbook: "# Runbook\n\n## KitestringDown\n\n**Meaning.** It is down.\n\n## Other\n",
		Assumptions: func() []messages.AssumptionStatus {
			return []messages.AssumptionStatus{{Name: "old_socket_lives", Verdict: "open"}}
		},
		Peers: peersFake{},
		Recorded: func(from, _ time.Time, _ int, each func(time.Time, int, []byte) error) error {
			return each(from, 1, []byte{0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 2})
		},
		Trace:   func() (api.Trace, error) { return api.Trace{File: "now.trace", Recorded: []string{}}, h.untraced },
		Metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), Instrument: web.NewMetrics(registry),
		AdminToken: func() messages.Secret { return h.admin }, Profile: "sim",
		DashboardURL: func() string { return "" }, Secrets: func() []messages.Secret { return []messages.Secret{h.admin} },
		Process: api.StatusProcess{ID: 1, StartedAt: time.Now(), Version: "test"},
	}
	for _, c := range change {
		c(&cfg)
	}
	return store, actorstest.Start(t, "web", web.New(cfg)), addr
}

func request(t *testing.T, method, url, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	c := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(data)
}

func TestEveryRouteAnswersWithItsShapeOrAProblem(t *testing.T) {
	h := &fakes{actors: []api.Actor{{Name: "root", Kind: "supervisor"}, {Name: "feed", Kind: "worker", State: "running"}}}
	store, _, addr := open(t, h)
	store.Apply(messages.InstrumentsResolved{Underlyings: []messages.Underlying{{Name: "NIFTY"}}})
	store.Apply(messages.Reading{Kind: "pcr", Underlying: "NIFTY", Status: messages.Active})
	for _, c := range []struct {
		method, path, body string
		code               int
		want               string // part of the answer
	}{
		{"GET", "/healthz", "", 200, `"ok"`},
		{"GET", "/readyz", "", 503, `"ready":false`},
		{"GET", "/metrics", "", 200, "kitestring_sse_clients"},
		{"GET", "/runbook", "", 200, "# Runbook"},
		{"GET", "/runbook/KitestringDown", "", 200, "## KitestringDown\n\n**Meaning.** It is down.\n"},
		{"GET", "/runbook/Moon", "", 404, `"names":["KitestringDown","Other"]`},
		{"GET", "/login", "", 303, ""},
		{"GET", "/callback", "", 303, ""},
		{"GET", "/api/v1/status", "", 200, `"profile":"sim"`},
		{"GET", "/api/v1/token", "", 200, `"holders":[{"actor":"feed"`},
		{"GET", "/api/v1/rotations", "", 200, "[]"},
		{"GET", "/api/v1/actors", "", 200, `"feed"`},
		{"GET", "/api/v1/actors/feed", "", 200, `"running"`},
		{"GET", "/api/v1/actors/nobody", "", 404, `"names":["root","feed"]`},
		{"GET", "/api/v1/readings", "", 200, `"kind":"pcr"`},
		{"GET", "/api/v1/readings/NIFTY", "", 200, `"status":"active"`},
		{"GET", "/api/v1/readings/NIFTY/pcr", "", 200, `"kind":"pcr"`},
		{"GET", "/api/v1/readings/NIFTY/nothing", "", 404, `"names":["pcr"]`},
		{"GET", "/api/v1/readings/DAX", "", 404, `"names":["NIFTY"]`},
		{"GET", "/api/v1/bars/NIFTY?interval=5m&source=future", "", 200, `"close":1.5`},
		{"GET", "/api/v1/bars/NIFTY?interval=7m", "", 400, `"15m"`},
		{"GET", "/api/v1/bars/NIFTY?source=moon", "", 400, `"future"`},
		{"GET", "/api/v1/bars/DAX", "", 404, "DAX"},
		{"GET", "/api/v1/gaps", "", 200, "[]"},
		{"GET", "/api/v1/events", "", 200, "["},
		{"GET", "/api/v1/instruments", "", 200, `"NIFTY"`},
		{"GET", "/api/v1/openapi.json", "", 200, `"openapi":"3.1.0"`},
		{"GET", "/api/v1/stream?topics=weather", "", 400, "weather"},
		{"POST", "/api/v1/actors/feed/restart", "", 202, "feed"},
		{"POST", "/api/v1/actors/nobody/restart", "", 404, `"names"`},
		{"POST", "/api/v1/chaos", `{"actor":"feed","kind":"panic"}`, 202, "panic"},
		{"POST", "/api/v1/chaos", `{"actor":"nobody","kind":"panic"}`, 404, `"names":["feed","auth"]`},
		{"POST", "/api/v1/chaos", `{"actor":7}`, 400, "actor"},
		{"POST", "/api/v1/chaos", `{"actr":"feed"}`, 400, "actr"},
		{"POST", "/api/v1/chaos", `{"actor":"feed","kind":"hang","for_ms":-1}`, 400, "for_ms"},
		{"POST", "/api/v1/chaos", ``, 400, "JSON"},
		{"POST", "/api/v1/login/start", "", 200, "kite.example"},
		{"POST", "/api/v1/login/complete", `{"pasted":"good"}`, 200, `"result":"ok"`},
		{"POST", "/api/v1/login/complete", `{"pasted":"bad"}`, 422, "another login"},
		{"POST", "/api/v1/token/validate", "", 202, "validating"},
		{"POST", "/api/v1/readings/NIFTY/direct", "", 202, "NIFTY"},
		{"POST", "/api/v1/readings/DAX/direct", "", 404, `"names":["NIFTY"]`},
		{"GET", "/api/v1/alerts", "", 200, `"condition":"pcr is above 1.3"`},
		{"POST", "/api/v1/alerts/test", `{"name":"high"}`, 202, `"id":7`},
		{"POST", "/api/v1/alerts/test", `{"name":"moon"}`, 404, `"names":["high"]`},
		{"GET", "/", "", 200, "<!doctype html>"},
		{"GET", "/actors", "", 200, "<!doctype html>"},
		{"GET", "/assets/app.js", "", 200, "EventSource"},
		{"GET", "/assets/../web.go", "", 307, ""},
		{"GET", "/assets/nothing.js", "", 404, "nothing.js"},
		{"GET", "/nothing", "", 404, "/api/v1/status"},
		{"DELETE", "/api/v1/status", "", 405, `"names":["GET"]`},
		{"GET", "/api/v1/chaos", "", 405, `"names":["POST"]`},
		{"PUT", "/api/v1/clients/x", "", 405, `"names":["GET","DELETE"]`},
		{"GET", "/api/v1/status?verbose=1", "", 400, "verbose"},
		{"GET", "/api/v1/bars/NIFTY?intervall=5m", "", 400, `"names":["format","from","interval","limit","source","to"]`},
		{"GET", "/api/v1/bars/NIFTY?interval=5m&interval=1m", "", 400, "more than once"},
		{"GET", "/api/v1/bars/NIFTY?interval=" + strings.Repeat("9", 8<<10), "", 400, `999…`},
		{"GET", "/api/v1/bars/NIFTY?from=2023-11-15T03:45:00%2B05:30&to=2023-11-15T03:45:01%2B05:30", "", 200, `"close":1.5`},
		{"GET", "/api/v1/bars/NIFTY?to=2023-11-15T03:45:00%2B05:30", "", 200, "[]"},
		{"GET", "/api/v1/bars/NIFTY?from=2023-11-16", "", 200, "[]"},
		{"GET", "/api/v1/bars/NIFTY?from=yesterday", "", 400, "a day like"},
		{"GET", "/api/v1/bars/NIFTY?limit=0", "", 400, "from 1 to"},
		{"GET", "/api/v1/bars/NIFTY?limit=1&format=csv", "", 200, "start,open,high,low,close,volume,oi,closed,partial,gapped,backfilled,generation\n2023-11-14T22:15:00Z,1,2,0.5,1.5,0,0,true"},
		{"GET", "/api/v1/ticks?instruments=256265", "", 200, `"last_price":25000`},
		{"GET", "/api/v1/ticks?format=csv", "", 200, "instrument_token,exchange,tradingsymbol,mode,last_price,"},
		{"GET", "/api/v1/ticks?format=xml", "", 400, `"names":["json","csv"]`},
		{"GET", "/api/v1/ticks?instruments=NSE:MOON", "", 404, "NSE:MOON"},
		{"GET", "/api/v1/stream?topics=bar&instruments=256265", "", 400, "topics="},
	} {
		resp, body := request(t, c.method, "http://"+addr+c.path, c.body)
		if resp.StatusCode != c.code || !strings.Contains(body, c.want) {
			t.Errorf("%s %s: %d %s; want %d with %s", c.method, c.path, resp.StatusCode, body, c.code, c.want)
		}
		if resp.StatusCode >= 400 && c.path != "/readyz" && resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: an error of type %s", c.method, c.path, resp.Header.Get("Content-Type"))
		}
		if resp.Header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s %s: no Content-Security-Policy", c.method, c.path)
		}
	}
	if h.validated != 1 || len(h.injected) != 1 || len(h.restarted) != 1 || len(h.asked) != 2 {
		t.Errorf("done: %d validations, %v, %v, %v", h.validated, h.injected, h.restarted, h.asked)
	}
}

func TestDescriptionNamesEveryRoute(t *testing.T) {
	_, _, addr := open(t, &fakes{})
	_, body := request(t, "GET", "http://"+addr+"/api/v1/openapi.json", "")
	var doc struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatal(err)
	}
	// An unknown path answers with the list that is served.
	_, body = request(t, "GET", "http://"+addr+"/nothing", "")
	var p api.Problem
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatal(err)
	}
	for _, name := range p.Names {
		method, path, _ := strings.Cut(name, " ")
		if doc.Paths[path][strings.ToLower(method)] == nil {
			t.Errorf("the description lacks %s", name)
		}
	}
	if len(p.Names) < 20 {
		t.Errorf("only %d routes", len(p.Names))
	}
}

func TestOnlyTheAdminChangesThings(t *testing.T) {
	secret := strings.Repeat("s3cret", 6)
	restart := "/api/v1/actors/feed/restart"
	for _, c := range []struct {
		name, profile, admin string
		headers              []string
		code                 int
	}{
		{"sim, no token set", "sim", "", nil, 202},
		{"live, no token set", "live", "", nil, 403},
		{"sim, token set, none sent", "sim", secret, nil, 401},
		{"live, right token", "live", secret, []string{"Authorization", "Bearer " + secret}, 202},
		{"live, wrong token", "live", secret, []string{"Authorization", "Bearer wrong"}, 401},
		{"from another site's page", "sim", "", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		{"by a rebound name", "sim", "", []string{"Host", "evil.example"}, 421},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, addr := open(t, &fakes{admin: messages.NewSecret(c.admin)}, func(cfg *web.Config) { cfg.Profile = c.profile })
			resp, body := request(t, "POST", "http://"+addr+restart, "", c.headers...)
			if resp.StatusCode != c.code {
				t.Errorf("%d %s, want %d", resp.StatusCode, body, c.code)
			}
			if strings.Contains(body, secret) {
				t.Error("the answer holds the admin token")
			}
		})
	}
	t.Run("guessing is slowed down", func(t *testing.T) {
		_, _, addr := open(t, &fakes{admin: messages.NewSecret(secret)})
		var codes []int
		for range 7 {
			resp, _ := request(t, "POST", "http://"+addr+restart, "", "Authorization", "Bearer wrong")
			codes = append(codes, resp.StatusCode)
		}
		if codes[0] != 401 || codes[6] != 429 {
			t.Errorf("answers to wrong tokens: %v, want 401 first and 429 after five", codes)
		}
	})
}

func TestStatusNamesEveryCause(t *testing.T) {
	fresh := time.Now().Add(time.Hour) // however long it takes to come to a case and its question
	valid := messages.AuthChanged{Adopted: messages.TokenStatus{Generation: 2, State: messages.Valid}}
	with := func(change func(*messages.AuthChanged)) messages.AuthChanged {
		m := valid
		change(&m)
		return m
	}
	streaming := messages.FeedChanged{State: messages.Streaming, Shards: []messages.ShardStatus{{State: messages.Streaming, Generation: 2}}}
	open4 := messages.PhaseChanged{Phase: messages.Open}
	flowing := live.Stats{LastFrame: fresh, LastTick: fresh, TicksPerSecond: 12, Instruments: 3}
	evening := time.Date(2026, 11, 26, 16, 0, 0, 0, ist.Zone)
	rejected := &messages.TokenStatus{Generation: 3, State: messages.Rejected, Fingerprint: "0a1b2c3d", Reason: "yesterday's."}
	for _, c := range []struct {
		name  string
		say   []any
		stats live.Stats
		live  bool
		ready bool
		want  string // what the message is, or begins with where it ends with ...
	}{
		{"nothing yet", nil, live.Stats{}, false, false, "There is no token yet. Log in to begin."},
		{"bad file", []any{messages.AuthChanged{FileFault: "line 3 is cut off."}}, live.Stats{}, false, false, "line 3 is cut off."},
		{"checking", []any{messages.AuthChanged{Candidate: &messages.TokenStatus{Generation: 1}}}, live.Stats{}, false, false, "The token is being checked."},
		{
			"first token refused, and the file is broken by now",
			[]any{messages.AuthChanged{Candidate: &messages.TokenStatus{Generation: 1, State: messages.Rejected, Reason: "yesterday's."}, FileFault: "line 3 is cut off"}, messages.EnvAccepted{Warnings: []string{"the last line has no newline"}}},
			live.Stats{},
			false, false,
			"Kite refuses the token in the file: yesterday's. Log in to continue. The .env file is not used as it is now: line 3 is cut off. In the .env file: the last line has no newline.",
		},
		{
			"token died, and the new one in the file is refused",
			[]any{messages.AuthChanged{Adopted: messages.TokenStatus{Generation: 2, State: messages.Rejected, Reason: "it died today."}, Candidate: rejected}, streaming, open4},
			flowing, false, false,
			"Kite refuses the token: it died today. Log in to continue. The file holds another token (0a1b2c3d), which Kite refuses: yesterday's.",
		},
		{"feed parked", []any{valid, messages.FeedChanged{State: messages.Unauthorised, Reason: "Kite answered 403"}}, live.Stats{}, false, false, "The feed is parked because Kite refused the connection: Kite answered 403."},
		{"mute socket", []any{valid, streaming, open4}, live.Stats{LastFrame: time.Now().Add(-10 * time.Second), LastTick: fresh}, false, false, "No data has come over the feed's socket for 1..."},
		{"closed market", []any{valid, streaming, messages.PhaseChanged{Phase: messages.Closed, At: evening, Next: evening.Add(17 * time.Hour)}}, live.Stats{LastFrame: fresh}, true, true, "Connected. Market closed till Fri 27 Nov 09:00. No ticks expected."},
		{"holiday", []any{valid, streaming, messages.PhaseChanged{Phase: messages.Closed, Holiday: "Holi", At: evening, Next: evening.Add(17 * time.Hour)}}, live.Stats{LastFrame: fresh}, true, true, "Connected. Market closed for Holi till Fri 27 Nov 09:00. No ticks expected."},
		{"pre-open", []any{valid, streaming, messages.PhaseChanged{Phase: messages.Matching, At: evening.Add(-7 * time.Hour), Next: evening.Add(-6*time.Hour - 45*time.Minute)}}, live.Stats{LastFrame: fresh}, true, true, "Connected. Pre-open till 09:15. No ticks expected yet."},
		{"no ticks in an open market", []any{valid, streaming, open4}, live.Stats{LastFrame: fresh}, false, false, "Connected, but no tick arrives although the market is open."},
		{"cached ticks only", []any{valid, streaming, open4}, live.Stats{LastFrame: fresh, LastTick: fresh, NewestTick: clock{}.Now().Add(-18 * time.Hour)}, false, false, "Connected, but no tick of now arrives although the market is open: the newest is of ..."},
		{"live", []any{valid, streaming, open4}, flowing, true, true, "Data is live: 12 ticks/s from 3 instruments."},
		{
			"live on the old token, the file's new one refused and the file broken since",
			[]any{with(func(m *messages.AuthChanged) { m.Candidate, m.FileFault = rejected, "line 3 is cut off" }), streaming, open4},
			flowing, true, true,
			"Data is live: 12 ticks/s from 3 instruments. The .env file is not used as it is now: line 3 is cut off. The file holds another token (0a1b2c3d), which Kite refuses: yesterday's.",
		},
		{
			"an instrument of the configuration is wrong",
			[]any{valid, streaming, open4},
			live.Stats{LastFrame: fresh, LastTick: fresh, Refused: []api.Refusal{{Tradingsymbol: "NFTY", Reason: "no such symbol at NSE"}}},
			true, true,
			"Data is live: the first ticks come from 0 instruments. An instrument is not subscribed: NFTY: no such symbol at NSE.",
		},
		{"one 502 for the profile while the feed streams with the same token", []any{with(func(m *messages.AuthChanged) { m.Adopted.State = messages.Suspect }), streaming, open4}, flowing, true, true, "Data is live..."},
		{"a 502 for the profile while the feed streams with an older token", []any{with(func(m *messages.AuthChanged) { m.Adopted.State, m.Adopted.Generation = messages.Suspect, 3 }), streaming, open4}, flowing, true, false, "Data is live..."},
	} {
		t.Run(c.name, func(t *testing.T) {
			store, _, addr := open(t, &fakes{stats: c.stats})
			for _, m := range c.say {
				store.Apply(m)
			}
			_, body := request(t, "GET", "http://"+addr+"/api/v1/status", "")
			var st api.Status
			if err := json.Unmarshal([]byte(body), &st); err != nil {
				t.Fatal(err)
			}
			begin, open := strings.CutSuffix(c.want, "...")
			if st.Live != c.live || st.Message != c.want && !(open && strings.HasPrefix(st.Message, begin)) {
				t.Errorf("live %t, %q; want %t with %q", st.Live, st.Message, c.live, c.want)
			}
			resp, body := request(t, "GET", "http://"+addr+"/readyz", "")
			if (resp.StatusCode == 200) != c.ready {
				t.Errorf("/readyz: %d %s", resp.StatusCode, body)
			}
		})
	}
}

func TestStreamOpensWithThePresentAndGoesOn(t *testing.T) {
	h := &fakes{}
	store, _, addr := open(t, h)
	store.Apply(messages.Reading{Kind: "pcr", Underlying: "NIFTY", Signal: "first"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+addr+"/api/v1/stream?topics=reading,event", nil)
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	await := func(want string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), want) {
				return
			}
		}
		t.Fatalf("the stream ended before %q: %v", want, lines.Err())
	}
	await(`"signal":"first"`)
	store.Apply(messages.Reading{Kind: "pcr", Underlying: "NIFTY", Signal: "second"})
	await(`"signal":"second"`)
	store.Apply(messages.FuturesRolled{Underlying: "NIFTY", From: messages.Instrument{Tradingsymbol: "A"}, To: messages.Instrument{Tradingsymbol: "B"}})
	await("rolled from A to B")
}

func TestClientThatDoesNotReadIsDroppedAndCounted(t *testing.T) {
	h := &fakes{}
	store, _, addr := open(t, h)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /api/v1/stream?topics=bar HTTP/1.1\r\nHost: %s\r\n\r\n", addr)
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	// From here on the client does not read. Closed bars have no key, so none replaces another.
	deadline := time.Now().Add(time.Minute)
	for {
		for range 1000 {
			store.Apply(messages.BarClosed{Bar: messages.Bar{Underlying: strings.Repeat("x", 500), Divisor: 100}})
		}
		_, body := request(t, "GET", "http://"+addr+"/metrics", "")
		// It is dropped a moment before it is not open any more.
		dropped, gone := strings.Contains(body, "kitestring_sse_dropped_total 1"), strings.Contains(body, "kitestring_sse_clients 0")
		if dropped && gone {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("a client that does not read: dropped %t, gone %t within a minute", dropped, gone)
		}
	}
}

func TestRestartedActorShowsTheSameBoard(t *testing.T) {
	h := &fakes{}
	store := web.NewStore()
	keep := func(cfg *web.Config) { cfg.Store = store }
	_, first, _ := open(t, h, keep)
	first.Tell(messages.Reading{Kind: "pcr", Underlying: "NIFTY", Signal: "kept"})
	deadline := time.Now().Add(20 * time.Second)
	_, second, addr := open(t, h, keep)
	defer second.Stop()
	for {
		_, body := request(t, "GET", "http://"+addr+"/api/v1/readings", "")
		if strings.Contains(body, "kept") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the second incarnation does not show what the first received: %s", body)
		}
	}
}

func TestListenerThatCannotBeHadIsAFailure(t *testing.T) {
	_, h, _ := open(t, &fakes{}, func(cfg *web.Config) {
		cfg.Listen = func() (net.Listener, error) { return nil, errors.New("port in use") }
	})
	deadline := time.Now().Add(20 * time.Second)
	for h.Err() == nil {
		if time.Now().After(deadline) {
			t.Fatal("no failure reported")
		}
		runtime.Gosched()
	}
}

// Data that does not come over REST is in the status with its reason, and on
// the timeline once, until it comes again.
func TestMissingDataIsInStatusAndEvents(t *testing.T) {
	store, _, addr := open(t, &fakes{})
	const what, reason = "history of NIFTY's future", "kite historical: forbidden: status 403: PermissionException: Insufficient permission for that call."
	get := func(path string) string {
		_, body := request(t, "GET", "http://"+addr+path, "")
		return body
	}
	if !strings.Contains(get("/api/v1/status"), `"missing":[]`) {
		t.Error("something is missing at the start")
	}
	for range 3 {
		store.Apply(messages.DataState{What: what, Underlying: "NIFTY", Source: messages.FromFuture, Reason: reason})
	}
	if body := get("/api/v1/status"); strings.Count(body, reason[:len(reason)-1]) < 3 { // in missing, causes and message
		t.Errorf("status: %s", body)
	}
	if n := strings.Count(get("/api/v1/events"), reason); n != 1 {
		t.Errorf("%d events", n)
	}
	store.Apply(messages.DataState{What: what})
	if body := get("/api/v1/status"); !strings.Contains(body, `"missing":[]`) {
		t.Errorf("status: %s", body)
	}
	if body := get("/api/v1/events"); !strings.Contains(body, "future comes again") {
		t.Errorf("events: %s", body)
	}
}

// peersFake is a second server that shares the login.
type peersFake struct{}

func (peersFake) Status() api.Peer {
	return api.Peer{Enrolled: true, Name: "other", Reason: "the peer has not been reached yet"}
}

func (peersFake) Invite(addr string) (api.PeerInvitation, error) {
	return api.PeerInvitation{Code: "ksp1-code", Addr: addr}, nil
}

func (p peersFake) Join(context.Context, string) (api.Peer, error) { return p.Status(), nil }

func (peersFake) Remove() (string, error) { return "other", nil }
