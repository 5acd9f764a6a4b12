package simulator_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kitestring/actors/actorstest"
	"kitestring/actors/simulator"
	"kitestring/messages"
)

func newExchange(t testing.TB, change func(*simulator.Config)) *simulator.Exchange {
	t.Helper()
	cfg := simulator.Config{Start: start}
	if change != nil {
		change(&cfg)
	}
	ex, err := simulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return ex
}

func issue(t testing.TB, ex *simulator.Exchange) messages.AccessToken {
	t.Helper()
	token, err := ex.IssueToken()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// A process that knows only the secret accepts the day's token; what was
// withdrawn stays so when there is a state directory.
func TestTokensCertifyThemselves(t *testing.T) {
	dir := t.TempDir()
	at := func(c *simulator.Config) { c.StateDir = filepath.Join(dir, "state") }
	first := newExchange(t, at)
	old, kept := issue(t, first), issue(t, first)
	if !regexp.MustCompile(`^[0-9A-Za-z]{32}$`).MatchString(kept.Reveal()) {
		t.Error("a token is not 32 alphanumerics")
	}
	if first.Valid(old) || !first.Valid(kept) {
		t.Error("the newer login did not replace the older one")
	}
	second := newExchange(t, at)
	if second.Valid(old) || !second.Valid(kept) {
		t.Errorf("after a restart: old %t, kept %t", second.Valid(old), second.Valid(kept))
	}
	if third := newExchange(t, nil); !third.Valid(kept) {
		t.Error("without a state directory the day's token is refused")
	}
	if other := newExchange(t, func(c *simulator.Config) { c.APISecret = messages.NewSecret("another") }); other.Valid(kept) {
		t.Error("another secret accepts the token")
	}
	if other := newExchange(t, func(c *simulator.Config) { c.APIKey = "another" }); other.Valid(kept) {
		t.Error("another key accepts the token")
	}
	if gone, err := second.Logout(kept); !gone || err != nil {
		t.Errorf("logout: %t, %v", gone, err)
	}
	if gone, _ := second.Logout(kept); gone {
		t.Error("logged out a second time")
	}
	if newExchange(t, at).Valid(kept) {
		t.Error("a logout did not survive the restart")
	}
	text, err := os.ReadFile(filepath.Join(dir, "state", "simulator-sessions.json"))
	if err != nil || strings.Contains(string(text), kept.Reveal()) {
		t.Errorf("the state directory: %v, holds a token: %t", err, strings.Contains(string(text), kept.Reveal()))
	}
	next := newExchange(t, at)
	if after := issue(t, next); !next.Valid(after) || next.Valid(kept) {
		t.Error("a login after the logout")
	}
	if err := next.Expire(); err != nil {
		t.Fatal(err)
	}
	if after := issue(t, next); !next.Valid(after) {
		t.Error("a login after an expiry")
	}
}

func TestBrokenState(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "simulator-sessions.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := simulator.New(simulator.Config{StateDir: dir}); err == nil || !strings.Contains(err.Error(), "delete it") {
		t.Errorf("got %v", err)
	}
}

func TestForgedTokens(t *testing.T) {
	ex := newExchange(t, nil)
	good := issue(t, ex).Reveal()
	rapid.Check(t, func(t *rapid.T) {
		i := rapid.IntRange(0, len(good)-1).Draw(t, "position")
		c := rapid.SampledFrom([]byte("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+/=")).Draw(t, "character")
		forged := good[:i] + string(c) + good[i+1:]
		if forged != good && ex.Valid(messages.NewAccessToken(forged)) {
			t.Fatalf("a forged token is accepted (position %d, %q)", i, c)
		}
	})
	if ex.Valid(messages.AccessToken{}) || ex.Valid(messages.NewAccessToken(strings.Repeat("z", 32))) {
		t.Error("nonsense is accepted")
	}
}

