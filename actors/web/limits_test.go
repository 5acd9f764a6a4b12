package web

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"kitestring/actors/web/guard"
	"kitestring/messages"
)

const secret = "an-admin-token-of-more-than-32-characters"

func TestSimulatorsAdminIsOpenToThisMachineOnly(t *testing.T) {
	a := &admission{Config{Profile: "sim", Store: NewStore(), AdminToken: func() messages.Secret { return messages.Secret{} }}}
	for remote, want := range map[string]int{"127.0.0.1:5000": 200, "[::1]:5000": 200, "192.0.2.7:5000": 403, "[2001:db8::7]:5000": 403, "nonsense": 403} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("POST", "/api/v1/chaos", nil)
		r.RemoteAddr = remote
		a.admit(func(http.ResponseWriter, *http.Request) {})(w, r)
		if w.Code != want {
			t.Errorf("from %s: %d, want %d", remote, w.Code, want)
		}
	}
}

func TestShortAdminTokenDoesNotCount(t *testing.T) {
	a := &admission{Config{Profile: "sim", Store: NewStore(), AdminToken: func() messages.Secret { return messages.NewSecret("short") }}}
	w, r := httptest.NewRecorder(), httptest.NewRequest("POST", "/api/v1/chaos", nil)
	r.Header.Set("Authorization", "Bearer short")
	a.admit(func(http.ResponseWriter, *http.Request) { t.Error("admitted") })(w, r)
	if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "at least 32 characters") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// However many guess at the same time, five wrong tokens from an address are
// compared, and then none, not even the right one.
func TestGuessesAreCountedBeforeTheyAreCompared(t *testing.T) {
	store := NewStore()
	admit := func(remote, token string) int {
		a := &admission{Config{Store: store, AdminToken: func() messages.Secret { return messages.NewSecret(secret) }}} // one of each incarnation
		w, r := httptest.NewRecorder(), httptest.NewRequest("POST", "/api/v1/chaos", nil)
		r.RemoteAddr = remote + ":5000"
		r.Header.Set("Authorization", "Bearer "+token)
		a.admit(func(http.ResponseWriter, *http.Request) {})(w, r)
		return w.Code
	}
	for range 100 {
		if code := admit("192.0.2.1", secret); code != http.StatusOK {
			t.Fatalf("the right token: %d", code)
		}
	}
	codes := make(chan int, 500)
	var all sync.WaitGroup
	for i := range 500 {
		all.Go(func() { codes <- admit("192.0.2.1", fmt.Sprint("guess ", i)) })
	}
	all.Wait()
	close(codes)
	compared := 0
	for code := range codes {
		if code != http.StatusTooManyRequests {
			compared++
		}
	}
	if compared != 5 {
		t.Errorf("%d of 500 guesses were compared, want 5", compared)
	}
	if code := admit("192.0.2.1", secret); code != http.StatusTooManyRequests {
		t.Errorf("the right token from an address that has guessed: %d, want 429", code)
	}
	if code := admit("192.0.2.2", secret); code != http.StatusOK {
		t.Errorf("the right token from elsewhere: %d", code)
	}
}

func TestHostsOfThisServer(t *testing.T) {
	s := &server{Config: Config{DashboardURL: func() string { return "https://Kite.lan/kite" }}}
	loopback, network := "127.0.0.1:8420", "10.1.2.3:8420"
	for _, c := range []struct {
		local, host, path string
		want              bool
	}{
		{loopback, "localhost:8420", "/", true},
		{loopback, "127.0.0.1:9", "/", true},
		{loopback, "[::1]:8420", "/", true},
		{loopback, "kite.lan", "/", true},
		{loopback, "KITE.lan:443", "/api/v1/status", true},
		{loopback, "evil.example", "/", false},
		{loopback, "evil.example", "/metrics", false}, // only this machine's browser can come here
		{loopback, "10.1.2.3:8420", "/", false},
		{network, "10.1.2.3:8420", "/", true},
		{network, "10.1.2.4:8420", "/", false},
		{network, "evil.example", "/", false},
		{network, "evil.example", "/api/v1/status", false},
		{network, "kitestring:8420", "/metrics", true},
		{network, "10.244.0.9:8420", "/healthz", true},
		{network, "pod.cluster.local", "/readyz", true},
	} {
		address, err := net.ResolveTCPAddr("tcp", c.local)
		if err != nil {
			t.Fatal(err)
		}
		s.exposed = c.local != loopback
		r := httptest.NewRequest("GET", c.path, nil)
		r.Host = c.host
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(address)))
		if got := s.hostAllowed(r); got != c.want {
			t.Errorf("Host %s for %s on %s: %t, want %t", c.host, c.path, c.local, got, c.want)
		}
	}
}

func TestPagesAddressCanBeOpened(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:8420": "http://127.0.0.1:8420/", "0.0.0.0:8420": "http://127.0.0.1:8420/", "[::]:8420": "http://127.0.0.1:8420/",
		":8420": "http://127.0.0.1:8420/", "10.1.2.3:80": "http://10.1.2.3:80/", "[::1]:8420": "http://[::1]:8420/",
	} {
		if got := PageURL(listen); got != want {
			t.Errorf("%s: %s, want %s", listen, got, want)
		}
	}
}

func TestFloodOfEventsIsBounded(t *testing.T) {
	start := time.Now()
	s := NewStore()
	s.Note("actor", "before the flood")
	for i := range 20_000 {
		s.Apply(messages.OrderUpdated{OrderID: fmt.Sprint(i) + strings.Repeat("x", 1000), Status: strings.Repeat("y", 1000)})
	}
	s.Note("actor", "after the %s", strings.Repeat("flood ", 1000))
	size := 0
	for _, e := range s.eventsNewestFirst() {
		size += len(e.Text)
	}
	events := s.eventsNewestFirst()
	if first, last := events[len(events)-1].Text, events[0].Text; first != "before the flood" || !strings.HasPrefix(last, "after the flood") || len(last) > eventLength+5 {
		t.Errorf("the events of another kind: %q, %q", first, last)
	}
	if allowed := guard.EventsAtOnce + 3 + guard.EventsPerSecond*int(time.Since(start)/time.Second+1); len(events) > allowed || size > 300*allowed {
		t.Errorf("%d events with %d bytes of text", len(events), size)
	}
	counted := s.budgets["order"].Omitted
	for _, e := range events {
		if e.Kind == "order" {
			counted++
		}
		if at := strings.Index(e.Text, " ("); at >= 0 {
			n := 0
			_, _ = fmt.Sscanf(e.Text[at:], " (%d more", &n)
			counted += n
		}
	}
	if counted != 20_000 {
		t.Errorf("%d of 20000 orders are shown or counted as left out", counted)
	}
}
