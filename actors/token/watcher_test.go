package token

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"kitestring/actors/actorstest"
	"kitestring/actors/token/envstyles"
	"kitestring/messages"
)

func fileWith(t testing.TB, token string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), ".env")
	put(t, path, fmt.Sprintf(fileText, token), 0o600)
	return path
}

// move puts a new text in place atomically.
func move(t testing.TB, path, text string) {
	t.Helper()
	put(t, path+".new", text, 0o600)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestStart(t *testing.T) {
	defer func() { // the kernel takes seconds now and then to let go of a notifier
		if err := actorstest.Gone(); err != nil {
			t.Error(err)
		}
	}()
	token := newToken()
	h, s := watch(t, fileWith(t, token))
	m := await(t, h, token)
	if m.Session.Generation != 1 || m.Source != messages.ChangeAtStart || m.Session.APIKey != "apikey0123456789" || m.ChangedAt.IsZero() || m.DetectedAt.IsZero() {
		t.Errorf("the first announcement is %+v", m)
	}
	actorstest.Await(h, func(m messages.EnvAccepted) bool { return m.Path == s.Path() && len(m.Warnings) == 0 })
	actorstest.Await(h, func(m messages.WatchChanged) bool { return !m.Degraded })
	h.Stop() // what it says at its start has been said
	to := map[string]int{}
	for _, sent := range h.Sent() {
		to[fmt.Sprintf("%T %s", sent.Msg, sent.To.ID)]++
	}
	for _, want := range []string{
		"messages.TokenChanged auth/main", "messages.TokenChanged feed/main",
		"messages.EnvAccepted auth/main", "messages.EnvAccepted web/main", "messages.WatchChanged web/main",
	} {
		if to[want] != 1 {
			t.Errorf("%s: %d times, want 1; all: %v", want, to[want], to)
		}
	}
}

// TestRefused: what cannot be used is said once, with its line, the token
// stays, and the next good file heals.
func TestRefused(t *testing.T) {
	token := newToken()
	path := fileWith(t, token)
	h, s := watch(t, path)
	await(t, h, token)
	for _, c := range []struct {
		text, reason string
		line         int
	}{
		{"", "ZERODHA_API_KEY is missing", 0},
		{"ZERODHA_API_KEY=key\nZERODHA_ACCESS_TOKEN=" + newToken()[:12], "half written", 2},
		{"ZERODHA_API_KEY=key\nZERODHA_ACCESS_TOKEN\n", `no "="`, 2},
		{"ZERODHA_ACCESS_TOKEN=" + newToken() + "\n", "ZERODHA_API_KEY is missing", 0},
		{"ZERODHA_API_KEY=key\n", "is gone", 0},
	} {
		move(t, path, c.text)
		m := actorstest.Await(h, func(m messages.EnvRejected) bool { return strings.Contains(m.Reason, c.reason) && m.Line == c.line })
		if m.Path != path || m.At.IsZero() {
			t.Errorf("the rejection is %+v", m)
		}
		actorstest.Until(t, "the store knows the fault", func() bool { return strings.Contains(s.Fault(), c.reason) })
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	actorstest.Await(h, func(m messages.EnvRejected) bool { return strings.Contains(m.Reason, "does not exist") })
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	actorstest.Await(h, func(m messages.EnvRejected) bool { return strings.Contains(m.Reason, "is a directory") })
	if got := s.Current().Candidate.Token.Reveal(); got != token {
		t.Errorf("the token is %q now", got)
	}
	next := newToken()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	move(t, path, fmt.Sprintf(fileText, next))
	if m := await(t, h, next); m.Session.Generation != 2 {
		t.Errorf("the healed file has generation %d, want 2", m.Session.Generation)
	}
	if got := s.Fault(); got != "" {
		t.Errorf("the fault of the healed file is %q", got)
	}
	if n := len(announced(h)); n != 2 {
		t.Errorf("%d announcements, want 2", n)
	}
}

// TestUnreadable needs a user that a mode can stop.
func TestUnreadable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root reads every file")
	}
	token := newToken()
	path := fileWith(t, token)
	h, _ := watch(t, path)
	await(t, h, token)
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	actorstest.Await(h, func(m messages.EnvRejected) bool { return strings.Contains(m.Reason, "permission") })
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	actorstest.Await(h, func(m messages.EnvAccepted) bool { return true })
}

