package web_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kitestring/actors/web"
	"kitestring/actors/web/api"
	"kitestring/actors/web/live"
	"kitestring/messages"
)

// bodyWait is how long the server waits for a body, with slack for a busy
// machine.
const bodyWait = 20 * time.Second

func TestSlowBodiesAreCutOff(t *testing.T) {
	_, _, addr := open(t, &fakes{}, func(cfg *web.Config) { cfg.Validate = func() {} })
	const clients = 50
	start := time.Now()
	var conns []net.Conn
	for i := range clients {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		// Both what a handler reads, and what none does.
		path := []string{"/api/v1/chaos", "/api/v1/token/validate", "/api/v1/login/complete"}[i%3]
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 40\r\n\r\n{", path, addr)
		conns = append(conns, conn)
	}
	for i, conn := range conns {
		_ = conn.SetReadDeadline(start.Add(bodyWait))
		if _, err := io.ReadAll(conn); err != nil {
			t.Fatalf("connection %d is open after %s: %v", i, time.Since(start).Round(time.Second), err)
		}
	}
	t.Logf("%d slow bodies were cut off after %s", clients, time.Since(start).Round(100*time.Millisecond))
}

// login counts what reaches the login.
type login struct {
	*fakes
	begun, ended atomic.Int32
}

func (l *login) Login(http.ResponseWriter, *http.Request)    { l.begun.Add(1) }
func (l *login) Callback(http.ResponseWriter, *http.Request) { l.ended.Add(1) }

func TestOtherSitesReachNoLogin(t *testing.T) {
	l := &login{fakes: &fakes{}}
	_, _, addr := open(t, l.fakes, func(cfg *web.Config) { cfg.Login = l })
	image := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}
	frame := []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}
	link := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	button := []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	typed := []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	for _, c := range []struct {
		name, path   string
		headers      []string
		code         int
		begun, ended int32
	}{
		{"an image of another site", "/login", image, 403, 0, 0},
		{"a frame of another port of this machine", "/login", frame, 403, 0, 0},
		{"a link on another page", "/login", link, 303, 0, 0},
		{"the dashboard's button", "/login", button, 200, 1, 0},
		{"the address bar", "/login", typed, 200, 1, 0},
		{"a program", "/login", nil, 200, 1, 0},
		{"Kite", "/callback?status=success", link, 200, 0, 1},
		{"Kite, of an app registered with a slash at the end", "/callback/?status=success", link, 200, 0, 1},
		{"Kite, of an app registered with / alone", "/?action=login&type=login&status=success&request_token=x", link, 200, 0, 1},
		{"Kite, after a cancelled login of such an app", "/?status=cancelled", link, 200, 0, 1},
		{"an image of another site that cancels", "/callback?status=cancelled", image, 403, 0, 0},
		{"a frame of another site that cancels", "/?status=cancelled", frame, 403, 0, 0},
		{"the dashboard", "/", typed, 200, 0, 0},
	} {
		l.begun.Store(0)
		l.ended.Store(0)
		resp, body := request(t, "GET", "http://"+addr+c.path, "", c.headers...)
		if resp.StatusCode != c.code || l.begun.Load() != c.begun || l.ended.Load() != c.ended {
			t.Errorf("%s: %d %.80s, %d begun, %d ended; want %d, %d, %d", c.name, resp.StatusCode, body, l.begun.Load(), l.ended.Load(), c.code, c.begun, c.ended)
		}
	}
}

const inNamespace = "KITESTRING_TEST_NAMESPACE"

