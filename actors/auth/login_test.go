package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"kitestring/actors/kite"
	"kitestring/messages"
)

const (
	apiSecret    = "canarySecret0123456789abcdefghij"
	requestToken = "canaryRequest0123456789abcdefghi"
	accessToken  = "canaryAccess0123456789abcdefghij"
)

// loginBench is a login with a Kite and a file that the test controls.
type loginBench struct {
	*Handlers
	t         testing.TB
	exchanges atomic.Int32
	answer    atomic.Value // func(w, r), instead of the good one
	writeErr  error
	written   []string
	mu        sync.Mutex
	ended     []messages.LoginEnded
	log       syncBuffer
	pages     strings.Builder
	clock     time.Time
	account   string // in the file
}

func newLoginBench(t testing.TB) *loginBench {
	b := &loginBench{t: t, clock: time.Unix(1_000_000, 0)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.exchanges.Add(1)
		if answer, ok := b.answer.Load().(func(http.ResponseWriter, *http.Request)); ok {
			answer(w, r)
			return
		}
		sum := sha256.Sum256([]byte("key1" + r.PostFormValue("request_token") + apiSecret))
		if r.PostFormValue("checksum") != hex.EncodeToString(sum[:]) {
			w.WriteHeader(403)
			_, _ = io.WriteString(w, "{\"status\":\"error\",\"error_type\":\"TokenException\",\"message\":\"Invalid `checksum`.\"}")
			return
		}
		_, _ = fmt.Fprintf(w, `{"status":"success","data":{"user_id":"AB1234","access_token":%q,"login_time":"2026-03-02 09:00:00"}}`, accessToken)
	}))
	t.Cleanup(server.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	logins := NewLogins()
	logins.now, logins.start = func() time.Time { return b.clock }, b.clock
	b.Handlers = NewHandlers(HandlersConfig{
		Exchange: kite.Exchange{
			APIURL: server.URL, LoginURL: "https://kite.test/connect/login", Transport: transport, Budget: kite.NewBudget(),
		},
		Logins:      logins,
		Tokens:      newStore(),
		Store:       b,
		Credentials: func() (string, messages.Secret) { return "key1", messages.NewSecret(apiSecret) },
		EnvFile:     "/home/me/.env",
		Account:     func() string { return b.account },
		Accounts:    NewStore(filepath.Join(t.TempDir(), "expiry-live.json")),
		Notify: func(e messages.LoginEnded) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.ended = append(b.ended, e)
		},
		Metrics: NewMetrics(prometheus.NewRegistry()),
		Log:     slog.New(slog.NewTextHandler(&b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	t.Cleanup(b.noSecretShown)
	return b
}

// SetToken is the file.
func (b *loginBench) SetToken(_ context.Context, token messages.AccessToken) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.writeErr != nil {
		return fmt.Errorf("write env file: %w", b.writeErr)
	}
	b.written = append(b.written, token.Reveal())
	return nil
}

func (b *loginBench) noSecretShown() {
	shown := b.log.String() + b.pages.String()
	for _, e := range b.ended {
		shown += fmt.Sprintf("%+v", e)
	}
	for _, canary := range []string{apiSecret, requestToken, accessToken} {
		if strings.Contains(shown, canary) {
			b.t.Errorf("a secret is shown: %s", canary)
		}
	}
}

// begin does GET /login and gives the state.
func (b *loginBench) begin() string {
	b.t.Helper()
	w := httptest.NewRecorder()
	b.Login(w, httptest.NewRequest(http.MethodGet, "/login", nil))
	to, err := url.Parse(w.Header().Get("Location"))
	if err != nil || w.Code != http.StatusSeeOther || to.Host != "kite.test" || to.Path != "/connect/login" {
		b.t.Fatalf("login: %d to %v", w.Code, to)
	}
	q := to.Query()
	params, err := url.ParseQuery(q.Get("redirect_params"))
	if err != nil || q.Get("v") != "3" || q.Get("api_key") != "key1" || len(params.Get("state")) != 43 || len(params) != 1 {
		b.t.Fatalf("login to %v", to)
	}
	if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Referrer-Policy") != "no-referrer" {
		b.t.Errorf("headers %v", w.Header())
	}
	return params.Get("state")
}

// callback is where Kite sends the browser.
func (b *loginBench) callback(query string) *httptest.ResponseRecorder {
	b.t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/callback", nil)
	r.URL.RawQuery = query
	b.Callback(w, r)
	b.mu.Lock()
	defer b.mu.Unlock()
	fmt.Fprintf(&b.pages, "%s\n%v\n", w.Body, w.Header())
	if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Referrer-Policy") != "no-referrer" {
		b.t.Errorf("headers %v", w.Header())
	}
	return w
}