// TestRestart: what changed while the watcher was down is found, a pending
// candidate is announced again, a refused or adopted one is not.
func TestRestart(t *testing.T) {
	token := newToken()
	path := fileWith(t, token)
	h, s := watch(t, path)
	await(t, h, token)
	again := func() *actorstest.Harness {
		h.Stop()
		h = actorstest.Start(t, "token", New(Config{Store: s, Auth: authPID, Feed: feedPID, Web: webPID}))
		actorstest.Await[messages.EnvAccepted](h, nil)
		return h
	}

	if list := announced(again()); len(list) != 1 || list[0].Session.Generation != 1 || list[0].Source != messages.ChangeAtStart {
		t.Errorf("pending: announced %+v, want generation 1 again", list)
	}
	s.Adopt(1)
	if list := announced(again()); len(list) != 0 {
		t.Errorf("adopted: announced %+v", list)
	}
	h.Stop()
	next := newToken()
	move(t, path, fmt.Sprintf(fileText, next))
	again()
	if m := await(t, h, next); m.Session.Generation != 2 || m.Source != messages.ChangeByPoll {
		t.Errorf("changed while down: %+v, want generation 2 by poll", m)
	}
	s.Reject(2, "no")
	if list := announced(again()); len(list) != 0 {
		t.Errorf("refused: announced %+v", list)
	}
}

// TestEnvironment: the API key may come from the process environment, and a
// token of it serves until the file holds one.
func TestEnvironment(t *testing.T) {
	old, token := newToken(), newToken()
	path := filepath.Join(t.TempDir(), ".env")
	environ := map[string]string{KeyAPIKey: "environkey", KeyAccessToken: old}
	s, err := Open(StoreConfig{Path: path, Log: quiet(), Getenv: func(k string) string { return environ[k] }})
	if err != nil {
		t.Fatal(err)
	}
	h := actorstest.Start(t, "token", New(Config{Store: s, Auth: authPID, Feed: feedPID, Web: webPID}))
	await(t, h, old)
	move(t, path, "ZERODHA_ACCESS_TOKEN="+token+"\n")
	if m := await(t, h, token); m.Session.APIKey != "environkey" || m.Session.Generation != 2 {
		t.Errorf("announced %+v", m)
	}
	actorstest.Await(h, func(m messages.EnvAccepted) bool {
		return strings.Contains(strings.Join(m.Warnings, "\n"), KeyAccessToken+" in the process environment differs")
	})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	actorstest.Await[messages.EnvRejected](h, nil)
	if n := len(announced(h)); n != 2 {
		t.Errorf("%d announcements: the stale token of the environment stepped in", n)
	}
}

// TestUnleased: where leases are not to be had, two equal readings serve, and
// still nothing half is announced.
func TestUnleased(t *testing.T) {
	for _, style := range envstyles.All() {
		if style.Polled {
			continue
		}
		t.Run(style.Name, func(t *testing.T) {
			t.Parallel()
			latencies, torn, missed := drive(t, style, 4, func(cfg *Config) {
				cfg.lease = func(*os.File) (leased, func()) { return leaseNone, func() {} }
			})
			if torn > 0 || missed > 0 {
				t.Errorf("%d torn, %d missed", torn, missed)
			}
			t.Log(latencies)
		})
	}
}

// TestHeldOpen: a writer that never closes the file hides no change.
func TestHeldOpen(t *testing.T) {
	token := newToken()
	path := fileWith(t, token)
	h, _ := watch(t, path)
	await(t, h, token)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 3 {
		token = newToken()
		if _, err := f.WriteAt(fmt.Appendf(nil, fileText, token), 0); err != nil {
			t.Fatal(err)
		}
		await(t, h, token)
	}
}

// TestNoNewline: a token without a newline is used once the file has been still,
// not before, and the reason is published meanwhile.
func TestNoNewline(t *testing.T) {
	path := fileWith(t, newToken())
	h, _ := watch(t, path)
	actorstest.Await[messages.TokenChanged](h, nil)
	token := newToken()
	written := time.Now()
	move(t, path, "ZERODHA_API_KEY=key\nZERODHA_ACCESS_TOKEN="+token)
	actorstest.Await(h, func(m messages.EnvRejected) bool { return strings.Contains(m.Reason, "no newline") })
	await(t, h, token)
	if after := time.Since(written); after < stillAfter {
		t.Errorf("used after %v, before the file was still", after)
	}
	actorstest.Await(h, func(m messages.EnvAccepted) bool {
		return strings.Contains(strings.Join(m.Warnings, "\n"), "no newline")
	})
}

