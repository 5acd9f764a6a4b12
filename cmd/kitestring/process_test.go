package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kitestring/actors/actorstest"
	"kitestring/actors/analysis"
	"kitestring/actors/web/api"
	"kitestring/cmd/kitestring/cli"
	"kitestring/cmd/kitestring/rehearse"
	"kitestring/messages"
	"kitestring/messages/ist"
)

// asProgram makes this test binary be kitestring itself, for tests that need a
// process of its own: signals, its exit code, what it leaves behind.
const asProgram = "KITESTRING_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	actorstest.Main(m)
}

// clearOfMidnight waits where India's next day is about to begin. The built-in
// exchange opens on today's date: a server that starts again after midnight meets
// a day on which the token that it has kept is dead, as it should be.
func clearOfMidnight(t *testing.T) {
	t.Helper()
	const enough = 2 * time.Minute
	now := time.Now().In(ist.Zone)
	left := time.Date(now.Year(), now.Month(), now.Day()+1, 0, 0, 0, 0, ist.Zone).Sub(now)
	if left < enough {
		t.Logf("waits %s for the day to begin", left)
		<-time.After(left + time.Second)
	}
}

// process is a running "kitestring run".
type process struct {
	cmd      *exec.Cmd
	addr     string
	out, log safeBuffer
	done     chan error
}

// startProcess starts the server and waits for its address.
func startProcess(t *testing.T, program string, env []string, args ...string) *process {
	t.Helper()
	return startProcessLogging(t, nil, program, env, args...)
}

// startProcessLogging starts the server with another standard error; nil: p.log.
func startProcessLogging(t *testing.T, log *os.File, program string, env []string, args ...string) *process {
	t.Helper()
	p := &process{done: make(chan error, 1)}
	p.cmd = exec.Command(program, append([]string{"run", "--addr", "127.0.0.1:0", "--log-format", "json"}, args...)...)
	p.cmd.Env = append([]string{asProgram + "=1", "PATH=" + os.Getenv("PATH")}, env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.log
	if log != nil {
		p.cmd.Stderr = log
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(lastLines(p.log.String(), 15))
		}
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			<-p.done
		}
	})
	eventually(t, time.Minute, "the server prints its address", func() (bool, string) {
		_, after, ok := strings.Cut(p.out.String(), "http://")
		p.addr = strings.TrimSuffix(strings.TrimSpace(after), "/")
		return ok, p.out.String() + lastLines(p.log.String(), 3)
	})
	return p
}

// end sends a signal and gives the process' end and how long it took.
func (p *process) end(t *testing.T, sig os.Signal) (code int, took time.Duration) {
	t.Helper()
	start := time.Now()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		t.Fatal("the process does not end")
	}
	return p.cmd.ProcessState.ExitCode(), time.Since(start)
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// eventually polls until ok, or names what was never true.
func eventually(t *testing.T, d time.Duration, what string, ok func() (bool, string)) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(d); ; <-tick.C {
		done, seen := ok()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s (last seen: %s)", d, what, seen)
		}
	}
}

func scrape(t *testing.T, addr string) string {
	t.Helper()
	return httpGet(t, "http://"+addr+"/metrics")
}

func httpGet(t *testing.T, url string) string {
	t.Helper()
	c := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return body.String()
}

// An end under load: in time, in order, nothing half-written, and the next
// start is live on what was kept.
func TestTerminatedUnderLoad(t *testing.T) {
	leftOutByShort(t)
	clearOfMidnight(t)
	dir := t.TempDir()
	env := filepath.Join(dir, ".env")
	p := startProcess(t, os.Args[0], nil, "--env-file", env, "--sim-rate", "10000", "--sim-instruments", "500")
	live(t, p.addr)
	eventually(t, time.Minute, "10 000 full ticks have come", func() (bool, string) {
		full := regexp.MustCompile(`kitestring_feed_ticks_total\{mode="full"\} (\S+)`).FindStringSubmatch(scrape(t, p.addr))
		if full == nil {
			return false, "no such metric"
		}
		n, err := strconv.ParseFloat(full[1], 64)
		return err == nil && n >= 10_000, full[1]
	})
	held, err := os.ReadFile(env)
	if err != nil {
		t.Fatal(err)
	}
	still := rehearse.WatchStandstill()
	code, took := p.end(t, syscall.SIGTERM)
	still.Stop()
	// It takes a fifth of that. What other programs take of the machine is not the server's.
	if code != cli.ExitOK || took > 5*time.Second+still.SoFar() {
		t.Errorf("SIGTERM under load: exit %d after %s, want 0 within 5 s; the machine stood still for %s", code, took, still.SoFar())
	}
	t.Logf("SIGTERM at 10 k ticks/s: exit %d after %s", code, took.Round(time.Millisecond))
	if now, err := os.ReadFile(env); err != nil || !bytes.Equal(now, held) {
		t.Errorf("the env file was changed by the end: %v", err)
	}
	nothingHalfWritten(t, dir)

	p = startProcess(t, os.Args[0], nil, "--env-file", env, "--sim-login", "manual")
	live(t, p.addr)
	if code, _ := p.end(t, os.Interrupt); code != cli.ExitOK {
		t.Errorf("the second server ended with %d", code)
	}
	if now, _ := os.ReadFile(env); tokenLine(string(now)) != tokenLine(string(held)) {
		t.Error("the second start is live on another token")
	}
	nothingHalfWritten(t, dir)
}

