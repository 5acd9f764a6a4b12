package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/lmittmann/tint"

	"kitestring/actors/simulator"
	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/messages/ist"
	"kitestring/supervisor/tree"
)

// canaryDay is a server that holds known secrets only, and everything that it
// has ever said.
type canaryDay struct {
	t       *testing.T
	secrets canaries
	dir     string
	env     string
	environ map[string]string // of the process
	admin   string
	config  tree.Config
	server  *tree.Server
	http    *http.Client

	calls              atomic.Int64 // of the person's phone
	text, json, colour safeBuffer   // the log at every level, as three handlers print it
	sse                safeBuffer
	messages           tally
	mu                 sync.Mutex
	seen               map[string][]byte // what else was said, by where
}

// TestNoSecretLeavesTheServer lives through a day in which every secret is used
// and nearly everything goes wrong, and then looks for the secrets in whatever
// a person, a scraper or a debugger could read. The .env file alone holds them.
func TestNoSecretLeavesTheServer(t *testing.T) {
	leftOutByShort(t)
	t.Parallel()
	d := newCanaryDay(t)
	d.open()
	d.streamed()
	d.logged("token rejected", 1) // what stood in the file at the start
	d.look("with a rejected token")
	d.abuseLogin()
	d.login()
	d.live()
	d.look("in the morning")
	d.rotate()
	d.troubleREST()
	d.troubleSockets()
	d.panics()
	d.night()
	d.commands()
	d.look("at the end")
	d.stop()
	d.deadAddresses()
	d.print()
	d.verdict()
}

func newCanaryDay(t *testing.T) *canaryDay {
	d := &canaryDay{
		t: t, dir: t.TempDir(), seen: map[string][]byte{}, messages: tally{count: map[string]int{}},
		http: &http.Client{
			Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	d.env = filepath.Join(d.dir, ".env")
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(lastLines(d.text.String(), 15))
		}
	})
	s := &d.secrets
	s.add("API secret", tree.SimAPISecret)
	d.admin = s.fresh("admin token", 40)
	d.environ = map[string]string{
		"ZERODHA_ACCESS_TOKEN": s.fresh("access token of the environment", 32),
		"ZERODHA_API_SECRET":   s.fresh("API secret of the environment", 32),
		"ADMIN_TOKEN":          s.fresh("admin token of the environment", 40),
		"NTFY_TOKEN":           s.fresh("ntfy token of the environment", 32),
	}
	// Reminders go to a server with bad answers, and to an address where none is.
	phone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		codes := []int{http.StatusInternalServerError, http.StatusUnauthorized, http.StatusOK, http.StatusFound, http.StatusTooManyRequests}
		w.Header().Set("Location", r.URL.String())
		w.WriteHeader(codes[int(d.calls.Add(1)-1)%len(codes)])
		_, _ = fmt.Fprintf(w, "%s %s %s", r.URL, r.Header.Get("Authorization"), r.Host)
	}))
	t.Cleanup(phone.Close)
	content := strings.Join([]string{
		"KITESTRING_PROFILE=sim",
		"ADMIN_TOKEN=" + d.admin,
		"ZERODHA_ACCESS_TOKEN=" + s.fresh("duplicated access token", 32),
		"NTFY_URL=" + phone.URL + "/" + s.fresh("ntfy topic", 32),
		"NTFY_TOKEN=" + s.fresh("ntfy token", 32),
		"TELEGRAM_BOT_TOKEN=123456789:" + s.fresh("bot token", 35),
		"TELEGRAM_CHAT_ID=" + s.add("chat", "-1009182736450918273"),
		"TELEGRAM_API_URL=http://127.0.0.1:1/" + s.fresh("Bot API path", 24),
		"WEBHOOK_URL=" + phone.URL + "/" + s.fresh("webhook path", 32) + "?key=" + s.fresh("webhook key", 24),
		"WEBHOOK_TOKEN=" + s.fresh("webhook token", 32),
		"WEBHOOK_SECRET=" + s.fresh("webhook secret", 32),
		"a line that is none " + s.fresh("password on a junk line", 24),
		"KITESTRING_PROFILE sim " + s.fresh("password after a forgotten =", 24),
		"ZERODHA_ACCESS_TOKEN=" + s.fresh("access token at the start", 32),
	}, "\n") + "\n"
	if err := os.WriteFile(d.env, []byte(content), 0o644); err != nil { // too open: a warning
		t.Fatal(err)
	}
	debug := &slog.HandlerOptions{Level: slog.LevelDebug - 4, AddSource: true}
	d.config = tree.Config{
		EnvFile: d.env, StateDir: filepath.Join(d.dir, "state"), Addr: "127.0.0.1:0", GatewayAddr: "127.0.0.1:0", Profile: "sim", Version: "canary",
		Getenv: func(key string) string { return d.environ[key] },
		Log: slog.New(slog.NewMultiHandler(slog.NewTextHandler(&d.text, debug), slog.NewJSONHandler(&d.json, debug),
			tint.NewTextHandler(&d.colour, &tint.Options{Level: debug.Level, AddSource: true}), &d.messages)),
		Sim: tree.SimConfig{
			Addr: "127.0.0.1:0", Seed: 1, Speed: 1, Rate: 300, ManualLogin: true,
			Start: time.Date(2026, time.July, 14, 9, 20, 0, 0, ist.Zone), // a Tuesday
		},
	}
	return d
}