func success(state, token string) string {
	return url.Values{"action": {"login"}, "type": {"login"}, "status": {"success"}, "state": {state}, "request_token": {token}}.Encode()
}

// expect checks the page, the message and the count of one ended login.
func (b *loginBench) expect(w *httptest.ResponseRecorder, result messages.LoginResult, words string) {
	b.t.Helper()
	if result == messages.LoginOK {
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/#logged-in" {
			b.t.Errorf("%d to %q", w.Code, w.Header().Get("Location"))
		}
	} else if text := w.Body.String(); !strings.Contains(text, words) || w.Code == http.StatusSeeOther {
		b.t.Errorf("%d %s: want %q", w.Code, text, words)
	}
	if testutil.ToFloat64(b.Metrics.logins[result]) == 0 {
		b.t.Errorf("logins_total{%s} is 0", result)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.ended); n == 0 || b.ended[n-1].Result != result || b.ended[n-1].Reason == "" {
		b.t.Errorf("ended %+v, want %s", b.ended, result)
	}
}

// expectStranger checks the page of a callback that ends no login.
func (b *loginBench) expectStranger(w *httptest.ResponseRecorder, result messages.LoginResult, words string) {
	b.t.Helper()
	if text := w.Body.String(); !strings.Contains(text, words) || w.Code == http.StatusSeeOther {
		b.t.Errorf("%d %s: want %q", w.Code, text, words)
	}
	if len(b.ended) > 0 || testutil.ToFloat64(b.Metrics.logins[result]) != 1 {
		b.t.Errorf("ended %+v, want none, and %s counted", b.ended, result)
	}
}

func TestLoginToTheFile(t *testing.T) {
	b := newLoginBench(t)
	state := b.begin()
	b.expect(b.callback(success(state, requestToken)), messages.LoginOK, "")
	if len(b.written) != 1 || b.written[0] != accessToken || b.exchanges.Load() != 1 {
		t.Errorf("%d written, %d exchanges", len(b.written), b.exchanges.Load())
	}
	if s := b.Logins.Secrets(); len(s) != 1 || s[0].Reveal() != requestToken {
		t.Errorf("secrets %v", s)
	}
}

