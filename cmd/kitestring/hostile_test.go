package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kitestring/actors/web/api"
)

// echoes are bad answers that give a request back: %s is one line of it with
// everything that it held. Proxies, captive portals and load balancers do that.
var echoes = []string{
	"%s\r\n\r\n",
	"HTTP/1.1 %s\r\n\r\n",
	"HTTP/1.1 403 %s\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 200 OK\r\n%s\r\n\r\n",
	"HTTP/1.1 200 OK\r\nX Request: %s\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n",
	"HTTP/1.1 302 Found\r\nLocation: http://%%zz/%s\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: %[1]s\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %[1]s\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n%s",
	"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<html>%s</html>",
	"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" + `{"status":"error","error_type":"%[1]s","message":"%[1]s"}`,
	"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" + `{"status":"error","error_type":"TokenException","message":"%s"}`,
	"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" + `{"status":"success","data":{"user_id":{"%[1]s":1},"%[1]s":"%[1]s"}}`,
	"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nConnection: close\r\n\r\ninstrument_token,%[1]s\n%[1]s,1\n",
}

// hostile is Kite behind a machine that gives every request back in each of the
// bad ways in turn. It counts its answers.
func hostile(t *testing.T) (addr string, answers *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	answers = &atomic.Int64{}
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				body, _ := io.ReadAll(req.Body)
				line := fmt.Sprintf("%s %s Authorization: %s %s", req.Method, req.URL, req.Header.Get("Authorization"), body)
				_, _ = fmt.Fprintf(conn, echoes[int(answers.Add(1))%len(echoes)], line)
			}
			_ = conn.Close()
		}
	}()
	return l.Addr().String(), answers
}

// TestHostileAnswersHoldNoSecret lets each request to Kite come back as a bad
// answer: profile, upgrade, instruments, session. No output holds what came back.
func TestHostileAnswersHoldNoSecret(t *testing.T) {
	leftOutByShort(t)
	var secrets canaries
	at, answers := hostile(t)
	admin := secrets.fresh("admin token", 40)
	secret := secrets.fresh("API secret", 32)
	env := file(t, ".env", lines("ZERODHA_API_KEY=livekey1livekey1", "ZERODHA_API_SECRET="+secret, "ADMIN_TOKEN="+admin,
		"KITE_API_URL=http://"+at, "KITE_WS_URL=ws://"+at, "KITE_LOGIN_URL=http://"+at+"/connect/login",
		"ZERODHA_ACCESS_TOKEN="+secrets.fresh("access token", 32)))
	s := serve(t, "--env-file", env, "--addr", "127.0.0.1:0", "--log-level", "debug")
	var seen safeBuffer
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ask := func(method, path, body string) []byte {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.addr+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+admin)
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, _ := io.ReadAll(resp.Body)
		fmt.Fprintf(&seen, "%s %v\n%s\n", resp.Status, resp.Header, data)
		return data
	}
	enough := 3 * int64(len(echoes))
	for n, deadline := 0, time.Now().Add(time.Minute); answers.Load() < enough && time.Now().Before(deadline); n++ {
		ask(http.MethodPost, "/api/v1/token/validate", "")
		ask(http.MethodPost, "/api/v1/actors/feed/restart", "")
		ask(http.MethodPost, "/api/v1/actors/instruments/restart", "")
		if n%2 == 0 { // a login whose exchange comes back
			var started api.LoginStarted
			if json.Unmarshal(ask(http.MethodPost, "/api/v1/login/start", ""), &started) == nil && started.LoginURL != "" {
				u, err := url.Parse(started.LoginURL)
				if err != nil {
					t.Fatal(err)
				}
				request := secrets.fresh("request token", 32)
				sum := sha256.Sum256([]byte("livekey1livekey1" + request + secret))
				secrets.add("checksum", hex.EncodeToString(sum[:]))
				ask(http.MethodGet, "/callback?status=success&action=login&request_token="+request+"&"+u.Query().Get("redirect_params"), "")
			}
		}
		if n%5 == 0 {
			if err := overwrite(env, func(text string) string {
				return strings.Replace(text, "ZERODHA_ACCESS_TOKEN="+tokenLine(text), "ZERODHA_ACCESS_TOKEN="+secrets.fresh("access token", 32), 1)
			}); err != nil {
				t.Fatal(err)
			}
		}
		for _, path := range []string{"/api/v1/status", "/api/v1/token", "/api/v1/events", "/api/v1/actors", "/api/v1/rotations", "/readyz", "/api/v1/readings", "/metrics", "/"} {
			ask(http.MethodGet, path, "")
		}
	}
	_, out, errs := kitestring(t, t.Context(), nil, "", "doctor", "--env-file", env, "--addr", s.addr)
	for where, output := range map[string]string{"HTTP": seen.String(), "log": s.log.String(), "standard output": s.out.String(), "doctor": out + errs} {
		for _, leak := range secrets.leaks([]byte(output)) {
			t.Errorf("%s: %s", where, leak)
		}
	}
	if answers.Load() < enough {
		t.Errorf("%d hostile answers, want %d", answers.Load(), enough)
	}
	t.Logf("%d hostile answers, %d secrets, %d bytes of answers, %d of log", answers.Load(), len(secrets.list), len(seen.String()), len(s.log.String()))
}