// TestHungDisk: a look that does not come back is shown, is the only one over
// all incarnations, lets the actor stop, and heals when it comes back.
func TestHungDisk(t *testing.T) {
	path := fileWith(t, newToken())
	s := openStore(t, path)
	var hang atomic.Pointer[chan struct{}]
	var looks, most atomic.Int32
	cfg := Config{Store: s, Auth: authPID, Feed: feedPID, Web: webPID, lease: func(f *os.File) (leased, func()) {
		most.Store(max(most.Load(), looks.Add(1)))
		defer looks.Add(-1)
		if c := hang.Load(); c != nil {
			<-*c
		}
		return lease(f)
	}}
	h := actorstest.Start(t, "token", New(cfg))
	actorstest.Await[messages.TokenChanged](h, nil)
	release := make(chan struct{})
	hang.Store(&release)
	token := newToken()
	move(t, path, fmt.Sprintf(fileText, token))
	hung := func(m messages.WatchChanged) bool {
		return m.Degraded && strings.Contains(m.Reason, "does not answer")
	}
	actorstest.Await(h, hung)
	h.Stop()
	h = actorstest.Start(t, "token", New(cfg))
	actorstest.Await(h, hung)
	if n := most.Load(); n != 1 {
		t.Errorf("%d looks at once", n)
	}
	hang.Store(nil)
	close(release)
	await(t, h, token)
	actorstest.Await(h, func(m messages.WatchChanged) bool { return !m.Degraded })
}

// TestRewrittenFileAnswers: a look at a file that is rewritten all the time takes
// long, and is not called hung: each reading of it is answered.
func TestRewrittenFileAnswers(t *testing.T) {
	path := fileWith(t, newToken())
	var last, until atomic.Int64
	start := time.Now()
	h := actorstest.Start(t, "token", New(Config{Store: openStore(t, path), Auth: authPID, Feed: feedPID, Web: webPID, lease: func(f *os.File) (leased, func()) {
		if now := time.Since(start); int64(now) < until.Load() {
			_ = os.WriteFile(path, fmt.Appendf(nil, "# %d\n"+fileText, last.Add(1), newToken()), 0o600)
			return leaseBusy, func() {}
		}
		return lease(f)
	}}))
	actorstest.Await[messages.TokenChanged](h, nil)
	until.Store(int64(time.Since(start) + hungAfter + hungAfter/2))
	token := newToken()
	move(t, path, fmt.Sprintf(fileText, newToken()))
	actorstest.Until(t, "the file is not rewritten any more", func() bool { return int64(time.Since(start)) > until.Load() })
	move(t, path, fmt.Sprintf(fileText, token))
	await(t, h, token)
	for _, sent := range h.Sent() {
		if m, ok := sent.Msg.(messages.WatchChanged); ok && strings.Contains(m.Reason, "does not answer") {
			t.Errorf("called hung: %+v", m)
		}
	}
}

// TestLoginWithARefusedToken: Kite gives the same token within a day; a login
// with it is a reason to try it again.
func TestLoginWithARefusedToken(t *testing.T) {
	token := newToken()
	path := fileWith(t, token)
	h, s := watch(t, path)
	await(t, h, token)
	if err := s.SetToken(t.Context(), messages.NewAccessToken(token)); err != nil || s.Reopen(1) {
		t.Fatalf("%v, or a token that nobody refused was reopened", err)
	}
	s.Reject(1, "a fault of Kite's")
	if err := s.SetToken(t.Context(), messages.NewAccessToken(token)); err != nil {
		t.Fatal(err)
	}
	m := actorstest.Await(h, func(m messages.TokenChanged) bool { return m.Session.Generation == 2 })
	if m.Session.Token.Reveal() != token || m.Source != messages.ChangeByLogin {
		t.Errorf("announced %+v", m)
	}
	if s.Reopen(1) {
		t.Error("an older generation was reopened")
	}
}

