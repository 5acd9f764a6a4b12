package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kitestring/actors/actorstest"
	"kitestring/actors/web/api"
	"kitestring/cmd/kitestring/cli"
	"kitestring/messages"
)

// fakeServer answers the API from a table: path -> value; what is not in it is
// a problem 404.
func fakeServer(t *testing.T, answers map[string]any) (addr string) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, ok := answers[r.URL.Path]
		if problem, is := v.(api.Problem); is {
			w.WriteHeader(problem.Status)
		} else if !ok {
			w.WriteHeader(http.StatusNotFound)
			v = api.Problem{Title: "no such thing", Status: http.StatusNotFound, Detail: "There is no such thing.", Names: []string{"feed", "web"}}
		}
		_ = json.NewEncoder(w).Encode(v)
	}))
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

// statusOf is a status in a state.
func statusOf(live bool, token messages.AuthState, feed messages.FeedState, message string) api.Status {
	return api.Status{
		Live: live, Message: message,
		Token: api.StatusToken{Generation: 1, State: token}, Feed: api.StatusFeed{State: feed}, Market: api.StatusMarket{Phase: messages.Open},
		Process: api.StatusProcess{ID: 1, StartedAt: time.Now()},
	}
}

func TestStatusSaysWhatToDo(t *testing.T) {
	parked := "The feed is parked because Kite refused the connection: Kite answered 403."
	for name, c := range map[string]struct {
		status api.Status
		code   int
		want   string
	}{
		"live":        {statusOf(true, messages.Valid, messages.Streaming, "Data is live."), cli.ExitOK, ""},
		"no token":    {statusOf(false, messages.NoToken, messages.AwaitingToken, "There is no token yet."), cli.ExitLogin, "There is no token yet. Run: kitestring login"},
		"rejected":    {statusOf(false, messages.Rejected, messages.Unauthorised, "Kite refuses the token."), cli.ExitLogin, "kitestring login"},
		"parked":      {statusOf(false, messages.Suspect, messages.Unauthorised, parked), cli.ExitDegraded, "parked because Kite refused the connection: Kite answered 403. If the token has expired, run: kitestring login"},
		"parked only": {statusOf(false, messages.Valid, messages.Unauthorised, parked), cli.ExitDegraded, "kitestring token validate"},
		"backoff":     {statusOf(false, messages.Valid, messages.Backoff, "The feed is down."), cli.ExitDegraded, "kitestring doctor"},
		"quarantined": {func() api.Status {
			st := statusOf(false, messages.Valid, messages.Backoff, "")
			st.Actors.NotRunning = []string{"feed"}
			return st
		}(), cli.ExitDegraded, "data is not live. See why feed does not run: kitestring actors"},
	} {
		addr := fakeServer(t, map[string]any{"/api/v1/status": c.status, "/api/v1/rotations": []messages.Rotation{}})
		for _, format := range []string{"--json=false", "--json"} {
			code, stdout, stderr := kitestring(t, t.Context(), nil, "", "status", "--addr", addr, format)
			if code != c.code || !strings.Contains(stderr, c.want) || (c.want == "") != (stderr == "") || strings.Count(stderr, "\n") > 1 || stdout == "" {
				t.Errorf("%s %s: exit %d, stderr %q, stdout %q", name, format, code, stderr, stdout)
			}
		}
	}
}

func TestStatusTellsTheLastGap(t *testing.T) {
	st := statusOf(true, messages.Valid, messages.Streaming, "Data is live.")
	st.At = time.Now()
	for want, gap := range map[string]*api.StatusGap{
		"": nil,
		"2m5s ago, 12 instruments blind at a reconnect": {Reason: messages.GapReconnect, Instruments: 12, At: st.At.Add(-125 * time.Second)},
	} {
		st.Feed.LastGap = gap
		addr := fakeServer(t, map[string]any{"/api/v1/status": st, "/api/v1/rotations": []messages.Rotation{}})
		_, stdout, _ := kitestring(t, t.Context(), nil, "", "status", "--addr", addr)
		if strings.Contains(stdout, "last gap") != (gap != nil) || !strings.Contains(stdout, want) {
			t.Errorf("%q, want %q", stdout, want)
		}
	}
}

func TestStatusNamesWhatIsMissing(t *testing.T) {
	st := statusOf(true, messages.Valid, messages.Streaming, "Data is live.")
	st.At = time.Now()
	st.Market.ExchangeTime = st.At.Add(-17 * time.Hour) // the clock that ages of data are counted on
	st.Missing = []api.StatusMissing{{What: "history of bars", Reason: "Kite refuses it: Insufficient permission for that call.", Since: st.Market.ExchangeTime.Add(-time.Minute)}}
	addr := fakeServer(t, map[string]any{"/api/v1/status": st, "/api/v1/rotations": []messages.Rotation{}})
	if _, stdout, _ := kitestring(t, t.Context(), nil, "", "status", "--addr", addr); !strings.Contains(stdout, "history of bars, for 1m0s: Kite refuses it: Insufficient") {
		t.Errorf("%q", stdout)
	}
}

