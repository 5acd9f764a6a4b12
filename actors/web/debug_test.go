package web_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"kitestring/messages"
)

// TestDebugIsForTheAdmin: profiles and traces show what runs, so that they are
// not for every client that reaches the listener.
func TestDebugIsForTheAdmin(t *testing.T) {
	h := &fakes{admin: messages.NewSecret(strings.Repeat("a", 32))}
	_, _, addr := open(t, h)
	bearer := []string{"Authorization", "Bearer " + strings.Repeat("a", 32)}
	for _, c := range []struct {
		method, path string
		code         int
		want         string
	}{
		{"GET", "/debug/pprof/", http.StatusOK, "goroutine"},
		{"GET", "/debug/pprof/goroutine?debug=1", http.StatusOK, "goroutine profile: total"},
		{"GET", "/debug/pprof/heap", http.StatusOK, ""},
		{"GET", "/debug/pprof/cmdline", http.StatusOK, "web.test"},
		{"GET", "/debug/pprof/symbol", http.StatusOK, "num_symbols"},
		{"GET", "/debug/pprof/trace?seconds=0.01", http.StatusOK, "go 1."},
		{"GET", "/debug/pprof/nonsense", http.StatusNotFound, "Unknown profile"},
		{"POST", "/api/v1/debug/trace", http.StatusCreated, `{"file":"now.trace","recorded":[]}`},
	} {
		if resp, _ := request(t, c.method, "http://"+addr+c.path, ""); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s %s without the admin token: %s", c.method, c.path, resp.Status)
		}
		resp, body := request(t, c.method, "http://"+addr+c.path, "", bearer...)
		if resp.StatusCode != c.code || !strings.Contains(body, c.want) {
			t.Errorf("%s %s: %s, %.200q", c.method, c.path, resp.Status, body)
		}
	}
	h.untraced = errors.New("a trace was written less than 1m0s ago: wait 59s")
	if resp, body := request(t, "POST", "http://"+addr+"/api/v1/debug/trace", "", bearer...); resp.StatusCode != http.StatusConflict || !strings.Contains(body, "wait 59s") {
		t.Errorf("a trace too soon: %s, %s", resp.Status, body)
	}
	if resp, body := request(t, "GET", "http://"+addr+"/api/v1/reminders", ""); resp.StatusCode != http.StatusOK || !strings.Contains(body, `"channels":["ntfy"]`) {
		t.Errorf("reminders: %s, %s", resp.Status, body)
	}
}