// A server whose log nobody reads any more, like "run 2>&1 | head", runs on.
func TestAClosedLogDoesNotEndTheServer(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := startProcessLogging(t, writer, os.Args[0], nil, "--env-file", filepath.Join(t.TempDir(), ".env"), "--log-level", "debug")
	_ = writer.Close() // the process has its own
	_ = reader.Close()
	live(t, p.addr)
	for range 3 { // each logs
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		live(t, p.addr)
	}
	visit(t, p.addr)
	live(t, p.addr)
	if code, _ := p.end(t, syscall.SIGTERM); code != cli.ExitOK {
		t.Errorf("exit %d", code)
	}
}

// A log that nobody drains stops no actor: logins go on, tokens are adopted, and
// the server ends in time.
func TestAStalledLogStopsNoActor(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close() })
	if _, err := unix.FcntlInt(writer.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
		t.Fatal(err)
	}
	p := startProcessLogging(t, writer, os.Args[0], nil, "--env-file", filepath.Join(t.TempDir(), ".env"), "--log-level", "debug")
	_ = writer.Close()
	live(t, p.addr)
	for range 3 {
		before := generation(t, p.addr)
		visit(t, p.addr)
		eventually(t, 10*time.Second, "the token of the login is adopted", func() (bool, string) {
			return generation(t, p.addr) > before, ""
		})
	}
	live(t, p.addr)
	if code, took := p.end(t, syscall.SIGTERM); code != cli.ExitOK || took > stopWithin {
		t.Errorf("exit %d after %s", code, took)
	}
}