func TestLoginAbuse(t *testing.T) {
	good := func(b *loginBench) string { return success(b.begin(), requestToken) }
	fails := func(status int, kind, message string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, `{"status":"error","error_type":%q,"message":%q}`, kind, message)
		}
	}
	tests := []struct {
		name      string
		query     func(b *loginBench) string
		result    messages.LoginResult
		words     string
		exchanges int32
	}{
		{"cancelled", func(*loginBench) string { return "status=cancelled" }, messages.LoginCancelled, "cancelled at Kite", 0},
		{"cancelled, with more", func(b *loginBench) string { return "status=cancelled&state=" + b.begin() }, messages.LoginCancelled, "cancelled at Kite", 0},
		{"nothing", func(*loginBench) string { return "" }, messages.LoginBadState, "one begins at /login", 0},
		{"another status", func(b *loginBench) string { return "status=failed&state=" + b.begin() }, messages.LoginBadState, "The parameter status", 0},
		{"no state", func(*loginBench) string { return "status=success&request_token=" + requestToken }, messages.LoginBadState, "The parameter state is missing", 0},
		{"wrong state", func(b *loginBench) string { b.begin(); return success("invented", requestToken) }, messages.LoginBadState, "The parameter state belongs to no login", 0},
		{"two states", func(b *loginBench) string { return good(b) + "&state=x" }, messages.LoginBadState, "The parameter state is repeated", 0},
		{"no request token", func(b *loginBench) string { return "status=success&state=" + b.begin() }, messages.LoginBadState, "The parameter request_token is missing", 0},
		{"damaged request token", func(b *loginBench) string { return success(b.begin(), "a'b\"<script>") }, messages.LoginBadState, "The parameter request_token is missing or damaged", 0},
		{"broken query", func(b *loginBench) string { return good(b) + "&%zz" }, messages.LoginBadState, "not the address that Kite redirects to", 0},
		{"endless query", func(b *loginBench) string { return good(b) + "&x=" + strings.Repeat("a", 5000) }, messages.LoginBadState, "not the address that Kite redirects to", 0},
		{"late", func(b *loginBench) string { q := good(b); b.clock = b.clock.Add(loginLasts + time.Second); return q }, messages.LoginTimeout, "longer than 10 minutes", 0},
		{"forgotten", func(b *loginBench) string {
			q := good(b)
			b.clock = b.clock.Add(24 * time.Hour)
			b.begin()
			return q
		}, messages.LoginTimeout, "longer than 10 minutes", 0},
		{"replayed", func(b *loginBench) string { q := good(b); b.callback(q); return q }, messages.LoginBadState, "was used before and counts only once. It succeeded then.", 1},
		{"state used again", func(b *loginBench) string {
			s := b.begin()
			b.callback(success(s, requestToken))
			return success(s, "anotherRequestToken0123456789abc")
		}, messages.LoginBadState, "was used before", 1},
		{"request token reused", func(b *loginBench) string { b.callback(good(b)); return good(b) }, messages.LoginExchangeFailed, "This request_token was used before", 1},
		{"request token late at Kite", func(b *loginBench) string {
			b.answer.Store(fails(403, "TokenException", "Token is invalid or has expired."))
			return good(b)
		}, messages.LoginExchangeFailed, "too old", 1},
		{"wrong secret", func(b *loginBench) string {
			b.Credentials = func() (string, messages.Secret) { return "key1", messages.NewSecret("not-the-secret") }
			return good(b)
		}, messages.LoginExchangeFailed, "ZERODHA_API_SECRET does not belong to ZERODHA_API_KEY", 1},
		{"secret lost on the way", func(b *loginBench) string {
			q := good(b)
			b.Credentials = func() (string, messages.Secret) { return "key1", messages.Secret{} }
			return q
		}, messages.LoginExchangeFailed, "ZERODHA_API_SECRET is missing. Add the line ZERODHA_API_SECRET=... to /home/me/.env", 0},
		{"not allowed", func(b *loginBench) string { b.answer.Store(fails(403, "PermissionException", "no")); return good(b) }, messages.LoginExchangeFailed, "does not let this account", 1},
		{"Kite's own words, without a type", func(b *loginBench) string { b.answer.Store(fails(403, "", "Api key is invalid")); return good(b) }, messages.LoginExchangeFailed, "then log in again. Kite says: Api key is invalid.", 1},
		{"misunderstood", func(b *loginBench) string { b.answer.Store(fails(400, "InputException", "no")); return good(b) }, messages.LoginExchangeFailed, "did not understand", 1},
		{"429", func(b *loginBench) string { b.answer.Store(fails(429, "NetworkException", "no")); return good(b) }, messages.LoginExchangeFailed, "slow down", 1},
		{"502", func(b *loginBench) string { b.answer.Store(fails(502, "", "no")); return good(b) }, messages.LoginExchangeFailed, "fault of its own", 1},
		{"captive portal", func(b *loginBench) string {
			b.answer.Store(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>Welcome") })
			return good(b)
		}, messages.LoginExchangeFailed, "captive portal", 1},
		{"no network", func(b *loginBench) string { b.Exchange.APIURL = "http://127.0.0.1:1"; return good(b) }, messages.LoginExchangeFailed, "Kite did not answer", 0},
		{"disk full", func(b *loginBench) string { b.writeErr = syscall.ENOSPC; return good(b) }, messages.LoginExchangeFailed, "/home/me/.env could not be written: the disk is full. The file is as it was, and Kite has ended", 1},
		{"read-only", func(b *loginBench) string { b.writeErr = syscall.EROFS; return good(b) }, messages.LoginExchangeFailed, "read-only. The file is as it was, and Kite has ended", 1},
		{"no permission", func(b *loginBench) string { b.writeErr = syscall.EACCES; return good(b) }, messages.LoginExchangeFailed, "no permission", 1},
		{"another fault of the file", func(b *loginBench) string { b.writeErr = errors.New("odd"); return good(b) }, messages.LoginExchangeFailed, "the log has the details", 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newLoginBench(t)
			if test.result == messages.LoginBadState && !strings.Contains(test.words, "was used before") || test.name == "cancelled" {
				b.expectStranger(b.callback(test.query(b)), test.result, test.words)
			} else {
				b.expect(b.callback(test.query(b)), test.result, test.words)
			}
			if n := b.exchanges.Load(); n != test.exchanges {
				t.Errorf("%d exchanges, want %d", n, test.exchanges)
			}
			if b.writeErr != nil && len(b.written) != 0 {
				t.Error("something was written")
			}
		})
	}
}

