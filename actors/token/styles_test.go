package token

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors/actorstest"
	"kitestring/actors/token/envstyles"
	"kitestring/messages"
)

// These processes are helpers of the tests: the test binary started again.
func TestMain(m *testing.M) {
	switch os.Getenv("TOKEN_TEST_ROLE") {
	case "burn":
		for spins := 0; ; {
			spins++
		}
	case "write":
		os.Exit(writerProcess())
	case "mount":
		os.Exit(mountProcess())
	}
	os.Exit(m.Run())
}

// role starts the test binary again as one of its helpers.
func role(name string, env ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), append(env, "TOKEN_TEST_ROLE="+name)...)
	return cmd
}

const fileText = "# kitestring\nZERODHA_API_KEY=apikey0123456789\nZERODHA_API_SECRET=secret0123456789\n" +
	"ZERODHA_ACCESS_TOKEN=%s\n\n# where Kite sends the browser back to\nREDIRECT_URL=http://127.0.0.1:8420/callback\n"

var (
	authPID = actor.NewPID(actor.LocalLookupAddr, "auth/main")
	feedPID = actor.NewPID(actor.LocalLookupAddr, "feed/main")
	webPID  = actor.NewPID(actor.LocalLookupAddr, "web/main")
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// newToken makes a token as Kite's look.
func newToken() string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, usualTokenLength)
	for i := range b {
		b[i] = letters[rand.IntN(len(letters))]
	}
	return string(b)
}

// watch starts a watcher on a path.
func watch(t testing.TB, path string, change ...func(*Config)) (*actorstest.Harness, *Store) {
	t.Helper()
	s := openStore(t, path)
	cfg := Config{Store: s, Auth: authPID, Feed: feedPID, Web: webPID}
	for _, c := range change {
		c(&cfg)
	}
	return actorstest.Start(t, "token", New(cfg)), s
}

// announced lists the changes that were sent to the feed, in order.
func announced(h *actorstest.Harness) []messages.TokenChanged {
	var list []messages.TokenChanged
	for _, sent := range h.Sent() {
		if m, ok := sent.Msg.(messages.TokenChanged); ok && sent.To == feedPID {
			list = append(list, m)
		}
	}
	return list
}

// drive changes the token n times in one style and waits for each to be
// announced. It returns the latencies; torn counts announcements of values
// that nobody wrote, missed those that did not come.
func drive(t testing.TB, style envstyles.Style, n int, change ...func(*Config)) (latencies []time.Duration, torn, missed int) {
	t.Helper()
	dir := t.TempDir()
	first := newToken()
	path, err := style.Prepare(dir, fmt.Sprintf(fileText, first))
	if err != nil {
		t.Fatal(err)
	}
	h, _ := watch(t, path, change...)
	defer h.Stop()
	written := map[string]bool{}
	if _, err := os.Stat(path); err == nil {
		written[first] = true
		await(t, h, first)
	} else {
		actorstest.Await[messages.EnvRejected](h, nil)
	}
	seen := len(announced(h))
	for range n {
		token := newToken()
		written[token] = true
		completed, err := style.Apply(path, token)
		if err != nil {
			t.Fatal(err)
		}
		m, ok := waitFor(h, token, &seen)
		if !ok {
			missed++
			continue
		}
		latencies = append(latencies, max(0, m.DetectedAt.Sub(completed)))
	}
	for i, m := range announced(h) {
		if !written[m.Session.Token.Reveal()] {
			torn++
		}
		if int(m.Session.Generation) != i+1 {
			t.Errorf("announcement %d has generation %d: something was announced again", i+1, m.Session.Generation)
		}
	}
	if err := h.Err(); err != nil {
		t.Errorf("the watcher failed: %v", err)
	}
	return latencies, torn, missed
}

// patience is how long something is waited for that must come: a machine that
// is busy, or its disk, may stand still for seconds.
const patience = 30 * time.Second

// waitFor looks for an announcement behind the first *seen ones.
func waitFor(h *actorstest.Harness, token string, seen *int) (messages.TokenChanged, bool) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		list := announced(h)
		for ; *seen < len(list); *seen++ {
			if m := list[*seen]; m.Session.Token.Reveal() == token {
				*seen++
				return m, true
			}
		}
		pause()
	}
	return messages.TokenChanged{}, false
}

