package web_test

import (
	"net/http"
	"strings"
	"testing"

	"kitestring/actors/web"
	"kitestring/messages"
)

func TestBrowserShowsTheAdminTokenOnce(t *testing.T) {
	h := &fakes{admin: messages.NewSecret(adminToken)}
	store := web.NewStore()
	live := func(cfg *web.Config) { cfg.Profile, cfg.Store = "live", store }
	_, _, addr := open(t, h, live)
	const restart = "/api/v1/actors/feed/restart"
	if resp, _ := request(t, "POST", "http://"+addr+restart, ""); resp.StatusCode != http.StatusUnauthorized {
		t.Fatalf("without a session: %d", resp.StatusCode)
	}
	if resp, body := request(t, "POST", "http://"+addr+"/api/v1/session", `{"admin_token":"wrong"}`); resp.StatusCode != http.StatusUnauthorized || strings.Contains(body, adminToken) {
		t.Errorf("a wrong token: %d %s", resp.StatusCode, body)
	}
	resp, body := request(t, "POST", "http://"+addr+"/api/v1/session", `{"admin_token":"`+adminToken+`"}`)
	if resp.StatusCode != http.StatusNoContent || len(resp.Cookies()) != 1 {
		t.Fatalf("the right token: %d %s %v", resp.StatusCode, body, resp.Cookies())
	}
	c := resp.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || strings.Contains(c.Value, adminToken) || len(c.Value) < 40 {
		t.Errorf("the cookie: %+v", c)
	}
	cookie := []string{"Cookie", c.Name + "=" + c.Value}
	if resp, body := request(t, "POST", "http://"+addr+restart, "", cookie...); resp.StatusCode != http.StatusAccepted {
		t.Errorf("with the session: %d %s", resp.StatusCode, body)
	}
	if resp, _ := request(t, "POST", "http://"+addr+restart, "", "Cookie", c.Name+"="+strings.Repeat("A", len(c.Value))); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("with an invented session: %d", resp.StatusCode)
	}
	if resp, _ := request(t, "POST", "http://"+addr+restart, "", append(cookie, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example")...); resp.StatusCode != http.StatusForbidden {
		t.Errorf("with the session, from another site: %d", resp.StatusCode)
	}

	// It outlives the actor, and ends with the admin token that opened it.
	_, _, again := open(t, h, live)
	if resp, _ := request(t, "POST", "http://"+again+restart, "", cookie...); resp.StatusCode != http.StatusAccepted {
		t.Errorf("after a restart of the actor: %d", resp.StatusCode)
	}
	other := &fakes{admin: messages.NewSecret(strings.Repeat("another", 6))}
	_, _, changed := open(t, other, live)
	if resp, _ := request(t, "POST", "http://"+changed+restart, "", cookie...); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("after a change of the admin token: %d", resp.StatusCode)
	}

	// Guessing through this door is slowed down as through the other.
	var last int
	for range 7 {
		resp, _ := request(t, "POST", "http://"+addr+"/api/v1/session", `{"admin_token":"wrong"}`)
		last = resp.StatusCode
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("the seventh guess: %d", last)
	}
	if resp, body := request(t, "POST", "http://"+nameless(t), `{"admin_token":"x"}`); resp.StatusCode != http.StatusConflict || !strings.Contains(body, "ADMIN_TOKEN=") {
		t.Errorf("where none is set: %d %s", resp.StatusCode, body)
	}
}

// nameless is the session's address at a server without an admin token.
func nameless(t *testing.T) string {
	_, _, addr := open(t, &fakes{})
	return addr + "/api/v1/session"
}

func TestRehearsalsNeedASimulatedExchange(t *testing.T) {
	_, _, addr := open(t, &fakes{})
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/api/v1/exchange/faults", `{"kind":"drop"}`},
		{"DELETE", "/api/v1/exchange/faults", ""},
		{"POST", "/api/v1/exchange/rotate", ""},
	} {
		resp, body := request(t, c.method, "http://"+addr+c.path, c.body)
		if resp.StatusCode != http.StatusConflict || !strings.Contains(body, "kitestring drill") {
			t.Errorf("%s %s: %d %s", c.method, c.path, resp.StatusCode, body)
		}
	}
	_, _, addr = open(t, &fakes{}, func(cfg *web.Config) { cfg.Exchange = &mimic{} })
	for body, code := range map[string]int{`{"kind":"moon"}`: 404, `{"kind":"drop","for_ms":-5}`: 400, `{"knd":"drop"}`: 400, ``: 400} {
		if resp, got := request(t, "POST", "http://"+addr+"/api/v1/exchange/faults", body); resp.StatusCode != code {
			t.Errorf("fault %q: %d %s, want %d", body, resp.StatusCode, got, code)
		}
	}
}

// A speed is for a server that replays a day.
func TestReplayNeedsARecordedDay(t *testing.T) {
	_, _, addr := open(t, &fakes{})
	if resp, body := request(t, "POST", "http://"+addr+"/api/v1/replay", `{"speed":60}`); resp.StatusCode != http.StatusConflict || !strings.Contains(body, "run --replay") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}