func (d *canaryDay) open() {
	d.t.Helper()
	server, err := tree.Open(d.t.Context(), d.config)
	if err != nil {
		d.t.Fatal(err)
	}
	d.server = server
	d.config.Addr, d.config.Sim.Addr = server.Addr(), server.SimAddr()
	d.t.Cleanup(d.stop)
}

func (d *canaryDay) stop() {
	if d.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := d.server.Stop(ctx); err != nil {
		d.t.Error(err)
	}
	d.say("the stopped server", fmt.Appendf(nil, "%v %+v %#v", d.server, d.server, d.server))
	d.server = nil
}

// say keeps an output.
func (d *canaryDay) say(where string, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen[where] = append(append(d.seen[where], data...), '\n')
}

// logged waits until a message stands in the log n times.
func (d *canaryDay) logged(message string, n int) {
	d.t.Helper()
	eventually(d.t, time.Minute, fmt.Sprintf("the log says %d times %q", n, message), func() (bool, string) {
		return d.times(message) >= n, ""
	})
}

func (d *canaryDay) times(message string) int { return d.messages.of(message) }

// tally is a handler that counts messages.
type tally struct {
	mu    sync.Mutex
	count map[string]int
}

func (c *tally) of(message string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count[message]
}

func (c *tally) Handle(_ context.Context, r slog.Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count[r.Message]++
	return nil
}

func (c *tally) Enabled(context.Context, slog.Level) bool { return true }
func (c *tally) WithAttrs([]slog.Attr) slog.Handler       { return c }
func (c *tally) WithGroup(string) slog.Handler            { return c }

// ask makes a request as an admin and keeps the answer, head and body. What
// the address itself says is the exchange's and the server's to give to the browser.
func (d *canaryDay) ask(method, path string, body any) (*http.Response, []byte) {
	d.t.Helper()
	return d.askAs("Bearer "+d.admin, method, path, body)
}

func (d *canaryDay) askAs(authorization, method, path string, body any) (*http.Response, []byte) {
	d.t.Helper()
	return d.askWith(d.http, authorization, method, path, body)
}

// askElsewhere asks from another address: after five wrong admin tokens an
// address is refused for a while, whatever it sends.
func (d *canaryDay) askElsewhere(authorization, method, path string, body any) {
	d.t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	transport := &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}
	d.askWith(&http.Client{Transport: transport, Timeout: 10 * time.Second}, authorization, method, path, body)
}

func (d *canaryDay) askWith(client *http.Client, authorization, method, path string, body any) (*http.Response, []byte) {
	d.t.Helper()
	var payload io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		payload = strings.NewReader(b)
	default:
		payload = bytes.NewReader(must(json.Marshal(b)))
	}
	req, err := http.NewRequest(method, "http://"+d.server.Addr()+path, payload)
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Authorization", authorization)
	resp, err := client.Do(req)
	if err != nil {
		d.say(path, []byte(err.(*url.Error).Err.Error())) // the client's own, without its URL
		return nil, nil
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Errorf("%s: %v", path, err)
	}
	head := resp.Header.Clone()
	for _, c := range resp.Cookies() {
		d.secrets.add("admin session", c.Value)
		head.Del("Set-Cookie")
	}
	bare, _, _ := strings.Cut(path, "?")
	d.say(method+" "+bare, fmt.Appendf(nil, "%s %v\n%s", resp.Status, head, data))
	return resp, data
}

