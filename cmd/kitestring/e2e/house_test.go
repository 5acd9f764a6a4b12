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

// house is a whole server: the tree, the exchange, the page.
type house struct {
	*tree.Server
	t      *testing.T
	cfg    tree.Config
	client *http.Client
}

func served(t *testing.T, change ...func(*tree.Config)) *house {
	t.Helper()
	if testing.Short() {
		t.Skip("a whole server is not for -short")
	}
	dir := t.TempDir()
	h := &house{t: t, client: &http.Client{
		Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	h.cfg = tree.Config{
		EnvFile: filepath.Join(dir, ".env"), StateDir: filepath.Join(dir, "state"), Addr: "127.0.0.1:0", Profile: "sim", Version: "test",
		Getenv: func(string) string { return "" }, Log: slog.New(slog.DiscardHandler),
		Sim: tree.SimConfig{Addr: "127.0.0.1:0", Seed: 7, Speed: 1},
	}
	for _, c := range change {
		c(&h.cfg)
	}
	h.open()
	t.Cleanup(h.stop)
	return h
}

// open starts the server, the second time where it was before.
func (h *house) open() {
	h.t.Helper()
	// Not the test's context: its end would come before the cleanup's.
	opened, err := tree.Open(context.Background(), h.cfg)
	if err != nil {
		h.t.Fatal(err)
	}
	h.Server = opened
	h.cfg.Addr, h.cfg.Sim.Addr = opened.Addr(), opened.SimAddr()
}

func (h *house) stop() {
	if h.Server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := h.Stop(ctx); err != nil {
		h.t.Errorf("stop: %v", err)
	}
	h.Server = nil
}

// live waits until the server says so.
func (h *house) live() {
	h.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-time.After(20 * time.Millisecond) {
		resp, err := h.client.Get(h.URL() + "readyz")
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
	}
	h.t.Fatal("the server is not live within 30 s")
}

// post asks the server to do something, and gives what it answered.
func (h *house) post(path, body string) (int, []byte) {
	h.t.Helper()
	return h.call(http.MethodPost, "http://"+h.Addr()+path, body)
}

// sim asks the simulated exchange itself.
func (h *house) sim(method, path, body string) (int, []byte) {
	h.t.Helper()
	return h.call(method, "http://"+h.SimAddr()+"/sim/v1"+path, body)
}

func (h *house) call(method, address, body string) (int, []byte) {
	h.t.Helper()
	req, err := http.NewRequest(method, address, bytes.NewReader([]byte(body)))
	if err != nil {
		h.t.Fatal(err)
	}
	resp, err := h.client.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp.StatusCode, data
}
