package token

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kitestring/actors"
	"kitestring/actors/token/dotenv"
	"kitestring/messages"
)

var _ actors.TokenSource = (*Store)(nil)

// see lets the store observe a token as the watcher would.
func see(s *Store, token string) (messages.TokenChanged, bool) {
	return observe(s, finding{apiKey: "key", token: messages.NewAccessToken(token)})
}

func observe(s *Store, f finding) (messages.TokenChanged, bool) {
	seen := observation{env: dotenv.Parse(nil), finding: f, via: messages.ChangeByEvent, changed: time.Now()}
	s.observe(&seen)
	return seen.change, seen.fresh
}

func emptyStore(t testing.TB) *Store {
	return openStore(t, filepath.Join(t.TempDir(), ".env"))
}

func TestGenerations(t *testing.T) {
	s := emptyStore(t)
	for i, step := range []struct {
		token string
		want  messages.Generation // 0: no news
	}{{"A", 1}, {"A", 0}, {"typo", 2}, {"typo", 0}, {"A", 3}, {"B", 4}} {
		c, fresh := see(s, step.token)
		if c.Session.Generation != step.want || fresh != (step.want > 0) {
			t.Errorf("step %d (%s): generation %d, fresh %v; want %d", i, step.token, c.Session.Generation, fresh, step.want)
		}
		if i == 0 && c.Source != messages.ChangeAtStart {
			t.Errorf("the first source is %s, want start", c.Source)
		}
	}
	f := finding{apiKey: "another key", token: messages.NewAccessToken("B")}
	if c, fresh := observe(s, f); !fresh || c.Session.Generation != 5 {
		t.Errorf("another API key for the same token: generation %d, want 5", c.Session.Generation)
	}
}

func TestAdoptAndReject(t *testing.T) {
	s := emptyStore(t)
	if s.Adopt(1) || s.Reject(1, "") {
		t.Error("a generation that does not exist was adopted or refused")
	}
	see(s, "A")
	if v := s.Current(); v.Candidate.Generation != 1 || !v.Adopted.IsZero() || v.Changed.Session.Generation != 1 {
		t.Errorf("before the proof: %+v", v)
	}
	if !s.Adopt(1) || s.Adopt(1) {
		t.Error("want the first adoption of 1 to succeed and the second not")
	}
	if v := s.Current(); v.Adopted.Generation != 1 || !v.Candidate.IsZero() {
		t.Errorf("after the proof: %+v", v)
	}
	see(s, "typo")
	if !s.Reject(2, "Kite does not know it") || s.Reject(2, "again") || s.Adopt(2) {
		t.Error("want 2 refused once, and never adopted")
	}
	if reason, rejected := s.Rejected(2); !rejected || reason != "Kite does not know it" {
		t.Errorf("Rejected(2) = %q, %v", reason, rejected)
	}
	if v := s.Current(); v.Adopted.Generation != 1 || !v.Candidate.IsZero() {
		t.Errorf("after the refusal: %+v", v)
	}
	see(s, "B")
	see(s, "C")
	if !s.Adopt(3) { // its proof arrives late
		t.Error("3 is proven and newer than 1: want it adopted")
	}
	if v := s.Current(); v.Adopted.Generation != 3 || v.Candidate.Generation != 4 {
		t.Errorf("with a newer candidate pending: %+v", v)
	}
	s.Adopt(4)
	if s.Adopt(3) || s.Adopted() != 4 {
		t.Error("adoption went backwards")
	}
}