func (d *canaryDay) get(path string, into any) error {
	resp, data := d.ask(http.MethodGet, path, nil)
	if resp == nil {
		return errors.New("no answer")
	}
	return api.Decode(data, into)
}

// streamed keeps the stream of events, over restarts of the web actor.
func (d *canaryDay) streamed() {
	ctx, cancel := context.WithCancel(context.Background())
	addr := d.server.Addr()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/api/v1/stream", nil)
			resp, err := client.Do(req)
			if err != nil { // the web actor restarts: no reason to take its processor
				select {
				case <-ctx.Done():
				case <-time.After(10 * time.Millisecond):
				}
				continue
			}
			_, _ = io.Copy(&d.sse, resp.Body)
			resp.Body.Close()
		}
	}()
	d.t.Cleanup(func() { cancel(); <-done })
}

// look reads everything that the server shows at the moment.
func (d *canaryDay) look(when string) {
	d.t.Helper()
	var description struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := d.get("/api/v1/openapi.json", &description); err != nil {
		d.t.Fatal(err)
	}
	routes := 0
	for path, methods := range description.Paths {
		if _, reads := methods["get"]; !reads || path == "/login" || path == "/callback" || path == "/api/v1/stream" {
			continue
		}
		routes++
		for _, underlying := range []string{"NIFTY", "moon"} { // the second is a problem+json
			d.ask(http.MethodGet, strings.NewReplacer("{name}", "auth", "{underlying}", underlying, "{kind}", "pcr").Replace(path), nil)
		}
	}
	if routes < 15 {
		d.t.Errorf("%d routes looked at", routes)
	}
	for _, path := range []string{"/", "/analyses", "/actors", "/events", "/drills", "/moon", "/callback?error=1"} {
		_, page := d.ask(http.MethodGet, path, nil)
		for _, asset := range regexp.MustCompile(`/assets/[\w.-]+`).FindAll(page, -1) {
			if _, looked := d.seen["GET "+string(asset)]; !looked { // it never changes
				d.ask(http.MethodGet, string(asset), nil)
			}
		}
	}
	d.askElsewhere("Bearer "+d.secrets.fresh("wrong admin token", 40), http.MethodPost, "/api/v1/token/validate", nil)
	d.ask(http.MethodPost, "/api/v1/login/complete", `{"pasted":`)
	d.ask(http.MethodPost, "/api/v1/chaos", api.Chaos{Actor: "moon", Kind: "panic"})
	d.ask(http.MethodPost, "/api/v1/session", api.AdminSession{AdminToken: d.admin})
	d.askElsewhere("", http.MethodPost, "/api/v1/session", api.AdminSession{AdminToken: d.environ["ADMIN_TOKEN"]})
	d.asProgram(when)
	d.say("goroutines "+when, []byte(stacks()))
}

// glance reads what a fault of the exchange reaches. A look at everything takes
// seconds; it comes at the turns of the day.
func (d *canaryDay) glance() {
	d.t.Helper()
	for _, path := range []string{"/api/v1/status", "/api/v1/events", "/api/v1/token", "/api/v1/rotations", "/api/v1/actors", "/api/v1/readings", "/readyz", "/metrics"} {
		d.ask(http.MethodGet, path, nil)
	}
}