func TestActorsNamesTheQuarantined(t *testing.T) {
	addr := fakeServer(t, map[string]any{"/api/v1/actors": []api.Actor{{Name: "root", Kind: "supervisor"}, {Name: "pcr", Kind: "worker", Parent: "root", State: "quarantined"}}})
	code, stdout, stderr := kitestring(t, t.Context(), nil, "", "actors", "--addr", addr)
	if code != cli.ExitOK || !strings.Contains(stdout, "  pcr") || !strings.Contains(stderr, "kitestring restart pcr") {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
}

// clientCommands ask a server, each with the least it needs.
var clientCommands = [][]string{
	{"status"},
	{"token", "show"},
	{"token", "validate"},
	{"actors"},
	{"rotations"},
	{"restart", "pcr"},
	{"chaos", "pcr", "--kind", "panic"},
	{"login", "--no-browser"},
}

func TestExitCodesOfEveryClientCommand(t *testing.T) {
	notFound := fakeServer(t, nil)
	refused := fakeServer(t, map[string]any{
		"/api/v1/token": api.Token{}, "/api/v1/token/validate": api.Problem{Title: "admin token needed", Status: 401, Detail: "An admin token is needed."},
		"/api/v1/actors/pcr/restart": api.Problem{Title: "admin token needed", Status: 401, Detail: "An admin token is needed."},
		"/api/v1/chaos":              api.Problem{Title: "admin token needed", Status: 401, Detail: "An admin token is needed."},
		"/api/v1/login/start":        api.Problem{Title: "admin token needed", Status: 401, Detail: "An admin token is needed."},
	})
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>nginx</html>") }))
	defer foreign.Close()
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	for _, command := range clientCommands {
		for _, c := range []struct {
			what string
			ctx  context.Context
			addr string
			code int
			want string
		}{
			{"no server", t.Context(), "127.0.0.1:1", cli.ExitUnreachable, "kitestring run"},
			{"another server", t.Context(), foreign.Listener.Addr().String(), cli.ExitUnreachable, "no kitestring"},
			{"not an address", t.Context(), "nowhere", cli.ExitUsage, "127.0.0.1:8420"},
			{"not a port", t.Context(), "127.0.0.1:99999", cli.ExitUsage, "65535"},
			{"interrupted", interrupted, notFound, cli.ExitInterrupted, ""},
			{"unknown", t.Context(), notFound, cli.ExitUsage, "Known: feed, web."},
			{"refused", t.Context(), refused, cli.ExitError, "admin token"},
		} {
			if c.what == "refused" && (command[0] == "status" || command[0] == "actors" || command[0] == "rotations" || command[len(command)-1] == "show") {
				continue // these are open to all
			}
			code, stdout, stderr := kitestring(t, c.ctx, map[string]string{}, "", append(command, "--addr", c.addr)...)
			if code != c.code || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") > 1 || stdout != "" {
				t.Errorf("%v, %s: exit %d (want %d), stderr %q, stdout %q", command, c.what, code, c.code, stderr, stdout)
			}
		}
	}
}

func TestWatchWithoutATerminal(t *testing.T) {
	addr := fakeServer(t, map[string]any{"/api/v1/status": statusOf(true, messages.Valid, messages.Streaming, "Data is live."), "/api/v1/rotations": []messages.Rotation{}})
	for _, format := range []string{"--json=false", "--json"} {
		ctx, cancel := context.WithCancel(t.Context())
		var out, errs safeBuffer
		done := make(chan int, 1)
		go func() {
			done <- run(ctx, []string{"status", "--watch", "--addr", addr, format}, func(string) string { return "" }, strings.NewReader(""), &out, &errs)
		}()
		mark := "LIVE "
		if format == "--json" {
			mark = `"live":true`
		}
		actorstest.Until(t, "two screens are printed", func() bool { return strings.Count(out.String(), mark) >= 2 })
		cancel()
		if code := <-done; code != cli.ExitOK || errs.String() != "" || strings.Contains(out.String(), "\x1b") {
			t.Errorf("%s: exit %d, %q, %q", format, code, errs.String(), out.String())
		}
		if format != "--json" {
			continue
		}
		for line := range strings.Lines(out.String()) {
			if err := json.Unmarshal([]byte(line), &api.Status{}); err != nil {
				t.Errorf("%v in %q", err, line)
			}
		}
	}
}

func TestWatchOnATerminal(t *testing.T) {
	master, slave := terminal(t)
	addr := fakeServer(t, map[string]any{"/api/v1/status": statusOf(false, messages.Rejected, messages.Unauthorised, "Kite refuses the token."), "/api/v1/rotations": []messages.Rotation{}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var shown safeBuffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			if err != nil { // the other end is closed
				return
			}
			_, _ = shown.Write(buf[:n])
		}
	}()
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"status", "--watch", "--addr", addr}, func(string) string { return "" }, strings.NewReader(""), slave, slave)
	}()
	actorstest.Until(t, "the screen is drawn again", func() bool { return strings.Count(shown.String(), "NOT LIVE") >= 2 })
	cancel()
	if code := <-done; code != cli.ExitOK {
		t.Errorf("exit %d", code)
	}
	_ = slave.Close()
	<-read
	const home = "\x1b[H"
	screen := shown.String()
	if !strings.HasPrefix(screen, "\x1b[?1049h\x1b[?25l\x1b[?7l"+home) || !strings.HasSuffix(screen, "\x1b[?7h\x1b[?25h\x1b[?1049l") || !strings.Contains(screen, "Run: kitestring login") {
		t.Errorf("the terminal got %q", screen)
	}
	if strings.Count(screen, home) < 2 || strings.Contains(screen, "\x1b[2J") {
		t.Errorf("not redrawn in place: %q", screen)
	}
}

// terminal is a pseudo terminal of our own.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminal here: %v", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Skipf("no pseudo terminal here: %v", err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Skipf("no pseudo terminal here: %v", err)
	}
	return master, slave
}
