package e2e

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"kitestring/supervisor/tree"
)

// server is a whole server: the tree, the exchange, the page.
type server struct {
	*tree.Server
	t      testing.TB
	cfg    tree.Config
	client *http.Client
}

func startServer(t testing.TB, change ...func(*tree.Config)) *server {
	t.Helper()
	if testing.Short() {
		t.Skip("a whole server is not for -short")
	}
	dir := t.TempDir()
	s := &server{t: t, client: &http.Client{
		Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	s.cfg = tree.Config{
		EnvFile: filepath.Join(dir, ".env"), StateDir: filepath.Join(dir, "state"), Addr: "127.0.0.1:0", Profile: "sim", Version: "test",
		Getenv: func(string) string { return "" }, Log: slog.New(slog.DiscardHandler),
		Sim: tree.SimConfig{Addr: "127.0.0.1:0", Seed: 7, Speed: 1},
	}
	for _, c := range change {
		c(&s.cfg)
	}
	s.open()
	t.Cleanup(s.stop)
	return s
}

// open starts the server, the second time where it was before.
func (s *server) open() {
	s.t.Helper()
	// Not the test's context: its end would come before the cleanup's.
	opened, err := tree.Open(context.Background(), s.cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Server = opened
	s.cfg.Addr, s.cfg.Sim.Addr = opened.Addr(), opened.SimAddr()
}

func (s *server) stop() {
	if s.Server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		s.t.Errorf("stop: %v", err)
	}
	s.Server = nil
}

// live waits until the server says so.
func (s *server) live() {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-time.After(20 * time.Millisecond) {
		resp, err := s.client.Get(s.URL() + "readyz")
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
	}
	s.t.Fatal("the server is not live within 30 s")
}

// post asks the server to do something, and gives what it answered.
func (s *server) post(path, body string) (int, []byte) {
	s.t.Helper()
	return s.call(http.MethodPost, "http://"+s.Addr()+path, body)
}

// sim asks the simulated exchange itself.
func (s *server) sim(method, path, body string) (int, []byte) {
	s.t.Helper()
	return s.call(method, "http://"+s.SimAddr()+"/sim/v1"+path, body)
}

func (s *server) call(method, address, body string) (int, []byte) {
	s.t.Helper()
	req, err := http.NewRequest(method, address, bytes.NewReader([]byte(body)))
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, data
}
