package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kitestring/actors/actorstest"
	"kitestring/actors/simulator"
	"kitestring/actors/web/api"
	"kitestring/cmd/kitestring/cli"
	"kitestring/messages"
)

// kitestring runs the program with arguments and no environment but env.
func kitestring(t *testing.T, ctx context.Context, env map[string]string, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs safeBuffer
	code = run(ctx, args, func(key string) string { return env[key] }, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

// leftOutByShort is for tests that take seconds: "make test-short" does without.
func leftOutByShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("LEFT OUT by -short")
	}
}

type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestWrongUseIsNamed(t *testing.T) {
	dir := t.TempDir()
	realFile := filepath.Join(dir, "real.env")
	if err := os.WriteFile(realFile, []byte("ZERODHA_API_KEY=realkey\nZERODHA_API_SECRET=realsecret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	env := filepath.Join(dir, "sim.env")
	for _, c := range []struct {
		args []string
		code int
		want []string // all on one line of standard error
	}{
		{[]string{"--moon"}, cli.ExitUsage, []string{"--moon", "--help"}},
		{[]string{"run", "--moon"}, cli.ExitUsage, []string{"--moon", "kitestring run --help"}},
		{[]string{"nothing"}, cli.ExitUsage, []string{"nothing"}},
		{[]string{"run", "extra"}, cli.ExitUsage, []string{"extra"}},
		{[]string{"run", "--profile", "moon"}, cli.ExitUsage, []string{"moon", "auto, sim, sandbox or live"}},
		{[]string{"run", "--log-level", "loud"}, cli.ExitUsage, []string{"loud", "debug, info, warn or error"}},
		{[]string{"run", "--log-format", "loud"}, cli.ExitUsage, []string{"loud", "auto, text or json"}},
		{[]string{"run", "--addr", "nowhere"}, cli.ExitUsage, []string{"nowhere", "127.0.0.1:8420"}},
		{[]string{"run", "--sim-login", "never"}, cli.ExitUsage, []string{"never", "auto or manual"}},
		{[]string{"run", "--sim-speed", "0"}, cli.ExitUsage, []string{"--sim-speed"}},
		{[]string{"run", "--sim-addr", "0.0.0.0:0"}, cli.ExitUsage, []string{"loopback"}},
		{[]string{"run", "--sim-bars", "/no/such/folder"}, cli.ExitUsage, []string{"/no/such/folder"}},
		{[]string{"run", "--env-file", env, "--addr", busy.Addr().String()}, cli.ExitError, []string{busy.Addr().String(), "in use", "--addr"}},
		{[]string{"run", "--env-file", env, "--addr", "0.0.0.0:0"}, cli.ExitError, []string{"ADMIN_TOKEN"}},
		{[]string{"run", "--env-file", env, "--profile", "live"}, cli.ExitError, []string{"ZERODHA_API_KEY", "--profile sim"}},
		{[]string{"run", "--env-file", realFile, "--profile", "sim", "--addr", "127.0.0.1:0"}, cli.ExitError, []string{"real account", "--env-file"}},
		{[]string{"run", "--env-file", env, "--addr", "127.0.0.1:0", "--state-dir", realFile}, cli.ExitError, []string{"--state-dir"}},
		{[]string{"status", "--addr", busy.Addr().String() + "x"}, cli.ExitUsage, []string{"--addr"}},
		{[]string{"status", "--addr", "127.0.0.1:1"}, cli.ExitUnreachable, []string{"127.0.0.1:1", "kitestring run"}},
		{[]string{"chaos", "feed"}, cli.ExitUsage, []string{"--kind", "panic"}},
		{[]string{"chaos", "feed", "--kind", "moon"}, cli.ExitUsage, []string{"moon", "goroutine"}},
		{[]string{"chaos", "feed", "--kind", "hang", "--for", "-1s"}, cli.ExitUsage, []string{"-1s", "10s"}},
		{[]string{"chaos", "feed", "--kind", "hang", "--for", "long"}, cli.ExitUsage, []string{"--for", "long"}},
		{[]string{"login", "--wait", "0s"}, cli.ExitUsage, []string{"--wait", "10m"}},
		{[]string{"statsu"}, cli.ExitUsage, []string{`"kitestring statsu"`, "did you mean status?", "--help"}},
		{[]string{"token", "shwo"}, cli.ExitUsage, []string{`"kitestring token shwo"`, "did you mean show?"}},
		{[]string{"zzzzzz"}, cli.ExitUsage, []string{`no command "kitestring zzzzzz". See`}},
		{[]string{"completion"}, cli.ExitUsage, []string{"bash|zsh|fish|powershell"}},
		{[]string{"completion", "tcsh"}, cli.ExitUsage, []string{"tcsh", "bash, zsh, fish, powershell"}},
		{[]string{"man", "moon"}, cli.ExitUsage, []string{"moon", "--help"}},
		{[]string{"man", "run", "--dir", dir}, cli.ExitUsage, []string{"--dir"}},
		{[]string{"man", "--dir", filepath.Join(realFile, "man")}, cli.ExitError, []string{"--dir", "not a directory"}},
		{[]string{"licenses", "moon"}, cli.ExitUsage, []string{"moon"}},
		{[]string{"doctor", "--addr", "8420"}, cli.ExitUsage, []string{"8420", "127.0.0.1:8420"}},
		{[]string{"doctor", "--profile", "moon"}, cli.ExitUsage, []string{"moon", "auto, sim, sandbox or live"}},
		{[]string{"doctor", "--env-file", "/"}, cli.ExitUsage, []string{"directory"}},
		{[]string{"run", "--addr", "127.0.0.1:65536"}, cli.ExitUsage, []string{"65536", "65535"}},
		{[]string{"status", "--watch", "--addr", "nowhere"}, cli.ExitUsage, []string{"nowhere", "127.0.0.1:8420"}},
		{[]string{"drill", "moonwalk"}, cli.ExitUsage, []string{"moonwalk", "rotate-valid"}},
		{[]string{"token", "set", "--env-file", env}, cli.ExitUsage, []string{"standard input"}},
		{[]string{"restart"}, cli.ExitUsage, []string{"restart NAME"}},
		{[]string{"analyse"}, cli.ExitUsage, []string{"--bars", "nifty_5m.csv"}},
		{[]string{"analyse", "--bars", "/no/such/file.csv"}, cli.ExitUsage, []string{"/no/such/file.csv", "no such file"}},
		{[]string{"analyse", "--bars", dir}, cli.ExitUsage, []string{dir, "folder"}},
		{[]string{"analyse", "--bars", realFile, "--profile", "moon"}, cli.ExitUsage, []string{"moon", "calibrated or classic"}},
		{[]string{"analyse", "--bars", realFile, "--kind", "pcr"}, cli.ExitUsage, []string{"pcr", "volume_pulse"}},
	} {
		code, stdout, stderr := kitestring(t, t.Context(), nil, "", c.args...)
		line := strings.TrimSpace(stderr)
		if code != c.code || strings.Contains(line, "\n") {
			t.Errorf("%v: exit %d (want %d), stderr %q, stdout %q", c.args, code, c.code, stderr, stdout)
		}
		for _, want := range c.want {
			if !strings.Contains(line, want) {
				t.Errorf("%v: %q does not say %q", c.args, line, want)
			}
		}
	}
	if data, err := os.ReadFile(realFile); err != nil || string(data) != "ZERODHA_API_KEY=realkey\nZERODHA_API_SECRET=realsecret\n" {
		t.Errorf("a file with real credentials was changed: %q %v", data, err)
	}
}

// served is a running "kitestring run" in this process.
type served struct {
	addr     string
	out, log safeBuffer
	stop     func() int // gives the exit code
}

// server starts "kitestring run" on the embedded exchange and waits for its
// address.
func server(t *testing.T, args ...string) (addr string, stop func() int) {
	t.Helper()
	s := serve(t, append([]string{"--addr", "127.0.0.1:0", "--sim-rate", "200"}, args...)...)
	return s.addr, s.stop
}

// serve starts "kitestring run" and waits for its address.
func serve(t *testing.T, args ...string) *served {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &served{}
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, append([]string{"run", "--log-format", "json"}, args...), func(string) string { return "" }, strings.NewReader(""), &s.out, &s.log)
	}()
	s.stop = sync.OnceValue(func() int {
		cancel()
		code := <-done
		if t.Failed() {
			t.Log(lastLines(s.log.String(), 40))
		}
		return code
	})
	t.Cleanup(func() { s.stop() })
	eventually(t, time.Minute, "the server prints its address", func() (bool, string) {
		_, after, ok := strings.Cut(s.out.String(), "http://")
		s.addr = strings.TrimSuffix(strings.TrimSpace(after), "/")
		return ok, s.out.String() + s.log.String()
	})
	return s
}