func TestTwoCallbacksAtOnce(t *testing.T) {
	b := newLoginBench(t)
	asked, release := make(chan struct{}, 2), make(chan struct{})
	b.answer.Store(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		<-release
		_, _ = fmt.Fprintf(w, `{"status":"success","data":{"user_id":"AB1234","access_token":%q}}`, accessToken)
	})
	query := success(b.begin(), requestToken)
	results := make(chan *httptest.ResponseRecorder, 3)
	for range 2 {
		go func() { results <- b.callback(query) }()
	}
	<-asked
	go func() { // the same request token by another way
		result, reason := b.Complete(context.Background(), requestToken)
		w := httptest.NewRecorder()
		_, _ = w.WriteString(reason) // it may come when all is over
		if result == messages.LoginOK {
			w.Code = http.StatusSeeOther
		}
		results <- w
	}()
	// An impatient reader does not wait for ever, and ends nothing.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if result, reason := b.Complete(ctx, requestToken); result != messages.LoginTimeout || reason == "" {
		t.Errorf("impatient: %s %q", result, reason)
	}
	close(release)
	for range 3 {
		if w := <-results; w.Code != http.StatusSeeOther && !strings.Contains(w.Body.String(), "It succeeded then.") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if n := b.exchanges.Load(); n != 1 || len(b.written) != 1 {
		t.Errorf("%d exchanges, %d written", n, len(b.written))
	}
}

// TestBrowserGoesAway: the exchange is not the browser's.
func TestBrowserGoesAway(t *testing.T) {
	b := newLoginBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.answer.Store(func(w http.ResponseWriter, _ *http.Request) {
		cancel()
		_, _ = fmt.Fprintf(w, `{"status":"success","data":{"user_id":"AB1234","access_token":%q}}`, accessToken)
	})
	r := httptest.NewRequest(http.MethodGet, "/callback?"+success(b.begin(), requestToken), nil).WithContext(ctx)
	b.Callback(httptest.NewRecorder(), r)
	if len(b.written) != 1 {
		t.Error("the login was lost with the browser")
	}
}

func TestOtherMethodsUseNothingUp(t *testing.T) {
	b := newLoginBench(t)
	query := success(b.begin(), requestToken)
	for _, method := range []string{http.MethodHead, http.MethodPost, http.MethodOptions} {
		for path, h := range map[string]http.HandlerFunc{"/login": b.Login, "/callback?" + query: b.Callback} {
			w := httptest.NewRecorder()
			h(w, httptest.NewRequest(method, path, nil))
			if w.Code != http.StatusMethodNotAllowed {
				t.Errorf("%s: %d", method, w.Code)
			}
		}
	}
	b.expect(b.callback(query), messages.LoginOK, "")
}