// TestPause: the file is read often wherever an event may be missing.
func TestPause(t *testing.T) {
	good := func() *poller { return &poller{watches: &watchSet{}, awake: true} }
	if got := good().pause(); got != pollSlow {
		t.Errorf("with events: %v", got)
	}
	for name, spoil := range map[string]func(*poller){
		"no watches":        func(p *poller) { p.watches = nil },
		"a fault":           func(p *poller) { p.fault = "x" },
		"a silent system":   func(p *poller) { p.silent = "nfs" },
		"no event seen yet": func(p *poller) { p.awake = false },
		"held by a writer":  func(p *poller) { p.last.held = true },
	} {
		p := good()
		spoil(p)
		if got := p.pause(); got != pollFast {
			t.Errorf("%s: %v, want %v", name, got, pollFast)
		}
	}
}

// TestSettling: without a lease a text must stay the same for a while, and for
// longer while a writer has the file open.
func TestSettling(t *testing.T) {
	path := fileWith(t, newToken())
	for outcome, least := range map[leased]time.Duration{leaseGranted: 0, leaseNone: 25 * time.Millisecond, leaseBusy: 250 * time.Millisecond} {
		begun := time.Now()
		r := readStable(t.Context(), path, [32]byte{}, openFile, func(*os.File) (leased, func()) { return outcome, func() {} })
		if took := time.Since(begun); r.err != nil || took < least || outcome == leaseGranted && took > settleHeld {
			t.Errorf("outcome %d: %v after %v, want at least %v", outcome, r.err, took, least)
		}
	}
}

// TestThousandRotations: nothing is left behind by a rotation.
func TestThousandRotations(t *testing.T) {
	n := 1000
	if testing.Short() || actorstest.Race {
		n = 100
	}
	token := newToken()
	path := fileWith(t, token)
	s := openStore(t, path)
	h := actorstest.Start(t, "token", New(Config{Store: s, Auth: authPID, Feed: feedPID, Web: webPID}))
	await(t, h, token)
	rotate := func(n int) {
		for range n {
			token := newToken()
			if err := s.SetToken(context.Background(), messages.NewAccessToken(token)); err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(patience); s.Current().Candidate.Token.Reveal() != token; pause() {
				if time.Now().After(deadline) {
					t.Fatal("a token was missed")
				}
			}
			s.Adopt(s.Current().Candidate.Generation)
		}
	}
	rotate(10)
	goroutines, fds := runtime.NumGoroutine(), openFiles(t)
	rotate(n)
	for deadline := time.Now().Add(patience); ; pause() {
		g, f := runtime.NumGoroutine(), openFiles(t)
		if g <= goroutines && f <= fds {
			t.Logf("%d rotations: %d goroutines before, %d after; %d files before, %d after", n, goroutines, g, fds, f)
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("%d goroutines before, %d after; %d files before, %d after", goroutines, g, fds, f)
		}
	}
	if got := s.Adopted(); int(got) != n+11 {
		t.Errorf("adopted is %d, want %d", got, n+11)
	}
}

func openFiles(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("open files cannot be counted here: %v", err)
	}
	return len(entries)
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	path := fileWith(t, newToken())
	s, err := Open(StoreConfig{Path: path, Log: quiet(), Metrics: NewMetrics(registry)})
	if err != nil {
		t.Fatal(err)
	}
	h := actorstest.Start(t, "token", New(Config{Store: s, Auth: authPID, Feed: feedPID, Web: webPID}))
	actorstest.Await[messages.TokenChanged](h, nil)
	next := newToken()
	move(t, path, fmt.Sprintf(fileText, next))
	await(t, h, next)
	s.Reject(2, "no")
	move(t, path, "")
	actorstest.Await[messages.EnvRejected](h, nil)
	move(t, path, fmt.Sprintf(fileText, next))
	count := func(result string) (n float64) {
		for _, source := range []messages.ChangeSource{messages.ChangeByEvent, messages.ChangeByPoll} {
			n += testutil.ToFloat64(s.metrics.changes.WithLabelValues(string(source), result))
		}
		return n
	}
	// Whether an event or the poll is first to see a change is nobody's promise.
	for deadline := time.Now().Add(patience); count(resultUnchanged) == 0; pause() {
		if time.Now().After(deadline) {
			t.Fatal("the rewrite was not counted")
		}
	}
	for result, want := range map[string]float64{resultApplied: 1, resultRejected: 1, resultMalformed: 1, resultUnchanged: 1} {
		if got := count(result); got != want {
			t.Errorf("%s counted %v times, want %v", result, got, want)
		}
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
	if n, err := testutil.GatherAndCount(registry, "kitestring_token_changes_total"); err != nil || n != 12 {
		t.Errorf("%d series of changes (%v), want 12", n, err)
	}
}