// postJSON sends JSON and wants a good answer.
func postJSON(t *testing.T, url string, body any) {
	t.Helper()
	c := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Post(url, "application/json", bytes.NewReader(must(json.Marshal(body))))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		t.Fatalf("%s: %s", url, resp.Status)
	}
}

// live waits until "kitestring status" exits with 0.
func live(t *testing.T, addr string) {
	t.Helper()
	eventually(t, time.Minute, "the server is live", func() (bool, string) {
		code, out, errs := kitestring(t, t.Context(), nil, "", "status", "--addr", addr)
		return code == cli.ExitOK, fmt.Sprintf("exit %d: %s%s", code, out, errs)
	})
}

func TestANewcomersPath(t *testing.T) {
	clearOfMidnight(t)
	env := filepath.Join(t.TempDir(), ".env")
	addr, stop := server(t, "--env-file", env)
	live(t, addr)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"status"}, "LIVE"},
		{[]string{"status", "--json"}, `"profile":"sim"`},
		{[]string{"token", "show"}, "valid"},
		{[]string{"token", "validate"}, "valid"},
		{[]string{"actors"}, "feed"},
		{[]string{"rotations"}, "adopted"},
	} {
		// On a machine that stands still for seconds a live server may seem dead.
		eventually(t, time.Minute, fmt.Sprintf("%v says %q", c.args, c.want), func() (bool, string) {
			code, out, errs := kitestring(t, t.Context(), nil, "", append(c.args, "--addr", addr)...)
			return code == cli.ExitOK && strings.Contains(out, c.want), fmt.Sprintf("exit %d: %s%s", code, out, errs)
		})
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"restart", "pcr"}, cli.ExitOK, "restarting pcr"},
		{[]string{"restart", "moon"}, cli.ExitUsage, "feed"},
		{[]string{"chaos", "auth", "--kind", "panic"}, cli.ExitOK, "injected"},
		{[]string{"chaos", "auth", "--kind", "moon"}, cli.ExitUsage, "panic"},
		{[]string{"chaos", "moon", "--kind", "panic"}, cli.ExitUsage, "feed"},
	} {
		code, out, errs := kitestring(t, t.Context(), nil, "", append(c.args, "--addr", addr)...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("%v: exit %d, want %d: %q without %q", c.args, code, c.code, out+errs, c.want)
		}
	}
	live(t, addr)

	// A login from the command line, as a person would do it without a browser.
	before := generation(t, addr)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, errs safeBuffer
	loggedIn := make(chan int, 1)
	go func() {
		loggedIn <- run(ctx, []string{"login", "--no-browser", "--env-file", env, "--addr", addr}, func(string) string { return "" }, strings.NewReader(""), &out, &errs)
	}()
	// A login that ended before the command has begun is another's.
	actorstest.Until(t, "the login waits", func() bool { return strings.Contains(errs.String(), "/connect/login?") })
	visit(t, addr)
	select {
	case code := <-loggedIn:
		if said := out.String(); code != cli.ExitOK || !strings.Contains(said, "coherent") || !strings.Contains(said, fmt.Sprintf("generation %d,", before+1)) {
			t.Errorf("login: exit %d, %s%s", code, said, errs.String())
		}
	case <-time.After(time.Minute):
		t.Fatalf("the login did not end: %s%s", out.String(), errs.String())
	}
	if after := generation(t, addr); after != before+1 {
		t.Errorf("generation %d after the login, %d before", after, before)
	}
	if code := stop(); code != cli.ExitOK {
		t.Errorf("the server ended with %d", code)
	}

	// A second start is live without a login: the file still holds the token.
	held, err := os.ReadFile(env)
	if err != nil {
		t.Fatal(err)
	}
	addr, stop = server(t, "--env-file", env, "--sim-login", "manual")
	live(t, addr)
	if code := stop(); code != cli.ExitOK {
		t.Errorf("the second server ended with %d", code)
	}
	again, err := os.ReadFile(env)
	if err != nil || tokenLine(string(again)) != tokenLine(string(held)) || tokenLine(string(held)) == "" {
		t.Errorf("the token in the file changed at a restart (%v)", err)
	}
}