func TestSameTokenIsRecognised(t *testing.T) {
	b := newLoginBench(t)
	store := newStore()
	store.WriteAdopted(messages.Session{Generation: 1, Token: messages.NewAccessToken(accessToken)})
	b.Tokens = store
	b.expect(b.callback(success(b.begin(), requestToken)), messages.LoginOK, "")
	if !strings.Contains(b.ended[0].Reason, "the same access token as before") {
		t.Errorf("reason %q", b.ended[0].Reason)
	}
}

func TestLoginWithoutCredentials(t *testing.T) {
	b := newLoginBench(t)
	for line, credentials := range map[string]func() (string, messages.Secret){
		"ZERODHA_API_KEY":    func() (string, messages.Secret) { return "", messages.NewSecret(apiSecret) },
		"ZERODHA_API_SECRET": func() (string, messages.Secret) { return "key1", messages.Secret{} },
	} {
		b.Credentials = credentials
		w := httptest.NewRecorder()
		b.Login(w, httptest.NewRequest(http.MethodGet, "/login", nil))
		if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), line+" is missing. Add the line "+line+"=... to /home/me/.env") {
			t.Errorf("%s: %d %s", line, w.Code, w.Body)
		}
	}
	b.Credentials = func() (string, messages.Secret) { return "key1", messages.NewSecret(apiSecret) }
	b.Exchange.LoginURL = "nowhere"
	if _, err := b.Start(); err == nil || !strings.Contains(err.Error(), "KITE_LOGIN_URL") {
		t.Errorf("Start: %v", err)
	}
}

func TestPaste(t *testing.T) {
	tests := []struct {
		name   string
		pasted func(b *loginBench) string
		result messages.LoginResult
		words  string
	}{
		{"whole address", func(b *loginBench) string {
			return " http://127.0.0.1:8420/callback?" + success(b.begin(), requestToken) + "#top\n"
		}, messages.LoginOK, "Logged in."},
		{"in quotes", func(b *loginBench) string { return `"http://x/callback?` + success(b.begin(), requestToken) + `"` }, messages.LoginOK, "Logged in."},
		{"query alone", func(b *loginBench) string { return success(b.begin(), requestToken) }, messages.LoginOK, "Logged in."},
		{"bare request token", func(*loginBench) string { return requestToken + "\n" }, messages.LoginOK, "Logged in."},
		{"address without our state", func(*loginBench) string { return "http://x/?status=success&request_token=" + requestToken }, messages.LoginOK, "Logged in."},
		{"wrong state", func(*loginBench) string { return "http://x/?" + success("invented", requestToken) }, messages.LoginBadState, "state belongs to no login"},
		{"cancelled", func(*loginBench) string { return "http://x/callback?status=cancelled" }, messages.LoginCancelled, "cancelled"},
		{"nothing", func(*loginBench) string { return " \n" }, messages.LoginBadState, "Nothing was pasted"},
		{"login page", func(b *loginBench) string { s, _ := b.Start(); return s }, messages.LoginBadState, "address of Kite's login page"},
		{"access token", func(*loginBench) string { return "wss://ws.kite.test?api_key=key1&access_token=" + accessToken }, messages.LoginBadState, "holds an access token"},
		{"another address", func(*loginBench) string { return "http://127.0.0.1:8420/" }, messages.LoginBadState, "no request_token"},
		{"damaged request token", func(*loginBench) string { return "http://x/?request_token=a+b" }, messages.LoginBadState, "is damaged"},
		{"prose", func(*loginBench) string { return "I am logged in now" }, messages.LoginBadState, "neither an address nor a request token"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newLoginBench(t)
			result, reason := b.Complete(t.Context(), test.pasted(b))
			if result != test.result || !strings.Contains(reason, test.words) {
				t.Errorf("%s %q, want %s %q", result, reason, test.result, test.words)
			}
			if len(b.ended) != 1 || (len(b.written) == 1) != (result == messages.LoginOK) {
				t.Errorf("ended %v, %d written", b.ended, len(b.written))
			}
		})
	}
}