// On all interfaces of a machine the pages answer by the addresses of its
// interfaces, and the probes by any name. It runs in a network namespace of
// its own, where the interfaces are known.
func TestAllInterfaces(t *testing.T) {
	if os.Getenv(inNamespace) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAllInterfaces$", "-test.v")
		cmd.Env = append(os.Environ(), inNamespace+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
		out, err := cmd.CombinedOutput()
		switch {
		case err != nil && len(out) == 0:
			t.Skipf("LEFT OUT: this user may not make a network namespace (%v)", err)
		case err != nil:
			t.Errorf("in a network namespace: %v\n%s", err, out)
		case strings.Contains(string(out), "--- SKIP"):
			t.Skipf("LEFT OUT: %s", out)
		}
		return
	}
	for _, args := range []string{"link set lo up", "address add 10.1.2.3/32 dev lo", "address add 10.9.9.9/32 dev lo"} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Skipf("ip %s: %v %s", args, err, out)
		}
	}
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	open(t, &fakes{}, func(cfg *web.Config) {
		cfg.Listen = func() (net.Listener, error) { return l, nil }
		cfg.DashboardURL = func() string { return "http://kite.lan:8701/" }
	})
	for _, c := range []struct {
		at, host, path string
		code           int
	}{
		{"10.1.2.3", "10.1.2.3", "/", 200},
		{"10.9.9.9", "10.9.9.9", "/api/v1/status", 200},
		{"127.0.0.1", "localhost", "/", 200},
		{"10.1.2.3", "kite.lan", "/", 200},
		{"10.1.2.3", "10.200.0.1", "/", 421},
		{"10.1.2.3", "evil.example", "/api/v1/status", 421},
		{"10.1.2.3", "kitestring", "/metrics", 200},
		{"10.1.2.3", "10.244.0.7", "/healthz", 200},
		{"127.0.0.1", "evil.example", "/", 421},
		{"127.0.0.1", "kitestring", "/readyz", 503}, // by a port that is forwarded
	} {
		resp, body := request(t, "GET", "http://"+net.JoinHostPort(c.at, port)+c.path, "", "Host", net.JoinHostPort(c.host, port))
		if resp.StatusCode != c.code {
			t.Errorf("%s at %s by the name %s: %d, want %d: %.120s", c.path, c.at, c.host, resp.StatusCode, c.code, body)
		}
	}
	resp, err := http.Get(web.PageURL(l.Addr().String()))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("the printed address %s: %v", web.PageURL(l.Addr().String()), err)
	} else {
		resp.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()
}

// Whatever an actor lets through, no answer and no stream holds a secret.
func TestNoAnswerHoldsASecret(t *testing.T) {
	const secret = adminToken
	leak := "malformed HTTP header: GET /ws?api_key=x&access_token=" + secret
	h := &fakes{admin: messages.NewSecret(secret), actors: []api.Actor{{Name: "feed", Kind: "worker", LastError: leak}}, stats: live.Stats{Refused: []api.Refusal{{Reason: leak}}}}
	store, _, addr := open(t, h)
	store.Apply(messages.InstrumentsResolved{Underlyings: []messages.Underlying{{Name: "NIFTY", Reason: leak}}})
	store.Apply(messages.AuthChanged{FileFault: leak, Adopted: messages.TokenStatus{Generation: 1, State: messages.Valid, Reason: leak}, Candidate: &messages.TokenStatus{State: messages.Rejected, Reason: leak}})
	store.Apply(messages.FeedChanged{State: messages.Backoff, Reason: leak})
	store.Apply(messages.LoginEnded{Result: messages.LoginExchangeFailed, Reason: leak})
	store.Apply(messages.Reading{Kind: "direct", Underlying: "NIFTY", Reason: leak})
	store.Apply(messages.WatchChanged{Degraded: true, Reason: leak})
	store.Apply(messages.EnvAccepted{Warnings: []string{leak}})
	store.Apply(messages.DataState{What: "quotes", Reason: leak})
	for _, path := range []string{
		"/readyz", "/api/v1/status", "/api/v1/token", "/api/v1/events", "/api/v1/actors", "/api/v1/actors/feed", "/api/v1/readings",
		"/api/v1/instruments", "/api/v1/bars/" + secret, "/api/v1/nothing-" + secret, "/api/v1/actors/" + secret,
	} {
		if _, body := request(t, "GET", "http://"+addr+path, ""); strings.Contains(body, secret) {
			t.Errorf("%s holds a secret: %s", path, body)
		}
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /api/v1/stream HTTP/1.1\r\nHost: %s\r\n\r\n", addr)
	_ = conn.SetReadDeadline(time.Now().Add(bodyWait))
	var seen strings.Builder
	for buf := make([]byte, 64<<10); !strings.Contains(seen.String(), "event: event"); {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("%v after %s", err, seen.String())
		}
		seen.Write(buf[:n])
	}
	if strings.Contains(seen.String(), secret) {
		t.Errorf("the stream holds a secret: %s", seen.String())
	}
}