// asProgram reads what a program gets of the gateway: REST answers with their
// headers, and the messages of a socket.
func (d *canaryDay) asProgram(when string) {
	d.t.Helper()
	gateway := d.server.GatewayAddr()
	wrong := tree.DemoKey
	if when == "in the morning" { // five a minute would shut this address out
		wrong = d.secrets.fresh("wrong key of a program", 32)
	}
	for _, c := range []struct{ key, method, path string }{
		{tree.DemoKey, http.MethodGet, "/user/profile"},
		{tree.DemoKey, http.MethodGet, "/orders"},
		{tree.DemoKey, http.MethodGet, "/quote?i=NSE:NIFTY+50"},
		{tree.DemoKey, http.MethodPost, "/orders/regular"},
		{tree.DemoKey, http.MethodGet, "/moon"},
		{wrong, http.MethodGet, "/user/profile"},
	} {
		req, err := http.NewRequestWithContext(d.t.Context(), c.method, "http://"+gateway+c.path, nil)
		if err != nil {
			d.t.Fatal(err)
		}
		req.Header.Set("Authorization", "token demo:"+c.key)
		resp, err := d.http.Do(req)
		if err != nil {
			d.t.Fatal(err)
		}
		answer, err := httputil.DumpResponse(resp, true)
		_ = resp.Body.Close()
		if err != nil {
			d.t.Fatal(err)
		}
		d.say("gateway "+c.method+" "+c.path+" "+when, answer)
	}
	conn, resp, err := websocket.DefaultDialer.DialContext(d.t.Context(), "ws://"+gateway+"/?api_key=demo&access_token="+tree.DemoKey, nil)
	if err != nil {
		d.t.Fatalf("%v: %+v", err, resp)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"a":"mode","v":["full",[256265]]}`)); err != nil {
		d.t.Fatal(err)
	}
	var got []byte
	for range 3 {
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		_, data, err := conn.ReadMessage()
		if err != nil {
			d.t.Fatal(err)
		}
		got = append(got, data...)
	}
	d.say("gateway socket "+when, got)
}

// stacks is what every goroutine does, in all forms in which a process shows it.
func stacks() string {
	var out bytes.Buffer
	buf := make([]byte, 8<<20)
	out.Write(buf[:runtime.Stack(buf, true)])
	for _, debug := range []int{1, 2} {
		_ = pprof.Lookup("goroutine").WriteTo(&out, debug)
	}
	return out.String()
}

// consent presses a button on the exchange's page; it answers where the
// browser is sent back to.
func (d *canaryDay) consent(button string) *url.URL {
	d.t.Helper()
	var started api.LoginStarted
	resp, data := d.ask(http.MethodPost, "/api/v1/login/start", nil)
	if resp == nil || json.Unmarshal(data, &started) != nil {
		d.t.Fatalf("no login begins: %s", data)
	}
	at, err := url.Parse(started.LoginURL)
	if err != nil {
		d.t.Fatal(err)
	}
	answer, err := d.http.PostForm("http://"+d.server.SimAddr()+"/connect/login", url.Values{
		"api_key": {tree.SimAPIKey}, "redirect_params": {at.Query().Get("redirect_params")}, "answer": {button},
	})
	if err != nil {
		d.t.Fatal(err)
	}
	answer.Body.Close()
	back, err := answer.Location()
	if err != nil {
		d.t.Fatal(err)
	}
	if request := d.secrets.add("request token", back.Query().Get("request_token")); request != "" {
		sum := sha256.Sum256([]byte(tree.SimAPIKey + request + tree.SimAPISecret))
		d.secrets.add("checksum of a login", hex.EncodeToString(sum[:]))
	}
	return back
}

// come is the browser coming back.
func (d *canaryDay) come(back *url.URL) { d.ask(http.MethodGet, back.RequestURI(), nil) }

func (d *canaryDay) abuseLogin() {
	d.t.Helper()
	with := func(back *url.URL, key, value string) *url.URL {
		query := back.Query()
		query.Set(key, value)
		return &url.URL{Path: back.Path, RawQuery: query.Encode()}
	}
	d.come(d.consent("cancel"))
	d.come(with(d.consent("approve"), "state", d.secrets.fresh("wrong state", 43)))
	d.come(with(d.consent("approve"), "request_token", d.secrets.fresh("request token of somebody else", 32)))
	d.come(with(d.consent("approve"), "request_token", d.secrets.fresh("request token with a mark", 30)+"/+"))
	d.come(with(d.consent("approve"), "status", d.secrets.fresh("status", 24)))
	d.come(&url.URL{Path: "/callback", RawQuery: "status=success&request_token=" + d.secrets.fresh("request token without a state", 32) + "&a=%zz"})
	back := d.consent("approve")
	for _, f := range []simulator.Fault{
		{Kind: simulator.FaultChecksum, Count: 1},
		{Kind: simulator.FaultRESTRefuse, Path: "/session", Count: 1},
		{Kind: simulator.FaultRESTBadGateway, Path: "/session", Count: 1},
		{Kind: simulator.FaultRESTError, Path: "/session", Count: 1, Status: 403, ErrorType: "TokenException", Message: "request token " + back.Query().Get("request_token") + " of " + tree.SimAPISecret + " is spent"},
	} {
		d.fault(f)
		d.come(back)
		d.lift(f.Kind)
		back = d.consent("approve")
	}
	paste := func(pasted string) { d.ask(http.MethodPost, "/api/v1/login/complete", api.LoginPasted{Pasted: pasted}) }
	paste("https://example.com/?access_token=" + d.secrets.fresh("pasted access token", 32))
	paste("nothing " + d.secrets.fresh("pasted nonsense", 32))
	paste(d.secrets.fresh("pasted request token of nobody", 32))
	// The request token of a good login, broken, so that it stays unused.
	paste(back.String() + "#" + d.secrets.fresh("pasted fragment", 32) + "%zz")
}

// login does a login to its end, comes once more, and keeps the new token.
func (d *canaryDay) login() {
	d.t.Helper()
	back := d.consent("approve")
	d.come(back)
	d.come(back)
	d.keepToken()
}

// keepToken notes the token that stands in the file.
func (d *canaryDay) keepToken() string {
	d.t.Helper()
	data, err := os.ReadFile(d.env)
	if err != nil {
		d.t.Fatal(err)
	}
	value := ""
	for line := range strings.Lines(string(data)) {
		if v := tokenLine(line); v != "" {
			value = strings.Trim(v, `'"`)
			d.secrets.add("access token", value)
		}
	}
	return value
}