func generation(t *testing.T, addr string) messages.Generation {
	t.Helper()
	_, out, _ := kitestring(t, t.Context(), nil, "", "token", "show", "--json", "--addr", addr)
	var tok api.Token
	if err := json.Unmarshal([]byte(out), &tok); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return tok.Generation
}

func tokenLine(env string) string {
	for line := range strings.Lines(env) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "ZERODHA_ACCESS_TOKEN="); ok {
			return value
		}
	}
	return ""
}

// visit does a login as a browser does: the server's own address, the
// exchange's page (it approves by itself), and back.
func visit(t *testing.T, addr string) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get("http://" + addr + "/login")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("the login ended with %s at %s", resp.Status, resp.Request.URL.Path)
	}
}

// overwrite changes a file by a rename.
func overwrite(path string, change func(text string) string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", []byte(change(string(text))), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// An exchange that floods its sockets with texts writes little into the log.
func TestAFloodOfTextsDoesNotFloodTheLog(t *testing.T) {
	leftOutByShort(t)
	sim := freeAddr(t)
	for _, kind := range []simulator.FaultKind{simulator.FaultTextFlood, simulator.FaultOrderFlood} {
		s := serve(t, "--env-file", file(t, ".env", ""), "--addr", "127.0.0.1:0", "--sim-addr", sim, "--sim-rate", "200")
		live(t, s.addr)
		before := len(s.log.String())
		postJSON(t, "http://"+sim+"/sim/v1/faults", simulator.Fault{Kind: kind})
		<-time.After(3 * time.Second) // the flood
		if n := len(s.log.String()) - before; n > 200_000 {
			t.Errorf("%s: %d bytes of log in 3 s", kind, n)
		}
		if code := s.stop(); code != cli.ExitOK {
			t.Errorf("exit %d", code)
		}
	}
}