// TestExchangePanics: a callback that joined is not left waiting.
func TestExchangePanics(t *testing.T) {
	b := newLoginBench(t)
	state := b.begin()
	b.Store = nil
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		b.callback(success(state, requestToken))
	}()
	b.expect(b.callback(success(state, requestToken)), messages.LoginBadState, "It did not work then.")
}

// No flood of beginnings pushes a login out, and none takes memory.
func TestBeginningsAreNotKept(t *testing.T) {
	b := newLoginBench(t)
	first := b.begin()
	for range 3 * mostLogins {
		b.begin()
	}
	if n := len(b.Logins.order); n != 0 {
		t.Errorf("%d logins kept", n)
	}
	b.expect(b.callback(success(first, requestToken)), messages.LoginOK, "")
}

func TestEndedLoginsAreBounded(t *testing.T) {
	l := NewLogins()
	running, claim := l.claim(l.begin(), messages.NewSecret("the-first-request-token"))
	if claim != claimMine {
		t.Fatalf("claim %d", claim)
	}
	for i := range mostLogins + 5 {
		n, _ := l.claim(l.begin(), messages.NewSecret(fmt.Sprintf("request-token-%d", i)))
		l.finish(n, outcome{result: messages.LoginOK})
	}
	if len(l.order) != mostLogins || len(l.used) != mostLogins || len(l.tried) != mostLogins {
		t.Errorf("%d, %d, %d kept", len(l.order), len(l.used), len(l.tried))
	}
	if _, claim := l.claim(running.state, running.requestToken); claim != claimJoined {
		t.Errorf("a login under way was forgotten: claim %d", claim)
	}
}

// Only the same callback joins an exchange that is under way.
func TestAnotherRequestTokenDoesNotJoin(t *testing.T) {
	l := NewLogins()
	state := l.begin()
	if _, claim := l.claim(state, messages.NewSecret("one-request-token")); claim != claimMine {
		t.Fatalf("claim %d", claim)
	}
	if _, claim := l.claim(state, messages.NewSecret("another-request-token")); claim != claimReplayed {
		t.Errorf("another request token: claim %d, want replayed", claim)
	}
	if _, claim := l.claim(state, messages.NewSecret("one-request-token")); claim != claimJoined {
		t.Errorf("the same: claim %d, want joined", claim)
	}
}

// A page of another site neither begins nor ends a login.
func TestOtherSitesPages(t *testing.T) {
	b := newLoginBench(t)
	fetch := func(h http.HandlerFunc, path, site, dest string) *httptest.ResponseRecorder {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Sec-Fetch-Site", site)
		r.Header.Set("Sec-Fetch-Dest", dest)
		h(w, r)
		return w
	}
	for _, c := range []struct {
		site, dest string
		code       int
	}{{"none", "document", 303}, {"same-origin", "document", 303}, {"cross-site", "document", 200}, {"same-site", "document", 200}, {"cross-site", "image", 403}, {"cross-site", "iframe", 403}} {
		if w := fetch(b.Login, "/login", c.site, c.dest); w.Code != c.code || c.code == 200 && !strings.Contains(w.Body.String(), `href="/login"`) {
			t.Errorf("login from %s %s: %d %s", c.site, c.dest, w.Code, w.Body)
		}
	}
	query := success(b.begin(), requestToken)
	if w := fetch(b.Callback, "/callback?"+query, "cross-site", "image"); w.Code != 403 || b.exchanges.Load() != 0 {
		t.Errorf("callback as an image: %d, %d exchanges", w.Code, b.exchanges.Load())
	}
	if w := fetch(b.Callback, "/callback?"+query, "cross-site", "document"); w.Code != 303 {
		t.Errorf("callback from Kite: %d %s", w.Code, w.Body)
	}
}