func (d *canaryDay) live() {
	d.t.Helper()
	eventually(d.t, time.Minute, "the server is live and coherent", func() (bool, string) {
		var ready api.Ready
		var token api.Token
		if err := errors.Join(d.get("/readyz", &ready), d.get("/api/v1/token", &token)); err != nil {
			return false, err.Error()
		}
		return ready.Ready && token.Coherent, fmt.Sprintf("%+v, holders %+v", ready, token.Holders)
	})
}

// write puts a line for the token at the end of the file, by rename.
func (d *canaryDay) write(line string) {
	d.t.Helper()
	data, err := os.ReadFile(d.env)
	if err == nil {
		var lines []string
		for l := range strings.Lines(string(data)) {
			if !strings.HasPrefix(l, "ZERODHA_ACCESS_TOKEN") {
				lines = append(lines, l)
			}
		}
		err = errors.Join(os.WriteFile(d.env+".new", []byte(strings.Join(lines, "")+line+"\n"), 0o600), os.Rename(d.env+".new", d.env))
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// move makes the exchange issue a token, writes it and waits for it.
func (d *canaryDay) move() {
	d.t.Helper()
	d.issue()
	d.live()
}

func (d *canaryDay) issue() {
	d.t.Helper()
	token, err := d.server.Exchange().Rotate()
	if err != nil {
		d.t.Fatal(err)
	}
	d.write("ZERODHA_ACCESS_TOKEN=" + d.secrets.add("access token", token.Reveal()))
	eventually(d.t, time.Minute, "the new token is adopted", func() (bool, string) {
		var now api.Token
		err := d.get("/api/v1/token", &now)
		return err == nil && now.Fingerprint == token.Fingerprint(), fmt.Sprintf("%+v %v", now, err)
	})
}

func (d *canaryDay) rotate() {
	d.t.Helper()
	yesterday := d.keepToken()
	d.move()
	d.move()
	rejected := d.times("token rejected")
	d.write("ZERODHA_ACCESS_TOKEN=" + yesterday)
	d.logged("token rejected", rejected+1)
	d.write("ZERODHA_ACCESS_TOKEN=" + d.secrets.fresh("garbage token", 32))
	d.logged("token rejected", rejected+2)
	d.glance()
	for _, broken := range []string{
		"ZERODHA_ACCESS_TOKEN='" + d.secrets.fresh("token without an end", 32),
		"ZERODHA_ACCESS_TOKEN=\"" + d.secrets.fresh("token with a blank", 24) + " x+/y\"",
		"ZERODHA_ACCESS_TOKEN=http://127.0.0.1/callback?request_token=" + d.secrets.fresh("address instead of a token", 32) + "&status=success",
	} {
		n := d.times("env file rejected")
		d.write(broken)
		d.logged("env file rejected", n+1)
	}
	d.look("with a broken file")
	d.move()
}

func (d *canaryDay) fault(f simulator.Fault) {
	d.t.Helper()
	if err := d.server.Exchange().InjectFault(f); err != nil {
		d.t.Fatal(err)
	}
}

func (d *canaryDay) lift(kind simulator.FaultKind) { d.server.Exchange().ClearFaults(kind) }

// troubleREST lets every kind of bad answer meet a new token; one of them
// sends the token back.
func (d *canaryDay) troubleREST() {
	d.t.Helper()
	for _, f := range []simulator.Fault{
		{Kind: simulator.FaultRESTRefuse},
		{Kind: simulator.FaultRESTBadGateway},
		{Kind: simulator.FaultRESTError, Status: 400, ErrorType: "InputException", Message: "token " + tree.SimAPIKey + ":" + d.keepToken() + " access_token=" + url.QueryEscape(d.keepToken())},
	} {
		n := d.times("profile check failed")
		d.fault(f)
		d.issue() // a frame proves it
		d.logged("profile check failed", n+1)
		d.ask(http.MethodPost, "/api/v1/token/validate", nil)
		d.ask(http.MethodPost, "/api/v1/actors/instruments/restart", nil) // asks for its file again
		if f.Kind == simulator.FaultRESTError {
			d.look("without REST: " + string(f.Kind))
		}
		d.glance()
		d.lift(f.Kind)
		d.live()
	}
}

// troubleSockets lets dials fail, and a socket send the token back.
func (d *canaryDay) troubleSockets() {
	d.t.Helper()
	refused := func() (n int64) {
		for _, count := range d.server.Exchange().State().Upgrades.Refused {
			n += count
		}
		return n
	}
	for _, f := range []simulator.Fault{
		{Kind: simulator.FaultForbidden}, {Kind: simulator.FaultServerError}, {Kind: simulator.FaultTooMany},
	} {
		before := refused()
		d.fault(f)
		d.issue() // the profile proves it
		eventually(d.t, time.Minute, "an upgrade is refused", func() (bool, string) { return refused() > before, "" })
		d.glance()
		d.lift(f.Kind)
		d.move() // a new token does not wait for what the old one waits for
	}
	for i, variant := range simulator.EchoVariants() { // the request line, token and all, comes back
		before := refused()
		d.fault(simulator.Fault{Kind: simulator.FaultEchoUpgrade, Variant: variant})
		d.issue()
		eventually(d.t, time.Minute, "an upgrade comes back", func() (bool, string) { return refused() > before, "" })
		if d.glance(); i == 0 {
			d.look("with the request line back as " + variant)
		}
		d.lift(simulator.FaultEchoUpgrade)
		d.move()
	}
	// One that the log's scrubber has forgotten, too.
	stale := d.keepToken()
	d.move()
	echo := "access_token=" + d.keepToken() + " after " + stale + " of " + tree.SimAPISecret
	d.fault(simulator.Fault{Kind: simulator.FaultMalformed, Text: `{"type":"error","data":` + string(must(json.Marshal(echo))) + `}`})
	d.fault(simulator.Fault{Kind: simulator.FaultMalformed, Text: echo})
	d.logged("kite reports an error on the socket", 1)
	for _, variant := range []string{"reset", "mid_frame", "close_frame"} {
		d.fault(simulator.Fault{Kind: simulator.FaultDrop, Variant: variant})
		d.live()
	}
}

// panics lets every actor fail with all that it holds alive.
func (d *canaryDay) panics() {
	d.t.Helper()
	var all []api.Actor
	if err := d.get("/api/v1/actors", &all); err != nil {
		d.t.Fatal(err)
	}
	struck := 0
	for _, a := range all {
		if a.Kind != "worker" {
			continue
		}
		for _, kind := range []string{"panic", "goroutine"} {
			before := d.actor(a.Name).Epoch
			d.ask(http.MethodPost, "/api/v1/chaos", api.Chaos{Actor: a.Name, Kind: kind})
			eventually(d.t, time.Minute, a.Name+" runs again after a "+kind, func() (bool, string) {
				now := d.actor(a.Name)
				return now.State == "running" && now.Epoch > before, fmt.Sprintf("%+v", now)
			})
			struck++
		}
	}
	if struck < 2*10 {
		d.t.Errorf("%d actors struck", struck)
	}
	d.live()
}

func (d *canaryDay) actor(name string) (a api.Actor) {
	_ = d.get("/api/v1/actors/"+name, &a) // the web actor may be down itself
	return a
}

// night lets the day end, the token die at six, reminders go out and fail, and
// the next day begin with a login from the command line.
func (d *canaryDay) night() {
	d.t.Helper()
	// Just before the next minute.
	clock := func(day, hour, minute int) {
		if err := d.server.Exchange().SetClock(time.Date(2026, time.July, day, hour, minute, 59, 9e8, ist.Zone)); err != nil {
			d.t.Fatal(err)
		}
	}
	phase := func(want messages.Phase) {
		d.t.Helper()
		eventually(d.t, time.Minute, "the market is "+want.String(), func() (bool, string) {
			var st api.Status
			err := d.get("/api/v1/status", &st)
			return err == nil && st.Market.Phase == want, fmt.Sprintf("%+v %v", st.Market, err)
		})
	}
	clock(14, 15, 29)
	phase(messages.Closing)
	clock(14, 15, 59)
	phase(messages.Closed)
	rejected := d.times("token rejected") // before six: it is said once
	clock(15, 5, 59)
	eventually(d.t, time.Minute, "the token has died in the morning, and a login is due", func() (bool, string) {
		d.ask(http.MethodPost, "/api/v1/token/validate", nil)
		var now api.Token
		err := d.get("/api/v1/token", &now)
		return err == nil && d.times("token rejected") > rejected && now.LoginDue, fmt.Sprintf("%+v %v", now, err)
	})
	d.look("in the morning, without a token")
	// In each slot Telegram does not answer; the other two fail in other ways.
	for _, slot := range [][2]int{{7, 59}, {8, 44}, {9, 4}} {
		before := d.calls.Load()
		clock(15, slot[0], slot[1])
		eventually(d.t, time.Minute, "reminders are sent", func() (bool, string) {
			return d.calls.Load() >= before+2, ""
		})
	}
	d.logged("reminder given up", 1)
	back := d.consent("approve")
	d.command(back.String()+"\n", "login", "--paste", "--env-file", d.env)
	d.keepToken()
	clock(15, 9, 20)
	d.live()
	d.look("on the next day")
}

// command runs a command of kitestring and keeps what it prints.
func (d *canaryDay) command(stdin string, args ...string) {
	d.t.Helper()
	if !slices.Contains(args, "set") {
		args = append(args, "--addr", d.server.Addr())
	}
	code, out, errs := kitestring(d.t, d.t.Context(), d.environ, stdin, args...)
	d.say("kitestring "+args[0], fmt.Appendf(nil, "%v: %d\n%s\n%s", args, code, out, errs))
}

func (d *canaryDay) commands() {
	d.t.Helper()
	for _, c := range [][]string{
		{"status"}, {"actors"}, {"rotations"}, {"token", "show"}, {"token", "validate", "--env-file", d.env}, {"doctor", "--env-file", d.env},
	} {
		d.command("", c...)
		d.command("", append(c, "--json")...)
	}
	d.command("", "restart", "pcr", "--env-file", d.env)
	d.command("", "restart", "pcr", "--env-file", filepath.Join(d.dir, "none.env")) // with the environment's admin token
	d.command(d.secrets.fresh("pasted access token", 32)+"/x\n", "login", "--paste", "--env-file", d.env)
	rejected := d.times("token rejected")
	d.command(d.secrets.fresh("token set from the command line", 32)+"\n", "token", "set", "--env-file", d.env)
	d.logged("token rejected", rejected+1)
	for _, c := range []string{"status", "doctor"} {
		args := []string{c}
		if c == "doctor" {
			args = append(args, "--env-file", d.env)
		}
		d.command("", args...)
	}
	d.move()
}

// deadAddresses starts once more, with an exchange that does not answer: errors
// of dials hold addresses, and addresses hold tokens.
func (d *canaryDay) deadAddresses() {
	d.t.Helper()
	const nobody = "127.0.0.1:1" // a port that was free a moment ago may be taken now
	f, err := os.OpenFile(d.env, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		d.t.Fatal(err)
	}
	_, err = fmt.Fprintf(f, "KITE_WS_URL=ws://%s\nKITE_WS_EXTRA=user_id=AB1234\n", nobody)
	if err := errors.Join(err, f.Close()); err != nil {
		d.t.Fatal(err)
	}
	d.config.Addr, d.config.Sim.Addr = "127.0.0.1:0", "127.0.0.1:0"
	d.config.Sim.Start = time.Date(2026, time.July, 15, 10, 0, 0, 0, ist.Zone)
	n := d.times("feed state")
	d.open()
	d.logged("feed state", n+2)
	d.look("with dead addresses")
	d.command("", "doctor", "--env-file", d.env)
	d.command("", "status")
	d.stop()
}

// print shows what a debugger or a careless line of code would print.
func (d *canaryDay) print() {
	session := messages.Session{Generation: 1, APIKey: tree.SimAPIKey, Token: messages.NewAccessToken(d.secrets.fresh("access token of messages", 32))}
	secret := messages.NewSecret(d.environ["ZERODHA_API_SECRET"])
	values := []any{
		d.config, &d.config, session, &session, session.Token, secret,
		messages.TokenChanged{Session: session},
		messages.TokenAdopted{Session: session},
		[]messages.Session{session},
		map[string]any{"token": session.Token},
		struct {
			hidden messages.AccessToken
			deeper *messages.Session
		}{session.Token, &session},
		fmt.Errorf("dial: %w", errors.Join(fmt.Errorf("with %v", session), fmt.Errorf("%+v %s", session, secret))),
	}
	for _, v := range values {
		d.say("printed", fmt.Appendf(nil, "%v %+v %#v %s %q %x %X %d %t", v, v, v, v, v, v, v, v, v))
		if data, err := json.Marshal(v); err == nil {
			d.say("printed", data)
		}
		d.config.Log.Debug("printed", "value", v, slog.Group("group", "value", v))
	}
}

// verdict looks for every secret in everything.
func (d *canaryDay) verdict() {
	d.t.Helper()
	d.say("text log", []byte(d.text.String()))
	d.say("JSON log", []byte(d.json.String()))
	d.say("coloured log", []byte(d.colour.String()))
	d.say("event stream", []byte(d.sse.String()))
	files := 0
	err := filepath.WalkDir(d.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path == d.env {
			return err
		}
		files++
		data, err := os.ReadFile(path)
		d.say("file "+entry.Name(), append([]byte(path+"\n"), data...))
		return err
	})
	if err != nil {
		d.t.Error(err)
	}
	bytesSeen := 0
	for _, where := range slices.Sorted(maps.Keys(d.seen)) {
		bytesSeen += len(d.seen[where])
		for _, leak := range d.secrets.leaks(d.seen[where]) {
			d.t.Errorf("%s: %s", where, leak)
		}
	}
	// The day was lived: the log knows every access token by its fingerprint,
	// and the same scan finds each secret in an output that holds all of them.
	tokens, holding := 0, append([]byte(nil), d.seen["GET /api/v1/status"]...)
	for _, c := range d.secrets.list {
		holding = append(append(holding, c.value...), ' ')
		if c.name == "access token" {
			tokens++
			if !strings.Contains(d.text.String(), messages.NewSecret(c.value).Fingerprint()) {
				d.t.Error("an access token was never used")
			}
		}
	}
	if n := len(d.secrets.leaks(holding)); n != len(d.secrets.list) {
		d.t.Errorf("%d of %d secrets found in an output that holds all of them", n, len(d.secrets.list))
	}
	if tokens < 12 || files < 2 || d.sse.String() == "" {
		d.t.Errorf("%d access tokens, %d files, %d bytes of events: this was no day", tokens, files, len(d.sse.String()))
	}
	d.t.Logf("%d secrets (%d access tokens) looked for in %d outputs, %.1f MB, %d files", len(d.secrets.list), tokens, len(d.seen), float64(bytesSeen)/1e6, files)
}
