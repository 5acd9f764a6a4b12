package channels

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"kitestring/messages"
)

// TestFailuresDoNotShowTheAddress tries addresses that fail at once.
func TestFailuresDoNotShowTheAddress(t *testing.T) {
	const gone = "http://127.0.0.1:1" // a port of a server that was closed may be another's by now
	moved := httptest.NewServer(http.RedirectHandler("https://CANARY.example/", http.StatusMovedPermanently))
	defer moved.Close()
	tls := httptest.NewUnstartedServer(http.NotFoundHandler())
	tls.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	tls.StartTLS()
	defer tls.Close()
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	defer refusing.Close()
	for address, want := range map[string]string{
		gone + "/CANARY":         "nothing listens at its address",
		moved.URL + "/CANARY":    "it answered 301, a redirect: give the address that it leads to",
		tls.URL + "/CANARY":      "its certificate is not accepted",
		refusing.URL + "/CANARY": "it answered 401: it does not accept the token in the .env file",
	} {
		client := NewClient()
		got := Send(t.Context(), client, Channel{Kind: Webhook, Address: messages.NewSecret(address)}, Message{Text: "a text"})
		if got.Arrived || got.Reason != want {
			t.Errorf("%+v, want %q", got, want)
		}
		client.CloseIdleConnections()
	}
}

// A page that a proxy serves in place of the channel is no proof that a message has
// arrived.
func TestAnotherServersAnswerIsNotBelieved(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := "<html>log in to this network</html>"
		if strings.HasPrefix(r.URL.Path, "/error") {
			body = `{"ok":false,"description":"Bad Gateway"}`
		}
		_, _ = io.WriteString(w, body)
	}))
	defer page.Close()
	client := NewClient()
	defer client.CloseIdleConnections()
	for _, c := range []struct {
		kind, path string
		arrived    bool
	}{{Ntfy, "", false}, {Telegram, "", false}, {Telegram, "/error", false}, {Webhook, "", true}} {
		address := page.URL + c.path
		got := Send(t.Context(), client, Channel{Kind: c.kind, Address: messages.NewSecret(address), Token: messages.NewSecret("token")}, Message{Text: "a text"})
		if got.Arrived != c.arrived || got.Final || !got.Arrived && !strings.Contains(got.Reason, "a proxy may answer") {
			t.Errorf("%s%s: %+v", c.kind, c.path, got)
		}
	}
}

// TestAWebhookCanCheckWhoSent verifies a signature as a receiver would.
func TestAWebhookCanCheckWhoSent(t *testing.T) {
	var header, event string
	var body []byte
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		header = r.Header.Get(SignatureHeader)
		body, _ = io.ReadAll(r.Body)
		var m struct{ Event string }
		_ = json.Unmarshal(body, &m)
		event = m.Event
	}))
	defer hook.Close()
	c := Channel{Kind: Webhook, Address: messages.NewSecret(hook.URL), Key: messages.NewSecret("a secret")}
	m := Message{Text: "a text", Event: "alert", Fields: map[string]any{"name": "x"}}
	if got := Send(t.Context(), NewClient(), c, m); !got.Arrived || event != "alert" {
		t.Fatalf("%+v, event %q", got, event)
	}
	stamp, sum, _ := strings.Cut(strings.TrimPrefix(header, "t="), ",v1=")
	mac := hmac.New(sha256.New, []byte("a secret"))
	mac.Write([]byte(stamp + "." + string(body)))
	if sum != hex.EncodeToString(mac.Sum(nil)) {
		t.Errorf("signature %q does not fit the body", header)
	}
	if at, err := strconv.ParseInt(stamp, 10, 64); err != nil || time.Since(time.Unix(at, 0)) > time.Minute {
		t.Errorf("signature %q is not of now", header)
	}
	c.Key = messages.Secret{}
	Send(t.Context(), NewClient(), c, m)
	if header != "" {
		t.Errorf("signed without a secret: %q", header)
	}
}

func TestPauseGrowsAndHeedsTheChannel(t *testing.T) {
	for _, c := range []struct {
		attempts int
		jitter   float64
		asked    time.Duration
		want     time.Duration
	}{
		{1, 1, 0, 2 * time.Second},
		{1, 0, 0, time.Second},
		{3, 1, 0, 8 * time.Second},
		{8, 1, 0, time.Minute},
		{60, 1, 0, time.Minute},
		{1, 1, 90 * time.Second, 90 * time.Second},
	} {
		if got := Pause(c.attempts, c.jitter, Outcome{After: c.asked}); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
