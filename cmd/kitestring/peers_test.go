package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kitestring/actors/web/api"
	"kitestring/supervisor/tree"
)

// TestNoTokenBetweenPeers: a login on one of two servers reaches the other's
// file, and its token is in no byte that is written inside TLS, in no log and in
// no answer.
func TestNoTokenBetweenPeers(t *testing.T) {
	var said [2]safeBuffer
	var servers [2]*tree.Server
	var files [2]string
	for i := range servers {
		dir := t.TempDir()
		files[i] = filepath.Join(dir, ".env")
		cfg := tree.Config{
			EnvFile: files[i], StateDir: filepath.Join(dir, "state"), Addr: "127.0.0.1:0", Profile: "sim", Version: "canary",
			Getenv: func(string) string { return "" }, PeerWrites: func(p []byte) { _, _ = said[i].Write(p) },
			Log: slog.New(slog.NewTextHandler(&said[i], &slog.HandlerOptions{Level: slog.LevelDebug})),
			Sim: tree.SimConfig{Addr: "127.0.0.1:0", Seed: 1, Speed: 1, Rate: 100},
		}
		if i == 0 {
			cfg.Reloadable.PeerAddr = "127.0.0.1:0"
		} else {
			cfg.Sim.ManualLogin = true
			text := fmt.Sprintf("KITESTRING_PROFILE=sim\nZERODHA_API_KEY=%s\nZERODHA_API_SECRET=%s\nKITE_API_URL=http://%s\n", tree.SimAPIKey, tree.SimAPISecret, servers[0].SimAddr())
			if err := os.WriteFile(files[i], []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		server, err := tree.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			if err := server.Stop(ctx); err != nil {
				t.Error(err)
			}
		})
		servers[i] = server
	}
	live(t, servers[0].Addr())
	var made api.PeerInvitation
	post(t, servers[0].Addr(), "/api/v1/peer/invite", `{}`, &made)
	var joined api.Peer
	post(t, servers[1].Addr(), "/api/v1/peer/join", fmt.Sprintf(`{"code":%q}`, made.Code), &joined)
	eventually(t, time.Minute, "both work with one token", func() (bool, string) {
		var peer api.Peer
		ok := fetch(servers[1].Addr(), "/api/v1/peer", &peer) && peer.Coherent && peer.Mine.Valid
		return ok, fmt.Sprintf("%+v", peer)
	})
	held := must(os.ReadFile(files[1]))
	_, token, there := bytes.Cut(held, []byte("ZERODHA_ACCESS_TOKEN="))
	token = bytes.TrimSpace(token)
	if !there || len(token) < 24 {
		t.Fatal("the second file has no token")
	}
	for i, server := range servers {
		outputs := said[i].String()
		for _, path := range []string{"/api/v1/peer", "/api/v1/status", "/api/v1/events", "/metrics"} {
			resp, err := http.Get("http://" + server.Addr() + path) //nolint:noctx // on loopback
			if err != nil {
				t.Fatal(err)
			}
			var body bytes.Buffer
			_, _ = body.ReadFrom(resp.Body)
			resp.Body.Close()
			outputs += body.String()
		}
		if bytes.Contains([]byte(outputs), token) {
			t.Errorf("server %d: the token is in what it wrote", i)
		}
		if !bytes.Contains([]byte(outputs), []byte(`"api_key"`)) {
			t.Errorf("server %d: nothing of what it wrote inside TLS was seen", i)
		}
	}
}

func post(t *testing.T, addr, path, body string, into any) {
	t.Helper()
	resp, err := http.Post("http://"+addr+path, "application/json", bytes.NewReader([]byte(body))) //nolint:noctx // on loopback
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer bytes.Buffer
	_, _ = answer.ReadFrom(resp.Body)
	if resp.StatusCode >= 400 {
		t.Fatalf("%s: %s %s", path, resp.Status, answer.Bytes())
	}
	if err := api.Decode(answer.Bytes(), into); err != nil {
		t.Fatal(err)
	}
}