// pause gives the processor away for a moment.
func pause() { <-time.After(200 * time.Microsecond) }

func await(t testing.TB, h *actorstest.Harness, token string) messages.TokenChanged {
	t.Helper()
	m, ok := waitFor(h, token, new(int))
	if !ok {
		t.Fatalf("the token was not announced within %s", patience)
	}
	return m
}

// TestStyles: whatever writes the file and however, each change is announced
// exactly once, and nothing that was not written ever is.
func TestStyles(t *testing.T) {
	n := 12
	if testing.Short() {
		n = 3
	}
	for _, style := range envstyles.All() {
		t.Run(style.Name, func(t *testing.T) {
			t.Parallel()
			n := n
			if style.Polled {
				n = min(n, 4)
			}
			latencies, torn, missed := drive(t, style, n)
			if torn > 0 || missed > 0 || len(latencies) != n {
				t.Fatalf("%d changes: %d seen, %d missed, %d torn", n, len(latencies), missed, torn)
			}
			slices.Sort(latencies)
			t.Logf("p50 %v, max %v", latencies[n/2], latencies[n-1])
		})
	}
}

// BenchmarkDetect measures from the step that completes a change until its
// TokenChanged, over 200 changes, idle and with every core kept busy by another
// process.
func BenchmarkDetect(b *testing.B) {
	for _, style := range envstyles.All() {
		for _, load := range []string{"idle", "busy"} {
			b.Run(style.Name+"/"+load, func(b *testing.B) {
				if load == "busy" {
					burn(b)
				}
				const n = 200
				var latencies []time.Duration
				var torn, missed int
				for b.Loop() { // once is enough, whatever the -benchtime
					if latencies == nil {
						latencies, torn, missed = drive(b, style, n)
					}
					pause()
				}
				if torn > 0 || missed > 0 {
					b.Errorf("%d torn, %d missed", torn, missed)
				}
				slices.Sort(latencies)
				ms := func(i int) float64 { return float64(latencies[i]) / 1e6 }
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(ms(len(latencies)/2), "p50-ms")
				b.ReportMetric(ms(len(latencies)*99/100), "p99-ms")
				b.ReportMetric(ms(len(latencies)-1), "max-ms")
				b.ReportMetric(float64(torn), "torn")
				b.ReportMetric(float64(missed), "missed")
				b.ReportMetric(n, "changes")
			})
		}
	}
}

// burn keeps every core busy until the benchmark ends.
func burn(b *testing.B) {
	for range runtime.NumCPU() {
		cmd := role("burn", "GOMAXPROCS=1")
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	}
}

// TestNothingIsNews: what leaves the value alone announces nothing.
func TestNothingIsNews(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	token := newToken()
	text := fmt.Sprintf(fileText, token)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	h, s := watch(t, path)
	await(t, h, token)
	for name, change := range map[string]func() error{
		"rewritten": func() error { return os.WriteFile(path, []byte(text), 0o600) },
		"touched":   func() error { return os.Chtimes(path, time.Time{}, time.Now()) },
		"chmod":     func() error { return os.Chmod(path, 0o600) },
		"other key": func() error { return s.Set(context.Background(), "OTHER", newToken()) },
		"comment": func() error {
			return os.WriteFile(path, []byte(strings.Replace(text, "# kite", "# the kite", 1)), 0o600)
		},
		"noise about": func() error { return os.WriteFile(filepath.Join(filepath.Dir(path), ".env.swp"), nil, 0o600) },
	} {
		if err := change(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	next := newToken()
	if err := s.SetToken(context.Background(), messages.NewAccessToken(next)); err != nil {
		t.Fatal(err)
	}
	m := await(t, h, next)
	if m.Session.Generation != 2 || m.Source != messages.ChangeByLogin {
		t.Errorf("the next token has generation %d and source %s, want 2 and login", m.Session.Generation, m.Source)
	}
	if list := announced(h); len(list) != 2 {
		t.Errorf("%d announcements, want 2", len(list))
	}
}