// At 06:00 IST of the exchange's clock the day's tokens die, not before.
func TestFlush(t *testing.T) {
	ex := newExchange(t, func(c *simulator.Config) { c.Start = time.Date(2026, 6, 15, 18, 0, 0, 0, start.Location()) })
	token := issue(t, ex)
	for _, c := range []struct {
		at    string
		valid bool
	}{
		{"2026-06-15T23:59:00+05:30", true},
		{"2026-06-16T05:59:30+05:30", true},
		{"2026-06-16T06:00:00+05:30", false},
		{"2026-06-16T09:15:00+05:30", false},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		if err := ex.SetClock(at); err != nil {
			t.Fatal(err)
		}
		if ex.Valid(token) != c.valid {
			t.Errorf("%s: valid %t", c.at, !c.valid)
		}
	}
	if next := issue(t, ex); !ex.Valid(next) {
		t.Error("a login after the flush")
	}
}

func TestReloginSame(t *testing.T) {
	ex := newExchange(t, func(c *simulator.Config) { c.Relogin = simulator.ReloginSame })
	first := issue(t, ex)
	if again := issue(t, ex); !again.Equal(first) {
		t.Error("the second login gave another token")
	}
	rotated, err := ex.Rotate()
	if err != nil || rotated.Equal(first) || ex.Valid(first) {
		t.Errorf("rotate: %v", err)
	}
}

// login goes through the page and returns where the browser ends.
func (e *exchange) login() url.Values {
	e.t.Helper()
	response, text := e.get("/connect/login?v=3&api_key=simkey")
	back, err := response.Location()
	if err != nil {
		e.t.Fatalf("login: %d %s", response.StatusCode, text)
	}
	return back.Query()
}

