package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kitestring/supervisor/tree"
)

// A killed server is live again without a login, on the token that the file
// holds; even when the kill comes in the middle of a rotation. What it keeps
// beside the file holds no secret.
func TestKilledAndLiveAgainWithoutALogin(t *testing.T) {
	clearOfMidnight(t)
	dir := t.TempDir()
	env := filepath.Join(dir, ".env")
	var secrets canaries
	secrets.add("API secret", tree.SimAPISecret)
	held := func() string {
		t.Helper()
		data, err := os.ReadFile(env)
		if err != nil {
			t.Fatal(err)
		}
		return secrets.add("access token", tokenLine(string(data)))
	}
	start := func(login string) *process {
		return startProcess(t, os.Args[0], nil, "--env-file", env, "--sim-rate", "200", "--log-level", "debug", "--sim-login", login)
	}
	killed := func(p *process) {
		t.Helper()
		if code, _ := p.end(t, os.Kill); code != -1 {
			t.Errorf("exit %d, want a kill", code)
		}
		if found := secrets.leaks([]byte(p.log.String() + p.out.String())); found != nil {
			t.Error("output: ", found)
		}
	}

	p := start("auto")
	live(t, p.addr)
	first := held()
	killed(p)

	began := time.Now()
	p = start("manual") // nobody logs in
	live(t, p.addr)
	t.Logf("live %s after the start", time.Since(began).Round(time.Millisecond))
	if held() != first {
		t.Error("the second start is live on another token")
	}
	killed(p)

	// Once more, with a new token that has only just reached the file.
	p = start("auto")
	live(t, p.addr)
	visit(t, p.addr)
	killed(p)
	second := held()
	if second == first {
		t.Fatal("the login brought no new token")
	}
	p = start("manual")
	live(t, p.addr)
	if held() != second {
		t.Error("live on another token than the file's newest")
	}
	if g := generation(t, p.addr); g != 1 {
		t.Errorf("generation %d: each process begins at 1", g)
	}
	killed(p)

	files := 0
	err := filepath.WalkDir(filepath.Join(dir, ".kitestring"), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		data, err := os.ReadFile(path)
		if filepath.Ext(path) == ".json" && !json.Valid(data) {
			t.Errorf("%s is not whole", path)
		}
		for _, leak := range secrets.leaks(data) {
			t.Errorf("%s: %s", path, leak)
		}
		if info, err := entry.Info(); err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: others may read it (%v)", path, info.Mode())
		}
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("%d files in the state directory: %v", files, err)
	}
}