// TestAdoptionRules: whatever happens in whatever order, adoption only moves
// forward, and what was refused is never adopted nor offered again.
func TestAdoptionRules(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		s, err := Open(StoreConfig{Path: filepath.Join(dir, ".env"), Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		refused := map[messages.Generation]bool{}
		var adopted messages.Generation
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			g := messages.Generation(rapid.IntRange(0, 12).Draw(t, "generation"))
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				see(s, rapid.SampledFrom([]string{"A", "B", "C"}).Draw(t, "token"))
			case 1:
				if s.Reject(g, "no") {
					refused[g] = true
				}
			case 2:
				if s.Adopt(g) && refused[g] {
					t.Fatalf("%d was refused and adopted", g)
				}
			case 3:
				s.Used("someone", g)
			}
			v := s.Current()
			if v.Adopted.Generation < adopted {
				t.Fatalf("adoption went from %d back to %d", adopted, v.Adopted.Generation)
			}
			adopted = v.Adopted.Generation
			if c := v.Candidate.Generation; c > 0 && (refused[c] || c <= adopted) {
				t.Fatalf("%d is offered, though refused or not newer than %d", c, adopted)
			}
		}
	})
}

func TestRecordsAreBounded(t *testing.T) {
	s := emptyStore(t)
	see(s, "first")
	s.Adopt(1)
	for i := range 1000 {
		see(s, fmt.Sprint(i))
	}
	if n := len(s.records); n > keptRecords+1 {
		t.Errorf("%d records kept", n)
	}
	if s.Current().Adopted.Generation != 1 || s.Current().Candidate.Generation != 1001 {
		t.Errorf("the adopted or the candidate was forgotten: %+v", s.Current())
	}
}

func TestCoherence(t *testing.T) {
	s := emptyStore(t)
	wantCoherent := func(want bool, when string) {
		t.Helper()
		if got := s.Coherent(); got != want {
			t.Errorf("%s: coherent is %v; %+v", when, got, s.Holders())
		}
	}
	wantCoherent(true, "nobody has used anything")
	see(s, "A")
	s.Used("feed", 1)
	wantCoherent(true, "a candidate is tried before anything is adopted")
	s.Adopt(1)
	s.Used("pcr", 1)
	see(s, "B")
	s.Used("feed", 2)
	wantCoherent(true, "a candidate is tried")
	s.Adopt(2)
	wantCoherent(false, "pcr still works with 1")
	s.Used("pcr", 2)
	wantCoherent(true, "all on 2")
	s.Used("pcr", 1)
	wantCoherent(false, "pcr has fallen back")
	s.Used("pcr", 2)
	s.Used("idle", 0)
	if h := s.Holders(); len(h) != 2 || h[0].Actor != "feed" || h[0].Generation != 2 || h[0].At.IsZero() {
		t.Errorf("holders: %+v", h)
	}
	s.Used("bars", 1)
	if n := s.Idle(2, []string{"feed", "pcr", "bars", "nobody"}); n != 2 {
		t.Errorf("%d idle, want bars and nobody", n)
	}
}