func (e *exchange) redeem(request, sum string) (int, string) {
	e.t.Helper()
	form := url.Values{"api_key": {"simkey"}, "request_token": {request}, "checksum": {sum}}
	response, text := e.do(http.MethodPost, "/session/token", form.Encode(), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
	return response.StatusCode, text
}

func TestRequestTokens(t *testing.T) {
	e := open(t, false, nil)
	request := e.login().Get("request_token")
	good := checksum("simkey", request, "simsecret")
	if len(request) != 32 {
		t.Errorf("a request token of %d characters", len(request))
	}
	for _, c := range []struct {
		name, request, sum string
		status             int
		text               string
	}{
		{"wrong checksum", request, checksum("simkey", request, "wrong"), 403, "Invalid `checksum`."},
		{"checksum in upper case", request, strings.ToUpper(good), 403, "Invalid `checksum`."},
		{"unknown", "nobody", checksum("simkey", "nobody", "simsecret"), 403, "Token is invalid or has expired."},
		{"missing", "", good, 400, "InputException"},
		{"good", request, good, 200, "access_token"},
		{"used again", request, good, 403, "Token is invalid or has expired."},
	} {
		if status, text := e.redeem(c.request, c.sum); status != c.status || !strings.Contains(text, c.text) {
			t.Errorf("%s: %d %s", c.name, status, text)
		}
	}
	late := e.login().Get("request_token")
	if err := e.SetClock(e.Clock().Now().Add(5*time.Minute + time.Second)); err != nil {
		t.Fatal(err)
	}
	if status, text := e.redeem(late, checksum("simkey", late, "simsecret")); status != 403 || !strings.Contains(text, "expired") {
		t.Errorf("late: %d %s", status, text)
	}
	if err := e.InjectFault(simulator.Fault{Kind: simulator.FaultChecksum, Count: 1}); err != nil {
		t.Fatal(err)
	}
	next := e.login().Get("request_token")
	sum := checksum("simkey", next, "simsecret")
	if status, text := e.redeem(next, sum); status != 403 || !strings.Contains(text, "checksum") {
		t.Errorf("fault: %d %s", status, text)
	}
	if status, text := e.redeem(next, sum); status != 200 {
		t.Errorf("after the fault: %d %s", status, text)
	}
}

func TestLoginPage(t *testing.T) {
	e := open(t, false, func(c *simulator.Config) { c.Login = simulator.LoginManual })
	response, text := e.get("/connect/login?v=3&api_key=simkey&redirect_params=" + url.QueryEscape(`state="><script>`))
	if response.StatusCode != 200 || !strings.Contains(text, "Approve") || !strings.Contains(text, "Cancel") || strings.Contains(text, "<script>") {
		t.Fatalf("the page: %d %s", response.StatusCode, text)
	}
	press := func(button string) url.Values {
		t.Helper()
		form := url.Values{"api_key": {"simkey"}, "redirect_params": {"state=abc"}, "answer": {button}}
		response, text := e.do(http.MethodPost, "/connect/login", form.Encode(), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
		back, err := response.Location()
		if err != nil || response.StatusCode != http.StatusFound {
			t.Fatalf("%s: %d %s", button, response.StatusCode, text)
		}
		if back.Host != "127.0.0.1:1" || back.Path != "/callback" {
			t.Errorf("sent to %s", back)
		}
		return back.Query()
	}
	if q := press("approve"); q.Get("status") != "success" || q.Get("state") != "abc" || q.Get("request_token") == "" {
		t.Errorf("approve: %v", q)
	}
	if q := press("cancel"); fmt.Sprint(q) != "map[status:[cancelled]]" {
		t.Errorf("cancel: %v", q)
	}
	if response, _ := e.get("/connect/login?api_key=other"); response.StatusCode != 400 {
		t.Errorf("another key: %d", response.StatusCode)
	}
	e.SetRedirectURL("")
	if response, text := e.do(http.MethodPost, "/connect/login", "api_key=simkey&answer=approve", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}); response.StatusCode != 400 || !strings.Contains(text, "redirect_url") {
		t.Errorf("no redirect URL: %d %s", response.StatusCode, text)
	}
}

func TestTokenActions(t *testing.T) {
	e := open(t, false, nil)
	token := messages.NewAccessToken(e.token())
	out := e.post("/sim/v1/token", `{"action":"rotate"}`)
	next := messages.NewAccessToken(out["access_token"].(string))
	if e.Valid(token) || !e.Valid(next) || out["fingerprint"] != next.Fingerprint() {
		t.Error("rotate")
	}
	for _, action := range []string{"expire", "logout"} {
		token := messages.NewAccessToken(e.token())
		e.post("/sim/v1/token", `{"action":"`+action+`"}`)
		if e.Valid(token) {
			t.Error(action)
		}
	}
	for _, body := range []string{`{"action":"dance"}`, `{`, `{"act":"rotate"}`} {
		if response, _ := e.do(http.MethodPost, "/sim/v1/token", body, nil); response.StatusCode != 400 {
			t.Errorf("%s: %d", body, response.StatusCode)
		}
	}
}

func TestConfigRefused(t *testing.T) {
	for name, cfg := range map[string]simulator.Config{
		"login":       {Login: "maybe"},
		"relogin":     {Relogin: "maybe"},
		"old sockets": {OldSockets: "maybe"},
		"speed":       {Speed: -1},
		"rate":        {Rate: -1},
		"instruments": {Instruments: -1},
		"bars":        {BarsDir: t.TempDir()},
	} {
		if _, err := simulator.New(cfg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// No output of the exchange shows a token, whatever was done with it.
func TestNoTokenInLogs(t *testing.T) {
	var log strings.Builder
	e := open(t, false, func(c *simulator.Config) {
		c.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c.APISecret = messages.NewSecret("canarysecret")
	})
	first := e.token()
	s := e.mustDialWith(first)
	second := e.token()
	e.dial("canarytoken")
	e.kite(second).GetUserProfile()
	e.kite(second).InvalidateAccessToken()
	s.conn.Close()
	actorstest.Until(t, "the socket is gone", func() bool { return len(e.State().Sockets) == 0 })
	_, state := e.get("/sim/v1/state")
	out := log.String() + state
	if len(log.String()) == 0 {
		t.Error("nothing was logged")
	}
	for _, secret := range []string{first, second, "canarytoken", "canarysecret"} {
		if strings.Contains(out, secret) {
			t.Error("a secret is in the log or in the state")
		}
	}
}
