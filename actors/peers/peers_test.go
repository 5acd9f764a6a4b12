package peers

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kitestring/actors/actorstest"
	"kitestring/actors/kite"
	"kitestring/messages"
)

func TestMain(m *testing.M) { actorstest.Main(m) }

// fakeKite knows which tokens are good.
type fakeKite struct {
	*httptest.Server
	mu    sync.Mutex
	good  map[string]bool
	down  bool
	asked int
}

func newKite(t *testing.T) *fakeKite {
	k := &fakeKite{good: map[string]bool{}}
	k.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.asked++
		_, token, _ := strings.Cut(r.Header.Get("Authorization"), ":")
		switch {
		case k.down:
			w.WriteHeader(http.StatusBadGateway)
		case k.good[token]:
			_, _ = w.Write([]byte(`{"status":"success","data":{"user_id":"AB1234"}}`))
		default:
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"status":"error","error_type":"TokenException","message":"Incorrect api_key or access_token."}`))
		}
	}))
	t.Cleanup(k.Close)
	return k
}

func (k *fakeKite) set(change func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change()
}

func (k *fakeKite) accept(values ...string) {
	k.set(func() {
		for _, v := range values {
			k.good[v] = true
		}
	})
}

// host is a server's token and .env file, as far as its peer sees it.
type host struct {
	*Config
	t *testing.T

	mu      sync.Mutex
	local   Local
	written []string // values, in order
	fail    error    // of a write
	audit   []string
	plain   bytes.Buffer // written inside TLS
}

func newHost(t *testing.T, k *fakeKite, listens bool) *host {
	h := &host{t: t, local: Local{APIKey: "key", Account: "AB1234"}}
	h.Config = &Config{
		Local: func() Local { h.mu.Lock(); defer h.mu.Unlock(); return h.local },
		Write: func(_ context.Context, token messages.AccessToken) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			if h.fail != nil {
				return h.fail
			}
			h.written = append(h.written, token.Reveal())
			h.has(token.Reveal(), messages.Valid) // the watcher and auth do the rest
			return nil
		},
		Audit:   func(_ bool, text string) { h.mu.Lock(); defer h.mu.Unlock(); h.audit = append(h.audit, text) },
		Observe: func(p []byte) { h.mu.Lock(); defer h.mu.Unlock(); h.plain.Write(p) },
		Version: "v1",
		Exchange: kite.Exchange{
			APIURL: k.URL, Transport: &http.Transport{DisableKeepAlives: true}, Budget: kite.NewBudget(),
		},
	}
	h.reopen(filepath.Join(t.TempDir(), "peers"))
	if listens {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		h.Addr, h.Listen = l.Addr().String(), func() (net.Listener, error) { return l, nil }
		t.Cleanup(func() { _ = l.Close() })
	}
	return h
}

// reopen is a restart of the process, or its first start.
func (h *host) reopen(dir string) {
	h.t.Helper()
	store, err := OpenStore(dir, NewMetrics(prometheus.NewRegistry()))
	if err != nil {
		h.t.Fatal(err)
	}
	h.Store = store
}

// has makes a token the adopted one. The caller has the lock.
func (h *host) has(value string, state messages.AuthState) {
	g := h.local.Session.Generation + 1
	h.local.Session = messages.Session{Generation: g, APIKey: "key", Token: messages.NewAccessToken(value)}
	h.local.Status = messages.TokenStatus{Generation: g, Fingerprint: h.local.Session.Token.Fingerprint(), State: state}
}

func (h *host) login(value string) { h.set(func() { h.has(value, messages.Valid) }) }

func (h *host) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

func (h *host) holds() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.local.Session.Token.Reveal()
}

func (h *host) start() *actorstest.Harness { return actorstest.Start(h.t, Name, New(h.Config)) }

func (h *host) reaches(want bool) {
	h.t.Helper()
	actorstest.Until(h.t, "coherent or not", func() bool { return h.Store.Status().Coherent == want })
}

// says waits for a reason.
func (h *host) says(part string) {
	h.t.Helper()
	var last string
	defer func() {
		if h.t.Failed() {
			h.t.Logf("last reason: %s", last)
		}
	}()
	actorstest.Until(h.t, "the reason: "+part, func() bool {
		last = h.Store.Status().Reason
		return strings.Contains(last, part)
	})
}

// enrol makes two hosts peers.
func enrol(t *testing.T, listening, calling *host) {
	t.Helper()
	code, _, _, err := listening.Invite("")
	if err != nil {
		t.Fatal(err)
	}
	if err := calling.Join(t.Context(), code); err != nil {
		t.Fatal(err)
	}
}

// TestLoginOnEitherServesBoth: whichever side logs in, the other writes its
// token, sealed on the way even inside TLS.
func TestLoginOnEitherServesBoth(t *testing.T) {
	k := newKite(t)
	a, b := newHost(t, k, true), newHost(t, k, false)
	a.start()
	enrol(t, a, b)
	b.start()
	for i, login := range []struct {
		on, other *host
		value     string
	}{{a, b, "first-login-on-a-0123456789abcdef"}, {b, a, "second-login-on-b-0123456789abcde"}, {a, b, "third-login-on-a-again-0123456789"}} {
		k.accept(login.value)
		login.on.login(login.value)
		actorstest.Until(t, "the other has the token", func() bool { return login.other.holds() == login.value })
		a.reaches(true)
		b.reaches(true)
		for _, h := range []*host{a, b} {
			h.set(func() {
				if bytes.Contains(h.plain.Bytes(), []byte(login.value)) {
					t.Errorf("login %d: the token is readable inside TLS", i)
				}
				if strings.Contains(strings.Join(h.audit, "\n"), login.value) {
					t.Errorf("login %d: the token is in an audit line", i)
				}
				if !strings.Contains(strings.Join(h.audit, "\n"), messages.NewSecret(login.value).Fingerprint()) {
					t.Errorf("login %d: no audit line names the fingerprint: %q", i, h.audit)
				}
			})
		}
	}
	for _, h := range []*host{a, b} {
		entries, err := os.ReadDir(h.Store.dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			info, _ := e.Info()
			if info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %04o", e.Name(), info.Mode().Perm())
			}
			text, _ := os.ReadFile(filepath.Join(h.Store.dir, e.Name()))
			if bytes.Contains(text, []byte("login-on")) {
				t.Errorf("%s holds a token", e.Name())
			}
		}
	}
}

// TestKiteRefusesThePeersToken: the file is left as it was, both say so, and the
// peer has its own checked.
func TestKiteRefusesThePeersToken(t *testing.T) {
	k := newKite(t)
	a, b := newHost(t, k, true), newHost(t, k, false)
	ha := a.start()
	enrol(t, a, b)
	k.accept("good")
	b.login("good")
	a.login("dead") // a believes it, and it is the newer one
	b.Store.token(b.Local())
	b.start()
	doubted := actorstest.Await[messages.TokenDoubted](ha, nil)
	if doubted.Generation != 1 {
		t.Errorf("doubted generation %d", doubted.Generation)
	}
	b.says("Kite refuses the peer's token")
	a.says("Kite refuses this server's token when the peer asks")
	b.set(func() {
		if len(b.written) != 0 {
			t.Errorf("a refused token was written")
		}
	})
	a.set(func() { a.local.Status.State = messages.Rejected }) // what auth makes of the doubt
	actorstest.Until(t, "the good token is on both", func() bool { return a.holds() == "good" })
	a.reaches(true)
	b.reaches(true)
}

// TestATokenThatIsNotTakenIsTriedWithPauses: whatever keeps it out of the file,
// Kite is asked about it after growing pauses, however often the peer offers it.
func TestATokenThatIsNotTakenIsTriedWithPauses(t *testing.T) {
	for name, c := range map[string]struct {
		trouble, end func(k *fakeKite, b *host)
	}{
		"kite is away":               {func(k *fakeKite, _ *host) { k.set(func() { k.down = true }) }, func(k *fakeKite, _ *host) { k.set(func() { k.down = false }) }},
		"the file cannot be written": {func(_ *fakeKite, b *host) { b.set(func() { b.fail = os.ErrPermission }) }, func(_ *fakeKite, b *host) { b.set(func() { b.fail = nil }) }},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKite(t)
			a, b := newHost(t, k, true), newHost(t, k, false)
			a.start()
			enrol(t, a, b)
			k.accept("good")
			a.login("good")
			clock := time.Now()
			b.Store.now = func() time.Time { return clock }
			c.trouble(k, b)
			for range 120 { // two minutes in which the peer offers it each second
				o, err := b.call(t.Context(), b.Store.Enrolled())
				if err != nil {
					t.Fatal(err)
				}
				if o.ok || o.reason == "" {
					t.Fatalf("%+v", o)
				}
				clock = clock.Add(time.Second)
			}
			if k.asked < 6 || k.asked > 10 {
				t.Errorf("Kite was asked %d times in two minutes", k.asked)
			}
			c.end(k, b)
			clock = clock.Add(mostPause)
			if o, err := b.call(t.Context(), b.Store.Enrolled()); err != nil || !o.ok || b.holds() != "good" {
				t.Errorf("%+v, %v", o, err)
			}
		})
	}
}

// TestTroubleIsNamed: what keeps two servers apart is said in a way that one can
// act on, and nothing is written.
func TestTroubleIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(t *testing.T, k *fakeKite, a, b *host)
		b, a    string // what each says; "": not looked at
	}{
		"another API key": {prepare: func(_ *testing.T, _ *fakeKite, a, _ *host) { a.set(func() { a.local.APIKey = "other" }) }, a: "different API keys", b: "different API keys"},
		"another account": {prepare: func(_ *testing.T, _ *fakeKite, a, _ *host) { a.set(func() { a.local.Account = "XY9876" }) }, a: "different accounts", b: "different accounts"},
		"kite is away":    {prepare: func(_ *testing.T, k *fakeKite, _, _ *host) { k.set(func() { k.down = true }) }, a: "Kite could not be asked", b: "Kite could not be asked"},
		"a file that may not be written": {prepare: func(_ *testing.T, _ *fakeKite, _, b *host) {
			b.set(func() { b.fail = os.ErrPermission })
		}, a: "its log says why", b: "permission denied"},
		"a token that waits for its proof": {prepare: func(_ *testing.T, _ *fakeKite, _, b *host) { b.set(func() { b.local.Pending = true }) }, a: "the peer checks a newer token", b: "is being checked here"},
		"removed by the listening side": {prepare: func(t *testing.T, _ *fakeKite, a, _ *host) {
			if _, err := a.Remove(); err != nil {
				t.Error(err)
			}
		}, a: "no peer is enrolled", b: "this server does not know your certificate"},
		"another version": {prepare: func(_ *testing.T, _ *fakeKite, a, _ *host) { a.Version = "v2" }, b: ""},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKite(t)
			k.accept("token")
			a, b := newHost(t, k, true), newHost(t, k, false)
			a.start()
			enrol(t, a, b)
			a.login("token")
			c.prepare(t, k, a, b)
			b.start()
			if c.b != "" {
				b.says(c.b)
				b.set(func() {
					if len(b.written) != 0 {
						t.Error("a token was written")
					}
				})
			} else {
				b.reaches(true)
				if v := b.Store.Status().Version; v != "v2" {
					t.Errorf("version %q", v)
				}
			}
			if c.a != "" {
				a.says(c.a)
			}
		})
	}
}

// TestCodes: what is wrong with a code is said by whichever side knows it.
func TestCodes(t *testing.T) {
	k := newKite(t)
	a, b, c := newHost(t, k, true), newHost(t, k, false), newHost(t, k, true)
	a.start()
	ctx := t.Context()
	refused := func(h *host, code, want string) {
		t.Helper()
		if err := h.Join(ctx, code); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	invite := func(h *host) string {
		t.Helper()
		code, _, _, err := h.Invite("")
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	refused(b, "hello", "that is no code")
	refused(b, codePrefix+"AAAA", "damaged")
	code := invite(a)
	refused(b, code[:len(code)-3], "damaged")
	refused(a, code, "a code of this server itself")

	var late atomic.Int64
	a.Store.now = func() time.Time { return time.Now().Add(time.Duration(late.Load())) }
	late.Store(int64(invitationLasts + time.Minute))
	refused(b, code, "has expired 1m0s ago")
	late.Store(0)

	// The certificate is pinned: another server at that address gets nothing.
	parsed, err := parseCode(invite(a))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Store.identity(); err != nil {
		t.Fatal(err)
	}
	c.start()
	parsed.addr = c.Addr
	refused(b, parsed.String(), "foreign certificate")

	for range mostGuesses {
		guess := parsed
		guess.addr, guess.secret = a.Addr, [secretSize]byte{1}
		refused(b, guess.String(), "does not know it")
	}
	refused(b, code, "withdrawn after too many wrong ones")

	code = invite(a)
	if err := b.Join(ctx, code); err != nil {
		t.Fatal(err)
	}
	refused(b, code, "is enrolled as the peer already")
	refused(newHost(t, k, false), code, "used already")
	if _, _, _, err := a.Invite(""); err == nil || !strings.Contains(err.Error(), "peer remove") {
		t.Errorf("a second invitation: %v", err)
	}
	if _, _, _, err := b.Invite(""); err == nil || !strings.Contains(err.Error(), "--peer-addr") {
		t.Errorf("an invitation without a listener: %v", err)
	}
	c.Addr = "0.0.0.0:8440"
	if _, _, _, err := c.Invite(""); err == nil || !strings.Contains(err.Error(), "--reach") {
		t.Errorf("an invitation to every address: %v", err)
	}
	// The answer was lost: the same server may ask again with the same code.
	if _, err := b.Store.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := b.Join(ctx, code); err != nil {
		t.Errorf("the same server, again: %v", err)
	}
	// Nobody is there.
	gone, err := parseCode(code)
	if err != nil {
		t.Fatal(err)
	}
	gone.addr = "127.0.0.1:1"
	refused(newHost(t, k, false), gone.String(), "start the other server with --peer-addr")
}

// TestForeignCertificates: neither side talks to another certificate than the
// enrolled one.
func TestForeignCertificates(t *testing.T) {
	k := newKite(t)
	k.accept("token")
	a, b, stranger := newHost(t, k, true), newHost(t, k, false), newHost(t, k, true)
	a.start()
	enrol(t, a, b)
	a.login("token")
	stranger.login("token")
	id, err := stranger.Store.identity()
	if err != nil {
		t.Fatal(err)
	}
	p := b.Store.Enrolled()
	before := a.plainLen()
	if _, err := stranger.call(t.Context(), p); err == nil || !strings.Contains(err.Error(), "does not know your certificate") {
		t.Errorf("a stranger that calls: %v", err)
	}
	if a.saw(before, "fingerprint") {
		t.Error("a stranger gets the fingerprint of the token")
	}
	stranger.start()
	p.Addr = stranger.Addr
	if _, err := b.call(t.Context(), p); err == nil || !strings.Contains(err.Error(), id.pin.String()) || !strings.Contains(err.Error(), "foreign certificate") {
		t.Errorf("a stranger that answers: %v", err)
	}
}

func (h *host) plainLen() int { h.mu.Lock(); defer h.mu.Unlock(); return h.plain.Len() }

func (h *host) saw(after int, text string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return bytes.Contains(h.plain.Bytes()[after:], []byte(text))
}

// TestAgeSurvivesARestart: a server that starts again with an old token does not
// make it the newer one.
func TestAgeSurvivesARestart(t *testing.T) {
	k := newKite(t)
	a, b := newHost(t, k, true), newHost(t, k, false)
	a.start()
	enrol(t, a, b)
	h := b.start()
	b.login("token")
	actorstest.Until(t, "the age is on disk", func() bool {
		text, err := os.ReadFile(filepath.Join(b.Store.dir, fileTokens))
		return err == nil && strings.Contains(string(text), messages.NewSecret("token").Fingerprint())
	})
	h.Stop()
	dir := b.Store.dir
	b.reopen(dir)
	b.Store.now = func() time.Time { return time.Now().Add(time.Hour) }
	if age := b.Store.token(b.Local()).AgeMS; age < time.Hour.Milliseconds() {
		t.Errorf("the age is %d ms after a restart", age)
	}
	if b.Store.Enrolled() == nil {
		t.Error("the enrolment is lost")
	}
}

// TestClocksDoNotDecide: a clock that is five minutes off is said, and does not
// change whose token is the newer one.
func TestClocksDoNotDecide(t *testing.T) {
	k := newKite(t)
	k.accept("old", "new")
	a, b := newHost(t, k, true), newHost(t, k, false)
	a.Store.now = func() time.Time { return time.Now().Add(-5 * time.Minute) }
	a.start()
	enrol(t, a, b)
	b.login("old")
	b.Store.token(b.Local())
	a.login("new") // 5 minutes earlier, by its own clock
	b.start()
	actorstest.Until(t, "the newer token is on both", func() bool { return b.holds() == "new" })
	b.reaches(true)
	actorstest.Until(t, "the clock is named", func() bool {
		return strings.Contains(b.Store.Status().Warning, "5m0s behind") && strings.Contains(a.Store.Status().Warning, "5m0s ahead of")
	})
}