// nothingHalfWritten demands that what a server keeps is whole: JSON files
// parse, and no temporary file is left.
func nothingHalfWritten(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		switch name := d.Name(); {
		case strings.HasSuffix(name, ".json"):
			if !json.Valid(data) {
				t.Errorf("%s is not whole: %.80q", path, data)
			}
		case name == ".env" || name == ".env.lock" || name == ".env.server": // the lock files stay
		case regexp.MustCompile(`(?i)tmp|temp|\.env`).MatchString(name):
			t.Errorf("%s was left behind", path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// hangup sends SIGHUP and waits until the log says what came of it, once more
// than before, and the server is live.
func (p *process) hangup(t *testing.T, says string) {
	t.Helper()
	said := strings.Count(p.log.String(), says)
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the log says "+says, func() (bool, string) {
		return strings.Count(p.log.String(), says) > said, lastLines(p.log.String(), 3)
	})
	live(t, p.addr)
}

// A hangup reads the file again and logs what it found; nothing else changes.
func TestHangupReadsTheFileAgain(t *testing.T) {
	env := filepath.Join(t.TempDir(), ".env")
	p := startProcess(t, os.Args[0], nil, "--env-file", env, "--sim-rate", "200")
	live(t, p.addr)
	g := generation(t, p.addr)
	good, err := os.ReadFile(env)
	if err != nil {
		t.Fatal(err)
	}
	p.hangup(t, "env file accepted")
	if err := os.WriteFile(env, []byte("ZERODHA_ACCESS_TOKEN='no end\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.hangup(t, "env file rejected")
	if err := os.WriteFile(env, good, 0o600); err != nil {
		t.Fatal(err)
	}
	p.hangup(t, "env file accepted")
	if now := generation(t, p.addr); now != g {
		t.Errorf("generation %d after hangups over the same token, %d before", now, g)
	}
	if code, _ := p.end(t, syscall.SIGTERM); code != cli.ExitOK {
		t.Errorf("exit %d", code)
	}
}

// A hangup reads the configuration file again. Only the actors that a change
// concerns restart; a file that is wrong changes nothing.
func TestHangupReadsTheConfigurationAgain(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "kitestring.json")
	choose := func(text string) {
		t.Helper()
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	index := func(name, symbol string) string {
		return `{"name": "` + name + `", "index_exchange": "NSE", "index_symbol": "` + symbol + `", "derivatives_exchange": "NFO"}`
	}
	choose(`{"underlyings": [` + index("NIFTY", "NIFTY 50") + `]}`)
	p := startProcess(t, os.Args[0], nil, "--env-file", filepath.Join(dir, ".env"), "--sim-rate", "200", "--config", config)
	live(t, p.addr)
	epochs := func() map[string]uint64 {
		var all []api.Actor
		if !fetch(p.addr, "/api/v1/actors", &all) {
			t.Fatal("no actors")
		}
		of := map[string]uint64{}
		for _, a := range all {
			of[a.Name] = a.Epoch
		}
		return of
	}
	reads := func(underlying, profile string) {
		t.Helper()
		eventually(t, time.Minute, underlying+" alone is read, as "+profile, func() (bool, string) {
			var all []messages.Reading
			if !fetch(p.addr, "/api/v1/readings", &all) {
				return false, "no answer"
			}
			right, seen := len(all) > 0, ""
			for _, r := range all {
				seen += fmt.Sprintf("%s of %s as %s, ", r.Kind, r.Underlying, r.Profile)
				// Some kinds have one profile only.
				right = right && r.Underlying == underlying && (r.Kind != "candle_intent" || r.Profile == profile)
			}
			return right, seen
		})
	}
	// reload waits until all analyses have restarted: a reading of one says nothing
	// about the others.
	reload := func(says string) {
		t.Helper()
		was := epochs()
		p.hangup(t, says)
		eventually(t, time.Minute, "all actors that it concerns restart", func() (bool, string) {
			now := epochs()
			for _, a := range append(analysis.All(), analysis.Analysis{Kind: "token"}) {
				if now[a.Kind] == was[a.Kind] {
					return false, a.Kind + " has not"
				}
			}
			return true, ""
		})
	}
	reads("NIFTY", "calibrated")
	before := epochs()

	choose(`{"underlyings": [` + index("BANKNIFTY", "NIFTY BANK") + `], "analysis": {"profile": "classic"}, "mailbox": {"ticks": 100}}`)
	reload("another size of mailboxes takes a restart")
	reads("BANKNIFTY", "classic")
	var names []messages.Underlying
	if !fetch(p.addr, "/api/v1/instruments", &names) || len(names) != 1 || names[0].Name != "BANKNIFTY" {
		t.Errorf("instruments of %+v", names)
	}
	after := epochs()
	for _, name := range []string{"feed", "auth", "bars", "web", "market"} {
		if after[name] != before[name] {
			t.Errorf("%s restarted", name)
		}
	}

	choose(`{"underlyings": [` + index("BANKNIFTY", "NIFTY BANK") + `], "analysis": {"thresholds": {"pcr": {"bullish_from": 1.3}}}, "mailbox": {"ticks": 100}}`)
	reload("configuration read again")
	reads("BANKNIFTY", "calibrated")
	eventually(t, time.Minute, "the reading names the threshold", func() (bool, string) {
		var r messages.Reading
		return fetch(p.addr, "/api/v1/readings/BANKNIFTY/pcr", &r) && r.Parameters["bullish_from"] == 1.3, fmt.Sprint(r.Parameters)
	})
	choose(`{"underlyings": [` + index("BANKNIFTY", "NIFTY BANK") + `], "analysis": {"profile": "classic"}, "mailbox": {"ticks": 100}}`)
	reload("configuration read again")
	reads("BANKNIFTY", "classic")
	after = epochs()

	choose(`{"analysis": {"profile": "moon"}}`)
	p.hangup(t, "analysis.profile \\\"moon\\\"")
	reads("BANKNIFTY", "classic")
	choose(`{"holidays": "` + filepath.Join(dir, "absent") + `"}`)
	p.hangup(t, "the table of holidays cannot be used")
	reads("BANKNIFTY", "classic")
	if now := epochs(); !maps.Equal(now, after) {
		t.Errorf("epochs %v after files that are wrong, %v before", now, after)
	}
	if code, _ := p.end(t, syscall.SIGTERM); code != cli.ExitOK {
		t.Errorf("exit %d", code)
	}
}

// systemd receives when the tree is up, that it works, and when it ends.
func TestSystemdReceivesTheState(t *testing.T) {
	leftOutByShort(t)
	dir := t.TempDir()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	// A short limit makes pings frequent; systemd kills what misses it.
	limit := 900 * time.Millisecond
	p := startProcess(t, os.Args[0], []string{
		"NOTIFY_SOCKET=" + filepath.Join(dir, "notify"), "WATCHDOG_USEC=900000",
	}, "--env-file", filepath.Join(dir, ".env"), "--sim-rate", "200")
	receive := func(d time.Duration) string {
		t.Helper()
		if err := socket.SetReadDeadline(time.Now().Add(d)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		n, err := socket.Read(buf)
		if err != nil {
			return ""
		}
		return string(buf[:n])
	}
	await := func(what string) string {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
			if said := receive(time.Until(deadline)); strings.Contains(said, what) {
				return said
			}
		}
		t.Fatalf("systemd never received %s", what)
		return ""
	}
	await("READY=1")
	live(t, p.addr)
	for range 3 {
		if said := await("WATCHDOG=1"); !strings.Contains(said, "STATUS=") || !strings.Contains(said, "actors running") {
			t.Errorf("a ping without a status: %q", said)
		}
	}
	// A process that stands still sends no pings, and sends none late, which would
	// make it seem alive.
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for receive(limit) != "" { // what was on its way
	}
	if said := receive(limit); said != "" {
		t.Errorf("a stopped server said %q", said)
	}
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	await("WATCHDOG=1")
	ended := make(chan int, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
			ended <- p.cmd.ProcessState.ExitCode()
		case <-ctx.Done():
			ended <- -1
		}
	}()
	await("STOPPING=1")
	if code := <-ended; code != cli.ExitOK {
		t.Errorf("exit %d", code)
	}
}