// TestUsed: one log line per holder and generation, and no cost otherwise.
func TestUsed(t *testing.T) {
	var out bytes.Buffer
	s, err := Open(StoreConfig{Path: filepath.Join(t.TempDir(), ".env"), Log: slog.New(slog.NewTextHandler(&out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	secret := newToken()
	see(s, secret)
	for range 3 {
		s.Used("feed", 1)
		s.Used("pcr", 1)
	}
	see(s, newToken())
	s.Used("feed", 2)
	s.Used("feed", 1) // the old socket still streams
	s.Used("feed", 2)
	if n := strings.Count(out.String(), "token taken up"); n != 3 {
		t.Errorf("%d lines, want 3:\n%s", n, out.String())
	}
	if want := "actor=feed generation=1 fingerprint=" + messages.NewSecret(secret).Fingerprint(); !strings.Contains(out.String(), want) {
		t.Errorf("no line with %q:\n%s", want, out.String())
	}
	if strings.Contains(out.String(), secret) {
		t.Error("the log shows the token")
	}
	if n := testing.AllocsPerRun(100, func() { s.Used("feed", 2) }); n > 0 {
		t.Errorf("an unchanged use allocates %v times", n)
	}
}

func BenchmarkUsed(b *testing.B) {
	s := emptyStore(b)
	see(s, "A")
	for b.Loop() {
		s.Used("feed", 1)
	}
}

func TestCredentials(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	put(t, path, "ZERODHA_API_KEY=filekey\nZERODHA_API_SECRET=filesecret\nKITESTRING_PROFILE=sim\n", 0o644)
	environ := map[string]string{KeyAPIKey: "environkey", KeyRedirectURL: "http://x/", "ADMIN_TOKEN": "admin"}
	s, err := Open(StoreConfig{Path: path, Log: quiet(), Getenv: func(k string) string { return environ[k] }})
	if err != nil {
		t.Fatal(err)
	}
	c := s.Credentials()
	if c.APIKey != "filekey" || c.APISecret.Reveal() != "filesecret" || c.RedirectURL != "http://x/" {
		t.Errorf("credentials are %+v", c)
	}
	_, f := judge(path, &reading{text: []byte(get(t, path)), mode: 0o644, links: 1}, s.getenv, false, false)
	warnings := strings.Join(f.warnings, "\n")
	for _, want := range []string{KeyAPIKey + " in the process environment differs", "chmod 600"} {
		if !strings.Contains(warnings, want) {
			t.Errorf("no warning of %q in %q", want, warnings)
		}
	}
	for _, value := range []string{"filekey", "filesecret", "environkey"} {
		if strings.Contains(warnings, value) {
			t.Errorf("the warnings show %q", value)
		}
	}
	if v, ok := s.Value("KITESTRING_PROFILE"); !ok || v != "sim" {
		t.Errorf("the marker is %q, %v", v, ok)
	}
	if s.Secret("ADMIN_TOKEN").Reveal() != "admin" {
		t.Error("ADMIN_TOKEN does not come from the environment")
	}
	if _, ok := s.Value("NONE"); ok {
		t.Error("a key that is nowhere was found")
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, path := range []string{"", "/"} {
		if _, err := Open(StoreConfig{Path: path}); err == nil {
			t.Errorf("Open(%q) succeeded", path)
		}
	}
	if _, err := Open(StoreConfig{Path: filepath.Join(t.TempDir(), "none", ".env")}); err != nil {
		t.Errorf("a file that is not there yet: %v", err)
	}
}

func TestStoreNeverPrints(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	put(t, path, "ZERODHA_API_SECRET=canary-secret\nZERODHA_ACCESS_TOKEN=canarytoken\n", 0o600)
	s := openStore(t, path)
	see(s, "canarytoken")
	seen := observation{env: s.env, finding: finding{token: messages.NewAccessToken("canarytoken")}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d"} {
		if out := fmt.Sprintf(verb+verb, s, seen) + fmt.Sprintf(verb, *s.env); strings.Contains(out, "canary") {
			t.Errorf("%s: %s", verb, out)
		}
	}
}

func TestModeWarning(t *testing.T) {
	for mode, want := range map[fs.FileMode]int{0o600: 0, 0o400: 0, 0o640: 1, 0o604: 1, 0o644: 1} {
		if got := len(modeWarning(mode | os.ModeSticky)); got != want {
			t.Errorf("mode %o: %d warnings, want %d", mode, got, want)
		}
	}
}

// TestAnswering: what hangs is given up, what ends with its context is not.
func TestAnswering(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	release := make(chan struct{})
	defer close(release)
	if err := answering(ctx, func() error { <-release; return nil }); !errors.Is(err, errHung) {
		t.Errorf("a hung call: %v", err)
	}
	if err := answering(ctx, func() error { <-ctx.Done(); return errOvertaken }); !errors.Is(err, errOvertaken) {
		t.Errorf("one that ends: %v", err)
	}
	if err := answering(t.Context(), func() error { panic("x") }); err == nil || !strings.Contains(err.Error(), "panic: x") {
		t.Errorf("a panic: %v", err)
	}
}