// A flood of cancelled callbacks is one event, and some lines of the log.
func TestCancelledFlood(t *testing.T) {
	b := newLoginBench(t)
	b.begin()
	for range 1000 {
		b.callback("status=cancelled")
	}
	if len(b.ended) != 1 || b.ended[0].Result != messages.LoginCancelled {
		t.Errorf("%d ended", len(b.ended))
	}
	if n := strings.Count(b.log.String(), "\n"); n > 10 {
		t.Errorf("%d lines of log", n)
	}
}

// A login of another account changes nothing until the file names that account.
func TestAnotherAccount(t *testing.T) {
	b := newLoginBench(t)
	if err := b.Accounts.SetAccount("XY9999"); err != nil {
		t.Fatal(err)
	}
	b.expect(b.callback(success(b.begin(), requestToken)), messages.LoginExchangeFailed, "of the account AB1234, and this server works with XY9999")
	if len(b.written) != 0 || !strings.Contains(b.ended[0].Reason, "ZERODHA_USER_ID=AB1234 into /home/me/.env") {
		t.Errorf("written %d, %+v", len(b.written), b.ended)
	}
	b.account = "AB1234"
	b.expect(b.callback(success(b.begin(), "another"+requestToken)), messages.LoginOK, "")
	// A wrong line in the file: the account is the one of before, whose token is dead now.
	b.account = "XY9999"
	b.expect(b.callback(success(b.begin(), "third"+requestToken)), messages.LoginExchangeFailed, "Kite has ended the one before")
	if last := b.ended[len(b.ended)-1].Reason; !strings.Contains(last, "ZERODHA_USER_ID in /home/me/.env names XY9999") || strings.Contains(last, "nothing has changed") {
		t.Error(last)
	}
	if again := NewStore(b.Accounts.path); b.Accounts.Account() != "AB1234" || again.Account() != "AB1234" {
		t.Errorf("remembered %q, after a restart %q", b.Accounts.Account(), again.Account())
	}
}

func FuzzCallback(f *testing.F) {
	b := newLoginBench(f)
	mine := b.begin()
	for _, q := range []string{
		"", "status=cancelled", "status=success", success("x", requestToken), success(mine, "short"), "state=" + mine,
		"status=success&status=success", "request_token=%00&state=&status=success", "a;b&%zz", "status=success&state=%3Cscript%3E&request_token=" + requestToken,
	} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if values, err := url.ParseQuery(query); err == nil && values.Get("state") == mine {
			return // guessed by knowing it
		}
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/callback", nil)
		r.URL.RawQuery = query
		b.Callback(w, r)
		if b.exchanges.Load() != 0 || w.Code == http.StatusSeeOther {
			t.Fatalf("%q was exchanged", query)
		}
		b.mu.Lock()
		n := len(b.ended)
		b.ended = b.ended[:0]
		b.mu.Unlock()
		if n > 1 { // one was begun, and may be cancelled
			t.Fatalf("%q ended %d logins", query, n)
		}
		if strings.Contains(w.Body.String(), "<script") {
			t.Fatalf("%q is repeated in the page", query)
		}
	})
}

func FuzzPaste(f *testing.F) {
	for _, s := range []string{"", requestToken, "http://x/callback?" + success("s", requestToken), "?#", "status=cancelled", "://", "'\"", "a=%zz&request_token=x", "https://kite.zerodha.com/connect/login?v=3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, pasted string) {
		state, token, refused := readPasted(pasted)
		if (refused.result == "") == token.IsZero() {
			t.Fatalf("%q: token %t, refused %+v", pasted, !token.IsZero(), refused)
		}
		if refused.result != "" && (refused.reason == "" || state != "") {
			t.Fatalf("%q: %+v with state %q", pasted, refused, state)
		}
		if !token.IsZero() && !strings.Contains(pasted, token.Reveal()) && !strings.Contains(pasted, "%") {
			t.Fatalf("%q: the token was invented", pasted)
		}
	})
}
